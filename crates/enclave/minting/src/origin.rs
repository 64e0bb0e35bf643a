//! Whether a token is the very one that a seed leads to.
//!
//! Seed and nonce alone don't say so: ten subscriptions could draw ten tokens with the nonce of one of them
//! and ten salts, and that one's receipt would vouch for all ten. So the token's signature must open to the
//! PSS encoding with the salt that the seed gives, as [`TokenSeed`] defines it; there is one such signature.

use blind_rsa::{BlindingFactor, PublicKey, SALT_LENGTH, blind, sign_checked};
use privacy_pass::{ChallengeDigest, KeyId, PendingToken, Token, TokenInput, TokenSeed};
use zeroize::Zeroizing;

/// The context string of [`TokenSeed`]'s salt.
const SALT_CONTEXT: &str = "cloakroom 2026-11 privacy-pass token salt v1";

/// Whether `token` is the one that `made`, which came from `seed`, leads to: its nonce and its salt are the seed's,
/// and its signature is `key`'s.
pub(crate) fn is_token_of(
    seed: &TokenSeed,
    made: &PendingToken,
    key: &PublicKey,
    challenge: &ChallengeDigest,
    token: &Token,
) -> bool {
    let key_id = KeyId::of(key);
    let input = TokenInput::new(*made.nonce(), *challenge, key_id).encode();
    let token = token.encode();
    let Some((shown, signature)) = token.split_at_checked(TokenInput::LENGTH) else {
        return false;
    };
    // Blinded with the factor one, a message is its bare encoding.
    let mut one = vec![0; key.length()];
    if let Some(last) = one.last_mut() {
        *last = 1;
    }
    let Some((encoded, _)) = BlindingFactor::from_bytes(key, &one)
        .and_then(|one| blind(key, &input, &*salt(seed, &key_id, challenge), &one))
        .ok()
    else {
        return false;
    };
    shown == input && sign_checked(key, encoded.as_bytes(), |_| Ok(signature.to_vec())).is_ok()
}

fn salt(
    seed: &TokenSeed,
    key_id: &KeyId,
    challenge: &ChallengeDigest,
) -> Zeroizing<[u8; SALT_LENGTH]> {
    let mut hasher = Zeroizing::new(blake3::Hasher::new_derive_key(SALT_CONTEXT));
    hasher.update(seed.expose()).update(key_id.as_bytes()).update(challenge.as_bytes());
    let mut salt = Zeroizing::new([0; SALT_LENGTH]);
    Zeroizing::new(hasher.finalize_xof()).fill(&mut *salt);
    salt
}
