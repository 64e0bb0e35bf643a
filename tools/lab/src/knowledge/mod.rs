//! The knowledge audit: what could each party know after a run, and may it?
//!
//! A run leaves, for each party, what it received, what it stored, what it logged and what else it
//! showed ([`Evidence`]). The run's own facts, which the client's side hands over ([`Known`]), are looked for in all of it: in
//! every encoding that is in use, hashed, and inside everything that can be decoded. What is found is
//! held against the wall's table ([`EXPECTED`]).
//!
//! What it can't see: a fact that was encrypted or keyed-hashed under a key that stays with the
//! party, and a four-byte address inside a binary format of one's own.

mod evidence;
mod expected;
mod layers;
mod needles;
mod report;

pub use evidence::Evidence;
pub use expected::{EXPECTED, MADE, NEVER_TOGETHER, TOGETHER, expected, makes};
pub use report::{Report, Row};

pub(crate) use layers::dig;
pub(crate) use needles::{Meaning, Needles};

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Looks for everything in `known` in everything in `evidence`, and judges.
///
/// # Errors
/// When something can't be read, or a value is too short to be looked for.
pub fn audit(known: &[Known], evidence: &[Evidence]) -> Result<Report> {
    let needles = Needles::new(known)?;
    let mut findings = Findings::default();
    for one in evidence {
        for piece in one.pieces()? {
            dig(&piece.bytes, &mut |bytes, passed| {
                for (_, meaning) in needles.find(bytes) {
                    let inside: String = passed.iter().map(|layer| format!(" > {layer}")).collect();
                    let place = format!("{}{inside} ({meaning})", piece.place);
                    findings.add(one.party, meaning.known, place);
                }
            });
        }
    }
    for (index, one) in known.iter().enumerate() {
        for party in Party::ALL.into_iter().filter(|party| makes(*party, one.fact)) {
            findings.add(party, index, "made here".to_owned());
        }
    }
    Ok(Report::new(known, &findings))
}

/// Where what was found: by party and index of the fact.
#[derive(Default)]
struct Findings(BTreeMap<(Party, usize), BTreeSet<String>>);

impl Findings {
    fn add(&mut self, party: Party, known: usize, place: String) {
        self.0.entry((party, known)).or_default().insert(place);
    }

    fn of(&self, party: Party, known: usize) -> Option<&BTreeSet<String>> {
        self.0.get(&(party, known))
    }
}

/// One fact of one person, and the values by which it is recognised.
#[derive(Clone, Debug)]
pub struct Known {
    /// Which fact.
    pub fact: Fact,
    /// Whose: persons are numbered from 0.
    pub person: usize,
    values: Vec<Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Address(Ipv4Addr),
}

impl Known {
    /// `value` is what it is on the wire: raw bytes of a lease or token, ASCII digits of an account, a JWS's
    /// text. At least eight bytes.
    pub fn new(fact: Fact, person: usize, value: impl Into<Vec<u8>>) -> Self {
        Self { fact, person, values: vec![Value::Bytes(value.into())] }
    }

    /// A fact that is a network address.
    #[must_use]
    pub fn address(fact: Fact, person: usize, value: Ipv4Addr) -> Self {
        Self { fact, person, values: vec![Value::Address(value)] }
    }

    /// The values, an address as its four bytes.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        let bytes = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.clone(),
            Value::Address(address) => address.octets().to_vec(),
        };
        self.values.iter().map(bytes).collect()
    }

    /// Another form that is as good as the first: an account's digits in groups, say.
    #[must_use]
    pub fn also(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.values.push(Value::Bytes(value.into()));
        self
    }
}

/// What the audit looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The account number.
    Account,
    /// The subscription's id.
    Subscription,
    /// The subscription receipt token.
    Srt,
    /// The account's salt.
    Salt,
    /// The client's network address.
    ClientAddress,
    /// The blinded message that was signed.
    BlindedToken,
    /// The token that came of it.
    Token,
    /// The dedicated address.
    DedicatedIp,
    /// The lease's id.
    Lease,
    /// The device's tunnel key.
    DeviceKey,
    /// The dedicated IP access token.
    Dat,
    /// The dedicated IP refresh token.
    Drt,
    /// The code that the refresh token is backed up under.
    AccessCode,
    /// Where the backup is.
    BackupLocator,
}

impl Fact {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Account,
        Self::Subscription,
        Self::Srt,
        Self::Salt,
        Self::ClientAddress,
        Self::BlindedToken,
        Self::Token,
        Self::DedicatedIp,
        Self::Lease,
        Self::DeviceKey,
        Self::Dat,
        Self::Drt,
        Self::AccessCode,
        Self::BackupLocator,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Subscription => "subscription",
            Self::Srt => "srt",
            Self::Salt => "salt",
            Self::ClientAddress => "client_address",
            Self::BlindedToken => "blinded_token",
            Self::Token => "token",
            Self::DedicatedIp => "dedicated_ip",
            Self::Lease => "lease",
            Self::DeviceKey => "device_key",
            Self::Dat => "dat",
            Self::Drt => "drt",
            Self::AccessCode => "access_code",
            Self::BackupLocator => "backup_locator",
        }
    }
}

/// Who may know it, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The person's own program.
    Client,
    /// Accounts.
    Accounts,
    /// The blind token service.
    BlindTokenService,
    /// The DIP service.
    DipService,
    /// The enclave's parent.
    EnclaveParent,
    /// The enclave.
    Enclave,
    /// The gateway.
    Gateway,
    /// The backup service.
    BackupService,
}

impl Party {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Accounts,
        Self::BlindTokenService,
        Self::DipService,
        Self::EnclaveParent,
        Self::Enclave,
        Self::Gateway,
        Self::BackupService,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Accounts => "accounts",
            Self::BlindTokenService => "blind_token_service",
            Self::DipService => "dip_service",
            Self::EnclaveParent => "enclave_parent",
            Self::Enclave => "enclave",
            Self::Gateway => "gateway",
            Self::BackupService => "backup_service",
        }
    }
}

#[cfg(test)]
mod tests;
