//! What is configured from outside: the provider's file, the boot configuration, what an enclave serves, and the
//! problems that other services answer. The first byte says which.

use std::sync::LazyLock;

use attested::{EnclavePin, Pcr, Provider, Served, SignedProvider, Urls};
use http_client::ReceivedProblem;
use jws::Claims as _;
use nitro::{DevelopmentAuthority, DocumentFields};
use wire::BootConfiguration;

use crate::fixture::{self, NOW, Role, key};
use crate::input::{byte, tagged};

/// Reads one of them.
pub(crate) fn check(input: &[u8]) {
    let Some((kind, rest)) = byte(input) else { return };
    match kind % 5 {
        0 => file(rest),
        1 => signed(rest),
        2 => boot(rest),
        3 => served(rest),
        _ => problem(rest),
    }
}

/// A provider's file as it comes.
fn file(rest: &[u8]) {
    let Ok(file) = SignedProvider::parse(rest) else { return };
    let text = file.to_json().expect("it was read");
    let again = SignedProvider::parse(text.as_bytes()).expect("it was written");
    assert_eq!(again, file);
    assert_eq!(again.verify(), file.verify());
}

/// What a provider may say, signed, so that its reader is reached.
fn signed(rest: &[u8]) {
    let header = fixture::header(Role::Provider, Provider::TYPE);
    let token = fixture::jws(Role::Provider, header.as_bytes(), rest);
    let parts: Vec<&str> = token.split('.').collect();
    let text = serde_json::json!({
        "protected": parts[0],
        "header": {"jwk": key(Role::Provider).verifying_key()},
        "payload": parts[1],
        "signature": parts[2],
    });
    let file = SignedProvider::parse(text.to_string().as_bytes()).expect("the form is right");
    assert_eq!(file.signer(), key(Role::Provider).verifying_key().id());
    let Ok(provider) = file.verify() else { return };
    let boot = provider.enclave.boot_configuration().expect("it was checked");
    assert!(boot.issuer_name == provider.issuer_name && boot.origin == provider.origin);
    assert_eq!(provider.tree(boot.tree.purpose), Some(&boot.tree));
    assert!(provider.enclave.pcrs().contains_key(&0));
    let _ = provider.enclave.is_untrusted_development();
    if let Ok(again) = SignedProvider::sign(&provider, &key(Role::Provider)) {
        assert_eq!(again.verify().as_ref(), Ok(&provider), "signed again it says the same");
    }
}

fn boot(rest: &[u8]) {
    let Ok(boot) = serde_json::from_slice::<BootConfiguration>(rest) else { return };
    let written = serde_json::to_vec(&boot).expect("it was read");
    assert_eq!(serde_json::from_slice::<BootConfiguration>(&written).ok(), Some(boot));
    let minting = key(Role::Minting);
    let measured = BootConfiguration::user_data(rest, minting.verifying_key(), &[]);
    let spoilt = [rest, b" "].concat();
    assert_ne!(BootConfiguration::user_data(&spoilt, minting.verifying_key(), &[]), measured);
}

/// An enclave that is believed, and what it serves.
static ENCLAVE: LazyLock<(EnclavePin, Served)> = LazyLock::new(|| {
    let authority = DevelopmentAuthority::generate(NOW).expect("a root");
    let configuration = serde_json::to_string(&fixture::boot()).expect("JSON");
    let minting = key(Role::Minting).verifying_key().clone();
    let user_data = BootConfiguration::user_data(configuration.as_bytes(), &minting, &[]);
    let fields = DocumentFields {
        module_id: "test".into(),
        timestamp_ms: NOW.seconds() * 1000,
        pcrs: [(0, [7; 48])].into(),
        public_key: Some(vec![9; 32]),
        user_data: Some(user_data.to_vec()),
        nonce: Some(vec![5; 32]),
    };
    let document = authority.issue(NOW).and_then(|signer| signer.sign(&fields)).expect("signed");
    let pin = EnclavePin {
        root: authority.root_der().to_vec(),
        pcrs: [(0, Pcr([7; 48]))].into(),
        boot_configuration: configuration.clone(),
    };
    (pin, Served::new(document, configuration.into_bytes(), minting))
});

