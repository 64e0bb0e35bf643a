//! The account number: 24 random decimal digits, in Mullvad's manner, and the customer's one secret.

use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const DIGITS: usize = 24;

/// Not 24 digits.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("an account number is 24 digits (spaces and hyphens between them don't matter)")]
pub struct ParseError;

/// An account number. Its 79 bits can't be guessed, even by whoever holds its plain hash. It is wiped on drop, has no `Debug`
/// and no equality.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountNumber([u8; DIGITS]);

impl AccountNumber {
    /// A fresh number, each digit uniform.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut digits = [0; DIGITS];
        for digit in &mut digits {
            // 250 is the largest multiple of ten in a byte: what is above would favour small digits.
            let byte = loop {
                let mut byte = [0];
                rng.fill_bytes(&mut byte);
                let [byte] = byte;
                if byte < 250 {
                    break byte;
                }
            };
            *digit = b'0' + byte % 10;
        }
        Self(digits)
    }

    /// The 24 digits as ASCII: what is hashed and sent.
    #[must_use]
    pub const fn digits(&self) -> &[u8; DIGITS] {
        &self.0
    }

    /// The digits without spaces.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().copied().map(char::from).collect())
    }

    /// The digits in groups of four, for people.
    #[must_use]
    pub fn grouped(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + DIGITS / 4));
        for (place, digit) in self.0.iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                text.push(' ');
            }
            text.push(char::from(*digit));
        }
        text
    }
}

impl FromStr for AccountNumber {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut digits = [0; DIGITS];
        let mut found = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-'));
        for digit in &mut digits {
            *digit = found.next().filter(u8::is_ascii_digit).ok_or(ParseError)?;
        }
        if found.next().is_some() {
            return Err(ParseError);
        }
        Ok(Self(digits))
    }
}

impl TryFrom<String> for AccountNumber {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        Zeroizing::new(text).parse()
    }
}

impl From<AccountNumber> for String {
    fn from(number: AccountNumber) -> Self {
        number.to_text().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_parse_with_and_without_groups() {
        let text = "0123 4567 8901-2345 6789 0123";
        let number: AccountNumber = text.parse().unwrap();
        assert_eq!(&*number.to_text(), "012345678901234567890123");
        assert_eq!(&*number.grouped(), "0123 4567 8901 2345 6789 0123");
        for wrong in ["", "1234", &"1".repeat(25), &"a".repeat(24), &"１".repeat(24)] {
            assert!(wrong.parse::<AccountNumber>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fresh_numbers_use_every_digit() {
        let mut seen = [0_u32; 10];
        for _ in 0..200 {
            for digit in AccountNumber::random(&mut coarse::system_rng()).digits() {
                seen[usize::from(digit - b'0')] += 1;
            }
        }
        // 4,800 digits, 480 expected of each, a standard deviation of 21: nine of them either way.
        assert!(seen.iter().all(|count| (290..670).contains(count)), "{seen:?}");
    }
}
