//! Whoever answers in the enclave's parent's place, and what they may say of the enclave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use attested::{EnclavePin, Served};
use coarse::{Secret, UnixTime};
use encoding::Base64Url;
use endtoend::keys;
use endtoend::rogue::{Asked, Rogue, Told};
use endtoend::services::{Services, now};
use jws::SigningKey;
use lab::Town;
use nitro::{DevelopmentAuthority, DocumentFields, DocumentSigner, extended};
use wire::BootConfiguration;

/// What a liar in the parent's place knows: the real enclave, and (which nobody should) the authority's key.
pub(crate) struct Liar {
    services: Services,
    signer: DocumentSigner,
    old_signer: DocumentSigner,
    own_signer: DocumentSigner,
    pcr0: [u8; 48],
    minting_key: jws::VerifyingKey,
    replayed: Served,
}

/// What is served to a nonce.
pub(crate) type Tell = fn(&Liar, &[u8]) -> Result<Served>;
/// What is wrong with a lie, the lie, and what those say who are told it.
pub(crate) type Lie = (&'static str, Tell, &'static str);

impl Liar {
    pub(crate) fn new(town: &Town) -> Result<Self> {
        let services = Services::of(town)?;
        let authority = keys::authority(town)?;
        let hours_ago = now().minus(nitro::LEAF_LIFE + Duration::from_secs(3600));
        let replayed = services.attestation(&[7; 32])?;
        Ok(Self {
            signer: authority.issue(now().minus(MINUTES(30)))?,
            old_signer: authority.issue(hours_ago)?,
            own_signer: DevelopmentAuthority::generate(now())?.issue(now())?,
            pcr0: extended(&std::fs::read(town.program("enclave"))?),
            minting_key: replayed.minting_key.clone(),
            replayed,
            services,
        })
    }

    fn pin(&self) -> &EnclavePin {
        &self.services.provider.enclave
    }

    /// The real enclave's answer to this nonce.
    pub(crate) fn real(&self, nonce: &[u8]) -> Result<Served> {
        self.services.attestation(nonce)
    }

    /// What an honest document says to this nonce, with a key of the liar's own in the enclave's place.
    fn fields(&self, nonce: &[u8], at: UnixTime) -> DocumentFields {
        let configuration = self.pin().boot_configuration.as_bytes();
        let mut pcrs: nitro::Pcrs = (0..16).map(|index| (index, [0; 48])).collect();
        pcrs.insert(0, self.pcr0);
        DocumentFields {
            module_id: "cloakroom-software-nsm".into(),
            timestamp_ms: at.seconds() * 1000,
            pcrs,
            public_key: Some(vec![9; 32]),
            user_data: Some(
                BootConfiguration::user_data(configuration, &self.minting_key, &[]).into(),
            ),
            nonce: Some(nonce.to_vec()),
        }
    }

    fn serve(&self, signer: &DocumentSigner, fields: &DocumentFields) -> Result<Served> {
        let configuration = self.pin().boot_configuration.clone().into_bytes();
        Ok(Served::new(signer.sign(fields)?, configuration, self.minting_key.clone()))
    }

    /// An honest document but for this.
    fn but(&self, nonce: &[u8], spoil: impl FnOnce(&mut DocumentFields)) -> Result<Served> {
        let mut fields = self.fields(nonce, now());
        spoil(&mut fields);
        self.serve(&self.signer, &fields)
    }
}

pub(crate) fn own_key() -> Result<SigningKey> {
    Ok(SigningKey::from_seed(&Secret::new([5; 32]))?)
}

/// The real document with its sealing key overwritten.
fn overwritten(liar: &Liar, nonce: &[u8]) -> Result<Served> {
    let mut served = liar.real(nonce)?;
    let (attested, _) = served.verify(liar.pin(), nonce, now())?;
    let (document, key) = (&mut served.document.0, attested.sealing_key.bytes());
    let at = document.windows(32).position(|window| window == key).context("no key")?;
    document[at..at + 32].copy_from_slice(&[9; 32]);
    Ok(served)
}

const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(60 * minutes);

