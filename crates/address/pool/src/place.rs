//! Where addresses are, for those who locate them.

use std::fmt;
use std::str::FromStr;

/// The longest name of a city, in bytes.
const LONGEST_CITY: usize = 100;

/// A place as coarse as geofeeds tell it: a country, perhaps a part of it, perhaps a city. Written `DE`, `DE,DE-BE`,
/// `DE,DE-BE,Berlin` or `SG,,Singapore`. There are no postal codes: RFC 8805 (section 2.1.1.5) wants none any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    country: String,
    subdivision: Option<String>,
    city: Option<String>,
}

/// Why a text is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// More than three fields.
    #[error("a place is written as country,subdivision,city: DE,DE-BE,Berlin")]
    Form,
    /// No country has this code.
    #[error("a country is its code of two capital letters (ISO 3166-1 alpha-2): DE")]
    Country,
    /// Not the form of a subdivision's code.
    #[error(
        "a subdivision is its country's code, a hyphen, and 1 to 3 capital letters or digits (ISO 3166-2): DE-BE"
    )]
    Subdivision,
    /// A subdivision of another country.
    #[error("the subdivision is another country's")]
    Elsewhere,
    /// Not a city's name.
    #[error(
        "a city's name has 1 to 100 bytes, no commas, no '#', no control characters, and no space at its ends"
    )]
    City,
}

impl Place {
    /// The place with this country's code (ISO 3166-1 alpha-2), subdivision's code (ISO 3166-2) and city.
    ///
    /// # Errors
    /// [`PlaceError`]. Whether the country has such a subdivision isn't known here.
    pub fn new(
        country: &str,
        subdivision: Option<&str>,
        city: Option<&str>,
    ) -> Result<Self, PlaceError> {
        if country.len() != 2 || !COUNTRIES.split(' ').any(|code| code == country) {
            return Err(PlaceError::Country);
        }
        if let Some(subdivision) = subdivision {
            let (of, code) = subdivision.split_once('-').ok_or(PlaceError::Subdivision)?;
            let letters = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if !(1..=3).contains(&code.len()) || !code.bytes().all(letters) {
                return Err(PlaceError::Subdivision);
            }
            if of != country {
                return Err(PlaceError::Elsewhere);
            }
        }
        if city.is_some_and(|city| {
            city.is_empty()
                || city.len() > LONGEST_CITY
                || city.trim() != city
                || city.contains(|letter: char| letter.is_control() || matches!(letter, ',' | '#'))
        }) {
            return Err(PlaceError::City);
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self { country: country.to_owned(), subdivision: owned(subdivision), city: owned(city) })
    }

    /// The place with these texts, an empty one standing for none.
    pub(crate) fn of(country: &str, subdivision: &str, city: &str) -> Result<Self, PlaceError> {
        let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        Self::new(country, some(subdivision).as_deref(), some(city).as_deref())
    }

    /// The country's code.
    #[must_use]
    pub fn country(&self) -> &str {
        &self.country
    }

    /// The subdivision's code.
    #[must_use]
    pub fn subdivision(&self) -> Option<&str> {
        self.subdivision.as_deref()
    }

    /// The city's name.
    #[must_use]
    pub fn city(&self) -> Option<&str> {
        self.city.as_deref()
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let fields: Vec<&str> = text.split(',').collect();
        match fields.as_slice() {
            [country] => Self::new(country, None, None),
            [country, subdivision] => Self::new(country, Some(subdivision), None),
            [country, subdivision, city] => {
                Self::new(country, Some(*subdivision).filter(|text| !text.is_empty()), Some(city))
            }
            _ => Err(PlaceError::Form),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.country)?;
        match (&self.subdivision, &self.city) {
            (None, None) => Ok(()),
            (Some(subdivision), None) => write!(f, ",{subdivision}"),
            (None, Some(city)) => write!(f, ",,{city}"),
            (Some(subdivision), Some(city)) => write!(f, ",{subdivision},{city}"),
        }
    }
}

/// The codes that ISO 3166-1 assigns officially, as of 2026.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW \
BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG \
GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB \
LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA \
PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ \
TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["DE", "DE,DE-BE", "DE,DE-BE,Berlin", "SG,,Singapore", "GB,GB-ENG", "FR,FR-75C"]
        {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        let place: Place = "CH,CH-ZH,Z\u{fc}rich".parse().unwrap();
        assert_eq!(place.country(), "CH");
        assert_eq!((place.subdivision(), place.city()), (Some("CH-ZH"), Some("Z\u{fc}rich")));
    }

    #[test]
    fn other_texts_are_no_places() {
        let long = format!("DE,,{}", "a".repeat(101));
        for (text, error) in [
            ("", PlaceError::Country),
            ("de", PlaceError::Country),
            ("D ", PlaceError::Country),
            ("AD AE", PlaceError::Country),
            ("XX", PlaceError::Country),
            ("UK", PlaceError::Country),
            ("DEU", PlaceError::Country),
            ("DE,", PlaceError::Subdivision),
            ("DE,BE", PlaceError::Subdivision),
            ("DE,DE-", PlaceError::Subdivision),
            ("DE,DE-BEEE", PlaceError::Subdivision),
            ("DE,DE-be", PlaceError::Subdivision),
            ("DE,FR-75", PlaceError::Elsewhere),
            ("DE,,", PlaceError::City),
            ("DE,, Berlin", PlaceError::City),
            ("DE,,Berlin\n", PlaceError::City),
            ("DE,,Berlin #1", PlaceError::City),
            (&long, PlaceError::City),
            ("DE,DE-BE,Berlin,10115", PlaceError::Form),
        ] {
            assert_eq!(text.parse::<Place>(), Err(error), "{text}");
        }
        assert_eq!(Place::new("DE", None, Some("a,b")), Err(PlaceError::City));
        assert_eq!(COUNTRIES.split(' ').count(), 249);
    }

    proptest! {
        #[test]
        fn a_text_is_a_place_in_one_form(text in "(DE|FR|XX)?(,(DE-[A-Z]{0,4})?)?(,[a-z \"#]{0,6})?") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string(), text);
            }
        }
    }
}
