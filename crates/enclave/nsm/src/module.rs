//! The module itself: documents, and keys wrapped to a measurement.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use coarse::{UnixTime, system_rng};
use eif::Measurements;
use nitro::{DocumentFields, DocumentSigner, Pcr, Pcrs};
use rand_core::Rng;
use wire::frame::Message;
use wire::module::{Answer, Request};
use zeroize::Zeroizing;

use crate::State;

/// A software module that speaks for one measured program or image.
pub struct DevelopmentModule {
    state: State,
    signer: Option<(UnixTime, DocumentSigner)>,
    pcr0: Pcr,
    /// PCR1 and PCR2.
    parts: [Pcr; 2],
    ahead: Option<PathBuf>,
}

impl DevelopmentModule {
    /// A module for the program with this measurement; it has no kernel and no ramdisks, so those registers are zero.
    #[must_use]
    pub const fn new(state: State, pcr0: Pcr) -> Self {
        Self { state, signer: None, pcr0, parts: [[0; 48]; 2], ahead: None }
    }

    /// A module for the image with these measurements.
    #[must_use]
    pub const fn of_image(state: State, image: &Measurements) -> Self {
        let parts = [image.pcr1, image.pcr2];
        Self { state, signer: None, pcr0: image.pcr0, parts, ahead: None }
    }

    /// The same module, whose clock is ahead by as many seconds as the file at `path` says whenever it is asked: a provider's years are
    /// rehearsed in minutes with it. A file that is missing, or no number, says nothing.
    #[must_use]
    pub fn ahead_by(self, path: Option<PathBuf>) -> Self {
        Self { ahead: path, ..self }
    }

    /// Answers the program until it closes the stream.
    ///
    /// # Errors
    /// The stream's.
    pub fn serve(&mut self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        while let Some(request) = Request::read_from(stream)? {
            self.answer(request).unwrap_or(Answer::Refused).write_to(stream)?;
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Attest { public_key, user_data, nonce } => {
                self.attest(public_key, user_data, nonce).map(Answer::Document)
            }
            Request::Wrap { secret } => self.wrap(&secret).map(Answer::Wrapped),
            Request::Unwrap { wrapped } => self.unwrap(&wrapped).map(Answer::Secret),
        }
    }

    fn attest(
        &mut self,
        public_key: Vec<u8>,
        user_data: Vec<u8>,
        nonce: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let ahead = self.ahead.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let ahead = ahead.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let since = since.checked_add(Duration::from_secs(ahead))?;
        let now = UnixTime::from_seconds(since.as_secs());
        if self.signer.as_ref().is_none_or(|(renew, _)| now >= *renew) {
            let signer = self.state.authority().issue(now).ok()?;
            self.signer = Some((now.plus(nitro::LEAF_LIFE / 2), signer));
        }
        let (_, signer) = self.signer.as_ref()?;
        let some = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
        let fields = DocumentFields {
            module_id: "cloakroom-software-nsm".into(),
            timestamp_ms: u64::try_from(since.as_millis()).ok()?,
            pcrs: self.pcrs(),
            public_key: some(public_key),
            user_data: some(user_data),
            nonce: some(nonce),
        };
        signer.sign(&fields).ok()
    }

    /// PCR0 is the program or image, PCR1 and PCR2 are an image's parts; the other registers, which hold role and instance on AWS,
    /// are zero.
    fn pcrs(&self) -> Pcrs {
        let [pcr1, pcr2] = self.parts;
        let mut pcrs: Pcrs = (0..16).map(|index| (index, [0; 48])).collect();
        pcrs.extend([(0, self.pcr0), (1, pcr1), (2, pcr2)]);
        pcrs
    }

    fn wrap(&self, secret: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        system_rng().fill_bytes(&mut nonce);
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = self
            .wrapping_key()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.pcr0),
                &mut text,
            )
            .ok()?;
        Some([&nonce[..], &text, tag.as_ref()].concat())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = wrapped.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let secret =
            self.wrapping_key()?.open_in_place(nonce, Aad::from(self.pcr0), &mut text).ok()?;
        Some(Zeroizing::new(secret.to_vec()))
    }

    /// A key that depends on the measurement, as a key policy on AWS makes it.
    fn wrapping_key(&self) -> Option<LessSafeKey> {
        let prk = Salt::new(HKDF_SHA256, &self.pcr0).extract(self.state.wrapping_secret());
        let info = [&b"cloakroom untrusted development key source v1"[..]];
        let key: UnboundKey = prk.expand(&info, &AES_256_GCM).ok()?.into();
        Some(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(directory: &std::path::Path, pcr0: [u8; 48]) -> DevelopmentModule {
        DevelopmentModule::new(State::open(directory).unwrap(), pcr0)
    }

    #[test]
    fn a_wrapped_key_comes_back_to_the_same_program_only() {
        let directory = tempfile::tempdir().unwrap();
        let wrapped = module(directory.path(), [1; 48]).wrap(b"secret").unwrap();
        assert_eq!(
            module(directory.path(), [1; 48]).unwrap(&wrapped).unwrap().as_slice(),
            b"secret"
        );
        assert!(module(directory.path(), [2; 48]).unwrap(&wrapped).is_none());
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(module(elsewhere.path(), [1; 48]).unwrap(&wrapped).is_none());
    }

    #[test]
    fn an_images_document_has_its_parts_measured() {
        let directory = tempfile::tempdir().unwrap();
        let image = Measurements { pcr0: [7; 48], pcr1: [8; 48], pcr2: [9; 48] };
        let state = State::open(directory.path()).unwrap();
        let mut module = DevelopmentModule::of_image(state, &image);
        let document = module.attest(vec![], vec![], vec![]).unwrap();
        let root = module.state.authority().root_der().to_vec();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let expect = nitro::Expectations {
            pcrs: [(0, [7; 48]), (1, [8; 48]), (2, [9; 48])].into(),
            ..nitro::Expectations::default()
        };
        let now = UnixTime::from_seconds(since.as_secs());
        assert!(nitro::verify(&document, &root, now, &expect).is_ok());
    }

    #[test]
    fn a_document_verifies_under_the_root_that_calls_itself_untrusted() {
        let directory = tempfile::tempdir().unwrap();
        let mut module = module(directory.path(), [7; 48]);
        let document = module.attest(vec![1; 32], vec![2; 32], vec![3; 32]).unwrap();
        let root = module.state.authority().root_der().to_vec();
        assert!(nitro::is_untrusted_development(&root));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let expect = nitro::Expectations {
            nonce: Some(vec![3; 32]),
            pcrs: [(0, [7; 48])].into(),
            ..nitro::Expectations::default()
        };
        let now = UnixTime::from_seconds(since.as_secs());
        let attestation = nitro::verify(&document, &root, now, &expect).unwrap();
        assert_eq!(attestation.public_key.as_deref(), Some(&[1; 32][..]));
    }
}
