//! A provider's file: signed by the key that it names, complete, and in agreement with itself.

use attested::{EnclavePin, Pcr, Provider, ProviderError, SignedProvider, Update, Urls};
use coarse::{Epoch, Secret};
use epoch_keys::{Purpose, Root, TreePin};
use jws::{KeySet, SigningKey};
use serde_json::Value;
use wire::BootConfiguration;

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
    }

    pub(super) fn tree(purpose: Purpose) -> TreePin {
        TreePin { purpose, first_epoch: Epoch::new(2_968), root: Root::from_bytes([7; 32]) }
    }

    pub(super) fn boot() -> BootConfiguration {
        BootConfiguration {
            srt_keys: KeySet::from(key(1).verifying_key()),
            issuance_keys: KeySet::from(key(2).verifying_key()),
            refused_minting_keys: vec![],
            order_keys: KeySet::from(key(3).verifying_key()),
            issuer_name: "issuer.example".into(),
            origin: "dip.example".into(),
            tree: tree(Purpose::DedicatedIp),
        }
    }

    pub(super) fn provider() -> Provider {
        let url = |name: &str| format!("https://{name}.example");
        Provider {
            name: "Example".into(),
            urls: Urls {
                accounts: url("accounts"),
                blind_token_service: url("issuer"),
                enclave: url("enclave"),
                dip_service: url("dip"),
                backup: None,
            },
            issuer_name: "issuer.example".into(),
            origin: "dip.example".into(),
            trees: vec![tree(Purpose::Access), tree(Purpose::DedicatedIp)],
            enclave: EnclavePin {
                root: vec![1, 2, 3],
                pcrs: [(0, Pcr([4; 48]))].into(),
                boot_configuration: serde_json::to_string(&boot()).unwrap(),
            },
            identity_endpoints: vec!["accounts.example:443".into()],
            other_enclaves: vec![],
            update: Update::default(),
        }
    }

    /// A file of the provider's, changed, signed by this key.
    pub(super) fn signed(signer: u8, change: impl Fn(&mut Provider)) -> SignedProvider {
        let mut provider = provider();
        change(&mut provider);
        SignedProvider::sign(&provider, &key(signer)).unwrap()
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Other {
        lease: u8,
    }

    impl jws::Claims for Other {
        const TYPE: &'static str = "other+jwt";
    }

    /// Signed by the provider's key, for something else.
    pub(super) fn other_token() -> jws::Compact {
        jws::sign(&key(9), "provider", &["client"], None, &Other { lease: 1 }).unwrap()
    }

    /// A good file as JSON, to be spoilt.
    pub(super) fn file() -> Value {
        let signed = SignedProvider::sign(&provider(), &key(9)).unwrap();
        serde_json::from_str(&signed.to_json().unwrap()).unwrap()
    }

    pub(super) fn verify(file: &Value) -> Result<Provider, ProviderError> {
        SignedProvider::parse(file.to_string().as_bytes())?.verify()
    }

    /// What a file is refused for whose content was right before `spoil` had it.
    pub(super) fn refused(spoil: impl FnOnce(&mut Provider)) -> Option<ProviderError> {
        let mut provider = provider();
        spoil(&mut provider);
        let signing = SignedProvider::sign(&provider, &key(9)).err();
        // Somebody else's program might sign it all the same.
        let compact = jws::sign(&key(9), "provider", &["client"], None, &provider).unwrap();
        let mut parts = compact.as_str().split('.');
        let mut forged = file();
        for name in ["protected", "payload", "signature"] {
            forged[name] = parts.next().unwrap().into();
        }
        assert_eq!(verify(&forged).err(), signing);
        signing
    }
}

use fixture::{boot, file, key, other_token, provider, refused, signed, tree, verify};

#[test]
fn a_file_says_what_was_signed_and_by_whom() {
    let signed = SignedProvider::sign(&provider(), &key(9)).unwrap();
    let again = SignedProvider::parse(signed.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again, signed);
    assert_eq!(again.verify().unwrap(), provider());
    assert_eq!(again.signer(), key(9).verifying_key().id());
    let provider = again.verify().unwrap();
    assert_eq!(provider.enclave.boot_configuration().unwrap(), boot());
    assert_eq!(provider.tree(Purpose::Access), Some(&tree(Purpose::Access)));
    assert_eq!(provider.tree(Purpose::Renewal), None);
}

