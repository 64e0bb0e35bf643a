//! Writing an image: the same parts give the same bytes.

use crate::{
    COMMAND_LINE, HEADER, Image, ImageError, KERNEL, MAGIC, METADATA, RAMDISK, SECTION_HEADER,
    SECTIONS, VERSION,
};

/// What AWS's tool writes when nobody says otherwise; `nitro-cli run-enclave` asks for both anyway.
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_CPUS: u64 = 2;

impl Image {
    /// The image file.
    ///
    /// # Errors
    /// [`ImageError::Sections`] for more ramdisks than there is room for.
    pub fn encode(&self) -> Result<Vec<u8>, ImageError> {
        let mut sections = vec![
            (KERNEL, self.kernel.as_slice()),
            (COMMAND_LINE, self.command_line.as_bytes()),
            (METADATA, self.metadata.as_slice()),
        ];
        sections.extend(self.ramdisks.iter().map(|ramdisk| (RAMDISK, ramdisk.as_slice())));
        let count = u16::try_from(sections.len()).map_err(|_| ImageError::Sections)?;
        let (mut offsets, mut sizes) = ([0; SECTIONS], [0; SECTIONS]);
        let mut body = Vec::new();
        for (index, (kind, content)) in sections.into_iter().enumerate() {
            let size = content.len() as u64;
            *offsets.get_mut(index).ok_or(ImageError::Sections)? = (HEADER + body.len()) as u64;
            *sizes.get_mut(index).ok_or(ImageError::Sections)? = size;
            body.reserve(SECTION_HEADER + content.len());
            body.extend(kind.to_be_bytes());
            body.extend([0; 2]);
            body.extend(size.to_be_bytes());
            body.extend_from_slice(content);
        }
        let mut image = Vec::with_capacity(HEADER + body.len());
        image.extend(MAGIC);
        image.extend(VERSION.to_be_bytes());
        image.extend([0; 2]);
        image.extend(DEFAULT_MEMORY.to_be_bytes());
        image.extend(DEFAULT_CPUS.to_be_bytes());
        image.extend([0; 2]);
        image.extend(count.to_be_bytes());
        image.extend(offsets.map(u64::to_be_bytes).concat());
        image.extend(sizes.map(u64::to_be_bytes).concat());
        image.extend([0; 4]);
        image.extend(checksum(&image, &body).to_be_bytes());
        image.extend(body);
        Ok(image)
    }
}

/// CRC-32 (ISO-HDLC) of a header without its last field, and the sections.
pub(crate) fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}
