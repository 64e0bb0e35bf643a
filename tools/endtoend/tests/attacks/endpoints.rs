//! Every endpoint of every service, with an honest request that it takes and that changes nothing any more: it is a
//! repetition. Spoilt in any way it has to be refused.

use std::net::SocketAddr;

use ::tunnel::ClientHandle;
use access_code::BackupKeys;
use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use backup_api::Blob;
use coarse::{Secret, system_rng};
use dip_api::Assigned;
use encoding::Base64Url;
use endtoend::customer::Customer;
use endtoend::keys;
use endtoend::raw::{self, Said};
use endtoend::services::{REGION, ask_inside, now};
use endtoend::tunnel;
use gateway_api::{DEVICES, Peer, REMOVE_DEVICE, RESTORE_DEVICE};
use http::Method;
use jws::Compact;
use lab::Town;
use lease::{ExtensionOrder, Order, RequestHash};
use peer_key::Thumbprint;
use privacy_pass::{MEDIA_TYPE_REQUEST, TokenHeader};
use serde_json::{Value, json};

/// The services with an HTTP interface.
pub(crate) const SERVICES: [&str; 6] = ["accounts", "issuer", "parent", "dip", "gateway", "backup"];

/// One endpoint and its honest request.
pub(crate) struct Endpoint {
    pub(crate) service: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Keeps the way there open, where that is a tunnel.
    _tunnel: Option<ClientHandle>,
}

impl Endpoint {
    /// The JSON that it takes, if it takes any.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Its name for a message.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {}", self.service, self.method, self.path)
    }

    /// Sends this body with the honest headers.
    pub(crate) fn send(&self, body: &[u8]) -> Result<Said> {
        self.send_with(&self.headers, body)
    }

    /// Sends this body with these headers.
    pub(crate) fn send_with(&self, headers: &[(&str, String)], body: &[u8]) -> Result<Said> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = raw::request(self.method, &self.path, &headers, body);
        raw::exchange(self.address, &request).with_context(|| self.name())
    }

    /// The honest headers without these.
    pub(crate) fn headers_without(&self, name: &str) -> Vec<(&'static str, String)> {
        self.headers.iter().filter(|(header, _)| *header != name).cloned().collect()
    }
}

/// All endpoints of a town, each with a request that was made once already.
pub(crate) fn all(town: &Town) -> Result<Vec<Endpoint>> {
    let customer = Customer::new(town)?;
    let services = &customer.services;
    let (srt, drawing) = (customer.srt()?, customer.begin()?);
    let drawn = customer.finish(&drawing, &customer.send(&srt, &drawing)?)?;
    let bought = endtoend::customer::Bought { srt: srt.clone(), drawn };
    let enclave = services.attest()?;
    let (sealed, hash) = customer.seal(&bought, &enclave)?;
    let assigned: Assigned = customer.present(&bought.drawn, &sealed.request)?.json()?;
    let (lease, device) = (assigned.lease, customer.device.public());
    let minted = sealed.open(&assigned.sealed.0, lease, &device, &enclave, now())?;
    let leased = bought.drawn.lease(minted, assigned.gateway);
    let refresh = leased.seal_request(&srt, &customer.device, &enclave, &mut system_rng())?.request;
    services.refresh(lease, &refresh)?;
    services.add_peer(&leased.minted.dat, device)?;
    let (ip, region) = (leased.minted.ip, leased.minted.region.clone());
    let order =
        Order { lease, ip, region: region.clone(), token: hash, frozen: false, notice: None };
    let request = RequestHash(digest(&SHA256, &refresh).as_ref().try_into()?);
    let extension = ExtensionOrder { lease, ip, region, request, frozen: false, notice: None };
    let key = keys::order_key(town)?;
    let (refunded, _) = town.make_account()?;
    let other = Customer::new(town)?;
    let (gone, reset) = (other.subscription.to_hex(), Customer::new(town)?.subscription.to_hex());
    town.support("refund", &gone)?;
    town.support("reset", &reset)?;

    let operator = std::fs::read_to_string(town.home("accounts").join("state/operator.token"))?;
    let bearer = |text: &str| ("Authorization", format!("Bearer {}", text.trim()));
    let kind = |kind: &str| ("Content-Type", kind.to_owned());
    let json_kind = || kind("application/json");
    // A second token of the same wallet: what was spent is in the sealed envelope's binding.
    let token = TokenHeader::build(&customer_token(&leased)?);
    let text = |bytes: &[u8]| Base64Url(bytes.to_vec()).to_text();
    let backup = BackupKeys::from_root(Secret::random(&mut system_rng()))?;
    let removed = BackupKeys::from_root(Secret::random(&mut system_rng()))?;
    let blob = Blob::new(vec![7; backup_api::BLOB_SIZE]).context("another size")?;
    let blinded = drawing.request(&services.provider)?;
    let post = |service, path: &str, headers, body: Value| -> Result<Endpoint> {
        let body = body.to_string().into_bytes();
        endpoint(town, service, "POST", path, headers, body)
    };
    let get = |service, path: &str| endpoint(town, service, "GET", path, vec![], vec![]);
    let mut all = vec![
        post(
            "accounts",
            accounts_api::ACCOUNTS,
            vec![bearer(&operator), json_kind()],
            json!({"account": refunded, "entitlements": ["vpn.dip", "vpn.access"]}),
        )?,
        endpoint(town, "accounts", "POST", accounts_api::SRT, vec![bearer(&refunded)], vec![])?,
        endpoint(
            town,
            "accounts",
            "POST",
            &format!("/api/v1/subscriptions/{gone}/refund"),
            vec![bearer(&operator)],
            vec![],
        )?,
        post(
            "accounts",
            &format!("/api/v1/subscriptions/{reset}/reset"),
            vec![bearer(&operator), json_kind()],
            json!({"from": 0}),
        )?,
        endpoint(
            town,
            "accounts",
            "GET",
            &format!("/api/v1/subscriptions/{gone}"),
            vec![bearer(&operator)],
            vec![],
        )?,
        get("issuer", &format!("{}?purpose=dedicated-ip", issuer_api::PUBLIC_KEY))?,
        get("issuer", issuer_api::DIRECTORY)?,
        post(
            "issuer",
            issuer_api::BLIND_SIGN,
            vec![bearer(srt.as_str()), json_kind()],
            json!({
                "purpose": "dedicated-ip",
                "epoch": drawing.key().epoch,
                "blinded_message": text(blinded.blinded_message()),
            }),
        )?,
        endpoint(
            town,
            "issuer",
            "POST",
            issuer_api::TOKEN_REQUEST,
            vec![bearer(srt.as_str()), kind(MEDIA_TYPE_REQUEST)],
            blinded.encode(),
        )?,
        get("parent", &format!("{}?nonce={}", wire::http::ATTESTATION, "00".repeat(32)))?,
        post(
            "parent",
            wire::http::GENERATE_TOKENS,
            vec![json_kind()],
            json!({"order": order.sign(&key, now())?, "sealed": text(&sealed.request)}),
        )?,
        post(
            "parent",
            wire::http::REFRESH_TOKENS,
            vec![json_kind()],
            json!({"order": extension.sign(&key, now())?, "sealed": text(&refresh)}),
        )?,
        get("dip", dip_api::REGIONS)?,
        post(
            "dip",
            dip_api::ASSIGN,
            vec![("Authorization", token), json_kind()],
            json!({"region": REGION, "sealed": text(&sealed.request)}),
        )?,
        post(
            "dip",
            dip_api::REFRESH,
            vec![json_kind()],
            json!({"lease": lease, "sealed": text(&refresh)}),
        )?,
        post(
            "gateway",
            gateway_api::PEERS,
            vec![json_kind()],
            json!({"dat": leased.minted.dat, "device": device}),
        )?,
        post(
            "backup",
            backup_api::READ,
            vec![json_kind()],
            json!({ "locator": backup.locator() }),
        )?,
        post("backup", backup_api::WRITE, vec![json_kind()], json!(backup.write(blob)))?,
        post("backup", backup_api::REMOVE, vec![json_kind()], json!(removed.remove()))?,
    ];
    all.extend(inside(&customer, &srt, &leased)?);
    // The write that is repeated from now on.
    for endpoint in all.iter().filter(|one| one.path == backup_api::WRITE) {
        endpoint.send(&endpoint.body)?;
    }
    for service in SERVICES {
        all.extend([get(service, "/health")?, get(service, "/metrics")?]);
    }
    Ok(all)
}

