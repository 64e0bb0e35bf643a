//! Each step of a customer's way, lost once.

use anyhow::Result;
use endtoend::customer::Bought;
use endtoend::dropping::Fault;
use endtoend::evidence::Stored;
use endtoend::services::now;
use endtoend::tunnel;
use gateway_api::Peer;
use minting::Minted;

use crate::street::{SERVICES, Street};

/// Who dies between a lost step and its repetition, given the service that did the work.
type Dies = fn(&'static str) -> Vec<&'static str>;

/// All of one customer's way, with each step lost once.
fn lose_each_step(street: &mut Street, fault: Fault, dies: Dies) -> Result<()> {
    let customer = street.customer()?;
    let services = &customer.services;
    // Login: a receipt for the same subscription.
    let srt =
        street.lose(|street| &street.accounts, fault, &dies("accounts"), || customer.srt())?;
    // The week's key.
    let key =
        street.lose(|street| &street.issuer, fault, &dies("issuer"), || services.public_key())?;
    assert_eq!(key, services.public_key()?);
    // The blind signature: the very same for the very same message.
    let drawing = customer.begin()?;
    let send = || {
        let answer = customer.send(&srt, &drawing)?;
        anyhow::ensure!(answer.status == 200, "{:?}", answer.refusal());
        Ok(answer)
    };
    let answer = street.lose(|street| &street.issuer, fault, &dies("issuer"), send)?;
    assert_eq!(customer.send(&srt, &drawing)?.body, answer.body);
    let drawn = customer.finish(&drawing, &answer)?;
    let bought = Bought { srt, drawn };
    // The attestation.
    street.lose(|street| &street.parent, fault, &dies("parent"), || services.attest())?;
    // The address.
    let assign = || customer.assign(&bought);
    let (minted, assigned) = street.lose(|street| &street.dip, fault, &dies("dip"), assign)?;
    assert_one_lease(street, &bought, &minted)?;
    // The tunnel.
    let (dat, device) = (&minted.dat, customer.device.public());
    let add = || services.add_peer(dat, device)?.json::<Peer>();
    let peer = street.lose(|street| &street.gateway, fault, &dies("gateway"), add)?;
    let open = tunnel::open(&customer.device, &peer)?;
    assert_eq!(tunnel::seen(open.proxy_addr(), street.scene.web_address())?, minted.ip.ip());
    open.shutdown();
    // A refresh: at the DIP service, on the way to the parent, on the way to the enclave.
    let (srt, leased) = (bought.srt.clone(), bought.drawn.lease(minted, assigned.gateway));
    let refresh = || customer.refresh(&srt, &leased);
    let same = |minted: &Minted| {
        assert_eq!((minted.lease, minted.ip), (leased.minted.lease, leased.minted.ip));
    };
    same(&street.lose(|street| &street.dip, fault, &dies("dip"), refresh)?);
    same(&street.lose(|street| &street.inner, fault, &dies("parent"), refresh)?);
    same(&street.lose_inside(|street| &street.link, fault, &dies("nsm"), refresh)?);
    Ok(())
}

/// An assignment that gets lost further inside: the order or its answer, at either of two places.
fn lose_inside(street: &mut Street, fault: Fault, dies: Dies) -> Result<()> {
    let one = street.customer()?;
    let bought = one.buy()?;
    let assign = || one.assign(&bought);
    let (minted, _) = street.lose_inside(|street| &street.inner, fault, &dies("parent"), assign)?;
    assert_one_lease(street, &bought, &minted)?;
    let other = street.customer()?;
    let bought = other.buy()?;
    let assign = || other.assign(&bought);
    let (minted, _) = street.lose_inside(|street| &street.link, fault, &dies("nsm"), assign)?;
    assert_one_lease(street, &bought, &minted)
}

/// That the token bought this one lease.
fn assert_one_lease(street: &Street, bought: &Bought, minted: &Minted) -> Result<()> {
    let stored = Stored::by(&street.scene, "dip")?;
    let hash = bought.drawn.token()?.spend_hash();
    let lease: Vec<u8> =
        stored.value("SELECT lease FROM assignments WHERE token_hash = ?1", [hash.as_bytes()])?;
    assert_eq!(lease, minted.lease.bytes());
    let of_address = "leases WHERE ip = ?1 AND lease = ?2 AND state = 'leased'";
    let found = stored.count(of_address, (minted.ip.bytes(), minted.lease.bytes()))?;
    assert_eq!(found, 1);
    assert!(minted.dat_ends.start() > now());
    Ok(())
}

#[test]
fn every_step_may_get_lost() -> Result<()> {
    let street = &mut Street::open()?;
    for fault in Fault::ALL {
        lose_each_step(street, fault, |_| vec![])?;
        lose_inside(street, fault, |_| vec![])?;
    }
    street.assert_leases(9)
}

#[test]
fn every_step_may_get_lost_and_who_did_it_die() -> Result<()> {
    let street = &mut Street::open()?;
    for fault in [Fault::Request, Fault::Reply] {
        lose_each_step(street, fault, |service| vec![service])?;
        lose_inside(street, fault, |service| vec![service])?;
    }
    street.assert_leases(6)
}

#[test]
fn every_step_may_get_lost_and_everybody_die() -> Result<()> {
    let street = &mut Street::open()?;
    lose_each_step(street, Fault::Reply, |_| SERVICES.to_vec())?;
    lose_inside(street, Fault::Reply, |_| SERVICES.to_vec())?;
    street.assert_leases(3)
}
