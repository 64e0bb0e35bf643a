//! The `cloakroom` program: what it says and how it ends when something is wrong, and what it prints for scripts.
//!
//! Exit status: 0 done, 1 refused or failed, 2 it couldn't be tried.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use endtoend::program::{Ran, User, cloakroom};
use endtoend::scene::shared;
use serde::Deserialize;
use serde_json::{Value, json};

/// A command that failed with this status and these words, and printed no result.
fn failed(ran: &Ran, status: i32, words: &str) {
    assert_eq!(ran.status, status, "{}", ran.err);
    assert!(ran.err.contains(words), "{words:?} is not in {:?}", ran.err);
    assert_eq!(ran.out, "");
}

/// Computed by `(head -c 48 /dev/zero; printf abc | openssl dgst -sha384 -binary) | openssl dgst -sha384`.
const MEASURED: &str = "93732e3733514a841c982cfa75ea76ab55fe011acb9cd980\
    ef4523913c65be1b0998e04d77f8c174f81a82151619ca40";

#[test]
fn a_program_is_measured_as_the_module_does() -> Result<()> {
    let room = tempfile::tempdir()?;
    let file = room.path().join("program");
    std::fs::write(&file, "abc")?;
    let path = file.to_str().context("a path that is not text")?;
    let measured = cloakroom(&["attestation", "measure", path], "")?;
    assert_eq!(measured.status, 0);
    assert_eq!(measured.out.trim(), MEASURED);
    assert_eq!(cloakroom(&["attestation", "measure", "/nowhere"], "")?.status, 2);
    Ok(())
}

/// An image that AWS's own builder made, and what AWS measures it to.
#[test]
fn an_image_is_measured_as_aws_does() -> Result<()> {
    let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/primitives/eif/testdata");
    let image = aws.join("built-by-aws.eif");
    let path = image.to_str().context("a path that is not text")?;
    let registers = [0, 1, 2].map(|register| {
        std::fs::read_to_string(aws.join(format!("pcr{register}"))).map(|pcr| pcr.trim().to_owned())
    });
    let [pcr0, pcr1, pcr2] = registers;
    let (pcr0, pcr1, pcr2) = (pcr0?, pcr1?, pcr2?);
    let measured = cloakroom(&["attestation", "measure", path], "")?;
    assert_eq!(measured.out, format!("0={pcr0}\n1={pcr1}\n2={pcr2}\n"));
    let measured = cloakroom(&["attestation", "measure", path, "--json"], "")?;
    assert_eq!(measured.json()?, json!({"pcr0": pcr0, "pcr1": pcr1, "pcr2": pcr2}));

    let room = tempfile::tempdir()?;
    let cut = room.path().join("cut.eif");
    let mut bytes = std::fs::read(&image)?;
    bytes.pop();
    std::fs::write(&cut, bytes)?;
    let path = cut.to_str().context("a path that is not text")?;
    failed(&cloakroom(&["attestation", "measure", path], "")?, 2, "checksum");
    Ok(())
}

/// Support resets a subscription: the old lease can't be refreshed with a newer receipt, the program says what to
/// do, and doing it gives another address.
#[test]
fn after_a_reset_a_wallet_starts_over() -> Result<()> {
    let town = shared()?;
    let user = User::logged_in(town)?;
    let first = user.assign()?.json()?;
    town.support("reset", &user.subscription)?;
    user.log_in()?.json()?;
    failed(&user.run(&["dip", "refresh"])?, 1, "cloakroom dip forget --yes");
    failed(&user.run(&["dip", "forget"])?, 2, "--yes");
    assert_eq!(user.run(&["dip", "forget", "--yes"])?.json()?, json!({"state": "none"}));
    let second = user.assign()?.json()?;
    assert_eq!(second.get("state"), Some(&json!("leased")));
    assert_ne!(first.get("dedicated_ip"), second.get("dedicated_ip"));
    Ok(())
}

