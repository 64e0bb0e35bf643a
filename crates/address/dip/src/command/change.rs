//! Changing the pool: what is added, drained, blocked, opened, moved and ended.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use dip_api::operator::{
    Alter, Altered, Change, GatewayName, Imported, MOST_ADDRESSES, NewAddress, POOL_ALTER,
    POOL_IMPORT, POOL_TIDY, PoolImport, Service as Wanted, Tidied,
};
use lease::{ExitAddress, Region};
use operating::{Asker, print, say};
use pool::{Block, Cidr, Defaults, Exclusions, List, Site};
use serde::Serialize;
use service::CouldNotTry;

use super::list::{FilterArguments, all};
use super::{Connection, Service, progress};

/// `pool import`
#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct ImportArguments {
    /// A block: 192.0.2.0/24, single IPv6 addresses of 2001:db8::/112, or prefixes of 64 bits of 2001:db8::/48 (of 56 bits of
    /// 2001:db8::/44/56). An address that isn't a host's is left out: of IPv4 the network's and the one for broadcasts, of IPv6 any router's.
    #[arg(long, value_name = "IP/PREFIX", group = "source")]
    cidr: Option<Block>,
    /// A list: CSV with the columns address, region and gateway.
    #[arg(long, value_name = "FILE", group = "source")]
    csv: Option<PathBuf>,
    /// Where the addresses are; of a list those for which it says nothing.
    #[arg(long, value_name = "NAME", required_unless_present = "csv")]
    region: Option<Region>,
    /// Which gateway serves them; of a list those for which it says nothing.
    #[arg(long, value_name = "NAME", required_unless_present = "csv")]
    gateway: Option<GatewayName>,
    /// Addresses or blocks to leave out, such as the gateway's own; may be given more than once.
    #[arg(long, value_name = "IP[/PREFIX]", num_args = 1..)]
    exclude: Vec<Cidr>,
    /// Only says what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct ImportDone {
    new: usize,
    known: usize,
    excluded: usize,
    dry_run: bool,
}

impl ImportArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let service = Service::of(&self.connection, asker);
        let (addresses, excluded) = self.addresses()?;
        if addresses.is_empty() {
            bail!("there is nothing to import");
        }
        let plain: Vec<_> = addresses.iter().map(|one| one.address).collect();
        for warning in pool::warnings(&plain) {
            progress(format_args!("note: {warning}"));
        }
        // All of it is tried first: what is wrong in the last part leaves nothing of the first.
        let mut imported = send(&service, &addresses, true).await?;
        if !self.dry_run {
            imported = send(&service, &addresses, false).await?;
        }
        let Imported { new, known } = imported;
        if self.connection.json {
            return print(&ImportDone { new, known, excluded, dry_run: self.dry_run }, true);
        }
        let added = if self.dry_run { "would be added" } else { "added" };
        let left_out = if excluded > 0 { format!(", {excluded} left out") } else { String::new() };
        say(&format!("{new} addresses {added}, {known} were there already{left_out}"))
    }

    /// What to import, and how many addresses were left out.
    fn addresses(&self) -> anyhow::Result<(Vec<NewAddress>, usize)> {
        let excluded = Exclusions::new(self.exclude.iter().copied());
        if let Some(path) = &self.csv {
            return from_list(&self.read(path, excluded)?);
        }
        let (Some(block), Some(region), Some(gateway)) = (self.cidr, &self.region, &self.gateway)
        else {
            bail!("a block needs a region and a gateway");
        };
        let left = block.without(&excluded);
        let left_out = block.count() as usize - left.len();
        let new = left.into_iter().map(|address| NewAddress {
            address,
            region: region.clone(),
            gateway: gateway.clone(),
        });
        Ok((new.collect(), left_out))
    }

    fn read(&self, path: &PathBuf, excluded: Exclusions) -> anyhow::Result<List> {
        let file = std::fs::read(path)
            .with_context(|| path.display().to_string())
            .context(CouldNotTry("the list can't be read"))?;
        let defaults = Defaults {
            region: self.region.clone(),
            gateway: self.gateway.as_ref().map(ToString::to_string),
            excluded,
        };
        let list = pool::read_list(&file, &defaults);
        list.map_err(|errors| anyhow::anyhow!("nothing was imported:\n{errors}"))
    }
}

fn from_list(list: &List) -> anyhow::Result<(Vec<NewAddress>, usize)> {
    let row = |(address, site): (ExitAddress, &Site)| {
        let gateway = site.gateway().parse()?;
        Ok(NewAddress { address, region: site.region().clone(), gateway })
    };
    Ok((list.rows().map(row).collect::<anyhow::Result<_>>()?, list.excluded()))
}

