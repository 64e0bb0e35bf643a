//! A list's lines, held against each other.

use std::collections::BTreeMap;

use lease::ExitAddress;

use super::RowError;
use crate::lines::LineErrors;
use crate::overlap::nested;

/// Finds addresses that come again, and those that lie in others. Each comes with its line.
pub(super) fn compare(mut lines: Vec<(ExitAddress, usize)>, errors: &mut LineErrors<RowError>) {
    lines.sort_unstable();
    let mut repeated: BTreeMap<(usize, usize), (usize, ExitAddress)> = BTreeMap::new();
    lines.dedup_by(|again, first| {
        if again.0 == first.0 {
            repeated.entry((again.1, first.1)).or_insert((0, first.0)).0 += 1;
        }
        again.0 == first.0
    });
    for ((line, before), (count, first)) in repeated {
        errors.add(line, RowError::Repeated { count, first, before });
    }
    let mut overlapping: BTreeMap<(usize, usize), (usize, ExitAddress, ExitAddress)> =
        BTreeMap::new();
    nested(lines, |outer, inner| {
        let (other, this) = if outer.1 <= inner.1 { (outer, inner) } else { (inner, outer) };
        overlapping.entry((this.1, other.1)).or_insert((0, this.0, other.0)).0 += 1;
    });
    for ((line, other_line), (count, this, other)) in overlapping {
        errors.add(line, RowError::Overlap { this, other_line, other, count });
    }
}