#[test]
fn every_spoilt_character_of_the_signed_parts_is_noticed() {
    for name in ["protected", "payload", "signature"] {
        let text = file()[name].as_str().unwrap().to_owned();
        for place in (0..text.len()).step_by(37).chain([text.len() - 1]) {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let mut file = file();
            file[name] = String::from_utf8(bytes).unwrap().into();
            let refused = verify(&file).unwrap_err();
            assert!(matches!(refused, ProviderError::Signature(_)), "{name} {place}: {refused}");
        }
    }
}

#[test]
fn the_key_is_the_one_that_signed() {
    let jwk = |seed| serde_json::to_value(key(seed).verifying_key()).unwrap();
    let mut other = file();
    other["header"]["jwk"] = jwk(8);
    assert_eq!(verify(&other), Err(ProviderError::Signature(jws::Error::UnknownKey)));
    // Under the former key's name.
    other["header"]["jwk"]["kid"] = jwk(9)["kid"].clone();
    assert_eq!(verify(&other), Err(ProviderError::Form));
}

#[test]
fn another_kind_of_token_is_no_file() {
    let stranger = other_token();
    let mut parts = stranger.as_str().split('.');
    let mut other = file();
    for name in ["protected", "payload", "signature"] {
        other[name] = parts.next().unwrap().into();
    }
    assert_eq!(verify(&other), Err(ProviderError::Signature(jws::Error::Type)));
}

#[test]
fn another_form_is_refused() {
    for text in ["", "{}", "[]", "null", "a.b.c", "{\"payload\": \"\"}"] {
        assert_eq!(SignedProvider::parse(text.as_bytes()), Err(ProviderError::Form), "{text}");
    }
    let without = |name: &str| {
        let mut file = file();
        file.as_object_mut().unwrap().remove(name);
        SignedProvider::parse(file.to_string().as_bytes()).err()
    };
    for name in ["protected", "payload", "signature", "header"] {
        assert_eq!(without(name), Some(ProviderError::Form), "{name}");
    }
    let good = file().to_string();
    assert!(SignedProvider::parse(good.as_bytes()).is_ok());
    assert_eq!(SignedProvider::parse(format!("{good}{good}").as_bytes()), Err(ProviderError::Form));
}

#[test]
fn content_that_contradicts_itself_is_neither_signed_nor_taken() {
    assert_eq!(refused(|_| {}), None);
    let content = Some(ProviderError::Content);
    assert_eq!(refused(|provider| provider.issuer_name.push('x')), content);
    assert_eq!(refused(|provider| provider.origin.push('x')), content);
    assert_eq!(refused(|provider| provider.trees[1].root = Root::from_bytes([8; 32])), content);
    assert_eq!(refused(|provider| provider.trees[1].first_epoch = Epoch::new(1)), content);
    assert_eq!(refused(|provider| provider.trees.truncate(1)), content);
    assert_eq!(refused(|provider| provider.trees.push(tree(Purpose::Access))), content);
    assert_eq!(refused(|provider| provider.trees.push(tree(Purpose::DedicatedIp))), content);
    assert_eq!(refused(|provider| provider.enclave.pcrs.clear()), content);
    let only_another = |provider: &mut Provider| {
        provider.enclave.pcrs = [(1, Pcr([4; 48]))].into();
    };
    assert_eq!(refused(only_another), content);
    for text in ["", "{}", "null"] {
        let boot = |provider: &mut Provider| provider.enclave.boot_configuration = text.into();
        assert_eq!(refused(boot), content, "{text:?}");
    }
    // A tree for another purpose in the place of the dedicated addresses'.
    let other_purpose = |provider: &mut Provider| {
        let boot = BootConfiguration { tree: tree(Purpose::Access), ..boot() };
        provider.enclave.boot_configuration = serde_json::to_string(&boot).unwrap();
    };
    assert_eq!(refused(other_purpose), content);
}

