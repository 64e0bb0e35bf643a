//! Geofeeds (RFC 8805): where a provider's blocks are, published for those who locate addresses.
//!
//! ```text
//! # A comment.
//! 203.0.113.0/24,DE,DE-BE,Berlin,
//! 2001:db8::/32,SG,,Singapore,
//! ```
//!
//! UTF-8, lines that end with CRLF, a field that has quotation marks stands in quotation marks (RFC 4180), the field for postal
//! codes is empty. The reader is stricter than the format: `#` begins a comment at the start of a line only, and each block has a country
//! and comes once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use csv::StringRecord;
use lease::{ExitAddress, Region};

use crate::aggregate::aggregate;
use crate::cidr::{Cidr, CidrError};
use crate::lines::{FormError, LineErrors, records, text, unquoted};
use crate::place::{Place, PlaceError};

/// Blocks and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geofeed(BTreeMap<Cidr, Place>);

/// A region that nobody has said the place of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "where is the region {0}? Say its country, and perhaps subdivision and city: DE,DE-BE,Berlin"
)]
pub struct NoPlace(pub Region);

/// What is wrong with a line of a geofeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The file has no lines that could be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// More fields than five, or fewer.
    #[error("a line has five fields, not {0}: block, country, subdivision, city, and an empty one")]
    Fields(usize),
    /// A quotation mark inside a field, or one without its partner.
    #[error("quotation marks stand around a whole field, and are doubled inside")]
    Quotes,
    /// What stands for the block is none.
    #[error(transparent)]
    Block(#[from] CidrError),
    /// What stands for the place is none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The fifth field isn't empty.
    #[error(
        "postal codes aren't published any more (RFC 8805 section 2.1.1.5): leave the fifth field empty"
    )]
    PostalCode,
    /// The block has a place already.
    #[error("{0} came before")]
    Repeated(Cidr),
}

impl Geofeed {
    /// Where these addresses are, in the fewest blocks: neighbours of two regions are one block when both regions are in one place.
    /// Give the whole pool, whatever is leased at present.
    ///
    /// # Errors
    /// [`NoPlace`] for a region with addresses that isn't in `places`.
    pub fn new<'a>(
        addresses: impl IntoIterator<Item = (ExitAddress, &'a Region)>,
        places: &BTreeMap<Region, Place>,
    ) -> Result<Self, NoPlace> {
        let mut there: BTreeMap<&Place, Vec<ExitAddress>> = BTreeMap::new();
        for (address, region) in addresses {
            let place = places.get(region).ok_or_else(|| NoPlace(region.clone()))?;
            there.entry(place).or_default().push(address);
        }
        let blocks = there.into_iter().flat_map(|(place, addresses)| {
            aggregate(addresses).into_iter().map(move |block| (block, place.clone()))
        });
        Ok(Self(blocks.collect()))
    }

    /// The blocks and their places, in order.
    pub fn entries(&self) -> impl Iterator<Item = (Cidr, &Place)> {
        self.0.iter().map(|(block, place)| (*block, place))
    }

    /// The feed as it is published; `comment`, if it isn't empty, stands before it.
    #[must_use]
    pub fn to_text(&self, comment: &str) -> String {
        let mut text = String::new();
        // A `String` takes everything. A lone carriage return in the comment would end its line for some readers.
        for line in comment.split(['\n', '\r']).filter(|line| !line.is_empty()) {
            let _ = write!(text, "# {line}\r\n");
        }
        for (block, place) in self.entries() {
            let (subdivision, city) = (place.subdivision(), place.city());
            let _ = write!(
                text,
                "{block},{},{},{},\r\n",
                place.country(),
                subdivision.unwrap_or_default(),
                quoted(city.unwrap_or_default())
            );
        }
        text
    }

    /// Reads a feed.
    ///
    /// # Errors
    /// Everything that is wrong, line by line.
    pub fn read(file: &[u8]) -> Result<Self, LineErrors<EntryError>> {
        let text = text(file).map_err(LineErrors::translated)?;
        let (mut feed, mut errors) = (BTreeMap::new(), LineErrors::default());
        for (line, record) in records(text) {
            match entry(&record) {
                Err(error) => errors.add(line, error),
                Ok((block, place)) => {
                    if feed.insert(block, place).is_some() {
                        errors.add(line, EntryError::Repeated(block));
                    }
                }
            }
        }
        errors.or(Self(feed))
    }
}