/// The token that a lease was bought with, as the wallet keeps it until the first refresh.
fn customer_token(leased: &wallet::Leased) -> Result<privacy_pass::Token> {
    let kept = serde_json::to_value(leased)?;
    let token = kept.pointer("/drawn/token").and_then(Value::as_str).context("no token")?;
    let bytes = Base64Url::from_text(token).context("no base64")?;
    Ok(privacy_pass::Token::decode(&bytes.0)?)
}

fn endpoint(
    town: &Town,
    service: &'static str,
    method: &'static str,
    path: &str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
) -> Result<Endpoint> {
    let address = raw::address(&town.url(service)?)?;
    let path = path.to_owned();
    Ok(Endpoint { service, address, method, path, headers, body, _tunnel: None })
}

/// What the gateway is asked from inside a tunnel, by a device that has removed another of its address.
fn inside(customer: &Customer, srt: &Compact, leased: &wallet::Leased) -> Result<Vec<Endpoint>> {
    let other = customer.on_another_device();
    let dat = other.refresh(srt, leased)?.dat;
    other.services.add_peer(&dat, other.device.public())?.json::<Peer>()?;
    let answer = customer.services.add_peer(&leased.minted.dat, customer.device.public())?;
    let peer: Peer = answer.json()?;
    let way = tunnel::open(&customer.device, &peer)?;
    let [this, other] = [customer, &other].map(|one| Thumbprint::from(&one.device.public()));
    let removed = json!({"device": other});
    ask_inside(way.proxy_addr(), &peer, Method::POST, REMOVE_DEVICE, &removed)?.json::<Value>()?;
    let address = tunnel::door(way.proxy_addr(), tunnel::inside(&peer))?;
    let kind = || vec![("Content-Type", "application/json".to_owned())];
    let asked = [
        ("GET", DEVICES, vec![], vec![]),
        ("POST", REMOVE_DEVICE, kind(), removed.to_string().into_bytes()),
        ("POST", RESTORE_DEVICE, kind(), json!({"device": this}).to_string().into_bytes()),
    ];
    let endpoint = |(method, path, headers, body): (_, &str, _, _)| Endpoint {
        service: "gateway",
        address,
        method,
        path: path.to_owned(),
        headers,
        body,
        _tunnel: Some(way.clone()),
    };
    Ok(asked.map(endpoint).into())
}

/// That every service takes every honest request.
pub(crate) fn assert_all_well(all: &[Endpoint]) -> Result<()> {
    for endpoint in all {
        let said = endpoint.send(&endpoint.body)?;
        assert_eq!(said.status, Some(200), "{}: {}", endpoint.name(), said.head);
    }
    Ok(())
}
