//! What operators change.

use coarse::Week;
use dip_api::operator::{
    AddressState, Alter, Altered, Case, CaseAct, Category, Change, Complaint, Filter, GatewayName,
    Imported, LeaseView, Mark, MarkLease, NamedGateway, NewAddress, Page, Place, RegionSurvey,
    Service,
};
use epoch_keys::PublishedKey;
use lease::ExitAddress;
use rand_core::Rng as _;
use store::{Error, Reader, Writer, params};

use super::SqliteStore;
use super::rows::{self, LeaseState, address, gateway, notice, text, week};
use crate::store::{AlterError, ImportError, PoolStore};

impl PoolStore for SqliteStore {
    async fn survey(&self, now: Week) -> Result<Vec<RegionSurvey>, Error> {
        self.count_all(now).await
    }

    async fn addresses(&self, filter: Filter, now: Week, most: usize) -> Result<Page, Error> {
        self.list(filter, now, most).await
    }

    async fn import(
        &self,
        addresses: Vec<NewAddress>,
        dry_run: bool,
    ) -> Result<Imported, ImportError> {
        let import = move |tx: &Writer<'_>| kept_unless(dry_run, import(tx, &addresses));
        done(self.database.write("import", import).await)
    }

    async fn alter(&self, alter: Alter) -> Result<Altered, AlterError> {
        let alter = move |tx: &Writer<'_>| {
            kept_unless(alter.dry_run, alter_those(tx, &alter.addresses, &alter.change))
        };
        done(self.database.write("alter", alter).await)
    }

    async fn places(&self) -> Result<Vec<Place>, Error> {
        let sql = "SELECT name, country, subdivision, city FROM regions ORDER BY name";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, [], |row| {
                Ok(Place {
                    region: text(row, 0)?,
                    country: row.get(1)?,
                    subdivision: row.get(2)?,
                    city: row.get(3)?,
                })
            })
        };
        self.database.read("places", load).await
    }

    async fn set_place(&self, place: Place) -> Result<(), Error> {
        let set = move |tx: &Writer<'_>| {
            tx.execute(
                "INSERT INTO regions (name, country, subdivision, city) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET country = ?2, subdivision = ?3, city = ?4",
                params![place.region.as_str(), place.country, place.subdivision, place.city],
            )?;
            Ok(())
        };
        self.database.write("set place", set).await
    }

    async fn gateways(&self) -> Result<Vec<NamedGateway>, Error> {
        let sql = "SELECT name, url, public_key, endpoint, inner_address, resolver
                   FROM gateways ORDER BY name";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, [], |row| {
                Ok(NamedGateway { name: text(row, 0)?, gateway: gateway(row, 1)? })
            })
        };
        self.database.read("gateways", load).await
    }

    async fn set_gateway(&self, gateway: NamedGateway) -> Result<(), Error> {
        let set = move |tx: &Writer<'_>| {
            let NamedGateway { name, gateway } = &gateway;
            let tunnel = &gateway.tunnel;
            tx.execute(
                "INSERT INTO gateways (name, url, public_key, endpoint, inner_address, resolver)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (name) DO UPDATE SET url = ?2, public_key = ?3, endpoint = ?4,
                    inner_address = ?5, resolver = ?6",
                params![
                    name.as_str(),
                    gateway.url,
                    tunnel.public_key.bytes(),
                    tunnel.endpoint.to_string(),
                    tunnel.inner_address.to_string(),
                    tunnel.resolver.to_string()
                ],
            )?;
            Ok(())
        };
        self.database.write("set gateway", set).await
    }

    async fn keep_token_keys(&self, keys: Vec<PublishedKey>) -> Result<(), Error> {
        let keep = move |tx: &Writer<'_>| {
            for key in &keys {
                tx.execute(
                    "INSERT INTO token_keys (epoch, public_key, proof) VALUES (?1, ?2, ?3)
                     ON CONFLICT (epoch) DO UPDATE SET public_key = ?2, proof = ?3",
                    params![key.epoch.number(), key.public_key.0, key.proof.to_bytes()],
                )?;
            }
            Ok(())
        };
        self.database.write("keep token keys", keep).await
    }

    async fn lease_at(&self, ip: ExitAddress, now: Week) -> Result<Option<LeaseView>, Error> {
        self.database.read("lease at", move |tx| lease_at(tx, ip, now)).await
    }

    async fn mark(&self, mark: MarkLease, now: Week) -> Result<Option<LeaseView>, Error> {
        self.database.write("mark", move |tx| apply(tx, &mark, now)).await
    }

    async fn complain(&self, complaint: Complaint, now: Week) -> Result<Option<LeaseView>, Error> {
        let complain = move |tx: &Writer<'_>| {
            let view = lease_at(tx, complaint.address, now)?;
            let act = if view.is_some() { CaseAct::Complaint } else { CaseAct::Unleased };
            count(tx, now, act, complaint.category)?;
            Ok(view)
        };
        self.database.write("complain", complain).await
    }

    async fn cases(&self) -> Result<Vec<Case>, Error> {
        let sql = "SELECT week, act, category, count FROM cases ORDER BY week, act, category";
        let load = move |tx: &Reader<'_>| {
            tx.all(sql, [], |row| {
                Ok(Case {
                    week: week(row, 0)?,
                    act: text(row, 1)?,
                    category: text(row, 2)?,
                    count: row.get(3)?,
                })
            })
        };
        self.database.read("cases", load).await
    }
}