fn entry(record: &StringRecord) -> Result<(Cidr, Place), EntryError> {
    let fields: Option<Vec<String>> = record.iter().map(unquoted).collect();
    let fields = fields.ok_or(EntryError::Quotes)?;
    let [block, country, subdivision, city, postal_code] = fields.as_slice() else {
        return Err(EntryError::Fields(fields.len()));
    };
    if !postal_code.is_empty() {
        return Err(EntryError::PostalCode);
    }
    Ok((block.parse()?, Place::of(country, subdivision, city)?))
}

/// A field with quotation marks around it where it has some inside.
fn quoted(field: &str) -> String {
    if field.contains('"') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{block, near, region, texts};

    fn place(text: &str) -> Place {
        text.parse().unwrap()
    }

    #[test]
    fn a_feed_tells_the_whole_pool_in_few_blocks() {
        let (berlin, frankfurt, far) = (region("eu-1"), region("eu-2"), region("ap-1"));
        let places = BTreeMap::from([
            (berlin.clone(), place("DE,DE-BE,Berlin")),
            (frankfurt.clone(), place("DE,DE-BE,Berlin")),
            (far.clone(), place("SG,,\"Lion\" City")),
        ]);
        let at = |text: &str, region| block(text).addresses().map(move |one| (one, region));
        let addresses: Vec<_> = at("203.0.113.6/31", &berlin)
            .chain(at("203.0.113.4/31", &frankfurt))
            .chain(at("2001:db8:1::/48", &far))
            .chain(at("203.0.113.9", &far))
            .collect();
        let feed = Geofeed::new(addresses.iter().copied(), &places).unwrap();
        let text = feed.to_text("Cloakroom\r\nevery region");
        assert_eq!(
            text,
            "# Cloakroom\r\n# every region\r\n\
             203.0.113.4/30,DE,DE-BE,Berlin,\r\n\
             203.0.113.9/32,SG,,\"\"\"Lion\"\" City\",\r\n\
             2001:db8:1::/48,SG,,\"\"\"Lion\"\" City\",\r\n"
        );
        assert_eq!(Geofeed::read(text.as_bytes()), Ok(feed));
        let nowhere = region("eu-3");
        let asked = Geofeed::new([(addresses[0].0, &nowhere)], &places);
        assert_eq!(asked, Err(NoPlace(nowhere.clone())));
    }

    #[test]
    fn a_spoilt_feed_is_told_line_by_line() {
        let text = "\u{feff}# fine\r\n\
            203.0.113.0/24,DE,DE-BE,Berlin,\n\
            203.0.113.1/24,DE,,,\r\n\
            203.0.113.0/24,DE,DE-BE,Berlin,\r\n\
            \r\n\
            2001:db8::/32,DE,DE-BE,Berlin\r\n\
            2001:db8::/32,,,,\r\n\
            2001:db8::/32,DE,FR-75,,\r\n\
            2001:db8::/32,DE,,,10115\r\n\
            2001:db8::/32,DE,,\"Berlin,\r\n\
            2001:db8::/32,DE,,\"Berlin\",\r\n\
            2001:db8::/32 # late,DE,,,\r\n";
        let errors = Geofeed::read(text.as_bytes()).unwrap_err();
        let told: Vec<_> =
            errors.told.iter().map(|error| (error.line, error.problem.clone())).collect();
        let whole: Cidr = "203.0.113.0/24".parse().unwrap();
        assert_eq!(
            told,
            [
                (3, EntryError::Block(CidrError::Bits(whole))),
                (4, EntryError::Repeated(whole)),
                (6, EntryError::Fields(4)),
                (7, EntryError::Place(PlaceError::Country)),
                (8, EntryError::Place(PlaceError::Elsewhere)),
                (9, EntryError::PostalCode),
                (10, EntryError::Quotes),
                (12, EntryError::Block(CidrError::Form)),
            ]
        );
        assert_eq!(errors.left_out, 0);
        let wrong = Geofeed::read(b"a\xff").unwrap_err();
        assert_eq!(texts(wrong.told), ["line 1: the text is not UTF-8: save it as such"]);
    }

    proptest! {
        #[test]
        fn a_feed_is_read_as_it_is_written(
            entries in btree_map(near().prop_map(Cidr::from), "[a-z\" \u{e4}]{0,8}", 0..20),
            comment in "[ -~\r\n]{0,30}",
        ) {
            let entries = entries.into_iter().filter_map(|(block, city)| {
                Some((block, Place::of("DE", "", &city).ok()?))
            });
            let feed = Geofeed(entries.collect());
            let text = feed.to_text(&comment);
            prop_assert!(text.lines().all(|line| line.starts_with('#') || line.matches(',').count() == 4));
            prop_assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
            prop_assert_eq!(Geofeed::read(text.as_bytes()), Ok(feed));
        }
    }
}
