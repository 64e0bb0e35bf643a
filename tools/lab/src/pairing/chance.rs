//! Better than chance, or not.
//!
//! When the two sides' orders have nothing to do with each other, naming m pairs among n persons is
//! right m/n times on average: once, when everybody is paired. The number of hits has factorial moments
//! `E[X(X-1)..(X-j+1)] = m(m-1)..(m-j+1) / n(n-1)..(n-j+1) <= (m/n)^j`, so its generating function
//! is at most a Poisson variable's of mean m/n at every point from 1 up, and so is that of a sum over
//! independent runs. Chernoff's bound for a Poisson variable of mean L therefore holds for the sum:
//! `P(X >= a) <= exp(a - L) (L/a)^a` for a > L. With S strategies each gets 1/S of the level
//! (Bonferroni), however they hang together.

use std::collections::BTreeMap;

use super::Guess;

/// How probable a false alarm may be, over all strategies together.
const LEVEL: f64 = 1e-6;

/// The hits of each strategy over several runs, each run with fresh persons.
#[derive(Clone, Debug)]
pub struct Tally {
    persons: usize,
    runs: usize,
    /// Pairs named, and right, by strategy.
    strategies: BTreeMap<String, (usize, usize)>,
}

/// How one strategy did over all runs.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub strategy: String,
    /// Pairs that it got right.
    pub correct: usize,
    /// Pairs that chance gets right on average.
    pub by_chance: f64,
    /// At most so probable is it to get so many right by chance.
    pub probability: f64,
}

impl Tally {
    /// No runs yet; each will have `persons` persons.
    #[must_use]
    pub const fn new(persons: usize) -> Self {
        Self { persons, runs: 0, strategies: BTreeMap::new() }
    }

    /// Counts one run in.
    pub fn add(&mut self, guesses: Vec<Guess>) {
        self.runs += 1;
        for guess in guesses {
            let (named, correct) = self.strategies.entry(guess.strategy).or_default();
            *named += guess.named;
            *correct += guess.correct;
        }
    }

    /// Runs counted so far.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// Strategies tried so far. None at all means that the thief found nobody on one of the sides.
    #[must_use]
    pub fn strategies(&self) -> usize {
        self.strategies.len()
    }

    /// Every strategy, the most suspicious first.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |(strategy, (named, correct)): (&String, &(usize, usize))| {
            let by_chance = float(*named) / float(self.persons.max(1));
            Outcome {
                strategy: strategy.clone(),
                correct: *correct,
                by_chance,
                probability: chernoff(float(*correct), by_chance),
            }
        };
        let mut outcomes: Vec<Outcome> = self.strategies.iter().map(outcome).collect();
        outcomes.sort_by(|one, other| one.probability.total_cmp(&other.probability));
        outcomes
    }

    /// The strategies that beat chance: none of them does, in a system that hides its order, but in one
    /// audit out of a million.
    #[must_use]
    pub fn beats_chance(&self) -> Vec<Outcome> {
        let level = LEVEL / float(self.strategies().max(1));
        let mut outcomes = self.outcomes();
        outcomes.retain(|outcome| outcome.probability < level);
        outcomes
    }

    /// Whether runs and persons suffice for a strategy that is always right to show.
    #[must_use]
    pub fn could_tell(&self) -> bool {
        let (runs, level) = (float(self.runs), LEVEL / float(self.strategies().max(1)));
        chernoff(runs * float(self.persons), runs) < level
    }
}

/// `P(X >= hits)` at most, for a sum of mean `mean`.
fn chernoff(hits: f64, mean: f64) -> f64 {
    if hits <= mean { 1.0 } else { (hits - mean + hits * (mean / hits).ln()).exp() }
}

/// Counts here are far below the 2^32 that a float holds exactly.
fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P(X >= hits)` for one random pairing of `persons` persons, counted out.
    fn exact(persons: usize, hits: usize) -> f64 {
        fn arrangements(left: &mut Vec<usize>, at: usize, fixed: usize, counts: &mut [f64]) {
            if at == left.len() {
                counts[fixed] += 1.0;
                return;
            }
            for other in at..left.len() {
                left.swap(at, other);
                arrangements(left, at + 1, fixed + usize::from(left[at] == at), counts);
                left.swap(at, other);
            }
        }
        let mut counts = vec![0.0; persons + 1];
        arrangements(&mut (0..persons).collect(), 0, 0, &mut counts);
        counts[hits..].iter().sum::<f64>() / counts.iter().sum::<f64>()
    }

    #[test]
    fn the_bound_holds() {
        for persons in 2..=7 {
            for hits in 0..=persons {
                assert!(
                    exact(persons, hits) <= chernoff(float(hits), 1.0) + 1e-12,
                    "{persons} {hits}"
                );
            }
        }
        assert!((chernoff(4.0, 1.0) - 3f64.exp() / 256.0).abs() < 1e-12);
    }

    fn tally(runs: usize, correct: usize) -> Tally {
        let mut tally = Tally::new(8);
        for _ in 0..runs {
            tally.add(vec![Guess { strategy: "s".to_owned(), named: 8, correct }]);
        }
        tally
    }

    #[test]
    fn a_winner_is_named_and_a_guesser_is_not() {
        assert!(tally(20, 1).beats_chance().is_empty());
        assert_eq!(tally(20, 8).beats_chance().len(), 1);
        assert_eq!(tally(20, 4).beats_chance().len(), 1, "half is far too much");
    }

    #[test]
    fn one_pair_that_is_always_right_is_too_many() {
        let mut tally = Tally::new(8);
        for _ in 0..20 {
            tally.add(vec![Guess { strategy: "last".to_owned(), named: 1, correct: 1 }]);
        }
        assert_eq!(tally.beats_chance().len(), 1);
    }

    #[test]
    fn too_few_runs_are_known_as_such() {
        assert!(!tally(1, 8).could_tell());
        assert!(tally(3, 8).could_tell());
    }
}
