//! A provider with somebody in the middle of every conversation.

use anyhow::{Result, ensure};
use endtoend::customer::Customer;
use endtoend::dropping::{Dropper, Fault};
use endtoend::evidence::Stored;
use endtoend::program::{User, provider_file};
use endtoend::raw;
use endtoend::rows::Rows;
use endtoend::scene::Scene;
use endtoend::services::Services;
use tempfile::TempDir;

/// The order in which services are started again.
pub(crate) const SERVICES: [&str; 7] =
    ["nsm", "parent", "accounts", "issuer", "dip", "gateway", "backup"];

/// The provider, and those in the middle.
pub(crate) struct Street {
    pub(crate) scene: Scene,
    pub(crate) accounts: Dropper,
    pub(crate) issuer: Dropper,
    /// Between clients and the parent.
    pub(crate) parent: Dropper,
    pub(crate) dip: Dropper,
    pub(crate) gateway: Dropper,
    pub(crate) backup: Dropper,
    /// Between the DIP service and the parent.
    pub(crate) inner: Dropper,
    /// Between the parent and the enclave.
    pub(crate) link: Dropper,
    room: TempDir,
}

impl Street {
    /// Opens a provider and puts somebody everywhere.
    pub(crate) fn open() -> Result<Self> {
        let scene = Scene::open()?;
        let room = tempfile::tempdir()?;
        let before = |scene: &Scene, service| Dropper::before(raw::address(&scene.url(service)?)?);
        let socket = room.path().join("link.sock");
        let mut street = Self {
            accounts: before(&scene, "accounts")?,
            issuer: before(&scene, "issuer")?,
            parent: before(&scene, "parent")?,
            dip: before(&scene, "dip")?,
            gateway: before(&scene, "gateway")?,
            backup: before(&scene, "backup")?,
            inner: before(&scene, "parent")?,
            link: Dropper::before_socket(&socket, &scene.socket())?,
            scene,
            room,
        };
        // Who goes by the parent, or from it, goes another way from now on.
        for service in ["dip", "gateway", "parent"] {
            street.scene.kill(service)?;
        }
        street.scene.detour(street.inner.address(), socket);
        for service in ["parent", "dip", "gateway"] {
            street.scene.restart(service)?;
        }
        Ok(street)
    }

    /// A new customer, all of whose conversations go through the middle.
    pub(crate) fn customer(&self) -> Result<Customer> {
        let mut customer = Customer::new(&self.scene)?;
        self.reroute(&mut customer.services);
        Ok(customer)
    }

    /// A new user of the program, likewise (but for the gateway, whose address comes with the lease).
    pub(crate) fn user(&self) -> Result<User> {
        let mut services = Services::of(&self.scene)?;
        self.reroute(&mut services);
        let file = provider_file(&services.provider, self.room.path())?;
        let user = User::new(&self.scene)?.who_is_given(file);
        user.trust()?.json()?;
        Ok(user)
    }

    fn reroute(&self, services: &mut Services) {
        let urls = &mut services.provider.urls;
        urls.accounts = self.accounts.url();
        urls.blind_token_service = self.issuer.url();
        urls.enclave = self.parent.url();
        urls.dip_service = self.dip.url();
        urls.backup = Some(self.backup.url());
        services.gateway = self.gateway.url();
    }

    /// Ends services as a crash would, all of these at once, and starts them again.
    pub(crate) fn crash(&mut self, services: &[&'static str]) -> Result<()> {
        for service in services {
            self.scene.kill(service)?;
        }
        let order = SERVICES.into_iter().filter(|service| services.contains(service));
        order.into_iter().try_for_each(|service| self.scene.restart(service))
    }

    /// A step during which `struck` drops something: the step fails. When the service got the whole request, it did its
    /// work by then: the same step once more, after `meanwhile`, changes nothing more. When it didn't, nothing was done.
    pub(crate) fn lose<T>(
        &mut self,
        struck: fn(&Self) -> &Dropper,
        fault: Fault,
        meanwhile: &[&'static str],
        step: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let (before, count) = (Rows::of(&self.scene)?, struck(self).struck());
        struck(self).strike(fault);
        ensure!(step().is_err(), "{fault:?}: it got through");
        ensure!(struck(self).struck() == count + 1, "{fault:?}: nothing was dropped");
        if fault == Fault::Request {
            before.unchanged(&self.scene)?;
        }
        let lost = Rows::of(&self.scene)?;
        self.crash(meanwhile)?;
        let done = step()?;
        if fault != Fault::Request {
            lost.unchanged(&self.scene)?;
        }
        let after = Rows::of(&self.scene)?;
        step()?;
        after.unchanged(&self.scene)?;
        Ok(done)
    }

    /// The same further inside, where the one who asks may ask again by itself: the step may succeed.
    pub(crate) fn lose_inside<T>(
        &mut self,
        struck: fn(&Self) -> &Dropper,
        fault: Fault,
        meanwhile: &[&'static str],
        step: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let count = struck(self).struck();
        struck(self).strike(fault);
        // Whatever came of it.
        let _ = step();
        ensure!(struck(self).struck() == count + 1, "{fault:?}: nothing was dropped");
        self.crash(meanwhile)?;
        let done = step()?;
        let after = Rows::of(&self.scene)?;
        step()?;
        after.unchanged(&self.scene)?;
        Ok(done)
    }

    /// That there are exactly so many tokens, leases and leased addresses, and no reservation.
    pub(crate) fn assert_leases(&self, count: u32) -> Result<()> {
        let (dip, issuer) = (Stored::by(&self.scene, "dip")?, Stored::by(&self.scene, "issuer")?);
        assert_eq!(dip.count("leases WHERE state = 'leased'", [])?, count);
        assert_eq!(dip.count("leases", [])?, count);
        assert_eq!(dip.count("assignments", [])?, count);
        assert_eq!(dip.count("ip_pool WHERE status <> 'available'", [])?, count);
        assert_eq!(issuer.count("answers", [])?, count);
        assert_eq!(issuer.count("subscriptions WHERE dedicated_ip_drawn = 1", [])?, count);
        Ok(())
    }
}
