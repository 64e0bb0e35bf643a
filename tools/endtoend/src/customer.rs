//! A person's side, one step at a time, out of the client's own parts.

use anyhow::{Context as _, Result};
use attested::Attested;
use coarse::system_rng;
use dip_api::{Assigned, Refreshed};
use encoding::Base64Url;
use jws::Compact;
use lab::Town;
use lease::LeaseId;
use minting::{AssignRequest, Minted, RefreshRequest};
use peer_key::PeerSecret;
use privacy_pass::{SpendHash, TokenHeader, TokenResponse};
use receipt::SubscriptionId;
use seal::{AnswerKey, Sealer};
use serde_json::{Value, json};
use wallet::{Drawing, Drawn, Leased, Sealed};
use wire::envelope;

use crate::services::{Answer, REGION, Services, now};

/// A person with an account, a subscription and a device.
pub struct Customer {
    /// Whom they deal with.
    pub services: Services,
    /// The account's number.
    pub account: String,
    /// The subscription that came with it.
    pub subscription: SubscriptionId,
    /// The device's tunnel key.
    pub device: PeerSecret,
}

/// A token that was drawn, and the receipt of the subscription that drew it.
pub struct Bought {
    /// The subscription receipt.
    pub srt: Compact,
    /// The token, with its seed, key and receipt of issuance.
    pub drawn: Drawn,
}

impl Customer {
    /// A new customer of a town.
    ///
    /// # Errors
    /// When accounts doesn't make an account.
    pub fn new(town: &Town) -> Result<Self> {
        let (account, subscription) = town.make_account()?;
        Ok(Self {
            services: Services::of(town)?,
            account,
            subscription: subscription.parse()?,
            device: PeerSecret::random(&mut system_rng()),
        })
    }

    /// Another device of the same customer, with a key of its own.
    #[must_use]
    pub fn on_another_device(&self) -> Self {
        Self {
            services: self.services.clone(),
            account: self.account.clone(),
            subscription: self.subscription,
            device: PeerSecret::random(&mut system_rng()),
        }
    }

    /// Logs in: a fresh subscription receipt.
    ///
    /// # Errors
    /// When accounts gives none.
    pub fn srt(&self) -> Result<Compact> {
        Ok(self.services.srt(&self.account)?.json::<accounts_api::MintedSrt>()?.srt)
    }

    /// Fetches the week's key, checks it, and begins a draw.
    ///
    /// # Errors
    /// When the key isn't the pinned one.
    pub fn begin(&self) -> Result<Drawing> {
        let Services { provider, .. } = &self.services;
        Ok(Drawing::begin(self.services.public_key()?, provider, now(), &mut system_rng())?)
    }

    /// Has a begun draw signed: the blind token service's answer, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn send(&self, srt: &Compact, drawing: &Drawing) -> Result<Answer> {
        self.services.blind_sign(srt.as_str(), &drawing.request(&self.services.provider)?)
    }

    /// Takes a blind signature in.
    ///
    /// # Errors
    /// When it is none, or not for this draw.
    pub fn finish(&self, drawing: &Drawing, answer: &Answer) -> Result<Drawn> {
        let receipt = answer.header(issuer_api::ISSUANCE_RECEIPT)?.to_owned();
        let response = TokenResponse::decode(&answer.body)?;
        Ok(drawing.finish(&response, Compact::new(receipt), &self.services.provider)?)
    }

    /// Logs in and draws a token.
    ///
    /// # Errors
    /// When one of these fails.
    pub fn buy(&self) -> Result<Bought> {
        let (srt, drawing) = (self.srt()?, self.begin()?);
        let drawn = self.finish(&drawing, &self.send(&srt, &drawing)?)?;
        Ok(Bought { srt, drawn })
    }

    /// What an honest app seals for an assignment.
    ///
    /// # Errors
    /// When the wallet was tampered with.
    pub fn content(&self, bought: &Bought) -> Result<AssignRequest> {
        let Bought { srt, drawn } = bought;
        Ok(AssignRequest {
            srt: srt.clone(),
            receipt: drawn.receipt().clone(),
            seed: drawn.seed().clone(),
            token: drawn.token()?,
            key: drawn.key().clone(),
            device: self.device.public(),
            device_proof: None,
        })
    }

    /// Seals the request for an address.
    ///
    /// # Errors
    /// When it doesn't fit.
    pub fn seal(&self, bought: &Bought, enclave: &Attested) -> Result<(Sealed, SpendHash)> {
        let Bought { srt, drawn } = bought;
        Ok(drawn.seal_request(srt, &self.device, enclave, &mut system_rng())?)
    }

    /// Presents the token with a sealed request: the DIP service's answer, whatever it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn present(&self, drawn: &Drawn, sealed: &[u8]) -> Result<Answer> {
        let authorization = TokenHeader::build(&drawn.token()?);
        self.services.assign(Some(&authorization), REGION, sealed)
    }

    /// From a token to tokens for an address; may be repeated.
    ///
    /// # Errors
    /// When one of the services or the enclave refuses.
    pub fn assign(&self, bought: &Bought) -> Result<(Minted, Assigned)> {
        let enclave = self.services.attest()?;
        let (sealed, _) = self.seal(bought, &enclave)?;
        let assigned: Assigned = self.present(&bought.drawn, &sealed.request)?.json()?;
        let device = self.device.public();
        let minted = sealed.open(&assigned.sealed.0, assigned.lease, &device, &enclave, now())?;
        Ok((minted, assigned))
    }

    /// All at once: login, draw, assignment.
    ///
    /// # Errors
    /// When one of these fails.
    pub fn lease(&self) -> Result<(Compact, Leased)> {
        let bought = self.buy()?;
        let (minted, assigned) = self.assign(&bought)?;
        Ok((bought.srt, bought.drawn.lease(minted, assigned.gateway)))
    }

    /// Refreshes a lease for this device; nothing is kept.
    ///
    /// # Errors
    /// When the DIP service or the enclave refuses.
    pub fn refresh(&self, srt: &Compact, leased: &Leased) -> Result<Minted> {
        let enclave = self.services.attest()?;
        let lease = leased.minted.lease;
        let sealed = leased.seal_request(srt, &self.device, &enclave, &mut system_rng())?;
        let refreshed: Refreshed = self.services.refresh(lease, &sealed.request)?.json()?;
        Ok(sealed.open(&refreshed.sealed.0, lease, &self.device.public(), &enclave, now())?)
    }
}

