//! The challenge that a token of one purpose and epoch answers.

use aws_lc_rs::digest::{Context, SHA256};
use coarse::Epoch;
use privacy_pass::{ChallengeError, TokenChallenge};

use crate::Purpose;

const CONTEXT_DOMAIN: &[u8] = b"cloakroom/redemption-context/v1/";

/// The challenge for a token of `purpose` and `epoch`, to be spent at `origin` (the purpose's service).
///
/// Its redemption context is SHA-256 of `"cloakroom/redemption-context/v1/" || purpose || epoch`, the
/// purpose being its name in ASCII and the epoch four big-endian bytes.
pub fn challenge(
    issuer_name: &str,
    origin: &str,
    purpose: Purpose,
    epoch: Epoch,
) -> Result<TokenChallenge, ChallengeError> {
    let mut context = Context::new(&SHA256);
    context.update(CONTEXT_DOMAIN);
    context.update(purpose.as_str().as_bytes());
    context.update(&epoch.number().to_be_bytes());
    let mut redemption_context = [0; 32];
    redemption_context.copy_from_slice(context.finish().as_ref());
    TokenChallenge::new(issuer_name, Some(redemption_context), &[origin])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_what_sha256sum_says() {
        // printf 'cloakroom/redemption-context/v1/access\x00\x00\x51\x29' | sha256sum
        let challenge =
            challenge("issuer.example", "exit.example", Purpose::Access, Epoch::new(20_777));
        let challenge = challenge.unwrap();
        assert_eq!(
            hex::encode(challenge.redemption_context().unwrap()),
            "82c18a504a04c79cd6294b488b4d79210c1b549fdd4831b02d7db056da3148f2"
        );
        assert_eq!(challenge.issuer_name(), "issuer.example");
        assert_eq!(challenge.origins().collect::<Vec<_>>(), ["exit.example"]);
    }

    #[test]
    fn every_part_counts() {
        let digest = |issuer, origin, purpose, epoch| {
            challenge(issuer, origin, purpose, Epoch::new(epoch)).unwrap().digest()
        };
        let one = digest("i", "o", Purpose::Access, 1);
        assert_ne!(one, digest("j", "o", Purpose::Access, 1));
        assert_ne!(one, digest("i", "p", Purpose::Access, 1));
        assert_ne!(one, digest("i", "o", Purpose::RelayTicket, 1));
        assert_ne!(one, digest("i", "o", Purpose::Access, 2));
        assert!(challenge("", "o", Purpose::Access, Epoch::new(1)).is_err());
    }
}
