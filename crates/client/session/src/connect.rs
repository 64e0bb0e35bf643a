//! Opening the tunnel.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_api::{AddPeer, Peer};
use http::Method;
use http::header::CONTENT_TYPE;
use http_client::{ClientConfig, HttpClient};
use jws::Compact;
use lease::TunnelEnd;
use peer_key::PeerSecret;
use tunnel::{Client, ClientHandle};
use zeroize::Zeroizing;

use crate::session::request;
use crate::{Error, Session};

const SERVICE: &str = "gateway";
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Seconds between keepalives.
const KEEPALIVE: u16 = 25;

/// What a tunnel needs of a wallet: it is taken out so that the wallet's lock needn't be held while the tunnel is up.
pub struct TunnelPlan {
    url: String,
    dat: Compact,
    device: PeerSecret,
    source: Option<IpAddr>,
}

/// An open tunnel.
pub struct Connected {
    /// The tunnel and its proxy.
    pub tunnel: ClientHandle,
    /// What the gateway said.
    pub peer: Peer,
}

impl Session {
    /// What a tunnel needs.
    ///
    /// # Errors
    /// [`Error::NoLease`].
    pub fn tunnel_plan(&self) -> Result<TunnelPlan, Error> {
        let leased = self.leased()?;
        Ok(TunnelPlan {
            url: leased.gateway.url.clone(),
            dat: leased.minted.dat.clone(),
            device: self.wallet().device.0.clone(),
            source: self.config.source,
        })
    }
}

impl TunnelPlan {
    /// Hands the access token to the gateway: adds this device as a peer, or changes nothing.
    ///
    /// # Errors
    /// [`Error::Service`].
    pub async fn present(&self) -> Result<Peer, Error> {
        let client = ClientConfig { bind: self.source, ..ClientConfig::default() };
        let http = HttpClient::new(client, ());
        let body = AddPeer { dat: self.dat.clone(), device: self.device.public() };
        let failed = |error| Error::Service { service: SERVICE, error };
        let request = request(
            SERVICE,
            &self.url,
            Method::POST,
            gateway_api::PEERS,
            &[(CONTENT_TYPE, "application/json")],
            http_client::to_json(&body).map_err(failed)?,
        )?;
        let response = http.send(request).await.map_err(failed)?;
        http_client::parse(&response).map_err(failed)
    }

    /// Presents the access token and opens the tunnel, with a proxy on `proxy_listen`.
    ///
    /// # Errors
    /// [`Error::Service`] or [`Error::Tunnel`].
    pub async fn open(&self, proxy_listen: SocketAddr) -> Result<Connected, Error> {
        let peer = self.present().await?;
        let TunnelEnd { public_key, endpoint, inner_address, resolver } = peer.tunnel.clone();
        let tunnel = Client::spawn(tunnel::ClientConfig {
            secret_key: self.device.clone(),
            peer_public_key: public_key,
            peer_endpoint: endpoint,
            inner_address,
            resolver,
            bind: self.source,
            proxy_listen,
            mtu: tunnel::DEFAULT_MTU,
            keepalive: Some(KEEPALIVE),
        })?;
        let waiting = tunnel.clone();
        tokio::task::spawn_blocking(move || waiting.wait_connected(HANDSHAKE))
            .await
            .map_err(|_| Error::Unexpected { service: SERVICE, what: "the tunnel ended" })??;
        Ok(Connected { tunnel, peer })
    }

    /// A configuration file for any other WireGuard client. It holds the device's secret key.
    #[must_use]
    pub fn stock_configuration(&self, peer: &Peer) -> Zeroizing<String> {
        tunnel::wg_quick_config(&tunnel::QuickConfig {
            secret_key: &self.device,
            inner_address: peer.tunnel.inner_address,
            resolver: peer.tunnel.resolver.into(),
            mtu: tunnel::DEFAULT_MTU,
            peer_public_key: peer.tunnel.public_key,
            peer_endpoint: peer.tunnel.endpoint,
            keepalive: Some(KEEPALIVE),
        })
    }
}
