//! Which tokens are taken: signed with an imported key of an epoch whose tokens may still be
//! spent, over that epoch's challenge.

use std::collections::HashMap;

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use attested::Provider;
use coarse::{UnixTime, Week};
use epoch_keys::{CLOCK_SKEW, CommittedKey, PublishedKey, Purpose, challenge};
use privacy_pass::{
    ChallengeDigest, ChallengeError, ChallengeHeader, SpendHash, TokenChallenge, TokenHeader,
    verify_token,
};

const PURPOSE: Purpose = Purpose::DedicatedIp;

/// Keys and challenges of all epochs that the service knows.
pub struct TokenGate {
    issuer_name: String,
    origin: String,
    /// A token says by its challenge of which epoch it is.
    keys: HashMap<ChallengeDigest, CommittedKey>,
}

/// A token that passed. Whether it was spent before is the store's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The token's mark.
    pub token: SpendHash,
    /// The week from whose start on no gate admits it.
    pub until: Week,
}

/// Why no token passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// None was shown.
    #[error("no token was shown")]
    Missing,
    /// What was shown is no token that is good here and now.
    #[error("the token is not good here and now")]
    Token,
    /// What was shown was drawn with a key, or for a service, that isn't known here.
    #[error("the token's challenge is unknown")]
    Key,
}

impl TokenGate {
    /// A gate for this provider's `dedicated-ip` tokens, and how many of `published` it can't use: other purposes'
    /// keys, and those that the provider's tree doesn't commit to.
    ///
    /// # Errors
    /// [`ChallengeError`] when the provider's names can't be part of a challenge.
    pub fn new(
        provider: &Provider,
        published: &[PublishedKey],
    ) -> Result<(Self, usize), ChallengeError> {
        let mut gate = Self {
            issuer_name: provider.issuer_name.clone(),
            origin: provider.origin.clone(),
            keys: HashMap::new(),
        };
        gate.present_challenge(UnixTime::from_seconds(0))?;
        let mut ignored = 0;
        for key in published {
            match provider.tree(PURPOSE).and_then(|tree| key.verify(tree).ok()) {
                Some(key) => {
                    let digest = key.challenge(&gate.issuer_name, &gate.origin)?.digest();
                    gate.keys.insert(digest, key);
                }
                None => ignored += 1,
            }
        }
        Ok((gate, ignored))
    }

    /// How many epochs' tokens can be verified.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Checks the token in a request's `Authorization` header.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(&self, headers: &HeaderMap, now: UnixTime) -> Result<Admitted, Refused> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let header = match (shown.next(), shown.next()) {
            (None, _) => return Err(Refused::Missing),
            (Some(header), None) => header.to_str().map_err(|_| Refused::Token)?,
            (Some(_), Some(_)) => return Err(Refused::Token),
        };
        let token = TokenHeader::parse(header).map_err(|_| Refused::Token)?;
        let digest = token.challenge_digest();
        let key = self.keys.get(digest).ok_or(Refused::Key)?;
        if !PURPOSE.spendable(key.epoch(), now) {
            return Err(Refused::Token);
        }
        verify_token(key.public_key(), digest, &token).map_err(|_| Refused::Token)?;
        let deadline = PURPOSE.spend_deadline(key.epoch()).plus(CLOCK_SKEW);
        Ok(Admitted { token: token.spend_hash(), until: deadline.week().next() })
    }

    /// The value of a `WWW-Authenticate` header (RFC 9577 section 2.1): the present epoch's challenge, with its key if
    /// that is known.
    ///
    /// # Errors
    /// [`ChallengeError`], which a gate that was made doesn't give.
    pub fn www_authenticate(&self, now: UnixTime) -> Result<String, ChallengeError> {
        let challenge = self.present_challenge(now)?;
        Ok(match self.keys.get(&challenge.digest()) {
            Some(key) => {
                ChallengeHeader::build(&[ChallengeHeader::new(&challenge, key.public_key(), None)])
            }
            None => format!("PrivateToken challenge=\"{}\"", challenge.to_base64url()),
        })
    }

    fn present_challenge(&self, now: UnixTime) -> Result<TokenChallenge, ChallengeError> {
        challenge(&self.issuer_name, &self.origin, PURPOSE, PURPOSE.epoch_at(now))
    }
}
