//! What an enclave must show to be believed: everything is right, and then one thing isn't.

use std::collections::BTreeMap;
use std::time::Duration;

use attested::{AttestationError, Attested, EnclavePin, NONCE_LEN, Pcr, Served};
use coarse::{Secret, UnixTime};
use encoding::Base64Url;
use jws::{SigningKey, VerifyingKey};
use nitro::{DevelopmentAuthority, DocumentFields};
use wire::BootConfiguration;

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);
    pub(super) const NONCE: [u8; NONCE_LEN] = [3; NONCE_LEN];
    pub(super) const CONFIGURATION: &str = r#"{"any": "text"}"#;
    const PCR0: [u8; 48] = [4; 48];

    pub(super) fn minting_key(seed: u8) -> VerifyingKey {
        SigningKey::from_seed(&Secret::new([seed; 32])).unwrap().verifying_key().clone()
    }

    /// An enclave's answer and what it is held against.
    pub(super) struct Room {
        pub(super) authority: DevelopmentAuthority,
        pub(super) fields: DocumentFields,
        pub(super) pin: EnclavePin,
        pub(super) nonce: Vec<u8>,
        pub(super) now: UnixTime,
    }

    pub(super) fn room() -> Room {
        let authority = DevelopmentAuthority::generate(NOW).unwrap();
        let measured = BootConfiguration::user_data(CONFIGURATION.as_bytes(), &minting_key(1), &[]);
        let fields = DocumentFields {
            module_id: "i-0-enc0".into(),
            timestamp_ms: NOW.seconds() * 1000,
            pcrs: [(0, PCR0), (8, [8; 48])].into(),
            public_key: Some(vec![9; 32]),
            user_data: Some(measured.to_vec()),
            nonce: Some(NONCE.to_vec()),
        };
        let pin = EnclavePin {
            root: authority.root_der().to_vec(),
            pcrs: BTreeMap::from([(0, Pcr(PCR0))]),
            boot_configuration: CONFIGURATION.into(),
        };
        Room { authority, fields, pin, nonce: NONCE.to_vec(), now: NOW }
    }

    impl Room {
        pub(super) fn served(&self) -> Served {
            let document = self.authority.issue(NOW).unwrap().sign(&self.fields).unwrap();
            Served::new(document, CONFIGURATION.into(), minting_key(1))
        }

        pub(super) fn verify(&self, served: &Served) -> Result<Attested, AttestationError> {
            served.verify(&self.pin, &self.nonce, self.now).map(|(attested, _)| attested)
        }
    }

    /// The refusal of an answer that was right before `spoil` had the room.
    pub(super) fn refused(spoil: impl FnOnce(&mut Room)) -> Option<AttestationError> {
        let mut room = room();
        spoil(&mut room);
        room.verify(&room.served()).err()
    }

    /// Likewise, with what was served spoilt.
    pub(super) fn refused_served(spoil: impl FnOnce(&mut Served)) -> Option<AttestationError> {
        let room = room();
        let mut served = room.served();
        spoil(&mut served);
        room.verify(&served).err()
    }

    /// The name of the document's check that failed.
    pub(super) fn check(error: Option<AttestationError>) -> String {
        match error {
            Some(AttestationError::Document { check, .. }) => check,
            other => panic!("no check of the document failed: {other:?}"),
        }
    }
}

use fixture::{CONFIGURATION, NOW, check, minting_key, refused, refused_served, room};

#[test]
fn an_honest_enclave_is_believed() {
    let room = room();
    let served = room.served();
    let (attested, report) = served.verify(&room.pin, &room.nonce, room.now).unwrap();
    assert!(report.ok());
    assert_eq!(attested.sealing_key.bytes(), &[9; 32]);
    assert_eq!(attested.minting_keys, (&minting_key(1)).into());
    assert_eq!(attested.timestamp_ms, NOW.seconds() * 1000);
}

