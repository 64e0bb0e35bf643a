//! What is told of the pool: when it runs out, where its addresses are, and what their names are. All of it is about the whole pool: what
//! is leased at present shows in none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use coarse::Week;
use dip_api::operator::{Filter, PLACES, POOL_SURVEY, Places, RegionSurvey, Survey, WeekCount};
use lease::{ExitAddress, Region};
use operating::{Asker, Table, print, say};
use pool::{
    Authority, Counts, Forecast, Geofeed, Horizon, HostName, HostPattern, Ipv6Cut, MOST_WEEKS,
    NameServer, Outlook, Timers, Zone, forecast, forward_zone, reverse_zones,
};
use serde::Serialize;
use service::CouldNotTry;

use super::list::all;
use super::{Connection, Service};

/// Weeks that demand is averaged over.
const RECENT: u32 = 8;

/// `pool forecast`
#[derive(Args)]
pub(crate) struct ForecastArguments {
    /// How many weeks to look ahead.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_WEEKS)))]
    weeks: u32,
    /// How long an address rests after a lease, as the service was told.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(7..=3650))]
    quarantine_days: u32,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct RegionForecast {
    region: Region,
    #[serde(flatten)]
    forecast: Forecast,
}

impl ForecastArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let Survey { week, regions } = self.connection.get(asker, POOL_SURVEY).await?;
        let quarantine = self.quarantine_days.div_ceil(7);
        let horizon = Horizon { now: week, weeks: self.weeks, quarantine };
        let ahead: Vec<_> = regions
            .into_iter()
            .map(|one| RegionForecast {
                forecast: forecast(&counts(&one), &recent(&one, week), horizon),
                region: one.status.region,
            })
            .collect();
        if self.connection.json {
            return print(&ahead, true);
        }
        let mut table = Table::new(&[
            "region",
            "demand a week",
            "runs out",
            "at the end",
            "runs out at best",
            "at best",
        ]);
        for RegionForecast { region, forecast } in &ahead {
            let runs_out =
                |case: &Outlook| case.runs_out.map_or("no".to_owned(), |week| week.to_string());
            let last = |case: &Outlook| {
                case.weeks.last().map(|last| last.available.to_string()).unwrap_or_default()
            };
            table.row([
                region.to_string(),
                forecast.weekly_demand.to_string(),
                runs_out(&forecast.pessimistic),
                last(&forecast.pessimistic),
                runs_out(&forecast.optimistic),
                last(&forecast.optimistic),
            ]);
        }
        say(&table.text())?;
        say("Every lease is refreshed; at best, none is. Demand goes on as in the weeks before.")
    }
}

fn counts(survey: &RegionSurvey) -> Counts {
    let by_week = |weeks: &[WeekCount]| {
        weeks.iter().map(|one| (one.week, u64::from(one.count))).collect::<BTreeMap<_, _>>()
    };
    let status = &survey.status;
    Counts {
        available: status.available.into(),
        reserved: status.reserved.into(),
        leased: status.leased.into(),
        grace: status.grace.into(),
        quarantine_by_week: by_week(&survey.quarantine_ends),
        lease_end_by_week: by_week(&survey.lease_ends),
        drained: status.drained.into(),
        blocked: status.blocked.into(),
    }
}

/// Leases that began in each of the last full weeks; those of which nothing is remembered count only if something is of an earlier one.
fn recent(survey: &RegionSurvey, now: Week) -> Vec<u64> {
    let known: BTreeMap<_, _> = survey.begun.iter().map(|one| (one.week, one.count)).collect();
    let first = now.number().saturating_sub(RECENT);
    let begin = known.keys().next().map_or(now.number(), |week| week.number());
    (first.max(begin)..now.number())
        .map(|week| known.get(&Week::new(week)).copied().unwrap_or(0).into())
        .collect()
}

/// `pool geofeed`
#[derive(Args)]
pub(crate) struct GeofeedArguments {
    /// Where the feed is written; on standard output when not given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A comment to stand before it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    connection: Connection,
}

