//! What a server must not be set to do, and what its role must not be able to do.

use tokio_postgres::Client;

use super::failure::Failed;
use crate::Error;

/// A setting, and what it must be.
struct Rule {
    name: &'static str,
    is_fine: fn(&str) -> bool,
    harm: &'static str,
    wanted: &'static str,
}

const fn off(name: &'static str, harm: &'static str) -> Rule {
    Rule { name, is_fine: |found| found == "off", harm, wanted: "off" }
}

const fn on(name: &'static str, harm: &'static str) -> Rule {
    Rule { name, is_fine: |found| found == "on", harm, wanted: "on" }
}

const fn never(name: &'static str, harm: &'static str) -> Rule {
    Rule { name, is_fine: |found| found == "-1", harm, wanted: "-1" }
}

const LOSES: &str = "may lose what was answered";
const STATEMENTS: &str = "logs what is asked, and when";

/// What isn't there (a module that isn't loaded) is fine.
const RULES: &[Rule] = &[
    on("fsync", LOSES),
    on("full_page_writes", LOSES),
    on("synchronous_commit", LOSES),
    off("track_commit_timestamp", "keeps the moment of every row's commit"),
    off("archive_mode", "keeps for good when every row came"),
    Rule {
        name: "log_statement",
        is_fine: |found| matches!(found, "none" | "ddl"),
        harm: STATEMENTS,
        wanted: "none",
    },
    never("log_min_duration_statement", STATEMENTS),
    never("log_min_duration_sample", STATEMENTS),
    Rule {
        name: "log_transaction_sample_rate",
        is_fine: |found| found == "0",
        harm: STATEMENTS,
        wanted: "0",
    },
    off("log_duration", STATEMENTS),
    off("log_statement_stats", STATEMENTS),
    off("log_parser_stats", STATEMENTS),
    off("log_planner_stats", STATEMENTS),
    off("log_executor_stats", STATEMENTS),
    off("log_lock_waits", "logs who waited for which row, and when"),
    Rule {
        name: "log_min_messages",
        is_fine: |found| !found.starts_with("debug"),
        harm: STATEMENTS,
        wanted: "warning",
    },
    Rule {
        name: "log_error_verbosity",
        is_fine: |found| found == "terse",
        harm: "logs the row that a statement failed at",
        wanted: "terse",
    },
    never("auto_explain.log_min_duration", STATEMENTS),
    Rule {
        name: "pgaudit.log",
        is_fine: |found| found == "none",
        harm: STATEMENTS,
        wanted: "none",
    },
];

/// What the present role is, and may do.
const ROLE: &str = "SELECT
    rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls OR EXISTS (
        SELECT FROM pg_roles AS strong WHERE strong.rolname IN
            ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
        AND pg_has_role(own.oid, strong.oid, 'MEMBER')),
    (SELECT datdba = own.oid FROM pg_database WHERE datname = current_database())
    FROM pg_roles AS own WHERE rolname = current_user";

/// Refuses a session whose server or role isn't as it should be.
pub(super) async fn check(client: &Client) -> Result<(), Failed> {
    let names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    let sql = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)";
    for row in client.query(sql, &[&names]).await? {
        let (name, found): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(Rule { name, harm, wanted, .. }) =
            RULES.iter().find(|rule| rule.name == name && !(rule.is_fine)(found))
        {
            let found = found.to_owned();
            return Err(odd(Error::Setting { name, found, harm, wanted }));
        }
    }
    let role = client.query_one(ROLE, &[]).await?;
    if role.try_get(0)? {
        return Err(odd(Error::Role(
            "may do more than a service's role should: it must not be a superuser, make roles or read all data",
        )));
    }
    if !role.try_get::<_, bool>(1)? {
        return Err(odd(Error::Role("doesn't own its database")));
    }
    Ok(())
}

/// What is better off, though nothing is refused for it: a line for the log when it is on.
pub(super) async fn advise(client: &Client) -> Result<(), Failed> {
    let sql = "SELECT setting FROM pg_settings WHERE name = 'wal_recycle'";
    if client.query_one(sql, &[]).await?.try_get::<_, &str>(0)? == "on" {
        tracing::warn!(
            "the server has wal_recycle = on: old segments of its log stay readable; see docs/operations/postgresql.md"
        );
    }
    Ok(())
}

fn odd(error: Error) -> Failed {
    Failed { fault: super::failure::Fault::Odd, error }
}
