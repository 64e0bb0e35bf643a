//! Deciding about a draw, and carrying it out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coarse::{Clock, Epoch, UnixTime};
use epoch_keys::Purpose;
use jws::Compact;
use key_ring::{LiveKeys, LiveSigner};
use privacy_pass::KeyId;
use receipt::{Entitlements, ISSUER_AUDIENCE, IssuanceReceipt, Srt};
use service::Steps;

use crate::{
    Asked, BlindSignature, BlindedHash, Draw, DrawError, IssuerStore, KeyStoreError, Keys, Limit,
    SignFailure, Signers, StoreError,
};

/// The blind token service, whatever it is reached by.
pub struct Issuer<S> {
    /// The public side of all keys.
    pub keys: Arc<Keys>,
    /// The private side of those that sign now.
    pub signers: Arc<Signers>,
    /// Marks and answers.
    pub store: S,
    /// Whose SRTs are believed.
    pub srt_keys: LiveKeys,
    /// What signs receipts of issuance.
    pub receipt_key: LiveSigner,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often tidying failed.
    pub tidy_failures: Arc<AtomicU64>,
    /// Who is told of the steps of a draw.
    pub steps: Steps,
}

/// Which key shall sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Of(Purpose, Epoch),
    /// The one among those that sign now whose id ends with this byte (RFC 9578 section 6.1).
    Truncated(u8),
}

/// What is answered to a draw.
#[derive(Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The blind signature.
    pub signature: BlindSignature,
    /// To whom it was given.
    pub receipt: Compact,
}

/// Why nothing was drawn. Nothing was marked, either.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The SRT is no proof of a subscription.
    #[error("the SRT is refused: {0}")]
    Srt(#[from] jws::Error),
    /// Nobody can buy this.
    #[error("tokens for {0} are not sold")]
    NotSold(Purpose),
    /// The subscription doesn't cover it.
    #[error("the subscription doesn't cover {0}")]
    NotCovered(Purpose),
    /// There is no such key, or none that signs now.
    #[error("there is no such key")]
    NoKey,
    /// The subscription was reset, or has drawn all it may.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// The signer refused or failed.
    #[error(transparent)]
    Sign(#[from] SignFailure),
    /// The receipt can't be signed.
    #[error("the receipt of issuance can't be signed")]
    Receipt,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DrawError> for Refusal {
    fn from(error: DrawError) -> Self {
        match error {
            DrawError::Limit(limit) => Self::Limit(limit),
            DrawError::Store(error) => Self::Store(error),
        }
    }
}

impl<S: IssuerStore> Issuer<S> {
    /// Signs `blinded` for the subscription of `srt`, once. The same request gets the same answer as long
    /// as its token may be spent, whether or not the key is still there.
    ///
    /// Looks, signs, then looks again and records in one transaction: of two that race for one slot,
    /// one is recorded, and the other gets the same answer when it is the same request.
    pub async fn draw(
        &self,
        srt: &str,
        wanted: Wanted,
        blinded: [u8; 256],
    ) -> Result<Drawn, Refusal> {
        let now = self.clock.now();
        let srt = Srt::verify(srt, &self.srt_keys.get(), ISSUER_AUDIENCE, now)?;
        // Without a dedicated address an SRT names no version: a reset means nothing to it.
        let version = srt.entitlements.dedicated_ip.map_or_else(Default::default, |dip| dip.did);
        let (subscription, hash) = (srt.subscription, BlindedHash::of(&blinded));
        let asked = Asked { subscription, version, blinded: hash, now: None };
        let (draw, answered) = match wanted {
            Wanted::Of(purpose, epoch) => {
                covers(&srt.entitlements, purpose)?;
                self.keys.id(purpose, epoch).ok_or(Refusal::NoKey)?;
                let draw = asked.under(purpose, epoch);
                (draw, self.store.look(draw).await?)
            }
            Wanted::Truncated(byte) => {
                // The key that answered the very request before may be gone by now; else it is one that signs.
                let signing = self.signing(byte, now).ok_or(Refusal::NoKey);
                let covered = signing.and_then(|signing| {
                    covers(&srt.entitlements, signing.0)?;
                    Ok(signing)
                });
                let asked = Asked { now: covered.as_ref().ok().copied(), ..asked };
                let keys = Arc::clone(&self.keys);
                let is_meant = move |purpose, epoch| means(&keys, purpose, epoch, byte);
                match (self.store.look_among(asked, is_meant).await?, covered) {
                    (Some(looked), _) => looked,
                    (None, Err(refusal)) => return Err(refusal),
                    (None, Ok(_)) => return Err(Refusal::NoKey),
                }
            }
        };
        covers(&srt.entitlements, draw.purpose)?;
        let key_id = self.keys.id(draw.purpose, draw.epoch).ok_or(Refusal::NoKey)?;
        let signature = match answered {
            Some(answered) => answered,
            None => {
                let signature = self.signers.sign(draw.purpose, draw.epoch, blinded, now).await?;
                self.steps.reached("draw_signed");
                let recorded = self.store.record(draw, signature).await?;
                self.steps.reached("draw_recorded");
                recorded
            }
        };
        Ok(Drawn { signature, receipt: self.receipt(&draw, key_id)? })
    }

    /// Erases the keys and drops the answers whose time is over.
    pub async fn tidy(&self) -> Result<(), TidyError> {
        self.try_to_tidy().await.inspect_err(|_| {
            self.tidy_failures.fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn try_to_tidy(&self) -> Result<(), TidyError> {
        let now = self.clock.now();
        let signers = Arc::clone(&self.signers);
        let erased = tokio::task::spawn_blocking(move || signers.erase_ended(now)).await;
        erased.map_err(|_| TidyError::Panicked)??;
        Ok(self.store.forget_ended(now).await?)
    }

    /// The key that a truncated id means among those that sign now.
    fn signing(&self, byte: u8, now: UnixTime) -> Option<(Purpose, Epoch)> {
        let signing = self.keys.signing(now).into_iter();
        let meant = signing.filter(|key| key.key_id.truncated() == byte);
        meant.map(|key| (key.purpose, key.epoch)).next()
    }

    fn receipt(&self, draw: &Draw, key: KeyId) -> Result<Compact, Refusal> {
        let (subscription, version) = (draw.subscription, draw.version);
        let blinded_hash = *draw.blinded.bytes();
        let receipt = IssuanceReceipt { subscription, version, key, blinded_hash };
        receipt.sign(&self.receipt_key.key()).map_err(|_| Refusal::Receipt)
    }
}

fn means(keys: &Keys, purpose: Purpose, epoch: Epoch, byte: u8) -> bool {
    keys.id(purpose, epoch).is_some_and(|id| id.truncated() == byte)
}

/// Why tidying was not finished. The next time goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    /// A key could not be erased.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// Answers could not be dropped.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that erased keys panicked.
    #[error("erasing keys panicked")]
    Panicked,
}

/// What has to be paid for, for a token of this purpose.
fn covers(entitlements: &Entitlements, purpose: Purpose) -> Result<(), Refusal> {
    let covered = match purpose {
        Purpose::DedicatedIp => entitlements.dedicated_ip.is_some(),
        Purpose::Access => entitlements.access.is_some(),
        Purpose::Renewal | Purpose::RelayTicket => return Err(Refusal::NotSold(purpose)),
    };
    if covered { Ok(()) } else { Err(Refusal::NotCovered(purpose)) }
}
