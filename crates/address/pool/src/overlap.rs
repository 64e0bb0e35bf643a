//! What lies in what.

use lease::ExitAddress;

use crate::span::Span;

/// The pairs of one of `existing` and one of `new` that have an address in common without being the same: an address inside a prefix,
/// or a prefix inside another. What is in both as it is, is no overlap. Either may come in any order.
///
/// Takes n log n steps, and one for each pair: seventeen at most for each address or prefix, since leased prefixes have seventeen lengths.
#[must_use]
pub fn overlaps(existing: &[ExitAddress], new: &[ExitAddress]) -> Vec<(ExitAddress, ExitAddress)> {
    let known = existing.iter().map(|address| (*address, false));
    let all = known.chain(new.iter().map(|address| (*address, true))).collect();
    let mut pairs = Vec::new();
    nested(all, |(outer, outer_is_new), (inner, inner_is_new)| {
        if outer != inner && outer_is_new != inner_is_new {
            pairs.push(if inner_is_new { (outer, inner) } else { (inner, outer) });
        }
    });
    pairs.sort_unstable();
    pairs
}

/// Calls `found` with each two that overlap, the outer one first; of two that are the same, the one with the lower mark. Each is marked
/// as one of a few: what has the same address and mark counts once.
pub(crate) fn nested<M: Copy + Ord>(
    mut all: Vec<(ExitAddress, M)>,
    mut found: impl FnMut((ExitAddress, M), (ExitAddress, M)),
) {
    all.sort_unstable_by_key(|(address, mark)| (Span::from(*address).order(), *mark));
    all.dedup();
    // What the present one may lie in, the outermost first: blocks either lie in one another or have nothing in common.
    let mut open: Vec<(ExitAddress, M)> = Vec::new();
    for inner in all {
        let span = Span::from(inner.0);
        while open.last().is_some_and(|(outer, _)| Span::from(*outer).ends_before(&span)) {
            open.pop();
        }
        open.iter().for_each(|outer| found(*outer, inner));
        open.push(inner);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{block, exit, near};

    #[test]
    fn addresses_in_prefixes_and_prefixes_in_prefixes_overlap() {
        let existing = ["203.0.113.7", "2001:db8:1::/48", "2001:db8:2:2::5", "2001:db8:3::/64"];
        let new = [
            "203.0.113.7",
            "2001:db8:1:9::/64",
            "2001:db8:1:9::1",
            "2001:db8:2:2::/64",
            "2001:db8:3::/64",
            "2001:db8:4::/64",
        ];
        let found = overlaps(&existing.map(exit), &new.map(exit));
        let told: Vec<_> = found.iter().map(|(old, new)| format!("{old} {new}")).collect();
        assert_eq!(
            told,
            [
                "2001:db8:1::/48 2001:db8:1:9::/64",
                "2001:db8:1::/48 2001:db8:1:9::1",
                "2001:db8:2:2::5 2001:db8:2:2::/64",
            ]
        );
    }

    #[test]
    fn many_are_compared_at_once() {
        let mut existing: Vec<_> =
            (0..15).flat_map(|net| block(&format!("10.{net}.0.0/16")).addresses()).collect();
        existing.extend(block("2001:db8:1::/48").addresses());
        assert!(existing.len() > 1_000_000);
        let new = ["2001:db8:1:ffff::1", "2001:db8:2::/64", "10.16.0.1"].map(exit);
        assert_eq!(overlaps(&existing, &new), [(exit("2001:db8:1:ffff::/64"), new[0])]);
    }

    proptest! {
        #[test]
        fn every_pair_is_found(existing in btree_set(near(), 0..30), new in btree_set(near(), 0..30)) {
            let mut expected = BTreeSet::new();
            for old in &existing {
                let inside = |one: &&ExitAddress| old != *one && old.overlaps(one);
                expected.extend(new.iter().filter(inside).map(|one| (*old, *one)));
            }
            let (existing, new): (Vec<_>, Vec<_>) = (existing.into_iter().collect(), new.into_iter().collect());
            let expected: Vec<_> = expected.into_iter().collect();
            prop_assert_eq!(&overlaps(&existing, &new), &expected);
            let twice = [existing.clone(), existing].concat();
            prop_assert_eq!(overlaps(&twice, &new), expected);
        }
    }
}
