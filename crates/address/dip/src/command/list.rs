//! Looking at the pool.

use clap::Args;
use dip_api::operator::{
    AddressState, AddressView, Filter, GatewayName, POOL, POOL_ADDRESSES, Page, PoolStatus,
};
use lease::Region;
use operating::{Asker, Table, print, say};
use serde::Serialize;

use super::{Connection, Service};

/// `pool status`
#[derive(Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    connection: Connection,
}

/// `pool list`
#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,
    /// Lists addresses in this state only.
    #[arg(long, value_name = "STATE")]
    state: Option<AddressState>,
    /// Prints a list that `pool import --csv` takes.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Some of the pool.
#[derive(Args)]
pub(crate) struct FilterArguments {
    /// Addresses of this region only.
    #[arg(long, value_name = "NAME")]
    region: Option<Region>,
    /// Addresses at this gateway only.
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,
}

impl FilterArguments {
    pub(super) const fn is_empty(&self) -> bool {
        self.region.is_none() && self.gateway.is_none()
    }

    pub(super) fn filter(&self) -> Filter {
        Filter { region: self.region.clone(), gateway: self.gateway.clone(), ..Filter::default() }
    }
}

impl StatusArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let status: PoolStatus = self.connection.get(asker, POOL).await?;
        if self.connection.json {
            return print(&status, true);
        }
        let mut table = Table::new(&[
            "region",
            "available",
            "reserved",
            "leased",
            "grace",
            "quarantine",
            "drained",
            "blocked",
            "withdrawing",
            "total",
        ]);
        for region in &status.regions {
            let counts = [
                region.available,
                region.reserved,
                region.leased,
                region.grace,
                region.quarantine,
                region.drained,
                region.blocked,
                region.withdrawing,
                region.total(),
            ];
            let name = [region.region.to_string()];
            table.row(name.into_iter().chain(counts.iter().map(ToString::to_string)));
        }
        say(&table.text())?;
        say(&format!("token keys: {}", epochs(&status.token_key_epochs)))
    }
}

/// The first and the last of a row of epochs, and how many.
pub(super) fn epochs(epochs: &[coarse::Epoch]) -> String {
    match (epochs.first(), epochs.last()) {
        (Some(first), Some(last)) => format!("{} (epochs {first} to {last})", epochs.len()),
        _ => "none".to_owned(),
    }
}

impl ListArguments {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        let service = Service::of(&self.connection, asker);
        let filter = Filter { state: self.state, ..self.filter.filter() };
        let addresses = all(&service, filter).await?;
        if self.connection.json {
            return print(&Listed { addresses: &addresses }, true);
        }
        if self.csv {
            let sites: Vec<_> = addresses
                .iter()
                .map(|one| {
                    Ok((one.address, pool::Site::new(one.region.clone(), one.gateway.to_string())?))
                })
                .collect::<Result<_, pool::RowError>>()?;
            let rows = sites.iter().map(|(address, site)| (*address, site));
            return say(pool::write_list(rows).trim_end());
        }
        let mut table =
            Table::new(&["address", "region", "gateway", "state", "service", "until", "frozen"]);
        for one in &addresses {
            table.row([
                one.address.to_string(),
                one.region.to_string(),
                one.gateway.to_string(),
                one.state.to_string(),
                one.service.to_string(),
                one.until_week.map(|week| week.to_string()).unwrap_or_default(),
                if one.frozen { "frozen".to_owned() } else { String::new() },
            ]);
        }
        say(&table.text())
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    addresses: &'a [AddressView],
}

/// All addresses that pass the filter.
pub(super) async fn all(
    service: &Service<'_>,
    mut filter: Filter,
) -> anyhow::Result<Vec<AddressView>> {
    let mut addresses = Vec::new();
    loop {
        let page: Page = service.get(&format!("{POOL_ADDRESSES}{}", query(&filter))).await?;
        addresses.extend(page.addresses);
        let Some(next) = page.next else { return Ok(addresses) };
        filter.after = Some(next);
    }
}

/// The filter as a query: none of its characters needs an escape there.
fn query(filter: &Filter) -> String {
    let Filter { region, gateway, state, after } = filter;
    let mut fields = Vec::new();
    fields.extend(region.as_ref().map(|region| format!("region={region}")));
    fields.extend(gateway.as_ref().map(|gateway| format!("gateway={gateway}")));
    fields.extend(state.map(|state| format!("state={state}")));
    fields.extend(after.map(|after| format!("after={after}")));
    if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_query() {
        assert_eq!(query(&Filter::default()), "");
        let filter = Filter {
            region: Some("eu-1".parse().unwrap()),
            state: Some(AddressState::Grace),
            after: Some("2001:db8:1:2::/64".parse().unwrap()),
            ..Filter::default()
        };
        assert_eq!(query(&filter), "?region=eu-1&state=grace&after=2001:db8:1:2::/64");
    }
}
