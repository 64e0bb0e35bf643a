//! The code itself: 20 symbols, or a text of one's own.
//!
//! A generated code is 16 random symbols of Crockford's base32 (80 bits) and 4 that check them, in groups of five:
//! `7K3QF-9XMRT-02ABC-DWQ2F`. It is read however it is written down: in small letters, with spaces, hyphens or nothing
//! between, with O for 0, I or L for 1. Everything of that form is a generated code or a mistyped one; a text of one's own has another form.

use aws_lc_rs::digest::{Context, SHA256};
use coarse::SecretText;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_public_assigned;
use zeroize::{Zeroize as _, Zeroizing};

use crate::strength::{self, Guessable};

/// Crockford's base32.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM: usize = 16;
const CHECK: usize = 4;
const LENGTH: usize = RANDOM + CHECK;
const GROUP: usize = 5;
const CHECK_LABEL: &[u8] = b"cloakroom v1 access code";

/// Characters of a text of one's own at least.
const SHORTEST: usize = 12;
/// Characters of a code at most, separators included.
pub const LONGEST: usize = 128;

/// An Access Code. It is wiped on drop, has no `Debug` and no equality.
#[derive(Clone)]
pub struct AccessCode {
    /// What is hashed: 20 symbols without separators, or a normalised text.
    canonical: SecretText,
    generated: bool,
}

/// Why a text of one's own isn't taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChosenError {
    /// Too few characters.
    #[error("an Access Code of your own has at least {SHORTEST} characters")]
    Short,
    /// Too many.
    #[error("an Access Code has at most {LONGEST} characters")]
    Long,
    /// Characters that another keyboard or program may not bring back.
    #[error("an Access Code has no control characters and none that Unicode doesn't know")]
    Character,
    /// It would be taken for a generated one.
    #[error(
        "20 letters and digits are the form of a generated Access Code; make yours longer or shorter"
    )]
    GeneratedForm,
    /// Too easy to guess.
    #[error("this Access Code is too easy to guess. {0}")]
    Guessable(Guessable),
}

/// Why what was entered is no Access Code.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnteredError {
    /// Nothing.
    #[error("there is no Access Code")]
    Nothing,
    /// More than any code.
    #[error("an Access Code has at most {LONGEST} characters")]
    Long,
    /// Characters that no code has.
    #[error("this is no Access Code: there are characters in it that none has")]
    Character,
    /// A generated code whose symbols don't fit together.
    #[error(
        "this Access Code is mistyped: its symbols don't fit together; compare it with what you wrote down"
    )]
    Mistyped,
}

impl AccessCode {
    /// A fresh code of 80 random bits.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; RANDOM]);
        rng.fill_bytes(&mut *bytes);
        // 32 divides 256: five bits of a byte are uniform.
        let random = Zeroizing::new(bytes.map(|byte| symbol(byte & 31)));
        let mut canonical = String::with_capacity(LENGTH);
        canonical.extend(random.iter().chain(&check(&random)).copied().map(char::from));
        Self { canonical: SecretText::new(canonical), generated: true }
    }

    /// A text of one's own as a code, if nobody is likely to guess it.
    ///
    /// # Errors
    /// [`ChosenError`], which says what is wrong.
    pub fn choose(text: &str) -> Result<Self, ChosenError> {
        let normalised = normalise(text).map_err(|error| match error {
            EnteredError::Long => ChosenError::Long,
            EnteredError::Nothing => ChosenError::Short,
            EnteredError::Character | EnteredError::Mistyped => ChosenError::Character,
        })?;
        if form_of_generated(&normalised).is_some() {
            return Err(ChosenError::GeneratedForm);
        }
        if normalised.chars().count() < SHORTEST {
            return Err(ChosenError::Short);
        }
        strength::check(&normalised).map_err(ChosenError::Guessable)?;
        Ok(Self { canonical: SecretText::new(normalised.to_string()), generated: false })
    }

    /// A code as somebody typed it who has one already. Whether it opens anything is another question.
    ///
    /// # Errors
    /// [`EnteredError`].
    pub fn enter(text: &str) -> Result<Self, EnteredError> {
        let normalised = normalise(text)?;
        let Some(mut symbols) = form_of_generated(&normalised) else {
            return Ok(Self {
                canonical: SecretText::new(normalised.to_string()),
                generated: false,
            });
        };
        let symbols = symbols.iter_mut().map(|one| read(*one)).collect::<Option<Vec<u8>>>();
        let symbols = Zeroizing::new(symbols.ok_or(EnteredError::Mistyped)?);
        let sound = symbols
            .split_first_chunk::<RANDOM>()
            .is_some_and(|(random, checked)| check(random).as_slice() == checked);
        if !sound {
            return Err(EnteredError::Mistyped);
        }
        let canonical = symbols.iter().copied().map(char::from).collect();
        Ok(Self { canonical: SecretText::new(canonical), generated: true })
    }

    /// The code for people: a generated one in groups of five.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let canonical = self.canonical.expose();
        if !self.generated {
            return Zeroizing::new(canonical.to_owned());
        }
        let mut text = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / GROUP));
        for (place, one) in canonical.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(one);
        }
        text
    }

    /// What is hashed.
    pub(crate) fn canonical(&self) -> &[u8] {
        self.canonical.expose().as_bytes()
    }
}

