//! Two changes of one device's grant at a time: the exit ends up with the grant that is kept, however the two overlap.

use std::num::NonZero;
use std::sync::{Arc, Mutex};

use coarse::{Clock, FixedClock, Hour, Secret, UnixTime};
use enclave_watch::{AttestError, Attestor, EnclaveWatch};
use gateway::grants::{Error, Grant, GrantStore, Granted, Kept, Wish};
use gateway::{Gateway, Terms};
use jws::{Compact, KeySet, SigningKey};
use lease::{Dat, TunnelEnd};
use peer_key::{PeerKey, PeerSecret};
use tokio::sync::Notify;
use tunnel::{DEFAULT_MTU, DestinationPolicy, Exit, ExitConfig, Limits};

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn signing_key() -> SigningKey {
        SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
    }

    pub(super) fn device() -> PeerKey {
        PeerSecret::from_bytes(&Secret::new([1; 32])).public()
    }

    /// A token for the device and this address, made `now`.
    pub(super) fn dat(address: &str, now: UnixTime) -> Compact {
        let dat = Dat::new(address.parse().unwrap(), "eu-1".parse().unwrap(), &device());
        dat.sign(&signing_key(), now).unwrap()
    }

    pub(super) struct FakeEnclave;

    impl Attestor for FakeEnclave {
        async fn minting_keys(&self) -> Result<KeySet, AttestError> {
            Ok(KeySet::from(signing_key().verifying_key()))
        }
    }

    /// Keeps one grant. The first to be kept is kept at once, but its keeper hears of that late.
    #[derive(Clone, Default)]
    pub(super) struct SlowStore {
        kept: Arc<Mutex<Vec<Grant>>>,
        pub(super) first_is_kept: Arc<Notify>,
        pub(super) go_on: Arc<Notify>,
    }

    impl GrantStore for SlowStore {
        async fn keep(&self, grant: Grant, _: NonZero<u32>, _: Hour) -> Result<Kept, Error> {
            let before = {
                let mut kept = self.kept.lock().unwrap();
                kept.push(grant.clone());
                kept.len() - 1
            };
            if before == 0 {
                self.first_is_kept.notify_one();
                self.go_on.notified().await;
            }
            Ok(Kept::InForce(grant))
        }

        async fn all(&self) -> Result<Vec<Grant>, Error> {
            Ok(self.kept.lock().unwrap().last().cloned().into_iter().collect())
        }

        async fn beside(&self, _: PeerKey, _: Hour) -> Result<Option<Vec<Grant>>, Error> {
            Ok(None)
        }

        async fn remove(&self, _: Wish, _: Hour) -> Result<Granted, Error> {
            Ok(Granted::NoPeer)
        }

        async fn take_back(&self, _: Wish) -> Result<Granted, Error> {
            Ok(Granted::NoPeer)
        }

        async fn forget(&self, _: Vec<Grant>) -> Result<(), Error> {
            Ok(())
        }

        async fn forget_ended(&self, _: Hour) -> Result<(), Error> {
            Ok(())
        }
    }
}

use fixture::{FakeEnclave, SlowStore, dat, device};

#[tokio::test]
async fn the_exit_has_the_grant_that_was_kept_last() {
    let clock = Arc::new(FixedClock::new(NOW));
    let secret_key = PeerSecret::from_bytes(&Secret::new([7; 32]));
    let (public_key, ticking) = (secret_key.public(), Arc::clone(&clock));
    let exit = ExitConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        secret_key,
        former_keys: vec![],
        inner_address: "100.64.0.1".parse().unwrap(),
        mtu: DEFAULT_MTU,
        policy: DestinationPolicy::default(),
        limits: Limits::default(),
        control: None,
        now: Arc::new(move || ticking.now().seconds()),
    };
    let exit = Exit::spawn(exit, ()).unwrap();
    let tunnel = TunnelEnd {
        public_key,
        endpoint: exit.listen_addr(),
        inner_address: "100.64.0.2".parse().unwrap(),
        resolver: "100.64.0.1".parse().unwrap(),
    };
    let store = SlowStore::default();
    let gateway = Arc::new(Gateway::new(
        store.clone(),
        EnclaveWatch::new(FakeEnclave),
        exit.clone(),
        Terms {
            serves: vec!["127.0.77.0/24".parse().unwrap()],
            tunnel,
            devices: NonZero::new(10).unwrap(),
        },
        Arc::clone(&clock) as Arc<dyn Clock>,
        &telemetry::Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>),
    ));
    gateway.enclave().attest().await.unwrap();

    // The device comes with a token for one address, and then with one for another that ends sooner.
    let (long, short) = (NOW, NOW.minus(std::time::Duration::from_secs(36_000)));
    let admit = |dat: Compact| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { gateway.admit(dat, device()).await.map(|peer| peer.ends) })
    };
    let first = admit(dat("127.0.77.1", long));
    store.first_is_kept.notified().await;
    let second = admit(dat("127.0.77.2", short));
    // On this one thread the second goes as far as it is let: nothing it does takes time.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    store.go_on.notify_one();
    first.await.unwrap().unwrap();
    let ends = second.await.unwrap().unwrap();

    assert_eq!(ends, Dat::end(short));
    let kept = store.all().await.unwrap();
    assert_eq!(kept[0].ends, ends);
    assert_eq!(exit.peers(), 1);
    // The exit has that one, too: with it the peer is gone, though the other token would go on.
    clock.set(ends.start());
    assert!(Dat::end(long).start() > clock.now());
    assert_eq!(exit.peers(), 0);
    exit.shutdown();
}
