//! What a device may ask from inside its tunnel: about the devices of its own exit address.

use std::sync::Arc;

use coarse::{Hour, UnixTime};
use enclave_watch::Attestor;
use gateway_api::{Device, Devices, REMOVAL};
use peer_key::{PeerKey, Thumbprint};

use crate::admission::Gateway;
use crate::grants::{Error, Grant, GrantStore, Granted, Wish};

/// Why a device isn't served inside.
#[derive(Debug)]
pub enum Unserved {
    /// It has no grant any more: its tunnel ends.
    Ended,
    /// No device of its address has this thumbprint.
    Unknown,
    /// The database failed.
    Store(Error),
}

impl<S: GrantStore, A: Attestor> Gateway<S, A> {
    /// The devices of the address of `of`'s own.
    ///
    /// # Errors
    /// [`Unserved`].
    pub async fn devices(&self, of: PeerKey) -> Result<Devices, Unserved> {
        let now = self.clock.now().hour();
        let all = self.store.beside(of, now).await.map_err(Unserved::Store)?;
        Ok(list(&all.ok_or(Unserved::Ended)?, &of))
    }

    /// Removes a device of the address of `by`'s own: its tunnel ends at once, and its key isn't let in for [`REMOVAL`]. Doing so
    /// again changes nothing. Once begun, it is finished even if the caller stops waiting: the asker may remove itself.
    ///
    /// # Errors
    /// [`Unserved`]; nothing has changed then.
    pub async fn remove_device(
        self: &Arc<Self>,
        by: PeerKey,
        device: Thumbprint,
    ) -> Result<Devices, Unserved> {
        let gateway = Arc::clone(self);
        let removing = tokio::spawn(async move {
            let _changing = gateway.changing.lock().await;
            let now = gateway.clock.now();
            let wish = Wish { by, device, now: now.hour() };
            let removed = gateway.store.remove(wish, removed_until(now)).await;
            let (device, left) = done(removed)?;
            gateway.exit.remove_peer(&device);
            gateway.measures.removed.increment();
            Ok(list(&left, &by))
        });
        removing.await.unwrap_or(Err(Unserved::Store(Error::Panicked { job: "remove" })))
    }

    /// Takes the removal of a device of the address of `by`'s own back: its token lets it in again. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`Unserved`]; nothing has changed then.
    pub async fn restore_device(
        &self,
        by: PeerKey,
        device: Thumbprint,
    ) -> Result<Devices, Unserved> {
        let wish = Wish { by, device, now: self.clock.now().hour() };
        let (_, left) = done(self.store.take_back(wish).await)?;
        self.measures.restored.increment();
        Ok(list(&left, &by))
    }
}

/// The first full hour at which a removal made `now` may end.
fn removed_until(now: UnixTime) -> Hour {
    let end = now.plus(REMOVAL);
    let hour = end.hour();
    if hour.start() == end { hour } else { Hour::new(hour.number() + 1) }
}

fn done(granted: Result<Granted, Error>) -> Result<(PeerKey, Vec<Grant>), Unserved> {
    match granted.map_err(Unserved::Store)? {
        Granted::Done { device, left } => Ok((device, left)),
        Granted::NoPeer => Err(Unserved::Ended),
        Granted::Unknown => Err(Unserved::Unknown),
    }
}

fn list(grants: &[Grant], this: &PeerKey) -> Devices {
    let device = |grant: &Grant| Device {
        device: Thumbprint::from(&grant.device),
        ends: grant.ends,
        this: grant.device == *this,
    };
    let mut devices: Vec<_> = grants.iter().map(device).collect();
    devices.sort_unstable_by_key(|device| device.device);
    Devices { devices }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_ends_at_a_full_hour_and_never_early() {
        let full = UnixTime::from_seconds(3600 * 500_000);
        for (seconds, hours) in [(0, 144), (1, 145), (3599, 145), (3600, 145)] {
            let now = full.plus(std::time::Duration::from_secs(seconds));
            let until = removed_until(now);
            assert_eq!(until.number(), 500_000 + hours);
            assert!(until.start() >= now.plus(REMOVAL));
        }
    }
}
