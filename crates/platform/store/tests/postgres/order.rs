//! What a thief of the server's files reads from them, besides the rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use coarse::Hour;
use postgres_cluster::{Cluster, Database, Options};
use rand_core::Rng as _;
use store::postgres::Server;
use store::{Error, Migration};

use super::room::{OWNER, cluster, url};

const TOKENS: &[Migration] = &[Migration {
    number: 1,
    name: "tokens",
    sql: "CREATE TABLE tokens (id bytea PRIMARY KEY, holder bytea NOT NULL UNIQUE, more bytea)",
}];

/// PostgreSQL's usual page.
const PAGE: usize = 8192;

const NOW: Hour = Hour::new(500_000);

type Pair = ([u8; 16], [u8; 16]);

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    coarse::system_rng().fill_bytes(&mut bytes);
    bytes
}

async fn tokens(cluster: &Cluster) -> (Database, Server) {
    let database = cluster.database("tokens").unwrap();
    let server = Server::connect(&url(&database.url), OWNER, TOKENS).await.unwrap();
    (database, server)
}

/// Inserts rows with random ids and holders, one transaction each, and returns them in order.
async fn fill(server: &Server, rows: usize) -> Vec<Pair> {
    let rows: Vec<Pair> = (0..rows).map(|_| (random(), random())).collect();
    for (id, holder) in &rows {
        let insert = server.write("insert");
        let sql = "INSERT INTO tokens (id, holder) VALUES ($1, $2)";
        insert.execute(sql, &[id.into(), holder.into()]).await.unwrap();
    }
    rows
}

/// Spearman's rank correlation of two series without ties.
fn correlation(left: &[usize], right: &[usize]) -> f64 {
    let rank = |series: &[usize], value: usize| {
        series.iter().filter(|other| **other < value).count() as f64
    };
    let n = left.len() as f64;
    let pairs = left.iter().zip(right);
    let distance: f64 = pairs.map(|(a, b)| (rank(left, *a) - rank(right, *b)).powi(2)).sum();
    1.0 - 6.0 * distance / (n * (n * n - 1.0))
}

/// How well places tell the order of arrival: 0 is not at all, 1 is wholly.
fn told(places: &[usize]) -> f64 {
    let arrival: Vec<usize> = (0..places.len()).collect();
    correlation(&arrival, places).abs()
}

/// What the server itself says of each row: where it lies, and which transaction wrote it.
fn catalogued(cluster: &Cluster, database: &Database, rows: &[Pair]) -> (Vec<usize>, Vec<String>) {
    let sql = "SELECT encode(id, 'hex'), ((ctid::text::point)[0] * 1000 + (ctid::text::point)[1])::bigint, xmin FROM tokens";
    let answer = cluster.sql(&database.name, sql).unwrap();
    let lines: Vec<Vec<&str>> = answer.lines().map(|line| line.split('|').collect()).collect();
    let of = |(id, _): &Pair| {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = lines.iter().find(|line| line[0] == id).unwrap();
        (line[1].parse::<usize>().unwrap(), line[2].to_owned())
    };
    rows.iter().map(of).unzip()
}

/// Which of `words` stand in files of the database; what was written to the server's log lately doesn't count.
fn found(cluster: &Cluster, database: &Database, words: &BTreeSet<[u8; 16]>) -> BTreeSet<[u8; 16]> {
    cluster.sql("postgres", "CHECKPOINT").unwrap();
    let path = "SELECT 'base/' || oid FROM pg_database WHERE datname = current_database()";
    let path = cluster.sql(&database.name, path).unwrap();
    let mut begins = vec![false; 1 << 16];
    let begin = |word: &[u8]| usize::from(u16::from_be_bytes([word[0], word[1]]));
    words.iter().for_each(|word| begins[begin(word)] = true);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(cluster.data().join(path.trim())).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap_or_default();
        let candidates = content.windows(16).filter(|window| begins[begin(window)]);
        found.extend(candidates.filter_map(|window| words.get(window).copied()));
    }
    found
}

/// Where each of `words` stands first in a file.
fn places(file: &[u8], words: &[[u8; 16]]) -> Vec<usize> {
    let place = |word: &[u8; 16]| file.windows(16).position(|window| window == word).unwrap();
    // A page is filled from its end.
    let along = |place: usize| place / PAGE * PAGE + (PAGE - 1 - place % PAGE);
    words.iter().map(|word| along(place(word))).collect()
}

