//! Several devices of one customer with one address: at once, seeing each other, one removing another.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use coarse::system_rng;
use endtoend::customer::Customer;
use endtoend::evidence::Stored;
use endtoend::program::{User, cloakroom};
use endtoend::scene::{Scene, shared};
use endtoend::services::{Services, ask_inside};
use endtoend::{eventually, tunnel};
use gateway_api::{DEVICES, Devices, Peer, REMOVE_DEVICE};
use http::Method;
use lab::Town;
use minting::Minted;
use peer_key::{PeerSecret, Thumbprint};
use serde_json::{Value, json};
use wallet::{Dip, Wallet};

/// A device with a lease's address, in its tunnel.
struct Device {
    customer: Customer,
    minted: Minted,
    peer: Peer,
    tunnel: ::tunnel::ClientHandle,
}

impl Device {
    fn open(customer: Customer, minted: Minted) -> Result<Self> {
        let device = customer.device.public();
        let peer: Peer = customer.services.add_peer(&minted.dat, device)?.json()?;
        let tunnel = tunnel::open(&customer.device, &peer)?;
        Ok(Self { customer, minted, peer, tunnel })
    }

    fn name(&self) -> Thumbprint {
        Thumbprint::from(&self.customer.device.public())
    }

    fn list(&self) -> Result<Devices> {
        ask_inside(self.tunnel.proxy_addr(), &self.peer, Method::GET, DEVICES, &json!({}))?.json()
    }

    fn remove(&self, other: Thumbprint) -> Result<Devices> {
        let named = json!({ "device": other });
        ask_inside(self.tunnel.proxy_addr(), &self.peer, Method::POST, REMOVE_DEVICE, &named)?
            .json()
    }
}

/// Two devices of a new customer's.
fn two_devices(town: &Town) -> Result<(Device, Device)> {
    let customer = Customer::new(town)?;
    let (srt, leased) = customer.lease()?;
    let second = customer.on_another_device();
    let minted = second.refresh(&srt, &leased)?;
    assert_eq!(minted.ip, leased.minted.ip);
    Ok((Device::open(customer, leased.minted)?, Device::open(second, minted)?))
}

