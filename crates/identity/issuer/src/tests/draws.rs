//! What a customer gets, and gets again, and doesn't get twice.

use blind_rsa::{AwsLcSigner, PublicKey, RawSigner as _};
use coarse::Epoch;
use epoch_keys::Purpose;
use http::header::CONTENT_TYPE;
use issuer_api::{BlindSigned, ISSUANCE_RECEIPT, PublishedKey};
use jws::KeySet;
use privacy_pass::{
    IssuerDirectory, KeyId, MEDIA_TYPE_DIRECTORY, MEDIA_TYPE_RESPONSE, PendingToken, TokenRequest,
    TokenResponse, TokenSeed, verify_token,
};
use receipt::{Entitlement, IssuanceReceipt, SubscriptionId, SubscriptionVersion};

use super::room::{DAY, NOW, Room, TODAY, WEEK, blinded, receipt_key, refusal};
use crate::{BlindSignature, BlindedHash, Draw, DrawError, IssuerStore as _, Limit};

const DIP: Purpose = Purpose::DedicatedIp;
const ACCESS: Purpose = Purpose::Access;

fn pending(key: &PublicKey, seed: u8) -> PendingToken {
    let challenge = epoch_keys::challenge("issuer.example", "dip.example", DIP, WEEK).unwrap();
    PendingToken::new(key, &challenge.digest(), &TokenSeed::from_bytes([seed; 32])).unwrap()
}

fn token_verifies(key: &PublicKey, pending: &PendingToken, signature: &[u8]) -> bool {
    let challenge = epoch_keys::challenge("issuer.example", "dip.example", DIP, WEEK).unwrap();
    let token = pending.finalize(&TokenResponse::decode(signature).unwrap()).unwrap();
    verify_token(key, &challenge.digest(), &token).is_ok()
}

#[tokio::test]
async fn a_token_is_drawn_with_its_receipt() {
    let room = Room::new().await;
    let key = room.public_key(DIP, WEEK);
    let pending = pending(&key, 1);
    let message = *pending.request().blinded_message();
    let answer = room.blind_sign(&room.srt(1, 3), DIP, WEEK, &message).await;
    let signed: BlindSigned = service::parse(&answer).unwrap();
    assert!(token_verifies(&key, &pending, &signed.blind_signature.0));

    let receipt = answer.headers()[ISSUANCE_RECEIPT].to_str().unwrap();
    let keys = KeySet::from(receipt_key().verifying_key());
    let expected = IssuanceReceipt {
        subscription: SubscriptionId::from_bytes([1; 16]),
        version: SubscriptionVersion::new(3),
        key: KeyId::of(&key),
        blinded_hash: *BlindedHash::of(&message).bytes(),
    };
    assert_eq!(IssuanceReceipt::verify(receipt, &keys), Ok(expected));
}

#[tokio::test]
async fn privacy_pass_clients_draw_too() {
    let room = Room::new().await;
    let key = room.public_key(DIP, WEEK);
    let pending = pending(&key, 1);
    let answer = room.token_request(&room.srt(1, 0), pending.request()).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 256));
    assert_eq!(answer.headers()[CONTENT_TYPE], MEDIA_TYPE_RESPONSE);
    assert!(token_verifies(&key, &pending, answer.body()));
    let receipt = answer.headers()[ISSUANCE_RECEIPT].clone();

    // It is one and the same draw by the other way, and by this one when the key is long gone.
    let message = pending.request().blinded_message();
    let other = room.blind_sign(&room.srt(1, 0), DIP, WEEK, message).await;
    assert_eq!(other.headers()[ISSUANCE_RECEIPT], receipt);
    room.at(30 * DAY);
    let later = room.token_request(&room.srt(1, 0), pending.request()).await;
    assert_eq!((later.body(), &later.headers()[ISSUANCE_RECEIPT]), (answer.body(), &receipt));
    assert_eq!(room.rows().await, (1, 1));
}

#[tokio::test]
async fn keys_are_shown_with_proofs_that_hold() {
    let room = Room::new().await;
    let pin = room.issuer.keys.pins().find(|pin| pin.purpose == ACCESS).unwrap();
    for (query, epoch) in [("", TODAY), ("&epoch=20779", Epoch::new(20_779))] {
        let answer = room.get(&format!("/api/v1/public-key?purpose=access{query}")).await;
        let key: PublishedKey = service::parse(&answer).unwrap();
        assert_eq!((key.purpose, key.epoch), (ACCESS, epoch));
        assert!(key.verify(&pin).is_ok());
    }
    for query in ["purpose=access&epoch=20780", "purpose=access&epoch=0", "purpose=relay-ticket"] {
        let answer = room.get(&format!("/api/v1/public-key?{query}")).await;
        assert_eq!(refusal(&answer), (404, "key-unknown".into()), "{query}");
    }
    for query in ["", "purpose=gold", "purpose=access&epoch=-1", "purpose=access&more=1"] {
        let answer = room.get(&format!("/api/v1/public-key?{query}")).await;
        assert_eq!(refusal(&answer), (400, "key-query-malformed".into()), "{query}");
    }
}

