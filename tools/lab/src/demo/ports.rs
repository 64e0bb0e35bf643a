//! Where each service of a town listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;

use anyhow::Result;

/// Which ports services take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Any that are free.
    Free,
    /// Any that are free; tunnels end at this address of the host rather than on loopback.
    FreeTunnelsAt(Ipv4Addr),
    /// The defaults.
    Default,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "free" => Ok(Self::Free),
            "default" => Ok(Self::Default),
            _ => Err("free or default".to_owned()),
        }
    }
}

/// Where each service listens.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub(crate) accounts: SocketAddr,
    pub(crate) issuer: SocketAddr,
    pub(crate) parent: SocketAddr,
    pub(crate) dip: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) backup: SocketAddr,
    pub(crate) tunnel: SocketAddr,
}

impl Addresses {
    /// Chooses them.
    pub(crate) fn choose(ports: Ports) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if ports == Ports::Default {
            return Ok(Self {
                accounts: local(3004),
                issuer: local(3001),
                parent: local(3002),
                dip: local(3003),
                gateway: local(3006),
                backup: local(3007),
                tunnel: local(51820),
            });
        }
        let tunnels = match ports {
            Ports::FreeTunnelsAt(host) => host,
            Ports::Free | Ports::Default => Ipv4Addr::LOCALHOST,
        };
        // All are held at once, so that they differ; then they are let go for the services to take.
        let held = (0..6).map(|_| TcpListener::bind(local(0))).collect::<Result<Vec<_>, _>>()?;
        let found = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let [accounts, issuer, parent, dip, gateway, backup] = found.as_slice() else {
            anyhow::bail!("six ports are needed");
        };
        Ok(Self {
            accounts: *accounts,
            issuer: *issuer,
            parent: *parent,
            dip: *dip,
            gateway: *gateway,
            backup: *backup,
            tunnel: UdpSocket::bind((tunnels, 0))?.local_addr()?,
        })
    }

    /// A service's HTTP address.
    pub(crate) fn of(&self, service: &str) -> Result<SocketAddr> {
        Ok(match service {
            "accounts" => self.accounts,
            "issuer" => self.issuer,
            "parent" => self.parent,
            "dip" => self.dip,
            "gateway" => self.gateway,
            "backup" => self.backup,
            other => anyhow::bail!("{other} has no HTTP address"),
        })
    }
}
