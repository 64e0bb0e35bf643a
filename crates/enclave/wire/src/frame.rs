//! Frames on a stream to or from the enclave.
//!
//! ```text
//! frame = length of the rest (u32 big-endian, at most 65,536) || kind (u8) || fields
//! field = length (u32 big-endian) || bytes
//! ```
//!
//! Each kind has a fixed number of fields, but for lists at a frame's end; anything that is left over is refused. A request is answered by
//! one frame; requests on one stream are answered in turn. Frames may hold secrets (a minting key on its way to be
//! wrapped), so the buffers they are written from and read into are wiped.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

/// The longest frame, without its length.
pub const LONGEST: usize = 64 * 1024;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Unknown kind, a field too few or too many, or a length that lies.
    #[error("the frame is malformed")]
    Malformed,
    /// Longer than [`LONGEST`].
    #[error("the frame is too long")]
    TooLong,
}

/// A message with a kind and fields.
pub trait Message: Sized {
    /// The kind and the fields.
    fn parts(&self) -> (u8, Vec<&[u8]>);
    /// From kind and fields; nothing when they are none of this sort.
    fn from_parts(kind: u8, fields: Vec<Vec<u8>>) -> Option<Self>;

    /// The whole frame, length included.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let (kind, fields) = self.parts();
        let length = 1 + fields.iter().map(|field| 4 + field.len()).sum::<usize>();
        if length > LONGEST {
            return Err(FrameError::TooLong);
        }
        let mut frame = Vec::with_capacity(4 + length);
        frame.extend(length_bytes(length));
        frame.push(kind);
        for field in fields {
            frame.extend(length_bytes(field.len()));
            frame.extend_from_slice(field);
        }
        Ok(frame)
    }

    /// A frame's body (without the length in front).
    ///
    /// # Errors
    /// [`FrameError::Malformed`].
    fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let (kind, mut rest) = body.split_first().ok_or(FrameError::Malformed)?;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk().ok_or(FrameError::Malformed)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (field, after) = after.split_at_checked(length).ok_or(FrameError::Malformed)?;
            fields.push(field.to_vec());
            rest = after;
        }
        Self::from_parts(*kind, fields).ok_or(FrameError::Malformed)
    }

    /// Writes the frame and flushes.
    ///
    /// # Errors
    /// The stream's, or `InvalidData` for a message that is too long.
    fn write_to(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(&Zeroizing::new(self.encode().map_err(invalid)?))?;
        stream.flush()
    }

    /// Reads one frame; nothing at the stream's orderly end.
    ///
    /// # Errors
    /// The stream's, or `InvalidData` for what is no frame of this sort.
    fn read_from(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut first = [0];
        if stream.read(&mut first)? == 0 {
            return Ok(None);
        }
        Self::read_after(first, stream).map(Some)
    }

    /// Reads the rest of a frame whose first byte has been read (so that a reader may wait for a frame
    /// without haste, and hurry once it has begun).
    ///
    /// # Errors
    /// As [`read_from`](Self::read_from).
    fn read_after(first: [u8; 1], stream: &mut impl Read) -> io::Result<Self> {
        let mut rest = [0; 3];
        stream.read_exact(&mut rest)?;
        let ([a], [b, c, d]) = (first, rest);
        let mut body = Zeroizing::new(vec![0; body_length([a, b, c, d]).map_err(invalid)?]);
        stream.read_exact(&mut body)?;
        Self::decode(&body).map_err(invalid)
    }
}

/// The length of the body that a frame's first four bytes announce.
///
/// # Errors
/// [`FrameError::TooLong`], or [`FrameError::Malformed`] for an empty body.
pub fn body_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    match u32::from_be_bytes(prefix) as usize {
        0 => Err(FrameError::Malformed),
        length if length > LONGEST => Err(FrameError::TooLong),
        length => Ok(length),
    }
}

fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(body_length([0, 1, 0, 1]), Err(FrameError::TooLong));
        assert_eq!(body_length([0; 4]), Err(FrameError::Malformed));
        assert_eq!(body_length([0, 1, 0, 0]), Ok(LONGEST));
    }
}
