//! A token from its seed to its spend hash, and the tree that commits to its key.

use blind_rsa::{AwsLcSigner, PublicKey, RawSigner};
use coarse::{Epoch, UnixTime};
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, SuccessorKey, TreePin, challenge};
use privacy_pass::{KeyId, PendingToken, Token, TokenChallenge, TokenResponse, TokenSeed};
use serde_json::{Value, json};

use crate::{Outcome, checkout};

pub(crate) const ISSUER: &str = "issuer.example";
pub(crate) const ORIGIN: &str = "dip.example";
/// Friday, 2026-11-20 at noon.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_176_000);

/// A token, and all that it came from.
pub(crate) struct Drawn {
    pub(crate) seed: [u8; 32],
    pub(crate) key: PublicKey,
    pub(crate) epoch: Epoch,
    pub(crate) blinded: Vec<u8>,
    pub(crate) token: Token,
    challenge: TokenChallenge,
    request: Vec<u8>,
    blind_signature: Vec<u8>,
}

impl Drawn {
    pub(crate) fn example() -> Outcome<Self> {
        let signer = AwsLcSigner::from_pkcs8(&rfc9578_key()?)?;
        let key = signer.public_key().clone();
        let epoch = Purpose::DedicatedIp.epoch_at(NOW);
        let challenge = challenge(ISSUER, ORIGIN, Purpose::DedicatedIp, epoch)?;
        let seed = [7; 32];
        let pending = PendingToken::new(&key, &challenge.digest(), &TokenSeed::from_bytes(seed))?;
        let blinded = pending.request().blinded_message().to_vec();
        let blind_signature = signer.sign_blinded(&blinded)?;
        let token = pending.finalize(&TokenResponse::decode(&blind_signature)?)?;
        let request = pending.request().encode();
        Ok(Self { seed, key, epoch, blinded, token, challenge, request, blind_signature })
    }

    pub(crate) fn describe(&self) -> Value {
        json!({
            "purpose": Purpose::DedicatedIp,
            "epoch": self.epoch,
            "issuer_name": ISSUER,
            "origin": ORIGIN,
            "spki": hex::encode(self.key.spki()),
            "token_key_id": KeyId::of(&self.key),
            "challenge": hex::encode(self.challenge.encode()),
            "challenge_digest": self.challenge.digest(),
            "seed": hex::encode(self.seed),
            "nonce": hex::encode(self.token.nonce().as_bytes()),
            "token_request": hex::encode(&self.request),
            "blind_signature": hex::encode(&self.blind_signature),
            "token": hex::encode(self.token.encode()),
            "spend_hash": self.token.spend_hash(),
        })
    }

    /// A tree whose second place is this token's key.
    pub(crate) fn tree(&self) -> Outcome<(CommitmentTree, TreePin)> {
        let first_epoch = Epoch::new(self.epoch.number() - 1);
        // (A tree takes any 342 bytes for a key; the first one here is the same key again.)
        let keys = [self.key.spki(), self.key.spki()];
        let successor = SuccessorKey::from_bytes([9; 32]);
        let tree = CommitmentTree::with_successor(
            Purpose::DedicatedIp,
            first_epoch,
            &keys,
            Some(&successor),
        )?;
        let pin = TreePin { purpose: Purpose::DedicatedIp, first_epoch, root: tree.root() };
        Ok((tree, pin))
    }

    pub(crate) fn published(&self) -> Outcome<PublishedKey> {
        let (tree, _) = self.tree()?;
        Ok(PublishedKey {
            purpose: Purpose::DedicatedIp,
            epoch: self.epoch,
            public_key: self.key.spki().into(),
            proof: tree.proof(self.epoch).ok_or("no such epoch")?,
        })
    }
}

pub(crate) fn tree(drawn: &Drawn) -> Outcome<Value> {
    let (tree, pin) = drawn.tree()?;
    let published = drawn.published()?;
    published.verify(&pin)?;
    pin.verify_successor(&SuccessorKey::from_bytes([9; 32]), &tree.successor_proof())?;
    Ok(json!({
        "keys": "the token's key, for the epoch before and for its own",
        "successor_key": hex::encode([9; 32]),
        "pin": pin,
        "published_key": published,
        "successor_proof": hex::encode(tree.successor_proof().to_bytes()),
    }))
}

/// The private key of RFC 9578's appendix B.2, PKCS#8.
fn rfc9578_key() -> Outcome<Vec<u8>> {
    use base64::Engine as _;
    let file = std::fs::read(checkout("testdata/blind-rsa/rfc9578_b2_blind_rsa.json"))?;
    let file: Value = serde_json::from_slice(&file)?;
    let pem = file.pointer("/vectors/0/skS").and_then(Value::as_str).ok_or("no key")?;
    let pem = String::from_utf8(hex::decode(pem)?)?;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    Ok(base64::engine::general_purpose::STANDARD.decode(body)?)
}