#[tokio::test]
async fn the_directory_names_the_keys_of_the_present_windows() {
    let room = Room::new().await;
    let answer = room.get(issuer_api::DIRECTORY).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], MEDIA_TYPE_DIRECTORY);
    let directory: IssuerDirectory = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(directory.issuer_request_uri, "/token-request");
    let keys: Vec<_> = directory
        .token_keys
        .iter()
        .map(|key| (key.public_key().unwrap().unwrap(), key.not_before()))
        .collect();
    let key = |purpose, epoch| room.public_key(purpose, Epoch::new(epoch));
    let start = |purpose: Purpose, epoch| Some(purpose.epoch_start(Epoch::new(epoch)));
    assert_eq!(
        keys,
        [
            (key(ACCESS, 20_777), None),
            (key(DIP, 2_968), None),
            (key(Purpose::Renewal, 6_925), None),
            (key(ACCESS, 20_778), start(ACCESS, 20_778)),
            (key(DIP, 2_969), start(DIP, 2_969)),
        ]
    );
}

#[tokio::test]
async fn one_dedicated_address_per_version_whatever_the_epoch() {
    let room = Room::new().await;
    let first = room.drawn(&room.srt(1, 0), DIP, WEEK, &blinded(1)).await;
    let taken = (409, "draw-limit-reached".to_owned());
    for (epoch, message) in [(WEEK, 2), (WEEK.next(), 3), (WEEK.next(), 1)] {
        let answer = room.blind_sign(&room.srt(1, 0), DIP, epoch, &blinded(message)).await;
        assert_eq!(refusal(&answer), taken);
    }
    assert_eq!(room.rows().await, (1, 1));
    // The same request: the same answer. Another customer, another version: their own.
    assert_eq!(room.drawn(&room.srt(1, 0), DIP, WEEK, &blinded(1)).await, first);
    room.drawn(&room.srt(2, 0), DIP, WEEK, &blinded(1)).await;
    room.drawn(&room.srt(1, 1), DIP, WEEK, &blinded(1)).await;
    let answer = room.blind_sign(&room.srt(1, 1), DIP, WEEK, &blinded(2)).await;
    assert_eq!(refusal(&answer), taken);
}

#[tokio::test]
async fn ten_devices_have_access_each_day() {
    let room = Room::new().await;
    let srt = room.srt(1, 0);
    let mut answers = Vec::new();
    for device in 0..10 {
        answers.push(room.drawn(&srt, ACCESS, TODAY, &blinded(device)).await);
    }
    let answer = room.blind_sign(&srt, ACCESS, TODAY, &blinded(10)).await;
    assert_eq!(refusal(&answer), (409, "draw-limit-reached".into()));
    // A higher version is no way to more of the same day.
    let answer = room.blind_sign(&room.srt(1, 1), ACCESS, TODAY, &blinded(10)).await;
    assert_eq!(refusal(&answer), (409, "draw-limit-reached".into()));
    room.drawn(&room.srt(1, 1), ACCESS, TODAY.next(), &blinded(10)).await;
    room.drawn(&room.srt(2, 0), ACCESS, TODAY, &blinded(10)).await;
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 10);
}

#[tokio::test]
async fn a_version_once_seen_ends_those_below() {
    let room = Room::new().await;
    room.drawn(&room.srt(1, 1), ACCESS, TODAY, &blinded(1)).await;
    // Seen in a draw that is refused itself, and remembered across a restart.
    let answer = room.blind_sign(&room.srt(1, 2), ACCESS, Epoch::new(20_779), &blinded(1)).await;
    assert_eq!(refusal(&answer), (422, "epoch-not-open".into()));
    let room = room.restart().await;
    for (purpose, epoch) in [(DIP, WEEK), (ACCESS, TODAY)] {
        for version in 0..2 {
            let answer = room.blind_sign(&room.srt(1, version), purpose, epoch, &blinded(1)).await;
            assert_eq!(refusal(&answer), (409, "subscription-version-superseded".into()));
        }
    }
    room.drawn(&room.srt(1, 2), DIP, WEEK, &blinded(9)).await;
}

