//! A sealed request with its order, what the enclave answers, and the frames around them.

use std::convert::Infallible;

use jws::KeySet;
use lease::Order;
use minting::{Answer, AssignRequest, Mint, Outcome as Minted};
use rand_core::{TryCryptoRng, TryRng};
use seal::{OpeningKey, Sealer};
use serde_json::{Value, json};
use wire::frame::Message;
use wire::parent::Request;
use wire::{BootConfiguration, envelope};

use crate::Outcome;
use crate::signed::{self, BLIND_TOKEN_SERVICE, DIP_SERVICE, ENCLAVE, LEASE};
use crate::tokens::{Drawn, ISSUER, NOW, ORIGIN};

/// "Random" bytes that are all one value.
pub(crate) struct Always(pub(crate) u8);

impl TryRng for Always {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for Always {}

pub(crate) fn examples(drawn: &Drawn) -> Outcome<Value> {
    let keys = |seed| -> Outcome<KeySet> { Ok(KeySet::from(signed::key(seed)?.verifying_key())) };
    let boot = BootConfiguration {
        srt_keys: keys(signed::ACCOUNTS)?,
        issuance_keys: keys(BLIND_TOKEN_SERVICE)?,
        refused_minting_keys: vec![],
        order_keys: keys(DIP_SERVICE)?,
        issuer_name: ISSUER.into(),
        origin: ORIGIN.into(),
        tree: drawn.tree()?.1,
    };
    let text = serde_json::to_string(&boot)?;
    let minting_key = signed::key(ENCLAVE)?;
    let user_data = BootConfiguration::user_data(text.as_bytes(), minting_key.verifying_key(), &[]);

    let order = Order {
        lease: LEASE,
        ip: signed::address()?,
        region: signed::region()?,
        token: drawn.token.spend_hash(),
        frozen: false,
        notice: None,
    };
    let order = order.sign(&signed::key(DIP_SERVICE)?, NOW)?;
    let mut request = AssignRequest {
        srt: signed::srt()?,
        receipt: signed::receipt(drawn)?,
        seed: coarse::Secret::new(drawn.seed),
        token: drawn.token.clone(),
        key: drawn.published()?,
        device: signed::device(),
        device_proof: None,
    };
    let opening_key = OpeningKey::generate(&mut Always(11));
    let recipient = *opening_key.public();
    let bound = drawn.token.spend_hash();
    let sealer = Sealer::new(&recipient, envelope::ASSIGN, bound.as_bytes(), &mut Always(12))?;
    request.device_proof = Some(sealer.prove(&signed::device_secret())?);
    let plaintext = request.encode().ok_or("unwritable")?;
    let (sealed, answer_key) = sealer.seal(&plaintext, envelope::ASSIGN_SIZE)?;
    let frame =
        Request::Generate { order: order.as_str().into(), sealed: sealed.clone() }.encode()?;

    let mint = Mint::new(boot, opening_key, minting_key, ());
    let minted = mint.assign(order.as_str(), &sealed, NOW, &mut Always(13));
    let Ok(Minted::Granted { grant, sealed: sealed_answer }) = minted else {
        return Err("the example was refused".into());
    };
    let answer = answer_key.open(&sealed_answer, envelope::ANSWER_SIZE)?;
    Answer::decode(&answer).ok_or("unreadable")?;
    Ok(json!({
        "boot_configuration": text,
        "user_data": hex::encode(user_data),
        "order": order,
        "assign_request": serde_json::from_slice::<Value>(&plaintext)?,
        "recipient": {"ikm": hex::encode([11; 32]), "public": hex::encode(recipient.bytes())},
        "ephemeral_ikm": hex::encode([12; 32]),
        "sealed_request": hex::encode(&sealed),
        "frame_begins": hex::encode(frame.get(..13).ok_or("short")?),
        "grant": grant,
        "response_nonce": hex::encode([13; 32]),
        "sealed_answer": hex::encode(&sealed_answer),
        "answer": serde_json::from_slice::<Value>(&answer)?,
    }))
}