#[test]
fn what_cannot_be_parsed_is_not_tried() -> Result<()> {
    for arguments in [
        &["dip"][..],
        &["dip", "assign", "--wait", "soon"],
        &["dip", "assing"],
        &["trust", "add"],
        &["--source", "here", "status"],
        &["connect", "--proxy", "1080"],
        &["device", "remove"],
        &["device", "remove", "--yes"],
        &["device", "remove", "thumb", "--yes"],
        &["device", "restore", "AAAA"],
        &["attestation", "verify", "--document", "x"],
        &["completions", "dos"],
    ] {
        let ran = cloakroom(arguments, "")?;
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains("Usage") || ran.err.contains("--help"), "{}", ran.err);
    }
    let help = cloakroom(&["--help"], "")?;
    assert_eq!(help.status, 0);
    for command in
        ["trust", "account", "dip", "device", "connect", "attestation", "provider", "demo"]
    {
        assert!(help.out.contains(command), "{command}");
    }
    assert_eq!(cloakroom(&["completions", "bash"], "")?.status, 0);
    Ok(())
}

#[test]
fn without_trust_each_command_says_what_to_do_first() -> Result<()> {
    let user = User::new(shared()?)?;
    for arguments in [&["trust", "show"][..], &["dip", "assign"]] {
        failed(&user.run(arguments)?, 1, "cloakroom trust add FILE");
    }
    failed(&user.log_in()?, 1, "cloakroom trust add FILE");
    let thumbprint = "-".repeat(42) + "8";
    for arguments in [
        &["device", "list"][..],
        &["device", "remove", &thumbprint, "--yes"],
        &["device", "remove", "--yes", &thumbprint],
        &["device", "restore", &thumbprint],
    ] {
        failed(&user.run(arguments)?, 1, "cloakroom connect");
    }
    for arguments in [&["dip", "refresh"][..], &["dip", "export"], &["connect", "--foreground"]] {
        failed(&user.run(arguments)?, 1, "cloakroom dip assign");
    }
    assert_eq!(user.run(&["dip", "status"])?.json()?, json!({ "state": "none" }));
    assert_eq!(user.run(&["status"])?.json()?["connected"], false);
    assert_eq!(user.run(&["disconnect"])?.status, 0);
    assert_eq!(user.wallet(), None, "a refused command wrote a wallet");
    Ok(())
}

#[test]
fn an_untrusted_root_is_taken_on_the_users_word_alone() -> Result<()> {
    let town = shared()?;
    let user = User::new(town)?;
    let path = town.provider();
    let file = path.to_str().context("no text")?;
    failed(&user.run(&["trust", "add", file])?, 1, "UNTRUSTED DEVELOPMENT");
    failed(&user.run(&["trust", "add", file])?, 1, "--accept-untrusted-development");
    assert_eq!(user.wallet(), None);
    let trusted = user.trust()?;
    assert_eq!(trusted.json()?["untrusted_development"], true);
    // Said on every use.
    assert!(user.log_in()?.err.contains("UNTRUSTED DEVELOPMENT"));
    Ok(())
}

#[test]
fn a_providers_file_that_is_not_right_changes_nothing() -> Result<()> {
    let town = shared()?;
    let user = User::new(town)?;
    user.trust()?.json()?;
    let before = user.wallet();
    let room = tempfile::tempdir()?;
    let add = |name: &str, text: &str| -> Result<Ran> {
        let path = room.path().join(name);
        std::fs::write(&path, text)?;
        let file = path.to_str().context("no text")?;
        user.run(&["trust", "add", file, "--accept-untrusted-development"])
    };
    let text = std::fs::read_to_string(town.provider())?;
    failed(&add("empty", "")?, 1, "not a provider's file");
    let mut touched: Value = serde_json::from_str(&text)?;
    let payload = touched["payload"].as_str().context("no payload")?.to_owned();
    touched["payload"] = json!(payload.replacen('e', "f", 1));
    failed(&add("touched", &touched.to_string())?, 1, "not signed by the key that it names");

    // Well signed, by somebody else.
    let paths = ["key", "other.json"].map(|name| room.path().join(name));
    let [key, out] = [&paths[0], &paths[1]].map(|path| path.to_str().unwrap_or_default());
    let draft = town.provider().with_file_name("provider-draft.json");
    let draft = draft.to_str().context("no text")?;
    let sign = ["provider", "sign", "--draft", draft, "--key", key, "--out", out];
    assert_eq!(cloakroom(&sign, "")?.status, 0);
    let other = std::fs::read_to_string(&paths[1])?;
    failed(&add("stranger", &other)?, 1, "another key than the provider that you trust");
    let gone = user.run(&["trust", "add", "/nowhere/provider.json"])?;
    failed(&gone, 2, "/nowhere/provider.json");
    assert_eq!(user.wallet(), before);
    Ok(())
}

