//! Images: the bytes, the measurements, and what isn't taken for one.

use proptest::prelude::*;

use super::*;

fn image() -> Image {
    Image {
        kernel: b"a kernel".to_vec(),
        command_line: "reboot=k panic=-1".into(),
        ramdisks: vec![b"boots".to_vec(), b"the application".to_vec()],
        metadata: b"{}".to_vec(),
    }
}

/// As [`image`], with one part changed by one bit or byte.
fn changed(change: impl FnOnce(&mut Image)) -> Measurements {
    let mut image = image();
    change(&mut image);
    image.measurements()
}

/// Which of PCR0, PCR1 and PCR2 are not those of [`image`].
fn differ(other: Measurements) -> [bool; 3] {
    let Measurements { pcr0, pcr1, pcr2 } = image().measurements();
    [pcr0 != other.pcr0, pcr1 != other.pcr1, pcr2 != other.pcr2]
}

#[test]
fn each_part_is_in_its_registers() {
    assert_eq!(differ(changed(|_| ())), [false; 3]);
    assert_eq!(differ(changed(|image| image.kernel[3] ^= 1)), [true, true, false]);
    assert_eq!(differ(changed(|image| image.command_line.push(' '))), [true, true, false]);
    assert_eq!(differ(changed(|image| image.ramdisks[0][0] ^= 1)), [true, true, false]);
    assert_eq!(differ(changed(|image| image.ramdisks[1][0] ^= 1)), [true, false, true]);
    assert_eq!(differ(changed(|image| image.ramdisks.push(vec![0]))), [true, false, true]);
    assert_eq!(differ(changed(|image| image.metadata.clear())), [false; 3]);
}

/// Measured by `describe-eif`'s code in AWS's aws-nitro-enclaves-image-format 0.8.1, from the file that `encode` gives; and the same
/// by its builder from the parts.
#[test]
fn it_measures_what_aws_measures() {
    let Measurements { pcr0, pcr1, pcr2 } = image().measurements();
    assert_eq!(hex::encode(pcr0), include_str!("../testdata/pcr0").trim());
    assert_eq!(hex::encode(pcr1), include_str!("../testdata/pcr1").trim());
    assert_eq!(hex::encode(pcr2), include_str!("../testdata/pcr2").trim());
}

/// The file that the same crate's builder made of the parts.
#[test]
fn it_writes_what_aws_writes() {
    let theirs = include_bytes!("../testdata/built-by-aws.eif");
    let read = Image::decode(theirs).unwrap();
    assert_eq!(Image { metadata: b"{}".to_vec(), ..read.clone() }, image());
    assert_eq!(read.encode().unwrap(), theirs);
}

#[test]
fn an_image_is_read_as_it_was_written() {
    let written = image().encode().unwrap();
    assert_eq!(Image::decode(&written), Ok(image()));
    assert_eq!(image().encode().unwrap(), written);
    let none = Image { ramdisks: vec![], ..image() };
    assert_eq!(Image::decode(&none.encode().unwrap()), Ok(none));
}

#[test]
fn a_header_has_room_for_29_ramdisks() {
    let ramdisks = |count| Image { ramdisks: vec![b"x".to_vec(); count], ..image() }.encode();
    assert!(Image::decode(&ramdisks(29).unwrap()).is_ok());
    assert_eq!(ramdisks(30), Err(ImageError::Sections));
}

#[test]
fn no_bit_can_be_changed() {
    let file = image().encode().unwrap();
    for at in 0..file.len() * 8 {
        let mut spoilt = file.clone();
        spoilt[at / 8] ^= 1 << (at % 8);
        // The default memory and CPUs are under the checksum, too.
        assert!(Image::decode(&spoilt).is_err(), "bit {at}");
    }
}

/// The bytes, with a checksum that is right.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    let crc = write::checksum(&file[..HEADER - 4], &file[HEADER..]);
    file[HEADER - 4..HEADER].copy_from_slice(&crc.to_be_bytes());
    file
}

#[test]
fn what_does_not_add_up_is_refused_though_the_checksum_is_right() {
    let file = image().encode().unwrap();
    assert_eq!(resealed(file.clone()), file);
    let spoil = |at: usize, to: u8| {
        let mut spoilt = file.clone();
        assert_ne!(spoilt[at], to, "{at}");
        spoilt[at] = to;
        Image::decode(&resealed(spoilt)).unwrap_err()
    };
    let (offsets, sizes) = (28, 28 + 8 * SECTIONS);
    assert_eq!(spoil(5, 3), ImageError::Kind, "version");
    assert_eq!(spoil(7, 1), ImageError::Kind, "another machine");
    assert_eq!(spoil(25, 1), ImageError::Header, "reserved");
    assert_eq!(spoil(27, 4), ImageError::Header, "a section too few");
    assert_eq!(spoil(27, 6), ImageError::Header, "a section too many");
    assert_eq!(spoil(27, 33), ImageError::Header, "more than there is room for");
    assert_eq!(spoil(offsets + 7, 0), ImageError::Header, "offset");
    assert_eq!(spoil(sizes + 7, 9), ImageError::Header, "size");
    assert_eq!(spoil(sizes, 0xff), ImageError::Header, "a size beyond everything");
    assert_eq!(spoil(sizes + 8 * 31, 1), ImageError::Header, "a section that isn't counted");
    assert_eq!(spoil(HEADER - 5, 1), ImageError::Header, "unused");
    assert_eq!(spoil(HEADER + 1, 3), ImageError::Sections, "two ramdisks, no kernel");
    assert_eq!(spoil(HEADER + 3, 1), ImageError::Header, "a section's flags");
    assert_eq!(spoil(HEADER + 11, 9), ImageError::Header, "a section's own size");

    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(Image::decode(&resealed(longer)), Err(ImageError::Header));
    for end in [0, 3, 100, HEADER - 1] {
        assert!(Image::decode(&file[..end]).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_image_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let start = [&MAGIC[..], &[0, 4, 0, 0], &bytes].concat();
        let _ = Image::decode(&start);
        if start.len() >= HEADER {
            let _ = Image::decode(&resealed(start));
        }
    }
}
