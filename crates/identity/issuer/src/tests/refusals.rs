//! Each refusal, and that it changes nothing.

use coarse::{Epoch, Secret};
use encoding::Base64Url;
use epoch_keys::Purpose;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use issuer_api::{BLIND_SIGN, TOKEN_REQUEST};
use jws::SigningKey;
use privacy_pass::{KeyId, MEDIA_TYPE_REQUEST, TokenRequest};
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId};

use super::room::{DAY, NOW, Room, TODAY, WEEK, blinded, refusal};

const ACCESS: Purpose = Purpose::Access;

/// A request for a token, as JSON.
fn good_body() -> String {
    let message = Base64Url(blinded(1).to_vec()).to_text();
    format!(r#"{{"purpose":"access","epoch":20777,"blinded_message":"{message}"}}"#)
}

/// Asks with this SRT for a token, by both ways, and gives the refusal.
async fn refused_srt(room: &Room, srt: &str) -> (u16, String) {
    let answer = room.blind_sign(srt, ACCESS, TODAY, &blinded(1)).await;
    let byte = KeyId::of(&room.public_key(ACCESS, TODAY)).truncated();
    let other = room.token_request(srt, &TokenRequest::new(byte, blinded(1))).await;
    assert_eq!(refusal(&answer), refusal(&other));
    assert_eq!(answer.headers().contains_key(WWW_AUTHENTICATE), answer.status() == 401);
    assert_eq!(room.rows().await, (0, 0));
    refusal(&answer)
}

#[tokio::test]
async fn srts_that_prove_nothing() {
    let room = Room::new().await;
    let refused = (401, "srt-refused".to_owned());
    let stranger = SigningKey::from_seed(&Secret::new([9; 32])).unwrap();
    let srt = Srt {
        subscription: SubscriptionId::from_bytes([1; 16]),
        entitlements: Entitlements::new(Entitlement::ALL, Default::default()),
    };
    let forged = srt.sign(&stranger, NOW).unwrap();
    assert_eq!(refused_srt(&room, forged.as_str()).await, refused);
    for nonsense in ["x", "a.b.c", "é"] {
        assert_eq!(refused_srt(&room, nonsense).await, refused);
    }
    let old = room.srt(1, 0);
    room.at(3 * DAY + 60);
    assert_eq!(refused_srt(&room, &old).await, (401, "srt-expired".into()));
}

#[tokio::test]
async fn no_srt_or_two() {
    let room = Room::new().await;
    let srt = format!("Bearer {}", room.srt(1, 0));
    let body = good_body();
    let json = (CONTENT_TYPE, "application/json");
    let basic = srt.replace("Bearer", "Basic");
    for headers in [
        vec![json.clone()],
        vec![json.clone(), (AUTHORIZATION, basic.as_str())],
        vec![json.clone(), (AUTHORIZATION, srt.as_str()), (AUTHORIZATION, srt.as_str())],
    ] {
        let answer = room.post(BLIND_SIGN, &headers, body.clone().into_bytes()).await;
        assert_eq!(refusal(&answer), (401, "srt-refused".into()));
    }
    assert_eq!(room.rows().await, (0, 0));
}

#[tokio::test]
async fn what_was_not_paid_for() {
    let room = Room::new().await;
    let access = room.srt_for(1, 0, &[Entitlement::Access]);
    let answer = room.blind_sign(&access, Purpose::DedicatedIp, WEEK, &blinded(1)).await;
    assert_eq!(refusal(&answer), (403, "purpose-not-covered".into()));
    let dip = room.srt_for(1, 0, &[Entitlement::DedicatedIp]);
    let answer = room.blind_sign(&dip, ACCESS, TODAY, &blinded(1)).await;
    assert_eq!(refusal(&answer), (403, "purpose-not-covered".into()));
    for purpose in [Purpose::Renewal, Purpose::RelayTicket] {
        let epoch = purpose.epoch_at(NOW);
        let answer = room.blind_sign(&room.srt(1, 0), purpose, epoch, &blinded(1)).await;
        assert_eq!(refusal(&answer), (403, "purpose-not-sold".into()));
    }
    assert_eq!(room.rows().await, (0, 0));
}

#[tokio::test]
async fn epochs_outside_the_window() {
    let room = Room::new().await;
    let ask = async |epoch| {
        let answer = room.blind_sign(&room.srt(1, 0), ACCESS, epoch, &blinded(1)).await;
        refusal(&answer)
    };
    for epoch in [0, 20_776, 20_780, u32::MAX] {
        assert_eq!(ask(Epoch::new(epoch)).await, (404, "key-unknown".into()), "{epoch}");
    }
    let closed = (422, "epoch-not-open".to_owned());
    assert_eq!(ask(Epoch::new(20_779)).await, closed, "the one after the next");
    // Midnight.
    room.at(DAY / 2);
    assert_eq!(ask(TODAY).await, closed);
    assert_eq!(room.rows().await, (0, 0));
    room.drawn(&room.srt(1, 0), ACCESS, Epoch::new(20_779), &blinded(1)).await;
}

#[tokio::test]
async fn numbers_that_no_client_blinds() {
    let room = Room::new().await;
    let (srt, key) = (room.srt(1, 0), room.public_key(ACCESS, TODAY));
    // The modulus stands behind 81 bytes of the SPKI.
    let modulus: [u8; 256] = key.spki()[81..337].try_into().unwrap();
    let (mut one, mut less) = ([0; 256], modulus);
    one[255] = 1;
    less[255] -= 1;
    let byte = KeyId::of(&key).truncated();
    for message in [[0; 256], one, less, modulus, [0xff; 256]] {
        let expected = (422, "blinded-message-out-of-range".to_owned());
        let answer = room.blind_sign(&srt, ACCESS, TODAY, &message).await;
        assert_eq!(refusal(&answer), expected);
        let answer = room.token_request(&srt, &TokenRequest::new(byte, message)).await;
        assert_eq!(refusal(&answer), expected);
    }
    for length in [0, 255, 257] {
        let answer = room.blind_sign(&srt, ACCESS, TODAY, &vec![1; length]).await;
        assert_eq!(refusal(&answer), (422, "blinded-message-out-of-range".into()));
    }
    assert_eq!(room.rows().await, (0, 0));
}

#[tokio::test]
async fn token_requests_of_another_form() {
    let room = Room::new().await;
    let bearer = format!("Bearer {}", room.srt(1, 0));
    let byte = KeyId::of(&room.public_key(ACCESS, TODAY)).truncated();
    let good = TokenRequest::new(byte, blinded(1)).encode();
    let post = async |kind: &str, body: &[u8]| {
        let headers = [(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, kind)];
        refusal(&room.post(TOKEN_REQUEST, &headers, body.to_vec()).await)
    };
    for kind in ["application/json", "application/private-token-request-2", ""] {
        assert_eq!(post(kind, &good).await, (415, "unsupported-media-type".into()));
    }
    let mut other_type = good.clone();
    other_type[1] = 1;
    for body in [&other_type[..], &good[1..], &good[..258], &[&good[..], &[0]].concat(), &[]] {
        let expected = (422, "token-request-malformed".to_owned());
        assert_eq!(post(MEDIA_TYPE_REQUEST, body).await, expected);
    }
    let taken: Vec<u8> =
        room.issuer.keys.signing(NOW).iter().map(|key| key.key_id.truncated()).collect();
    let free = (0..=255).find(|byte| !taken.contains(byte)).unwrap();
    let unknown = TokenRequest::new(free, blinded(1)).encode();
    assert_eq!(post(MEDIA_TYPE_REQUEST, &unknown).await, (422, "key-unknown".into()));
    assert_eq!(room.rows().await, (0, 0));
}

#[tokio::test]
async fn bodies_of_another_shape() {
    let room = Room::new().await;
    let bearer = format!("Bearer {}", room.srt(1, 0));
    let good = good_body();
    let post = async |body: &str| {
        let headers = [(AUTHORIZATION, bearer.as_str()), (CONTENT_TYPE, "application/json")];
        room.post(BLIND_SIGN, &headers, body.as_bytes().to_vec()).await.status().as_u16()
    };
    for (body, status) in [
        ("", 400),
        (&good[..20], 400),
        (&good.replace("access", "gold"), 422),
        (&good.replace("20777", "-1"), 422),
        (&good.replace("20777", "4294967296"), 422),
        (&good.replace("\"AQ", "\"A="), 422),
        (&good.replace('}', ",\"more\":1}"), 422),
    ] {
        assert_eq!(post(body).await, status, "{body}");
    }
    assert_eq!(room.rows().await, (0, 0));
    assert_eq!(post(&good).await, 200);
}