#[test]
fn a_wrong_account_number_changes_nothing() -> Result<()> {
    let user = User::new(shared()?)?;
    user.trust()?.json()?;
    let before = user.wallet();
    for typed in ["", "12", "not a number"] {
        failed(&user.run_with(&["account", "login"], typed)?, 2, "24 digits");
    }
    // Well formed, and nobody's.
    let nobody = user.account.chars().rev().collect::<String>();
    let refused = user.run_with(&["account", "login"], &nobody)?;
    failed(&refused, 1, "There is no account of this number");
    failed(&refused, 1, "check the account number");
    failed(&user.run(&["dip", "assign"])?, 1, "cloakroom account login");
    assert_eq!(user.wallet(), before);
    // Never on the command line, where others would see it.
    let typed = user.run(&["account", "login", &user.account])?;
    assert_eq!(typed.status, 2);
    Ok(())
}

#[test]
fn a_region_that_there_is_not_costs_nothing() -> Result<()> {
    let user = User::logged_in(shared()?)?;
    let assign = |region| user.run(&["dip", "assign", "--region", region, "--wait", "0"]);
    failed(&assign("No Such")?, 2, "lower-case letters");
    assert_eq!(user.run(&["dip", "status"])?.json()?["state"], "none");
    failed(&assign("atlantis")?, 1, "no such region");
    // The token that was drawn meanwhile is good for the next command.
    assert_eq!(user.run(&["dip", "status"])?.json()?["state"], "drawn");
    let leased = assign("demo")?.json()?;
    assert_eq!(leased["state"], "leased");
    // Assigning again is no second address, and the provider stays while there is something to lose.
    assert_eq!(assign("demo")?.json()?, leased);
    let before = user.wallet();
    failed(&user.run(&["trust", "remove"])?, 1, "holds a token or a lease");
    assert_eq!(user.wallet(), before);
    Ok(())
}

#[test]
fn a_wallet_that_is_none_is_left_as_it_is() -> Result<()> {
    let user = User::logged_in(shared()?)?;
    let path = user.home().join("wallet.json");
    for text in ["", "{", "{\"version\":99}"] {
        std::fs::write(&path, text)?;
        for arguments in [&["dip", "status"][..], &["account", "show"], &["dip", "assign"]] {
            failed(&user.run(arguments)?, 1, "left as it is");
            assert_eq!(std::fs::read_to_string(&path)?, text);
        }
    }
    Ok(())
}

#[test]
fn a_stock_wireguard_file_is_private_and_parses() -> Result<()> {
    let user = User::logged_in(shared()?)?;
    let leased = user.assign()?.json()?;
    let path = user.home().join("wg0.conf");
    let file = path.to_str().context("no text")?;
    assert_eq!(user.run(&["dip", "export", "--out", file])?.status, 0);
    assert_eq!(path.metadata()?.permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path)?;
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else {
            let (key, value) = line.split_once(" = ").with_context(|| line.to_owned())?;
            sections.entry(section).or_default().insert(key, value);
        }
    }
    let (interface, peer) = (&sections["Interface"], &sections["Peer"]);
    let end = &leased["gateway"]["tunnel"];
    assert_eq!(peer["PublicKey"], end["public_key"]);
    assert_eq!(peer["Endpoint"], end["endpoint"]);
    assert_eq!(peer["AllowedIPs"], "0.0.0.0/0");
    assert_eq!(interface["DNS"], end["resolver"]);
    let inner = end["inner_address"].as_str().context("no address")?;
    assert_eq!(interface["Address"], format!("{inner}/32"));
    // The secret key is the device's.
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::STANDARD.decode(interface["PrivateKey"])?;
    let secret = coarse::Secret::new(<[u8; 32]>::try_from(secret.as_slice())?);
    let public = peer_key::PeerSecret::from_bytes(&secret).public();
    assert_eq!(leased["device_key"], serde_json::to_value(public)?);

    // A file that is there isn't overwritten.
    failed(&user.run(&["dip", "export", "--out", file])?, 2, file);
    assert_eq!(std::fs::read_to_string(&path)?, text);
    // And on standard output it is the same.
    assert_eq!(user.run(&["dip", "export"])?.out.trim(), text.trim());
    Ok(())
}

