//! Names and sizes of the sealed requests and answers. One size a type, so that a length tells nothing.

/// HPKE `info` of an assignment's request.
pub const ASSIGN: &[u8] = b"cloakroom v1 assign";
/// HPKE `info` of a refresh's request.
pub const REFRESH: &[u8] = b"cloakroom v1 refresh";
/// Plaintext size of an assignment's request, in bytes.
pub const ASSIGN_SIZE: usize = 6144;
/// Plaintext size of a refresh's request, in bytes.
pub const REFRESH_SIZE: usize = 4096;
/// Plaintext size of both kinds of answer, in bytes: a refusal and a grant look alike.
pub const ANSWER_SIZE: usize = 4096;
/// What a sealed request is longer than its plaintext by: two keys and a tag.
pub const REQUEST_OVERHEAD: usize = 32 + 32 + 16;
/// What a sealed answer is longer than its plaintext by: a nonce and a tag.
pub const ANSWER_OVERHEAD: usize = 32 + 16;
