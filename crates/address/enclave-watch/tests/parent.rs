//! A parent on loopback with documents under a development root: what is believed, and when it is asked again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attested::{AttestationError, EnclavePin, Pcr, Served};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use coarse::{Clock, FixedClock, Secret, UnixTime};
use enclave_watch::{AttestError, EnclaveWatch, ParentAttestor, Unverified};
use jws::{KeySet, SigningKey};
use nitro::{DevelopmentAuthority, DocumentFields};
use serde::Deserialize;
use service::{BaseUrl, ClientConfig, HttpClient, Json, Problem, ServeConfig, Server};
use tokio::sync::oneshot;
use wire::BootConfiguration;

#[cfg(test)]
mod fixture {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);
    const CONFIGURATION: &str = "{}";
    const PCR: [u8; 48] = [4; 48];

    pub(super) fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
    }

    /// What the parent answers.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Mood {
        Down,
        Honest,
        /// Another minting key beside a genuine document.
        OtherKey,
        /// A genuine document for another nonce.
        OtherNonce,
        OtherPcr,
    }

    pub(super) struct Parent {
        authority: DevelopmentAuthority,
        mood: Mutex<(Mood, u8)>,
        asked: AtomicUsize,
    }

    impl Parent {
        /// How it answers from now on, for a minting key of this seed.
        pub(super) fn set(&self, mood: Mood, seed: u8) {
            *self.mood.lock().unwrap() = (mood, seed);
        }

        pub(super) fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[derive(Deserialize)]
    struct Asked {
        nonce: String,
    }

    async fn attestation(
        State(parent): State<Arc<Parent>>,
        Query(asked): Query<Asked>,
    ) -> Result<Json<Served>, Problem> {
        parent.asked.fetch_add(1, Ordering::SeqCst);
        let (mood, seed) = *parent.mood.lock().unwrap();
        let key = signing_key(seed).verifying_key().clone();
        let configuration = CONFIGURATION.as_bytes();
        let nonce = hex::decode(asked.nonce).unwrap();
        let fields = DocumentFields {
            module_id: "i-0-enc0".into(),
            timestamp_ms: NOW.seconds() * 1000,
            pcrs: [(0, if mood == Mood::OtherPcr { [5; 48] } else { PCR })].into(),
            public_key: Some(vec![9; 32]),
            user_data: Some(BootConfiguration::user_data(configuration, &key, &[]).to_vec()),
            nonce: Some(if mood == Mood::OtherNonce { vec![1; 32] } else { nonce }),
        };
        let document = parent.authority.issue(NOW).unwrap().sign(&fields).unwrap();
        let shown =
            if mood == Mood::OtherKey { signing_key(99).verifying_key().clone() } else { key };
        match mood {
            Mood::Down => Err(Problem::internal()),
            _ => Ok(Json(Served::new(document, configuration.to_vec(), shown))),
        }
    }

    pub(super) struct Room {
        pub(super) parent: Arc<Parent>,
        pub(super) watch: EnclaveWatch<ParentAttestor>,
        _stop: oneshot::Sender<()>,
    }

    pub(super) async fn start() -> Room {
        let authority = DevelopmentAuthority::generate(NOW).unwrap();
        let pin = EnclavePin {
            root: authority.root_der().to_vec(),
            pcrs: BTreeMap::from([(0, Pcr(PCR))]),
            boot_configuration: CONFIGURATION.into(),
        };
        let mood = Mutex::new((Mood::Honest, 1));
        let parent = Arc::new(Parent { authority, mood, asked: AtomicUsize::new(0) });
        let router = Router::new().route(wire::http::ATTESTATION, get(attestation));
        let config = ServeConfig::new("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(config, ()).await.unwrap();
        let url = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.run_until(router.with_state(Arc::clone(&parent)), async {
            let _ = stopped.await;
        }));
        let client = HttpClient::new(ClientConfig::default(), ());
        let clock = Arc::new(FixedClock::new(NOW)) as Arc<dyn Clock>;
        let watch = EnclaveWatch::new(ParentAttestor::new(client, url, [pin], clock));
        Room { parent, watch, _stop: stop }
    }

    /// A check that only keys of this seed pass.
    pub(super) fn signed_by(seed: u8) -> impl Fn(&KeySet) -> Result<(), jws::Error> {
        let id = signing_key(seed).verifying_key().id().clone();
        move |keys| keys.get(id.as_str()).map(|_| ()).ok_or(jws::Error::UnknownKey)
    }
}

use fixture::{Mood, signed_by, start};

#[tokio::test]
async fn an_honest_enclaves_key_is_known() {
    let room = start().await;
    assert!(room.watch.keys().is_none());
    assert_eq!(room.watch.verify(signed_by(1)).await, Err(Unverified::NotAttested));
    room.watch.attest().await.unwrap();
    assert_eq!(room.watch.verify(signed_by(1)).await, Ok(()));
    assert_eq!(room.parent.asked(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_not_believed() {
    let room = start().await;
    for mood in [Mood::Down, Mood::OtherKey, Mood::OtherNonce, Mood::OtherPcr] {
        room.parent.set(mood, 1);
        let refused = room.watch.attest().await.unwrap_err();
        match mood {
            Mood::Down => assert!(matches!(refused, AttestError::Parent(_))),
            Mood::OtherKey => {
                assert!(matches!(refused, AttestError::Refused(AttestationError::Measured)));
            }
            _ => {
                assert!(matches!(refused, AttestError::Refused(AttestationError::Document { .. })))
            }
        }
        assert!(room.watch.keys().is_none());
    }
}

#[tokio::test]
async fn a_former_key_stays_while_there_is_no_other() {
    let room = start().await;
    room.watch.attest().await.unwrap();
    room.parent.set(Mood::Down, 1);
    assert!(room.watch.attest().await.is_err());
    assert_eq!(room.watch.verify(signed_by(1)).await, Ok(()));
}

#[tokio::test]
async fn an_unknown_key_has_the_enclave_asked_again_and_not_too_often() {
    let room = start().await;
    room.watch.attest().await.unwrap();
    room.parent.set(Mood::Honest, 2);
    assert_eq!(room.watch.verify(signed_by(2)).await, Ok(()));
    assert_eq!(room.parent.asked(), 2);
    for _ in 0..5 {
        let refused = Err(Unverified::Refused(jws::Error::UnknownKey));
        assert_eq!(room.watch.verify(signed_by(3)).await, refused);
    }
    assert_eq!(room.parent.asked(), 2);
}

#[tokio::test]
async fn it_keeps_asking_until_the_enclave_is_up() {
    let room = Arc::new(start().await);
    room.parent.set(Mood::Down, 1);
    let watched = Arc::clone(&room);
    let running = tokio::spawn(async move { watched.watch.run().await });
    while room.parent.asked() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(room.watch.keys().is_none());
    room.parent.set(Mood::Honest, 1);
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, room.watch.known()).await.unwrap();
    assert_eq!(room.watch.verify(signed_by(1)).await, Ok(()));
    running.abort();
}
