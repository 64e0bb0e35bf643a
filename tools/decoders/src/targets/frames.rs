//! The enclave's frames, against a model, whole and in pieces.
//!
//! Input: which family of messages, a seed for the sizes of the pieces, then a stream.

use std::io::{self, Read};

use wire::frame::{LONGEST, Message, body_length};
use wire::{module, parent};

use crate::input::byte;

/// Reads the stream's frames.
pub(crate) fn check(input: &[u8]) {
    let Some((family, rest)) = byte(input) else { return };
    let Some((seed, stream)) = byte(rest) else { return };
    match family % 4 {
        0 => {
            let kinds = [(1, List(2)), (2, Just(1)), (3, Just(2)), (4, Just(2)), (5, Just(0))];
            stream_of::<parent::Request>(seed, stream, &kinds);
        }
        1 => {
            let mut kinds = vec![(129, Just(2)), (130, List(3)), (131, Just(2)), (132, Just(1))];
            kinds.push((133, Just(2)));
            kinds.extend((192..199).map(|failure| (failure, Just(0))));
            stream_of::<parent::Answer>(seed, stream, &kinds);
        }
        2 => {
            let kinds = [(1, Just(3)), (2, Just(1)), (3, Just(1))];
            stream_of::<module::Request>(seed, stream, &kinds);
        }
        _ => {
            let kinds = [(129, Just(1)), (130, Just(1)), (131, Just(1)), (192, Just(0))];
            stream_of::<module::Answer>(seed, stream, &kinds);
        }
    }
}

/// How many fields a kind has.
#[derive(Clone, Copy)]
enum Fields {
    /// So many.
    Just(usize),
    /// So many, and a list after them.
    List(usize),
}
use Fields::{Just, List};

/// Each frame reads the same whole, in pieces and by the model; `kinds` is the list of what is read at all, and how
/// many fields each has.
fn stream_of<M: Message + PartialEq + std::fmt::Debug>(
    seed: u8,
    stream: &[u8],
    kinds: &[(u8, Fields)],
) {
    let mut whole = stream;
    let mut pieces = Pieces { rest: stream, state: seed.into() };
    loop {
        let before = whole;
        let read = M::read_from(&mut whole);
        let again = M::read_from(&mut pieces);
        let model = model(before, kinds);
        match (read, again) {
            (Ok(None), Ok(None)) => return assert!(before.is_empty()),
            (Ok(Some(one)), Ok(Some(other))) => {
                assert_eq!(one, other, "in pieces it says the same");
                let used = before.len() - whole.len();
                assert_eq!(model, Some(used), "the model knows it, too");
                assert_eq!(one.encode().as_deref(), Ok(&before[..used]), "a frame has one form");
                assert!(used <= 4 + LONGEST);
                assert_eq!(M::decode(&before[4..used]), Ok(one));
            }
            (Err(one), Err(other)) => {
                assert_eq!(model, None, "the model would take it");
                return assert_eq!(one.kind(), other.kind());
            }
            (one, other) => panic!("{one:?} whole, {other:?} in pieces"),
        }
    }
}

/// The length of a good frame in front of a stream.
fn model(stream: &[u8], kinds: &[(u8, Fields)]) -> Option<usize> {
    let prefix: [u8; 4] = stream.get(..4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_be_bytes(prefix)).ok()?;
    assert_eq!(body_length(prefix).is_ok(), (1..=65_536).contains(&length));
    let body = stream.get(4..4 + length.min(65_537))?;
    let fields = kinds.iter().find(|(kind, _)| Some(kind) == body.first())?.1;
    let (Just(fewest) | List(fewest)) = fields;
    let (mut at, mut count) = (1, 0);
    while count < fewest || (matches!(fields, List(_)) && at < body.len()) {
        count += 1;
        let length = u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?);
        at = at.checked_add(4)?.checked_add(usize::try_from(length).ok()?)?;
    }
    (at == body.len() && length <= 65_536).then_some(4 + length)
}

/// A stream that comes in small pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    state: u32,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = 1 + (self.state >> 24) as usize % 17;
        let size = size.min(buffer.len()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.rest = rest;
        Ok(size)
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let short = |text: &str| text.as_bytes().to_vec();
    let requests = [
        parent::Request::Boot {
            configuration: short("{}"),
            wrapped_key: vec![],
            former_keys: vec![vec![2; 60]],
        },
        parent::Request::Attest { nonce: vec![1; 32] },
        parent::Request::Generate { order: short("a.b.c"), sealed: vec![7; 80] },
        parent::Request::Refresh { order: short("a.b.c"), sealed: vec![8; 80] },
        parent::Request::NewKey,
    ];
    let answers = [
        parent::Answer::Booted { wrapped_key: vec![1; 60], public_key: vec![3; 32] },
        parent::Answer::Attested {
            document: vec![2; 40],
            configuration: short("{}"),
            minting_key: vec![3; 32],
            former_keys: vec![vec![4; 32]],
        },
        parent::Answer::Granted { grant: short("a.b.c"), sealed: vec![4; 50] },
        parent::Answer::Refused { sealed: vec![5; 50] },
        parent::Answer::Key { wrapped_key: vec![1; 60], public_key: vec![3; 32] },
        parent::Answer::Failed(parent::Failure::Order),
    ];
    let asked = [
        module::Request::Attest { public_key: vec![1; 32], user_data: vec![2; 32], nonce: vec![] },
        module::Request::Wrap { secret: vec![3; 32].into() },
        module::Request::Unwrap { wrapped: vec![4; 60] },
    ];
    let told = [
        module::Answer::Document(vec![1; 50]),
        module::Answer::Secret(vec![3; 32].into()),
        module::Answer::Refused,
    ];
    let mut seeds = Vec::new();
    let all = |family: u8, frames: Vec<Vec<u8>>, seeds: &mut Vec<Vec<u8>>| {
        for frame in &frames {
            seeds.push([&[family, 0], frame.as_slice()].concat());
        }
        seeds.push([&[family, 5], frames.concat().as_slice()].concat());
    };
    all(0, encoded(&requests), &mut seeds);
    all(1, encoded(&answers), &mut seeds);
    all(2, encoded(&asked), &mut seeds);
    all(3, encoded(&told), &mut seeds);
    seeds.push([&[0, 0][..], &[0xff; 8]].concat());
    // A field too many, and a field too few.
    seeds.push([&[0, 0][..], &[0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0]].concat());
    seeds.push([&[0, 0][..], &[0, 0, 0, 5, 3, 0, 0, 0, 0]].concat());
    seeds
}

fn encoded(messages: &[impl Message]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| message.encode().expect("it is short")).collect()
}
