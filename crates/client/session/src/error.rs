//! What can go wrong, and what to do about it.

use access_code::{DeriveError, OpenError, SealError};
use attested::{AttestationError, ProviderError};
use http_client::ClientError;
use minting::Refusal;
use tunnel::TunnelError;
use wallet::{AnswerError, DrawError, WalletError};

/// Why a step went no further. Nothing is lost by it: the same command may be given again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The wallet's file.
    #[error("the wallet cannot be used: {0}")]
    Wallet(#[from] WalletError),
    /// No provider is trusted yet.
    #[error("no provider is trusted yet")]
    NoTrust,
    /// The provider's file.
    #[error("the provider's file was refused: {0}")]
    Provider(#[from] ProviderError),
    /// The provider's file has ended.
    #[error("the provider's file has expired")]
    Expired,
    /// The provider's file doesn't say where newer ones are.
    #[error("the provider's file does not say where newer ones are to be had")]
    NoSource,
    /// The attestation root calls itself untrusted, and the user hasn't accepted that.
    #[error("the provider's attestation root says of itself that it is UNTRUSTED DEVELOPMENT")]
    UntrustedRoot,
    /// No account.
    #[error("no account is set")]
    NoAccount,
    /// No lease.
    #[error("there is no dedicated IP in this wallet")]
    NoLease,
    /// What is asked from inside a tunnel, and none is open.
    #[error("no tunnel is open, and this is asked from inside one")]
    NoTunnel,
    /// A lease was taken from a backup, and this device has no access token for it yet.
    #[error(
        "the address was restored from its backup, and this device has no access token for it yet"
    )]
    Restored,
    /// What is to be restored would take the place of something.
    #[error("this wallet holds a token or an address already; nothing is restored over it")]
    Occupied,
    /// The provider's file names no backup service.
    #[error("this provider has no backup service")]
    NoBackupService,
    /// Nothing opens. Which of the three it is nobody can tell.
    #[error(
        "no backup opens with this Access Code: the code is wrong, or it was made with another account than the one that is logged in, or there is no backup (any more)"
    )]
    NoBackup,
    /// An Access Code can't be stretched.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The lease can't be backed up.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The backup is of another form.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A service refused or can't be reached.
    #[error("{service}: {error}")]
    Service {
        /// Which.
        service: &'static str,
        /// How.
        error: ClientError,
    },
    /// A service's URL can't be used.
    #[error("{0}'s URL cannot be used")]
    Url(&'static str),
    /// A service's answer isn't what it should be.
    #[error("{service}: {what}")]
    Unexpected {
        /// Which.
        service: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Drawing a token.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The enclave isn't believed.
    #[error("the enclave is not the one that you trust: {0}")]
    Attestation(#[from] AttestationError),
    /// The enclave's answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The tunnel.
    #[error("the tunnel: {0}")]
    Tunnel(#[from] TunnelError),
}

/// What a user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Give the same command again later.
    Repeat,
    /// Do something else; the text says what.
    Do(&'static str),
    /// Nothing from here: don't go on.
    Stop,
}

/// After a reset: what the wallet holds is worth nothing any more.
const START_OVER: Remedy = Remedy::Do(
    "ask support for a reset; after it, give up what this wallet holds and assign anew: \
     cloakroom dip forget --yes, cloakroom dip assign",
);

impl Error {
    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NoTrust => Remedy::Do("take in your provider's file: cloakroom trust add FILE"),
            Self::NoAccount => Remedy::Do("set your account number: cloakroom account login"),
            Self::NoLease => Remedy::Do("get one: cloakroom dip assign"),
            Self::NoTunnel => Remedy::Do("open it: cloakroom connect"),
            Self::Restored => Remedy::Do("get one: cloakroom dip refresh"),
            Self::Occupied => Remedy::Do(
                "restore into another wallet (--home DIR), or give up what this one holds: cloakroom dip forget --yes",
            ),
            Self::NoBackupService => {
                Remedy::Do("perhaps its newest file names one: cloakroom trust update")
            }
            Self::NoBackup => Remedy::Do(
                "check the code and the account (cloakroom account show, account login). A backup ends with the refresh token in it, 60 days after it was \
                 written last. A forgotten code can't be had back: ask support for a reset; after it, get a new address: cloakroom dip assign",
            ),
            Self::UntrustedRoot => Remedy::Do(
                "for development only: cloakroom trust add FILE --accept-untrusted-development",
            ),
            Self::Expired => Remedy::Do("take in a newer one: cloakroom trust update"),
            Self::NoSource => Remedy::Do("take in a newer one by hand: cloakroom trust add FILE"),
            Self::Provider(ProviderError::OtherSigner) => Remedy::Do(
                "ask your provider why; to start over, remove it first: cloakroom trust remove",
            ),
            Self::Service { error, .. } if error.is_retriable() => Remedy::Repeat,
            Self::Service { error: ClientError::Problem(problem), .. } => match problem.slug() {
                "account-unknown" | "unauthorized" => {
                    Remedy::Do("check the account number: cloakroom account login")
                }
                "enclave-key-changed" => Remedy::Repeat,
                "lease-ended" | "lease-unknown" => START_OVER,
                "device-removed" => Remedy::Do(
                    "another device of this address can let it in again, with an open tunnel: \
                     cloakroom device restore THUMBPRINT",
                ),
                "device-limit-reached" => Remedy::Do(
                    "remove one from another device of this address, with an open tunnel: \
                     cloakroom device list, cloakroom device remove THUMBPRINT",
                ),
                "device-unknown" => Remedy::Do("see which there are: cloakroom device list"),
                "peer-ended" => Remedy::Repeat,
                _ => Remedy::Stop,
            },
            Self::Answer(AnswerError::Refused(
                Refusal::Reset | Refusal::OtherSubscription | Refusal::DrtExpired,
            )) => START_OVER,
            Self::Answer(AnswerError::Frozen(_)) => Remedy::Do(
                "ask support, which learns which case is yours when you quote it; or give the lease back: cloakroom dip give-back --yes",
            ),
            Self::Wallet(WalletError::Busy(_)) | Self::Tunnel(TunnelError::NoHandshake(_)) => {
                Remedy::Repeat
            }
            _ => Remedy::Stop,
        }
    }
}
