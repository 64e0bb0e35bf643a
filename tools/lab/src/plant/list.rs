//! Every leak that is planted: what, where, and whom the audit has to name.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;

use crate::demo::wire::Lie;
use crate::inspect::{Kind, Violation};
use crate::knowledge::{Fact, Known, Party};

/// One leak, in one form.
pub(crate) struct Plant {
    pub(crate) kind: Kind,
    /// What is planted, for people.
    pub(crate) form: &'static str,
    /// Whom and what place the audit has to name: all of these.
    pub(crate) expected: &'static [(Party, &'static str)],
    /// Who comes to know what they mustn't, if somebody does: the knowledge table has to say so, too.
    pub(crate) learns: Option<(Party, Fact)>,
    pub(crate) how: How,
}

/// How a leak is planted.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// In what a run left.
    Disk(fn(&Ground<'_>) -> Result<()>),
    /// By wires, during a run.
    Wire(Lie),
}

/// What a run left, to plant in.
pub(crate) struct Ground<'a> {
    pub(crate) root: &'a Path,
    pub(crate) known: &'a [Known],
    pub(crate) served_from: SystemTime,
}

const DIP: Party = Party::DipService;
const ISSUER: Party = Party::BlindTokenService;
const BACKUP: Party = Party::BackupService;