#[tokio::test]
async fn an_answer_outlives_its_key_and_a_restart() {
    let room = Room::new().await;
    let first = room.blind_sign(&room.srt(1, 0), DIP, WEEK, &blinded(1)).await;
    // The last second in which the token may be spent.
    let deadline = DIP.spend_deadline(WEEK).seconds() - NOW.seconds();
    room.at(deadline);
    room.issuer.tidy().await.unwrap();
    let room = room.restart().await;
    let again = room.blind_sign(&room.srt(1, 0), DIP, WEEK, &blinded(1)).await;
    assert_eq!(again.body(), first.body());
    assert_eq!(again.headers()[ISSUANCE_RECEIPT], first.headers()[ISSUANCE_RECEIPT]);

    room.at(deadline + 60);
    room.issuer.tidy().await.unwrap();
    assert_eq!(room.rows().await, (1, 0));
    // What was drawn stays drawn.
    let answer = room.blind_sign(&room.srt(1, 0), DIP, WEEK, &blinded(1)).await;
    assert_eq!(refusal(&answer), (409, "draw-limit-reached".into()));
}

#[tokio::test]
async fn access_answers_go_with_their_day() {
    let room = Room::new().await;
    let srt = room.srt_for(1, 0, &[Entitlement::Access]);
    room.drawn(&srt, ACCESS, TODAY, &blinded(1)).await;
    room.drawn(&srt, ACCESS, TODAY.next(), &blinded(2)).await;
    // Nothing is remembered of the subscription itself.
    assert_eq!(room.rows().await, (0, 2));
    room.at(DAY / 2 + 60);
    room.issuer.tidy().await.unwrap();
    assert_eq!(room.rows().await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_draws() {
    let room = Room::new().await;
    let srt = room.srt(1, 0);
    let messages: Vec<_> = (0..8).map(blinded).collect();
    let mut draws = Vec::new();
    for message in messages.iter().cycle().take(24) {
        draws.push(room.blind_sign(&srt, DIP, WEEK, message));
    }
    let answers = join_all(draws).await;
    let given: Vec<_> = answers.iter().filter(|answer| answer.status().is_success()).collect();
    // Three sent the one request that won; they got one answer.
    assert_eq!(given.len(), 3);
    assert!(given.iter().all(|answer| answer.body() == given[0].body()));
    let refused = answers.iter().filter(|answer| refusal(answer).0 == 409).count();
    assert_eq!((refused, room.rows().await), (21, (1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_devices_at_once_ten_draw() {
    let room = Room::new().await;
    let srt = room.srt(1, 0);
    let messages: Vec<_> = (0..16).map(blinded).collect();
    let draws = messages.iter().map(|message| room.blind_sign(&srt, ACCESS, TODAY, message));
    let answers = join_all(draws.collect()).await;
    let given = answers.iter().filter(|answer| answer.status().is_success()).count();
    assert_eq!((given, room.rows().await), (10, (0, 10)));
}

/// Truncated ids come back after a while: a request that was answered means the key that answered it.
#[tokio::test]
async fn a_request_that_was_answered_is_not_taken_for_another_keys() {
    let one = AwsLcSigner::generate(2048).unwrap();
    let byte = KeyId::of(one.public_key()).truncated();
    let other = loop {
        let other = AwsLcSigner::generate(2048).unwrap();
        if KeyId::of(other.public_key()).truncated() != byte {
            break other;
        }
    };
    let room = Room::with_access_keys(&[&one, &other, &one]).await;
    let request = TokenRequest::new(byte, blinded(1));
    let first = room.token_request(&room.srt(1, 0), &request).await;
    room.at(2 * DAY);
    let again = room.token_request(&room.srt(1, 0), &request).await;
    assert_eq!((again.body(), room.rows().await), (first.body(), (0, 1)));
    let new = TokenRequest::new(byte, blinded(2));
    assert_eq!(room.token_request(&room.srt(1, 0), &new).await.status(), 200);
    assert_eq!(room.rows().await, (0, 2));
}

#[tokio::test]
async fn of_two_that_both_looked_one_is_recorded() {
    let room = Room::new().await;
    let store = &room.issuer.store;
    let draw = |message, purpose, epoch| Draw {
        subscription: SubscriptionId::from_bytes([1; 16]),
        version: SubscriptionVersion::new(0),
        purpose,
        epoch,
        blinded: BlindedHash::of(&blinded(message)),
    };
    let (won, lost) = (BlindSignature([1; 256]), BlindSignature([2; 256]));
    for device in 0..9 {
        store.record(draw(device, ACCESS, TODAY), won).await.unwrap();
    }
    for (purpose, epoch) in [(DIP, WEEK), (ACCESS, TODAY)] {
        let (first, second) = (draw(10, purpose, epoch), draw(11, purpose, epoch));
        assert_eq!(store.look(first).await.unwrap(), None);
        assert_eq!(store.look(second).await.unwrap(), None);
        assert_eq!(store.record(first, won).await.unwrap(), won);
        let refused = store.record(second, lost).await;
        assert!(matches!(refused, Err(DrawError::Limit(Limit::Reached))));
        assert_eq!(store.record(first, lost).await.unwrap(), won, "the same request");
        assert_eq!(store.look(first).await.unwrap(), Some(won));
    }
    assert_eq!(room.rows().await, (1, 11));
}

/// Polls all to their ends, together.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
