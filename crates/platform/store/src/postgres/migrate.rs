//! How a database gets its tables, and whose it is.

use tokio_postgres::Row as SqlRow;

use super::failure::Failed;
use super::session::Session;
use crate::migration::{check_applied, check_numbers};
use crate::{Error, Migration};

/// Whose a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The service. No other opens its database.
    pub service: &'static str,
    /// On which side of the wall it stands. A server has databases of one side only.
    pub side: &'static str,
}

/// What an owned database is called in the server's catalog, where every service sees it.
const MARK: &str = "cloakroom";

/// The classes of locks that aren't a job's: these are pairs, a job's are single numbers.
pub(super) const LOCKS: i32 = 0x636c_6f61;
const MIGRATING: i32 = 1;

/// Who the database belongs to, with the hour in which its tables may be reshuffled next; and the texts of what was applied, which are compared at each start.
const LEDGER: &str = "
    CREATE TABLE database_owner (
        service text PRIMARY KEY,
        side text NOT NULL,
        reshuffle_due_hour bigint NOT NULL
    );
    CREATE TABLE applied_migrations (
        number bigint PRIMARY KEY,
        name text NOT NULL,
        sql text NOT NULL
    );
";

/// The tables of the ledger. Their rows aren't people's.
pub(super) const LEDGER_TABLES: [&str; 2] = ["database_owner", "applied_migrations"];

/// Tables of anybody.
const TABLES: &str = "SELECT count(*) FROM pg_class
    WHERE relkind IN ('r', 'p', 'f', 'm') AND relnamespace = 'public'::regnamespace";

/// What would tell the order or the time of rows, or isn't kept, or can't be reshuffled: a table and what is wrong with it.
const FLAWS: &str = r"
    WITH kept AS (
        SELECT oid, relname, relkind, relpersistence FROM pg_class
        WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
            AND relkind IN ('r', 'p', 'f', 'm', 'S') AND relpersistence <> 't'
    ), columns AS (
        SELECT attrelid, attnum, attname, attidentity,
            coalesce(nullif(typbasetype, 0), nullif(typelem, 0), atttypid)::regtype::text AS kind
        FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid WHERE attnum > 0 AND NOT attisdropped
    )
    SELECT relname::text, 'is a sequence: serial ids tell the order of rows' FROM kept WHERE relkind = 'S'
    UNION ALL
    SELECT relname::text, 'is no ordinary table' FROM kept WHERE relkind IN ('p', 'f', 'm')
    UNION ALL
    SELECT relname::text, 'is not logged: a crash empties it' FROM kept WHERE relkind = 'r' AND relpersistence = 'u'
    UNION ALL
    SELECT relname::text, 'has no primary key, by which its rows are ordered' FROM kept WHERE relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = kept.oid AND contype = 'p')
    UNION ALL
    SELECT relname::text, format('has a serial column, %s: it tells the order of rows', attname)
        FROM kept JOIN columns ON attrelid = oid WHERE attidentity <> ''
    UNION ALL
    SELECT relname::text, format('has a column of type %s, %s: keep hours, weeks or epochs as numbers', kind, attname)
        FROM kept JOIN columns ON attrelid = oid WHERE kind IN (
            'date', 'time without time zone', 'time with time zone', 'timestamp without time zone', 'timestamp with time zone',
            'interval', 'oid', 'xid', 'xid8', 'tid', 'cid', 'pg_lsn', 'pg_snapshot')
    UNION ALL
    SELECT relname::text, format('computes a default for %s: rows are what the service writes', attname)
        FROM kept JOIN columns ON attrelid = oid JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE pg_get_expr(adbin, adrelid) LIKE '%(%' OR pg_get_expr(adbin, adrelid) LIKE 'CURRENT%'
    UNION ALL
    SELECT relname::text, 'has a foreign key or a trigger, which would act when its rows are reshuffled'
        FROM kept JOIN pg_trigger ON tgrelid = kept.oid
    LIMIT 1
";

/// Columns of which the server would take samples, which outlive rows.
const SAMPLED: &str = "SELECT format('ALTER TABLE %s ALTER %I SET STATISTICS 0', attrelid::regclass, attname)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped AND attstattarget IS DISTINCT FROM 0";

/// What makes a database its owner's in the server's catalog, and no business of others.
const CLAIM: &str = "SELECT format('COMMENT ON DATABASE %1$I IS %2$L; REVOKE ALL ON DATABASE %1$I FROM PUBLIC', datname, $1::text)
    FROM pg_database
    WHERE datname = current_database() AND (shobj_description(oid, 'pg_database') IS DISTINCT FROM $1
        OR has_database_privilege('public', oid, 'CONNECT') OR has_database_privilege('public', oid, 'TEMPORARY'))";

