//! The program as an operator runs it: how it boots the enclave, and what it keeps.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use key_ring::RingFile;
use wire::parent::{Answer, Failure, Request};

use crate::fixture::{Enclave, Script, start_enclave};

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(room: &Path) -> Command {
    std::fs::write(room.join("boot.json"), "{\"exact\":  \"bytes\"}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-parent"));
    command.arg("--state").arg(room.join("state")).arg("serve");
    command.args(["--listen", "127.0.0.1:0", "--enclave"]).arg(room.join("enclave"));
    command.arg("--boot-configuration").arg(room.join("boot.json"));
    command.arg("--log").arg(room.join("log")).stderr(Stdio::piped());
    command
}

fn enclave(room: &Path, answer: Answer) -> (Arc<Script>, Enclave) {
    let script = Arc::new(Script::default());
    script.answer([answer]);
    let enclave = start_enclave(&room.join("enclave"), &script);
    (script, enclave)
}

/// Waits until the program says that the enclave is booted, as often as this.
async fn booted(room: &Path, times: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = std::fs::read_to_string(room.join("log")).unwrap_or_default();
        if log.matches("is booted").count() >= times {
            return;
        }
        assert!(Instant::now() < deadline, "it doesn't boot: {log}");
        tokio::task::yield_now().await;
    }
}

/// The program's exit status and what it said.
async fn ended(room: &Path) -> (Option<i32>, String) {
    let mut running = Running(command(room).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it goes on");
        tokio::task::yield_now().await;
    };
    let mut said = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

fn boot(wrapped_key: &[u8]) -> Request {
    let configuration = b"{\"exact\":  \"bytes\"}".to_vec();
    Request::Boot { configuration, wrapped_key: wrapped_key.to_vec(), former_keys: vec![] }
}

/// An enclave's answer: it runs with this key.
fn booted_with(key: u8) -> Answer {
    Answer::Booted { wrapped_key: vec![key; 60], public_key: vec![key; 32] }
}

/// The wrapped key that is kept as the current one.
fn kept(room: &Path) -> Vec<u8> {
    let ring = RingFile::of(&room.join("state"), "minting").read().unwrap().unwrap();
    ring.current().unwrap().secret().unwrap().to_vec()
}

#[tokio::test]
async fn the_wrapped_key_is_kept_and_given_back_at_the_next_start() {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    let (script, _enclave) = enclave(room, booted_with(5));
    let file = room.join("state/keys/minting.ring");
    for (times, sent) in [(1, vec![]), (2, vec![5; 60])] {
        let _running = Running(command(room).spawn().unwrap());
        booted(room, times).await;
        assert_eq!(script.asked(), [boot(&sent)]);
        assert_eq!(kept(room), [5; 60]);
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_enclave_with_another_key_than_the_kept_one_is_not_served() {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    let (script, _enclave) = enclave(room, booted_with(5));
    drop({
        let running = Running(command(room).spawn().unwrap());
        booted(room, 1).await;
        running
    });
    script.answer([booted_with(6)]);
    let (status, said) = ended(room).await;
    assert_eq!(status, Some(1));
    assert!(said.contains("another minting key"), "{said}");
    assert_eq!(kept(room), [5; 60]);
}

#[tokio::test]
async fn an_enclave_that_cannot_be_booted_is_not_served() {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    let (_script, _enclave) = enclave(room, Answer::Failed(Failure::Configuration));
    let (status, said) = ended(room).await;
    assert_eq!(status, Some(1));
    assert!(said.contains("another configuration"), "{said}");
    assert!(!room.join("state/keys/minting.ring").exists());
}

#[tokio::test]
async fn an_address_that_is_none_to_connect_to_is_refused_at_once() {
    let room = tempfile::tempdir().unwrap();
    for address in ["vsock:3", "vsock:any:5005", "hybrid-vsock:/run/vm", ""] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-parent"));
        command.arg("--state").arg(room.path()).args(["serve", "--enclave", address]);
        let output = command.args(["--boot-configuration", "/nowhere"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}");
    }
}

#[tokio::test]
async fn an_enclave_that_keeps_no_key_is_booted_and_told_of() {
    let room = tempfile::tempdir().unwrap();
    let room = room.path();
    let (script, _enclave) =
        enclave(room, Answer::Booted { wrapped_key: vec![], public_key: vec![1; 32] });
    for times in [1, 2] {
        let _running = Running(command(room).spawn().unwrap());
        booted(room, times).await;
        assert_eq!(script.asked(), [boot(&[])]);
    }
    let log = std::fs::read_to_string(room.join("log")).unwrap();
    assert_eq!(log.matches("keeps no minting key").count(), 2, "{log}");
    assert!(!room.join("state/keys/minting.ring").exists(), "there is nothing to keep");
}
