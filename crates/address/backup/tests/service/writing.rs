//! Writing and removing: by the place's own key, again and again, and until the token in it has ended.

use std::time::Duration;

use backup::store::BackupStore as _;
use backup_api::{BLOB_SIZE, LIFE, Signature, remove_message, write_message};
use encoding::Base64Url;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::fixture::{NOW, Writer, blob, refusal, start, start_with};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::test]
async fn a_backup_is_written_written_anew_and_removed() {
    let service = start().await;
    let one = Writer::new(1);
    for number in [1, 2, 2, 3] {
        let answer = service.write(&one.writes(&blob(number))).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &br#"{"written":true}"#[..])
        );
        assert!(service.found(&one.locator).await == blob(number));
        assert_eq!(service.kept(&[]).await.0, 1);
    }
    for _ in 0..2 {
        let answer = service.remove(&one.removes()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &br#"{"removed":true}"#[..])
        );
        assert_eq!(service.kept(&[&one]).await, (0, vec![None]));
    }
}

#[tokio::test]
async fn whoever_has_not_the_key_changes_nothing() {
    let service = start().await;
    let (one, other) = (Writer::new(1), Writer::new(2));
    service.write(&one.writes(&blob(1))).await;
    let before = service.kept(&[&one, &other]).await;
    let with = |key, signature: Signature| json!({ "write_key": key, "blob": blob(9), "signature": signature });
    let good = one.sign(&write_message(&one.locator, &blob(9)));
    for (what, body) in [
        ("another's signature", with(one.key, other.sign(&write_message(&one.locator, &blob(9))))),
        ("another's key", with(other.key, good)),
        ("for another place", with(one.key, one.sign(&write_message(&other.locator, &blob(9))))),
        ("for another backup", with(one.key, one.sign(&write_message(&one.locator, &blob(8))))),
        ("a removal's", with(one.key, one.sign(&remove_message(&one.locator)))),
        ("none", with(one.key, Signature::from_bytes([0; 64]))),
    ] {
        assert_eq!(
            refusal(&service.write(&body).await),
            (403, "signature-refused".into()),
            "{what}"
        );
        assert_eq!(service.kept(&[&one, &other]).await, before, "{what}");
    }
    let with = |key, signature: Signature| json!({ "write_key": key, "signature": signature });
    let good = one.sign(&remove_message(&one.locator));
    for (what, body) in [
        ("another's signature", with(one.key, other.sign(&remove_message(&one.locator)))),
        ("another's key", with(other.key, good)),
        ("for another place", with(one.key, one.sign(&remove_message(&other.locator)))),
        ("a write's", with(one.key, one.sign(&write_message(&one.locator, &blob(1))))),
    ] {
        assert_eq!(
            refusal(&service.remove(&body).await),
            (403, "signature-refused".into()),
            "{what}"
        );
        assert_eq!(service.kept(&[&one, &other]).await, before, "{what}");
    }
}

#[tokio::test]
async fn requests_of_another_form_change_nothing() {
    let service = start().await;
    let one = Writer::new(1);
    let honest = one.writes(&blob(1));
    let with = |name: &str, value: Value| {
        let mut body = honest.clone();
        body[name] = value;
        body
    };
    let text = |length: usize| json!(Base64Url(vec![1; length]));
    let mut without = honest.clone();
    without.as_object_mut().unwrap().remove("signature");
    for body in [
        with("blob", text(BLOB_SIZE - 1)),
        with("blob", text(BLOB_SIZE + 1)),
        with("blob", json!("")),
        with("write_key", text(31)),
        with("signature", text(63)),
        with("locator", json!(one.locator)),
        with("blob", json!(null)),
        without,
    ] {
        assert_eq!(refusal(&service.write(&body).await), (422, "unprocessable".into()));
    }
    for body in
        [json!({}), json!({"locator": text(33)}), json!({"locator": one.locator, "more": 1})]
    {
        assert_eq!(refusal(&service.post(backup_api::READ, &body).await).0, 422);
    }
    assert_eq!(service.kept(&[&one]).await, (0, vec![None]));
    assert_eq!(service.write(&honest).await.status(), 200);
}

#[tokio::test]
async fn a_full_service_goes_on_for_those_who_are_there() {
    let service = start_with(2).await;
    let people: Vec<Writer> = (1..=3).map(Writer::new).collect();
    for one in &people[..2] {
        assert_eq!(service.write(&one.writes(&blob(1))).await.status(), 200);
    }
    let all: Vec<&Writer> = people.iter().collect();
    let before = service.kept(&all).await;
    let refused = service.write(&people[2].writes(&blob(1))).await;
    assert_eq!(refusal(&refused), (503, "backups-full".into()));
    assert!(refused.headers().contains_key(RETRY_AFTER));
    assert_eq!(service.kept(&all).await, before);
    assert_eq!(service.write(&people[0].writes(&blob(2))).await.status(), 200);
    let service = service.restart().await;
    assert_eq!(refusal(&service.write(&people[2].writes(&blob(1))).await).0, 503);
    service.remove(&people[1].removes()).await;
    assert_eq!(service.write(&people[2].writes(&blob(1))).await.status(), 200);
    assert_eq!(service.kept(&[]).await.0, 2);
}

#[tokio::test]
async fn a_backup_goes_when_the_token_in_it_has_ended_and_not_before() {
    let service = start().await;
    let (stays, goes) = (Writer::new(1), Writer::new(2));
    service.write(&stays.writes(&blob(1))).await;
    service.write(&goes.writes(&blob(1))).await;
    let tidy = async |now: coarse::UnixTime| {
        while service.backups.store.forget_ended(now.week()).await.unwrap() {}
    };
    // The same bytes say nothing new of the token; others do.
    service.clock.set(NOW.plus(2 * WEEK));
    service.write(&goes.writes(&blob(1))).await;
    service.write(&stays.writes(&blob(2))).await;
    tidy(NOW.plus(LIFE)).await;
    assert_eq!(service.kept(&[]).await.0, 2);
    tidy(NOW.plus(LIFE).plus(WEEK)).await;
    assert_eq!(service.kept(&[]).await.0, 2, "within the grace");
    tidy(NOW.plus(LIFE).plus(2 * WEEK)).await;
    let (count, kept) = service.kept(&[&stays, &goes]).await;
    assert_eq!((count, kept[0].is_some(), kept[1].is_some()), (1, true, false));
    // A clock that went back shortens nothing.
    service.clock.set(NOW.minus(20 * WEEK));
    service.write(&stays.writes(&blob(3))).await;
    tidy(NOW.plus(LIFE).plus(3 * WEEK)).await;
    assert_eq!(service.kept(&[]).await.0, 1);
    tidy(NOW.plus(LIFE).plus(4 * WEEK)).await;
    assert_eq!(service.kept(&[]).await.0, 0);
}
