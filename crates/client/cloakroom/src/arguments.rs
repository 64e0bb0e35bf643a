//! What can be said on the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use coarse::{Clock, SystemClock};
use peer_key::Thumbprint;

use crate::commands::backup::BackupArguments;

/// A VPN whose operator cannot link a customer to an address.
#[derive(Parser)]
#[command(name = "cloakroom", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Where the wallet is [default: $XDG_DATA_HOME/cloakroom or ~/.local/share/cloakroom].
    #[arg(long, global = true, value_name = "DIR", env = "CLOAKROOM_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// The local address that connections and tunnels leave from [default: the system's choice].
    #[arg(long, global = true, value_name = "IP")]
    pub(crate) source: Option<IpAddr>,
    /// Print one JSON object on standard output; progress stays on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but results, warnings and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The time.
    #[arg(skip = Arc::new(SystemClock) as Arc<dyn Clock>)]
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Whom to trust: take in a provider's file, look at it, remove it.
    #[command(subcommand)]
    Trust(Trust),
    /// The account that pays.
    #[command(subcommand)]
    Account(Account),
    /// The dedicated IP: get it, look at it, refresh it, export it.
    #[command(subcommand)]
    Dip(Dip),
    /// The devices that use the dedicated IP: list them, remove one, let it in again. Needs an open tunnel.
    #[command(subcommand)]
    Device(Device),
    /// Keep the dedicated IP: refresh its tokens and its backup in time, at random times, until told to stop.
    Daemon(Daemon),
    /// Open the tunnel and a SOCKS5 and HTTP CONNECT proxy into it.
    Connect(Connect),
    /// Close the tunnel.
    Disconnect,
    /// Say whether the tunnel is open, and from which address it leaves.
    Status,
    /// Check an attestation document.
    #[command(subcommand)]
    Attestation(Attestation),
    /// For providers: sign the file that clients trust.
    #[command(subcommand)]
    Provider(Provider),
    /// Run everything on this machine, and show who learned what.
    Demo(Demo),
    /// Measure what this machine can do, beside the raw primitives.
    Bench(Bench),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Subcommand)]
pub(crate) enum Trust {
    /// Take in a provider's file. Its signer is pinned the first time.
    Add {
        /// The provider's file (provider.json).
        file: PathBuf,
        /// Accept an attestation root that calls itself UNTRUSTED DEVELOPMENT.
        #[arg(long)]
        accept_untrusted_development: bool,
    },
    /// Fetch the provider's newest file from where the trusted one says that it is, and take it in.
    Update,
    /// Show whom this wallet trusts.
    Show,
    /// Trust nobody any more.
    Remove,
}

#[derive(Subcommand)]
pub(crate) enum Account {
    /// Set the account number; it is read from standard input, so that it stays out of the shell's history.
    Login,
    /// Show whether an account is set, and how long its subscription receipt is good.
    Show,
    /// Give the account a new number, and print it. The former one, which a lost device may hold, is worth nothing from then on.
    ChangeNumber,
}