/// Every leak.
pub(crate) const PLANTS: [Plant; 25] = [
    Plant {
        kind: Kind::Log,
        form: "a line of the DIP service's log with a subscription",
        expected: &[(DIP, "log, line ")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            let subscription = hex::encode(ground.value(Fact::Subscription)?);
            ground.line(
                "dip/log",
                &format!("{{\"message\":\"assigned\",\"for\":\"{subscription}\"}}"),
            )
        }),
    },
    Plant {
        kind: Kind::Log,
        form: "a line of the blind token service's log with a dedicated address",
        expected: &[(ISSUER, "log, line ")],
        learns: Some((ISSUER, Fact::DedicatedIp)),
        how: How::Disk(|ground| {
            ground.line("issuer/log", &format!("{{\"peer\":\"{}\"}}", ground.dedicated_ip()?))
        }),
    },
    Plant {
        kind: Kind::Log,
        form: "a line of the DIP service's log with a lease, which it may know",
        expected: &[(DIP, "log, line ")],
        learns: None,
        how: How::Disk(|ground| {
            ground
                .line("dip/log", &format!("lease {}", STANDARD.encode(ground.value(Fact::Lease)?)))
        }),
    },
    Plant {
        kind: Kind::Log,
        form: "a subscription as debug output of the gateway's process",
        expected: &[(Party::Gateway, "errors, line ")],
        learns: Some((Party::Gateway, Fact::Subscription)),
        how: How::Disk(|ground| {
            ground.line("gateway/errors", &format!("Id({:?})", ground.value(Fact::Subscription)?))
        }),
    },
    Plant {
        kind: Kind::Log,
        form: "a line of the backup service's log with a locator, which it may know",
        expected: &[(BACKUP, "log, line ")],
        learns: None,
        how: How::Disk(|ground| {
            let locator = hex::encode(ground.value(Fact::BackupLocator)?);
            ground.line("backup/log", &format!("{{\"found\":\"{locator}\"}}"))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "a new column with the lease of each backup",
        expected: &[(BACKUP, "backups.lease")],
        learns: Some((BACKUP, Fact::Lease)),
        how: How::Disk(|ground| {
            ground.sql("backup", "ALTER TABLE backups ADD COLUMN lease BLOB", None)?;
            let value = ground.value(Fact::Lease)?;
            ground.sql("backup", "UPDATE backups SET lease = ?1", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "a new table of the backup service with what its codes are salted with",
        expected: &[(BACKUP, "salts.salt")],
        learns: Some((BACKUP, Fact::Salt)),
        how: How::Disk(|ground| {
            ground.sql("backup", "CREATE TABLE salts (salt BLOB)", None)?;
            let value = ground.value(Fact::Salt)?;
            ground.sql("backup", "INSERT INTO salts VALUES (?1)", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "a new column with the subscription of each lease",
        expected: &[(DIP, "leases.subscriber")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            ground.sql("dip", "ALTER TABLE leases ADD COLUMN subscriber BLOB", None)?;
            let value = ground.value(Fact::Subscription)?;
            ground.sql("dip", "UPDATE leases SET subscriber = ?1", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "a new column that holds no fact",
        expected: &[(DIP, "assignments.at")],
        learns: None,
        how: How::Disk(|ground| {
            ground.sql(
                "dip",
                "ALTER TABLE assignments ADD COLUMN at INTEGER DEFAULT 1795230000",
                None,
            )
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "the subscription's bytes as a lease's id",
        expected: &[(DIP, "leases.lease")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            let value = ground.value(Fact::Subscription)?;
            ground.sql(
                "dip",
                "UPDATE leases SET lease = ?1 WHERE lease = (SELECT min(lease) FROM leases)",
                Some(value.into()),
            )
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "the subscription in hexadecimal in a text",
        expected: &[(DIP, "gateways.resolver")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            let value = hex::encode(ground.value(Fact::Subscription)?);
            ground.sql("dip", "UPDATE gateways SET resolver = ?1", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "the subscription in base64 inside base64 in a text",
        expected: &[(DIP, "ip_pool.region")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            let value = STANDARD.encode(ground.value(Fact::Subscription)?);
            let value = STANDARD.encode(format!("for {value} only"));
            ground.sql("dip", "UPDATE ip_pool SET region = ?1", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "four bytes of an address in a new table of the blind token service",
        expected: &[(ISSUER, "visits.origin")],
        learns: Some((ISSUER, Fact::DedicatedIp)),
        how: How::Disk(|ground| {
            ground.sql("issuer", "CREATE TABLE visits (origin BLOB)", None)?;
            let value = ground.dedicated_ip()?.octets().to_vec();
            ground.sql("issuer", "INSERT INTO visits VALUES (?1)", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Column,
        form: "a lease in a column that isn't for it, of the service that may know it",
        expected: &[(DIP, "gateways.endpoint")],
        learns: None,
        how: How::Disk(|ground| {
            let value = hex::encode(ground.value(Fact::Lease)?);
            ground.sql("dip", "UPDATE gateways SET endpoint = ?1", Some(value.into()))
        }),
    },
    Plant {
        kind: Kind::Header,
        form: "one id of a visitor in requests to, and answers of, both sides",
        expected: &[
            (Party::Accounts, "x-correlation-id"),
            (DIP, "x-correlation-id"),
            (ISSUER, "x-request-id"),
            (DIP, "x-request-id"),
        ],
        learns: None,
        how: How::Wire(Lie::Header),
    },
    Plant {
        kind: Kind::Header,
        form: "an id of a visitor inside a header that is good in itself",
        expected: &[(Party::Gateway, "cache-control")],
        learns: None,
        how: How::Wire(Lie::Header),
    },
    Plant {
        kind: Kind::Header,
        form: "an id of a visitor in what the DIP service demands of whoever shows no token",
        expected: &[(DIP, "www-authenticate")],
        learns: None,
        how: How::Wire(Lie::Header),
    },
    Plant {
        kind: Kind::Metric,
        form: "a label with a client's address",
        expected: &[(Party::Gateway, "cloakroom_peers_total")],
        learns: None,
        how: How::Wire(Lie::Metric),
    },
    Plant {
        kind: Kind::Metric,
        form: "a label with an address that is nobody's fact",
        expected: &[(DIP, "cloakroom_seen_total")],
        learns: None,
        how: How::Wire(Lie::Metric),
    },
    Plant {
        kind: Kind::Metric,
        form: "a label with an id of a visitor",
        expected: &[(Party::Accounts, "cloakroom_visits_total")],
        learns: None,
        how: How::Wire(Lie::Metric),
    },
    Plant {
        kind: Kind::ErrorText,
        form: "problem documents that repeat a token and a receipt",
        expected: &[(DIP, "at /api/v1/assign"), (ISSUER, "at /token-request")],
        learns: None,
        how: How::Wire(Lie::ErrorText),
    },
    Plant {
        kind: Kind::FileTime,
        form: "a visit on both sides touches a key's file",
        expected: &[(Party::Accounts, "state/keys/srt.ring"), (DIP, "state/keys/order.ring")],
        learns: None,
        how: How::Disk(|ground| {
            ground.touch("accounts/state/keys/srt.ring", 1500)?;
            ground.touch("dip/state/keys/order.ring", 1750)
        }),
    },
    Plant {
        kind: Kind::FileTime,
        form: "an empty file for each visit, on both sides",
        expected: &[(ISSUER, "state/sessions/"), (Party::Gateway, "state/sessions/")],
        learns: None,
        how: How::Disk(|ground| {
            for (number, name) in ["9f3a", "04cd", "b771"].iter().enumerate() {
                for home in ["issuer", "gateway"] {
                    let file = format!("{home}/state/sessions/{name}");
                    ground.file(&file, b"")?;
                    ground.touch(&file, 900 * u64::try_from(number)? + 40)?;
                }
            }
            Ok(())
        }),
    },
    Plant {
        kind: Kind::CoreFile,
        form: "a core dump of the DIP service with a subscription in it",
        expected: &[(DIP, "state/core.4711")],
        learns: Some((DIP, Fact::Subscription)),
        how: How::Disk(|ground| {
            let value = ground.value(Fact::Subscription)?;
            let pages = [core(), vec![0; 5000], value, vec![0; 3000]].concat();
            ground.file("dip/state/core.4711", &pages)
        }),
    },
    Plant {
        kind: Kind::CoreFile,
        form: "a core dump under an innocent name, in which nothing is recognised",
        expected: &[(ISSUER, "state/cache.bin")],
        learns: None,
        how: How::Disk(|ground| {
            ground.file("issuer/state/cache.bin", &[core(), vec![0x5a; 9000]].concat())
        }),
    },
];

impl Plant {
    /// Whether the audit found it by name: each party and place, and nobody else's.
    pub(crate) fn found(&self, violations: &[Violation]) -> bool {
        let named = |(party, place): &(Party, &str)| {
            violations.iter().any(|one| {
                one.kind == self.kind && one.party == Some(*party) && one.place.contains(place)
            })
        };
        self.expected.iter().all(named)
    }

    /// Who is blamed and has no part in any of `plants`.
    pub(crate) fn wrongly_blamed<'v>(
        plants: &[&Self],
        violations: &'v [Violation],
    ) -> Vec<&'v Violation> {
        let guilty = |party| {
            plants.iter().flat_map(|one| one.expected).any(|(guilty, _)| Some(*guilty) == party)
        };
        let accused = violations.iter().filter(|one| one.kind != Kind::Knowledge);
        accused.filter(|one| !guilty(one.party)).collect()
    }
}

impl Ground<'_> {
    /// A fact of the first person.
    fn value(&self, fact: Fact) -> Result<Vec<u8>> {
        let known = self.known.iter().find(|known| known.fact == fact && known.person == 0);
        let value = known.and_then(|known| known.values().into_iter().next());
        value.with_context(|| format!("the run gave no {}", fact.name()))
    }

    fn dedicated_ip(&self) -> Result<Ipv4Addr> {
        let octets = self.value(Fact::DedicatedIp)?;
        Ok(Ipv4Addr::from(<[u8; 4]>::try_from(octets.as_slice())?))
    }

    /// One more line at the end of a file.
    fn line(&self, file: &str, text: &str) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.root.join(file))?;
        Ok(file.write_all(format!("{text}\n").as_bytes())?)
    }

    /// A file with the time of the service's start.
    fn file(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        fs::write(&path, content)?;
        let before = self.served_from - Duration::from_secs(1);
        Ok(File::options().write(true).open(path)?.set_modified(before)?)
    }

    /// Gives a file the time of a visit: so long after the first person came.
    fn touch(&self, name: &str, milliseconds: u64) -> Result<()> {
        let file = File::options().write(true).open(self.root.join(name))?;
        Ok(file.set_modified(self.served_from + Duration::from_millis(milliseconds))?)
    }

    /// Changes a service's own database. That it changed something is part of the deal.
    fn sql(&self, service: &str, sql: &str, value: Option<rusqlite::types::Value>) -> Result<()> {
        let path = self.root.join(service).join("state").join(format!("{service}.sqlite"));
        let connection = Connection::open(path)?;
        // Whoever leaks doesn't ask whether a text is another table's.
        connection.pragma_update(None, "foreign_keys", false)?;
        let changes = match value {
            Some(value) => connection.execute(sql, [value])?,
            None => return Ok(connection.execute_batch(sql)?),
        };
        anyhow::ensure!(changes > 0, "nothing was changed by {sql}");
        Ok(())
    }
}

/// The beginning of a 64-bit little-endian ELF file of type `ET_CORE`.
fn core() -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(16, 0);
    head.extend([4, 0, 62, 0, 1, 0, 0, 0]);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_planted() {
        for kind in Kind::PLANTED {
            assert!(PLANTS.iter().any(|plant| plant.kind == kind), "{kind:?}");
        }
        assert!(PLANTS.iter().all(|plant| !plant.expected.is_empty()));
    }

    #[test]
    fn found_means_kind_party_and_place() {
        let plant = &PLANTS[0];
        let of = |kind, party, place: &str| vec![Violation::new(kind, party, place, "")];
        assert!(plant.found(&of(Kind::Log, DIP, "log, line 7")));
        for other in [
            of(Kind::Column, DIP, "log, line 7"),
            of(Kind::Log, ISSUER, "log, line 7"),
            of(Kind::Log, DIP, "errors, line 7"),
        ] {
            assert!(!plant.found(&other));
        }
        let blamed = of(Kind::Log, ISSUER, "log, line 7");
        assert_eq!(Plant::wrongly_blamed(&[plant], &blamed).len(), 1);
    }
}
