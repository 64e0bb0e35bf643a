//! What addresses are given out with: gateways, regions, the issuer's keys.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use dip_api::GatewayInfo;
use dip_api::operator::{
    GATEWAYS, GatewayName, Gateways, KnownTokenKeys, NamedGateway, PLACES, Place, Places,
    TOKEN_KEYS, TokenKeys,
};
use lease::{Region, TunnelEnd};
use operating::{Asker, Table, print, say};
use peer_key::PeerKey;
use service::{BaseUrl, CouldNotTry};

use super::Connection;
use super::list::epochs;

#[derive(Subcommand)]
pub(crate) enum GatewayCommand {
    /// Names a gateway, or changes what is known of it: its leases go along.
    Add(GatewayArguments),
    /// Lists gateways.
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args)]
pub(crate) struct GatewayArguments {
    /// The name to import addresses with.
    #[arg(long, value_name = "NAME")]
    id: GatewayName,
    /// Its control API.
    #[arg(long = "gateway-url", value_name = "URL")]
    gateway_url: BaseUrl,
    /// Its WireGuard key, base64.
    #[arg(long, value_name = "KEY")]
    public_key: PeerKey,
    /// Where clients send WireGuard's datagrams.
    #[arg(long, value_name = "IP:PORT")]
    endpoint: SocketAddr,
    /// The device's address inside the tunnel.
    #[arg(long, value_name = "IP", default_value = "100.64.0.2")]
    inner_address: Ipv4Addr,
    /// The resolver's address inside the tunnel.
    #[arg(long, value_name = "IP", default_value = "100.64.0.1")]
    resolver: Ipv4Addr,
    #[command(flatten)]
    connection: Connection,
}

impl GatewayCommand {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        match self {
            Self::Add(gateway) => {
                let connection = gateway.connection.clone();
                let named: NamedGateway =
                    connection.post(asker, GATEWAYS, &gateway.named()).await?;
                if connection.json { print(&named, true) } else { say(named.name.as_str()) }
            }
            Self::List { connection } => {
                let all: Gateways = connection.get(asker, GATEWAYS).await?;
                if connection.json {
                    return print(&all, true);
                }
                let mut table = Table::new(&["name", "url", "endpoint", "public key"]);
                for NamedGateway { name, gateway } in &all.gateways {
                    table.row([
                        name.to_string(),
                        gateway.url.clone(),
                        gateway.tunnel.endpoint.to_string(),
                        gateway.tunnel.public_key.to_string(),
                    ]);
                }
                say(&table.text())
            }
        }
    }
}

impl GatewayArguments {
    fn named(self) -> NamedGateway {
        let tunnel = TunnelEnd {
            public_key: self.public_key,
            endpoint: self.endpoint,
            inner_address: self.inner_address,
            resolver: self.resolver,
        };
        let gateway = GatewayInfo { url: self.gateway_url.to_string(), tunnel };
        NamedGateway { name: self.id, gateway }
    }
}

#[derive(Subcommand)]
pub(crate) enum RegionCommand {
    /// Says where a region is, for the geofeed.
    Place {
        /// The region.
        region: Region,
        /// The place: a country's code (ISO 3166-1), or with a subdivision's (ISO 3166-2) and a city: DE,DE-BE,Berlin.
        place: pool::Place,
        #[command(flatten)]
        connection: Connection,
    },
    /// Lists regions and where they are.
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

impl RegionCommand {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        match self {
            Self::Place { region, place, connection } => {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                let place = Place {
                    region,
                    country: Some(place.country().to_owned()),
                    subdivision: owned(place.subdivision()),
                    city: owned(place.city()),
                };
                let kept: Place = connection.post(asker, PLACES, &place).await?;
                if connection.json { print(&kept, true) } else { say(kept.region.as_str()) }
            }
            Self::List { connection } => {
                let all: Places = connection.get(asker, PLACES).await?;
                if connection.json {
                    return print(&all, true);
                }
                let mut table = Table::new(&["region", "country", "subdivision", "city"]);
                for Place { region, country, subdivision, city } in all.places {
                    let cells = [country, subdivision, city].map(Option::unwrap_or_default);
                    table.row([region.to_string()].into_iter().chain(cells));
                }
                say(&table.text())
            }
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Takes in the issuer's public keys, as far as the provider's file commits to them; those for other purposes are passed over.
    Import {
        /// What the issuer publishes: a JSON array of keys with their proofs.
        file: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Says which epochs' tokens can be verified.
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

impl KeysCommand {
    pub(crate) async fn run(self, asker: Asker<'_>) -> anyhow::Result<()> {
        match self {
            Self::Import { file, connection } => {
                let bytes = std::fs::read(&file)
                    .with_context(|| file.display().to_string())
                    .context(CouldNotTry("the keys can't be read"))?;
                let keys = serde_json::from_slice(&bytes)
                    .context(CouldNotTry("this is not what an issuer publishes"))?;
                let known: KnownTokenKeys =
                    connection.post(asker, TOKEN_KEYS, &TokenKeys { keys }).await?;
                if connection.json {
                    return print(&known, true);
                }
                let (keys, others) = (epochs(&known.epochs), known.passed_over);
                say(&format!("token keys: {keys}; {others} of other purposes passed over"))
            }
            Self::List { connection } => {
                let known: KnownTokenKeys = connection.get(asker, TOKEN_KEYS).await?;
                if connection.json {
                    return print(&known, true);
                }
                say(&format!("token keys: {}", epochs(&known.epochs)))
            }
        }
    }
}
