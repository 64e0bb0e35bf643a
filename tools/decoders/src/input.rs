//! Taking an input apart.

/// Splits a leading byte off; nothing of an empty input.
pub(crate) fn byte(input: &[u8]) -> Option<(u8, &[u8])> {
    input.split_first().map(|(first, rest)| (*first, rest))
}

/// The pieces of an input that is a row of `length (u16, big-endian) || bytes`; the last may be cut short.
pub(crate) fn pieces(mut input: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        input = after;
    }
    pieces
}

/// What [`pieces`] takes apart.
pub(crate) fn joined(pieces: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for piece in pieces {
        let length = u16::try_from(piece.len()).expect("a piece of 64 KiB at most");
        joined.extend(length.to_be_bytes());
        joined.extend_from_slice(piece);
    }
    joined
}

/// `first` in front of `rest`.
pub(crate) fn tagged(first: u8, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&[first], rest.as_ref()].concat()
}
