//! Where a service is.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};
use serde::{Deserialize, Serialize};

/// `http://host:port` or `https://host:port`, and nothing after it: no path, no query, no user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
}

/// A text that is no [`BaseUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a service's address is http://host:port or https://host:port, without a path")]
pub struct BadBaseUrl;

impl BaseUrl {
    /// Plain HTTP at a socket address.
    pub fn plain(address: SocketAddr) -> Result<Self, BadBaseUrl> {
        format!("http://{address}").parse()
    }

    /// The URL of `path` there, which starts with a slash and may end with a query.
    pub fn join(&self, path: &str) -> Result<Uri, BadBaseUrl> {
        if !path.starts_with('/') {
            return Err(BadBaseUrl);
        }
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|_| BadBaseUrl)
    }

    /// Host and port as written.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }
}

impl FromStr for BaseUrl {
    type Err = BadBaseUrl;

    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let parts = text.parse::<Uri>().map_err(|_| BadBaseUrl)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(BadBaseUrl);
        };
        let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let bare = parts.path_and_query.is_none_or(|path| path.as_str() == "/");
        let host_only = !authority.host().is_empty() && !authority.as_str().contains('@');
        // An authority may end with a colon or carry a port that isn't one.
        let port_is_sound = authority.port().is_some() == has_colon_after_host(&authority)
            && authority.port().is_none_or(|port| port.as_str().parse::<u16>().is_ok());
        if known && bare && host_only && port_is_sound {
            Ok(Self { scheme, authority })
        } else {
            Err(BadBaseUrl)
        }
    }
}

fn has_colon_after_host(authority: &Authority) -> bool {
    authority.as_str().len() > authority.host().len()
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.to_string()
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = BadBaseUrl;

    fn try_from(text: String) -> Result<Self, BadBaseUrl> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_scheme_host_and_port_only() {
        for good in ["http://127.0.0.1:3001", "https://dip.example", "http://[::1]:80"] {
            assert_eq!(good.parse::<BaseUrl>().unwrap().to_string(), good);
        }
        assert_eq!("http://a:1/".parse::<BaseUrl>().unwrap().to_string(), "http://a:1");
        for bad in [
            "",
            "a:1",
            "/a",
            "ftp://a",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://a:",
            "http://",
            "http://a:x",
            "http://a:70000",
            "http://a b",
        ] {
            assert_eq!(bad.parse::<BaseUrl>(), Err(BadBaseUrl), "{bad}");
        }
    }

    #[test]
    fn joins_paths() {
        let base: BaseUrl = "http://127.0.0.1:1".parse().unwrap();
        assert_eq!(base.join("/a?b=c").unwrap().to_string(), "http://127.0.0.1:1/a?b=c");
        assert_eq!(base.join("a"), Err(BadBaseUrl));
        assert_eq!(base.join("/a b"), Err(BadBaseUrl));
    }

    #[test]
    fn is_text_in_json() {
        let base: BaseUrl = serde_json::from_str("\"http://127.0.0.1:1\"").unwrap();
        assert_eq!(serde_json::to_string(&base).unwrap(), "\"http://127.0.0.1:1\"");
        assert!(serde_json::from_str::<BaseUrl>("\"http://127.0.0.1:1/x\"").is_err());
    }
}