#[test]
fn two_devices_use_one_address_until_one_removes_the_other() -> Result<()> {
    let scene = &mut Scene::open()?;
    let (one, two) = two_devices(scene)?;
    let (web, ip) = (scene.web_address(), one.minted.ip.ip());
    let proxies = [one.tunnel.proxy_addr(), two.tunnel.proxy_addr()];
    for proxy in proxies.into_iter().chain(proxies) {
        assert_eq!(tunnel::seen(proxy, web)?, ip);
    }
    let names = |devices: &Devices| -> Vec<_> {
        devices.devices.iter().map(|device| (device.device, device.this)).collect()
    };
    let mut both = [(one.name(), true), (two.name(), false)];
    both.sort_unstable();
    assert_eq!(names(&one.list()?), both);
    // Both have a connection; then the second one's is cut off and the first one's goes on.
    let mut flows = Vec::new();
    for proxy in proxies {
        let (stream, code) = tunnel::connect(proxy, web)?;
        assert_eq!(code, tunnel::CONNECTED);
        flows.push(stream);
    }
    assert_eq!(names(&one.remove(two.name())?), [(one.name(), true)]);
    let mut answers = Vec::new();
    for mut flow in flows {
        flow.set_read_timeout(Some(Duration::from_secs(2)))?;
        flow.write_all(b"GET / HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        answers.push(flow.read_to_string(&mut answer).map(|_| answer));
    }
    assert!(answers[0].as_ref().is_ok_and(|answer| answer.trim_end().ends_with(&ip.to_string())));
    assert!(answers[1].is_err(), "{:?}", answers[1]);
    assert!(tunnel::connect(proxies[1], web).is_err());
    assert_eq!(tunnel::seen(proxies[0], web)?, ip);
    // Neither this token nor the next opens anything, before and after a crash.
    let refused = |device: &Device| -> Result<(u16, String)> {
        let services = &device.customer.services;
        let answer = services.add_peer(&device.minted.dat, device.customer.device.public())?;
        Ok((answer.refusal().0, answer.refusal().1.to_owned()))
    };
    let removed = (403, "device-removed".to_owned());
    assert_eq!(refused(&two)?, removed);
    scene.kill("gateway")?;
    scene.restart("gateway")?;
    assert_eq!(refused(&two)?, removed);
    assert_eq!(eventually(|| tunnel::seen(proxies[0], web))?, ip);
    let stored = Stored::by(scene, "gateway")?;
    let device = two.customer.device.public();
    assert_eq!(stored.count("grants WHERE device = ?1", [device.bytes()])?, 0);
    assert_eq!(stored.count("removed WHERE device = ?1", [device.bytes()])?, 1);
    Ok(())
}

/// The default of a gateway.
#[test]
fn an_eleventh_device_has_to_wait() -> Result<()> {
    let town = shared()?;
    let customer = Customer::new(town)?;
    let (srt, leased) = customer.lease()?;
    let come = || -> Result<_> {
        let device = customer.on_another_device();
        let minted = device.refresh(&srt, &leased)?;
        customer.services.add_peer(&minted.dat, device.device.public())
    };
    for _ in 0..10 {
        come()?.json::<Peer>()?;
    }
    assert_eq!(come()?.refusal(), (409, "device-limit-reached"));
    let first = customer.services.add_peer(&leased.minted.dat, customer.device.public())?;
    assert_eq!(first.refusal(), (409, "device-limit-reached"));
    Ok(())
}

/// The program's commands, with a second device that is made by hand from the first one's wallet.
#[test]
fn the_program_lists_removes_and_restores_devices() -> Result<()> {
    let town = shared()?;
    let user = User::logged_in(town)?;
    user.assign()?.json()?;
    let connected = user.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
    let proxy = connected["proxy"].as_str().context("no proxy")?.parse()?;
    let wallet = Wallet::from_json(user.wallet().context("no wallet")?.as_bytes());
    let wallet = wallet.context("no wallet")?;
    let Dip::Leased(leased) = &wallet.dip else { anyhow::bail!("no lease") };
    let srt = wallet.srt.as_ref().context("no receipt")?.srt.clone();
    let customer = Customer {
        services: Services::of(town)?,
        account: user.account.clone(),
        subscription: user.subscription.parse()?,
        device: PeerSecret::random(&mut system_rng()),
    };
    let minted = customer.refresh(&srt, leased)?;
    let second = Device::open(customer, minted)?;
    let web = town.web_address();
    let seen = tunnel::seen(proxy, web)?;
    assert_eq!(tunnel::seen(second.tunnel.proxy_addr(), web)?, seen);

    let this = Thumbprint::from(&wallet.device.public());
    let listed = user.run(&["device", "list"])?.json()?;
    let ends = leased.minted.dat_ends.to_string();
    let row = |device: Thumbprint, this| json!({"device": device, "ends": ends, "this": this});
    let mut rows = [(this, row(this, true)), (second.name(), row(second.name(), false))];
    rows.sort_by_key(|(name, _)| *name);
    assert_eq!(listed, json!({ "devices": rows.map(|(_, row)| row) }));
    // For people.
    let home = user.home().to_str().context("no text")?;
    let shown = cloakroom(&["--home", home, "device", "list"], "")?.out;
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("device "), "{shown}");
    let marked = |line: &&&str| line.ends_with("this device");
    let own = lines.iter().find(marked).context("no device is marked")?;
    assert!(own.starts_with(&this.to_string()) && own.contains(&ends), "{own}");

    // Nobody sits at a terminal.
    let name = second.name().to_string();
    let unasked = user.run(&["device", "remove", &name])?;
    assert_eq!((unasked.status, unasked.out.as_str()), (2, ""), "{}", unasked.err);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let removed = user.run(&["device", "remove", &name, "--yes"])?;
    let alone = json!([row(this, true)]);
    assert_eq!(removed.json()?, json!({"removed": name, "devices": alone}));
    for said in ["cloakroom account change-number", &format!("cloakroom device restore {name}")] {
        assert!(removed.err.contains(said), "{}", removed.err);
    }
    assert!(tunnel::connect(second.tunnel.proxy_addr(), web).is_err());
    assert_eq!(tunnel::seen(proxy, web)?, seen);
    assert_eq!(user.run(&["device", "remove", &name, "--yes"])?.json()?, removed.json()?);
    // Somebody's who isn't there.
    let stranger = Thumbprint::from(&PeerSecret::random(&mut system_rng()).public()).to_string();
    let unknown = user.run(&["device", "remove", &stranger, "--yes"])?;
    assert_eq!(unknown.status, 1);
    assert!(unknown.err.contains("cloakroom device list"), "{}", unknown.err);

    let restored = user.run(&["device", "restore", &name])?.json()?;
    assert_eq!(restored, json!({"restored": name, "devices": alone}));
    // What is left of its tunnel still tries, and would take the new one's place.
    second.tunnel.shutdown();
    let second = Device::open(second.customer, second.minted)?;
    assert_eq!(second.list()?.devices.len(), 2);

    // Itself: the answer goes with the tunnel, and it says what came of it all the same.
    let itself = user.run(&["device", "remove", &this.to_string(), "--yes"])?;
    assert_eq!(itself.json()?, json!({"removed": this, "devices": Value::Null}));
    assert!(itself.err.contains("cloakroom disconnect"), "{}", itself.err);
    let refused = user.run(&["device", "list"])?;
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("cloakroom device restore"), "{}", refused.err);
    user.run(&["disconnect"])?.json()?;
    let refused = user.run(&["connect", "--proxy", "127.0.0.1:0"])?;
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("cloakroom device restore"), "{}", refused.err);
    // Its own address's other device lets it in again.
    let named = json!({ "device": this });
    let (proxy, path) = (second.tunnel.proxy_addr(), gateway_api::RESTORE_DEVICE);
    ask_inside(proxy, &second.peer, Method::POST, path, &named)?.json::<Devices>()?;
    user.run(&["connect", "--proxy", "127.0.0.1:0"])?.json()?;
    user.run(&["disconnect"])?.json()?;
    Ok(())
}
