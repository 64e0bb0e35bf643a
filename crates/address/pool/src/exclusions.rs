//! What is left out of imports.

use lease::ExitAddress;

use crate::cidr::Cidr;
use crate::span::Span;

/// Addresses and blocks of any size that nobody gets. A lease that has any of them is left out as a whole: an excluded address
/// excludes the prefix that it lies in.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(Vec<Span>);

impl Exclusions {
    /// Excludes these blocks.
    #[must_use]
    pub fn new(blocks: impl IntoIterator<Item = Cidr>) -> Self {
        Self(Span::merged(blocks.into_iter().map(Span::from).collect()))
    }

    /// Whether `address` is excluded, or has something that is. Takes log n steps.
    #[must_use]
    pub fn exclude(&self, address: ExitAddress) -> bool {
        let span = Span::from(address);
        let next = self.0.partition_point(|excluded| excluded.ends_before(&span));
        self.0.get(next).is_some_and(|excluded| excluded.overlaps(&span))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{cidr, exit, near};

    #[test]
    fn an_address_excludes_its_prefix() {
        let excluded = Exclusions::new(["2001:db8:0:1::53", "192.0.2.0/24"].map(cidr));
        assert!(excluded.exclude(exit("2001:db8:0:1::/64")));
        assert!(excluded.exclude(exit("2001:db8:0:1::53")));
        assert!(!excluded.exclude(exit("2001:db8:0:1::54")));
        assert!(!excluded.exclude(exit("2001:db8:0:2::/64")));
        assert!(excluded.exclude(exit("192.0.2.255")));
        assert!(!excluded.exclude(exit("192.0.3.0")));
        assert!(!Exclusions::default().exclude(exit("192.0.2.1")));
    }

    proptest! {
        #[test]
        fn what_overlaps_is_excluded_and_nothing_else(
            blocks in vec(near().prop_map(Cidr::from), 0..12),
            address in near(),
        ) {
            let excluded = Exclusions::new(blocks.iter().copied());
            let overlaps = blocks.iter().any(|block| block.overlaps(address.into()));
            prop_assert_eq!(excluded.exclude(address), overlaps);
        }
    }
}