impl Serialize for AccessCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for AccessCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        Self::enter(&text).map_err(serde::de::Error::custom)
    }
}

/// NFKC (UAX #15), without space at the ends and with one space where there is any inside: what one writes down is what another
/// keyboard types. Characters that Unicode doesn't know could be normalised otherwise one day.
fn normalise(text: &str) -> Result<Zeroizing<String>, EnteredError> {
    if text.chars().take(LONGEST + 1).count() > LONGEST {
        return Err(EnteredError::Long);
    }
    // Room enough for most: a text that grows leaves copies behind.
    let mut compatible = Zeroizing::new(String::with_capacity(LONGEST * LONGEST));
    compatible.extend(text.nfkc());
    let mut normalised = Zeroizing::new(String::with_capacity(compatible.len()));
    for word in compatible.split_whitespace() {
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        normalised.push_str(word);
    }
    if normalised.is_empty() {
        return Err(EnteredError::Nothing);
    }
    if normalised.chars().any(|one| one.is_control() || !is_public_assigned(one)) {
        return Err(EnteredError::Character);
    }
    Ok(normalised)
}

/// The 20 letters and digits, if there is nothing else but separators.
fn form_of_generated(normalised: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(LENGTH));
    for one in normalised.chars().filter(|one| !is_separator(*one)) {
        if !one.is_ascii_alphanumeric() || symbols.len() == LENGTH {
            return None;
        }
        symbols.push(one.to_ascii_uppercase() as u8);
    }
    (symbols.len() == LENGTH).then_some(symbols)
}

