//! Images of stand-in parts: the same bytes each time, measured as anybody can measure them, and told apart by each byte.

use aws_lc_rs::digest::{SHA384, digest};
use enclave_image::Recipe;

#[cfg(test)]
mod parts {
    use super::*;

    pub(super) fn recipe() -> Recipe {
        Recipe {
            kernel: b"a stand-in for a kernel".repeat(1000),
            command_line: "console=ttyS0 panic=-1".into(),
            modules: vec![("vsock.ko.xz".into(), vec![1; 77]), ("nsm.ko".into(), vec![2; 78])],
            init: b"\x7fELF init".to_vec(),
            enclave: b"\x7fELF enclave".to_vec(),
            arguments: vec!["--listen".into(), "vsock:any:5005".into()],
        }
    }

    /// PCR0, PCR1, PCR2, as hexadecimal digits.
    pub(super) fn pcrs(recipe: &Recipe) -> [String; 3] {
        let measured = recipe.image().unwrap().measurements();
        [measured.pcr0, measured.pcr1, measured.pcr2].map(hex::encode)
    }

    /// SHA384(0^48 || SHA384(content)).
    pub(super) fn extended(content: &[u8]) -> String {
        let inner = digest(&SHA384, content);
        hex::encode(digest(&SHA384, &[&[0; 48], inner.as_ref()].concat()))
    }

    /// The sections of an image file, found by the header's table alone: (type, content).
    pub(super) fn sections(file: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let number = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap()) as usize;
        let count = usize::from(u16::from_be_bytes([file[26], file[27]]));
        let section = |index: usize| {
            let (offset, size) = (number(28 + 8 * index), number(284 + 8 * index));
            let kind = u16::from_be_bytes([file[offset], file[offset + 1]]);
            (kind, file[offset + 12..offset + 12 + size].to_vec())
        };
        (0..count).map(section).collect()
    }
}

use parts::{extended, pcrs, recipe, sections};

#[test]
fn the_same_parts_give_the_same_bytes() {
    let file = recipe().image().unwrap().encode().unwrap();
    assert_eq!(recipe().image().unwrap().encode().unwrap(), file);
    let year = b"202";
    let image = recipe().image().unwrap();
    assert!(!image.metadata.windows(3).any(|window| window == year), "a date of today");
}

#[test]
fn the_registers_are_those_of_the_files_sections() {
    let file = recipe().image().unwrap().encode().unwrap();
    let sections = sections(&file);
    let [(1, kernel), (2, line), (5, _), (3, boots), (3, application)] = &sections[..] else {
        panic!("other sections: {:?}", sections.iter().map(|(kind, _)| kind).collect::<Vec<_>>());
    };
    assert_eq!(
        pcrs(&recipe()),
        [
            extended(&[&kernel[..], line, boots, application].concat()),
            extended(&[&kernel[..], line, boots].concat()),
            extended(application),
        ]
    );
}

#[test]
fn each_part_changes_its_registers() {
    let before = pcrs(&recipe());
    let changed = |change: fn(&mut Recipe)| {
        let mut recipe = recipe();
        change(&mut recipe);
        let after = pcrs(&recipe);
        [0, 1, 2].map(|register| before[register] != after[register])
    };
    let (boots, application) = ([true, true, false], [true, false, true]);
    assert_eq!(changed(|_| ()), [false; 3]);
    assert_eq!(changed(|recipe| recipe.kernel[500] ^= 1), boots);
    assert_eq!(changed(|recipe| recipe.command_line.push('x')), boots);
    assert_eq!(changed(|recipe| recipe.modules[1].1[0] ^= 1), boots);
    assert_eq!(changed(|recipe| recipe.modules.swap(0, 1)), boots);
    assert_eq!(changed(|recipe| recipe.modules.truncate(1)), boots);
    assert_eq!(changed(|recipe| recipe.init[5] ^= 1), boots);
    assert_eq!(changed(|recipe| recipe.enclave[5] ^= 1), application);
    assert_eq!(changed(|recipe| recipe.arguments[1].push('0')), application);
    assert_eq!(changed(|recipe| recipe.arguments.truncate(1)), application);
}

#[test]
fn what_would_be_read_as_something_else_is_no_part() {
    let mut other = recipe();
    other.arguments.push("--module\nstdin".into());
    assert!(other.image().is_err());
    let mut other = recipe();
    other.modules[0].0 = "../init".into();
    assert!(other.image().is_err());
    let mut other = recipe();
    other.modules = vec![("any.ko".into(), Vec::new()); 100];
    assert!(other.image().is_ok());
    other.modules.push(("late.ko".into(), Vec::new()));
    assert!(other.image().is_err());
}
