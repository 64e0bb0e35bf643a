//! Rows as what they stand for.

use std::error::Error as StdError;
use std::str::FromStr;

use coarse::Week;
use dip_api::GatewayInfo;
use dip_api::operator::{AddressState, Service};
use lease::{ExitAddress, LeaseId, Notice, TunnelEnd};
use peer_key::PeerKey;
use rusqlite::types::Type;
use store::{Error, Reader, Row, params};

use crate::store::Held;

/// A lease as its row has it.
pub(super) struct Lease {
    pub(super) held: Held,
    pub(super) state: LeaseState,
    pub(super) service: Service,
}

/// How far a lease has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseState {
    Reserved,
    Leased,
    Ending,
}

impl FromStr for LeaseState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        match text {
            "reserved" => Ok(Self::Reserved),
            "leased" => Ok(Self::Leased),
            "ending" => Ok(Self::Ending),
            _ => Err(UnknownState),
        }
    }
}

/// A state that this program doesn't write.
#[derive(Debug, thiserror::Error)]
#[error("an unknown state")]
pub(super) struct UnknownState;

/// What a lease holds, whatever its state.
pub(super) fn lease(tx: &Reader<'_>, lease: LeaseId) -> Result<Option<Lease>, Error> {
    tx.optional(
        "SELECT lease, ip, leases.state, leases.until_week, frozen, notice, region, service,
                url, public_key, endpoint, inner_address, resolver
         FROM leases
         JOIN ip_pool USING (ip)
         JOIN gateways ON gateways.name = ip_pool.gateway
         WHERE lease = ?1",
        params![lease.bytes()],
        |row| {
            let held = Held {
                lease: lease_id(row, 0)?,
                address: address(row, 1)?,
                ends: week(row, 3)?,
                frozen: row.get(4)?,
                notice: notice(row, 5)?,
                region: text(row, 6)?,
                gateway: gateway(row, 8)?,
            };
            Ok(Lease { held, state: text(row, 2)?, service: text(row, 7)? })
        },
    )
}

/// Who has an address, from the columns `status`, `service`, and the lease's `state` and `until_week`.
pub(super) fn state(
    quarantined: bool,
    service: Service,
    lease: Option<(LeaseState, Week)>,
    now: Week,
) -> AddressState {
    match (lease, service) {
        (Some((LeaseState::Reserved, _)), _) => AddressState::Reserved,
        (Some((LeaseState::Leased, until)), _) if until > now.next() => AddressState::Leased,
        (Some(_), _) => AddressState::Grace,
        (None, Service::Drained) => AddressState::Drained,
        (None, Service::Blocked) => AddressState::Blocked,
        (None, Service::Open) if quarantined => AddressState::Quarantine,
        (None, Service::Open) => AddressState::Available,
    }
}

pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<ExitAddress> {
    parsed(column, ExitAddress::from_bytes(row.get_ref(column)?.as_blob()?))
}

pub(super) fn lease_id(row: &Row<'_>, column: usize) -> rusqlite::Result<LeaseId> {
    row.get(column).map(LeaseId::from_bytes)
}

pub(super) fn week(row: &Row<'_>, column: usize) -> rusqlite::Result<Week> {
    row.get(column).map(Week::new)
}

pub(super) fn notice(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Notice>> {
    let json = row.get_ref(column)?.as_str_or_null()?;
    json.map(|json| parsed(column, serde_json::from_str(json))).transpose()
}

/// A gateway, from the column `url` on.
pub(super) fn gateway(row: &Row<'_>, first: usize) -> rusqlite::Result<GatewayInfo> {
    Ok(GatewayInfo {
        url: row.get(first)?,
        tunnel: TunnelEnd {
            public_key: parsed(first + 1, PeerKey::from_bytes(row.get(first + 1)?))?,
            endpoint: text(row, first + 2)?,
            inner_address: text(row, first + 3)?,
            resolver: text(row, first + 4)?,
        },
    })
}

/// A text column as what it stands for.
pub(super) fn text<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    parsed(column, row.get_ref(column)?.as_str()?.parse())
}

/// A value that this program wrote and can't read back is the database's fault.
pub(super) fn parsed<T, E>(column: usize, value: Result<T, E>) -> rusqlite::Result<T>
where
    E: StdError + Send + Sync + 'static,
{
    value.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}
