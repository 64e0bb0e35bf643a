//! The mint: opens a request, decides, mints, seals the answer.

use aws_lc_rs::digest::{SHA256, digest};
use coarse::UnixTime;
use jws::{KeySet, SigningKey, VerifyingKey};
use lease::{
    Dat, DipDetails, ExitAddress, Extension, ExtensionOrder, Grant, LeaseId, Notice, Order, Region,
    Release, lease_end, release_end,
};
use peer_key::PeerKey;
use rand_core::CryptoRng;
use seal::{AnswerSealer, Opened, OpeningKey};
use wire::parent::Failure;
use wire::{BootConfiguration, envelope};

use crate::decide::{self, Entitled, Right};
use crate::{Answer, AssignRequest, Drt, Minted, RefreshRequest, Refusal};

/// Sees plaintexts. `()` sees nothing and costs nothing; the knowledge audit's own binary has another.
pub trait Observer: Send + Sync {
    /// Whether the module is asked for the time anew at each request; otherwise its answer is carried on for a while.
    const ASKS_FOR_TIME: bool = false;

    /// A sealed request's content.
    fn opened(&self, plaintext: &[u8]);
    /// An answer's content, before it is sealed.
    fn sealing(&self, plaintext: &[u8]);
}

impl Observer for () {
    fn opened(&self, _: &[u8]) {}
    fn sealing(&self, _: &[u8]) {}
}

/// What a request came to.
pub enum Outcome {
    /// Tokens were minted, or the lease was given back.
    Granted {
        /// The signed [`Grant`], [`Extension`] or [`Release`].
        grant: jws::Compact,
        /// The sealed answer.
        sealed: Vec<u8>,
    },
    /// Neither; the sealed answer says why.
    Refused {
        /// The sealed answer.
        sealed: Vec<u8>,
    },
}

/// A booted enclave's keys and configuration.
pub struct Mint<O> {
    boot: BootConfiguration,
    opening_key: OpeningKey,
    minting_key: SigningKey,
    former: Vec<VerifyingKey>,
    minting_keys: KeySet,
    observer: O,
}

/// For which lease and address to mint, and what its holder is to be told.
struct Place<'a> {
    lease: LeaseId,
    ip: ExitAddress,
    region: &'a Region,
    notice: Option<&'a Notice>,
}

impl<O: Observer> Mint<O> {
    /// A mint that believes `boot`, opens with `opening_key` and signs with `minting_key`.
    #[must_use]
    pub fn new(
        boot: BootConfiguration,
        opening_key: OpeningKey,
        minting_key: SigningKey,
        observer: O,
    ) -> Self {
        Self::with_former_keys(boot, opening_key, minting_key, Vec::new(), observer)
    }

    /// As [`new`](Self::new), for a mint that also believes refresh tokens that these keys signed before.
    #[must_use]
    pub fn with_former_keys(
        boot: BootConfiguration,
        opening_key: OpeningKey,
        minting_key: SigningKey,
        former: Vec<VerifyingKey>,
        observer: O,
    ) -> Self {
        let present = minting_key.verifying_key().clone();
        let minting_keys = KeySet::new([present].into_iter().chain(former.iter().cloned()));
        Self { boot, opening_key, minting_key, former, minting_keys, observer }
    }

    /// What clients seal to.
    #[must_use]
    pub const fn sealing_key(&self) -> &seal::SealingKey {
        self.opening_key.public()
    }

    /// What its tokens are verified with.
    #[must_use]
    pub const fn minting_key(&self) -> &VerifyingKey {
        self.minting_key.verifying_key()
    }

    /// What tokens that it made before are verified with.
    #[must_use]
    pub fn former_keys(&self) -> &[VerifyingKey] {
        &self.former
    }