/// Seals any assignment's content to an enclave, bound to any token, with a proof by any device.
///
/// # Errors
/// When it doesn't fit.
pub fn seal_assignment(
    content: &AssignRequest,
    device: &PeerSecret,
    bound: &SpendHash,
    enclave: &Attested,
) -> Result<(Vec<u8>, AnswerKey)> {
    Ok(content.seal(device, bound, &enclave.sealing_key, &mut system_rng())?)
}

/// Seals any JSON as an assignment's content, with a proof by this device.
///
/// # Errors
/// When it doesn't fit.
pub fn seal_json(
    mut content: Value,
    device: &PeerSecret,
    bound: &SpendHash,
    enclave: &Attested,
) -> Result<(Vec<u8>, AnswerKey)> {
    let to = &enclave.sealing_key;
    let sealer = Sealer::new(to, envelope::ASSIGN, bound.as_bytes(), &mut system_rng())?;
    let proof = Base64Url(sealer.prove(device)?.bytes().to_vec());
    content.as_object_mut().context("no object")?.insert("device_proof".into(), json!(proof));
    Ok(sealer.seal(content.to_string().as_bytes(), envelope::ASSIGN_SIZE)?)
}

/// Seals anything as if it were an assignment's content.
///
/// # Errors
/// When it doesn't fit.
pub fn seal_bytes(
    content: &[u8],
    bound: &SpendHash,
    enclave: &Attested,
) -> Result<(Vec<u8>, AnswerKey)> {
    let (info, size) = (envelope::ASSIGN, envelope::ASSIGN_SIZE);
    let (to, bound) = (&enclave.sealing_key, bound.as_bytes());
    Ok(seal::seal(to, info, bound, content, size, &mut system_rng())?)
}

/// Seals any refresh's content to an enclave, bound to any lease, with a proof by any device.
///
/// # Errors
/// When it doesn't fit.
pub fn seal_refresh(
    content: &RefreshRequest,
    device: &PeerSecret,
    bound: LeaseId,
    enclave: &Attested,
) -> Result<(Vec<u8>, AnswerKey)> {
    Ok(content.seal(device, bound, &enclave.sealing_key, &mut system_rng())?)
}

/// Seals anything as if it were a refresh's content.
///
/// # Errors
/// When it doesn't fit.
pub fn seal_refresh_bytes(
    content: &[u8],
    bound: LeaseId,
    enclave: &Attested,
) -> Result<(Vec<u8>, AnswerKey)> {
    let (info, size) = (envelope::REFRESH, envelope::REFRESH_SIZE);
    Ok(seal::seal(&enclave.sealing_key, info, bound.bytes(), content, size, &mut system_rng())?)
}

/// What the enclave said, to whom it said it.
///
/// # Errors
/// When it can't be opened.
pub fn open(key: &AnswerKey, sealed: &[u8]) -> Result<minting::Answer> {
    let opened = key.open(sealed, envelope::ANSWER_SIZE)?;
    minting::Answer::decode(&opened).context("not an answer")
}

/// Why the enclave refused.
///
/// # Errors
/// When it didn't.
pub fn refusal(key: &AnswerKey, sealed: &[u8]) -> Result<minting::Refusal> {
    match open(key, sealed)? {
        minting::Answer::Refused(refusal) => Ok(refusal),
        minting::Answer::Granted(_) => anyhow::bail!("the enclave granted"),
        minting::Answer::Frozen(_) | minting::Answer::GivenBack => anyhow::bail!("neither"),
    }
}
