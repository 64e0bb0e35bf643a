//! Keys against pins: what verifies, and all that must not.

use blind_rsa::{KeyError, SPKI_LENGTH};
use coarse::Epoch;
use epoch_keys::{
    CommitmentTree, PinError, Proof, ProofError, Purpose, Root, SuccessorKey, TreePin,
};
use proptest::prelude::*;

use fixture::{FIRST, KEYS, tree};

#[cfg(test)]
mod fixture {
    use std::sync::LazyLock;

    use blind_rsa::{AwsLcSigner, RawSigner};
    use coarse::Epoch;
    use epoch_keys::{CommitmentTree, Purpose, TreePin};

    pub(super) const FIRST: u32 = 2_960;

    /// Three real keys.
    pub(super) static KEYS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
        [0, 1, 2].map(|_| AwsLcSigner::generate(2048).unwrap().public_key().spki())
    });

    /// A tree over the three keys, and its pin.
    pub(super) fn tree() -> (CommitmentTree, TreePin) {
        let (purpose, first_epoch) = (Purpose::DedicatedIp, Epoch::new(FIRST));
        let tree = CommitmentTree::build(purpose, first_epoch, &*KEYS).unwrap();
        let root = tree.root();
        (tree, TreePin { purpose, first_epoch, root })
    }
}

#[test]
fn every_committed_key_verifies() {
    let (tree, pin) = tree();
    for (epoch, spki) in (FIRST..).map(Epoch::new).zip(&*KEYS) {
        let key = pin.verify(epoch, spki, &tree.proof(epoch).unwrap()).unwrap();
        assert_eq!((key.purpose(), key.epoch()), (Purpose::DedicatedIp, epoch));
        assert_eq!(&key.public_key().spki(), spki);
        assert_eq!(*key.key_id(), privacy_pass::KeyId::of(key.public_key()));
        let expected = epoch_keys::challenge("i", "o", Purpose::DedicatedIp, epoch).unwrap();
        assert_eq!(key.challenge("i", "o").unwrap(), expected);
    }
}

#[test]
fn an_epoch_has_one_key() {
    let (tree, pin) = tree();
    // Whatever key and whatever honest proof: only the pair that belongs together verifies.
    for (wanted, epoch) in (FIRST..FIRST + 3).map(Epoch::new).enumerate() {
        for (offered, spki) in KEYS.iter().enumerate() {
            for other in (FIRST..FIRST + 3).map(Epoch::new) {
                let verified = pin.verify(epoch, spki, &tree.proof(other).unwrap());
                let right = wanted == offered && epoch == other;
                assert_eq!(verified.is_ok(), right, "{epoch} {offered} {other}");
                assert!(right || verified == Err(PinError::Proof));
            }
        }
    }
}

#[test]
fn another_purpose_tree_or_first_epoch_does_not_verify() {
    let (tree, pin) = tree();
    let epoch = Epoch::new(FIRST + 1);
    let proof = tree.proof(epoch).unwrap();
    let verify = |pin: TreePin| pin.verify(epoch, &KEYS[1], &proof).map(|key| key.epoch());
    assert_eq!(verify(pin), Ok(epoch));
    assert_eq!(verify(TreePin { purpose: Purpose::Access, ..pin }), Err(PinError::Proof));
    for first in [FIRST - 1, FIRST + 1] {
        let moved = TreePin { first_epoch: Epoch::new(first), ..pin };
        assert_eq!(verify(moved), Err(PinError::Proof));
    }
    let root = Root::from_bytes([7; 32]);
    assert_eq!(verify(TreePin { root, ..pin }), Err(PinError::Proof));
}

#[test]
fn epochs_outside_the_tree_are_refused() {
    let (tree, pin) = tree();
    let proof = tree.successor_proof();
    for outside in [FIRST - 1, FIRST + 65_535, FIRST + 65_536, 0, u32::MAX] {
        let refused = pin.verify(Epoch::new(outside), &KEYS[0], &proof);
        assert_eq!(refused, Err(PinError::Epoch), "{outside}");
    }
    // Inside, but empty.
    let empty = Epoch::new(FIRST + 65_534);
    assert_eq!(tree.proof(empty), None);
    assert_eq!(pin.verify(empty, &KEYS[0], &proof), Err(PinError::Proof));
}