    /// A first assignment. The same order and request may come again (a lost answer): the same address, new tokens.
    ///
    /// # Errors
    /// [`Failure::Order`], [`Failure::OtherKey`] or [`Failure::Unopenable`], in that order; nothing was read of the request
    /// before the order held.
    pub fn assign(
        &self,
        order: &str,
        sealed: &[u8],
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Outcome, Failure> {
        let order = Order::verify(order, &self.boot.order_keys, now).map_err(|_| Failure::Order)?;
        let bound = order.token.as_bytes();
        let opened = self.open(envelope::ASSIGN, bound, sealed, envelope::ASSIGN_SIZE)?;
        let decided = AssignRequest::decode(&opened.plaintext).ok_or(Refusal::Malformed).and_then(
            |request| {
                decide::device(&request.device, request.device_proof.as_ref(), &opened.proofs)?;
                let right = decide::assignment(&request, &order, &self.boot, now)?;
                Ok((right, request.device))
            },
        );
        let Order { lease, ip, ref region, ref notice, .. } = order;
        let place = Place { lease, ip, region, notice: notice.as_ref() };
        let answer = self.answer(decided, &place, now)?;
        let grant = Grant { lease, token: order.token, ends: lease_end(now) };
        self.seal(&answer, || grant.sign(&self.minting_key), opened.answer, rng)
    }

    /// A refresh, or the lease given back. The order must be for this very request.
    ///
    /// # Errors
    /// As [`assign`](Self::assign).
    pub fn refresh(
        &self,
        order: &str,
        sealed: &[u8],
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Outcome, Failure> {
        let order = ExtensionOrder::verify(order, &self.boot.order_keys, now)
            .map_err(|_| Failure::Order)?;
        if digest(&SHA256, sealed).as_ref() != order.request.0 {
            return Err(Failure::Order);
        }
        let bound = order.lease.bytes();
        let opened = self.open(envelope::REFRESH, bound, sealed, envelope::REFRESH_SIZE)?;
        let decided = RefreshRequest::decode(&opened.plaintext).ok_or(Refusal::Malformed).and_then(
            |request| {
                decide::device(&request.device, request.device_proof.as_ref(), &opened.proofs)?;
                let right = decide::refresh(&request, &order, &self.boot, &self.minting_keys, now)?;
                Ok((right, request.device))
            },
        );
        let ExtensionOrder { lease, ip, ref region, request, ref notice, .. } = order;
        let place = Place { lease, ip, region, notice: notice.as_ref() };
        let answer = self.answer(decided, &place, now)?;
        let grant = || match answer {
            Answer::GivenBack => {
                Release { lease, request, ends: release_end(now) }.sign(&self.minting_key)
            }
            _ => Extension { lease, request, ends: lease_end(now) }.sign(&self.minting_key),
        };
        self.seal(&answer, grant, opened.answer, rng)
    }

    fn open(
        &self,
        info: &[u8],
        bound: &[u8],
        sealed: &[u8],
        size: usize,
    ) -> Result<Opened<'_>, Failure> {
        let opened =
            self.opening_key.open(info, bound, sealed, size).map_err(|error| match error {
                seal::Error::OtherKey => Failure::OtherKey,
                _ => Failure::Unopenable,
            })?;
        self.observer.opened(&opened.plaintext);
        Ok(opened)
    }

    /// What was decided, with tokens where there is a right to them.
    fn answer(
        &self,
        decided: Result<(Right, PeerKey), Refusal>,
        place: &Place<'_>,
        now: UnixTime,
    ) -> Result<Answer, Failure> {
        Ok(match decided {
            Err(refusal) => Answer::Refused(refusal),
            Ok((Right::Release, _)) => Answer::GivenBack,
            Ok((Right::Notice, _)) => {
                Answer::Frozen(place.notice.cloned().unwrap_or_else(Notice::frozen))
            }
            Ok((Right::Tokens(entitled), device)) => {
                Answer::Granted(self.mint(&entitled, &device, place, now)?)
            }
        })
    }

    /// Tokens. Signing fails for no client's fault.
    fn mint(
        &self,
        entitled: &Entitled,
        device: &PeerKey,
        place: &Place<'_>,
        now: UnixTime,
    ) -> Result<Minted, Failure> {
        let dat = Dat::new(place.ip, place.region.clone(), device);
        let drt = Drt {
            subscription: entitled.subscription,
            version: entitled.version,
            lease: place.lease,
            dip_details: DipDetails { ip: place.ip },
            region: place.region.clone(),
        };
        Ok(Minted {
            lease: place.lease,
            ip: place.ip,
            region: place.region.clone(),
            dat: dat.sign(&self.minting_key, now).map_err(|_| Failure::Module)?,
            dat_ends: Dat::end(now),
            drt: drt.sign(&self.minting_key, now).map_err(|_| Failure::Module)?,
            drt_ends: Drt::end(now),
            notice: place.notice.cloned(),
        })
    }

    fn seal(
        &self,
        answer: &Answer,
        grant: impl FnOnce() -> Result<jws::Compact, jws::Error>,
        sealer: AnswerSealer,
        rng: &mut impl CryptoRng,
    ) -> Result<Outcome, Failure> {
        let plaintext = answer.encode().ok_or(Failure::Module)?;
        self.observer.sealing(&plaintext);
        let sealed =
            sealer.seal(&plaintext, envelope::ANSWER_SIZE, rng).map_err(|_| Failure::Module)?;
        Ok(match answer {
            Answer::Granted(_) | Answer::GivenBack => {
                Outcome::Granted { grant: grant().map_err(|_| Failure::Module)?, sealed }
            }
            Answer::Refused(_) | Answer::Frozen(_) => Outcome::Refused { sealed },
        })
    }
}
