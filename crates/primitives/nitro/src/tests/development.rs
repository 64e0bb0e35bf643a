//! The development authority's documents, before our own verifier.

use std::time::Duration;

use coarse::UnixTime;

use crate::{
    Attestation, CheckName, DevelopmentAuthority, DevelopmentError, DocumentFields, Expectations,
    LEAF_LIFE, Pcrs, Rejection, extended, is_untrusted_development, timestamp_ms, verify,
};

const NOW: UnixTime = UnixTime::from_seconds(1_795_219_200);

fn fields(now: UnixTime) -> DocumentFields {
    DocumentFields {
        module_id: "development-enclave".into(),
        timestamp_ms: now.seconds() * 1000 + 250,
        pcrs: Pcrs::from([(0, extended(b"image")), (1, extended(b"kernel")), (16, [0; 48])]),
        public_key: Some(vec![4; 32]),
        user_data: Some(vec![]),
        nonce: None,
    }
}

fn expecting(fields: &DocumentFields) -> Expectations {
    Expectations {
        nonce: fields.nonce.clone(),
        public_key: fields.public_key.clone(),
        user_data: fields.user_data.clone(),
        pcrs: fields.pcrs.clone(),
        max_age: Some(Duration::from_secs(300)),
        allow_debug: false,
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_document_says_what_was_signed() {
    let authority = DevelopmentAuthority::generate(NOW).unwrap();
    let fields = fields(NOW);
    let document = authority.issue(NOW).unwrap().sign(&fields).unwrap();
    let Attestation { module_id, timestamp_ms, pcrs, public_key, user_data, nonce, .. } =
        verify(&document, authority.root_der(), NOW, &expecting(&fields)).unwrap();
    assert_eq!(
        fields,
        DocumentFields { module_id, timestamp_ms, pcrs, public_key, user_data, nonce }
    );
}

#[test]
fn the_root_says_that_it_is_for_development() {
    let authority = DevelopmentAuthority::generate(NOW).unwrap();
    assert!(is_untrusted_development(authority.root_der()));
    assert!(!is_untrusted_development(&authority.root_der()[1..]));
}

#[test]
fn an_authority_survives_a_restart() {
    let before = DevelopmentAuthority::generate(NOW).unwrap();
    let after = DevelopmentAuthority::from_bytes(&before.to_bytes().unwrap()).unwrap();
    let later = NOW.plus(seconds(30 * 86_400));
    let document = after.issue(later).unwrap().sign(&fields(later)).unwrap();
    verify(&document, before.root_der(), later, &Expectations::default()).unwrap();
}

#[test]
fn a_damaged_authority_is_refused() {
    let [one, other] =
        [0, 1].map(|_| DevelopmentAuthority::generate(NOW).unwrap().to_bytes().unwrap());
    let root_end = 2 + usize::from(u16::from_be_bytes([one[0], one[1]]));
    let refused = |bytes: &[u8]| DevelopmentAuthority::from_bytes(bytes).err();
    for cut in 0..one.len() {
        assert!(refused(&one[..cut]).is_some(), "{cut}");
    }
    let other_key = &other[2 + usize::from(u16::from_be_bytes([other[0], other[1]]))..];
    let mixed = [&one[..root_end], other_key].concat();
    assert!(matches!(refused(&mixed), Some(DevelopmentError::PrivateKey)));
}

#[test]
fn another_authoritys_document_is_refused() {
    let [one, other] = [0, 1].map(|_| DevelopmentAuthority::generate(NOW).unwrap());
    let document = one.issue(NOW).unwrap().sign(&fields(NOW)).unwrap();
    let refused = verify(&document, other.root_der(), NOW, &Expectations::default());
    assert_eq!(refused.unwrap_err().check, CheckName::Root);
}

#[test]
fn clocks_may_differ_by_a_minute() {
    let authority = DevelopmentAuthority::generate(NOW).unwrap();
    let mut fields = fields(NOW);
    fields.timestamp_ms = NOW.seconds() * 1000;
    let document = authority.issue(NOW).unwrap().sign(&fields).unwrap();
    let at = |at: UnixTime| verify(&document, authority.root_der(), at, &Expectations::default());
    assert!(at(NOW.minus(seconds(60))).is_ok());
    assert!(at(NOW.minus(seconds(61))).is_err());
    assert!(at(NOW.plus(LEAF_LIFE)).is_ok());
    let Rejection { check, .. } = at(NOW.plus(LEAF_LIFE).plus(seconds(1))).unwrap_err();
    assert_eq!(check, CheckName::CertificateChain);
}

#[test]
fn a_document_tells_its_time_unverified() {
    let authority = DevelopmentAuthority::generate(NOW).unwrap();
    let fields = fields(NOW);
    let document = authority.issue(NOW).unwrap().sign(&fields).unwrap();
    assert_eq!(timestamp_ms(&document), Some(fields.timestamp_ms));
    assert_eq!(timestamp_ms(&document[1..]), None);
}

#[test]
fn what_is_no_document_is_not_signed() {
    let signer = DevelopmentAuthority::generate(NOW).unwrap().issue(NOW).unwrap();
    let spoil: [fn(&mut DocumentFields); 6] = [
        |fields| fields.module_id.clear(),
        |fields| fields.timestamp_ms = 0,
        |fields| fields.pcrs.clear(),
        |fields| fields.public_key = Some(vec![]),
        |fields| fields.user_data = Some(vec![0; 1025]),
        |fields| fields.nonce = Some(vec![0; 1025]),
    ];
    for spoil in spoil {
        let mut fields = fields(NOW);
        spoil(&mut fields);
        assert!(matches!(signer.sign(&fields), Err(DevelopmentError::Fields(_))), "{fields:?}");
    }
}
