//! What a datagram must pass before anything is computed for it, cheapest first.
//!
//! 1. It has the form of a WireGuard message.
//! 2. A handshake message has a right MAC for one of this exit's keys (two hashes each).
//! 3. Within this second few enough came, from its address and in all; else it must prove by a cookie that
//!    it receives at its address (WireGuard's paper, section 5.3), and gets one if it doesn't (hashes, one
//!    encryption of 16 bytes).
//! 4. Of proven ones few enough came from its address.
//!
//! Only what passes costs an exchange of keys.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gotatun::noise::TunnResult;
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::packet::{Packet, WgKind};
use gotatun::x25519;
use peer_key::PeerSecret;

use super::Limits;
use crate::keys::ToX25519 as _;

const PERIOD: Duration = Duration::from_secs(1);
/// The first byte of a handshake's messages (WireGuard's paper, section 5.4).
const HANDSHAKE_INIT: u8 = 1;
const HANDSHAKE_RESPONSE: u8 = 2;

/// What became of handshake messages that were made for this exit's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// Handed to a peer.
    pub taken: u64,
    /// Opened, and from nobody with a grant.
    pub strangers: u64,
    /// Answered with a cookie: nothing was opened.
    pub cookies: u64,
    /// Dropped: too many from one address.
    pub dropped: u64,
}

/// [`Handshakes`] as they are counted.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) taken: AtomicU64,
    pub(super) strangers: AtomicU64,
    cookies: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    pub(super) fn read(&self) -> Handshakes {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Handshakes {
            taken: read(&self.taken),
            strangers: read(&self.strangers),
            cookies: read(&self.cookies),
            dropped: read(&self.dropped),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The gate, and the keys behind it.
pub(super) struct Gate {
    /// The present key's comes first.
    pub(super) doors: Vec<Door>,
    pub(super) indices: IndexTable,
    pub(super) tally: Arc<Tally>,
    load: Load,
}

/// One of the exit's keys.
pub(super) struct Door {
    pub(super) secret: x25519::StaticSecret,
    pub(super) public: x25519::PublicKey,
    /// Checks MACs, and never asks for a cookie.
    pub(super) lenient: Arc<RateLimiter>,
    /// Always asks for one.
    strict: RateLimiter,
}

/// Which of the exit's keys: its place among [`Gate::doors`].
pub(super) type DoorId = usize;

/// What passed.
pub(super) enum Passed {
    /// A handshake's message came for this key; others say themselves which session they are of.
    Packet(WgKind, DoorId),
    /// Goes back where the datagram came from.
    Cookie(Packet),
    Nothing,
}

impl Gate {
    /// A gate for these keys, the present one first.
    pub(super) fn new<'a>(
        keys: impl IntoIterator<Item = &'a PeerSecret>,
        limits: &Limits,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            doors: keys.into_iter().map(Door::new).collect(),
            indices: IndexTable::from_os_rng(),
            tally,
            load: Load::new(limits, Instant::now()),
        }
    }

    pub(super) fn pass(&mut self, datagram: Packet, source: SocketAddr, now: Instant) -> Passed {
        let Some((id, door, packet)) = door(&self.doors, datagram, source) else {
            return Passed::Nothing;
        };
        if !matches!(packet, WgKind::HandshakeInit(_) | WgKind::HandshakeResp(_))
            || self.load.takes(source.ip(), now)
        {
            return Passed::Packet(packet, id);
        }
        match door.strict.verify_packet(source, packet.into()) {
            Ok(packet) if self.load.takes_proven(source.ip()) => Passed::Packet(packet, id),
            Ok(_) => {
                count(&self.tally.dropped);
                Passed::Nothing
            }
            Err(TunnResult::WriteToNetwork(cookie)) => {
                count(&self.tally.cookies);
                Passed::Cookie(cookie.into())
            }
            Err(_) => Passed::Nothing,
        }
    }

    /// To be called several times a second.
    pub(super) fn tick(&self) {
        for door in &self.doors {
            door.lenient.try_reset_count();
            door.strict.try_reset_count();
        }
    }
}

impl Door {
    fn new(key: &PeerSecret) -> Self {
        let public = key.public().to_x25519();
        Self {
            secret: key.to_x25519(),
            public,
            lenient: Arc::new(RateLimiter::new(&public, u64::MAX)),
            strict: RateLimiter::new(&public, 0),
        }
    }
}

/// The door whose key a handshake's message was made for; the first one for all others.
fn door(doors: &[Door], datagram: Packet, source: SocketAddr) -> Option<(DoorId, &Door, WgKind)> {
    let (last, others) = doors.split_last()?;
    let verified = |door: &Door, datagram| door.lenient.verify_packet(source, datagram).ok();
    if matches!(datagram.first(), Some(&(HANDSHAKE_INIT | HANDSHAKE_RESPONSE))) {
        for (id, door) in others.iter().enumerate() {
            if let Some(packet) = verified(door, Packet::copy_from(&datagram)) {
                return Some((id, door, packet));
            }
        }
        return verified(last, datagram).map(|packet| (others.len(), last, packet));
    }
    let first = doors.first()?;
    verified(first, datagram).map(|packet| (0, first, packet))
}

/// Handshakes of this second.
struct Load {
    of_address: u64,
    in_all: u64,
    since: Instant,
    all: u64,
    by_address: HashMap<IpAddr, u64>,
    proven: HashMap<IpAddr, u64>,
}

impl Load {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            of_address: limits.handshakes_per_second,
            in_all: limits.handshakes_in_all,
            since: now,
            all: 0,
            by_address: HashMap::new(),
            proven: HashMap::new(),
        }
    }

    /// Counts one; whether it is taken without a proof of its address.
    fn takes(&mut self, address: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= PERIOD {
            *self = Self {
                since: now,
                all: 0,
                by_address: HashMap::new(),
                proven: HashMap::new(),
                ..*self
            };
        }
        self.all += 1;
        // With more in all, addresses aren't worth remembering: they may be made up.
        if self.all > self.in_all {
            return false;
        }
        let of_address = self.by_address.entry(address).or_default();
        *of_address += 1;
        *of_address <= self.of_address
    }

    /// Counts one whose address is proven; whether it is taken.
    fn takes_proven(&mut self, address: IpAddr) -> bool {
        let proven = self.proven.entry(address).or_default();
        *proven += 1;
        *proven <= self.of_address.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(of_address: u64, in_all: u64) -> (Load, Instant) {
        let now = Instant::now();
        let limits = Limits {
            handshakes_per_second: of_address,
            handshakes_in_all: in_all,
            ..Limits::default()
        };
        (Load::new(&limits, now), now)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_has_its_share_of_each_second() {
        let (mut load, now) = load(2, 100);
        assert!(load.takes(HERE, now) && load.takes(HERE, now) && !load.takes(HERE, now));
        assert!(load.takes(THERE, now));
        assert!(load.takes(HERE, now + PERIOD));
    }

    /// Made-up addresses have a share each: all together have one, too.
    #[test]
    fn all_addresses_have_a_share_together() {
        let (mut load, now) = load(100, 3);
        let made_up = |number: u32| IpAddr::V4(number.into());
        assert_eq!((0..50).filter(|number| load.takes(made_up(*number), now)).count(), 3);
        assert!(load.by_address.len() <= 3);
        assert!(load.takes(HERE, now + PERIOD));
    }

    #[test]
    fn who_proves_its_address_has_an_end_as_well() {
        let (mut load, _) = load(2, 0);
        assert!(load.takes_proven(HERE) && load.takes_proven(HERE) && !load.takes_proven(HERE));
        assert!(load.takes_proven(THERE));
    }
}
