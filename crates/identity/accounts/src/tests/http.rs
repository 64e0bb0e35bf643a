//! The service over HTTP: each request, each refusal, and that a refusal changes nothing.

use std::sync::Arc;

use accounts_api::{ACCOUNTS, CreatedAccount, MintedSrt, NUMBER as CHANGE, SRT, SubscriptionView};
use bytes::Bytes;
use coarse::{Clock as _, FixedClock, Secret, SecretText, UnixTime};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response};
use jws::{KeySet, SigningKey};
use key_ring::LiveSigner;
use receipt::{ENCLAVE_AUDIENCE, ISSUER_AUDIENCE, Srt, SubscriptionVersion};
use serde_json::{Value, json};
use service::{
    BaseUrl, ClientConfig, HttpClient, OperatorSecret, ReceivedProblem, ServeConfig, Server,
};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trail::Trail;

use crate::{AccountStore as _, Accounts, DESCRIPTION, NumberHash, ROUTES, SqliteAccounts, router};

const NOW: UnixTime = UnixTime::from_seconds(1_795_219_200);
const OPERATOR: &str = "an-operator's-token";
const NUMBER: &str = "012345678901234567890123";

struct Room {
    directory: TempDir,
    clock: Arc<FixedClock>,
    store: SqliteAccounts,
    base: BaseUrl,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
}

impl Room {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn restart(self) -> Self {
        let Self { directory, store, stop, served, .. } = self;
        stop.send(()).unwrap();
        served.await.unwrap();
        drop(store);
        Self::open(directory).await
    }

