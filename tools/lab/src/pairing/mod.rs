//! The pairing attack: a thief has both sides' disks and no key to join them, and tries by order.
//!
//! Whoever came first to the identity side also came first, roughly, to the address side. So an order
//! of arrival that can be read back on both sides pairs subscriptions with leases, whatever the rows
//! say. [`observe()`] reads every ordering of the persons that a side's files give away, [`guess`]
//! pairs the two sides by rank in every way, and a [`Tally`] of several runs says whether any way
//! does better than chance.

mod chance;
mod observe;

pub use chance::{Outcome, Tally};
pub use observe::{Ordering, observe};

/// One way of pairing by rank, and how well it did.
#[derive(Clone, Debug)]
pub struct Guess {
    /// Which ordering of either side, and the direction.
    pub strategy: String,
    /// Pairs that it named.
    pub named: usize,
    /// How many of those were right.
    pub correct: usize,
}

/// Pairs the `identity` side with the `address` side by each pair of orderings: the first with the first, the
/// last with the last (another thing when one side shows fewer persons), and the first with the last.
#[must_use]
pub fn guess(identity: &[Ordering], address: &[Ordering]) -> Vec<Guess> {
    let mut guesses = Vec::new();
    for left in identity {
        for right in address {
            let backwards = || right.persons.iter().rev();
            let ways = [
                ("first with first", count(left.persons.iter().zip(&right.persons))),
                ("last with last", count(left.persons.iter().rev().zip(backwards()))),
                ("first with last", count(left.persons.iter().zip(backwards()))),
                ("last with first", count(left.persons.iter().rev().zip(&right.persons))),
            ];
            for (way, (named, correct)) in ways {
                let strategy = format!("{} = {}, {way}", left.source, right.source);
                guesses.push(Guess { strategy, named, correct });
            }
        }
    }
    guesses
}

/// Pairs named, and pairs right.
fn count<'a>(pairs: impl Iterator<Item = (&'a usize, &'a usize)>) -> (usize, usize) {
    pairs.fold((0, 0), |(named, correct), (left, right)| {
        (named + 1, correct + usize::from(left == right))
    })
}

#[cfg(test)]
mod tests;
