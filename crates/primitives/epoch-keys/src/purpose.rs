//! What a token is good for, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use coarse::{Epoch, UnixTime};
use serde::{Deserialize, Serialize};

/// How far two parties' clocks may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

/// What a token is good for. Each purpose has epochs of its own length, counted from 1970, and one key
/// per epoch. In JSON and on the wire it is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Purpose {
    /// `access`: any exit within the epoch, by one device. An epoch is a day.
    Access,
    /// `dedicated-ip`: one dedicated address, once. An epoch is a week.
    DedicatedIp,
    /// `renewal`: one step of a lease that is renewed blindly, once. An epoch is three days.
    Renewal,
    /// `relay-ticket`: one relay ticket, once. An epoch is a day.
    RelayTicket,
}

impl Purpose {
    /// Every purpose there is.
    pub const ALL: [Self; 4] = [Self::Access, Self::DedicatedIp, Self::Renewal, Self::RelayTicket];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::DedicatedIp => "dedicated-ip",
            Self::Renewal => "renewal",
            Self::RelayTicket => "relay-ticket",
        }
    }

    /// The purpose of this name.
    pub fn parse(name: &str) -> Result<Self, PurposeError> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name).ok_or(PurposeError)
    }

    /// How long an epoch is.
    #[must_use]
    pub const fn epoch_length(self) -> Duration {
        let days = match self {
            Self::Access | Self::RelayTicket => 1,
            Self::Renewal => 3,
            Self::DedicatedIp => 7,
        };
        Duration::from_secs(days * DAY.as_secs())
    }

    /// The epoch that `now` lies in.
    #[must_use]
    pub fn epoch_at(self, now: UnixTime) -> Epoch {
        let number = now.seconds() / self.epoch_length().as_secs();
        Epoch::new(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The epoch's first second.
    #[must_use]
    pub const fn epoch_start(self, epoch: Epoch) -> UnixTime {
        UnixTime::from_seconds(epoch.number() as u64 * self.epoch_length().as_secs())
    }

    /// The first second after the epoch. From here on its key signs nothing more, and is erased.
    #[must_use]
    pub const fn epoch_end(self, epoch: Epoch) -> UnixTime {
        self.epoch_start(epoch).plus(self.epoch_length())
    }

    /// The first second in which a token of this epoch is no longer spendable: 60 days after the end of
    /// the epoch for `dedicated-ip`, so that a customer who waits loses nothing; else the epoch's end.
    #[must_use]
    pub const fn spend_deadline(self, epoch: Epoch) -> UnixTime {
        let days = match self {
            Self::DedicatedIp => 60,
            Self::Access | Self::Renewal | Self::RelayTicket => 0,
        };
        self.epoch_end(epoch).plus(Duration::from_secs(days * DAY.as_secs()))
    }

    /// The two epochs whose keys sign at `now`: the current one and the next.
    #[must_use]
    pub fn signing_window(self, now: UnixTime) -> [Epoch; 2] {
        let current = self.epoch_at(now);
        [current, current.next()]
    }

    /// Whether the epoch's key signs at `now`. An issuer has one clock: there is no tolerance.
    #[must_use]
    pub fn may_sign(self, epoch: Epoch, now: UnixTime) -> bool {
        self.signing_window(now).contains(&epoch)
    }

    /// Whether a token of this epoch may be spent at `now`: from the epoch's start to the deadline,
    /// give or take [`CLOCK_SKEW`].
    #[must_use]
    pub fn spendable(self, epoch: Epoch, now: UnixTime) -> bool {
        now >= self.epoch_start(epoch).minus(CLOCK_SKEW)
            && now < self.spend_deadline(epoch).plus(CLOCK_SKEW)
    }
}

/// A text is not the name of a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such purpose: access, dedicated-ip, renewal and relay-ticket there are")]
pub struct PurposeError;

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = PurposeError;

    fn from_str(name: &str) -> Result<Self, PurposeError> {
        Self::parse(name)
    }
}

impl TryFrom<String> for Purpose {
    type Error = PurposeError;

    fn try_from(name: String) -> Result<Self, PurposeError> {
        Self::parse(&name)
    }
}

impl From<Purpose> for String {
    fn from(purpose: Purpose) -> Self {
        purpose.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[test]
    fn names_are_the_json_form() {
        for purpose in Purpose::ALL {
            let json = serde_json::to_string(&purpose).unwrap();
            assert_eq!(json, format!("\"{purpose}\""));
            assert_eq!(serde_json::from_str::<Purpose>(&json).unwrap(), purpose);
        }
        assert_eq!(Purpose::parse("Access"), Err(PurposeError));
        assert_eq!("dedicated-ip".parse(), Ok(Purpose::DedicatedIp));
    }

    #[test]
    fn epochs_have_the_lengths_they_should() {
        // 2026-11-20T00:00:00Z is day 20,777.
        let now = at(20_777 * 86_400);
        for (purpose, epoch) in [
            (Purpose::Access, 20_777),
            (Purpose::RelayTicket, 20_777),
            (Purpose::Renewal, 6_925),
            (Purpose::DedicatedIp, 2_968),
        ] {
            assert_eq!(purpose.epoch_at(now), Epoch::new(epoch));
        }
        let last = Epoch::new(u32::MAX);
        assert_eq!(Purpose::DedicatedIp.epoch_at(at(u64::MAX)), last);
        assert!(Purpose::DedicatedIp.epoch_end(last) > Purpose::DedicatedIp.epoch_start(last));
    }

    #[test]
    fn only_a_dedicated_ip_token_outlives_its_epoch() {
        let epoch = Epoch::new(3);
        assert_eq!(Purpose::DedicatedIp.spend_deadline(epoch), at(4 * 7 * 86_400 + 60 * 86_400));
        for purpose in [Purpose::Access, Purpose::Renewal, Purpose::RelayTicket] {
            assert_eq!(purpose.spend_deadline(epoch), purpose.epoch_end(epoch));
        }
        let deadline = Purpose::DedicatedIp.spend_deadline(epoch);
        assert!(Purpose::DedicatedIp.spendable(epoch, deadline.plus(Duration::from_secs(59))));
        assert!(!Purpose::DedicatedIp.spendable(epoch, deadline.plus(CLOCK_SKEW)));
    }

    #[test]
    fn windows_end_at_their_second() {
        let purpose = Purpose::Access;
        let epoch = Epoch::new(10);
        let (start, end) = (10 * 86_400, 11 * 86_400);
        for (now, may_sign, spendable) in [
            (start - 86_401, false, false),
            (start - 86_400, true, false),
            (start - 61, true, false),
            (start - 60, true, true),
            (end - 1, true, true),
            (end, false, true),
            (end + 59, false, true),
            (end + 60, false, false),
        ] {
            assert_eq!(purpose.may_sign(epoch, at(now)), may_sign, "{now}");
            assert_eq!(purpose.spendable(epoch, at(now)), spendable, "{now}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_lies_in_its_epoch(seconds in 0..u64::from(u32::MAX) * 86_400) {
            for purpose in Purpose::ALL {
                let epoch = purpose.epoch_at(at(seconds));
                prop_assert!(purpose.epoch_start(epoch) <= at(seconds));
                prop_assert!(at(seconds) < purpose.epoch_end(epoch));
                prop_assert_eq!(purpose.epoch_end(epoch), purpose.epoch_start(epoch.next()));
                prop_assert!(purpose.spendable(epoch, at(seconds)));
                prop_assert!(purpose.may_sign(epoch, at(seconds)));
            }
        }
    }
}
