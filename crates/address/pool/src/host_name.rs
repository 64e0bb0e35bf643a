//! Names of hosts (RFC 1123 section 2.1), and patterns that give one to each address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use lease::{ExitAddress, Region};

/// The longest name, without the dot at its end (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label.
const LONGEST_LABEL: usize = 63;
/// The longest that stands for an address: 32 digits of an IPv6 one.
const LONGEST_ADDRESS: &str = "20010db8000000000000000000000000";

/// A host's name, absolute and in lower case, without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// Why a text is no [`HostName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostNameError {
    /// Nothing, or too much.
    #[error("a host's name has 1 to 253 bytes: {0}")]
    Length(String),
    /// A label that can't be one.
    #[error(
        "a host's name is labels of 1 to 63 letters, digits and hyphens, with no hyphen at their ends, and dots between: {0}"
    )]
    Label(String),
    /// A name that could be an IPv4 address.
    #[error("a host's name doesn't end in a number: {0}")]
    Number(String),
}

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is `zone` or lies under it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&zone.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        if !(1..=LONGEST_NAME).contains(&text.len()) {
            return Err(HostNameError::Length(text.to_owned()));
        }
        if !text.split('.').all(is_label) {
            return Err(HostNameError::Label(text.to_owned()));
        }
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|it| it.is_ascii_digit())) {
            return Err(HostNameError::Number(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A pattern that gives each address a name of its own: `{address}.{region}.dip.example`.
///
/// `{address}` comes once, and stands for
/// - an IPv4 address with hyphens in the place of dots: `203-0-113-7`;
/// - all 32 digits of an IPv6 address, without separators: `20010db8000000000000000000000007`. (With hyphens in the place of colons a
///   shortened address could begin or end with a hyphen, or look like an encoded name: `ab--1`, RFC 5891 section 4.2.3.1);
/// - the digits that a prefix fixes, the last one as in its first address: `20010db800010002` of `2001:db8:1:2::/64`.
///
/// `{region}` stands for the region's name and may come anywhere, or not at all. The labels behind the last of both are the
/// domain, whose zone has all the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
    domain: HostName,
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// `{address}` doesn't come once.
    #[error("a pattern has {{address}} once, or names would not be one address's")]
    Address,
    /// Something else in braces, or a brace alone.
    #[error("a pattern has {{address}} and {{region}} in braces, and nothing else")]
    Braces,
    /// Letters beside `{address}`.
    #[error(
        "in a pattern dots or hyphens stand on both sides of {{address}}, or two addresses could have one name"
    )]
    Joined,
    /// No label behind the last brace.
    #[error("a pattern ends in a domain: {{address}}.dip.example")]
    Domain,
    /// What comes of it is no name.
    #[error(transparent)]
    Name(#[from] HostNameError),
}

impl HostPattern {
    /// The name of an address in a region.
    ///
    /// # Errors
    /// [`HostNameError`] when the region's name makes it none.
    pub fn name(&self, address: ExitAddress, region: &Region) -> Result<HostName, HostNameError> {
        self.filled(&label(address), region.as_str())
    }

    /// The domain that all the names lie under.
    #[must_use]
    pub const fn domain(&self) -> &HostName {
        &self.domain
    }

    fn filled(&self, address: &str, region: &str) -> Result<HostName, HostNameError> {
        self.text.replace("{address}", address).replace("{region}", region).parse()
    }
}

/// What stands for an address in a name.
fn label(address: ExitAddress) -> String {
    match (address.ip(), address.prefix()) {
        (IpAddr::V4(address), _) => address.to_string().replace('.', "-"),
        (IpAddr::V6(first), length) => {
            let mut digits = format!("{:032x}", first.to_bits());
            digits.truncate(length.map_or(32, |length| usize::from(length.div_ceil(4))));
            digits
        }
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split("{address}");
        let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(PatternError::Address);
        };
        if text.replace("{address}", "").replace("{region}", "").contains(['{', '}']) {
            return Err(PatternError::Braces);
        }
        let apart = |side: Option<char>| matches!(side, None | Some('.' | '-'));
        if !apart(before.chars().next_back()) || !apart(after.chars().next()) {
            return Err(PatternError::Joined);
        }
        let (_, behind) = text.rsplit_once('}').ok_or(PatternError::Address)?;
        let (_, domain) = behind.split_once('.').ok_or(PatternError::Domain)?;
        let domain = domain.parse()?;
        let pattern = Self { text, domain };
        // A region's name has one letter at least; a longer one may make a longer name than there can be.
        pattern.filled(LONGEST_ADDRESS, "r")?;
        Ok(pattern)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{exit, near, region};

    fn name(pattern: &str, address: &str) -> String {
        let pattern: HostPattern = pattern.parse().unwrap();
        pattern.name(exit(address), &region("eu-1")).unwrap().to_string()
    }

    #[test]
    fn addresses_have_names() {
        const PATTERN: &str = "{address}.{region}.dip.example";
        assert_eq!(name(PATTERN, "203.0.113.7"), "203-0-113-7.eu-1.dip.example");
        assert_eq!(
            name(PATTERN, "2001:db8::7"),
            "20010db8000000000000000000000007.eu-1.dip.example"
        );
        assert_eq!(name(PATTERN, "2001:db8:1:2::/64"), "20010db800010002.eu-1.dip.example");
        assert_eq!(name(PATTERN, "2001:db8:1::/48"), "20010db80001.eu-1.dip.example");
        assert_eq!(name(PATTERN, "2001:db8:1:4000::/50"), "20010db800014.eu-1.dip.example");
        assert_eq!(name("IP-{address}.DIP.example", "203.0.113.7"), "ip-203-0-113-7.dip.example");
        assert_eq!(
            name("{region}-{address}.dip.example", "203.0.113.7"),
            "eu-1-203-0-113-7.dip.example"
        );
        let domain = |pattern: &str| pattern.parse::<HostPattern>().unwrap().domain.to_string();
        assert_eq!(domain(PATTERN), "dip.example");
        assert_eq!(domain("{region}.{address}-x.dip.example"), "dip.example");
        assert_eq!(domain("{address}.example"), "example");
    }

    #[test]
    fn other_texts_are_no_patterns() {
        for (text, error) in [
            ("", PatternError::Address),
            ("dip.example", PatternError::Address),
            ("{address}.{address}.example", PatternError::Address),
            ("{address}.{user}.example", PatternError::Braces),
            ("{address}.{region.example", PatternError::Braces),
            ("{address}}.example", PatternError::Braces),
            ("{address}{region}.example", PatternError::Joined),
            ("{region}{address}.example", PatternError::Joined),
            ("ip{address}.example", PatternError::Joined),
            ("{address}7.example", PatternError::Joined),
            ("{address}", PatternError::Domain),
            ("dip.{address}", PatternError::Domain),
            ("{address}-example", PatternError::Domain),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(error), "{text}");
        }
        let long = format!("{{address}}.{}.example", vec!["a".repeat(62); 4].join("."));
        for text in [
            "{address}..example",
            "{address}._x.example",
            "-{address}.example",
            "{address}.7",
            &long,
            "{address}.",
        ] {
            let error = text.parse::<HostPattern>().unwrap_err();
            assert!(matches!(error, PatternError::Name(_)), "{text}: {error}");
        }
        // A region's name may be none in a host's.
        let pattern: HostPattern = "{region}.{address}.example".parse().unwrap();
        let named = pattern.name(exit("203.0.113.7"), &region("-eu"));
        assert!(matches!(named, Err(HostNameError::Label(_))));
    }

    #[test]
    fn names_are_those_of_hosts() {
        for text in ["example", "a.b", "1.a", "xn--4ca.example", &format!("{}.a", "a".repeat(63))] {
            assert_eq!(text.parse::<HostName>().unwrap().as_str(), text);
        }
        assert_eq!("A.Example".parse::<HostName>().unwrap().as_str(), "a.example");
        let long = vec!["a"; 127].join(".");
        assert!(long.len() == 253 && long.parse::<HostName>().is_ok());
        let long = format!("b{long}");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "\u{e4}",
            "1.2.3.4",
            &long,
            &"a".repeat(64),
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
        let within = |name: &str, zone: &str| {
            name.parse::<HostName>().unwrap().is_within(&zone.parse().unwrap())
        };
        assert!(within("a.example", "example") && within("example", "example"));
        assert!(!within("a.counterexample", "example") && !within("example", "a.example"));
    }

    proptest! {
        /// Whatever the pattern, no two addresses have one name.
        #[test]
        fn names_are_one_addresss(
            pattern in "(ip-|\\{region\\}[.-]|a\\.)?\\{address\\}([.-]\\{region\\})?(-7)?\\.dip\\.example",
            one in near(),
            other in near(),
            regions in prop::array::uniform2("[0-9a-f]([0-9a-f-]{0,8}[0-9a-f])?"),
        ) {
            let pattern: HostPattern = pattern.parse().unwrap();
            let [here, there] = regions.map(|name| region(&name));
            let (first, second) = (pattern.name(one, &here), pattern.name(other, &there));
            if let (Ok(first), Ok(second)) = (first, second) {
                prop_assert!(first.is_within(pattern.domain()));
                // Prefixes that overlap without being the same are never leased together.
                prop_assert!(first != second || one.overlaps(&other));
            }
        }

        #[test]
        fn no_text_panics(text in "[a-z{}.-]{0,40}|\\{address\\}[a-z{}.-]{0,20}") {
            if let Ok(pattern) = text.parse::<HostPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
