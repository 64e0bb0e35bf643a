//! From a token to a leased address, and on from refresh to refresh.

use access_code::Contents;
use attested::Attested;
use coarse::UnixTime;
use dip_api::GatewayInfo;
use jws::{Compact, KeyId};
use lease::{Dat, LeaseId, Notice};
use minting::{Answer, AssignRequest, Minted, RefreshRequest, Refusal};
use peer_key::{PeerKey, PeerSecret};
use privacy_pass::SpendHash;
use rand_core::CryptoRng;
use seal::AnswerKey;
use serde::{Deserialize, Serialize};
use wire::envelope;

use crate::{Drawing, Drawn, Restored};

/// How far the dedicated IP has come.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dip {
    /// Nothing was begun.
    Nothing,
    /// A token is being drawn.
    Drawing(Box<Drawing>),
    /// A token is there.
    Drawn(Box<Drawn>),
    /// An address is leased.
    Leased(Box<Leased>),
    /// A lease was taken from a backup; there is no access token for this device yet.
    Restored(Box<Restored>),
}

/// A leased address.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    /// What the enclave minted last.
    pub minted: Minted,
    /// Where the address is served.
    pub gateway: GatewayInfo,
    /// What the lease was bought with; erased at the first refresh.
    drawn: Option<Drawn>,
    /// What the provider said when it refused new tokens because it has frozen the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Notice>,
}

/// A request that was sealed to the enclave, and what opens its answer.
pub struct Sealed {
    /// The envelope.
    pub request: Vec<u8>,
    answer: AnswerKey,
}

/// Why a sealed answer isn't accepted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// The request can't be sealed.
    #[error("the request could not be sealed to the enclave")]
    Seal,
    /// The answer doesn't open: it isn't the enclave's answer to this request.
    #[error("the answer does not open: it was not sealed by the attested enclave for this request")]
    Unopenable,
    /// The enclave refused.
    #[error("the enclave refused: {0}")]
    Refused(#[from] Refusal),
    /// The lease is frozen.
    #[error("the provider has frozen this lease, case {}: {}", .0.reference, .0.text)]
    Frozen(Notice),
    /// The tokens aren't what was asked for.
    #[error("the enclave's tokens are not for this device and lease")]
    NotOurs,
}

impl Drawn {
    /// Seals a request for an address, bound to the token's hash, with the proof that the device's key is ours.
    ///
    /// # Errors
    /// [`AnswerError::Seal`].
    pub fn seal_request(
        &self,
        srt: &Compact,
        device: &PeerSecret,
        enclave: &Attested,
        rng: &mut impl CryptoRng,
    ) -> Result<(Sealed, SpendHash), AnswerError> {
        let token = self.token().map_err(|_| AnswerError::Seal)?;
        let hash = token.spend_hash();
        let request = AssignRequest {
            srt: srt.clone(),
            receipt: self.receipt().clone(),
            seed: self.seed().clone(),
            token,
            key: self.key().clone(),
            device: device.public(),
            device_proof: None,
        };
        let (request, answer) = request
            .seal(device, &hash, &enclave.sealing_key, rng)
            .map_err(|_| AnswerError::Seal)?;
        Ok((Sealed { request, answer }, hash))
    }

    /// The lease that this token bought. The token stays with it until its first refresh.
    #[must_use]
    pub const fn lease(self, minted: Minted, gateway: GatewayInfo) -> Leased {
        Leased { minted, gateway, drawn: Some(self), frozen: None }
    }
}

