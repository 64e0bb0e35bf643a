//! Names of hosts, as a proxy is asked for them and a resolver looks them up.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A host's name: labels of letters, digits, hyphens and underscores (RFC 1123, and what is in use), in
/// lower case, 253 characters at most, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(String);

/// The text isn't a host's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a host's name")]
pub(crate) struct HostNameError;

impl HostName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name can't exist in the DNS, by agreement: RFC 6761 and RFC 7686 have such names
    /// answered without asking anybody.
    pub(crate) fn is_never_in_dns(&self) -> bool {
        matches!(self.0.rsplit('.').next(), Some("invalid" | "onion"))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(HostNameError)
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_lowered() {
        for (text, name) in [
            ("localhost", "localhost"),
            ("Example.COM.", "example.com"),
            ("_dmarc.a-b.1", "_dmarc.a-b.1"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), name);
        }
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(63); 4].join(".");
        for text in
            ["", ".", "a..b", ".a", "a b", "a\0", "ä.de", "a/b", "[::1]", &long_label, &long_name]
        {
            assert_eq!(text.parse::<HostName>(), Err(HostNameError), "{text:?}");
        }
    }
}
