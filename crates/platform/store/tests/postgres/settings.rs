//! What a server must not be set to do.

use postgres_cluster::{Cluster, Options};
use store::Error;

use super::room::{NUMBERS, cluster, connect, empty};

/// The setting that a connection is refused for.
fn named(refused: Option<&Error>) -> Option<&'static str> {
    if let Some(Error::Setting { name, .. }) = refused { Some(*name) } else { None }
}

#[tokio::test]
async fn servers_that_log_what_is_asked_are_refused() {
    let database = empty();
    let role = &database.name;
    for (name, value) in [
        ("log_statement", "mod"),
        ("log_statement", "all"),
        ("log_min_duration_statement", "0"),
        ("log_min_duration_sample", "1000"),
        ("log_transaction_sample_rate", "0.01"),
        ("log_duration", "on"),
        ("log_statement_stats", "on"),
        ("log_parser_stats", "on"),
        ("log_planner_stats", "on"),
        ("log_executor_stats", "on"),
        ("log_lock_waits", "on"),
        ("log_min_messages", "debug1"),
        ("log_error_verbosity", "default"),
    ] {
        let alter =
            |what: String| cluster().sql("postgres", &format!("ALTER ROLE {role} {what}")).unwrap();
        alter(format!("SET {name} = '{value}'"));
        let refused = connect(&database, &[NUMBERS]).await.err();
        assert_eq!(named(refused.as_ref()), Some(name), "{value}: {refused:?}");
        let said = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(&format!("{name} = {value}")), "{said}");
        alter(format!("RESET {name}"));
    }
    assert!(connect(&database, &[NUMBERS]).await.is_ok());
    let ddl = format!("ALTER ROLE {role} SET log_statement = 'ddl'");
    cluster().sql("postgres", &ddl).unwrap();
    assert!(connect(&database, &[NUMBERS]).await.is_ok());
}

#[tokio::test]
async fn modules_that_log_statements_are_refused() {
    let settings =
        [("session_preload_libraries", "auto_explain"), ("auto_explain.log_min_duration", "0")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let own = Cluster::start(Options { in_memory: true, settings }).unwrap();
    let database = own.database("numbers").unwrap();
    let refused = connect(&database, &[NUMBERS]).await.err();
    assert_eq!(named(refused.as_ref()), Some("auto_explain.log_min_duration"));
    own.set("auto_explain.log_min_duration", "-1").unwrap();
    assert!(connect(&database, &[NUMBERS]).await.is_ok());
}

#[tokio::test]
async fn servers_that_may_lose_what_was_answered_are_refused() {
    let own = Cluster::start(Options { in_memory: true, ..Options::default() }).unwrap();
    let database = own.database("numbers").unwrap();
    for name in ["fsync", "full_page_writes"] {
        own.set(name, "off").unwrap();
        assert_eq!(named(connect(&database, &[NUMBERS]).await.err().as_ref()), Some(name));
        own.set(name, "on").unwrap();
    }
    // This one a session sets for itself, whatever server and role say.
    own.set("synchronous_commit", "off").unwrap();
    let role = format!("ALTER ROLE {} SET synchronous_commit = 'off'", database.name);
    own.sql("postgres", &role).unwrap();
    let server = connect(&database, &[NUMBERS]).await.unwrap();
    let read = server.read("setting");
    let sql = "SELECT current_setting('synchronous_commit')";
    assert_eq!(read.row(sql, &[], |row| Ok(row.text(0)?.to_owned())).await.unwrap(), "on");
}

/// A session that is opened later looks again: a server may have been set otherwise meanwhile.
#[tokio::test]
async fn a_running_service_opens_no_session_on_a_server_that_was_set_otherwise() {
    let own = Cluster::start(Options { in_memory: true, ..Options::default() }).unwrap();
    let database = own.database("numbers").unwrap();
    let server = connect(&database, &[NUMBERS]).await.unwrap();
    own.set("log_duration", "on").unwrap();
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        database.name
    );
    own.sql("postgres", &end).unwrap();
    let refused = super::room::all(&server).await.err();
    assert!(refused.is_some(), "{refused:?}");
    let refused = super::room::all(&server).await.err();
    assert_eq!(named(refused.as_ref()), Some("log_duration"), "{refused:?}");
}

#[tokio::test]
async fn servers_that_keep_the_moments_of_commits_are_refused() {
    for (name, more) in
        [("track_commit_timestamp", &[][..]), ("archive_mode", &[("wal_level", "replica")])]
    {
        let settings = [&[(name, "on")], more].concat();
        let settings =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let own = Cluster::start(Options { in_memory: true, settings }).unwrap();
        let database = own.database("numbers").unwrap();
        assert_eq!(named(connect(&database, &[NUMBERS]).await.err().as_ref()), Some(name));
    }
}