#[test]
fn a_committed_key_must_be_sound_too() {
    // Even; a byte of the algorithm changed; nothing like a key.
    let mut even = KEYS[0].clone();
    even[336] &= 0xfe;
    let mut other = KEYS[0].clone();
    other[20] ^= 1;
    let keys = [even, other, vec![0; SPKI_LENGTH]];
    let (purpose, first_epoch) = (Purpose::Access, Epoch::new(1));
    let tree = CommitmentTree::build(purpose, first_epoch, &keys).unwrap();
    let pin = TreePin { purpose, first_epoch, root: tree.root() };
    for ((epoch, spki), error) in (1..).map(Epoch::new).zip(&keys).zip([
        KeyError::Size,
        KeyError::Encoding,
        KeyError::Encoding,
    ]) {
        let refused = pin.verify(epoch, spki, &tree.proof(epoch).unwrap());
        assert_eq!(refused, Err(PinError::Key(error)));
    }
}

#[test]
fn a_successor_is_no_epoch_and_no_epoch_a_successor() {
    let (purpose, first_epoch) = (Purpose::Renewal, Epoch::new(10));
    let successor = SuccessorKey::from_bytes([3; 32]);
    let tree =
        CommitmentTree::with_successor(purpose, first_epoch, &*KEYS, Some(&successor)).unwrap();
    let pin = TreePin { purpose, first_epoch, root: tree.root() };
    let proof = tree.successor_proof();
    assert_eq!(pin.verify_successor(&successor, &proof), Ok(()));
    let another = SuccessorKey::from_bytes([4; 32]);
    assert_eq!(pin.verify_successor(&another, &proof), Err(PinError::Proof));
    let last = Epoch::new(10 + 65_535);
    assert_eq!(pin.verify(last, successor.as_bytes(), &proof), Err(PinError::Epoch));
    assert!(pin.verify(Epoch::new(12), &KEYS[2], &tree.proof(Epoch::new(12)).unwrap()).is_ok());
    let (without, pin) = fixture::tree();
    assert!(pin.verify_successor(&successor, &without.successor_proof()).is_err());
}

#[test]
fn pins_and_proofs_have_one_text_form() {
    let (tree, pin) = tree();
    let json = serde_json::to_value(pin).unwrap();
    assert_eq!(json["purpose"], "dedicated-ip");
    assert_eq!(json["first_epoch"], FIRST);
    assert_eq!(json["root"], pin.root.to_string());
    assert_eq!(json["root"].as_str().unwrap().len(), 64);
    assert_eq!(serde_json::from_value::<TreePin>(json).unwrap(), pin);

    let proof = tree.proof(Epoch::new(FIRST)).unwrap();
    let bytes = proof.to_bytes();
    assert_eq!(bytes.len(), Proof::LENGTH);
    assert_eq!(Proof::from_bytes(&bytes).as_ref(), Ok(&proof));
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<Proof>(&json).unwrap(), proof);
    for wrong in [&bytes[..511], &bytes[..480], &[&bytes[..], &[0; 32]].concat(), &[]] {
        assert_eq!(Proof::from_bytes(wrong), Err(ProofError));
    }
    assert!(serde_json::from_str::<Proof>("\"AAAA\"").is_err());
    assert!("00".parse::<Root>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_spoilt_proof_does_not_verify(position in 0..Proof::LENGTH, flip in 1..=255u8) {
        let (tree, pin) = tree();
        let epoch = Epoch::new(FIRST + 2);
        let mut bytes = tree.proof(epoch).unwrap().to_bytes();
        bytes[position] ^= flip;
        let spoilt = Proof::from_bytes(&bytes).unwrap();
        prop_assert_eq!(pin.verify(epoch, &KEYS[2], &spoilt), Err(PinError::Proof));
    }

    #[test]
    fn a_spoilt_key_does_not_verify(position in 0..SPKI_LENGTH, flip in 1..=255u8) {
        let (tree, pin) = tree();
        let epoch = Epoch::new(FIRST);
        let mut spki = KEYS[0].clone();
        spki[position] ^= flip;
        let refused = pin.verify(epoch, &spki, &tree.proof(epoch).unwrap());
        prop_assert_eq!(refused, Err(PinError::Proof));
    }
}