async fn send(
    service: &Service<'_>,
    addresses: &[NewAddress],
    dry_run: bool,
) -> anyhow::Result<Imported> {
    let mut imported = Imported::default();
    for (part, done) in addresses.chunks(MOST_ADDRESSES).zip(1..) {
        let request = PoolImport { addresses: part.to_vec(), dry_run };
        let Imported { new, known } = service.post(POOL_IMPORT, &request).await?;
        imported.new += new;
        imported.known += known;
        told(done, addresses.len(), if dry_run { "checked" } else { "imported" });
    }
    Ok(imported)
}

/// Says how many of `all` were done, when they are more than one request's.
fn told(parts: usize, all: usize, done: &str) {
    if all > MOST_ADDRESSES {
        progress(format_args!("{done} {} of {all}", (parts * MOST_ADDRESSES).min(all)));
    }
}

/// Some addresses of the pool.
#[derive(Args)]
pub(crate) struct SelectArguments {
    /// Addresses or blocks.
    #[arg(value_name = "IP[/PREFIX]")]
    blocks: Vec<Cidr>,
    #[command(flatten)]
    filter: FilterArguments,
    /// Only says what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// `pool drain`, `pool block` and `pool open`
#[derive(Args)]
pub(crate) struct AlterArguments {
    #[command(flatten)]
    select: SelectArguments,
}

/// `pool move`
#[derive(Args)]
pub(crate) struct MoveArguments {
    /// The gateway that shall serve them.
    #[arg(long, value_name = "NAME")]
    to: GatewayName,
    #[command(flatten)]
    select: SelectArguments,
}

impl AlterArguments {
    pub(crate) async fn run(self, asker: Asker<'_>, wanted: Wanted) -> anyhow::Result<()> {
        self.select.alter(asker, &Change::Service(wanted)).await
    }
}

impl MoveArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        self.select.alter(asker, &Change::Gateway(self.to)).await
    }
}

#[derive(Serialize)]
struct AlterDone {
    #[serde(flatten)]
    altered: Altered,
    dry_run: bool,
}

impl SelectArguments {
    async fn alter(self, asker: Asker<'_>, change: &Change) -> anyhow::Result<()> {
        let service = Service::of(&self.connection, asker);
        let addresses = self.select(&service).await?;
        let mut altered = Altered::default();
        for (part, done) in addresses.chunks(MOST_ADDRESSES).zip(1..) {
            let (addresses_there, change) = (part.to_vec(), change.clone());
            let alter = Alter { addresses: addresses_there, change, dry_run: self.dry_run };
            altered = altered.and(service.post(POOL_ALTER, &alter).await?);
            told(done, addresses.len(), "changed");
        }
        if self.connection.json {
            return print(&AlterDone { altered, dry_run: self.dry_run }, true);
        }
        let Altered { changed, same, held, .. } = altered;
        let verb = if self.dry_run { "would be changed" } else { "changed" };
        say(&format!("{changed} addresses {verb} ({held} of them leased), {same} were so already"))
    }

    /// The addresses that are meant: everything in the blocks, as far as it passes the filter.
    async fn select(&self, service: &Service<'_>) -> anyhow::Result<Vec<ExitAddress>> {
        if self.blocks.is_empty() && self.filter.is_empty() {
            bail!(CouldNotTry("say which addresses: some, or a region's, or a gateway's"));
        }
        let listed = all(service, self.filter.filter()).await?;
        let mut meant: Vec<_> = listed.iter().map(|one| one.address).collect();
        for block in &self.blocks {
            if !meant.iter().any(|one| holds(*block, *one)) {
                bail!("no address of the pool is in {block}");
            }
        }
        let of_block = |one: &ExitAddress| self.blocks.iter().any(|block| holds(*block, *one));
        if !self.blocks.is_empty() {
            meant.retain(of_block);
        }
        Ok(meant)
    }
}

/// Whether all of the address or prefix lies in the block.
fn holds(block: Cidr, one: ExitAddress) -> bool {
    block.covers(Cidr::from(one))
}

/// `pool tidy`
#[derive(Args)]
pub(crate) struct TidyArguments {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn tidy(arguments: TidyArguments, asker: Asker<'_>) -> anyhow::Result<()> {
    let TidyArguments { connection } = arguments;
    loop {
        let tidied: Tidied = connection.act(asker, POOL_TIDY).await?;
        if !tidied.more {
            return if connection.json { print(&tidied, true) } else { say("done") };
        }
        progress(format_args!("more to do"));
    }
}
