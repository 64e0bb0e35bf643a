//! The operator's commands, run as an operator runs them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use attested::{EnclavePin, Pcr, Provider, SignedProvider, Update, Urls};
use blind_rsa::{AwsLcSigner, RawSigner as _};
use coarse::{Epoch, Secret};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, TreePin};
use jws::{KeySet, SigningKey};
use serde_json::{Value, json};
use service::{ClientConfig, HttpClient, ReceivedProblem};
use wire::BootConfiguration;

#[cfg(test)]
mod fixture {
    use super::*;

    /// A command on a state directory, without a service.
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit status and standard error of a command that fails.
    pub(super) fn failed(state: &Path, arguments: &[&str]) -> (i32, String) {
        let output = dip(state, arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// A running service without an enclave; dropping it kills it.
    pub(super) struct Service {
        pub(super) running: Child,
        pub(super) state: PathBuf,
        pub(super) url: String,
    }

    impl Drop for Service {
        fn drop(&mut self) {
            let _ = self.running.kill();
            let _ = self.running.wait();
        }
    }

    impl Service {
        /// Starts it on `room/dip`.
        pub(super) fn start(room: &Path, provider: &Path) -> Self {
            let (state, log) = (room.join("dip"), room.join("dip.log"));
            let _ = std::fs::remove_file(&log);
            let running = Command::new(env!("CARGO_BIN_EXE_cloakroom-dip"))
                .arg("--state")
                .arg(&state)
                .args(["serve", "--enclave", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"])
                .arg("--provider")
                .arg(provider)
                .arg("--log")
                .arg(&log)
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let address = found(|| {
                let log = std::fs::read_to_string(&log).ok()?;
                let mut lines =
                    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let listening = lines.find(|line| line["message"] == "listening")?;
                listening["address"].as_str().map(str::to_owned)
            });
            Self { running, state, url: format!("http://{address}") }
        }

        /// Standard output of an operator's command that succeeds.
        pub(super) fn done(&self, arguments: &[&str]) -> String {
            done(&self.state, &[arguments, &["--url", &self.url]].concat())
        }

        /// The JSON that it prints.
        pub(super) fn told(&self, arguments: &[&str]) -> Value {
            serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
        }

        /// Exit status and standard error of one that fails.
        pub(super) fn failed(&self, arguments: &[&str]) -> (i32, String) {
            failed(&self.state, &[arguments, &["--url", &self.url]].concat())
        }
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

use fixture::{Service, done, failed, provider, published};

const KEY: &str = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn start(room: &Path) -> Service {
    Service::start(room, &provider(room, published(Purpose::DedicatedIp).1))
}

fn add_gateway(service: &Service, name: &str) {
    let endpoint = ["--public-key", KEY, "--endpoint", "127.0.0.1:51820"];
    let gateway = ["gateway", "add", "--id", name, "--gateway-url", "http://127.0.0.1:3006"];
    service.done(&[&gateway[..], &endpoint].concat());
}

fn import(service: &Service, cidr: &str) {
    let block = ["pool", "import", "--cidr", cidr, "--region", "eu-1", "--gateway", "one"];
    service.done(&block);
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
    let service = start(room.path());
    add_gateway(&service, "one");
    add_gateway(&service, "one");
    let import = |cidr| {
        let block = ["pool", "import", "--cidr", cidr, "--region", "eu-1", "--gateway", "one"];
        [&block[..], &["--exclude", "192.0.2.1", "192.0.2.128/25", "--exclude", "192.0.2.2"]]
            .concat()
    };
    let tried = [&import("192.0.2.0/24")[..], &["--dry-run"]].concat();
    assert!(service.done(&tried).starts_with("125 addresses would be added, 0 were"));
    let said = service.done(&import("192.0.2.0/24"));
    assert_eq!(said, "125 addresses added, 0 were there already, 129 left out\n");
    let told = service.told(&import("192.0.2.0/24"));
    assert_eq!(told, json!({"new": 0, "known": 125, "excluded": 129, "dry_run": false}));
    let expected = json!({
        "regions": [{
            "region": "eu-1", "available": 125, "reserved": 0, "leased": 0, "grace": 0,
            "quarantine": 0, "drained": 0, "blocked": 0, "withdrawing": 0,
        }],
        "token_key_epochs": [],
    });
    assert_eq!(service.told(&["pool", "status"]), expected);
    assert!(service.done(&["pool", "status"]).contains("eu-1"));
}

#[test]
fn a_list_is_imported_and_comes_out_again() {
    let room = tempfile::tempdir().unwrap();
    let service = start(room.path());
    add_gateway(&service, "one");
    add_gateway(&service, "two");
    let file = room.path().join("pool.csv");
    let list = "address,region,gateway\r\n192.0.2.1,eu-1,one\r\n2001:db8:1::/56/56,us-1,two\r\n";
    std::fs::write(&file, list).unwrap();
    let csv = ["pool", "import", "--csv", file.to_str().unwrap()];
    assert_eq!(service.told(&csv)["new"], 2);
    let out = service.done(&["pool", "list", "--csv"]);
    assert_eq!(
        out.replace('\r', ""),
        "address,region,gateway\n2001:db8:1::/56/56,us-1,two\n192.0.2.1,eu-1,one\n"
    );
    std::fs::write(&file, "address\n192.0.2.9\nnonsense\n").unwrap();
    let defaults = [&csv[..], &["--region", "eu-1", "--gateway", "one"]].concat();
    let (status, said) = service.failed(&defaults);
    assert!(status == 1 && said.contains("line 3"), "{said}");
    assert_eq!(service.told(&["pool", "list"])["addresses"].as_array().unwrap().len(), 2);
}

#[test]
fn addresses_are_drained_blocked_opened_and_moved() {
    let room = tempfile::tempdir().unwrap();
    let service = start(room.path());
    add_gateway(&service, "one");
    add_gateway(&service, "two");
    import(&service, "192.0.2.0/27");
    let change = |arguments: &[&str]| {
        let told = service.told(&[&["pool"], arguments].concat());
        (told["changed"].as_u64().unwrap(), told["same"].as_u64().unwrap())
    };
    assert_eq!(change(&["drain", "192.0.2.0/30", "--dry-run"]), (3, 0));
    assert_eq!(change(&["drain", "192.0.2.0/30"]), (3, 0));
    assert_eq!(change(&["block", "192.0.2.1", "192.0.2.8/29"]), (9, 0));
    assert_eq!(change(&["open", "192.0.2.2"]), (1, 0));
    assert_eq!(change(&["open", "--region", "eu-1", "192.0.2.3"]), (1, 0));
    assert_eq!(change(&["move", "--to", "two", "--gateway", "one"]), (30, 0));
    assert_eq!(change(&["move", "--to", "two", "--region", "eu-1"]), (0, 30));
    let status = &service.told(&["pool", "status"])["regions"][0];
    assert_eq!((&status["available"], &status["blocked"]), (&json!(21), &json!(9)));
    let blocked = service.told(&["pool", "list", "--state", "blocked", "--gateway", "two"]);
    assert_eq!(blocked["addresses"].as_array().unwrap().len(), 9);
    for (wrong, status) in [
        (&["pool", "drain"][..], 2),
        (&["pool", "drain", "198.51.100.0/24"], 1),
        (&["pool", "move", "--to", "three", "--region", "eu-1"], 1),
        (&["pool", "list", "--state", "free"], 2),
    ] {
        assert_eq!(service.failed(wrong).0, status, "{wrong:?}");
    }
}

#[test]
fn the_pool_is_told_to_others() {
    let room = tempfile::tempdir().unwrap();
    let service = start(room.path());
    add_gateway(&service, "one");
    import(&service, "192.0.2.0/30");
    let (status, said) = service.failed(&["pool", "geofeed"]);
    assert!(status == 1 && said.contains("where is the region eu-1"), "{said}");
    service.done(&["region", "place", "eu-1", "DE,DE-BE,Berlin"]);
    assert!(service.done(&["region", "list"]).contains("Berlin"));
    let feed = service.done(&["pool", "geofeed"]);
    assert_eq!(feed.lines().next(), Some("192.0.2.1/32,DE,DE-BE,Berlin,"));
    let zones = room.path().join("zones");
    let ask = ["pool", "zones", "--pattern", "{address}.{region}.dip.example", "--serial", "7"];
    let servers = ["--name-server", "ns1.example", "--name-server", "ns2.dip.example=192.0.2.53"];
    let out = ["--mailbox", "hostmaster.example", "--output", zones.to_str().unwrap()];
    let told = service.told(&[&ask[..], &servers, &out].concat());
    assert_eq!(told, json!({"zones": ["2.0.192.in-addr.arpa", "dip.example"]}));
    let reverse = std::fs::read_to_string(zones.join("2.0.192.in-addr.arpa.zone")).unwrap();
    assert!(reverse.contains("192-0-2-1.eu-1.dip.example."), "{reverse}");
    let ahead = service.told(&["pool", "forecast", "--weeks", "3"]);
    assert_eq!(ahead[0]["region"], "eu-1");
    assert_eq!(ahead[0]["pessimistic"]["weeks"].as_array().unwrap().len(), 3);
    assert!(service.done(&["pool", "forecast"]).contains("eu-1"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let room = tempfile::tempdir().unwrap();
    let service = start(room.path());
    let import = |cidr| ["pool", "import", "--cidr", cidr, "--region", "eu-1", "--gateway", "no"];
    let (status, said) = service.failed(&import("192.0.2.0/24"));
    assert!(status == 1 && said.contains("there is no gateway no"), "{said}");
    let (status, said) = service.failed(&import("2001:db8::/70"));
    assert!(status == 2 && said.contains("too large for single addresses"), "{said}");
    let notice = ["--reference", "case-7", "--text", "too much mail"];
    let freeze = ["lease", "freeze", "192.0.2.1"];
    let (status, said) = service.failed(&[&freeze[..], &notice].concat());
    assert!(status == 1 && said.contains("Nobody has this address"), "{said}");
    assert_eq!(service.failed(&freeze).0, 2);
    assert!(service.done(&["complaint", "192.0.2.1", "--category", "spam"]).contains("nobody"));
    assert!(service.done(&["report"]).contains("unleased"));
    let (status, said) = service.failed(&["complaint", "192.0.2.1", "--category", "rude"]);
    assert!(status == 2 && said.contains("brute-force"), "{said}");
    let nowhere = ["serve", "--provider", "/nowhere/provider.json"];
    let (status, said) = failed(&room.path().join("other"), &nowhere);
    assert!(status == 2 && said.contains("can't be read"), "{said}");
    let (status, said) = failed(&service.state, &["pool", "status", "--url", "http://127.0.0.1:1"]);
    assert!(status == 2 && said.contains("can't be asked"), "{said}");
    let (status, said) = failed(&service.state, &["journal", "replay"]);
    assert!(status == 2 && said.contains("in use"), "{said}");
}

#[test]
fn only_committed_keys_are_imported() {
    let room = tempfile::tempdir().unwrap();
    let (key, tree) = published(Purpose::DedicatedIp);
    let (other_purpose, _) = published(Purpose::Access);
    let (uncommitted, _) = published(Purpose::DedicatedIp);
    let service = Service::start(room.path(), &provider(room.path(), tree));
    let file = room.path().join("keys.json");
    let import = ["keys", "import", file.to_str().unwrap()];
    let write = |keys: &[&PublishedKey]| {
        std::fs::write(&file, serde_json::to_vec(keys).unwrap()).unwrap();
    };

    write(&[&key, &uncommitted]);
    let (status, said) = service.failed(&import);
    assert!(status == 1 && said.contains("the key of epoch 2968"), "{said}");
    let epochs = || service.told(&["keys", "list"])["epochs"].clone();
    assert_eq!(epochs(), json!([]));

    write(&[&other_purpose, &key]);
    assert!(service.done(&import).contains("1 (epochs 2968 to 2968); 1 of other purposes"));
    assert_eq!(service.told(&import)["epochs"], json!([2968]));
    assert_eq!(epochs(), json!([2968]));

    std::fs::write(&file, "{}").unwrap();
    assert_eq!(service.failed(&import).0, 2);
}

#[tokio::test]
async fn the_service_starts_without_an_enclave_says_so_and_stops_when_told() {
    let room = tempfile::tempdir().unwrap();
    let mut service = start(room.path());
    let client = HttpClient::new(ClientConfig::default(), ());
    let health = client.get(&service.url.parse().unwrap(), "/health").await.unwrap();
    let problem = ReceivedProblem::from_response(&health);
    assert_eq!((problem.status, problem.slug()), (503, "starting"));
    let told = Command::new("kill").arg(service.running.id().to_string()).status().unwrap();
    assert!(told.success() && service.running.wait().unwrap().success());
    let replay = done(&service.state, &["journal", "replay", "--json"]);
    let nothing = json!({"tokens": 0, "leases": 0, "conflicts": 0});
    assert_eq!(serde_json::from_str::<Value>(&replay).unwrap(), nothing);
}
