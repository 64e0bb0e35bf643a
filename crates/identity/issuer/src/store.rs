//! What the blind token service asks of its database.

use std::error::Error;

use aws_lc_rs::digest::{SHA256, digest};
use coarse::{Epoch, UnixTime};
use epoch_keys::Purpose;
use receipt::{SubscriptionId, SubscriptionVersion};

/// How many devices of a subscription may draw a token for `access`, each epoch.
pub const ACCESS_SLOTS: u32 = 10;

/// Marks and answers, kept durably. Each method is one transaction, or two that may come apart.
pub trait IssuerStore: Send + Sync + 'static {
    /// Whether this draw may go on (`None`) or was answered already. The subscription's version is
    /// remembered when it is higher than any before.
    fn look(
        &self,
        draw: Draw,
    ) -> impl Future<Output = Result<Option<BlindSignature>, DrawError>> + Send;

    /// Marks the draw and keeps its answer, both or neither; checks once more. The answer that counts is
    /// the one returned: when the same draw was recorded before, it is that one.
    fn record(
        &self,
        draw: Draw,
        signature: BlindSignature,
    ) -> impl Future<Output = Result<BlindSignature, DrawError>> + Send;

    /// As [`look`](Self::look), for one of several keys: the first under which this very message was answered before and that
    /// `is_meant`, else the one of `draw`. Says for which it looked; `None` when it looked for none.
    fn look_among(
        &self,
        asked: Asked,
        is_meant: impl Fn(Purpose, Epoch) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<Option<(Draw, Option<BlindSignature>)>, DrawError>> + Send;

    /// Drops the answers whose tokens can't be spent any more.
    fn forget_ended(&self, now: UnixTime) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Who draws what.
#[derive(Clone, Copy)]
pub struct Draw {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its version.
    pub version: SubscriptionVersion,
    /// What for.
    pub purpose: Purpose,
    /// Under which epoch's key.
    pub epoch: Epoch,
    /// The blinded message's hash.
    pub blinded: BlindedHash,
}

/// Who draws, before it is known under which key.
#[derive(Clone, Copy)]
pub struct Asked {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its version.
    pub version: SubscriptionVersion,
    /// The blinded message's hash.
    pub blinded: BlindedHash,
    /// The key under which it may be drawn now.
    pub now: Option<(Purpose, Epoch)>,
}

impl Asked {
    /// The draw under this key.
    #[must_use]
    pub const fn under(&self, purpose: Purpose, epoch: Epoch) -> Draw {
        let Self { subscription, version, blinded, now: _ } = *self;
        Draw { subscription, version, purpose, epoch, blinded }
    }
}

/// SHA-256 of a blinded message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlindedHash([u8; 32]);

impl BlindedHash {
    /// The hash of `blinded`.
    #[must_use]
    pub fn of(blinded: &[u8; 256]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, blinded).as_ref());
        Self(hash)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A blind signature (RFC 9474 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlindSignature(pub [u8; 256]);

/// What forbids a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// A higher version of the subscription was seen.
    #[error("the subscription was reset since")]
    OldVersion,
    /// All that this subscription may draw was drawn.
    #[error("all that may be drawn was drawn")]
    Reached,
}

/// Why a draw doesn't go on.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// It isn't allowed.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// See there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database failed. Nothing was changed, or all of it (when the connection to a server broke during a commit): the same request may be
/// sent again.
#[derive(Debug, thiserror::Error)]
#[error("the database failed")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// What failed, in words that name no row.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync) {
        &*self.0
    }
}

impl From<store::Error> for StoreError {
    fn from(error: store::Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<store::Error> for DrawError {
    fn from(error: store::Error) -> Self {
        Self::Store(error.into())
    }
}
