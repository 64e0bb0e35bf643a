//! Streams: what is no frame ends its own stream, and there are only so many.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enclave::Enclave;
use minting::Observer;
use wire::frame::Message;
use wire::parent::{Answer, Failure, Request};

use crate::fixture::{Module, Wire, attested, boot, refresh, sealing_key, wrapped};

/// As many as the enclave serves at once.
const STREAMS: usize = 32;
const DEADLINE: Duration = Duration::from_secs(30);

/// Serves in the background, for as long as the test runs.
fn serve<O: Observer + 'static>(room: &Path, observer: O) -> (PathBuf, Arc<Enclave<Wire, O>>) {
    let socket = room.join("enclave");
    let listener = UnixListener::bind(&socket).unwrap();
    let enclave = Arc::new(Enclave::new(Wire(Module::new(1)), observer));
    let served = Arc::clone(&enclave);
    std::thread::spawn(move || enclave::serve(&listener.into(), &served));
    (socket, enclave)
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The answer on this stream; nothing when it was closed.
fn ask(stream: &mut UnixStream, request: &Request) -> Option<Answer> {
    request.write_to(stream).ok()?;
    Answer::read_from(stream).ok().flatten()
}

const ATTEST: Request = Request::Attest { nonce: Vec::new() };
const NOT_BOOTED: Option<Answer> = Some(Answer::Failed(Failure::NotBooted));

fn is_closed(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        // What was written after the garbage was never read.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_on_a_stream_are_answered_in_turn() {
    let room = tempfile::tempdir().unwrap();
    let (socket, _) = serve(room.path(), ());
    let mut stream = connect(&socket);
    // Three requests at once, the last of which boots.
    for request in [&ATTEST, &boot(wrapped(1)), &ATTEST] {
        stream.write_all(&request.encode().unwrap()).unwrap();
    }
    let mut next = || Answer::read_from(&mut stream).unwrap().unwrap();
    assert_eq!(next(), Answer::Failed(Failure::NotBooted));
    assert!(matches!(next(), Answer::Booted { wrapped_key, .. } if wrapped_key == wrapped(1)));
    attested(&Ok(next()));
    // All streams speak to one enclave.
    attested(&Ok(ask(&mut connect(&socket), &ATTEST).unwrap()));
}

#[test]
fn garbage_ends_its_own_stream_only() {
    let room = tempfile::tempdir().unwrap();
    let (socket, _) = serve(room.path(), ());
    let mut bystander = connect(&socket);
    for garbage in [
        &[0, 0, 0, 0][..],                // no kind
        &[0, 0, 0, 1, 9],                 // a kind that isn't on the list
        &[0, 0, 0, 1, 129],               // an answer
        &[0xff, 0xff, 0xff, 0xff],        // too long
        &[0, 1, 0, 1],                    // by one byte
        &[0, 0, 0, 6, 2, 0, 0, 0, 9, 1],  // a field that lies
        b"GET /attestation HTTP/1.1\r\n", // another protocol
    ] {
        let mut stream = connect(&socket);
        assert_eq!(ask(&mut stream, &ATTEST), NOT_BOOTED);
        stream.write_all(garbage).unwrap();
        assert!(is_closed(&mut stream), "{garbage:?}");
        assert_eq!(ask(&mut bystander, &ATTEST), NOT_BOOTED);
    }
}

#[test]
fn one_stream_too_many_is_closed() {
    let room = tempfile::tempdir().unwrap();
    let (socket, _) = serve(room.path(), ());
    let mut streams: Vec<_> = (0..STREAMS).map(|_| connect(&socket)).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, &ATTEST), NOT_BOOTED);
    }
    assert_eq!(ask(&mut connect(&socket), &ATTEST), None);
    // The others don't mind, and a place that is left is taken.
    assert_eq!(ask(&mut streams[0], &ATTEST), NOT_BOOTED);
    streams.pop();
    let deadline = Instant::now() + DEADLINE;
    while ask(&mut connect(&socket), &ATTEST).is_none() {
        assert!(Instant::now() < deadline, "no stream is served any more");
        std::thread::yield_now();
    }
}

/// An observer that can't bear to look.
struct Faint;

impl Observer for Faint {
    fn opened(&self, _: &[u8]) {
        panic!("seen too much");
    }

    fn sealing(&self, _: &[u8]) {}
}

#[test]
fn a_thread_that_panics_gives_its_place_back() {
    let room = tempfile::tempdir().unwrap();
    let (socket, enclave) = serve(room.path(), Faint);
    enclave.answer(boot(wrapped(1))).unwrap();
    let to = sealing_key(&enclave);
    let deadline = Instant::now() + DEADLINE;
    let mut panicked = 0;
    while panicked <= STREAMS {
        assert!(Instant::now() < deadline, "no stream is served any more");
        let mut stream = connect(&socket);
        // Until its place is given back, a stream may be one too many: then it isn't answered at all.
        if ask(&mut stream, &ATTEST).is_none() {
            continue;
        }
        assert_eq!(ask(&mut stream, &refresh(&to).0), None);
        panicked += 1;
    }
    attested(&Ok(ask(&mut connect(&socket), &ATTEST).unwrap()));
}
