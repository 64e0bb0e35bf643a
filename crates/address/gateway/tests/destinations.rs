//! Identity services are out of every peer's reach.

use attested::{EnclavePin, Provider, Update, Urls};
use gateway::refused_destinations;
use tunnel::{DestinationPolicy, Refusal};

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn provider(accounts: &str, endpoints: &[&str]) -> Provider {
        Provider {
            name: "test".into(),
            urls: Urls {
                accounts: accounts.into(),
                blind_token_service: "http://127.0.0.1:3001".into(),
                enclave: "http://127.0.0.1:3002".into(),
                dip_service: "http://127.0.0.1:3003".into(),
                backup: None,
            },
            issuer_name: "issuer.example".into(),
            origin: "dip.example".into(),
            trees: vec![],
            enclave: EnclavePin {
                root: vec![],
                pcrs: [].into(),
                boot_configuration: String::new(),
            },
            identity_endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            other_enclaves: vec![],
            update: Update::default(),
        }
    }
}

use fixture::provider;

#[tokio::test]
async fn identity_services_are_refused_in_local_mode_too() {
    let provider = provider("http://localhost:3004", &["127.0.0.1:4000", "[::1]:4000"]);
    let policy =
        DestinationPolicy { local: true, never: refused_destinations(&provider).await.unwrap() };
    for refused in ["127.0.0.1:3001", "127.0.0.1:3004", "127.0.0.1:4000", "[::1]:4000"] {
        assert_eq!(policy.check(refused.parse().unwrap()), Err(Refusal::Never), "{refused}");
    }
    assert_eq!(policy.check("127.0.0.1:3003".parse().unwrap()), Ok(()));
}

#[tokio::test]
async fn what_cannot_be_resolved_is_an_error() {
    for provider in [
        provider("http://localhost:3004", &["no port"]),
        provider("http://localhost:3004", &["host.invalid:80"]),
        provider("localhost", &[]),
    ] {
        assert!(refused_destinations(&provider).await.is_err());
    }
}
