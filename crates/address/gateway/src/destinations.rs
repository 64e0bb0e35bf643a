//! Where no peer gets to: the provider's identity services.
//!
//! A login that comes from a dedicated address would tell accounts whose address it is: a network address joins
//! the two sides as well as an id does. So the exit refuses these destinations, in every mode.

use std::net::SocketAddr;

use anyhow::Context as _;
use attested::Provider;
use http::Uri;
use tunnel::NeverRule;

/// The provider's identity endpoints, accounts and blind token service, as addresses.
///
/// # Errors
/// When one of them can't be resolved: then it couldn't be refused either.
pub async fn refused_destinations(provider: &Provider) -> anyhow::Result<Vec<NeverRule>> {
    let mut endpoints = provider.identity_endpoints.clone();
    for url in [&provider.urls.accounts, &provider.urls.blind_token_service] {
        endpoints.push(endpoint(url).with_context(|| format!("{url} is not a service's URL"))?);
    }
    let mut rules = Vec::new();
    for endpoint in endpoints {
        let found = tokio::net::lookup_host(&endpoint).await;
        let found = found.with_context(|| format!("{endpoint} can't be resolved"))?;
        rules.extend(found.map(|address: SocketAddr| NeverRule::from(address)));
    }
    Ok(rules)
}

/// `host:port` of a URL.
fn endpoint(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let port = match (uri.port_u16(), uri.scheme_str()?) {
        (Some(port), _) => port,
        (None, "http") => 80,
        (None, "https") => 443,
        (None, _) => return None,
    };
    Some(format!("{}:{port}", uri.host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_port_has_its_schemes() {
        for (url, expected) in [
            ("http://127.0.0.1:3004", Some("127.0.0.1:3004")),
            ("http://accounts.example", Some("accounts.example:80")),
            ("https://accounts.example/x", Some("accounts.example:443")),
            ("https://[::1]:8443", Some("[::1]:8443")),
            ("ftp://accounts.example", None),
            ("accounts.example", None),
        ] {
            assert_eq!(endpoint(url).as_deref(), expected, "{url}");
        }
    }
}
