//! The device that a token names is the sender's: proven in each sealed request, for that request.

use coarse::system_rng;
use jws::KeySet;
use lease::{Dat, LeaseId, Order};
use minting::{AssignRequest, RefreshRequest, Refusal};
use peer_key::PeerSecret;
use serde_json::{Value, json};
use wire::envelope::{ASSIGN, ASSIGN_SIZE, REFRESH, REFRESH_SIZE};

use crate::fixture::{NOW, Shown, World, device, other_device};

const LEASE: LeaseId = LeaseId::from_bytes([0xaa; 16]);

/// Two requests that are right but for whom the device belongs to, and a mint to ask.
struct Asker {
    world: World,
    assign: AssignRequest,
    refresh: RefreshRequest,
    order: Order,
}

impl Asker {
    fn new() -> Self {
        let world = World::new();
        let assign = world.drawn(1, 0, 1);
        let (refresh, order) = (world.leased(1, 0), World::order(&assign));
        Self { world, assign, refresh, order }
    }

    /// Names this device in both requests.
    fn name(&mut self, device: &PeerSecret) {
        self.assign.device = device.public();
        self.refresh.device = device.public();
    }

    /// What comes of both, proven by this key.
    fn ask_as(&self, holder: &PeerSecret) -> [Shown; 2] {
        let to = self.world.mint.sealing_key();
        let assign = self.assign.seal(holder, &self.order.token, to, &mut system_rng());
        let refresh = self.refresh.seal(holder, LEASE, to, &mut system_rng());
        [
            self.world.carry_out(assign.unwrap(), &self.order, NOW),
            self.world.extend(refresh.unwrap(), World::extension_order(&[]), NOW),
        ]
    }

    /// What comes of both with this content, as it is.
    fn ask(&self, assign: &[u8], refresh: &[u8]) -> [Shown; 2] {
        let bound = self.order.token.as_bytes();
        let assign = self.world.seal(ASSIGN, bound, assign, ASSIGN_SIZE);
        let refresh = self.world.seal(REFRESH, LEASE.bytes(), refresh, REFRESH_SIZE);
        [
            self.world.carry_out(assign, &self.order, NOW),
            self.world.extend(refresh, World::extension_order(&[]), NOW),
        ]
    }
}

/// Why both were refused; without a grant.
fn refusals(shown: &[Shown; 2]) -> [Option<Refusal>; 2] {
    shown.each_ref().map(Shown::refusal)
}

#[test]
fn a_token_names_a_device_of_its_askers_only() {
    let mut asker = Asker::new();
    let keys = KeySet::from(asker.world.mint.minting_key());
    for (named, holder, held) in [
        (device(), device(), true),
        (other_device(), device(), false),
        (device(), other_device(), false),
        (other_device(), other_device(), true),
    ] {
        asker.name(&named);
        let shown = asker.ask_as(&holder);
        let expected = (!held).then_some(Refusal::Device);
        assert_eq!(refusals(&shown), [expected; 2]);
        if held {
            for shown in shown {
                let dat = Dat::verify(shown.minted().dat.as_str(), &keys, NOW).unwrap();
                assert!(dat.is_for(&named.public()));
            }
        }
    }
}

#[test]
fn a_device_proof_does_for_one_request() {
    let asker = Asker::new();
    asker.world.look();
    assert_eq!(refusals(&asker.ask_as(&device())), [None; 2]);
    // To the byte what was granted, sealed once more by somebody who got to know it.
    let seen = asker.world.look();
    let (assign, refresh) = (&seen[0], &seen[2]);
    assert_eq!(refusals(&asker.ask(assign, refresh)), [Some(Refusal::Device); 2]);
    // Nor is the proof of the one request any good in the other.
    let proof = |content: &[u8]| -> Value {
        serde_json::from_slice::<Value>(content).unwrap()["device_proof"].take()
    };
    let moved = |content: &[u8], proof| {
        let mut content: Value = serde_json::from_slice(content).unwrap();
        content["device_proof"] = proof;
        content.to_string()
    };
    let (one, other) = (moved(assign, proof(refresh)), moved(refresh, proof(assign)));
    let shown = asker.ask(one.as_bytes(), other.as_bytes());
    assert_eq!(refusals(&shown), [Some(Refusal::Device); 2]);
}

#[test]
fn what_is_no_device_proof_is_refused_like_a_wrong_one() {
    let asker = Asker::new();
    let contents = [asker.assign.encode().unwrap(), asker.refresh.encode().unwrap()];
    let all = [
        None,
        Some(Value::Null),
        Some(json!(7)),
        Some(json!([1, 2])),
        Some(json!({"proof": "AA"})),
        Some(json!("")),
        Some(json!("?")),
        Some(json!("A".repeat(42))),
        Some(json!("A".repeat(43))),
        Some(json!("A".repeat(44))),
        Some(json!("A".repeat(43) + "=")),
        Some(json!("00".repeat(32))),
    ];
    for proof in all {
        let [assign, refresh] = contents.each_ref().map(|content| {
            let mut content: Value = serde_json::from_slice(content).unwrap();
            if let Some(proof) = &proof {
                content["device_proof"] = proof.clone();
            }
            content.to_string()
        });
        let shown = asker.ask(assign.as_bytes(), refresh.as_bytes());
        assert_eq!(refusals(&shown), [Some(Refusal::Device); 2], "{proof:?}");
    }
}
