//! A blind token service that gives one customer a key of their own, to know them again by it. Whoever takes a key
//! holds it against the pinned tree first: the client before it blinds, the DIP service before it imports, the
//! enclave before it believes a token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use attested::Provider;
use blind_rsa::{AwsLcSigner, RawSigner as _};
use coarse::Epoch;
use dip_api::Assigned;
use encoding::Base64Url;
use endtoend::customer::{Customer, refusal, seal_json};
use endtoend::program::{User, provider_file};
use endtoend::rogue::{Rogue, Told};
use endtoend::rows::Rows;
use endtoend::services::now;
use epoch_keys::Purpose;
use lab::Town;
use minting::Refusal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::TOWN;
use crate::forge::with;

/// A tree of 2^16 leaves as it is specified, written down a second time: BLAKE3 with a context for each kind of hash.
struct Forest(Vec<BTreeMap<u16, [u8; 32]>>, Vec<[u8; 32]>);

impl Forest {
    /// A tree with these leaves; the others are empty.
    fn of(leaves: impl IntoIterator<Item = (u16, [u8; 32])>) -> Self {
        let mut levels = vec![leaves.into_iter().collect::<BTreeMap<_, _>>()];
        let mut empty = vec![derive("empty", b"")];
        for height in 0..16 {
            let (below, none) = (&levels[height], empty[height]);
            let at = |index: u16| *below.get(&index).unwrap_or(&none);
            let above = |index: &u16| {
                let left = index & !1;
                (index / 2, derive("node", &[at(left), at(left | 1)].concat()))
            };
            let above = below.keys().map(above).collect();
            levels.push(above);
            empty.push(derive("node", &[none, none].concat()));
        }
        Self(levels, empty)
    }

    fn root(&self) -> [u8; 32] {
        self.0[16][&0]
    }

    fn proof(&self, position: u16) -> Vec<u8> {
        let sibling = |height: usize| {
            *self.0[height].get(&(position >> height ^ 1)).unwrap_or(&self.1[height])
        };
        (0..16).flat_map(sibling).collect()
    }
}

fn derive(kind: &str, input: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("cloakroom 2026-11 epoch-keys {kind} v1"), input)
}

fn leaf(epoch: Epoch, spki: &[u8]) -> [u8; 32] {
    let name = Purpose::DedicatedIp.as_str().as_bytes();
    derive("leaf", &[&[name.len() as u8], name, &epoch.number().to_be_bytes(), spki].concat())
}

/// A key of the rogue's own.
fn fresh_key() -> Result<Vec<u8>> {
    Ok(AwsLcSigner::generate(2048)?.public_key().spki())
}

/// A key as it is published; with a proof of any length.
fn published(epoch: Epoch, spki: &[u8], proof: &[u8]) -> Value {
    json!({
        "purpose": "dedicated-ip",
        "epoch": epoch,
        "public_key": Base64Url(spki.to_vec()),
        "proof": Base64Url(proof.to_vec()),
    })
}

