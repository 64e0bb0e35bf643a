//! The program as an operator runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use accounts_api::{CreatedAccount, SubscriptionState, SubscriptionView};
use jws::KeySet;

fn accounts(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-accounts"));
    command.arg("--state").arg(state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    accounts(state).args(arguments).output()
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
fn an_operator_makes_refunds_and_resets() {
    let room = tempfile::tempdir().unwrap();
    let (state, log) = (room.path().join("accounts"), room.path().join("log"));
    let mut command = accounts(&state);
    command.args(["serve", "--listen", "127.0.0.1:0"]).arg("--log").arg(&log);
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
        std::thread::yield_now();
    };
    let url = format!("http://{address}");
    let ask = |arguments: &[&str]| {
        let arguments = [arguments, &["--url", &url, "--json"]].concat();
        let output = run(&state, &arguments).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        output.stdout
    };
    let both = ["--entitlement", "vpn.dip", "--entitlement", "vpn.access"];
    let made = ask(&[&["account", "create"][..], &both].concat());
    let made: CreatedAccount = serde_json::from_slice(&made).unwrap();
    let id = made.subscription.to_hex();
    let view =
        |arguments: &[&str]| serde_json::from_slice::<SubscriptionView>(&ask(arguments)).unwrap();
    assert_eq!(view(&["subscription", "show", &id]).entitlements, ["vpn.dip", "vpn.access"]);
    assert_eq!(view(&["subscription", "reset", &id]).version.number(), 1);
    assert_eq!(view(&["subscription", "reset", &id, "--from", "0"]).version.number(), 1);
    assert_eq!(view(&["subscription", "refund", &id]).state, SubscriptionState::Refunded);

    let code = |arguments: &[&str]| run(&state, arguments).unwrap().status.code();
    let nobody = "00".repeat(16);
    assert_eq!(code(&["subscription", "show", &nobody, "--url", &url]), Some(1));
    assert_eq!(code(&["subscription", "show", "12", "--url", &url]), Some(2));
    let other = room.path().join("other");
    let token = ["--operator-token", other.to_str().unwrap()];
    let show = ["subscription", "show", id.as_str(), "--url", url.as_str()];
    assert_eq!(code(&[&show[..], &token].concat()), Some(2), "no such file");
    fs::write(&other, "0".repeat(64)).unwrap();
    assert_eq!(code(&[&show[..], &token].concat()), Some(1), "not the operator's");

    let keys = run(&state, &["keys", "--json"]).unwrap();
    let keys: KeySet = serde_json::from_slice(&keys.stdout).unwrap();
    assert_eq!(keys.iter().count(), 1);

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    assert_eq!(code(&show), Some(2), "nobody answers");

    // Secrets are the owner's only; the log names neither a number nor a subscription, nor a minute.
    for (file, mode) in [
        ("", 0o700),
        ("operator.token", 0o600),
        ("keys/srt.ring", 0o600),
        ("trail.jsonl", 0o600),
        ("accounts.sqlite", 0o600),
    ] {
        let found = fs::metadata(state.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("/api/v1/subscriptions/{id}/reset"));
    for secret in [id.as_str(), &made.account.to_text()] {
        assert!(!log.contains(secret));
    }
}
