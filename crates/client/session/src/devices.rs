//! Asking the gateway from inside an open tunnel: about the devices of the same address.

use std::net::SocketAddr;
use std::time::Duration;

use gateway_api::{DEVICES, Devices, INSIDE_PORT, OneDevice, REMOVE_DEVICE, RESTORE_DEVICE};
use http::Method;
use http::header::CONTENT_TYPE;
use http_client::{ClientConfig, ClientError, HttpClient};
use peer_key::Thumbprint;

use crate::session::request;
use crate::{Error, Session, TunnelPlan};

const SERVICE: &str = "gateway";
/// How long a connection may take, with a handshake of the tunnel's that has to be made anew.
const CONNECT: Duration = Duration::from_secs(10);

/// The gateway, as it is asked from inside a tunnel.
pub struct InsideTunnel {
    plan: TunnelPlan,
    this: Thumbprint,
    /// The gateway's address inside.
    url: String,
    http: HttpClient,
}

impl Session {
    /// What is needed to ask the gateway from inside the tunnel whose proxy is at `proxy`.
    ///
    /// # Errors
    /// [`Error::NoLease`].
    pub fn inside(&self, proxy: SocketAddr) -> Result<InsideTunnel, Error> {
        let plan = self.tunnel_plan()?;
        let config = ClientConfig {
            proxy: Some(proxy),
            connect_timeout: CONNECT,
            ..ClientConfig::default()
        };
        // The resolver inside is the gateway itself.
        let address = SocketAddr::from((self.leased()?.gateway.tunnel.resolver, INSIDE_PORT));
        Ok(InsideTunnel {
            plan,
            this: Thumbprint::from(&self.wallet().device.public()),
            url: format!("http://{address}"),
            http: HttpClient::new(config, ()),
        })
    }
}

impl InsideTunnel {
    /// The devices that may use the address at present.
    ///
    /// # Errors
    /// [`Error::Service`].
    pub async fn devices(&self) -> Result<Devices, Error> {
        self.ask(Method::GET, DEVICES, Vec::new()).await
    }

    /// Removes a device: its tunnel ends at once, and its key is refused. The devices that are left; nothing when this very
    /// device was removed, since the answer may have gone with its tunnel.
    ///
    /// # Errors
    /// [`Error::Service`].
    pub async fn remove(&self, device: Thumbprint) -> Result<Option<Devices>, Error> {
        match self.change(REMOVE_DEVICE, device).await {
            Ok(_) if device == self.this => Ok(None),
            Err(error) if device == self.this && is(&error, "device-removed") => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Takes a removal back. The devices that may use the address at present.
    ///
    /// # Errors
    /// [`Error::Service`].
    pub async fn restore(&self, device: Thumbprint) -> Result<Devices, Error> {
        self.change(RESTORE_DEVICE, device).await
    }

    async fn change(&self, path: &str, device: Thumbprint) -> Result<Devices, Error> {
        let body = http_client::to_json(&OneDevice { device });
        let body = body.map_err(|error| Error::Service { service: SERVICE, error })?;
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Devices, Error> {
        let kind = [(CONTENT_TYPE, "application/json")];
        let request = request(SERVICE, &self.url, method, path, &kind, body)?;
        let response = self.http.send(request).await;
        match response.and_then(|response| http_client::parse(&response)) {
            Ok(devices) => Ok(devices),
            // A tunnel that carries nothing may have been ended. Then the gateway says why, outside.
            Err(error) if !matches!(error, ClientError::Problem(_)) => Err(self
                .plan
                .present()
                .await
                .err()
                .filter(is_problem)
                .unwrap_or(Error::Service { service: SERVICE, error })),
            Err(error) => Err(Error::Service { service: SERVICE, error }),
        }
    }
}

fn is_problem(error: &Error) -> bool {
    matches!(error, Error::Service { error: ClientError::Problem(_), .. })
}

/// Whether a service answered with this problem.
fn is(error: &Error, slug: &str) -> bool {
    matches!(error, Error::Service { error: ClientError::Problem(problem), .. } if problem.slug() == slug)
}
