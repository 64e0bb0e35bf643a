//! The request's envelope.

use coarse::Secret;
use hpke::aead::AeadCtxS;
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable, setup_receiver};
use peer_key::PeerSecret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::padding::{pad, unpad};
use crate::possession::Binding;
use crate::{Aead, AnswerKey, AnswerSealer, Error, Kdf, Kem, KeyProof, ProofCheck};

const KEY: usize = 32;

/// A recipient's public key: 32 bytes of X25519 (RFC 7748).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealingKey([u8; KEY]);

impl SealingKey {
    /// The key with these bytes. Whether it is usable is found out by [`seal`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

/// A recipient's private key. It has no `Debug` and can't be read back.
pub struct OpeningKey {
    secret: <Kem as hpke::Kem>::PrivateKey,
    public: SealingKey,
}

/// What was in an envelope, and what its context is good for besides.
pub struct Opened<'a> {
    /// What was sealed.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Seals the answer.
    pub answer: AnswerSealer,
    /// Checks what the plaintext says of keys that its sender holds.
    pub proofs: ProofCheck<'a>,
}

impl OpeningKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (secret, public) = Kem::gen_keypair_with_rng(rng);
        Self { secret, public: SealingKey(public.to_bytes().into()) }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &SealingKey {
        &self.public
    }

    /// Opens an envelope of `size` plaintext bytes that was sealed to this key with the same `info` and `bound`.
    ///
    /// # Errors
    /// [`Error::OtherKey`] when it names another recipient, [`Error::Unopenable`] for everything else.
    pub fn open(
        &self,
        info: &[u8],
        bound: &[u8],
        sealed: &[u8],
        size: usize,
    ) -> Result<Opened<'_>, Error> {
        let (named, rest) = sealed.split_first_chunk::<KEY>().ok_or(Error::Unopenable)?;
        if *named != self.public.0 {
            return Err(Error::OtherKey);
        }
        let (enc, ciphertext) = rest.split_first_chunk::<KEY>().ok_or(Error::Unopenable)?;
        if ciphertext.len() != size + 16 {
            return Err(Error::Unopenable);
        }
        let encapped =
            <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| Error::Unopenable)?;
        let mut context =
            setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &self.secret, &encapped, info)
                .map_err(|_| Error::Unopenable)?;
        let padded =
            Zeroizing::new(context.open(ciphertext, bound).map_err(|_| Error::Unopenable)?);
        let export = |label: &[u8], out: &mut [u8]| context.export(label, out).is_ok();
        let answer = AnswerSealer::new(export, *enc)?;
        let proofs = ProofCheck::new(Binding::new(export, bound)?, self);
        Ok(Opened { plaintext: unpad(&padded)?, answer, proofs })
    }

    /// The same key where others are agreed with.
    pub(crate) fn as_peer(&self) -> PeerSecret {
        let mut bytes = Zeroizing::new([0; KEY]);
        self.secret.write_exact(&mut *bytes);
        PeerSecret::from_bytes(&Secret::new(*bytes))
    }
}

/// A sender's context: makes the proofs that go into a request, then seals it.
pub struct Sealer {
    context: AeadCtxS<Aead, Kdf, Kem>,
    recipient: SealingKey,
    enc: [u8; KEY],
    bound: Vec<u8>,
}

impl Sealer {
    /// A fresh context. `info` names protocol version and request type; `bound` is authenticated with the plaintext and not sent.
    ///
    /// # Errors
    /// [`Error::RecipientKey`] for a key of low order.
    pub fn new(
        recipient: &SealingKey,
        info: &[u8],
        bound: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&recipient.0)
            .map_err(|_| Error::RecipientKey)?;
        let (encapped, context) =
            hpke::setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &key, info, rng)
                .map_err(|_| Error::RecipientKey)?;
        let enc = encapped.to_bytes().into();
        Ok(Self { context, recipient: *recipient, enc, bound: bound.to_vec() })
    }

    /// The proof, good in this request alone, that its sender holds this key.
    ///
    /// # Errors
    /// [`Error::RecipientKey`] for a key of low order.
    pub fn prove(&self, key: &PeerSecret) -> Result<KeyProof, Error> {
        let export = |label: &[u8], out: &mut [u8]| self.export(label, out);
        Binding::new(export, &self.bound)?.prove(key, &self.recipient.0)
    }

    /// Seals `plaintext` in an envelope of `size` plaintext bytes. The second value opens the answer.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn seal(mut self, plaintext: &[u8], size: usize) -> Result<(Vec<u8>, AnswerKey), Error> {
        let padded = pad(plaintext, size)?;
        let ciphertext = self.context.seal(&padded, &self.bound).map_err(|_| Error::TooLong)?;
        let answer = AnswerKey::new(|label, out| self.export(label, out), self.enc)?;
        Ok(([&self.recipient.0[..], &self.enc, &ciphertext].concat(), answer))
    }

    /// RFC 9180 section 5.3.
    pub(crate) fn export(&self, label: &[u8], out: &mut [u8]) -> bool {
        self.context.export(label, out).is_ok()
    }
}

