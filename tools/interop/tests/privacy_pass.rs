//! Privacy Pass (RFC 9577, RFC 9578) between this project and Cloudflare's library, in both directions.

use bytes::Bytes;
use endtoend::customer::Customer;
use endtoend::evidence::Stored;
use endtoend::scene::Scene;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response};
use http_client::{ClientConfig, HttpClient};
use interop::{demo_file, node};
use privacy_pass::{
    ChallengeHeader, IssuerDirectory, MEDIA_TYPE_DIRECTORY, MEDIA_TYPE_REQUEST,
    MEDIA_TYPE_RESPONSE, PendingToken, Token, TokenError, TokenHeader, TokenResponse, TokenSeed,
    verify_token,
};
use serde_json::json;

/// Its client reads our challenge and our directory, draws a token from our blind token service, and our DIP service
/// takes the token, but not a spoilt one. Without a request to the enclave the token isn't spent by that.
#[test]
fn their_client_draws_a_token_here_and_presents_it() {
    let scene = Scene::open().unwrap();
    let customer = Customer::new(&scene).unwrap();
    let demo = demo_file::write(&scene, &customer).unwrap();
    let before = Stored::by(&scene, "dip").unwrap().dump().unwrap();
    assert!(before["ip_pool"].len() > 200, "{before:?}");

    let arguments = ["--demo".as_ref(), demo.as_os_str()];
    let ran = node::run("client.mjs", arguments).unwrap();
    assert!(ran.success, "{ran:?}");
    assert_eq!(ran.said["good"], json!({"status": 422, "problem": "sealed-request-missing"}));
    assert_eq!(ran.said["spoilt"], json!({"status": 401, "problem": "token-refused"}));
    assert_eq!(ran.said["issuer"], json!(customer.services.provider.issuer_name));
    assert_eq!(ran.said["origin"], json!([customer.services.provider.origin]));
    assert_eq!(Stored::by(&scene, "dip").unwrap().dump().unwrap(), before);
    let drawn = Stored::by(&scene, "issuer").unwrap().count("answers", []).unwrap();
    assert_eq!(drawn, 1);

    // One token a week: a second draw of the same subscription is another request.
    let ran = node::run("client.mjs", arguments).unwrap();
    assert!(!ran.success && ran.err.contains("draw-limit-reached"), "{ran:?}");
}

/// Our crate reads its origin's challenge and its issuer's directory and draws a token from there, which its origin
/// takes; and our verifier takes a token of its client. Spoilt ones are refused on both sides.
#[test]
fn our_client_draws_a_token_there_and_our_origin_takes_theirs() {
    let server = node::Server::start("issuer.mjs").unwrap();
    let ask = |method, path: &str, headers: &[(_, &str)], body: Vec<u8>| -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", server.url()));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = HttpClient::new(ClientConfig::default(), ());
        runtime.block_on(client.send(request.body(body.into()).unwrap())).unwrap()
    };
    let get = |path: &str, headers: &[(_, &str)]| ask(Method::GET, path, headers, vec![]);

    // The challenge, and the key that it names, which the directory names too.
    let refused = get("/resource", &[]);
    assert_eq!(refused.status(), 401);
    let asked = refused.headers()[WWW_AUTHENTICATE].to_str().unwrap();
    let [asked] = &ChallengeHeader::parse(asked).unwrap()[..] else { panic!("{asked}") };
    let challenge = asked.token_challenge().unwrap();
    assert_eq!(challenge.issuer_name(), "issuer.example");
    assert_eq!(challenge.origins().collect::<Vec<_>>(), ["origin.example", "other.example"]);
    let listed = get("/.well-known/private-token-issuer-directory", &[]);
    assert_eq!(listed.headers()[CONTENT_TYPE], MEDIA_TYPE_DIRECTORY);
    let directory: IssuerDirectory = serde_json::from_slice(listed.body()).unwrap();
    let key = directory.token_keys[0].public_key().unwrap().unwrap();
    assert_eq!(asked.public_key(), Some(Ok(key.clone())));

    // A token of ours.
    let seed = TokenSeed::random(&mut coarse::system_rng());
    let pending = PendingToken::new(&key, &challenge.digest(), &seed).unwrap();
    let kind = [(CONTENT_TYPE, MEDIA_TYPE_REQUEST)];
    let uri = &directory.issuer_request_uri;
    let issued = ask(Method::POST, uri, &kind, pending.request().encode());
    assert_eq!(issued.headers()[CONTENT_TYPE], MEDIA_TYPE_RESPONSE);
    let token = pending.finalize(&TokenResponse::decode(issued.body()).unwrap()).unwrap();
    let present = |token: &Token| get("/resource", &[(AUTHORIZATION, &TokenHeader::build(token))]);
    assert_eq!(present(&token).status(), 200);
    assert_eq!(present(&spoilt(&token)).status(), 401);

    // A token of theirs.
    let theirs = String::from_utf8(get("/token", &[]).body().to_vec()).unwrap();
    let theirs = TokenHeader::parse(&theirs).unwrap();
    assert_eq!(verify_token(&key, &challenge.digest(), &theirs), Ok(()));
    let refused = verify_token(&key, &challenge.digest(), &spoilt(&theirs));
    assert_eq!(refused, Err(TokenError::Signature));
}

#[cfg(test)]
fn spoilt(token: &Token) -> Token {
    let mut bytes = token.encode();
    bytes[300] ^= 1;
    Token::decode(&bytes).unwrap()
}