/// Why a transaction changes nothing.
enum Undo<T, E> {
    /// It was to be tried only.
    Tried(T),
    Failed(E),
}

impl<T, E: From<Error>> From<Error> for Undo<T, E> {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What was done: kept, or undone after a try.
fn kept_unless<T, E>(dry_run: bool, done: Result<T, E>) -> Result<T, Undo<T, E>> {
    let done = done.map_err(Undo::Failed)?;
    if dry_run { Err(Undo::Tried(done)) } else { Ok(done) }
}

/// What was done, or would have been.
fn done<T, E>(done: Result<T, Undo<T, E>>) -> Result<T, E> {
    match done {
        Ok(done) | Err(Undo::Tried(done)) => Ok(done),
        Err(Undo::Failed(error)) => Err(error),
    }
}

fn import(tx: &Writer<'_>, addresses: &[NewAddress]) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let mut rng = coarse::system_rng();
    for NewAddress { address: ip, region, gateway } in addresses {
        let found = tx.optional(
            "SELECT region = ?2 AND gateway = ?3 FROM ip_pool WHERE ip = ?1",
            params![ip.bytes(), region.as_str(), gateway.as_str()],
            |row| row.get::<_, bool>(0),
        )?;
        match found {
            Some(true) => {
                imported.known += 1;
                continue;
            }
            Some(false) => return Err(ImportError::Elsewhere(*ip)),
            None => {}
        }
        if let Some(old) = overlapping(tx, *ip)? {
            return Err(ImportError::Overlaps { new: *ip, old });
        }
        if !knows_gateway(tx, gateway)? {
            return Err(ImportError::UnknownGateway(gateway.clone()));
        }
        let region = region.as_str();
        tx.execute("INSERT INTO regions (name) VALUES (?1) ON CONFLICT DO NOTHING", [region])?;
        let place = rng.next_u64().cast_signed();
        tx.execute(
            "INSERT INTO ip_pool (ip, region, gateway, place, status, service, until_week)
             VALUES (?1, ?2, ?3, ?4, 'available', 'open', 0)",
            params![ip.bytes(), region, gateway.as_str(), place],
        )?;
        imported.new += 1;
    }
    Ok(imported)
}

/// What lies in the prefix, or what the prefix or address lies in. Since no two of the pool do, that is one of those beside it.
fn overlapping(tx: &Reader<'_>, ip: ExitAddress) -> Result<Option<ExitAddress>, Error> {
    if ip.ip().is_ipv4() {
        return Ok(None);
    }
    for beside in [
        "SELECT ip FROM ip_pool WHERE length(ip) > 4 AND ip < ?1 ORDER BY ip DESC LIMIT 1",
        "SELECT ip FROM ip_pool WHERE length(ip) > 4 AND ip > ?1 ORDER BY ip LIMIT 1",
    ] {
        let old = tx.optional(beside, params![ip.bytes()], |row| address(row, 0))?;
        if let Some(old) = old.filter(|old| old.overlaps(&ip)) {
            return Ok(Some(old));
        }
    }
    Ok(None)
}

fn knows_gateway(tx: &Reader<'_>, name: &GatewayName) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM gateways WHERE name = ?1";
    Ok(tx.optional(sql, [name.as_str()], |_| Ok(()))?.is_some())
}

fn alter_those(
    tx: &Writer<'_>,
    addresses: &[ExitAddress],
    change: &Change,
) -> Result<Altered, AlterError> {
    let (asked, to, set) = match change {
        Change::Service(service) => (
            "SELECT service = ?2, EXISTS (SELECT 1 FROM leases WHERE ip = ?1) FROM ip_pool WHERE ip = ?1",
            service.as_str(),
            "UPDATE ip_pool SET service = ?2 WHERE ip = ?1",
        ),
        Change::Gateway(gateway) if !knows_gateway(tx, gateway)? => {
            return Err(AlterError::UnknownGateway(gateway.clone()));
        }
        Change::Gateway(gateway) => (
            "SELECT gateway = ?2, EXISTS (SELECT 1 FROM leases WHERE ip = ?1) FROM ip_pool WHERE ip = ?1",
            gateway.as_str(),
            "UPDATE ip_pool SET gateway = ?2 WHERE ip = ?1",
        ),
    };
    let mut altered = Altered::default();
    for ip in addresses {
        let found = tx.optional(asked, params![ip.bytes(), to], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?))
        })?;
        match found {
            None => altered.unknown += 1,
            Some((true, _)) => altered.same += 1,
            Some((false, held)) => {
                tx.execute(set, params![ip.bytes(), to])?;
                altered.changed += 1;
                altered.held += usize::from(held);
            }
        }
    }
    Ok(altered)
}