/// Seals `plaintext` to `recipient` in an envelope of `size` plaintext bytes, as a [`Sealer`] does that proves nothing.
///
/// # Errors
/// [`Error::TooLong`], or [`Error::RecipientKey`] for a key of low order.
pub fn seal(
    recipient: &SealingKey,
    info: &[u8],
    bound: &[u8],
    plaintext: &[u8],
    size: usize,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, AnswerKey), Error> {
    Sealer::new(recipient, info, bound, rng)?.seal(plaintext, size)
}

/// The key that an envelope says it is sealed to.
#[must_use]
pub fn recipient(sealed: &[u8]) -> Option<SealingKey> {
    sealed.first_chunk().copied().map(SealingKey)
}

#[cfg(test)]
mod tests {
    use coarse::system_rng;
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 128;

    fn sealed(to: &OpeningKey) -> (Vec<u8>, AnswerKey) {
        seal(to.public(), b"v1 test", b"bound", b"hello", SIZE, &mut system_rng()).unwrap()
    }

    #[test]
    fn a_request_and_its_answer_arrive() {
        let key = OpeningKey::generate(&mut system_rng());
        let (request, answer_key) = sealed(&key);
        assert_eq!(request.len(), 32 + 32 + SIZE + 16);
        assert_eq!(recipient(&request), Some(*key.public()));
        let opened = key.open(b"v1 test", b"bound", &request, SIZE).unwrap();
        assert_eq!(opened.plaintext.as_slice(), b"hello");
        let answer = opened.answer.seal(b"world", SIZE, &mut system_rng()).unwrap();
        assert_eq!(answer.len(), 32 + SIZE + 16);
        assert_eq!(answer_key.open(&answer, SIZE).unwrap().as_slice(), b"world");
    }

    #[test]
    fn an_envelope_holds_for_its_purpose_binding_size_and_key_only() {
        let key = OpeningKey::generate(&mut system_rng());
        let (request, _) = sealed(&key);
        let open = |info: &[u8], bound: &[u8], size| {
            key.open(info, bound, &request, size).map(|_| ()).unwrap_err()
        };
        assert_eq!(open(b"v2 test", b"bound", SIZE), Error::Unopenable);
        assert_eq!(open(b"v1 test", b"other", SIZE), Error::Unopenable);
        assert_eq!(open(b"v1 test", b"bound", SIZE - 1), Error::Unopenable);
        let other = OpeningKey::generate(&mut system_rng());
        let refused = other.open(b"v1 test", b"bound", &request, SIZE).map(|_| ());
        assert_eq!(refused.unwrap_err(), Error::OtherKey);
    }

    #[test]
    fn an_answer_opens_for_its_own_request_only() {
        let key = OpeningKey::generate(&mut system_rng());
        let (first, first_key) = sealed(&key);
        let (_, second_key) = sealed(&key);
        let opened = key.open(b"v1 test", b"bound", &first, SIZE).unwrap();
        let mut answer = opened.answer.seal(b"world", SIZE, &mut system_rng()).unwrap();
        assert_eq!(second_key.open(&answer, SIZE).unwrap_err(), Error::Unopenable);
        assert_eq!(first_key.open(&answer[1..], SIZE).unwrap_err(), Error::Unopenable);
        answer[40] ^= 1;
        assert_eq!(first_key.open(&answer, SIZE).unwrap_err(), Error::Unopenable);
    }

    #[test]
    fn a_key_of_low_order_is_refused() {
        let zero = SealingKey::from_bytes([0; 32]);
        let refused = seal(&zero, b"", b"", b"", SIZE, &mut system_rng()).map(|_| ());
        assert_eq!(refused.unwrap_err(), Error::RecipientKey);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            named in any::<bool>(),
        ) {
            let key = OpeningKey::generate(&mut system_rng());
            if named && bytes.len() >= 32 {
                bytes[..32].copy_from_slice(key.public().bytes());
            }
            prop_assert!(key.open(b"", b"", &bytes, SIZE).is_err());
        }

        #[test]
        fn every_spoilt_bit_is_noticed(place in 0usize..(64 + SIZE + 16), bit in 0u8..8) {
            let key = OpeningKey::generate(&mut system_rng());
            let (mut request, _) = sealed(&key);
            request[place] ^= 1 << bit;
            prop_assert!(key.open(b"v1 test", b"bound", &request, SIZE).is_err());
        }
    }
}
