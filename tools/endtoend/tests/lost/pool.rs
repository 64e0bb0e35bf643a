//! When there is no enclave, or no address: nothing is spent by asking, and the same token buys an address later.

use anyhow::{Context as _, Result};
use dip_api::Assigned;
use endtoend::customer::{Bought, Customer};
use endtoend::evidence::Stored;
use endtoend::rows::Rows;
use endtoend::scene::Scene;
use endtoend::services::{Answer, now};
use minting::Minted;
use privacy_pass::TokenHeader;

/// A region of its own with one address.
const REGION: &str = "small";

/// The operator adds an address to the small region.
fn add_address(scene: &Scene, address: &str) -> Result<()> {
    let import = ["pool", "import", "--cidr", address, "--region", REGION, "--gateway", "demo"];
    scene.operate_dip(&import).map(drop)
}

/// Presents a token for an address of the small region.
fn present(customer: &Customer, bought: &Bought) -> Result<Answer> {
    let (sealed, _) = customer.seal(bought, &customer.services.attest()?)?;
    let authorization = TokenHeader::build(&bought.drawn.token()?);
    customer.services.assign(Some(&authorization), REGION, &sealed.request)
}

/// The same to the end.
fn assign(customer: &Customer, bought: &Bought) -> Result<Minted> {
    let enclave = customer.services.attest()?;
    let (sealed, _) = customer.seal(bought, &enclave)?;
    let authorization = TokenHeader::build(&bought.drawn.token()?);
    let answer = customer.services.assign(Some(&authorization), REGION, &sealed.request)?;
    let assigned: Assigned = answer.json()?;
    let device = customer.device.public();
    Ok(sealed.open(&assigned.sealed.0, assigned.lease, &device, &enclave, now())?)
}

#[test]
fn an_exhausted_pool_spends_nothing() -> Result<()> {
    let scene = &mut Scene::open()?;
    add_address(scene, "127.77.1.1")?;
    let (first, second, third) =
        (Customer::new(scene)?, Customer::new(scene)?, Customer::new(scene)?);
    let (one, two, three) = (first.buy()?, second.buy()?, third.buy()?);
    assert_eq!(assign(&first, &one)?.ip, "127.77.1.1".parse()?);
    let before = Rows::of(scene)?;
    for _ in 0..3 {
        let refused = present(&second, &two)?;
        assert_eq!(refused.refusal(), (503, "pool-exhausted"));
        let seconds: u32 = refused.header("retry-after")?.parse()?;
        assert!(seconds > 0);
    }
    before.unchanged(scene)?;
    // Who has an address has it still.
    assert_eq!(assign(&first, &one)?.ip, "127.77.1.1".parse()?);
    before.unchanged(scene)?;
    // After an address was added the same token gets it, and the next one waits.
    add_address(scene, "127.77.1.2")?;
    assert_eq!(assign(&second, &two)?.ip, "127.77.1.2".parse()?);
    let before = Rows::of(scene)?;
    assert_eq!(present(&third, &three)?.refusal(), (503, "pool-exhausted"));
    before.unchanged(scene)?;
    // Or goes to another region.
    third.assign(&three)?;
    Ok(())
}

#[test]
fn the_same_token_buys_the_same_address_once_the_enclave_is_back() -> Result<()> {
    let scene = &mut Scene::open()?;
    let customer = Customer::new(scene)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let (sealed, _) = customer.seal(&bought, &customer.services.attest()?)?;
    let before = Rows::of(scene)?;
    // The enclave is down, then its parent as well; the address is reserved all the while.
    let mut addresses = Vec::new();
    for service in ["nsm", "parent"] {
        scene.kill(service)?;
        let refused = customer.present(&bought.drawn, &sealed.request)?;
        assert_eq!(refused.refusal(), (503, "enclave-unavailable"), "{service}");
        assert!(refused.header("retry-after")?.parse::<u32>()? > 0);
        before.only_reserved(scene, &hash)?;
        addresses.push(reserved(scene, hash.as_bytes())?);
    }
    // Also over a crash of the service that reserved it.
    scene.kill("dip")?;
    for service in ["nsm", "parent", "dip"] {
        scene.restart(service)?;
    }
    let (minted, _) = customer.assign(&bought)?;
    addresses.push(minted.ip.bytes().to_vec());
    assert!(addresses.iter().all(|address| *address == addresses[0]));
    let stored = Stored::by(scene, "dip")?;
    assert_eq!(stored.count("leases WHERE state = 'leased'", [])?, 1);
    assert_eq!(stored.count("ip_pool WHERE status <> 'available'", [])?, 1);
    Ok(())
}

/// The address that is reserved for a token.
fn reserved(scene: &Scene, token: &[u8]) -> Result<Vec<u8>> {
    let sql = "SELECT ip FROM assignments JOIN leases USING (lease) WHERE token_hash = ?1";
    Stored::by(scene, "dip")?.value(sql, [token]).context("there is no reservation")
}
