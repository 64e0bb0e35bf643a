//! A set of addresses, told in as few blocks as there can be.

use lease::ExitAddress;

use crate::cidr::Cidr;
use crate::span::Span;

/// The fewest blocks that hold exactly these addresses and prefixes, IPv4 first, in order. Takes n log n steps.
#[must_use]
pub fn aggregate(addresses: impl IntoIterator<Item = ExitAddress>) -> Vec<Cidr> {
    let spans = addresses.into_iter().map(Span::from).collect();
    Span::merged(spans).into_iter().flat_map(Span::blocks).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{block, cidr, exit, near, texts};

    fn told(addresses: &[&str]) -> Vec<String> {
        texts(aggregate(addresses.iter().map(|text| exit(text))))
    }

    #[test]
    fn neighbours_become_blocks() {
        assert!(told(&[]).is_empty());
        assert_eq!(told(&["203.0.113.7"]), ["203.0.113.7/32"]);
        assert_eq!(told(&["203.0.113.8", "203.0.113.7"]), ["203.0.113.7/32", "203.0.113.8/32"]);
        assert_eq!(
            told(&["203.0.113.6", "203.0.113.7", "203.0.113.8", "203.0.113.9", "203.0.113.9"]),
            ["203.0.113.6/31", "203.0.113.8/31"]
        );
        assert_eq!(
            told(&["2001:db8:0:1::/64", "2001:db8::/64", "2001:db8:0:1::9", "10.0.0.1"]),
            ["10.0.0.1/32", "2001:db8::/63"]
        );
        // Families don't run into each other, and the last addresses of either are no special case.
        assert_eq!(told(&["255.255.255.254", "::1"]), ["255.255.255.254/32", "::1/128"]);
        assert_eq!(texts(Span::from(cidr("::/0")).blocks()), ["::/0"]);
        assert_eq!(texts(Span::from(cidr("0.0.0.0/0")).blocks()), ["0.0.0.0/0"]);
        assert_eq!(texts(Span::from(cidr("ffff::/16")).blocks()), ["ffff::/16"]);
    }

    #[test]
    fn a_carving_is_its_block_again() {
        let whole = block("2001:db8:8::/48").addresses();
        assert_eq!(texts(aggregate(whole)), ["2001:db8:8::/48"]);
        // Without network and broadcast address a /24 takes 14 blocks: two of each size but for the halves.
        let hosts = block("203.0.113.0/24").addresses();
        assert_eq!(aggregate(hosts).len(), 14);
    }

    proptest! {
        #[test]
        fn the_blocks_hold_exactly_the_set(set in vec(near(), 0..40), other in near()) {
            let blocks = aggregate(set.iter().copied());
            prop_assert!(blocks.is_sorted());
            for address in &set {
                let holding = blocks.iter().filter(|block| block.covers((*address).into()));
                prop_assert_eq!(holding.count(), 1);
            }
            // Each end of each block is in the set, and what is next to a block isn't.
            for block in &blocks {
                for end in [block.first(), block.last()] {
                    prop_assert!(set.iter().any(|address| address.contains(end)));
                }
            }
            let inside = blocks.iter().any(|block| block.contains(other.ip()));
            prop_assert_eq!(inside, set.iter().any(|address| address.contains(other.ip())));
        }

        #[test]
        fn no_two_blocks_could_be_one(set in vec(near(), 0..40)) {
            let blocks = aggregate(set);
            for pair in blocks.windows(2) {
                let [one, other] = pair else { unreachable!() };
                prop_assert!(!one.overlaps(*other));
                let whole = Cidr::holding(one.first(), one.length().saturating_sub(1));
                let halves = one.length() == other.length() && whole.covers(*other);
                prop_assert!(!halves || one.first().is_ipv4() != other.first().is_ipv4());
            }
        }
    }
}