fn lease_at(tx: &Reader<'_>, ip: ExitAddress, now: Week) -> Result<Option<LeaseView>, Error> {
    tx.optional(
        "SELECT state, until_week, frozen, notice FROM leases WHERE ip = ?1",
        params![ip.bytes()],
        |row| {
            let (state, until_week) = (text::<LeaseState>(row, 0)?, week(row, 1)?);
            Ok(LeaseView {
                address: ip,
                state: rows::state(false, Service::Open, Some((state, until_week)), now),
                until_week,
                frozen: row.get(2)?,
                notice: notice(row, 3)?,
            })
        },
    )
}

fn apply(tx: &Writer<'_>, mark: &MarkLease, now: Week) -> Result<Option<LeaseView>, Error> {
    let (act, frozen, notice) = match &mark.mark {
        Mark::Freeze(notice) => (CaseAct::Freeze, Some(true), Some(notice)),
        Mark::Thaw => (CaseAct::Thaw, Some(false), None),
        Mark::Notice(notice) => (CaseAct::Notice, None, Some(notice)),
    };
    let json = notice.map(serde_json::to_string).transpose().map_err(|_| Error::NoRow)?;
    let changed = tx.execute(
        "UPDATE leases SET frozen = coalesce(?2, frozen), notice = ?3
         WHERE ip = ?1 AND state IN ('leased', 'ending')
           AND (frozen <> coalesce(?2, frozen) OR notice IS NOT ?3)",
        params![mark.address.bytes(), frozen, json],
    )?;
    if changed == 1 {
        count(tx, now, act, mark.category)?;
    }
    let view = lease_at(tx, mark.address, now)?;
    Ok(view.filter(|view| view.state != AddressState::Reserved))
}

fn count(tx: &Writer<'_>, week: Week, act: CaseAct, category: Category) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO cases (week, act, category, count) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT (week, act, category) DO UPDATE SET count = count + 1",
        params![week.number(), act.as_str(), category.as_str()],
    )?;
    Ok(())
}
