//! The operator's commands, run as an operator runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use attested::{EnclavePin, Pcr, Provider, SignedProvider, Update, Urls};
use blind_rsa::{AwsLcSigner, RawSigner as _};
use coarse::{Epoch, Secret};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, TreePin};
use jws::{KeySet, SigningKey};
use serde_json::Value;
use service::{ClientConfig, HttpClient, ReceivedProblem};
use wire::BootConfiguration;

#[cfg(test)]
mod fixture {
    use super::*;

    pub(super) fn dip(state: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cloakroom-dip"))
            .arg("--state")
            .arg(state)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Standard output of a command that succeeds.
    pub(super) fn done(state: &Path, arguments: &[&str]) -> String {
        let output = dip(state, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit status and standard error of a command that fails.
    pub(super) fn failed(state: &Path, arguments: &[&str]) -> (i32, String) {
        let output = dip(state, arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    const EPOCH: Epoch = Epoch::new(2_968);

    /// A key, and a tree of the purpose that commits to it.
    pub(super) fn published(purpose: Purpose) -> (PublishedKey, TreePin) {
        let spki = AwsLcSigner::generate(2048).unwrap().public_key().spki();
        let tree = CommitmentTree::build(purpose, EPOCH, &[&spki]).unwrap();
        let proof = tree.proof(EPOCH).unwrap();
        let key = PublishedKey { purpose, epoch: EPOCH, public_key: Base64Url(spki), proof };
        (key, TreePin { purpose, first_epoch: EPOCH, root: tree.root() })
    }

    /// A provider's file that pins `tree`.
    pub(super) fn provider(room: &Path, tree: TreePin) -> PathBuf {
        let boot = BootConfiguration {
            srt_keys: KeySet::default(),
            issuance_keys: KeySet::default(),
            refused_minting_keys: vec![],
            order_keys: KeySet::default(),
            issuer_name: "issuer.example".into(),
            origin: "dip.example".into(),
            tree,
        };
        let nowhere = || "http://127.0.0.1:1".to_owned();
        let provider = Provider {
            name: "test".into(),
            urls: Urls {
                accounts: nowhere(),
                blind_token_service: nowhere(),
                enclave: nowhere(),
                dip_service: nowhere(),
                backup: None,
            },
            issuer_name: boot.issuer_name.clone(),
            origin: boot.origin.clone(),
            trees: vec![tree],
            enclave: EnclavePin {
                root: vec![],
                pcrs: [(0, Pcr([0; 48]))].into(),
                boot_configuration: serde_json::to_string(&boot).unwrap(),
            },
            identity_endpoints: vec![],
            other_enclaves: vec![],
            update: Update::default(),
        };
        let key = SigningKey::from_seed(&Secret::new([1; 32])).unwrap();
        let file = room.join("provider.json");
        let signed = SignedProvider::sign(&provider, &key).unwrap();
        std::fs::write(&file, signed.to_json().unwrap()).unwrap();
        file
    }

    /// Tries until `look` finds something.
    pub(super) fn found<T>(look: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(found) = look() {
                return found;
            }
            std::thread::yield_now();
        }
        panic!("it didn't come in time");
    }
}

use fixture::{done, failed, found, provider, published};

const KEY: &str = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn add_gateway(state: &Path) {
    let endpoint = ["--public-key", KEY, "--endpoint", "127.0.0.1:51820"];
    let gateway = ["gateway", "add", "--id", "one", "--url", "http://127.0.0.1:3006"];
    done(state, &[&gateway[..], &endpoint].concat());
}

#[test]
fn the_order_key_is_made_once() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("dip");
    let first: Value = serde_json::from_str(&done(&state, &["order-keys", "--json"])).unwrap();
    assert_eq!(first["keys"][0]["crv"], "Ed25519");
    let again: Value = serde_json::from_str(&done(&state, &["order-keys"])).unwrap();
    assert_eq!(first, again);
}

#[test]
fn a_pool_is_imported_and_counted() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("dip");
    add_gateway(&state);
    add_gateway(&state);
    let import = |cidr| {
        let block = ["pool", "import", "--cidr", cidr, "--region", "eu-1", "--gateway", "one"];
        [&block[..], &["--exclude", "192.0.2.1", "192.0.2.128/25", "--exclude", "192.0.2.2"]]
            .concat()
    };
    assert!(done(&state, &import("192.0.2.0/24")).starts_with("125 addresses added, 0 were"));
    assert!(done(&state, &import("192.0.2.0/24")).starts_with("0 addresses added, 125 were"));
    let status: Value = serde_json::from_str(&done(&state, &["pool", "status", "--json"])).unwrap();
    let expected = serde_json::json!({
        "regions": [{"region": "eu-1", "free": 125, "reserved": 0, "leased": 0, "quarantined": 0}],
        "key_epochs": [],
    });
    assert_eq!(status, expected);
    assert!(done(&state, &["pool", "status"]).contains("eu-1"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("dip");
    let import = |cidr| ["pool", "import", "--cidr", cidr, "--region", "eu-1", "--gateway", "no"];
    let (status, said) = failed(&state, &import("192.0.2.0/24"));
    assert!(status == 1 && said.contains("gateway add"), "{said}");
    let (status, said) = failed(&state, &import("2001:db8::/64"));
    assert!(status == 2 && said.contains("IPv6 addresses are not supported yet"), "{said}");
    let (status, said) = failed(&state, &["lease", "freeze", "192.0.2.1"]);
    assert!(status == 1 && said.contains("not leased"), "{said}");
    let (status, said) = failed(&state, &["serve", "--provider", "/nowhere/provider.json"]);
    assert!(status == 2 && said.contains("can't be read"), "{said}");
}

#[test]
fn only_committed_keys_are_imported() {
    let room = tempfile::tempdir().unwrap();
    let state = room.path().join("dip");
    let (key, tree) = published(Purpose::DedicatedIp);
    let (other_purpose, _) = published(Purpose::Access);
    let (uncommitted, _) = published(Purpose::DedicatedIp);
    let provider = provider(room.path(), tree);
    let file = room.path().join("keys.json");
    let import =
        ["keys", "import", file.to_str().unwrap(), "--provider", provider.to_str().unwrap()];
    let write = |keys: &[&PublishedKey]| {
        std::fs::write(&file, serde_json::to_vec(keys).unwrap()).unwrap();
    };

    write(&[&key, &uncommitted]);
    let (status, said) = failed(&state, &import);
    assert!(status == 1 && said.contains("the key of epoch 2968 is refused"), "{said}");
    let epochs = || -> Value {
        let status = done(&state, &["pool", "status", "--json"]);
        serde_json::from_str::<Value>(&status).unwrap()["key_epochs"].clone()
    };
    assert_eq!(epochs(), serde_json::json!([]));

    write(&[&other_purpose, &key]);
    assert!(done(&state, &import).starts_with("1 keys imported, 1 of other purposes"));
    assert!(done(&state, &import).starts_with("1 keys imported"));
    assert_eq!(epochs(), serde_json::json!([2968]));

    std::fs::write(&file, "{}").unwrap();
    assert_eq!(failed(&state, &import).0, 2);
}

#[tokio::test]
async fn the_service_starts_without_an_enclave_says_so_and_stops_when_told() {
    let room = tempfile::tempdir().unwrap();
    let (state, log) = (room.path().join("dip"), room.path().join("dip.log"));
    let provider = provider(room.path(), published(Purpose::DedicatedIp).1);
    let mut running = Command::new(env!("CARGO_BIN_EXE_cloakroom-dip"))
        .arg("--state")
        .arg(&state)
        .args(["serve", "--enclave", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"])
        .arg("--provider")
        .arg(&provider)
        .arg("--log")
        .arg(&log)
        .spawn()
        .unwrap();
    let address = found(|| {
        let log = std::fs::read_to_string(&log).ok()?;
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let listening = lines.find(|line| line["message"] == "listening")?;
        listening["address"].as_str().map(str::to_owned)
    });
    let client = HttpClient::new(ClientConfig::default(), ());
    let url = format!("http://{address}").parse().unwrap();
    let health = client.get(&url, "/health").await.unwrap();
    let problem = ReceivedProblem::from_response(&health);
    assert_eq!((problem.status, problem.slug()), (503, "starting"));
    let told = Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert!(told.success() && running.wait().unwrap().success());
}
