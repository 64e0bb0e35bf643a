//! A provider's file: signed by the key that it names, complete, and in agreement with itself.

use attested::{EnclavePin, Pcr, Provider, ProviderError, SignedProvider, Urls};
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
        }
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

use fixture::{boot, file, key, other_token, provider, refused, tree, verify};

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
