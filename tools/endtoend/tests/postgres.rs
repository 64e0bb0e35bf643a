//! A provider whose rows are in PostgreSQL, on two servers: one for each side of the wall.

use anyhow::Result;
use endtoend::customer::{Bought, Customer};
use endtoend::scene::Scene;
use endtoend::tunnel;
use gateway_api::Peer;
use postgres_cluster::{Cluster, Options};

#[test]
fn two_instances_of_each_identity_service_lead_to_one_address() -> Result<()> {
    let options = || Options { in_memory: true, ..Options::default() };
    let (identity, address) = (Cluster::start(options())?, Cluster::start(options())?);
    let servers = [("accounts", &identity), ("issuer", &identity), ("gateway", &address)];
    let mut databases = Vec::new();
    for (service, server) in servers {
        databases.push((service, server.database_named(service)?.url));
    }
    let scene = &mut Scene::with_databases(databases)?;
    let customer = Customer::new(scene)?;
    let mut elsewhere = customer.on_another_device();
    let urls = &mut elsewhere.services.provider.urls;
    urls.accounts = format!("http://{}", scene.another("accounts")?);
    urls.blind_token_service = format!("http://{}", scene.another("issuer")?);

    // Logged in at the one instance of accounts and drawn at the one issuer; the other issuer gives the same answer, and no other token.
    let (srt, drawing) = (elsewhere.srt()?, customer.begin()?);
    let first = customer.send(&srt, &drawing)?;
    assert_eq!(first.status, 200);
    let again = elsewhere.send(&srt, &drawing)?;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let second = elsewhere.send(&customer.srt()?, &elsewhere.begin()?)?;
    assert_eq!(second.refusal(), (409, "draw-limit-reached"));

    let bought = Bought { srt, drawn: customer.finish(&drawing, &again)? };
    let (minted, _) = customer.assign(&bought)?;
    let device = customer.device.public();
    let peer: Peer = customer.services.add_peer(&minted.dat, device)?.json()?;
    let tunnel = tunnel::open(&customer.device, &peer)?;
    assert_eq!(tunnel::seen(tunnel.proxy_addr(), scene.web_address())?, minted.ip.ip());

    // The rows are where they should be, and nowhere else.
    for (service, server, table) in [
        ("accounts", &identity, "accounts"),
        ("accounts", &identity, "subscriptions"),
        ("issuer", &identity, "subscriptions WHERE redeemed"),
        ("issuer", &identity, "answers"),
        ("gateway", &address, "grants"),
    ] {
        let count = server.sql(service, &format!("SELECT count(*) FROM {table}"))?;
        assert_eq!(count.trim(), "1", "{service}: {table}");
        let file = scene.home(service).join("state").join(format!("{service}.sqlite"));
        assert!(!file.exists(), "{}", file.display());
    }
    Ok(())
}