impl Leased {
    /// Seals a request for new tokens, bound to the lease, with the proof that the device's key is ours.
    ///
    /// # Errors
    /// [`AnswerError::Seal`].
    pub fn seal_request(
        &self,
        srt: &Compact,
        device: &PeerSecret,
        enclave: &Attested,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, AnswerError> {
        let refresh = Refresh { drt: &self.minted.drt, lease: self.minted.lease, give_back: false };
        refresh.seal(srt, device, enclave, rng)
    }

    /// Seals the word that the lease is given back, in the same manner.
    ///
    /// # Errors
    /// [`AnswerError::Seal`].
    pub fn seal_release(
        &self,
        srt: &Compact,
        device: &PeerSecret,
        enclave: &Attested,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, AnswerError> {
        let refresh = Refresh { drt: &self.minted.drt, lease: self.minted.lease, give_back: true };
        refresh.seal(srt, device, enclave, rng)
    }

    /// A lease that was taken from a backup, with its first tokens of this device.
    pub(crate) const fn taken_over(minted: Minted, gateway: GatewayInfo) -> Self {
        Self { minted, gateway, drawn: None, frozen: None }
    }

    /// What another device needs for this lease. `signer` is the key that signed the provider's file.
    #[must_use]
    pub fn contents(&self, signer: KeyId) -> Contents {
        Contents {
            signer,
            lease: self.minted.lease,
            region: self.minted.region.clone(),
            ip: self.minted.ip,
            drt: self.minted.drt.clone(),
            drt_ends: self.minted.drt_ends,
            gateway: self.gateway.clone(),
        }
    }

    /// The same lease with new tokens. What it was bought with is erased.
    pub fn renew(&mut self, minted: Minted, gateway: GatewayInfo) {
        self.minted = minted;
        self.gateway = gateway;
        self.drawn = None;
        self.frozen = None;
    }
}

/// What is asked with a lease's refresh token.
pub(crate) struct Refresh<'a> {
    pub(crate) drt: &'a Compact,
    pub(crate) lease: LeaseId,
    /// The lease is to end, instead of new tokens.
    pub(crate) give_back: bool,
}

impl Refresh<'_> {
    /// Seals it, bound to the lease, with the proof that the device's key is ours.
    pub(crate) fn seal(
        self,
        srt: &Compact,
        device: &PeerSecret,
        enclave: &Attested,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, AnswerError> {
        let request = RefreshRequest {
            srt: srt.clone(),
            drt: self.drt.clone(),
            device: device.public(),
            device_proof: None,
            give_back: self.give_back,
        };
        let (request, answer) = request
            .seal(device, self.lease, &enclave.sealing_key, rng)
            .map_err(|_| AnswerError::Seal)?;
        Ok(Sealed { request, answer })
    }
}

impl Sealed {
    /// Opens the answer and checks that the tokens are for `lease` and `device`, and signed by the attested enclave.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn open(
        &self,
        answer: &[u8],
        lease: LeaseId,
        device: &PeerKey,
        enclave: &Attested,
        now: UnixTime,
    ) -> Result<Minted, AnswerError> {
        let minted = match self.read(answer)? {
            Answer::Granted(minted) => minted,
            Answer::GivenBack => return Err(AnswerError::NotOurs),
            Answer::Refused(refusal) => return Err(refusal.into()),
            Answer::Frozen(notice) => return Err(AnswerError::Frozen(notice)),
        };
        let dat = Dat::verify(minted.dat.as_str(), &enclave.minting_keys, now)
            .map_err(|_| AnswerError::NotOurs)?;
        let ours = minted.lease == lease
            && dat.dip_details.ip == minted.ip
            && dat.region == minted.region
            && dat.is_for(device);
        ours.then_some(minted).ok_or(AnswerError::NotOurs)
    }

    /// Opens the answer to [`Leased::seal_release`].
    ///
    /// # Errors
    /// [`AnswerError`], unless it says that the lease was given back.
    pub fn open_release(&self, answer: &[u8]) -> Result<(), AnswerError> {
        match self.read(answer)? {
            Answer::GivenBack => Ok(()),
            Answer::Granted(_) | Answer::Frozen(_) => Err(AnswerError::NotOurs),
            Answer::Refused(refusal) => Err(refusal.into()),
        }
    }

    fn read(&self, answer: &[u8]) -> Result<Answer, AnswerError> {
        let plaintext =
            self.answer.open(answer, envelope::ANSWER_SIZE).map_err(|_| AnswerError::Unopenable)?;
        Answer::decode(&plaintext).ok_or(AnswerError::Unopenable)
    }
}
