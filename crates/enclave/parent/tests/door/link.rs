//! The stream to the enclave: reused, replaced, and booted again behind a restart.

use std::sync::Arc;

use parent::{Link, LinkError};
use wire::frame::LONGEST;
use wire::parent::{Answer, Failure, Request};

use crate::fixture::{Mood, NOT_BOOTED, Script, address, granted, start_enclave};

const ATTEST: Request = Request::Attest { nonce: Vec::new() };

fn boot() -> Request {
    Request::Boot { configuration: b"{}".to_vec(), wrapped_key: vec![5], former_keys: vec![] }
}

fn booted() -> Answer {
    Answer::Booted { wrapped_key: vec![5], public_key: vec![8; 32] }
}

#[tokio::test]
async fn an_enclave_that_was_restarted_is_booted_again() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("enclave");
    let script = Arc::new(Script::default());
    let enclave = start_enclave(&socket, &script);
    let link = Link::new(address(&socket), ());
    script.answer([NOT_BOOTED]);
    // Before there was a boot there is nothing to repeat.
    assert_eq!(link.ask(&ATTEST).await, Ok(NOT_BOOTED));
    assert_eq!(script.asked(), [ATTEST]);

    link.boot_again_with(boot());
    drop(enclave);
    let _enclave = start_enclave(&socket, &script);
    script.answer([NOT_BOOTED, booted(), granted()]);
    assert_eq!(link.ask(&ATTEST).await, Ok(granted()));
    assert_eq!(script.asked(), [ATTEST, boot(), ATTEST]);

    // An enclave that doesn't take the boot is left alone.
    script.answer([NOT_BOOTED, Answer::Failed(Failure::Configuration)]);
    assert_eq!(link.ask(&ATTEST).await, Ok(NOT_BOOTED));
    assert_eq!(script.asked(), [ATTEST, boot()]);
}

#[tokio::test]
async fn a_slow_enclave_is_given_up_and_not_asked_twice() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("enclave");
    let script = Arc::new(Script::default());
    let _enclave = start_enclave(&socket, &script);
    let link = Link::new(address(&socket), ());
    script.set([Mood::Answers(granted()), Mood::Silent]);
    assert_eq!(link.ask(&ATTEST).await, Ok(granted()));
    // From here on time passes as soon as there is nothing else to do.
    tokio::time::pause();
    assert_eq!(link.ask(&ATTEST).await, Err(LinkError::TimedOut));
    tokio::time::resume();
    assert_eq!(script.asked().len(), 2);
    // A late answer would meet nobody: the stream is given up, too.
    script.answer([booted()]);
    assert_eq!(link.ask(&ATTEST).await, Ok(booted()));
}

#[tokio::test]
async fn more_requests_than_streams_are_all_answered() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("enclave");
    let script = Arc::new(Script::default());
    let _enclave = start_enclave(&socket, &script);
    let link = Arc::new(Link::new(address(&socket), ()));
    script.answer([granted()]);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let link = Arc::clone(&link);
            tokio::spawn(async move { link.ask(&ATTEST).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Ok(granted()));
    }
}

#[tokio::test]
async fn what_fits_no_frame_is_not_sent() {
    let link = Link::new(address(std::path::Path::new("/nowhere")), ());
    let long = Request::Attest { nonce: vec![0; LONGEST] };
    assert_eq!(link.ask(&long).await, Err(LinkError::TooLong));
    assert_eq!(link.ask(&ATTEST).await, Err(LinkError::Unreachable));
}