/// What a rogue may publish under a pin that doesn't commit to its key: each is refused.
fn lies(customer: &Customer) -> Result<Vec<(&'static str, Value)>> {
    let week = Purpose::DedicatedIp.epoch_at(now());
    let genuine = customer.services.public_key()?;
    let next = customer.services.key_of(Purpose::DedicatedIp, week.next())?;
    let daily = customer.services.key_of(Purpose::Access, Purpose::Access.epoch_at(now()))?;
    let (spki, proof) = (&genuine.public_key.0, genuine.proof.to_bytes());
    let own = fresh_key()?;
    let own_tree = Forest::of([(0, leaf(week, &own))]);
    let mut touched = proof.clone();
    touched[300] ^= 1;
    let as_this_week =
        |key: &epoch_keys::PublishedKey| published(week, &key.public_key.0, &key.proof.to_bytes());
    Ok(vec![
        ("the key of a tree of its own", published(week, &own, &own_tree.proof(0))),
        ("a key of its own under the pinned proof", published(week, &own, &proof)),
        ("a proof with a bit flipped", published(week, spki, &touched)),
        ("a proof read from the top", published(week, spki, &reversed(&proof))),
        ("a byte too few", published(week, spki, &proof[..511])),
        ("a byte too many", published(week, spki, &[&proof[..], &[0]].concat())),
        ("a level too few", published(week, spki, &proof[..480])),
        ("a level too many", published(week, spki, &[&proof[..], &proof[..32]].concat())),
        ("no proof", published(week, spki, &[])),
        ("next week's key for this week", as_this_week(&next)),
        ("this week's key for next week", published(week.next(), spki, &proof)),
        ("this week's key, with next week's proof", published(week, spki, &next.proof.to_bytes())),
        ("an access key as a weekly one", as_this_week(&daily)),
        ("an access key as it is", serde_json::to_value(&daily)?),
        (
            "the pinned key with a byte behind it",
            published(week, &[&spki[..], &[0]].concat(), &proof),
        ),
        ("an epoch before the tree", published(Epoch::new(week.number() - 1), spki, &proof)),
        ("an epoch far off", published(Epoch::new(u32::MAX), spki, &proof)),
        ("more than a key", with(&published(week, spki, &proof), "directions", json!([0, 1]))),
    ])
}

fn reversed(proof: &[u8]) -> Vec<u8> {
    proof.chunks(32).rev().flatten().copied().collect()
}

/// A user of the program whose blind token service is the rogue.
fn user_of(town: &Town, provider: &Provider, rogue: &Rogue) -> Result<(User, TempDir)> {
    let mut provider = provider.clone();
    provider.urls.blind_token_service = rogue.url();
    let room = tempfile::tempdir()?;
    let file = provider_file(&provider, room.path())?;
    Ok((User::new(town)?.who_is_given(file).who_logs_in()?, room))
}

fn blinded_messages(rogue: &Rogue) -> usize {
    rogue.asked().iter().filter(|asked| asked.method == "POST").count()
}

#[test]
fn the_client_blinds_nothing_for_a_key_that_is_not_everybodys() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let shown = Arc::new(Mutex::new(Value::Null));
    let (next, real) = (Arc::clone(&shown), town.url("issuer")?);
    let rogue = Rogue::start(move |asked| match asked.method.as_str() {
        "GET" => Ok(Told::json(&next.lock().ok().context("poisoned")?.clone())),
        _ => asked.passed_on(&real),
    })?;
    let (user, _room) = user_of(&town, &customer.services.provider, &rogue)?;
    let before = Rows::of(&town)?;
    let wallet = user.wallet();
    for (what, lie) in lies(&customer)? {
        *shown.lock().unwrap() = lie;
        let refused = user.assign()?;
        assert_eq!(refused.status, 1, "{what}: {}", refused.err);
        assert!(!refused.err.contains("give the same command again"), "{what}: {}", refused.err);
        // Nothing was begun, and nothing sent by which the person could be known again.
        assert_eq!(user.wallet(), wallet, "{what}");
    }
    assert_eq!(blinded_messages(&rogue), 0);
    before.unchanged(&town)?;
    // With everybody's key the same client goes on.
    *shown.lock().unwrap() = serde_json::to_value(customer.services.public_key()?)?;
    user.assign()?.json()?;
    assert_eq!(blinded_messages(&rogue), 1);
    Ok(())
}

