//! A subscription.

use accounts_api::{SubscriptionState, SubscriptionView};
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId, SubscriptionVersion};

/// A subscription: what was paid for, and whether it still is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Its version, which a reset raises.
    pub version: SubscriptionVersion,
    /// Paid for or refunded.
    pub state: SubscriptionState,
    /// What it covers.
    pub covered: Covered,
}

impl Subscription {
    /// A fresh subscription, in its first version.
    #[must_use]
    pub fn new(id: SubscriptionId, covered: Covered) -> Self {
        let (version, state) = (SubscriptionVersion::default(), SubscriptionState::Active);
        Self { id, version, state, covered }
    }

    /// What an SRT says of it.
    #[must_use]
    pub fn srt(&self) -> Srt {
        let entitlements = Entitlements::new(self.covered.iter(), self.version);
        Srt { subscription: self.id, entitlements }
    }

    /// What an operator gets to see of it.
    #[must_use]
    pub fn view(&self) -> SubscriptionView {
        SubscriptionView {
            subscription: self.id,
            version: self.version,
            state: self.state,
            entitlements: self.covered.iter().map(|one| one.as_str().to_owned()).collect(),
        }
    }
}

/// What a subscription covers: something at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    dedicated_ip: bool,
    access: bool,
}

/// A list of entitlements that can't be sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give at least one of vpn.dip and vpn.access, each once")]
pub struct NothingCovered;

impl Covered {
    /// The entitlements with these names: known ones, at least one, each once.
    pub fn parse(names: &[impl AsRef<str>]) -> Result<Self, NothingCovered> {
        let mut covered = Self { dedicated_ip: false, access: false };
        for name in names {
            let place = match Entitlement::parse(name.as_ref()).ok_or(NothingCovered)? {
                Entitlement::DedicatedIp => &mut covered.dedicated_ip,
                Entitlement::Access => &mut covered.access,
            };
            if std::mem::replace(place, true) {
                return Err(NothingCovered);
            }
        }
        if names.is_empty() { Err(NothingCovered) } else { Ok(covered) }
    }

    /// What is covered, in the order of [`Entitlement::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Entitlement> {
        Entitlement::ALL.into_iter().filter(move |one| self.has(*one))
    }

    /// Whether `entitlement` is covered.
    #[must_use]
    pub const fn has(self, entitlement: Entitlement) -> bool {
        match entitlement {
            Entitlement::DedicatedIp => self.dedicated_ip,
            Entitlement::Access => self.access,
        }
    }

    /// What a store kept.
    pub(crate) const fn stored(dedicated_ip: bool, access: bool) -> Self {
        Self { dedicated_ip, access }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_are_known_and_named_once() {
        let names = |names: &[&str]| {
            let covered = Covered::parse(names)?;
            Ok(covered.iter().map(Entitlement::as_str).collect::<Vec<_>>())
        };
        assert_eq!(names(&["vpn.dip"]), Ok(vec!["vpn.dip"]));
        assert_eq!(names(&["vpn.access", "vpn.dip"]), Ok(vec!["vpn.dip", "vpn.access"]));
        for wrong in [&[][..], &["vpn.dip", "vpn.dip"], &["vpn"], &["vpn.access", "gold"]] {
            assert_eq!(names(wrong), Err(NothingCovered), "{wrong:?}");
        }
    }
}
