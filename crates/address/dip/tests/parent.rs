//! The enclave's parent as the service asks it, and what becomes of its answers.

use std::sync::{Arc, Mutex};

use attested::EnclavePin;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use coarse::SystemClock;
use dip::{Enclave as _, MintError, MintFor, ParentEnclave};
use enclave_watch::ParentAttestor;
use encoding::Base64Url;
use http::StatusCode;
use jws::Compact;
use service::{BaseUrl, ClientConfig, HttpClient, Json, Problem, ServeConfig, Server};
use tokio::sync::oneshot;
use wire::envelope::{ANSWER_OVERHEAD, ANSWER_SIZE};
use wire::http::{GENERATE_TOKENS, MintRequest, MintResponse, REFRESH_TOKENS};

#[cfg(test)]
mod fixture {
    use super::*;

    /// What a parent answers, and what it was last asked.
    #[derive(Default)]
    pub(super) struct Parent {
        pub(super) problem: Mutex<Option<(u16, &'static str)>>,
        pub(super) size: Mutex<usize>,
        pub(super) asked: Mutex<Option<(&'static str, MintRequest)>>,
    }

    type App = State<Arc<Parent>>;

    async fn generate(state: App, Json(request): Json<MintRequest>) -> Response {
        answer(&state, GENERATE_TOKENS, request)
    }

    async fn refresh(state: App, Json(request): Json<MintRequest>) -> Response {
        answer(&state, REFRESH_TOKENS, request)
    }

    fn answer(parent: &Parent, path: &'static str, request: MintRequest) -> Response {
        *parent.asked.lock().unwrap() = Some((path, request));
        if let Some((status, slug)) = *parent.problem.lock().unwrap() {
            return Problem::new(StatusCode::from_u16(status).unwrap(), slug, "no").into_response();
        }
        let sealed = Base64Url(vec![7; *parent.size.lock().unwrap()]);
        Json(MintResponse { grant: Some("a.b.c".into()), sealed }).into_response()
    }

    pub(super) struct Room {
        pub(super) parent: Arc<Parent>,
        pub(super) enclave: ParentEnclave,
        pub(super) stop: oneshot::Sender<()>,
        pub(super) stopped: tokio::task::JoinHandle<()>,
    }

    pub(super) async fn start() -> Room {
        let parent = Arc::new(Parent::default());
        *parent.size.lock().unwrap() = ANSWER_SIZE + ANSWER_OVERHEAD;
        let router = Router::new()
            .route(GENERATE_TOKENS, post(generate))
            .route(REFRESH_TOKENS, post(refresh));
        let config = ServeConfig::new("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(config, ()).await.unwrap();
        let url = BaseUrl::plain(server.local_addr()).unwrap();
        let (stop, told) = oneshot::channel();
        let stopped =
            tokio::spawn(server.run_until(router.with_state(Arc::clone(&parent)), async {
                let _ = told.await;
            }));
        let client = HttpClient::new(ClientConfig::default(), ());
        let pin = EnclavePin { root: vec![], pcrs: [].into(), boot_configuration: String::new() };
        let attestor =
            ParentAttestor::new(client.clone(), url.clone(), [pin], Arc::new(SystemClock));
        Room { parent, enclave: ParentEnclave::new(client, url, attestor), stop, stopped }
    }

    impl Room {
        pub(super) async fn mint(&self, what: MintFor) -> Result<dip::Minted, MintError> {
            self.enclave.mint(what, Compact::new("order".into()), Base64Url(vec![1, 2])).await
        }
    }
}

use fixture::start;

#[tokio::test]
async fn orders_and_sealed_requests_go_to_their_routes() {
    let room = start().await;
    for (what, path) in [(MintFor::Assignment, GENERATE_TOKENS), (MintFor::Refresh, REFRESH_TOKENS)]
    {
        let minted = room.mint(what).await.unwrap();
        assert_eq!(minted.grant.unwrap().as_str(), "a.b.c");
        assert_eq!(minted.sealed.0.len(), ANSWER_SIZE + ANSWER_OVERHEAD);
        let (asked, request) = room.parent.asked.lock().unwrap().take().unwrap();
        assert_eq!((asked, request.order.as_str(), request.sealed.0), (path, "order", vec![1, 2]));
    }
}

#[tokio::test]
async fn each_refusal_has_its_meaning() {
    let room = start().await;
    for (status, slug, error) in [
        (409, "enclave-key-changed", MintError::OtherKey),
        (422, "sealed-request-unopenable", MintError::Unopenable),
        (403, "order-refused", MintError::Order),
        (503, "enclave-unavailable", MintError::Unavailable),
        (500, "internal", MintError::Unavailable),
    ] {
        *room.parent.problem.lock().unwrap() = Some((status, slug));
        assert_eq!(room.mint(MintFor::Assignment).await.unwrap_err(), error, "{slug}");
    }
}

#[tokio::test]
async fn an_answer_of_another_size_is_not_passed_on() {
    let room = start().await;
    *room.parent.size.lock().unwrap() -= 1;
    assert_eq!(room.mint(MintFor::Refresh).await.unwrap_err(), MintError::Unavailable);
}

#[tokio::test]
async fn a_parent_that_is_gone_is_unavailable() {
    let mut room = start().await;
    let (gone, _) = oneshot::channel();
    drop(std::mem::replace(&mut room.stop, gone));
    (&mut room.stopped).await.unwrap();
    assert_eq!(room.mint(MintFor::Assignment).await.unwrap_err(), MintError::Unavailable);
}