/// Spaces, hyphens and dashes.
const fn is_separator(one: char) -> bool {
    matches!(one, ' ' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The symbol that somebody wrote as this letter or digit; nothing for U, which no code has.
fn read(written: u8) -> Option<u8> {
    let meant = match written {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    SYMBOLS.contains(&meant).then_some(meant)
}

/// The symbol of five bits.
fn symbol(bits: u8) -> u8 {
    SYMBOLS.get(usize::from(bits & 31)).copied().unwrap_or_default()
}

/// The symbols that check the others: the first 20 bits of a hash.
fn check(random: &[u8; RANDOM]) -> [u8; CHECK] {
    let mut hash = Context::new(&SHA256);
    hash.update(CHECK_LABEL);
    hash.update(random);
    let hash = hash.finish();
    let mut bits =
        hash.as_ref().iter().take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte)) >> 4;
    let mut symbols = [0; CHECK];
    for place in symbols.iter_mut().rev() {
        *place = symbol((bits & 31) as u8);
        bits >>= 5;
    }
    bits.zeroize();
    symbols
}

#[cfg(test)]
mod tests {
    use coarse::system_rng;
    use proptest::prelude::*;

    use super::*;

    /// That of `testdata/access-code`.
    const CODE: &str = "7K3QF-9XMRT-02ABC-DWQ2F";
    const OWN: &str = "seven quiet herons, none of them on Tuesday";

    fn canonical(text: &str) -> Result<String, EnteredError> {
        AccessCode::enter(text).map(|code| code.canonical.expose().to_owned())
    }

    #[test]
    fn a_generated_code_is_read_however_it_is_written() {
        let plain = canonical(CODE).unwrap();
        assert_eq!(*AccessCode::enter(&plain).unwrap().to_text(), *CODE);
        let worse = CODE.to_lowercase().replace('0', "o").replace('1', "l").replace('-', " ");
        let long = CODE.replace('0', "O").replace('1', "I").replace('-', " \u{2013} ");
        let wide: String =
            plain.chars().map(|one| char::from_u32(one as u32 + 0xfee0).unwrap()).collect();
        let spelt = plain.chars().map(String::from).collect::<Vec<_>>().join(" ");
        for text in [worse, long, wide, spelt, format!("\t{plain}\r\n")] {
            assert_eq!(canonical(&text).as_ref(), Ok(&plain), "{text}");
        }
    }

    #[test]
    fn a_mistyped_symbol_or_two_that_changed_places_are_noticed() {
        let plain = canonical(CODE).unwrap();
        let mut tried = 0;
        for place in 0..LENGTH {
            for other in (b'0'..=b'9').chain(b'A'..=b'Z') {
                let mut wrong = plain.clone().into_bytes();
                wrong[place] = other;
                let wrong = String::from_utf8(wrong).unwrap();
                if read(other) != Some(plain.as_bytes()[place]) {
                    assert_eq!(canonical(&wrong), Err(EnteredError::Mistyped), "{wrong}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 20 * 31);
        for place in 1..LENGTH {
            let mut wrong = plain.clone().into_bytes();
            wrong.swap(place - 1, place);
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(wrong == plain || canonical(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn generated_codes_use_every_symbol_and_differ() {
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..400 {
            let code = AccessCode::generate(&mut system_rng());
            assert_eq!(code.to_text().len(), 23);
            let text = code.to_text();
            assert_eq!(*AccessCode::enter(&text).unwrap().to_text(), *text);
            for symbol in code.canonical().iter().take(RANDOM) {
                *seen.entry(*symbol).or_insert(0) += 1;
            }
        }
        // 6,400 symbols, 200 expected of each, a standard deviation of 14: nine of them either way.
        assert_eq!(seen.len(), 32);
        assert!(seen.values().all(|count| (74..326).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_text_of_ones_own_is_one_text_on_every_keyboard() {
        let own = AccessCode::choose(OWN).unwrap();
        assert_eq!(own.canonical.expose(), OWN);
        // A ligature, a wide letter, a no-break space, a combining accent.
        let odd =
            AccessCode::choose("the \u{fb01}nch\u{a0}\u{ff57}ore  a be\u{301}ret in Ulm ").unwrap();
        assert_eq!(odd.canonical.expose(), "the finch wore a b\u{e9}ret in Ulm");
        assert_eq!(
            canonical("the finch wore a béret in Ulm").as_deref(),
            Ok(odd.canonical.expose())
        );
        assert_ne!(canonical(&OWN.to_uppercase()).unwrap(), OWN, "letters keep their case");
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        for (text, error) in [
            ("", ChosenError::Short),
            ("zK8%q!vT2m_", ChosenError::Short),
            (&"a b".repeat(50), ChosenError::Long),
            ("zK8%q!vT2m\u{7}_xx", ChosenError::Character),
            ("zK8%q!vT2m\u{378}_xx", ChosenError::Character),
            ("qzjvx wkmpt ghbcd efnru", ChosenError::GeneratedForm),
            (CODE, ChosenError::GeneratedForm),
        ] {
            assert_eq!(AccessCode::choose(text).map(|_| ()), Err(error), "{text:?}");
        }
        for (weak, word) in [
            ("passwordpassword", "repeats"),
            ("qwertyuiop12", "password"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa", "repeats"),
            ("christmas 2024", "uncommon"),
            ("cloakroom vpn", "uncommon"),
        ] {
            let refused = AccessCode::choose(weak).map(|_| ()).unwrap_err();
            let said = refused.to_string().to_lowercase();
            assert!(matches!(refused, ChosenError::Guessable(_)) && said.contains(word), "{said}");
            assert!(!said.contains(weak));
        }
    }

    #[test]
    fn what_is_entered_is_no_question_of_strength() {
        assert!(canonical("short").is_ok());
        assert_eq!(canonical(" \t"), Err(EnteredError::Nothing));
        assert_eq!(canonical(&"x".repeat(129)), Err(EnteredError::Long));
        assert_eq!(canonical("a\u{0}b"), Err(EnteredError::Character));
        assert_eq!(canonical("0123456789ABCDEFGHJU"), Err(EnteredError::Mistyped));
    }

    proptest! {
        #[test]
        fn any_writing_of_a_code_is_the_code(
            bits in proptest::array::uniform16(0_u8..32),
            small in proptest::collection::vec(any::<bool>(), LENGTH),
            between in proptest::collection::vec("[ \\-\u{2010}\u{2014}]{0,2}", LENGTH),
        ) {
            let random = bits.map(symbol);
            let code: Vec<u8> = random.iter().chain(&check(&random)).copied().collect();
            let plain = String::from_utf8(code.clone()).unwrap();
            let mut written = String::new();
            for ((symbol, small), between) in code.iter().zip(small).zip(between) {
                let symbol = match symbol {
                    b'0' if small => b'o',
                    b'1' if small => b'i',
                    other if small => other.to_ascii_lowercase(),
                    other => *other,
                };
                written.push(char::from(symbol));
                written.push_str(&between);
            }
            prop_assert_eq!(canonical(&written), Ok(plain));
        }

        #[test]
        fn whatever_is_entered_comes_back_as_it_is_shown(text in any::<String>()) {
            if let Ok(code) = AccessCode::enter(&text) {
                let again = AccessCode::enter(&code.to_text()).unwrap();
                prop_assert_eq!(again.canonical(), code.canonical());
            }
        }
    }
}
