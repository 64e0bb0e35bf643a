//! The one layout of a page (SQLite's file format, section 1.6 "B-tree Pages").
//!
//! SQLite puts a new cell where there is room, from the page's end towards its start in order of arrival, and
//! leaves gaps where cells were. Here the same cells lie in the order of their keys, without gaps, and all
//! that isn't a cell is zero: the bytes follow from which rows are on the page, and from nothing else.

/// A page's type says how its cells are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    IndexInterior,
    TableInterior,
    IndexLeaf,
    TableLeaf,
}

/// A page that says it is part of a tree and isn't built like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misshapen;

/// `page` in the one layout; `None` when it is no page of a tree: of what is longer than a page, or free.
///
/// Such pages begin with the number of the next, which is below [`MOST_PAGES`]: their first byte is none of
/// a tree's. The first page of a file, whose tree begins after the file's header, must not be given.
pub(crate) fn canonical(page: &[u8]) -> Result<Option<Vec<u8>>, Misshapen> {
    let kind = match page.first() {
        Some(0x02) => Kind::IndexInterior,
        Some(0x05) => Kind::TableInterior,
        Some(0x0a) => Kind::IndexLeaf,
        Some(0x0d) => Kind::TableLeaf,
        _ => return Ok(None),
    };
    lay_out(page, kind).map(Some).ok_or(Misshapen)
}

/// How many pages a file may have, so that the first byte of a page number is 0 or 1.
pub(crate) const MOST_PAGES: u32 = (2 << 24) - 1;

fn lay_out(page: &[u8], kind: Kind) -> Option<Vec<u8>> {
    let header = if matches!(kind, Kind::IndexInterior | Kind::TableInterior) { 12 } else { 8 };
    let cells = usize::from(u16_at(page, 3)?);
    let pointers = page.get(header..header + 2 * cells)?;
    let mut laid = vec![0; page.len()];
    put(&mut laid, 0, page.get(..header)?)?;
    let mut end = page.len();
    for (number, pointer) in pointers.as_chunks::<2>().0.iter().enumerate() {
        let from = page.get(usize::from(u16::from_be_bytes(*pointer))..)?;
        let cell = from.get(..size_of_cell(from, kind, page.len())?)?;
        end = end.checked_sub(cell.len())?;
        if end < header + pointers.len() {
            return None;
        }
        put(&mut laid, end, cell)?;
        put(&mut laid, header + 2 * number, &u16::try_from(end).ok()?.to_be_bytes())?;
    }
    // No gap to reuse, cells from `end` on (65,536 is written as 0), and no lost bytes between them.
    put(&mut laid, 1, &[0, 0])?;
    put(&mut laid, 5, &u16::try_from(end).unwrap_or(0).to_be_bytes())?;
    put(&mut laid, 7, &[0])?;
    Some(laid)
}

/// How many bytes a cell takes on its page, which has `usable` in all.
fn size_of_cell(cell: &[u8], kind: Kind, usable: usize) -> Option<usize> {
    let child = if matches!(kind, Kind::IndexInterior | Kind::TableInterior) { 4 } else { 0 };
    let (payload, length) = varint(cell.get(child..)?)?;
    let before = child + length;
    if kind == Kind::TableInterior {
        // The number was a row id; there is nothing more.
        return Some(before);
    }
    let before = match kind {
        Kind::TableLeaf => before + varint(cell.get(before..)?)?.1,
        _ => before,
    };
    let payload = usize::try_from(payload).ok()?;
    let most = if kind == Kind::TableLeaf { usable - 35 } else { (usable - 12) * 64 / 255 - 23 };
    if payload <= most {
        return Some((before + payload).max(4));
    }
    // The rest lies on pages of its own; four bytes say where.
    let least = (usable - 12) * 32 / 255 - 23;
    let fitting = least + (payload - least) % (usable - 4);
    let local = if fitting <= most { fitting } else { least };
    Some(before + local + 4)
}

/// A big-endian number in groups of seven bits, the ninth byte whole; and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(8) {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    to.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf of an index with these cells (a length of one byte, then so many bytes) at these places.
    fn leaf(cells: &[(usize, &[u8])]) -> Vec<u8> {
        let mut page = vec![0x0a, 0, 9, 0, cells.len() as u8, 0, 0, 3];
        page.extend(cells.iter().flat_map(|(at, _)| (*at as u16).to_be_bytes()));
        page.resize(512, 0xee);
        for (at, cell) in cells {
            page[*at..at + cell.len()].copy_from_slice(cell);
        }
        page
    }

    #[test]
    fn cells_lie_in_the_order_of_their_keys_and_nothing_else_is_there() {
        let page = leaf(&[(100, &[3, 1, 1, 1]), (300, &[4, 2, 2, 2, 2]), (200, &[3, 3, 3, 3])]);
        let laid = canonical(&page).unwrap().unwrap();
        assert_eq!(laid[..8], [0x0a, 0, 0, 0, 3, 1, 0xf3, 0]);
        assert_eq!(laid[8..14], [1, 0xfc, 1, 0xf7, 1, 0xf3]);
        assert!(laid[14..0x1f3].iter().all(|byte| *byte == 0));
        assert_eq!(laid[0x1f3..], [3, 3, 3, 3, 4, 2, 2, 2, 2, 3, 1, 1, 1]);
        assert_eq!(canonical(&laid), Ok(Some(laid.clone())), "it is laid out already");
    }

    #[test]
    fn the_smallest_cell_takes_four_bytes() {
        let laid = canonical(&leaf(&[(100, &[1, 7, 0, 0])])).unwrap().unwrap();
        assert_eq!(laid[508..], [1, 7, 0, 0]);
    }

    #[test]
    fn pages_of_no_tree_are_left_alone() {
        for first in [0, 1, 3, 0x0b] {
            assert_eq!(canonical(&[&[first][..], &[9; 511]].concat()), Ok(None));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for at in [509, 511] {
            assert_eq!(canonical(&leaf(&[(at, &[])])), Err(Misshapen));
        }
        let mut many = leaf(&[]);
        many[3..5].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(canonical(&many), Err(Misshapen));
        let twice: Vec<(usize, &[u8])> = vec![(400, &[99]); 6];
        assert_eq!(canonical(&leaf(&twice)), Err(Misshapen), "more than a page holds");
        assert_eq!(canonical(&[0x0a]), Err(Misshapen));
    }

    #[test]
    fn numbers_have_up_to_nine_bytes() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0xff; 8]), None);
    }
}
