//! Who may be a peer: whoever holds the device key that a good DAT for an address of this gateway names.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coarse::Clock;
use enclave_watch::{Attestor, EnclaveWatch, Unverified};
use gateway_api::Peer;
use jws::Compact;
use lease::{Dat, ExitAddress, TunnelEnd};
use peer_key::PeerKey;
use telemetry::Metrics;
use tokio::sync::Mutex;
use tunnel::{ExitHandle, Network, PeerGrant};

use crate::grants::{Error, Grant, GrantStore, Kept};
use crate::measure::Measures;

/// The gateway: grants, the enclave whose tokens it takes, and the exit.
pub struct Gateway<S, A> {
    pub(crate) store: S,
    enclave: EnclaveWatch<A>,
    pub(crate) exit: ExitHandle,
    terms: Terms,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) measures: Measures,
    /// Held from a grant's keeping until the exit has it, so that the exit ends up with the grant that is kept.
    pub(crate) changing: Mutex<()>,
    restored: AtomicBool,
}

/// What a gateway serves.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which leased addresses.
    pub serves: Vec<Network>,
    /// Where its tunnels end.
    pub tunnel: TunnelEnd,
    /// How many devices may use one address at a time.
    pub devices: NonZero<u32>,
}

/// Why a device doesn't become a peer.
#[derive(Debug)]
pub enum Refused {
    /// The enclave hasn't been attested yet.
    NotAttested,
    /// The token isn't the enclave's, or no DAT.
    Dat,
    /// The token has ended.
    Expired,
    /// The token names another device.
    Device,
    /// The token is for an address that another gateway serves.
    Address,
    /// The token is for an address that this gateway serves, and its tunnels can't carry.
    NotCarried,
    /// Another device of its address removed it.
    Removed,
    /// As many devices as may use the address at a time do.
    Full,
    /// The database failed.
    Store(Error),
}

impl<S: GrantStore, A: Attestor> Gateway<S, A> {
    /// A gateway on these terms, which counts in `metrics`. It has no peers until [`restore`](Self::restore).
    pub fn new(
        store: S,
        enclave: EnclaveWatch<A>,
        exit: ExitHandle,
        terms: Terms,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let measures = Measures::new(metrics, &enclave, &exit);
        Self {
            store,
            enclave,
            exit,
            terms,
            clock,
            measures,
            changing: Mutex::new(()),
            restored: AtomicBool::new(false),
        }
    }

    /// The enclave, and its attested keys.
    pub const fn enclave(&self) -> &EnclaveWatch<A> {
        &self.enclave
    }

    /// Whether the enclave is attested and all kept grants are in force again.
    pub fn is_ready(&self) -> bool {
        self.restored.load(Ordering::SeqCst)
    }

    /// Makes a device a peer until its token ends. Doing so again changes nothing; a later token extends.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub async fn admit(&self, dat: Compact, device: PeerKey) -> Result<Peer, Refused> {
        let grant = self.check(dat, device).await?;
        let _changing = self.changing.lock().await;
        let (most, now) = (self.terms.devices, self.clock.now().hour());
        let grant = match self.store.keep(grant, most, now).await.map_err(Refused::Store)? {
            Kept::InForce(grant) => grant,
            Kept::Removed => return Err(Refused::Removed),
            Kept::Full => return Err(Refused::Full),
        };
        self.let_in(&grant);
        let Grant { address, ends, .. } = grant;
        Ok(Peer { exit_address: address, ends, tunnel: self.terms.tunnel.clone() })
    }

    /// Puts the kept grants in force again after a restart: each is checked as if it came anew, and forgotten if its
    /// token isn't good any more. Does nothing before the enclave is attested, nor after it has been done.
    ///
    /// # Errors
    /// As the store.
    pub async fn restore(&self) -> Result<(), Error> {
        if self.is_ready() || self.enclave.keys().is_none() {
            return Ok(());
        }
        let _changing = self.changing.lock().await;
        let mut stale = Vec::new();
        for kept in self.store.all().await? {
            match self.check(kept.dat.clone(), kept.device).await {
                Ok(grant) => self.let_in(&grant),
                // Started for other addresses by mistake, say: the next start may put it right.
                Err(
                    Refused::Address
                    | Refused::NotCarried
                    | Refused::NotAttested
                    | Refused::Store(_),
                ) => {}
                Err(_) => stale.push(kept),
            }
        }
        self.store.forget(stale).await?;
        self.restored.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Forgets grants and removals that have ended. (The exit has closed those tunnels by itself.)
    ///
    /// # Errors
    /// As the store.
    pub async fn tidy(&self) -> Result<(), Error> {
        self.store.forget_ended(self.clock.now().hour()).await
    }

    /// The grant that a token gives a device.
    async fn check(&self, dat: Compact, device: PeerKey) -> Result<Grant, Refused> {
        let now = self.clock.now();
        let verified =
            self.enclave.verify(|keys| Dat::verify_with_end(dat.as_str(), keys, now)).await;
        let (claims, ends) = verified.map_err(|error| match error {
            Unverified::NotAttested => Refused::NotAttested,
            Unverified::Refused(jws::Error::Expired) => Refused::Expired,
            Unverified::Refused(_) => Refused::Dat,
        })?;
        // A verifier allows for clocks that differ; a tunnel ends when the token does.
        if ends.start() <= now {
            return Err(Refused::Expired);
        }
        if !claims.is_for(&device) {
            return Err(Refused::Device);
        }
        let address = claims.dip_details.ip;
        let leased = network(address)?;
        if !self.terms.serves.iter().any(|network| network.covers(&leased)) {
            return Err(Refused::Address);
        }
        // A tunnel that opens and carries nothing would leave its customer guessing.
        if !self.exit.carries(address.source()) {
            return Err(Refused::NotCarried);
        }
        Ok(Grant { device, address, ends, dat })
    }

    fn let_in(&self, grant: &Grant) {
        self.exit.add_peer(PeerGrant {
            public_key: grant.device,
            exit_address: grant.address.source(),
            expires: grant.ends.start().seconds(),
        });
    }
}

/// All that a lease gives, as a network.
fn network(leased: ExitAddress) -> Result<Network, Refused> {
    match leased.prefix() {
        None => Ok(leased.ip().into()),
        Some(length) => Network::new(leased.ip(), length).map_err(|_| Refused::Address),
    }
}