/// The content of a table's or an index's file.
fn content(cluster: &Cluster, database: &Database, relation: &str) -> Vec<u8> {
    cluster.sql("postgres", "CHECKPOINT").unwrap();
    let path = format!("SELECT pg_relation_filepath('{relation}')");
    let path = cluster.sql(&database.name, &path).unwrap();
    fs::read(cluster.data().join(Path::new(path.trim()))).unwrap()
}

/// Before: everything tells. After: nothing does. With n rows in random order the coefficient has deviation 1/sqrt(n-1), which
/// is 0.058 for 300 rows; the bound is five of those.
#[tokio::test]
async fn after_a_reshuffle_nothing_tells_the_order_of_arrival() {
    let (database, server) = tokens(cluster()).await;
    let rows = fill(&server, 300).await;
    let (ids, holders): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    let relations = [("tokens", &ids), ("tokens_pkey", &ids), ("tokens_holder_key", &holders)];

    let (lie, written_by) = catalogued(cluster(), &database, &rows);
    assert!(told(&lie) > 0.99, "the attack works");
    assert_eq!(written_by.iter().collect::<BTreeSet<_>>().len(), 300);
    let heap = content(cluster(), &database, "tokens");
    assert!(told(&places(&heap, &ids)) > 0.9, "on the file, too");

    let reshuffled = server.reshuffle(NOW).await.unwrap().unwrap();
    assert_eq!(reshuffled.rows, 300);
    let (lie, written_by) = catalogued(cluster(), &database, &rows);
    assert!(told(&lie) < 0.29, "{}", told(&lie));
    assert_eq!(written_by.iter().collect::<BTreeSet<_>>().len(), 1);
    let mut by_key: Vec<_> = ids.iter().zip(&lie).collect();
    by_key.sort_unstable();
    assert!(by_key.is_sorted_by_key(|(_, place)| **place), "rows lie in the order of their keys");
    for (relation, words) in relations {
        let file = content(cluster(), &database, relation);
        let found = told(&places(&file, words));
        assert!(found < 0.29, "{relation}: {found}");
    }
}

/// Nothing of what was deleted or replaced is left in the files once the table was reshuffled.
#[tokio::test]
async fn after_a_reshuffle_deleted_rows_are_gone_from_the_files() {
    // No autovacuum that looks at the table just then.
    let own = Cluster::start(Options {
        in_memory: true,
        settings: vec![("autovacuum".into(), "off".into())],
    })
    .unwrap();
    let (database, server) = tokens(&own).await;
    let rows = fill(&server, 200).await;
    let (erased, kept) = rows.split_at(120);
    for (id, _) in erased {
        let delete = server.write("delete");
        delete.execute("DELETE FROM tokens WHERE id = $1", &[id.into()]).await.unwrap();
    }
    let there = |pairs: &[Pair]| {
        let words = pairs.iter().flat_map(|(id, holder)| [*id, *holder]).collect();
        found(&own, &database, &words).len()
    };
    assert_eq!((there(erased), there(kept)), (240, 160), "the attack works");
    server.reshuffle(NOW).await.unwrap().unwrap();
    assert_eq!((there(erased), there(kept)), (0, 160));
}

/// Rows of every size come back as they were, in pieces as well.
#[tokio::test]
async fn a_reshuffle_changes_no_row() {
    let (database, server) = tokens(cluster()).await;
    fill(&server, 50).await;
    let large = "INSERT INTO tokens SELECT sha256(int8send(n)), sha256(int8send(-n)),
        (SELECT string_agg(sha256(int8send(n + m)), '') FROM generate_series(1, $1::bigint) AS m)
        FROM generate_series(1, $2::bigint) AS n";
    for (size, rows) in [(100_u32, 3000_u32), (0, 10)] {
        let write = server.write("large");
        let sql =
            if size == 0 { "DELETE FROM tokens WHERE $1::bigint + $2::bigint < 0" } else { large };
        write.execute(sql, &[size.into(), rows.into()]).await.unwrap();
    }
    let digest = "SELECT sha256(string_agg(id || holder || coalesce(more, ''), '' ORDER BY id)), count(*) FROM tokens";
    let digest = || cluster().sql(&database.name, digest).unwrap();
    let before = digest();
    assert!(before.ends_with("|3050\n"));
    let pieces =
        "SELECT pg_relation_size('tokens') / 8192 > 0, pg_total_relation_size('tokens') > 9000000";
    assert_eq!(cluster().sql(&database.name, pieces).unwrap(), "t|t\n");
    for hour in 0..3 {
        let done = server.reshuffle(Hour::new(NOW.number() + 10 * hour)).await.unwrap().unwrap();
        assert_eq!((done.rows, digest()), (3050, before.clone()));
    }
    // What it is made of stays: constraints, indexes, what others were allowed.
    let twice = "INSERT INTO tokens SELECT id, sha256(holder) FROM tokens LIMIT 1";
    assert!(matches!(server.write("twice").execute(twice, &[]).await, Err(Error::Duplicate)));
    assert!(Server::connect(&url(&database.url), OWNER, TOKENS).await.is_ok());
}