/// Other databases of this server that services own, what they are marked with, and whether this role may connect to them.
const NEIGHBOURS: &str = "SELECT datname::text, mark, has_database_privilege(oid, 'CONNECT')
    FROM pg_database, shobj_description(oid, 'pg_database') AS mark
    WHERE datname <> current_database() AND mark LIKE $1 ORDER BY datname";

/// Brings the database to the newest step, or explains why it can't.
pub(super) async fn migrate(
    session: &Session,
    owner: Owner,
    steps: &[Migration],
) -> Result<(), Error> {
    check_numbers(steps)?;
    check_neighbours(session, owner).await?;
    // Others may wait for as long as it takes.
    session.command("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    session.command(&format!("SELECT pg_advisory_xact_lock({LOCKS}, {MIGRATING})")).await?;
    claim(session, owner).await?;
    let applied = "SELECT number, sql FROM applied_migrations ORDER BY number";
    let applied = query(session, applied, &[], |row| {
        let number: i64 = row.try_get(0)?;
        Ok((u32::try_from(number).map_err(|_| Failed::kind())?, row.try_get(1)?))
    });
    let applied = check_applied(&applied.await?, steps)?;
    for step in steps.iter().skip(applied) {
        session.command(step.sql).await?;
        let sql = "INSERT INTO applied_migrations (number, name, sql) VALUES ($1, $2, $3)";
        session.run(sql, &[step.number.into(), step.name.into(), step.sql.into()]).await?;
    }
    if let Some((table, flaw)) = query(session, FLAWS, &[], pair).await?.pop() {
        return Err(Error::Telling { table, flaw });
    }
    for statement in query(session, SAMPLED, &[], |row| Ok(row.try_get::<_, String>(0)?)).await? {
        session.command(&statement).await?;
    }
    session.command("COMMIT").await
}

/// Sees that the database is the owner's, or makes it so when it is nobody's.
async fn claim(session: &Session, owner: Owner) -> Result<(), Error> {
    let there = "SELECT to_regclass('public.database_owner') IS NOT NULL";
    let there = query(session, there, &[], |row| Ok(row.try_get::<_, bool>(0)?)).await?;
    if there == [true] {
        let owners = "SELECT service, side FROM database_owner";
        if let Some((service, _)) =
            query(session, owners, &[], pair).await?.into_iter().find(|(service, side)| {
                (service.as_str(), side.as_str()) != (owner.service, owner.side)
            })
        {
            return Err(Error::OtherService { service });
        }
    } else {
        if query(session, TABLES, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await? != [0] {
            return Err(Error::Foreign);
        }
        session.command(LEDGER).await?;
        let sql = "INSERT INTO database_owner VALUES ($1, $2, 0)";
        session.run(sql, &[owner.service.into(), owner.side.into()]).await?;
    }
    let mark = format!("{MARK} {} {}", owner.side, owner.service);
    for statement in query(session, CLAIM, &[&mark], |row| Ok(row.try_get::<_, String>(0)?)).await?
    {
        session.command(&statement).await?;
    }
    Ok(())
}

/// Refuses a server that has a database of the other side, or one of another service's that this role may open.
pub(super) async fn check_neighbours(session: &Session, owner: Owner) -> Result<(), Error> {
    let marks = format!("{MARK} %");
    let neighbours = query(session, NEIGHBOURS, &[&marks], |row| {
        Ok((row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?, row.try_get(2)?))
    })
    .await?;
    for (database, mark, reachable) in neighbours {
        if mark.split(' ').nth(1) != Some(owner.side) {
            return Err(Error::OtherSide { database });
        }
        if reachable {
            return Err(Error::Role("may open another service's database"));
        }
    }
    Ok(())
}

/// The rows of a statement that isn't a job's.
pub(super) async fn query<T>(
    session: &Session,
    sql: &str,
    texts: &[&str],
    take: impl FnMut(&SqlRow) -> Result<T, Failed>,
) -> Result<Vec<T>, Error> {
    let texts: Vec<_> =
        texts.iter().map(|text| text as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
    let rows = session.client.query(sql, &texts).await.map_err(Failed::from);
    let taken = rows.and_then(|rows| rows.iter().map(take).collect::<Result<_, _>>());
    taken.map_err(|failed| session.failed(failed))
}

fn pair(row: &SqlRow) -> Result<(String, String), Failed> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
