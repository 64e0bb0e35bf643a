//! JSON Web Tokens signed with Ed25519 (`EdDSA`, RFC 8037), and nothing else.
//!
//! Every token of this project is a compact JWS (RFC 7515) of one strict form: its header is exactly
//! `alg`, `kid` and `typ`; the key is looked up by `kid` (an RFC 7638 thumbprint) among keys the verifier
//! already trusts; `typ`, `iss` and `aud` must be the expected ones, so that no token passes for
//! another kind; `exp` (RFC 7519) is a whole hour, but for tokens that live for minutes. What the claims mean is the business of the crates that define them.

mod key;
mod token;

pub use key::{Jwk, KeyError, KeyId, KeySet, SigningKey, VerifyingKey};
pub use token::{Claims, Compact, Error, Expect, sign, sign_briefly, verify, verify_with_end};

/// How far two clocks may disagree.
pub const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(60);