/// Of several instances one does it; after a long one nobody does for a while.
#[tokio::test]
async fn it_is_done_once_an_hour_at_most() {
    let (database, server) = tokens(cluster()).await;
    let other = Server::connect(&url(&database.url), OWNER, TOKENS).await.unwrap();
    let rows = fill(&server, 20).await;
    assert_eq!(server.reshuffle(NOW).await.unwrap().map(|done| done.rows), Some(20));
    assert_eq!(other.reshuffle(NOW).await.unwrap(), None);
    let later = |hours| Hour::new(NOW.number() + hours);
    assert!(other.reshuffle(later(1)).await.unwrap().is_some());
    let delay = "UPDATE database_owner SET reshuffle_due_hour = reshuffle_due_hour + 5";
    cluster().sql(&database.name, delay).unwrap();
    assert_eq!(server.reshuffle(later(6)).await.unwrap(), None);
    assert!(server.reshuffle(later(7)).await.unwrap().is_some());
    let (one, two) = tokio::join!(server.reshuffle(later(9)), other.reshuffle(later(9)));
    assert!(one.unwrap().is_some() ^ two.unwrap().is_some());
    assert_eq!(rows.len(), 20);
}

/// Others go on while it is done, and who looks at a state from before sees all rows, not none.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_an_empty_table() {
    let (database, server) = tokens(cluster()).await;
    fill(&server, 200).await;
    // A dump takes its snapshot first, and comes to the table later.
    let mut dump = std::process::Command::new("psql");
    let url = cluster().url("postgres", &database.name).unwrap();
    dump.args([&url, "--no-psqlrc", "-qtA"]).stdin(std::process::Stdio::piped());
    let mut dump = dump.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = dump.stdin.take().unwrap();
    let mut say = |sql: &str| std::io::Write::write_all(&mut input, sql.as_bytes()).unwrap();
    say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'looked' FROM pg_class LIMIT 1;\n");
    let mut output = std::io::BufReader::new(dump.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "looked\n");

    let looking = server.clone();
    let looked = tokio::spawn(async move {
        let mut times = 0_u32;
        let mut last = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            let read = looking.read("count");
            let count = read.row("SELECT count(*) FROM tokens", &[], |row| row.number::<u64>(0));
            let count = count.await.unwrap();
            assert!(count >= last.max(200), "{count} after {last}");
            (last, times) = (count, times + 1);
        }
        times
    });
    let writing = server.clone();
    let written = tokio::spawn(async move { fill(&writing, 200).await });
    let mut hour = NOW.number();
    while !looked.is_finished() {
        hour += 1000;
        server.reshuffle(Hour::new(hour)).await.unwrap();
    }
    assert!(looked.await.unwrap() > 20 && hour > NOW.number() + 3000);
    assert_eq!(written.await.unwrap().len(), 200);
    say("SELECT count(*) FROM tokens;\n");
    line.clear();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert!(line.trim().parse::<u32>().unwrap() >= 200, "{line}");
    drop(input);
    dump.wait().unwrap();
}

/// A reader that stays holds a table: then it is left alone, and so is everybody who waits behind.
#[tokio::test]
async fn a_table_that_is_read_for_long_is_left_for_another_time() {
    let (_, server) = tokens(cluster()).await;
    let rows = fill(&server, 10).await;
    let reader = server.transaction("reader", |tx| {
        let server = server.clone();
        async move {
            tx.all("SELECT id FROM tokens", &[], |row| row.bytes::<16>(0)).await?;
            let refused = server.reshuffle(NOW).await;
            assert!(matches!(refused, Err(Error::Contended)), "{refused:?}");
            Ok::<_, Error>(())
        }
    });
    reader.await.unwrap();
    // The session that failed is closed, and counts as at it until the server has seen that.
    let deadline = Instant::now() + Duration::from_secs(30);
    let done = loop {
        if let Some(done) = server.reshuffle(NOW).await.unwrap() {
            break done;
        }
        assert!(Instant::now() < deadline, "the failed session still holds its lock");
    };
    assert_eq!(done.rows, rows.len() as u64);
}
