//! The program as an operator runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use accounts_api::{CreatedAccount, SubscriptionState, SubscriptionView};
use jws::KeySet;
use serde_json::Value;

fn accounts(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom-accounts"));
    command.arg("--state").arg(state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    accounts(state).args(arguments).output()
}

/// A service that runs. It is killed when a test fails half-way.
struct Running {
    child: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
impl Running {
    /// Starts one, and waits until it listens. These are arguments of `serve`.
    fn start(command: &mut Command, log: &Path, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments).arg("--log").arg(log);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut running = Self { child, url: String::new() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while running.url.is_empty() {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines = text.lines();
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let address = lines.find_map(|line| Some(line["address"].as_str()?.to_owned()));
            running.url = address.map(|address| format!("http://{address}")).unwrap_or_default();
            assert!(Instant::now() < deadline, "it doesn't listen: {text}");
            std::thread::yield_now();
        }
        running
    }

    /// What a command that asks it prints.
    fn ask(&self, state: &Path, arguments: &[&str]) -> Vec<u8> {
        let arguments = [arguments, &["--url", &self.url, "--json"]].concat();
        let output = run(state, &arguments).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        output.stdout
    }

    fn view(&self, state: &Path, arguments: &[&str]) -> SubscriptionView {
        serde_json::from_slice(&self.ask(state, arguments)).unwrap()
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

const BOTH: [&str; 4] = ["--entitlement", "vpn.dip", "--entitlement", "vpn.access"];

#[test]
fn an_operator_makes_refunds_and_resets() {
    let room = tempfile::tempdir().unwrap();
    let (state, log) = (room.path().join("accounts"), room.path().join("log"));
    let mut running = Running::start(&mut accounts(&state), &log, &[]);
    let url = running.url.clone();
    let made = running.ask(&state, &[&["account", "create"][..], &BOTH].concat());
    let made: CreatedAccount = serde_json::from_slice(&made).unwrap();
    let id = made.subscription.to_hex();
    let view = |arguments: &[&str]| running.view(&state, arguments);
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

    assert_eq!(running.stop(), Some(0));
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

/// Two instances share a database and a state directory: keys, the operator's token and the audit trail are one.
#[test]
fn several_instances_serve_from_one_database() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("accounts");
    let database = postgres_cluster::shared().unwrap().database("accounts").unwrap();
    let (mut first, mut second) = (accounts(&state), accounts(&state));
    first.env("DATABASE_URL", &database.url);
    let mut one = Running::start(&mut first, &room.path().join("one"), &[]);
    // `--database` belongs to `serve`, and wins over the environment.
    second.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let log = room.path().join("other");
    let mut other = Running::start(&mut second, &log, &["--database", &database.url]);

    let made = one.ask(&state, &[&["account", "create"][..], &BOTH].concat());
    let made: CreatedAccount = serde_json::from_slice(&made).unwrap();
    let id = made.subscription.to_hex();
    assert_eq!(other.view(&state, &["subscription", "show", &id]).version.number(), 0);
    assert_eq!(other.view(&state, &["subscription", "reset", &id]).version.number(), 1);
    let again = ["subscription", "reset", id.as_str(), "--from", "0"];
    assert_eq!(one.view(&state, &again).version.number(), 1);
    one.child.kill().unwrap();
    one.child.wait().unwrap();
    let refunded = other.view(&state, &["subscription", "refund", &id]);
    assert_eq!((refunded.state, refunded.version.number()), (SubscriptionState::Refunded, 1));
    let trail = run(&state, &["trail", "list"]).unwrap();
    assert!(trail.status.success());
    assert_eq!(String::from_utf8_lossy(&trail.stdout).lines().count(), 4);
    assert!(!state.join("accounts.sqlite").exists());
    assert_eq!(other.stop(), Some(0));
}

#[test]
fn databases_that_cannot_be_used_are_status_2_and_no_password_is_told() {
    let room = tempfile::tempdir().unwrap();
    let foreign = postgres_cluster::shared().unwrap();
    let foreign = foreign.url("postgres", "postgres").unwrap();
    for (url, told) in [
        ("", "it begins with postgres://"),
        ("mysql://accounts:hunter2@127.0.0.1/accounts", "it begins with postgres://"),
        ("postgres://accounts:hunter2@db.example/accounts", "there is no TLS yet"),
        ("postgres://accounts:hunter2@127.0.0.1:1/accounts", "can't be reached"),
        (foreign.as_str(), "must not be a superuser"),
    ] {
        let mut command = accounts(room.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("DATABASE_URL", url);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.contains(told) && !said.contains("hunter2"), "{url}: {said}");
    }
    let mut help = accounts(room.path());
    help.args(["serve", "--help"]).env("DATABASE_URL", "postgres://accounts:hunter2@127.0.0.1/a");
    let help = String::from_utf8(help.output().unwrap().stdout).unwrap();
    assert!(help.contains("DATABASE_URL") && !help.contains("hunter2"), "{help}");
}
