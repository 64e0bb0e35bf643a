//! Enclave image files (EIF), which AWS Nitro boots: written, read and measured.
//!
//! ```text
//! image   = header, sections
//! header  = ".eif" || version (u16) || flags (u16) || default memory (u64) || default CPUs (u64) || 0 (u16) ||
//!           number of sections (u16) || 32 offsets (u64) || 32 sizes (u64) || 0 (u32) || CRC-32 of all but itself
//! section = type (u16) || flags (u16) || size (u64) || content
//! ```
//!
//! All numbers are big-endian. Sections here: kernel, command line, metadata, ramdisks; in this order, as AWS's own tool
//! has them. Metadata isn't measured.
//! Source: the definitions of aws/aws-nitro-enclaves-image-format, version 4 of the format.

mod read;
mod write;

pub use read::{ImageError, MAGIC};

use nitro::{Pcr, extended};

/// The version of the format.
const VERSION: u16 = 4;
/// How many sections a header has room for.
const SECTIONS: usize = 32;
/// A header's length.
const HEADER: usize = 548;
/// The length of what stands in front of each section's content.
const SECTION_HEADER: usize = 12;

const KERNEL: u16 = 1;
const COMMAND_LINE: u16 = 2;
const RAMDISK: u16 = 3;
const METADATA: u16 = 5;

/// The parts of an image for x86-64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// A bzImage.
    pub kernel: Vec<u8>,
    /// The kernel's command line.
    pub command_line: String,
    /// Cpio archives: the first boots, the others are the application.
    pub ramdisks: Vec<Vec<u8>>,
    /// JSON about how the image was made. It isn't measured.
    pub metadata: Vec<u8>,
}

/// What a Nitro hypervisor measures an image to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// The whole image.
    pub pcr0: Pcr,
    /// Kernel, command line and first ramdisk.
    pub pcr1: Pcr,
    /// The other ramdisks.
    pub pcr2: Pcr,
}

impl Image {
    /// Measures the image: each register is extended once, by the parts one after another.
    #[must_use]
    pub fn measurements(&self) -> Measurements {
        let boots = [&self.kernel, self.command_line.as_bytes()];
        let ramdisks: Vec<&[u8]> = self.ramdisks.iter().map(Vec::as_slice).collect();
        let (first, others) = ramdisks.split_at(ramdisks.len().min(1));
        Measurements {
            pcr0: extended(&[&boots, &ramdisks[..]].concat().concat()),
            pcr1: extended(&[&boots, first].concat().concat()),
            pcr2: extended(&others.concat()),
        }
    }
}

#[cfg(test)]
mod tests;