#[test]
fn a_pinned_tree_with_two_keys_for_one_week_has_one() -> Result<()> {
    // The operator commits to a tree in which the week's key stands where it belongs, and another key for the same
    // week stands elsewhere, for whoever is to be known again.
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let week = Purpose::DedicatedIp.epoch_at(now());
    let (everybodys, yours) = (fresh_key()?, fresh_key()?);
    let places = [(0, &everybodys), (1, &yours), (1 << 8, &yours), (u16::MAX, &yours)];
    let forest = Forest::of(places.map(|(place, key)| (place, leaf(week, key))));
    let mut provider = customer.services.provider.clone();
    let mut boot: Value = serde_json::from_str(&provider.enclave.boot_configuration)?;
    let tree = json!({
        "purpose": "dedicated-ip", "first_epoch": week, "root": hex::encode(forest.root()),
    });
    boot["tree"] = tree.clone();
    provider.enclave.boot_configuration = boot.to_string();
    let pin = provider.trees.iter_mut().find(|tree| tree.purpose == Purpose::DedicatedIp);
    *pin.context("no tree")? = serde_json::from_value(tree)?;

    let shown = Arc::new(Mutex::new(Value::Null));
    let next = Arc::clone(&shown);
    let rogue = Rogue::start(move |asked| match asked.method.as_str() {
        "GET" => Ok(Told::json(&next.lock().ok().context("poisoned")?.clone())),
        _ => Ok(Told::problem(503, "later")),
    })?;
    let (user, _room) = user_of(&town, &provider, &rogue)?;
    let before = Rows::of(&town)?;
    for (place, key) in &places[1..] {
        *shown.lock().unwrap() = published(week, key, &forest.proof(*place));
        let refused = user.assign()?;
        assert_eq!(refused.status, 1);
        assert!(refused.err.contains("key was refused"), "{place}: {}", refused.err);
        assert_eq!(blinded_messages(&rogue), 0, "{place}");
    }
    // The one that stands where the week belongs is taken: the tree itself is sound.
    *shown.lock().unwrap() = published(week, &everybodys, &forest.proof(0));
    let begun = user.assign()?;
    assert_eq!(blinded_messages(&rogue), 1, "{}", begun.err);
    before.unchanged(&town)
}

#[test]
fn the_enclave_takes_no_key_but_the_committed_one() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let bought = customer.buy()?;
    let hash = bought.drawn.token()?.spend_hash();
    let enclave = customer.services.attest()?;
    let content = customer.content(&bought)?.encode().context("no content")?;
    let content: Value = serde_json::from_slice(&content)?;
    let before = Rows::of(&town)?;
    for (what, lie) in lies(&customer)? {
        let malformed = lie.get("directions").is_some()
            || Base64Url::from_text(lie["proof"].as_str().context("no proof")?)
                .is_none_or(|proof| proof.0.len() != 512);
        let content = with(&content, "key", lie);
        let (sealed, key) = seal_json(content, &customer.device, &hash, &enclave)?;
        let answer: Assigned = customer.present(&bought.drawn, &sealed)?.json()?;
        let expected = if malformed { Refusal::Malformed } else { Refusal::Key };
        assert_eq!(refusal(&key, &answer.sealed.0)?, expected, "{what}");
    }
    before.only_reserved(&town, &hash)?;
    // And the token is as good as before.
    customer.assign(&bought)?;
    Ok(())
}

#[test]
fn the_dip_service_imports_no_key_but_committed_ones() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let all: Vec<Value> =
        serde_json::from_str(&town.ask("issuer", &["keys", "export", "--json"])?)?;
    let before = Rows::of(&town)?;
    let room = tempfile::tempdir()?;
    let file = room.path().join("keys.json");
    let import = |keys: &[Value]| -> Result<bool> {
        std::fs::write(&file, serde_json::to_vec(keys)?)?;
        let path = file.to_str().context("a path that is no text")?;
        Ok(town.operate_dip(&["keys", "import", path]).is_ok())
    };
    for (what, lie) in lies(&customer)? {
        // Keys for other purposes are none of its business, and passed over.
        let passed_over = lie["purpose"] != "dedicated-ip";
        let mut keys = all.clone();
        keys.push(lie);
        assert_eq!(import(&keys)?, passed_over, "{what}");
        before.unchanged(&town)?;
    }
    assert!(import(&all)?);
    let listed: Value = serde_json::from_str(&town.operate_dip(&["keys", "list", "--json"])?)?;
    assert_eq!(listed["epochs"].as_array().map(Vec::len), Some(3));
    before.unchanged(&town)?;
    // And tokens of its keys are as good as before.
    customer.lease()?;
    Ok(())
}
