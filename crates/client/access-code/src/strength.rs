//! Whether a text of one's own is hard to guess.
//!
//! zxcvbn estimates how many guesses somebody needs who knows how people choose. It copies what it looks at, and its copies
//! aren't wiped.

use std::fmt;

use zxcvbn::feedback::Warning;
use zxcvbn::zxcvbn;

/// Guesses that a code must withstand by that estimate, as a power of ten. Scores end at 10^10, which is too little here: whoever has both
/// the account's salt and the sealed backup guesses without asking anybody.
const GUESSES_LOG10: f64 = 12.0;

/// What everybody would try first.
const WORDS: [&str; 5] = ["cloakroom", "access code", "dedicated ip", "vpn", "backup"];

/// Why a text is easy to guess.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guessable(Option<Warning>);

impl Eq for Guessable {}

impl fmt::Display for Guessable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(warning) => warning.fmt(f)?,
            None => f.write_str("It has too few words or signs that nobody would expect.")?,
        }
        f.write_str(" Add a few uncommon words, or take a generated one")
    }
}

/// Refuses what is easy to guess.
pub(crate) fn check(text: &str) -> Result<(), Guessable> {
    let estimate = zxcvbn(text, &WORDS);
    if estimate.guesses_log10() >= GUESSES_LOG10 {
        return Ok(());
    }
    Err(Guessable(estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning)))
}
