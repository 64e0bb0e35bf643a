//! What ends, and what a restored database lacks.

use coarse::Week;
use lease::{ExitAddress, LeaseId};
use privacy_pass::SpendHash;
use rand_core::CryptoRng;
use store::{Error, Writer, params};

use super::rows::{self, LeaseState, address, lease_id, text};
use crate::store::{Replay, Replayed};

/// How many rows of a kind one part of tidying ends.
const PART: usize = 64;

pub(super) fn tidy(
    tx: &Writer<'_>,
    now: Week,
    quarantine: Week,
    rng: &mut impl CryptoRng,
) -> Result<bool, Error> {
    let out_of_quarantine = tx.all(
        "SELECT ip FROM ip_pool WHERE status = 'quarantine' AND until_week <= ?1 LIMIT ?2",
        params![now.number(), PART],
        |row| address(row, 0),
    )?;
    for ip in &out_of_quarantine {
        make_available(tx, *ip, rng)?;
    }
    let ended = tx.all(
        "SELECT lease, ip, state FROM leases WHERE until_week <= ?1 LIMIT ?2",
        params![now.number(), PART],
        |row| Ok((lease_id(row, 0)?, address(row, 1)?, text::<LeaseState>(row, 2)?)),
    )?;
    for (lease, ip, state) in &ended {
        tx.execute("DELETE FROM leases WHERE lease = ?1", params![lease.bytes()])?;
        if *state == LeaseState::Reserved {
            make_available(tx, *ip, rng)?;
        } else {
            tx.execute(
                "UPDATE ip_pool SET status = 'quarantine', until_week = ?2 WHERE ip = ?1",
                params![ip.bytes(), quarantine.number()],
            )?;
        }
    }
    let forgotten = tx.execute(
        "DELETE FROM assignments WHERE token_hash IN
            (SELECT token_hash FROM assignments WHERE until_week <= ?1 LIMIT ?2)",
        params![now.number(), PART],
    )?;
    tx.execute(
        "DELETE FROM demand WHERE week < ?1",
        params![now.number().saturating_sub(DEMAND_WEEKS)],
    )?;
    Ok(out_of_quarantine.len() + ended.len() + forgotten > 0)
}

/// For so long it is remembered how many leases began in a week.
const DEMAND_WEEKS: u32 = 26;

/// Nobody has the address; its place in draws is a new one.
pub(super) fn make_available(
    tx: &Writer<'_>,
    ip: ExitAddress,
    rng: &mut impl CryptoRng,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE ip_pool SET status = 'available', until_week = 0, place = ?2 WHERE ip = ?1",
        params![ip.bytes(), rng.next_u64().cast_signed()],
    )?;
    Ok(())
}

/// What was made good of one thing.
enum Made {
    Nothing,
    Good,
    Conflict,
}

pub(super) fn replay(tx: &Writer<'_>, leases: &[Replayed], now: Week) -> Result<Replay, Error> {
    let mut replay = Replay::default();
    let mut count = |made, good: &mut usize| match made {
        Made::Nothing => {}
        Made::Good => *good += 1,
        Made::Conflict => replay.conflicts += 1,
    };
    let (mut tokens, mut made_leases) = (0, 0);
    for one in leases {
        if let Some(token) = one.token
            && one.until > now
        {
            count(replay_token(tx, token, one)?, &mut tokens);
        }
        if one.ends > now {
            count(replay_lease(tx, one)?, &mut made_leases);
        }
    }
    Ok(Replay { tokens, leases: made_leases, ..replay })
}

fn replay_token(tx: &Writer<'_>, token: SpendHash, one: &Replayed) -> Result<Made, Error> {
    let known = tx.optional(
        "SELECT lease FROM assignments WHERE token_hash = ?1",
        params![token.as_bytes()],
        |row| lease_id(row, 0),
    )?;
    if let Some(other) = known {
        if other == one.lease {
            return Ok(Made::Nothing);
        }
        match rows::lease(tx, other)? {
            Some(lease) if lease.state != LeaseState::Reserved => return Ok(Made::Conflict),
            Some(lease) => drop_reservation(tx, other, lease.held.address)?,
            None => {}
        }
    }
    tx.execute(
        "INSERT INTO assignments (token_hash, lease, until_week) VALUES (?1, ?2, ?3)",
        params![token.as_bytes(), one.lease.bytes(), one.until.number()],
    )?;
    Ok(Made::Good)
}

/// Nobody was granted it: whoever comes back with its token gets an address anew.
fn drop_reservation(tx: &Writer<'_>, lease: LeaseId, ip: ExitAddress) -> Result<(), Error> {
    tx.execute("DELETE FROM leases WHERE lease = ?1", params![lease.bytes()])?;
    tx.execute("DELETE FROM assignments WHERE lease = ?1", params![lease.bytes()])?;
    make_available(tx, ip, &mut coarse::system_rng())
}

fn replay_lease(tx: &Writer<'_>, one: &Replayed) -> Result<Made, Error> {
    let state = if one.ending { "ending" } else { "leased" };
    let (lease, ip, ends) = (one.lease.bytes(), one.address.bytes(), one.ends.number());
    if let Some(known) = rows::lease(tx, one.lease)?
        && (known.held.address == one.address || known.state != LeaseState::Reserved)
    {
        if known.held.address != one.address {
            return Ok(Made::Conflict);
        }
        // A lease that was given back stays so, and ends no later.
        let same = match known.state {
            LeaseState::Reserved => false,
            LeaseState::Ending => known.held.ends.number() <= ends || !one.ending,
            LeaseState::Leased => known.held.ends.number() >= ends && !one.ending,
        };
        if same {
            return Ok(Made::Nothing);
        }
        tx.execute(
            "UPDATE leases SET state = ?2, until_week = ?3 WHERE lease = ?1",
            params![lease, state, ends],
        )?;
        return Ok(Made::Good);
    }
    let taken =
        tx.optional("SELECT lease, state FROM leases WHERE ip = ?1", params![ip], |row| {
            Ok((lease_id(row, 0)?, text::<LeaseState>(row, 1)?))
        })?;
    match taken {
        Some((other, LeaseState::Reserved)) => drop_reservation(tx, other, one.address)?,
        Some(_) => return Ok(Made::Conflict),
        None => {}
    }
    let sql = "UPDATE ip_pool SET status = 'reserved', until_week = 0 WHERE ip = ?1";
    if tx.execute(sql, params![ip])? == 0 {
        return Ok(Made::Conflict);
    }
    tx.execute(
        "INSERT INTO leases (lease, ip, state, until_week, frozen) VALUES (?1, ?2, ?3, ?4, 0)",
        params![lease, ip, state, ends],
    )?;
    Ok(Made::Good)
}
