//! Which database: what an operator says.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use coarse::SecretText;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::Error;

/// How long the server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// What every session is told, and no role or server can change for it: an answered write survives a power cut; nobody waits longer than a
/// request may take (10 s); values of failed statements aren't logged.
const SESSION: &str = "-c synchronous_commit=on -c default_transaction_isolation=read\\ committed \
    -c default_transaction_read_only=off -c statement_timeout=9s -c lock_timeout=8s \
    -c idle_in_transaction_session_timeout=30s -c log_parameter_max_length_on_error=0 \
    -c debug_print_parse=off -c debug_print_rewritten=off -c debug_print_plan=off \
    -c search_path=public -c jit=off -c client_min_messages=error";

/// Where a service keeps its rows.
#[derive(Args, Clone)]
pub struct DatabaseOption {
    /// A PostgreSQL database: `postgres://ROLE:PASSWORD@HOST:PORT/DATABASE`, where HOST is loopback or a socket's directory
    /// (`%2Frun%2Fpostgresql`). When not given: a SQLite file in the state directory.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<DatabaseUrl>,
}

impl DatabaseOption {
    /// The server's URL; `None` for the file.
    #[must_use]
    pub const fn server(&self) -> Option<&DatabaseUrl> {
        self.database.as_ref()
    }
}

/// The URL of a database. It may hold a password, so it isn't shown; what is wrong with it is told when it is used.
#[derive(Clone)]
pub struct DatabaseUrl(SecretText);

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self(SecretText::new(url.to_owned())))
    }
}

impl DatabaseUrl {
    /// How to connect.
    pub(super) fn config(&self) -> Result<Config, Error> {
        let url = self.0.expose();
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(Error::Url("it begins with postgres:// or postgresql://"));
        }
        let given: Config = url.parse().map_err(|_| Error::Url("it is malformed"))?;
        let mut config = Config::new();
        given.get_user().map(|user| config.user(user));
        given.get_password().map(|password| config.password(password));
        let database = given.get_dbname().ok_or(Error::Url("it names no database"))?;
        config.dbname(database);
        let [host] = given.get_hosts() else {
            return Err(Error::Url("it names one host, or the directory of a socket"));
        };
        match host {
            Host::Tcp(name) => config.host(name),
            Host::Unix(directory) => config.host_path(directory),
        };
        for port in given.get_ports() {
            config.port(*port);
        }
        if config != given {
            return Err(Error::Url("it says role, password, host, port and database, and no more"));
        }
        if let Host::Tcp(name) = host {
            config.hostaddr(loopback(name)?);
        }
        config.connect_timeout(CONNECT).options(SESSION);
        Ok(config)
    }
}

/// The address of a host; that of another machine isn't taken.
fn loopback(host: &str) -> Result<IpAddr, Error> {
    let address = match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        other => other.trim_matches(['[', ']']).parse().ok(),
    };
    address.filter(IpAddr::is_loopback).ok_or(Error::Url(
        "there is no TLS yet: the host is a socket's directory (%2Frun%2Fpostgresql) or a loopback address",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<Config, Error> {
        url.parse::<DatabaseUrl>().unwrap_or_else(|never| match never {}).config()
    }

    #[test]
    fn sockets_and_loopback_are_taken() {
        for url in [
            "postgres://role@%2Frun%2Fpostgresql/accounts",
            "postgresql://role:secret@localhost/accounts",
            "postgres://127.0.0.1:5433/accounts",
            "postgres://role@[::1]/accounts",
            "postgres:///accounts?host=/run/postgresql&user=role",
        ] {
            let config = config(url).unwrap();
            assert_eq!(config.get_dbname(), Some("accounts"), "{url}");
        }
        let local = config("postgres://localhost/accounts").unwrap();
        assert_eq!(local.get_hostaddrs(), [IpAddr::V4(Ipv4Addr::LOCALHOST)], "nobody is asked");
    }

    #[test]
    fn everything_else_is_refused_without_being_quoted() {
        for (url, reason) in [
            ("", "postgres://"),
            ("accounts.sqlite", "postgres://"),
            ("mysql://role:hunter2@127.0.0.1/accounts", "postgres://"),
            ("postgres://role:hunter2@db.example/accounts", "TLS"),
            ("postgres://role:hunter2@192.0.2.1/accounts", "TLS"),
            ("postgres://role:hunter2@localhost,127.0.0.1/accounts", "one host"),
            ("postgres://role:hunter2@127.0.0.1", "no database"),
            ("postgres:///accounts", "one host"),
            ("postgres://role:hunter2@127.0.0.1:port/accounts", "malformed"),
            ("postgres://role:hunter2@127.0.0.1/accounts?sslmode=require", "no more"),
            ("postgres://role:hunter2@127.0.0.1/accounts?application_name=hunter2", "no more"),
            ("postgres://role:hunter2@127.0.0.1/accounts?options=-c%20fsync=off", "no more"),
            ("postgres://role:hunter2@127.0.0.1/accounts?hostaddr=192.0.2.1", "no more"),
        ] {
            let told = config(url).unwrap_err().to_string();
            assert!(told.contains(reason) && !told.contains("hunter2"), "{url}: {told}");
        }
    }
}
