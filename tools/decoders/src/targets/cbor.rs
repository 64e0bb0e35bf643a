//! nitro's CBOR reader, against ciborium: what it reads has one encoding, and ciborium reads the same.

use ciborium::Value;
use nitro::cbor::{CborError, Open, Reader, Writer};

use crate::fixture::testdata_files;

/// Containers inside each other: more is left unread.
const DEEPEST: usize = 16;

/// Reads an item, all of it, and what was read.
pub(crate) fn check(input: &[u8]) {
    let mut reader = Reader::new(input);
    let mut written = Vec::new();
    if item(&mut reader, &mut written, DEEPEST).is_err() {
        return;
    }
    let used = input.len() - reader.remaining().len();
    assert_eq!(written, input[..used], "an item has one encoding");
    let oracle: Value = ciborium::from_reader(&input[..used]).expect("ciborium reads it, too");
    assert_same(&mut Reader::new(input), &oracle);
    let trailing = reader.remaining().len();
    assert_eq!(reader.finish().err(), (trailing > 0).then_some(CborError::Trailing(trailing)));
}

/// Reads whatever item is next and writes it again.
fn item(reader: &mut Reader<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), CborError> {
    let first = *reader.remaining().first().ok_or(CborError::Truncated)?;
    let before = reader.remaining().len();
    let mut writer = Writer::default();
    match first >> 5 {
        0 => writer.unsigned(reader.unsigned()?),
        2 => writer.bytes(reader.bytes()?),
        3 => writer.text(reader.text()?),
        kind @ (4 | 5) if depth > 0 => {
            let mut items = match kind {
                4 => reader.array(Open::Allowed)?,
                _ => reader.map(Open::Allowed)?,
            };
            let left = items.left();
            match left {
                Some(count) => out.extend(head(kind, count)),
                None => out.push(kind << 5 | 0x1f),
            }
            let mut seen = 0;
            while reader.more(&mut items)? {
                item(reader, out, depth - 1)?;
                if kind == 5 {
                    item(reader, out, depth - 1)?;
                }
                seen += 1;
            }
            match left {
                Some(count) => assert_eq!(seen, count, "as many as were announced"),
                None => out.push(0xff),
            }
        }
        _ if reader.null() => writer.null(),
        _ => {
            // What isn't null, nor of a type that is read, is refused as anything.
            assert!(reader.unsigned().is_err() && reader.bytes().is_err());
            return Err(reader.text().expect_err("no text either"));
        }
    }
    assert!(reader.remaining().len() < before, "an item takes at least a byte");
    out.extend(writer.finish());
    Ok(())
}

/// The head of a container, in its shortest form.
fn head(kind: u8, count: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    match kind {
        4 => writer.array(usize::try_from(count).expect("64 bits")),
        _ => writer.map(usize::try_from(count).expect("64 bits")),
    }
    writer.finish()
}

fn assert_same(reader: &mut Reader<'_>, oracle: &Value) {
    match oracle {
        Value::Integer(number) => {
            assert_eq!(reader.unsigned().map(i128::from), Ok(i128::from(*number)));
        }
        Value::Bytes(bytes) => assert_eq!(reader.bytes(), Ok(bytes.as_slice())),
        Value::Text(text) => assert_eq!(reader.text(), Ok(text.as_str())),
        Value::Null => assert!(reader.null()),
        Value::Array(all) => {
            let mut items = reader.array(Open::Allowed).expect("an array");
            for one in all {
                assert_eq!(reader.more(&mut items), Ok(true));
                assert_same(reader, one);
            }
            assert_eq!(reader.more(&mut items), Ok(false));
        }
        Value::Map(pairs) => {
            let mut items = reader.map(Open::Allowed).expect("a map");
            for (key, value) in pairs {
                assert_eq!(reader.more(&mut items), Ok(true));
                assert_same(reader, key);
                assert_same(reader, value);
            }
            assert_eq!(reader.more(&mut items), Ok(false));
        }
        other => panic!("ciborium reads {other:?}, which has no place here"),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "00",
        "17",
        "1818",
        "1903e8",
        "1a000f4240",
        "1bffffffffffffffff",
        "40",
        "4401020304",
        "60",
        "6449455446",
        "80",
        "83010203",
        "8301820203820405",
        "a0",
        "a201020304",
        "f6",
        "bf6161019f0203ffff",
        "9fff",
        "1817",
        "5f41074107ff",
        "d28043010203",
        "f97e00",
    ]
    .iter()
    .map(|text| hex::decode(text).expect("hex"))
    .collect();
    for document in testdata_files("nitro/real").into_iter().take(3) {
        let mut reader = Reader::new(&document);
        reader.tag(18);
        let mut parts = reader.array(Open::Refused).expect("an array of four");
        assert!(reader.more(&mut parts).is_ok() && reader.bytes().is_ok());
        assert!(reader.map(Open::Refused).is_ok());
        seeds.push(reader.bytes().expect("a payload").to_vec());
    }
    seeds
}
