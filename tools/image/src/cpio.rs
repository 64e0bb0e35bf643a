//! Cpio archives in the form that Linux unpacks as its first file system ("newc": Documentation/driver-api/early-userspace/
//! buffer-format.rst of the kernel). Owner and time are zero and inode numbers count up, so the same files give the same bytes.

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const FILE: u32 = 0o100_000;
/// Archives are a multiple of this long, so that one can follow another.
const BLOCK: usize = 512;

/// An archive that grows.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory that everybody may read.
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.add(name, DIRECTORY, (0, 0), &[])
    }

    /// Adds a file with these permissions.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> Result<()> {
        self.add(name, FILE | permissions, (0, 0), content)
    }

    /// Adds a character device with these major and minor numbers.
    pub(crate) fn character_device(&mut self, name: &str, numbers: (u32, u32)) -> Result<()> {
        self.add(name, CHARACTER_DEVICE, numbers, &[])
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.add_numbered(0, "TRAILER!!!", 0, (0, 0), &[])?;
        self.pad(BLOCK);
        Ok(self.bytes)
    }

    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.entries += 1;
        self.add_numbered(self.entries, name, mode, device, content)
    }

    fn add_numbered(
        &mut self,
        inode: u32,
        name: &str,
        mode: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) -> Result<()> {
        let length =
            |length: usize| u32::try_from(length).with_context(|| format!("{name}: too long"));
        let (size, name_size) = (length(content.len())?, length(name.len() + 1)?);
        let (owner, group, links, time, checksum) = (0, 0, 1, 0, 0);
        // The device that the file is on, and the one that it is.
        let devices = [0, 0, major, minor];
        self.bytes.extend_from_slice(b"070701");
        let first = [inode, mode, owner, group, links, time, size];
        for number in first.into_iter().chain(devices).chain([name_size, checksum]) {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(content);
        self.pad(4);
        Ok(())
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together by hand from the kernel's description.
    #[test]
    fn an_archive_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.directory("dev").unwrap();
        archive.character_device("dev/console", (5, 1)).unwrap();
        archive.file("init", 0o755, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let text: String =
            bytes.iter().map(|byte| if *byte == 0 { '.' } else { char::from(*byte) }).collect();
        // Magic; inode, mode, owner, group, links, time, size; the device that it is on, and the one that it is; length of the name
        // with its zero, checksum; name; content.
        let expected = "
            070701 00000001 000041ed 00000000 00000000 00000001 00000000 00000000
            00000000 00000000 00000000 00000000 00000004 00000000 dev...
            070701 00000002 00002180 00000000 00000000 00000001 00000000 00000000
            00000000 00000000 00000005 00000001 0000000c 00000000 dev/console...
            070701 00000003 000081ed 00000000 00000000 00000001 00000000 00000005
            00000000 00000000 00000000 00000000 00000005 00000000 init.. hello...
            070701 00000000 00000000 00000000 00000000 00000001 00000000 00000000
            00000000 00000000 00000000 00000000 0000000b 00000000 TRAILER!!!...."
            .split_whitespace()
            .collect::<String>();
        assert_eq!(text.trim_end_matches('.'), expected.trim_end_matches('.'));
        assert_eq!(bytes.len(), 512);
    }

    #[test]
    fn everything_begins_at_a_multiple_of_four() {
        for length in 0..9 {
            let mut archive = Archive::default();
            archive.file(&"n".repeat(length + 1), 0o644, &vec![b'c'; length]).unwrap();
            archive.file("second", 0o644, b"").unwrap();
            let bytes = archive.finish().unwrap();
            let magic = |window: &[u8]| window == b"070701";
            let places: Vec<_> =
                (0..bytes.len() - 6).filter(|at| magic(&bytes[*at..at + 6])).collect();
            assert_eq!(places.len(), 3);
            assert!(places.iter().all(|at| at % 4 == 0), "{places:?}");
        }
    }
}
