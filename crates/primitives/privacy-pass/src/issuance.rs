//! The two messages between client and issuer (RFC 9578 sections 6.1 and 6.2).

use crate::codec::{DecodeError, Reader};
use crate::{AUTHENTICATOR_LENGTH, TOKEN_TYPE};

/// What a client sends to an issuer: 259 bytes.
///
/// ```text
/// u16  token_type = 0x0002
/// u8   truncated_token_key_id: the last byte of the key's id
/// 256  blinded_msg
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    truncated_key_id: u8,
    blinded_message: [u8; AUTHENTICATOR_LENGTH],
}

impl TokenRequest {
    /// Length of the wire form in bytes.
    pub const LENGTH: usize = 3 + AUTHENTICATOR_LENGTH;

    /// The request made of these.
    #[must_use]
    pub const fn new(truncated_key_id: u8, blinded_message: [u8; AUTHENTICATOR_LENGTH]) -> Self {
        Self { truncated_key_id, blinded_message }
    }

    /// Reads the wire form: exactly 259 bytes, of token type 0x0002.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.token_type()?;
        let request = Self { truncated_key_id: reader.u8()?, blinded_message: reader.array()? };
        reader.end()?;
        Ok(request)
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&TOKEN_TYPE.to_be_bytes()[..], &[self.truncated_key_id], &self.blinded_message].concat()
    }

    /// The last byte of the id of the key that shall sign.
    #[must_use]
    pub const fn truncated_key_id(&self) -> u8 {
        self.truncated_key_id
    }

    /// What shall be signed. Whether it is below the modulus is for the signer to check.
    #[must_use]
    pub const fn blinded_message(&self) -> &[u8; AUTHENTICATOR_LENGTH] {
        &self.blinded_message
    }
}

/// What an issuer answers: a blind signature of 256 bytes, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenResponse {
    blind_signature: [u8; AUTHENTICATOR_LENGTH],
}

impl TokenResponse {
    /// Length of the wire form in bytes.
    pub const LENGTH: usize = AUTHENTICATOR_LENGTH;

    /// The response with this blind signature.
    #[must_use]
    pub const fn new(blind_signature: [u8; AUTHENTICATOR_LENGTH]) -> Self {
        Self { blind_signature }
    }

    /// Reads the wire form, or a signer's result: exactly 256 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let response = Self { blind_signature: reader.array()? };
        reader.end()?;
        Ok(response)
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.blind_signature.to_vec()
    }

    /// The blind signature.
    #[must_use]
    pub const fn blind_signature(&self) -> &[u8; AUTHENTICATOR_LENGTH] {
        &self.blind_signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_types_are_exact() {
        let request = TokenRequest::new(8, [5; 256]);
        let bytes = request.encode();
        assert_eq!(bytes.len(), TokenRequest::LENGTH);
        assert_eq!(TokenRequest::decode(&bytes), Ok(request));
        assert_eq!(TokenRequest::decode(&bytes[..258]), Err(DecodeError::Length));
        assert_eq!(TokenRequest::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Length));
        let mut other = bytes;
        other[1] = 1;
        assert_eq!(TokenRequest::decode(&other), Err(DecodeError::TokenType(1)));

        let response = TokenResponse::new([6; 256]);
        assert_eq!(TokenResponse::decode(&response.encode()), Ok(response));
        assert_eq!(TokenResponse::decode(&[6; 255]), Err(DecodeError::Length));
        assert_eq!(TokenResponse::decode(&[6; 257]), Err(DecodeError::Length));
    }
}
