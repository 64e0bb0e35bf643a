//! Truncated key ids that must not be equal (RFC 9578 section 6.1).
//!
//! A request names its key by one byte. Two keys that sign at the same time, of whatever purposes, must
//! differ in it: a generator throws a colliding key away and makes another, a signer refuses to start.

use coarse::{Epoch, UnixTime};
use privacy_pass::KeyId;

use crate::Purpose;

/// A key and when it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    /// What its tokens are good for.
    pub purpose: Purpose,
    /// The epoch that its tokens are of.
    pub epoch: Epoch,
    /// Its id.
    pub key_id: KeyId,
}

impl ScheduledKey {
    /// The first second in which it signs, and the first in which it doesn't any more: its own epoch
    /// and the one before.
    fn signs(&self) -> (UnixTime, UnixTime) {
        let start = self.purpose.epoch_start(self.epoch).minus(self.purpose.epoch_length());
        (start, self.purpose.epoch_end(self.epoch))
    }

    fn collides_with(&self, other: &Self) -> bool {
        let ((start, end), (other_start, other_end)) = (self.signs(), other.signs());
        self.key_id.truncated() == other.key_id.truncated()
            && start < other_end
            && other_start < end
    }
}

/// Whether `candidate` has the truncated id of one of the `others` and signs at a time when that one
/// signs, too. The candidate itself must not be among them.
pub fn truncated_id_collides<'a>(
    candidate: &ScheduledKey,
    others: impl IntoIterator<Item = &'a ScheduledKey>,
) -> bool {
    others.into_iter().any(|other| candidate.collides_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(purpose: Purpose, epoch: u32, last_byte: u8) -> ScheduledKey {
        let mut id = [epoch as u8; 32];
        id[31] = last_byte;
        ScheduledKey { purpose, epoch: Epoch::new(epoch), key_id: KeyId::from_bytes(id) }
    }

    #[test]
    fn equal_bytes_collide_while_both_sign() {
        let candidate = key(Purpose::Access, 100, 7);
        for (other, collides) in [
            (key(Purpose::Access, 98, 7), false),
            (key(Purpose::Access, 99, 7), true),
            (key(Purpose::Access, 100, 7), true),
            (key(Purpose::Access, 101, 7), true),
            (key(Purpose::Access, 101, 8), false),
            (key(Purpose::Access, 102, 7), false),
            (key(Purpose::RelayTicket, 100, 7), true),
            // Signs on the days 91 to 104 and 84 to 97.
            (key(Purpose::DedicatedIp, 14, 7), true),
            (key(Purpose::DedicatedIp, 13, 7), false),
        ] {
            assert_eq!(truncated_id_collides(&candidate, [&other]), collides, "{other:?}");
            assert_eq!(truncated_id_collides(&other, [&candidate]), collides, "{other:?}");
        }
        assert!(!truncated_id_collides(&candidate, []));
    }
}