#[derive(Subcommand)]
pub(crate) enum Dip {
    /// Get a dedicated IP. After a failure the same command goes on where it stopped; nothing is lost.
    Assign {
        /// Where [default: any region with a free address].
        #[arg(long)]
        region: Option<String>,
        /// Wait a random time of at most this many seconds between drawing a token and using it.
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        wait: u32,
    },
    /// Show the dedicated IP and how long its tokens are good.
    Status,
    /// Renew the tokens.
    Refresh,
    /// Give up the token or address in this wallet: after a reset by support, to get a new one.
    Forget {
        /// Yes, give it up: it can't be had back.
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Give the dedicated IP back before its time, for all devices. It can't be had back, nor another before a reset by support.
    GiveBack {
        /// Yes, give it back.
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Back the address up under an Access Code, so that another device can have it, too.
    Backup(BackupArguments),
    /// Take the address that is backed up under an Access Code to this device; the code is read from standard input. Log in first. After a
    /// failure the same command, or `dip refresh`, goes on where it stopped.
    Restore,
    /// Write a configuration file for any other WireGuard client. It holds this device's secret key.
    Export {
        /// Where to [default: standard output]; the file must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum Device {
    /// List the devices that may use the dedicated IP at present, by the thumbprints of their keys.
    List,
    /// Remove a device: its tunnel ends at once, and the gateway refuses its key for six days. Done twice it changes nothing.
    Remove {
        /// Which, as the list names it.
        #[arg(allow_hyphen_values = true)]
        thumbprint: Thumbprint,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// Let a device that was removed by mistake in again.
    Restore {
        /// Which.
        #[arg(allow_hyphen_values = true)]
        thumbprint: Thumbprint,
    },
}

#[derive(Args, Clone)]
pub(crate) struct Daemon {
    /// Do what is due now, and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Do nothing: show when what is due.
    #[arg(long, conflicts_with = "once")]
    pub(crate) status: bool,
}

#[derive(Args, Clone)]
pub(crate) struct Connect {
    /// Where the proxy listens, on loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1080")]
    pub(crate) proxy: SocketAddr,
    /// Stay in the foreground until interrupted.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// The background process of a `connect` without --foreground.
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub(crate) background: bool,
}

#[derive(Subcommand)]
pub(crate) enum Attestation {
    /// Verify an AWS Nitro attestation document. Exit status: 0 it holds, 1 it is refused, 2 it couldn't be tried.
    Verify(Verify),
    /// Print what an enclave's image measures to, PCR0 to PCR2; or the PCR0 that the software security module measures for a
    /// program: SHA384(0^48 || SHA384(file)).
    Measure {
        /// The enclave's image (EIF) or executable file.
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Verify {
    /// The document: raw CBOR.
    #[arg(long, value_name = "FILE")]
    pub(crate) document: PathBuf,
    /// The root certificate to pin: DER or PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: PathBuf,
    /// The time of verification, in seconds since 1970 [default: now].
    #[arg(long, value_name = "UNIX")]
    pub(crate) at: Option<u64>,
    /// The nonce that the document must hold.
    #[arg(long, value_name = "HEX")]
    pub(crate) nonce: Option<String>,
    /// The public key that the document must hold.
    #[arg(long, value_name = "HEX")]
    pub(crate) public_key: Option<String>,
    /// The user data that the document must hold.
    #[arg(long, value_name = "HEX")]
    pub(crate) user_data: Option<String>,
    /// A register that the document must hold; may be repeated.
    #[arg(long = "pcr", value_name = "N=HEX")]
    pub(crate) pcrs: Vec<String>,
    /// How old the document may be.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_age: Option<u64>,
    /// Accept an enclave in debug mode.
    #[arg(long)]
    pub(crate) allow_debug: bool,
}

#[derive(Subcommand)]
pub(crate) enum Provider {
    /// Sign a draft (JSON) into the file that clients take in.
    Sign {
        /// What the file is to say.
        #[arg(long, value_name = "FILE")]
        draft: PathBuf,
        /// The provider's signing key, 32 bytes; made when there is none.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to write the signed file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Args, Clone)]
pub(crate) struct Bench {
    /// What to measure: blind signatures, whole assignments, or the database.
    #[arg(value_name = "tokens|assign|store", value_parser = ["tokens", "assign", "store"], hide_possible_values = true)]
    pub(crate) what: String,
    /// For how many seconds each row is measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) seconds: u16,
}

#[derive(Args, Clone)]
pub(crate) struct Demo {
    /// How many people get a dedicated IP at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) users: u8,
    /// Use the services' default ports instead of free ones.
    #[arg(long, value_name = "free|default", default_value = "free", value_parser = ["free", "default"], hide_possible_values = true)]
    pub(crate) ports: String,
    /// Show a lease's whole life, on clocks that are moved: assign, connect, refresh, second device, reset, refund, expiry.
    #[arg(long, conflicts_with_all = ["users", "keep", "stop", "dir"])]
    pub(crate) lifecycle: bool,
    /// Leave a provider running in DIR, without people; DIR/demo.json says where everything is.
    #[arg(long, requires = "dir", conflicts_with_all = ["stop", "users"])]
    pub(crate) keep: bool,
    /// End what --keep left running in DIR.
    #[arg(long, requires = "dir", conflicts_with_all = ["users", "ports"])]
    pub(crate) stop: bool,
    /// Where --keep puts everything: a directory that isn't there yet, is empty, or was an ended demo's.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systemd_unit_gives_a_command_that_there_is() {
        let unit = include_str!("../../../../packaging/systemd/cloakroom-daemon.service");
        let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let parsed = Arguments::try_parse_from(started.split(' ')).unwrap();
        assert!(matches!(parsed.command, Command::Daemon(Daemon { once: false, status: false })));
    }
}