/// Files of before there was one say nothing of it, and what they say is written as it was.
#[test]
fn a_backup_service_may_be_named_or_not() {
    let without = provider();
    assert!(!serde_json::to_string(&without).unwrap().contains("backup"));
    assert_eq!(verify(&file()), Ok(without));
    let url = "https://backup.example".to_owned();
    let named = signed(9, |provider| provider.urls.backup = Some(url.clone()));
    assert_eq!(named.verify().unwrap().urls.backup, Some(url));
}

#[test]
fn an_older_file_never_follows_a_newer_one() {
    let numbered = |serial| signed(9, move |provider| provider.update.serial = serial);
    let trusted = numbered(7);
    assert_eq!(trusted.may_follow(&trusted), Ok(()), "the same one again");
    assert_eq!(numbered(8).may_follow(&trusted), Ok(()));
    let older = ProviderError::Older { given: 6, trusted: 7 };
    assert_eq!(numbered(6).may_follow(&trusted), Err(older));
    let other = signed(9, |provider| {
        provider.update.serial = 7;
        provider.name = "Another".into();
    });
    assert_eq!(other.may_follow(&trusted), Err(ProviderError::Equivocation));
    // A file without a number is as old as can be.
    assert!(signed(9, |_| {}).may_follow(&trusted).is_err());
}

#[test]
fn only_the_named_successor_takes_a_signers_place_and_it_stays_named() {
    let successor = |number: u8| Some(key(number).verifying_key().id().clone());
    let with = |signer, serial, named: Option<jws::KeyId>| {
        signed(signer, move |provider| {
            provider.update.serial = serial;
            provider.update.successor = named.clone();
        })
    };
    let trusted = with(9, 7, successor(10));
    assert_eq!(with(11, 8, None).may_follow(&trusted), Err(ProviderError::OtherSigner));
    // The successor counts from the beginning, and the former signer is never taken back.
    let moved = with(10, 1, successor(12));
    assert_eq!(moved.may_follow(&trusted), Ok(()));
    let back = with(9, 99, successor(10));
    assert_eq!(back.may_follow(&moved), Err(ProviderError::OtherSigner));
    // A thief of the signer's key can't put a successor of his own in the place of the one that was named, nor drop it.
    for stolen in [with(9, 8, successor(11)), with(9, 8, None)] {
        assert_eq!(stolen.may_follow(&trusted), Err(ProviderError::OtherSuccessor));
    }
    assert_eq!(with(9, 8, successor(10)).may_follow(&trusted), Ok(()));
    assert_eq!(trusted.may_follow(&with(9, 1, None)), Ok(()), "naming one for the first time");
}

#[test]
fn every_enclave_that_is_named_must_fit_the_file() {
    let with = |spoil: fn(&mut EnclavePin)| {
        refused(|provider| {
            let mut other = provider.enclave.clone();
            spoil(&mut other);
            provider.other_enclaves.push(other);
        })
    };
    assert_eq!(with(|_| {}), None);
    assert_eq!(with(|other| other.pcrs.clear()), Some(ProviderError::Content));
    assert_eq!(with(|other| other.boot_configuration = "{}".into()), Some(ProviderError::Content));
    let elsewhere = |other: &mut EnclavePin| {
        let mut boot = boot();
        boot.origin = "elsewhere.example".into();
        other.boot_configuration = serde_json::to_string(&boot).unwrap();
    };
    assert_eq!(with(elsewhere), Some(ProviderError::Content));
}

#[test]
fn receipts_of_issuance_are_good_for_any_of_the_enclaves() {
    let mut provider = provider();
    let mut other = boot();
    other.issuance_keys = KeySet::from(key(20).verifying_key());
    let mut pin = provider.enclave.clone();
    pin.boot_configuration = serde_json::to_string(&other).unwrap();
    provider.other_enclaves.push(pin);
    let keys = provider.issuance_keys().unwrap();
    for number in [2, 20] {
        assert!(keys.get(key(number).verifying_key().id().as_str()).is_some(), "{number}");
    }
}

#[test]
fn a_file_ends_when_it_says_so() {
    let mut provider = provider();
    let at = coarse::UnixTime::from_seconds;
    assert!(!provider.has_expired(at(u64::MAX)));
    provider.update.expires = Some(at(100));
    assert!(!provider.has_expired(at(99)) && provider.has_expired(at(100)));
}