impl GeofeedArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let service = Service::of(&self.connection, asker);
        let Places { places } = service.get(PLACES).await?;
        let mut known = BTreeMap::new();
        for place in places {
            if let Some(country) = &place.country {
                let (subdivision, city) = (place.subdivision.as_deref(), place.city.as_deref());
                known.insert(place.region, pool::Place::new(country, subdivision, city)?);
            }
        }
        let hosts = hosts(&service).await?;
        let feed = Geofeed::new(hosts.iter().map(|(address, region)| (*address, region)), &known)
            .context("say it with `region place`")?;
        let text = feed.to_text(&self.comment);
        match &self.output {
            Some(path) => write(path, &text)?,
            None if !self.connection.json => return say(text.trim_end()),
            None => {}
        }
        let blocks = feed.entries().count();
        if self.connection.json {
            return print(&serde_json::json!({ "blocks": blocks, "geofeed": text }), true);
        }
        say(&format!("{blocks} blocks"))
    }
}

/// All of the pool, whoever has it.
async fn hosts(service: &Service<'_>) -> anyhow::Result<BTreeMap<ExitAddress, Region>> {
    let addresses = all(service, Filter::default()).await?;
    Ok(addresses.into_iter().map(|one| (one.address, one.region)).collect())
}

/// `pool zones`
#[derive(Args)]
pub(crate) struct ZoneArguments {
    /// What hosts are called: {address}.{region}.dip.example. {address} must be in it, {region} may.
    #[arg(long, value_name = "PATTERN")]
    pattern: HostPattern,
    /// A name server, with its addresses if it lies in the zone: ns1.dip.example=192.0.2.53. The first one is the primary; give two.
    #[arg(long = "name-server", value_name = "NAME[=IP,..]", required = true)]
    name_servers: Vec<Server>,
    /// Whom to write to about the zones, with a dot for the @: hostmaster.dip.example.
    #[arg(long, value_name = "NAME")]
    mailbox: HostName,
    /// The zones' version: larger each time.
    #[arg(long, value_name = "NUMBER")]
    serial: u32,
    /// For how many seconds a record may be kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    ttl: u32,
    /// How much a reverse zone of IPv6 addresses holds: what was delegated to you.
    #[arg(long, value_name = "LENGTH", value_enum, default_value_t = Cut::Slash48)]
    ipv6_zones: Cut,
    /// The directory to write to: a file for each zone, named after it. What else is there stays.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, ValueEnum)]
enum Cut {
    /// A zone for each /48.
    #[value(name = "48")]
    Slash48,
    /// A zone for each /64.
    #[value(name = "64")]
    Slash64,
}

#[derive(Clone)]
struct Server(NameServer);

impl FromStr for Server {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, addresses) = text.split_once('=').unwrap_or((text, ""));
        let addresses = addresses.split(',').filter(|address| !address.is_empty());
        let addresses = addresses.map(str::parse::<IpAddr>).collect::<Result<_, _>>()?;
        Ok(Self(NameServer { name: name.parse()?, addresses }))
    }
}

impl ZoneArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let service = Service::of(&self.connection, asker);
        let name_servers: Vec<_> = self.name_servers.into_iter().map(|Server(one)| one).collect();
        let Some(primary) = name_servers.first().map(|server| server.name.clone()) else {
            bail!(CouldNotTry("a zone has a name server at least"));
        };
        let authority = Authority {
            serial: self.serial,
            primary,
            mailbox: self.mailbox,
            name_servers,
            ttl: self.ttl,
            timers: Timers::default(),
        };
        let cut = match self.ipv6_zones {
            Cut::Slash48 => Ipv6Cut::Slash48,
            Cut::Slash64 => Ipv6Cut::Slash64,
        };
        let hosts = hosts(&service).await?;
        let mut zones = reverse_zones(&hosts, &self.pattern, &authority, cut)?;
        zones.push(forward_zone(&hosts, &self.pattern, &authority)?);
        std::fs::create_dir_all(&self.output)
            .context(CouldNotTry("the directory can't be made"))?;
        for Zone { origin, text } in &zones {
            write(&self.output.join(format!("{origin}.zone")), text)?;
        }
        let origins: BTreeSet<_> = zones.iter().map(|zone| zone.origin.as_str()).collect();
        if self.connection.json {
            return print(&serde_json::json!({ "zones": origins }), true);
        }
        origins.into_iter().try_for_each(say)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)
        .with_context(|| path.display().to_string())
        .context(CouldNotTry("the file can't be written"))
}
