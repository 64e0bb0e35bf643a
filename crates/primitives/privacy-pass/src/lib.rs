//! Privacy Pass framing (RFC 9577, RFC 9578), token type 0x0002 (Blind RSA, 2048 bits).
//!
//! An origin asks for a token with a [`TokenChallenge`]. A client turns it into a [`PendingToken`],
//! whose [`TokenRequest`] an issuer answers with a [`TokenResponse`]; out of both comes a [`Token`],
//! which [`verify_token`] checks and whose [`SpendHash`] marks it as spent. Issuer and origin can't
//! tell which request a token came from.
//!
//! Everything that a request hides is derived from one secret [`TokenSeed`], so that who is shown the
//! seed later can compute the request again and compare.
//!
//! Pure: no input or output, no clock, no randomness. The HTTP headers ([`ChallengeHeader`],
//! [`TokenHeader`]) and the issuer's directory ([`IssuerDirectory`]) are text in, types out.

mod challenge;
mod codec;
mod directory;
mod hash;
mod header;
mod issuance;
mod pending;
mod token;

pub use challenge::{ChallengeError, TokenChallenge};
pub use codec::DecodeError;
pub use directory::{DirectoryKey, IssuerDirectory};
pub use hash::{ChallengeDigest, HashError, KeyId, SpendHash};
pub use header::{ChallengeHeader, HeaderError, TokenHeader};
pub use issuance::{TokenRequest, TokenResponse};
pub use pending::{PendingError, PendingToken, TokenSeed, TokenTrace};
pub use token::{Nonce, Token, TokenError, TokenInput, verify_token};

/// The token type of Blind RSA with 2048 bits (RFC 9578 section 8.2.1).
pub const TOKEN_TYPE: u16 = 0x0002;

/// Length of a blinded message, of an answer and of a token's authenticator, in bytes.
pub const AUTHENTICATOR_LENGTH: usize = 256;

/// Media type of a [`TokenRequest`] (RFC 9578 section 8.3.2).
pub const MEDIA_TYPE_REQUEST: &str = "application/private-token-request";

/// Media type of a [`TokenResponse`] (RFC 9578 section 8.3.3).
pub const MEDIA_TYPE_RESPONSE: &str = "application/private-token-response";

/// Media type of an [`IssuerDirectory`] (RFC 9578 section 8.3.1).
pub const MEDIA_TYPE_DIRECTORY: &str = "application/private-token-issuer-directory";

/// Where an issuer serves its directory (RFC 9578 section 4).
pub const DIRECTORY_PATH: &str = "/.well-known/private-token-issuer-directory";
