//! Who may use the exit, until when, and where their flows leave: written by handles, read by the loop.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peer_key::PeerKey;

/// Leave to use an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerGrant {
    /// The peer's key.
    pub public_key: PeerKey,
    /// The host's address that the peer's flows leave from.
    pub exit_address: IpAddr,
    /// Seconds since 1970 at which the tunnel ends, by the `now` of [`ExitConfig`](super::ExitConfig).
    pub expires: u64,
}

/// The table of all grants. What a handle writes is in force for the next packet that needs it.
#[derive(Default)]
pub(super) struct Grants(Mutex<Table>);

#[derive(Default)]
struct Table {
    peers: HashMap<PeerKey, PeerGrant>,
    /// Keys whose grant isn't what the loop last saw.
    changed: Vec<PeerKey>,
}

impl Grants {
    pub(super) fn add(&self, grant: PeerGrant) {
        let mut table = self.lock();
        if table.peers.insert(grant.public_key, grant) != Some(grant) {
            table.changed.push(grant.public_key);
        }
    }

    pub(super) fn remove(&self, key: &PeerKey) -> bool {
        let mut table = self.lock();
        let known = table.peers.remove(key).is_some();
        if known {
            table.changed.push(*key);
        }
        known
    }

    pub(super) fn count(&self, now: u64) -> usize {
        self.lock().peers.values().filter(|grant| grant.expires > now).count()
    }

    /// The grant of `key`, unless it has expired.
    pub(super) fn find(&self, key: &PeerKey, now: u64) -> Option<PeerGrant> {
        self.lock().peers.get(key).filter(|grant| grant.expires > now).copied()
    }

    /// Forgets the grants that have expired, and says which keys have another grant than before, or none.
    pub(super) fn take_changes(&self, now: u64) -> Vec<PeerKey> {
        let mut table = self.lock();
        let mut changed = std::mem::take(&mut table.changed);
        table.peers.retain(|key, grant| {
            let valid = grant.expires > now;
            if !valid {
                changed.push(*key);
            }
            valid
        });
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Each critical section leaves the table whole, even one that panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peer_key::PeerSecret;

    fn grant(seed: u8, expires: u64) -> PeerGrant {
        let public_key = PeerSecret::from_bytes(&coarse::Secret::new([seed; 32])).public();
        PeerGrant { public_key, exit_address: [127, 0, 0, seed].into(), expires }
    }

    #[test]
    fn a_grant_is_found_until_it_expires_or_is_removed() {
        let grants = Grants::default();
        let (one, two) = (grant(1, 100), grant(2, 200));
        grants.add(one);
        grants.add(two);
        assert_eq!(grants.find(&one.public_key, 99), Some(one));
        assert_eq!(grants.find(&one.public_key, 100), None);
        assert_eq!((grants.count(99), grants.count(100)), (2, 1));
        assert!(grants.remove(&two.public_key));
        assert!(!grants.remove(&two.public_key));
        assert_eq!(grants.find(&two.public_key, 0), None);
    }

    #[test]
    fn changes_are_told_once_and_repetitions_are_not_changes() {
        let grants = Grants::default();
        let one = grant(1, 100);
        grants.add(one);
        assert_eq!(grants.take_changes(0), vec![one.public_key]);
        grants.add(one);
        assert!(grants.take_changes(0).is_empty());
        grants.add(PeerGrant { expires: 50, ..one });
        assert_eq!(grants.take_changes(0), vec![one.public_key]);
        assert_eq!(grants.take_changes(50), vec![one.public_key]);
        assert_eq!(grants.count(0), 0);
    }
}
