//! How many codes can be tried.

use std::time::Instant;

use crate::fixture::{Writer, blob, refusal, start};

/// Twenty a second and two hundred at once, whoever asks and for whatever place.
#[tokio::test]
async fn guesses_have_one_low_rate_for_everybody() {
    let service = start().await;
    let begun = Instant::now();
    let mut answered = 0;
    for number in 0..300_u32 {
        let mut locator = [0; 32];
        locator[..4].copy_from_slice(&number.to_be_bytes());
        let answer = service.read(&backup_api::Locator::from_bytes(locator)).await;
        match answer.status().as_u16() {
            200 => answered += 1,
            _ => {
                assert_eq!(refusal(&answer), (429, "rate-limited".into()));
                assert!(answer.headers().contains_key("retry-after"));
            }
        }
    }
    let allowed = 200 + 20 * (begun.elapsed().as_secs() + 1);
    assert!((200..=allowed).contains(&answered), "{answered} of {allowed}");
    assert!(answered < 300, "the machine is too slow to tell: {:?}", begun.elapsed());
    // Who writes has an allowance of their own.
    assert_eq!(service.write(&Writer::new(1).writes(&blob(1))).await.status(), 200);
}