#[derive(Deserialize)]
struct Cases {
    roots: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    file: String,
    root: String,
    at: u64,
    expect: String,
    nonce: Option<String>,
    public_key: Option<String>,
    pcrs: Option<BTreeMap<u8, String>>,
    #[serde(default)]
    allow_debug: bool,
    max_age: Option<u64>,
}

impl Case {
    fn arguments(&self, cases: &Cases) -> Result<Vec<String>> {
        let root = cases.roots.get(&self.root).context("no such root")?;
        let mut all = vec!["attestation".to_owned(), "verify".into(), "--json".into()];
        let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
        add("--document", vector(&self.file).display().to_string());
        add("--root", vector(root).display().to_string());
        add("--at", self.at.to_string());
        self.nonce.iter().for_each(|nonce| add("--nonce", nonce.clone()));
        self.public_key.iter().for_each(|key| add("--public-key", key.clone()));
        self.max_age.iter().for_each(|age| add("--max-age", age.to_string()));
        self.pcrs.iter().flatten().for_each(|(index, pcr)| add("--pcr", format!("{index}={pcr}")));
        if self.allow_debug {
            all.push("--allow-debug".into());
        }
        Ok(all)
    }
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/nitro").join(name)
}

#[test]
fn attestation_documents_are_judged_as_the_vectors_say() -> Result<()> {
    let cases: Cases = serde_json::from_slice(&std::fs::read(vector("cases.json"))?)?;
    assert!(cases.cases.len() > 50);
    for case in &cases.cases {
        let arguments = case.arguments(&cases)?;
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ran = cloakroom(&arguments, "")?;
        let accepted = case.expect == "accept";
        assert_eq!(ran.status, i32::from(!accepted), "{}: {}", case.id, ran.err);
        let told: Value = serde_json::from_str(&ran.out).with_context(|| case.id.clone())?;
        assert_eq!(told["ok"], accepted, "{}", case.id);
        let checks = told["checks"].as_array().context("no checks")?;
        assert!(!checks.is_empty());
        for check in checks {
            assert!(check["name"].is_string() && check["detail"].is_string(), "{check}");
        }
        let all_hold = checks.iter().all(|check| check["ok"] == true);
        assert_eq!(all_hold, accepted, "{}", case.id);
        for (name, is) in [
            ("module_id", told["module_id"].is_string()),
            ("timestamp", told["timestamp"].is_u64()),
            ("pcrs", told["pcrs"].is_object()),
        ] {
            assert_eq!(is, accepted, "{}: {name}", case.id);
        }
        for (index, pcr) in case.pcrs.iter().flatten().filter(|_| accepted) {
            assert_eq!(told["pcrs"][index.to_string()], *pcr);
        }
    }
    Ok(())
}

#[test]
fn an_attestation_that_cannot_be_tried_is_not_refused() -> Result<()> {
    let document = vector("real/20260103-base-9e038c2d.cbor").display().to_string();
    let root = vector("root-aws.der").display().to_string();
    let verify = |document: &str, root: &str, more: &[&str]| {
        let mut all = vec!["attestation", "verify", "--document", document, "--root", root];
        all.extend(more);
        cloakroom(&all, "")
    };
    let at = ["--at", "1767472868"];
    assert_eq!(verify(&document, &root, &at)?.status, 0);
    failed(&verify("/nowhere.cbor", &root, &at)?, 2, "/nowhere.cbor");
    failed(&verify(&document, "/nowhere.der", &at)?, 2, "/nowhere.der");
    failed(&verify(&document, &document, &at)?, 2, &document);
    failed(&verify(&document, &root, &["--nonce", "xyz"])?, 2, "hexadecimal");
    failed(&verify(&document, &root, &["--pcr", "0=00"])?, 2, "96 hexadecimal digits");
    failed(&verify(&document, &root, &["--pcr", "32=00"])?, 2, "0 to 31");
    Ok(())
}
