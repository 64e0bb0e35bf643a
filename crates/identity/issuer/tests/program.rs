//! The program as an operator runs it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coarse::Secret;
use epoch_keys::{PublishedKey, TreePin};
use jws::{KeySet, SigningKey};
use service::{BaseUrl, ClientConfig, HttpClient};

fn issuer(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-issuer"));
    command.arg("--state").arg(state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    issuer(state).args(arguments).output()
}

/// Kills the service when a test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_are_made_once_and_exported_with_proofs() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("issuer");
    let keygen =
        ["keygen", "--purpose", "access", "--first-epoch", "now", "--count", "2", "--json"];
    let made = run(&state, &keygen).unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let pin: TreePin = serde_json::from_slice(&made.stdout).unwrap();
    assert!(String::from_utf8_lossy(&made.stderr).contains("access: 2 of 2 keys"));

    let again = run(&state, &keygen).unwrap();
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&again.stderr).contains("never overwritten"));

    let trees = run(&state, &["trees"]).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<TreePin>>(&trees.stdout).unwrap(), [pin]);
    let keys = run(&state, &["keys", "export", "--json"]).unwrap();
    let keys: Vec<PublishedKey> = serde_json::from_slice(&keys.stdout).unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.verify(&pin).is_ok()));
    let receipt_keys = run(&state, &["receipt-keys"]).unwrap();
    let receipt_keys: KeySet = serde_json::from_slice(&receipt_keys.stdout).unwrap();
    assert_eq!(receipt_keys.iter().count(), 1);
}

#[test]
fn arguments_that_name_nothing_are_status_2() {
    let room = tempfile::tempdir().unwrap();
    for arguments in [
        &["keygen", "--purpose", "gold", "--first-epoch", "now", "--count", "1"][..],
        &["keygen", "--purpose", "access", "--first-epoch", "now", "--count", "0"],
        &["keygen", "--purpose", "access", "--first-epoch", "soon", "--count", "1"],
        &["serve", "--issuer-name", "i", "--srt-keys", "/nowhere", "--listen", "127.0.0.1:0"],
        &["serve", "--issuer-name", "a b", "--srt-keys", "/dev/null", "--listen", "127.0.0.1:0"],
    ] {
        let output = run(room.path(), arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[tokio::test]
async fn it_serves_until_told_to_stop() {
    let room = tempfile::tempdir().unwrap();
    let (state, log) = (room.path().join("issuer"), room.path().join("log"));
    let jwks = room.path().join("srt-keys.json");
    let accounts = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
    let keys = KeySet::from(accounts.verifying_key());
    fs::write(&jwks, serde_json::to_vec(&keys).unwrap()).unwrap();
    let keygen = ["keygen", "--purpose", "access", "--first-epoch", "now", "--count", "1"];
    assert!(run(&state, &keygen).unwrap().status.success());

    let mut command = issuer(&state);
    command.args(["serve", "--issuer-name", "issuer.example", "--listen", "127.0.0.1:0"]);
    command.arg("--srt-keys").arg(&jwks).arg("--log").arg(&log);
    let mut running = Running(command.stdin(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let address = loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
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
    for path in ["/health", "/api/v1/public-key?purpose=access", "/metrics", issuer_api::DIRECTORY]
    {
        assert_eq!(client.get(&base, path).await.unwrap().status(), 200, "{path}");
    }
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}