    async fn open(directory: TempDir) -> Self {
        let clock = Arc::new(FixedClock::new(NOW));
        let store = SqliteAccounts::open(&directory.path().join("accounts.sqlite")).unwrap();
        let operator = OperatorSecret::new(SecretText::new(OPERATOR.to_owned())).unwrap();
        let metrics = Metrics::new(Arc::<FixedClock>::clone(&clock));
        let (signer, trail) = (LiveSigner::fixed(key()), Trail::of(directory.path()));
        let accounts =
            Accounts::new(store.clone(), signer, Arc::<FixedClock>::clone(&clock), trail, &metrics);
        let routes = router(accounts, operator);
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = ServeConfig { routes: &ROUTES, metrics, ..ServeConfig::new(listen) };
        let server = Server::bind(config, ()).await.unwrap();
        let base = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            server
                .run_until(routes, async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { directory, clock, store, base, stop, served }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Response<Bytes> {
        let uri = self.base.join(path).unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let request = match body {
            Some(body) => {
                request.header(CONTENT_TYPE, "application/json").body(Bytes::from(body.to_string()))
            }
            None => request.body(Bytes::new()),
        };
        HttpClient::new(ClientConfig::default(), ()).send(request.unwrap()).await.unwrap()
    }

    async fn post(&self, path: &str, body: Option<Value>) -> Response<Bytes> {
        self.ask(Method::POST, path, Some(OPERATOR), body).await
    }

    async fn create(&self, body: Value) -> CreatedAccount {
        service::parse(&self.post(ACCOUNTS, Some(body)).await).unwrap()
    }

    /// An account with this number, for everything; gives the path of its subscription.
    async fn customer(&self) -> String {
        let all = ["vpn.dip", "vpn.access"];
        let made = self.create(json!({"account": NUMBER, "entitlements": all})).await;
        format!("/api/v1/subscriptions/{}", made.subscription.to_hex())
    }

    async fn view(&self, path: &str) -> SubscriptionView {
        service::parse(&self.ask(Method::GET, path, Some(OPERATOR), None).await).unwrap()
    }

    async fn mint(&self, number: &str) -> Response<Bytes> {
        self.ask(Method::POST, SRT, Some(number), None).await
    }

    async fn minted(&self, number: &str) -> Srt {
        let minted: MintedSrt = service::parse(&self.mint(number).await).unwrap();
        let keys = KeySet::from(key().verifying_key());
        Srt::verify(minted.srt.as_str(), &keys, ISSUER_AUDIENCE, self.clock.now()).unwrap()
    }
}

fn refusal(answer: &Response<Bytes>) -> (u16, String) {
    let problem = ReceivedProblem::from_response(answer);
    (problem.status, problem.slug().to_owned())
}

#[tokio::test]
async fn an_account_gets_receipts_for_three_days() {
    let room = Room::new().await;
    let path = room.customer().await;
    let answer: MintedSrt = service::parse(&room.mint(NUMBER).await).unwrap();
    let keys = KeySet::from(key().verifying_key());
    let verify = |now| Srt::verify(answer.srt.as_str(), &keys, ENCLAVE_AUDIENCE, now);
    let srt = verify(NOW).unwrap();
    assert_eq!(path, format!("/api/v1/subscriptions/{}", srt.subscription.to_hex()));
    assert_eq!(srt.entitlements.dedicated_ip.map(|dip| dip.did.number()), Some(0));
    assert!(srt.entitlements.access.is_some());
    let three_days = UnixTime::from_seconds(NOW.seconds() + 3 * 86_400);
    assert_eq!(answer.ends, three_days.hour());
    assert!(verify(three_days.plus(jws::CLOCK_SKEW)).is_err());
    // People write their number in groups.
    room.minted("0123 4567 8901 2345 6789 0123").await;
}

#[tokio::test]
async fn creating_twice_with_one_number_makes_one_account() {
    let room = Room::new().await;
    let path = room.customer().await;
    assert_eq!(room.customer().await, path);
    let body = json!({"account": NUMBER, "entitlements": ["vpn.dip"]});
    let other = room.post(ACCOUNTS, Some(body)).await;
    assert_eq!(refusal(&other), (409, "account-exists".into()));
    let fresh = json!({"entitlements": ["vpn.access"]});
    let (one, two) = (room.create(fresh.clone()).await, room.create(fresh).await);
    assert!(one.account.digits() != two.account.digits() && one.subscription != two.subscription);
    let room = room.restart().await;
    assert_eq!(room.customer().await, path);
    assert!(room.minted(&one.account.to_text()).await.entitlements.dedicated_ip.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_twice_at_once_makes_one_account() {
    let room = Room::new().await;
    let (one, two, three) = tokio::join!(room.customer(), room.customer(), room.customer());
    assert_eq!((&one, &one), (&two, &three));
}

#[tokio::test]
async fn a_number_is_changed_once_however_often_that_is_asked() {
    const OTHER: &str = "111111111111111111111111";
    const THIRD: &str = "222222222222222222222222";
    let room = Room::new().await;
    let path = room.customer().await;
    let before: MintedSrt = service::parse(&room.mint(NUMBER).await).unwrap();
    let change = async |room: &Room, from: &str, to: &str| {
        room.ask(Method::POST, CHANGE, Some(from), Some(json!({"account": to}))).await
    };
    // Nobody's number can't be changed, and nobody gets another's.
    assert_eq!(refusal(&change(&room, OTHER, THIRD).await), (401, "account-unknown".into()));
    let other = room.create(json!({"account": OTHER, "entitlements": ["vpn.access"]})).await;
    assert_eq!(refusal(&change(&room, NUMBER, OTHER).await), (409, "account-exists".into()));
    assert_eq!(room.minted(OTHER).await.subscription, other.subscription);
    for _ in 0..2 {
        assert_eq!(change(&room, NUMBER, THIRD).await.status(), 200);
    }
    let room = room.restart().await;
    assert_eq!(change(&room, NUMBER, THIRD).await.status(), 200, "also after a restart");
    assert_eq!(change(&room, THIRD, THIRD).await.status(), 200);
    assert_eq!(refusal(&room.mint(NUMBER).await), (401, "account-unknown".into()));
    let after: MintedSrt = service::parse(&room.mint(THIRD).await).unwrap();
    assert_eq!(after.salt, before.salt, "the salt stays");
    let subscription = room.minted(THIRD).await.subscription.to_hex();
    assert_eq!(path, format!("/api/v1/subscriptions/{subscription}"));
}

#[tokio::test]
async fn an_account_keeps_its_salt_and_shares_it_with_nobody() {
    let room = Room::new().await;
    room.customer().await;
    let salt = async |room: &Room, number: &str| {
        service::parse::<MintedSrt>(&room.mint(number).await).unwrap().salt
    };
    let first = salt(&room, NUMBER).await;
    let other = room.create(json!({"entitlements": ["vpn.dip"]})).await.account.to_text();
    assert_ne!(salt(&room, &other).await, first);
    let room = room.restart().await;
    assert_eq!(salt(&room, NUMBER).await, first);
}

/// A file of before there were salts: each account gets one of its own.
#[tokio::test]
async fn accounts_from_before_salts_get_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.sqlite");
    let number = |digit: u8| NumberHash::of(&digit.to_string().repeat(24).parse().unwrap());
    let first = include_str!("../../migrations/0001_accounts.sql");
    let first = store::Migration { number: 1, name: "accounts", sql: first };
    let database = store::Database::open(&path, &[first]).unwrap();
    for digit in 1..3 {
        database
            .write("insert", move |tx| {
                let id = [digit; 16];
                tx.execute("INSERT INTO subscriptions VALUES (?1, 0, 0, 1, 0)", [id])?;
                let sql = "INSERT INTO accounts VALUES (?1, ?2)";
                tx.execute(sql, store::params![number(digit).bytes(), id]).map(drop)
            })
            .await
            .unwrap();
    }
    drop(database);
    let store = SqliteAccounts::open(&path).unwrap();
    let (one, first) = store.of_account(number(1)).await.unwrap().unwrap();
    let (_, second) = store.of_account(number(2)).await.unwrap().unwrap();
    assert_eq!(one.id.bytes(), &[1; 16]);
    assert_ne!(first, second);
}

#[tokio::test]
async fn entitlements_that_cannot_be_sold() {
    let room = Room::new().await;
    for names in [json!([]), json!(["vpn.dip", "vpn.dip"]), json!(["gold"])] {
        let body = json!({"account": NUMBER, "entitlements": names});
        let answer = room.post(ACCOUNTS, Some(body)).await;
        assert_eq!(refusal(&answer), (422, "entitlements-unknown".into()));
    }
    let number = json!({"account": "123", "entitlements": ["vpn.dip"]});
    assert_eq!(room.post(ACCOUNTS, Some(number)).await.status(), 422);
    let more = json!({"account": NUMBER, "entitlements": ["vpn.dip"], "more": 1});
    assert_eq!(room.post(ACCOUNTS, Some(more)).await.status(), 422);
    assert_eq!(room.mint(NUMBER).await.status(), 401);
}

#[tokio::test]
async fn a_refund_ends_receipts_for_good() {
    let room = Room::new().await;
    let path = room.customer().await;
    for _ in 0..2 {
        let answer = room.post(&format!("{path}/refund"), None).await;
        let view: SubscriptionView = service::parse(&answer).unwrap();
        assert_eq!(view.state, accounts_api::SubscriptionState::Refunded);
    }
    let room = room.restart().await;
    assert_eq!(refusal(&room.mint(NUMBER).await), (403, "subscription-refunded".into()));
    // Neither a reset nor the same creation again brings it back.
    room.post(&format!("{path}/reset"), Some(json!({"from": 0}))).await;
    assert_eq!(room.customer().await, path);
    assert_eq!(room.mint(NUMBER).await.status(), 403);
}

#[tokio::test]
async fn a_reset_raises_the_version_by_one_however_often_it_is_sent() {
    let room = Room::new().await;
    let path = room.customer().await;
    let reset =
        async |from: u32| room.post(&format!("{path}/reset"), Some(json!({"from": from}))).await;
    for _ in 0..2 {
        let view: SubscriptionView = service::parse(&reset(0).await).unwrap();
        assert_eq!(view.version, SubscriptionVersion::new(1));
    }
    for from in [2, 7] {
        assert_eq!(refusal(&reset(from).await), (409, "subscription-version-differs".into()));
    }
    reset(1).await;
    assert_eq!(refusal(&reset(0).await), (409, "subscription-version-differs".into()));
    let view = room.view(&path).await;
    assert_eq!(view.version, SubscriptionVersion::new(2));
    assert_eq!(view.entitlements, ["vpn.dip", "vpn.access"]);
    let did = room.minted(NUMBER).await.entitlements.dedicated_ip.map(|dip| dip.did.number());
    assert_eq!(did, Some(2));
}

#[tokio::test]
async fn numbers_of_nobody_all_get_one_answer() {
    let room = Room::new().await;
    room.customer().await;
    let mut bodies = Vec::new();
    for number in [&NUMBER.replace('0', "1"), "", "123", "x", OPERATOR] {
        let answer = room.mint(number).await;
        assert!(answer.headers().contains_key(WWW_AUTHENTICATE));
        bodies.push((answer.status().as_u16(), answer.into_body()));
    }
    let none = room.ask(Method::POST, SRT, None, None).await;
    bodies.push((none.status().as_u16(), none.into_body()));
    assert!(bodies.iter().all(|body| *body == bodies[0] && body.0 == 401));
}

#[tokio::test]
async fn only_the_operator_administers() {
    let room = Room::new().await;
    let path = room.customer().await;
    for bearer in [None, Some(NUMBER), Some("another-operator's")] {
        for (method, path, body) in [
            (Method::POST, ACCOUNTS, Some(json!({"entitlements": ["vpn.dip"]}))),
            (Method::GET, path.as_str(), None),
            (Method::POST, &format!("{path}/refund"), None),
            (Method::POST, &format!("{path}/reset"), Some(json!({"from": 0}))),
        ] {
            let answer = room.ask(method, path, bearer, body).await;
            assert_eq!(refusal(&answer), (401, "operator-only".into()));
        }
    }
    let view = room.view(&path).await;
    assert_eq!(view.version, SubscriptionVersion::new(0));
    assert_eq!(view.state, accounts_api::SubscriptionState::Active);
}

#[tokio::test]
async fn subscriptions_that_are_not_there() {
    let room = Room::new().await;
    for id in ["00".repeat(16), "x".to_owned(), "00".repeat(17)] {
        let path = format!("/api/v1/subscriptions/{id}");
        let expected = (404, "subscription-unknown".to_owned());
        let answer = room.ask(Method::GET, &path, Some(OPERATOR), None).await;
        assert_eq!(refusal(&answer), expected);
        assert_eq!(refusal(&room.post(&format!("{path}/refund"), None).await), expected);
        let body = Some(json!({"from": 0}));
        assert_eq!(refusal(&room.post(&format!("{path}/reset"), body).await), expected);
    }
}

#[tokio::test]
async fn files_hold_no_number_and_no_address() {
    let room = Room::new().await;
    room.customer().await;
    room.minted(NUMBER).await;
    let number = NUMBER.parse().unwrap();
    assert!(room.store.of_account(NumberHash::of(&number)).await.unwrap().is_some());
    let file = std::fs::read(room.directory.path().join("accounts.sqlite")).unwrap();
    let holds = |piece: &[u8]| file.windows(piece.len()).any(|window| window == piece);
    let plain = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, NUMBER.as_bytes());
    assert!(holds(NumberHash::of(&number).bytes()));
    for piece in [NUMBER.as_bytes(), plain.as_ref(), b"127.0.0.1", &[127, 0, 0, 1]] {
        assert!(!holds(piece));
    }
}

#[tokio::test]
async fn what_is_documented_is_what_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteAccounts::open(&directory.path().join("accounts.sqlite")).unwrap();
    let operator = OperatorSecret::new(SecretText::new(OPERATOR.to_owned())).unwrap();
    let clock = Arc::new(FixedClock::new(NOW));
    let metrics = Metrics::new(Arc::<FixedClock>::clone(&clock));
    let (signer, trail) = (LiveSigner::fixed(key()), Trail::of(directory.path()));
    let router = router(Accounts::new(store, signer, clock, trail, &metrics), operator);
    let claims = service::contract::Claims {
        name: "accounts",
        description: DESCRIPTION,
        routes: &ROUTES,
        router,
        metrics,
        sources: &[include_str!("../routes.rs"), operating::PROBLEM_SOURCE],
        documents: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs").as_ref(),
    };
    assert_eq!(claims.deviations().await.unwrap(), [""; 0]);
}