/// Every lie.
pub(crate) const LIES: [Lie; 22] = [
    ("a replayed document", |liar, _| Ok(liar.replayed.clone()), "'nonce'"),
    ("no nonce", |liar, nonce| liar.but(nonce, |fields| fields.nonce = None), "'nonce'"),
    ("half a nonce", |liar, nonce| liar.real(&nonce[..16]), "'nonce'"),
    (
        "a document of six minutes ago",
        |liar, nonce| liar.serve(&liar.signer, &liar.fields(nonce, now().minus(MINUTES(6)))),
        "'age'",
    ),
    (
        "a document of the future",
        |liar, nonce| liar.serve(&liar.signer, &liar.fields(nonce, now().plus(MINUTES(3)))),
        "'timestamp'",
    ),
    (
        "a document of hours ago under certificates of hours ago",
        |liar, nonce| {
            let then = now().minus(nitro::LEAF_LIFE + Duration::from_secs(1800));
            liar.serve(&liar.old_signer, &liar.fields(nonce, then))
        },
        "'certificate-chain'",
    ),
    (
        "a fresh document under certificates of hours ago",
        |liar, nonce| liar.serve(&liar.old_signer, &liar.fields(nonce, now())),
        "'certificate-chain'",
    ),
    (
        "another authority's document",
        |liar, nonce| liar.serve(&liar.own_signer, &liar.fields(nonce, now())),
        "'root'",
    ),
    ("another sealing key in the document", overwritten, "'signature'"),
    (
        "another program",
        |liar, nonce| liar.but(nonce, |fields| _ = fields.pcrs.insert(0, [6; 48])),
        "'pcr-0'",
    ),
    (
        "a program in debug mode",
        |liar, nonce| liar.but(nonce, |fields| _ = fields.pcrs.insert(0, [0; 48])),
        "the check '",
    ),
    (
        "no measurement",
        |liar, nonce| liar.but(nonce, |fields| _ = fields.pcrs.remove(&0)),
        "the check '",
    ),
    (
        "another measurement of configuration and minting key",
        |liar, nonce| liar.but(nonce, |fields| fields.user_data = Some(vec![1; 32])),
        "not the one that was measured",
    ),
    (
        "no measurement of configuration and minting key",
        |liar, nonce| liar.but(nonce, |fields| fields.user_data = None),
        "not the one that was measured",
    ),
    (
        "no sealing key",
        |liar, nonce| liar.but(nonce, |fields| fields.public_key = None),
        "no sealing key",
    ),
    (
        "half a sealing key",
        |liar, nonce| liar.but(nonce, |fields| fields.public_key = Some(vec![9; 16])),
        "no sealing key",
    ),
    (
        "a former minting key that wasn't measured",
        |liar, nonce| {
            let key = own_key()?.verifying_key().clone();
            Ok(liar.real(nonce)?.with_former_keys(vec![key]))
        },
        "not the one that was measured",
    ),
    (
        "another minting key beside the document",
        |liar, nonce| {
            let key = own_key()?.verifying_key().clone();
            Ok(Served { minting_key: key, ..liar.real(nonce)? })
        },
        "not the one that was measured",
    ),
    (
        "another configuration beside the document",
        |liar, nonce| {
            let changed = liar.pin().boot_configuration.replace("issuer", "Issuer");
            Ok(Served { boot_configuration: Base64Url(changed.into()), ..liar.real(nonce)? })
        },
        "another configuration",
    ),
    (
        "another configuration that was measured",
        |liar, nonce| {
            let changed = liar.pin().boot_configuration.replace("issuer", "Issuer").into_bytes();
            let measured = BootConfiguration::user_data(&changed, &liar.minting_key, &[]);
            let served = liar.but(nonce, |fields| fields.user_data = Some(measured.into()))?;
            Ok(Served { boot_configuration: Base64Url(changed), ..served })
        },
        "another configuration",
    ),
    (
        "a document with a byte behind it",
        |liar, nonce| {
            let mut served = liar.real(nonce)?;
            served.document.0.push(0);
            Ok(served)
        },
        "the check '",
    ),
    (
        "half a document",
        |liar, nonce| {
            let mut served = liar.real(nonce)?;
            served.document.0.truncate(served.document.0.len() / 2);
            Ok(served)
        },
        "the check '",
    ),
];

/// A liar's address, and the lie that it tells next.
pub(crate) fn start(liar: Liar) -> Result<(Rogue, Arc<Mutex<Tell>>)> {
    let lie: Arc<Mutex<Tell>> = Arc::new(Mutex::new(Liar::real));
    let told = Arc::clone(&lie);
    let rogue = Rogue::start(move |asked: &Asked| {
        let (_, nonce) = asked.path.split_once("nonce=").context("no nonce")?;
        let tell = *told.lock().ok().context("poisoned")?;
        Ok(Told::json(&serde_json::to_value(tell(&liar, &hex::decode(nonce)?)?)?))
    })?;
    Ok((rogue, lie))
}
