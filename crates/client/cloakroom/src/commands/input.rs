//! What is read from standard input, so that it stays out of the shell's history and of other users' sight.

use std::io::{IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::output::{Failure, note};

/// The most that is read.
const LONGEST: usize = 1024;

/// A secret: a line of a terminal, or all of what is piped in; without space at its ends.
pub(crate) fn secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let input = std::io::stdin();
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    let read = if input.is_terminal() {
        note(prompt);
        input.read_line(&mut text)
    } else {
        input.lock().take(LONGEST as u64).read_to_string(&mut text)
    };
    read.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