/// What an enclave serves is believed as it was measured, and not otherwise: the input is the configuration and the key.
fn served(rest: &[u8]) {
    let (pin, good) = &*ENCLAVE;
    assert!(good.verify(pin, &[5; 32], NOW).is_ok());
    assert!(good.verify(pin, rest, NOW).is_err() || *rest == [5; 32]);
    if let Ok(other) = serde_json::from_slice::<Served>(rest) {
        let written = serde_json::to_vec(&other).expect("it was read");
        assert_eq!(serde_json::from_slice::<Served>(&written).ok().as_ref(), Some(&other));
        let believed = other.verify(pin, &[5; 32], NOW).is_ok();
        assert_eq!(believed, other == *good, "the root signed nothing else");
        let mixed = Served {
            document: good.document.clone(),
            boot_configuration: other.boot_configuration.clone(),
            minting_key: other.minting_key.clone(),
            former_minting_keys: other.former_minting_keys.clone(),
        };
        let same = mixed.boot_configuration == good.boot_configuration
            && mixed.minting_key == good.minting_key
            && mixed.former_minting_keys == good.former_minting_keys;
        assert_eq!(mixed.verify(pin, &[5; 32], NOW).is_ok(), same);
    }
}

/// A failed answer always becomes a problem, with the status that it had.
fn problem(rest: &[u8]) {
    let Some((status, body)) = byte(rest) else { return };
    let status = 400 + u16::from(status) % 200;
    let response = http::Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .header("retry-after", body.len().to_string())
        .body(bytes::Bytes::copy_from_slice(body))
        .expect("a response");
    let problem = ReceivedProblem::from_response(&response);
    assert_eq!((problem.status, problem.retry_after), (status, u32::try_from(body.len()).ok()));
    assert!(problem.kind.ends_with(problem.slug()));
    assert!(problem.to_string().contains(&status.to_string()));
}

/// A provider's file that is all right.
pub(crate) fn provider() -> Provider {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    Provider {
        name: "Example".into(),
        urls: Urls {
            accounts: url(3004),
            blind_token_service: url(3001),
            enclave: url(3002),
            dip_service: url(3003),
            backup: Some(url(3007)),
        },
        issuer_name: fixture::ISSUER.into(),
        origin: fixture::ORIGIN.into(),
        trees: vec![fixture::pin()],
        enclave: EnclavePin {
            root: fixture::testdata("nitro/root-aws.der"),
            pcrs: [(0, Pcr([1; 48])), (8, Pcr([2; 48]))].into(),
            boot_configuration: serde_json::to_string(&fixture::boot()).expect("JSON"),
        },
        identity_endpoints: vec!["127.0.0.1:3004".into(), "accounts.example:443".into()],
        other_enclaves: Vec::new(),
        update: attested::Update::default(),
    }
}

/// It, signed.
pub(crate) fn provider_file() -> SignedProvider {
    SignedProvider::sign(&provider(), &key(Role::Provider)).expect("it is complete")
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let (_, served) = &*ENCLAVE;
    let mut claims = serde_json::to_value(provider()).expect("JSON");
    claims["iss"] = "provider".into();
    claims["aud"] = "client".into();
    let mut other = claims.clone();
    other["trees"][0]["first_epoch"] = 7.into();
    let problem = br#"{"type":"https://cloakroom.example/problems/pool-exhausted","title":"No address is free","status":503,"detail":"later"}"#;
    vec![
        tagged(0, provider_file().to_json().expect("JSON")),
        tagged(1, claims.to_string()),
        tagged(1, other.to_string()),
        tagged(2, serde_json::to_vec(&fixture::boot()).expect("JSON")),
        tagged(3, serde_json::to_vec(served).expect("JSON")),
        tagged(3, [5; 32]),
        tagged(4, tagged(103, problem)),
        tagged(4, tagged(4, b"<html>")),
    ]
}
