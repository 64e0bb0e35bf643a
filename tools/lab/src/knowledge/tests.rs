//! Facts planted in every place and every writing, and a house that is as it should be.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use record::{Connection as _, Opened, Recorder, Tap as _};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const PERSONS: usize = 2;

/// Bytes that look random, the same for the same words.
fn bytes(length: usize, words: &str) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(words.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn jwt(words: &str, payload: &str) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = part(br#"{"alg":"EdDSA","typ":"x"}"#);
    format!("{head}.{}.{}", part(payload.as_bytes()), part(&bytes(64, words)))
}

fn raw(fact: Fact, person: usize) -> Vec<u8> {
    let words = format!("{} {person}", fact.name());
    match fact {
        Fact::Account => format!("{:024}", 987_654_321_987_654 + person).into_bytes(),
        Fact::Srt => {
            let subscription = hex::encode(raw(Fact::Subscription, person));
            jwt(&words, &format!("{{\"sub\":\"{subscription}\"}}")).into_bytes()
        }
        Fact::Dat | Fact::Drt => jwt(&words, "{\"exp\":3600}").into_bytes(),
        Fact::BlindedToken => bytes(256, &words),
        Fact::Token => bytes(354, &words),
        Fact::DeviceKey => bytes(32, &words),
        _ => bytes(16, &words),
    }
}

fn address(fact: Fact, person: usize) -> Option<Ipv4Addr> {
    let last = u8::try_from(person).unwrap() + 1;
    match fact {
        Fact::ClientAddress => Some(Ipv4Addr::new(127, 77, 0, last)),
        Fact::DedicatedIp => Some(Ipv4Addr::new(127, 99, 0, last)),
        _ => None,
    }
}

fn known() -> Vec<Known> {
    let everybody = Fact::ALL.iter().flat_map(|fact| (0..PERSONS).map(move |one| (*fact, one)));
    let known = |(fact, person)| match address(fact, person) {
        Some(value) => Known::address(fact, person, value),
        None => Known::new(fact, person, raw(fact, person)),
    };
    everybody.map(known).collect()
}

/// A fact as text, as a careful service would write it.
fn text(fact: Fact, person: usize) -> String {
    match address(fact, person) {
        Some(address) => address.to_string(),
        None => hex::encode(raw(fact, person)),
    }
}

/// Everybody's evidence of a run in which everything is as the table says, `but` for facts of a party.
fn house(but: &[(Party, Fact, usize)]) -> Vec<Evidence> {
    let evidence = |party| {
        let mut evidence = Evidence::of(party);
        for fact in Fact::ALL {
            for person in 0..PERSONS {
                let should = expected(fact, party) && !makes(party, fact);
                if should != but.contains(&(party, fact, person)) {
                    evidence.extras.push(("extra".to_owned(), text(fact, person).into_bytes()));
                }
            }
        }
        evidence
    };
    Party::ALL.into_iter().map(evidence).collect()
}

/// The violations, when the gateway holds this in addition.
fn with_gateway(add: impl FnOnce(&mut Evidence)) -> Report {
    let mut evidence = house(&[]);
    let gateway = evidence.iter_mut().find(|one| one.party == Party::Gateway).unwrap();
    add(gateway);
    audit(&known(), &evidence).unwrap()
}

fn with_text(text: impl Into<Vec<u8>>) -> Report {
    with_gateway(|gateway| gateway.extras.push(("a metric".to_owned(), text.into())))
}

/// Asserts that the gateway was caught with `fact`, and how.
fn caught(report: &Report, fact: Fact, how: &str) {
    let begins = format!("gateway must not know {}, and has that of person 1: ", fact.name());
    let named = report.violations.iter().any(|one| one.starts_with(&begins));
    let row = report.knowledge.iter().find(|row| row.party == Party::Gateway && row.fact == fact);
    let places = &row.unwrap().places;
    assert!(
        named && places.iter().any(|place| place.contains(how)),
        "{how}: {report}\n{places:#?}"
    );
}

#[test]
fn a_clean_house_is_clean() {
    let report = with_text("nothing of anybody: 127.0.0.1, 127.99.0.11, 00112233445566778899");
    assert!(report.is_clean(), "{report}");
    for row in &report.knowledge {
        assert_eq!(row.knows, row.expected);
        assert_eq!(row.places.is_empty(), !row.knows);
    }
}

#[test]
fn every_cell_of_the_table_can_fail() {
    for fact in Fact::ALL {
        let parties = || Party::ALL.into_iter().filter(|party| !makes(*party, fact));
        let mut but: Vec<_> = parties().map(|party| (party, fact, 1)).collect();
        if fact == Fact::Subscription {
            but.extend(without_receipts(1));
        }
        let violations = audit(&known(), &house(&but)).unwrap().violations;
        for party in parties() {
            let verb = if expected(fact, party) { "should" } else { "must not" };
            let begins = format!("{} {verb} know {}", party.name(), fact.name());
            let named = |one: &String| one.starts_with(&begins) && one.contains("person 1");
            assert!(violations.iter().any(named), "{begins}: {violations:?}");
        }
    }
}

/// Takes the receipt, which names the subscription, from everybody whom it was given.
fn without_receipts(person: usize) -> impl Iterator<Item = (Party, Fact, usize)> {
    let given = |party: &Party| expected(Fact::Srt, *party) && !makes(*party, Fact::Srt);
    Party::ALL.into_iter().filter(given).map(move |party| (party, Fact::Srt, person))
}

#[test]
fn nobody_else_holds_both_and_those_who_must_do() {
    let together = |but| audit(&known(), &house(but)).unwrap().violations.join("\n");
    let parent = together(&[(Party::EnclaveParent, Fact::Subscription, 0)]);
    assert!(parent.contains("enclave_parent holds subscription and dedicated_ip together"));
    let lost = [0, 1].map(|person| (Party::Enclave, Fact::Subscription, person));
    let lost: Vec<_> =
        lost.into_iter().chain([0, 1].into_iter().flat_map(without_receipts)).collect();
    assert!(together(&lost).contains("enclave should hold subscription and dedicated_ip together"));
    assert!(!together(&[]).contains("together"));
}

#[test]
fn a_run_without_a_fact_is_no_proof() {
    let mut some = known();
    some.retain(|one| one.fact != Fact::Drt || one.person != 1);
    let violations = audit(&some, &house(&[])).unwrap().violations;
    assert_eq!(violations, ["the run gave no drt of person 1: it was not looked for"]);
    assert!(!audit(&[], &house(&[])).unwrap().is_clean());
}

#[test]
fn every_writing_is_found_by_name() {
    let value = raw(Fact::Subscription, 1);
    let sha = digest(&SHA256, &value).as_ref().to_vec();
    let blake = *blake3::hash(&value).as_bytes();
    let framed = [b"xy".as_slice(), &value, b"z"].concat();
    let (low, high) = (hex::encode(&value), hex::encode_upper(&value));
    let uuid = [&low[..8], &low[8..12], &low[12..16], &low[16..20], &low[20..]].join("-");
    for (planted, how) in [
        (framed.clone(), "(plain)"),
        (format!("<{low}>").into_bytes(), "(hex)"),
        (high.into_bytes(), "(hex)"),
        (uuid.into_bytes(), "(as a UUID)"),
        (STANDARD.encode(&framed).into_bytes(), "(base64"),
        (URL_SAFE.encode(&value).into_bytes(), "(base64"),
        (format!("{value:?}").into_bytes(), "(a list of numbers)"),
        (serde_json::to_vec(&value).unwrap(), "(a list of numbers)"),
        (value.escape_ascii().to_string().into_bytes(), "(escaped)"),
        (sha.clone(), "(its SHA-256, plain)"),
        (hex::encode(&sha).into_bytes(), "(its SHA-256, hex)"),
        (
            URL_SAFE_NO_PAD.encode([b"..", sha.as_slice()].concat()).into_bytes(),
            "(its SHA-256, base64",
        ),
        (blake.to_vec(), "(its BLAKE3, plain)"),
        (hex::encode(blake).into_bytes(), "(its BLAKE3, hex)"),
    ] {
        caught(&with_text(planted), Fact::Subscription, how);
    }
    let token = raw(Fact::Token, 1);
    caught(&with_text(&token[322..]), Fact::Token, "(its end, plain)");
    assert!(with_text(&token[..300]).is_clean(), "only the end is unique");
}

#[test]
fn every_layer_is_looked_into() {
    let account = String::from_utf8(raw(Fact::Account, 1)).unwrap();
    let claims = jwt("some", &format!("{{\"x\":\"{account}\"}}"));
    let escaped: String = account.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let percent: String = account.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (start, end) = account.split_at(11);
    let chunked = format!(
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{start}\r\nd\r\n{end}\r\n0\r\n\r\n"
    );
    for (planted, how) in [
        (claims.clone(), "a metric > JWT (plain)"),
        (
            STANDARD.encode(format!("{{\"jwt\":\"{claims}\"}}")),
            "a metric > base64url > JWT (plain)",
        ),
        (format!("{{\"a\":\"{escaped}\"}}"), "a metric > JSON string (plain)"),
        (format!("/a?b={percent}&c"), "a metric > percent-encoded (plain)"),
        (chunked, "a metric > chunked (plain)"),
    ] {
        caught(&with_text(planted), Fact::Account, how);
    }
    // The receipt names its subscription.
    caught(&with_text(raw(Fact::Srt, 1)), Fact::Subscription, "JWT (hex)");
}

#[test]
fn every_kind_of_evidence_is_read() {
    let room = TempDir::new().unwrap();
    let account = raw(Fact::Account, 1);
    let report = with_gateway(|gateway| {
        let tape = room.path().join("tape");
        let recorder = Recorder::to_file(&tape).unwrap();
        let mut connection =
            recorder.connected(Opened::ByPeer, Some("127.99.9.9:5".parse().unwrap()));
        connection.received(b"POST /api/v1/x?y=1 HTTP/1.1\r\n\r\n");
        connection.received(&account[..9]);
        connection.received(&account[9..]);
        recorder.note("datagram", &account);
        gateway.recordings.push(tape);
        let log = room.path().join("log");
        fs::write(&log, &account).unwrap();
        gateway.logs.push(log);
        let state = room.path().join("state");
        let name = String::from_utf8(account.clone()).unwrap();
        fs::create_dir_all(state.join("inner")).unwrap();
        fs::write(state.join("inner/journal"), &account).unwrap();
        fs::write(state.join(name), "").unwrap();
        gateway.state.push(state);
    });
    for how in
        ["received /api/v1/x (", "noted datagram (", "log (", "inner/journal (", "a file's name ("]
    {
        caught(&report, Fact::Account, how);
    }
}

#[test]
fn databases_are_read_by_row_and_in_their_free_pages() {
    let room = TempDir::new().unwrap();
    let report = with_gateway(|gateway| {
        let database = Connection::open(room.path().join("gateway.sqlite")).unwrap();
        let tables =
            "PRAGMA secure_delete = OFF; CREATE TABLE gone (x); CREATE TABLE \"a b\" (x, y, n)";
        database.execute_batch(tables).unwrap();
        database.execute("INSERT INTO gone VALUES (?1)", [raw(Fact::Subscription, 1)]).unwrap();
        database.execute("DELETE FROM gone", ()).unwrap();
        let client = address(Fact::ClientAddress, 0).unwrap();
        let kept = (raw(Fact::Lease, 1), bytes(9000, "padding"), u32::from(client));
        database.execute("INSERT INTO \"a b\" VALUES (?1, ?2, ?3)", kept).unwrap();
        gateway.state.push(room.path().to_owned());
    });
    caught(&report, Fact::Subscription, "gateway.sqlite (plain)");
    caught(&report, Fact::Lease, "gateway.sqlite, a b.x (plain)");
    let client = |row: &&Row| row.party == Party::Gateway && row.fact == Fact::ClientAddress;
    let places = &report.knowledge.iter().find(client).unwrap().places;
    assert!(places.contains(&"gateway.sqlite, a b.n (a decimal number)".to_owned()), "{places:?}");
}

#[test]
fn a_four_byte_column_is_an_address_and_four_bytes_elsewhere_arent() {
    let room = TempDir::new().unwrap();
    let dedicated = address(Fact::DedicatedIp, 1).unwrap().octets();
    let mut evidence = house(&[]);
    let accounts = evidence.iter_mut().find(|one| one.party == Party::Accounts).unwrap();
    accounts.extras.push(("sealed".to_owned(), [b"..", dedicated.as_slice(), b".."].concat()));
    assert!(audit(&known(), &evidence).unwrap().is_clean());
    let database = Connection::open(room.path().join("a")).unwrap();
    database.execute_batch("CREATE TABLE t (ip)").unwrap();
    database.execute("INSERT INTO t VALUES (?1)", [dedicated]).unwrap();
    let accounts = evidence.iter_mut().find(|one| one.party == Party::Accounts).unwrap();
    accounts.state.push(room.path().to_owned());
    let violations = audit(&known(), &evidence).unwrap().violations;
    assert_eq!(violations.len(), 2, "the fact, and both together: {violations:?}");
    assert!(violations[0].ends_with("of person 1: a, t.ip (dotted)"), "{violations:?}");
}

#[test]
fn evidence_that_cant_be_read_is_an_error() {
    for spoil in [
        |one: &mut Evidence| one.recordings.push("/nowhere/tape".into()),
        |one: &mut Evidence| one.state.push("/nowhere/state".into()),
        |one: &mut Evidence| one.logs.push("/nowhere/log".into()),
    ] {
        let mut evidence = house(&[]);
        spoil(&mut evidence[0]);
        assert!(audit(&known(), &evidence).is_err());
    }
}

#[test]
fn reports_have_the_promised_shape_and_width() {
    let report = audit(&known(), &house(&[(Party::Gateway, Fact::Account, 1)])).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["knowledge"].as_array().unwrap().len(), Fact::ALL.len() * Party::ALL.len());
    let expected = serde_json::json!({
        "fact": "account", "party": "blind_token_service", "knows": false, "expected": false, "where": [],
    });
    assert_eq!(json["knowledge"][2], expected);
    assert_eq!(
        json["knowledge"][6]["where"],
        serde_json::json!(["extra (hex)", "extra > hex (plain)"])
    );
    assert_eq!(json["violations"].as_array().unwrap().len(), 1);
    for (fact, party) in Fact::ALL.iter().zip(Party::ALL) {
        assert_eq!(serde_json::to_value(fact).unwrap(), fact.name());
        assert_eq!(serde_json::to_value(party).unwrap(), party.name());
    }
    let table = report.to_string();
    let lines: Vec<_> = table.lines().take(3 + Fact::ALL.len()).collect();
    assert!(lines.iter().all(|line| line.len() <= 100 && !line.is_empty()), "{table}");
    assert!(table.contains("! LEAK"));
}
