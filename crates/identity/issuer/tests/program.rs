//! The program as an operator runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coarse::{Clock as _, Secret, SystemClock};
use encoding::Base64Url;
use epoch_keys::{PublishedKey, Purpose, TreePin};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use issuer_api::{BLIND_SIGN, BlindSign, ISSUANCE_RECEIPT};
use jws::{KeySet, SigningKey};
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId, SubscriptionVersion};
use serde_json::Value;
use service::{BaseUrl, ClientConfig, HttpClient};

fn issuer(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-issuer"));
    command.arg("--state").arg(state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    issuer(state).args(arguments).output()
}

/// A service that runs. It is killed when a test fails half-way.
struct Running {
    child: Child,
    base: BaseUrl,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
impl Running {
    /// Starts one, and waits until it listens. SRTs are verified by the keys in a file beside the state directory.
    async fn start(state: &Path, log: &Path, arguments: &[&str]) -> Self {
        let mut command = issuer(state);
        command.args(["serve", "--issuer-name", "issuer.example", "--listen", "127.0.0.1:0"]);
        command.arg("--srt-keys").arg(state.with_file_name("srt-keys.json"));
        command.args(arguments).arg("--log").arg(log);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines = text.lines();
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let address = lines.find_map(|line| line["address"].as_str()?.parse().ok());
            if let Some(address) = address {
                return Self { child, base: BaseUrl::plain(address).unwrap() };
            }
            let ended = child.try_wait().unwrap().is_some() || Instant::now() > deadline;
            assert!(!ended, "it doesn't listen: {text}");
            tokio::task::yield_now().await;
        }
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

/// What accounts sign SRTs with.
#[cfg(test)]
fn accounts_key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32])).unwrap()
}

/// A state directory with keys of this purpose for the present and the next epoch.
#[cfg(test)]
fn state_with_keys(room: &Path, purpose: &str) -> PathBuf {
    let keys = KeySet::from(accounts_key().verifying_key());
    fs::write(room.join("srt-keys.json"), serde_json::to_vec(&keys).unwrap()).unwrap();
    let state = room.join("issuer");
    let keygen = ["keygen", "--purpose", purpose, "--first-epoch", "now", "--count", "2"];
    assert!(run(&state, &keygen).unwrap().status.success());
    state
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
    let state = state_with_keys(room.path(), "access");
    let mut running = Running::start(&state, &room.path().join("log"), &[]).await;
    let client = HttpClient::new(ClientConfig::default(), ());
    for path in ["/health", "/api/v1/public-key?purpose=access", "/metrics", issuer_api::DIRECTORY]
    {
        assert_eq!(client.get(&running.base, path).await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(running.stop(), Some(0));
}

/// Two instances share a database and a state directory: whichever is asked, a subscription draws one address, and the same request gets the same answer.
#[tokio::test]
async fn several_instances_draw_from_one_database() {
    let room = tempfile::tempdir().unwrap();
    let state = state_with_keys(room.path(), "dedicated-ip");
    let database = postgres_cluster::shared().unwrap().database("issuer").unwrap();
    let serve = ["--database", &database.url];
    let mut one = Running::start(&state, &room.path().join("one"), &serve).await;
    let mut other = Running::start(&state, &room.path().join("other"), &serve).await;
    let entitlements = Entitlements::new([Entitlement::DedicatedIp], SubscriptionVersion::new(0));
    let now = SystemClock.now();
    let srt = Srt { subscription: SubscriptionId::from_bytes([1; 16]), entitlements };
    let srt = srt.sign(&accounts_key(), now).unwrap();
    let draw = async |running: &Running, message: u8| {
        let mut blinded = vec![message; 256];
        blinded[0] = 1;
        let body = BlindSign {
            purpose: Purpose::DedicatedIp,
            epoch: Purpose::DedicatedIp.epoch_at(now),
            blinded_message: Base64Url(blinded),
        };
        let request = Request::post(running.base.join(BLIND_SIGN).unwrap())
            .header(AUTHORIZATION, format!("Bearer {}", srt.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(serde_json::to_vec(&body).unwrap()));
        let answer = HttpClient::new(ClientConfig::default(), ()).send(request.unwrap()).await;
        let answer = answer.unwrap();
        (
            answer.status().as_u16(),
            answer.headers().get(ISSUANCE_RECEIPT).cloned(),
            answer.into_body(),
        )
    };
    let first = draw(&one, 1).await;
    assert_eq!((first.0, first.1.is_some()), (200, true));
    assert_eq!(draw(&other, 1).await, first, "the same signature, and the same receipt");
    assert_eq!(draw(&other, 2).await.0, 409);
    one.child.kill().unwrap();
    one.child.wait().unwrap();
    assert_eq!(draw(&other, 1).await, first);
    assert!(!state.join("issuer.sqlite").exists());
    assert_eq!(other.stop(), Some(0));
}
