//! The program as an operator runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backup_api::{Found, Locator, READ};
use serde_json::json;
use service::{BaseUrl, ClientConfig, HttpClient};

/// Kills the service when a test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
fn backup(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-backup"));
    command.arg("--state").arg(state).arg("serve").args(["--listen", "127.0.0.1:0"]);
    command
}

/// Starts the service, asks for one place and stops it.
#[cfg(test)]
async fn asked_once(state: &Path, log: &Path) -> Vec<u8> {
    let _ = fs::remove_file(log);
    let mut running =
        Running(backup(state).arg("--log").arg(log).stdin(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let address = loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines =
            text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let address = lines.filter_map(|line| Some(line["address"].as_str()?.to_owned())).next();
        if let Some(address) = address {
            break address;
        }
        assert!(Instant::now() < deadline, "it doesn't listen: {text}");
        tokio::task::yield_now().await;
    };
    let base = BaseUrl::plain(address.parse().unwrap()).unwrap();
    let client = HttpClient::new(ClientConfig::default(), ());
    for path in ["/health", "/metrics"] {
        assert_eq!(client.get(&base, path).await.unwrap().status(), 200, "{path}");
    }
    let locator = Locator::from_bytes([7; 32]);
    let answer = client.post_json(&base, READ, &json!({ "locator": locator })).await.unwrap();
    let found: Found = service::parse(&answer).unwrap();
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    found.blob.bytes().to_vec()
}

#[tokio::test]
async fn it_serves_until_told_to_stop_and_answers_the_same_afterwards() {
    let room = tempfile::tempdir().unwrap();
    let (state, log) = (room.path().join("backup"), room.path().join("log"));
    let first = asked_once(&state, &log).await;
    assert_eq!(asked_once(&state, &log).await, first);
    for file in ["backup.sqlite", "decoy.key"] {
        let mode = fs::metadata(state.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("/api/v1/backup/read") && !log.contains("BwcHBw"), "{log}");
}

#[test]
fn what_cannot_be_served_is_not_tried() {
    let room = tempfile::tempdir().unwrap();
    for arguments in [
        &["--capacity", "0"][..],
        &["--capacity", "many"],
        &["--listen", "0.0.0.0:0"],
        &["--log", "/nowhere/log"],
    ] {
        let output = backup(room.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    fs::write(room.path().join("decoy.key"), "short").unwrap();
    let output = backup(room.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("32 bytes"));
}
