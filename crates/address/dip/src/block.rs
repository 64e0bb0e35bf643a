//! Blocks of addresses (CIDR, RFC 4632), as an operator imports them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use lease::ExitAddress;

/// The largest block: 65,536 addresses. A longer list is imported in parts.
const SHORTEST_PREFIX: u8 = 16;

/// An IPv4 block of at most 65,536 addresses: `192.0.2.0/24`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    first: u32,
    prefix: u8,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

/// Why a text is no [`Block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Not an address, or an address and a prefix.
    #[error("a block is written as 192.0.2.0/24 or 192.0.2.1, without bits set behind the prefix")]
    Form,
    /// More than 65,536 addresses.
    #[error("a block has at most 65,536 addresses (/16): import a larger one in parts")]
    TooLarge,
    /// Leases of IPv6 addresses aren't supported.
    #[error("IPv6 addresses are not supported yet")]
    Ipv6,
}

impl Block {
    /// All addresses of the block that a host may have. In a block of four or more the first names the network and the
    /// last is for broadcasts (RFC 919, RFC 950); smaller ones have neither (RFC 3021).
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let last = self.first | !mask(self.prefix);
        let spare = u32::from(self.prefix < 31);
        (self.first + spare..=last - spare).map(Ipv4Addr::from_bits)
    }

    /// Whether the block holds `address`.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.first
    }
}

/// What an import of `block` adds: its hosts but for those in `excluded`, in order.
///
/// # Errors
/// [`BlockError::Form`] when the block has an address that no single host can have.
pub fn addresses(block: Block, excluded: &[Block]) -> Result<Vec<ExitAddress>, BlockError> {
    let included = |host: &Ipv4Addr| !excluded.iter().any(|block| block.contains(*host));
    let hosts: BTreeSet<_> = block.hosts().filter(included).collect();
    hosts
        .into_iter()
        .map(|host| ExitAddress::try_from(IpAddr::from(host)).map_err(|_| BlockError::Form))
        .collect()
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first = match address.parse().map_err(|_| BlockError::Form)? {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(_) => return Err(BlockError::Ipv6),
        };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| BlockError::Form)?,
            None => 32,
        };
        if prefix > 32 || first & !mask(prefix) != 0 {
            return Err(BlockError::Form);
        }
        if prefix < SHORTEST_PREFIX {
            return Err(BlockError::TooLarge);
        }
        Ok(Self { first, prefix })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn imported(block: &str, excluded: &[&str]) -> Vec<String> {
        let excluded: Vec<Block> = excluded.iter().map(|block| block.parse().unwrap()).collect();
        let addresses = addresses(block.parse().unwrap(), &excluded).unwrap();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn network_and_broadcast_addresses_are_left_out_of_blocks_that_have_them() {
        assert_eq!(imported("192.0.2.8/30", &[]), ["192.0.2.9", "192.0.2.10"]);
        assert_eq!(imported("192.0.2.8/31", &[]), ["192.0.2.8", "192.0.2.9"]);
        assert_eq!(imported("192.0.2.8/32", &[]), ["192.0.2.8"]);
        assert_eq!(imported("192.0.2.8", &[]), ["192.0.2.8"]);
        assert_eq!(imported("127.7.0.0/16", &[]).len(), 65_534);
    }

    #[test]
    fn exclusions_are_addresses_or_blocks() {
        assert_eq!(
            imported("192.0.2.8/29", &["192.0.2.9", "192.0.2.12/30"]),
            ["192.0.2.10", "192.0.2.11"]
        );
        assert!(imported("192.0.2.8/29", &["192.0.2.0/24"]).is_empty());
    }

    #[test]
    fn other_texts_are_no_blocks() {
        for (text, error) in [
            ("", BlockError::Form),
            ("192.0.2.1/24", BlockError::Form),
            ("192.0.2.0/33", BlockError::Form),
            ("192.0.2.0/", BlockError::Form),
            ("192.0.2.0/-1", BlockError::Form),
            ("192.0.2.0/24/24", BlockError::Form),
            ("10.0.0.0/15", BlockError::TooLarge),
            ("0.0.0.0/0", BlockError::TooLarge),
            ("2001:db8::/64", BlockError::Ipv6),
        ] {
            assert_eq!(text.parse::<Block>(), Err(error), "{text}");
        }
        assert_eq!(addresses("224.0.1.0/30".parse().unwrap(), &[]), Err(BlockError::Form));
    }

    proptest! {
        #[test]
        fn a_block_has_the_hosts_that_it_says(bits: u32, prefix in 16u8..=32) {
            let first = Ipv4Addr::from_bits(bits & mask(prefix));
            let block: Block = format!("{first}/{prefix}").parse().unwrap();
            let hosts: Vec<_> = block.hosts().collect();
            let all = 1usize << (32 - prefix);
            prop_assert_eq!(hosts.len(), if all > 2 { all - 2 } else { all });
            prop_assert!(hosts.iter().all(|host| block.contains(*host)));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./]{0,24}") {
            let _ = text.parse::<Block>();
        }
    }
}
