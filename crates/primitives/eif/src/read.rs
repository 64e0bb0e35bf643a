//! Reading an image: what is left over, unknown or doesn't add up is refused.

use crate::write::checksum;
use crate::{COMMAND_LINE, HEADER, Image, KERNEL, METADATA, RAMDISK, SECTIONS, VERSION};

/// The first bytes of an image.
pub const MAGIC: [u8; 4] = *b".eif";

/// Why bytes are no image.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// Another sort of file, or another version or machine.
    #[error("this is no enclave image of version {VERSION} for x86-64")]
    Kind,
    /// Header and file don't fit together.
    #[error("the image's header lies")]
    Header,
    /// The checksum is another one.
    #[error("the image is damaged: its checksum is another one")]
    Checksum,
    /// Not one kernel, one command line, one metadata and some ramdisks.
    #[error("the image's sections are not kernel, command line, metadata and ramdisks")]
    Sections,
}

impl Image {
    /// Reads an image that isn't signed.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn decode(file: &[u8]) -> Result<Self, ImageError> {
        let mut header = Reader(file);
        if header.take()? != MAGIC || header.number()? != VERSION || header.number()? != 0_u16 {
            return Err(ImageError::Kind);
        }
        let [_memory, _cpus] = [header.take::<8>()?, header.take::<8>()?];
        let reserved = header.take::<2>()?;
        let count = usize::from(header.number()?);
        let offsets = header.take::<{ 8 * SECTIONS }>()?;
        let sizes = header.take::<{ 8 * SECTIONS }>()?;
        let unused = header.take::<4>()?;
        let crc = u32::from_be_bytes(header.take()?);
        if (reserved, unused) != ([0; 2], [0; 4]) || count > SECTIONS {
            return Err(ImageError::Header);
        }
        let body = header.0;
        let (head, _) = file.split_at_checked(HEADER - 4).ok_or(ImageError::Header)?;
        if checksum(head, body) != crc {
            return Err(ImageError::Checksum);
        }
        let table = numbers(&offsets).zip(numbers(&sizes)).enumerate();
        let mut sections = Reader(body);
        let mut found = Vec::new();
        for (index, (offset, size)) in table {
            if index >= count {
                if (offset, size) != (0, 0) {
                    return Err(ImageError::Header);
                }
                continue;
            }
            if offset != (file.len() - sections.0.len()) as u64 {
                return Err(ImageError::Header);
            }
            let kind = sections.number()?;
            if sections.take()? != [0; 2] || u64::from_be_bytes(sections.take()?) != size {
                return Err(ImageError::Header);
            }
            found.push((kind, sections.content(size)?));
        }
        if !sections.0.is_empty() {
            return Err(ImageError::Header);
        }
        Self::of(&found)
    }

    fn of(sections: &[(u16, &[u8])]) -> Result<Self, ImageError> {
        let [(KERNEL, kernel), (COMMAND_LINE, line), (METADATA, metadata), ramdisks @ ..] =
            sections
        else {
            return Err(ImageError::Sections);
        };
        if ramdisks.iter().any(|(kind, _)| *kind != RAMDISK) {
            return Err(ImageError::Sections);
        }
        Ok(Self {
            kernel: kernel.to_vec(),
            command_line: String::from_utf8(line.to_vec()).map_err(|_| ImageError::Sections)?,
            ramdisks: ramdisks.iter().map(|(_, content)| content.to_vec()).collect(),
            metadata: metadata.to_vec(),
        })
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|number| u64::from_be_bytes(*number))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ImageError::Header)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u16, ImageError> {
        self.take().map(u16::from_be_bytes)
    }

    fn content(&mut self, size: u64) -> Result<&'a [u8], ImageError> {
        let size = usize::try_from(size).map_err(|_| ImageError::Header)?;
        let (content, rest) = self.0.split_at_checked(size).ok_or(ImageError::Header)?;
        self.0 = rest;
        Ok(content)
    }
}