#[test]
fn the_nonce_is_the_one_that_was_sent() {
    assert_eq!(check(refused(|room| room.nonce = vec![4; 32])), "nonce");
    assert_eq!(check(refused(|room| room.fields.nonce = None)), "nonce");
}

#[test]
fn a_document_is_five_minutes_old_at_most() {
    let at = |seconds| refused(|room| room.now = NOW.plus(Duration::from_secs(seconds)));
    assert_eq!(at(300), None);
    assert_eq!(check(at(301)), "age");
    let early = refused(|room| room.now = NOW.minus(Duration::from_secs(50)));
    assert_eq!(early, None);
}

#[test]
fn the_program_is_the_pinned_one() {
    assert_eq!(check(refused(|room| room.pin.pcrs = [(0, Pcr([5; 48]))].into())), "pcr-0");
    let also = refused(|room| {
        room.pin.pcrs.insert(8, Pcr([7; 48]));
    });
    assert_eq!(check(also), "pcr-8");
    let missing = refused(|room| {
        room.pin.pcrs.insert(2, Pcr([7; 48]));
    });
    assert_eq!(check(missing), "pcr-2");
    // In debug mode, even if somebody pinned it.
    let debug = refused(|room| {
        room.fields.pcrs = [(0, [0; 48])].into();
        room.pin.pcrs = [(0, Pcr([0; 48]))].into();
    });
    assert_eq!(check(debug), "debug-mode");
}

#[test]
fn the_root_is_the_pinned_one() {
    let other = DevelopmentAuthority::generate(NOW).unwrap().root_der().to_vec();
    assert_eq!(check(refused(|room| room.pin.root = other)), "root");
    assert_eq!(check(refused(|room| room.pin.root = vec![])), "root");
}

#[test]
fn the_configuration_is_the_pinned_one_to_the_byte() {
    let configuration = Some(AttestationError::Configuration);
    let served = refused_served(|served| served.boot_configuration.0.push(b' '));
    assert_eq!(served, configuration);
    let pinned = refused(|room| room.pin.boot_configuration.push(' '));
    assert_eq!(pinned, configuration);
    // Pinned and served alike, and not what the enclave measured.
    let changed = CONFIGURATION.replace("any", "new");
    let mut room = room();
    room.pin.boot_configuration.clone_from(&changed);
    let mut served = room.served();
    served.boot_configuration = Base64Url(changed.into());
    assert_eq!(room.verify(&served).err(), Some(AttestationError::Measured));
}

#[test]
fn the_minting_key_is_the_measured_one() {
    let swapped = refused_served(|served| served.minting_key = minting_key(2));
    assert_eq!(swapped, Some(AttestationError::Measured));
}

#[test]
fn a_document_without_user_data_vouches_for_no_key() {
    let measured = Some(AttestationError::Measured);
    assert_eq!(refused(|room| room.fields.user_data = None), measured);
    assert_eq!(refused(|room| room.fields.user_data = Some(vec![])), measured);
    assert_eq!(refused(|room| room.fields.user_data = Some(vec![0; 32])), measured);
}

#[test]
fn the_sealing_key_has_32_bytes() {
    for key in [None, Some(vec![9; 31]), Some(vec![9; 33])] {
        let refused = refused(|room| room.fields.public_key = key);
        assert_eq!(refused, Some(AttestationError::NoKey));
    }
}

#[test]
fn a_spoilt_document_is_none() {
    for part in 0..8 {
        let refused = refused_served(|served| {
            let document = &mut served.document.0;
            let place = (document.len() - 1) * part / 7;
            document[place] ^= 1;
        });
        assert!(matches!(refused, Some(AttestationError::Document { .. })), "{part}/7");
    }
    let empty = refused_served(|served| served.document.0.clear());
    assert_eq!(check(empty), "cbor");
}

#[test]
fn what_is_served_passes_through_json() {
    let served = room().served();
    let text = serde_json::to_string(&served).unwrap();
    assert_eq!(serde_json::from_str::<Served>(&text).unwrap(), served);
}
