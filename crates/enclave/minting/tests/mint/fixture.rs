//! Keys, tree, tokens, receipts, orders and sealed requests that are all right, to be varied.

use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use blind_rsa::{AwsLcSigner, RawSigner};
use coarse::{Epoch, Secret, UnixTime, system_rng};
use encoding::Base64Url;
use epoch_keys::{CommitmentTree, PublishedKey, Purpose, TreePin};
use jws::{Compact, KeySet, SigningKey};
use lease::{ExtensionOrder, LeaseId, Notice, Order, RequestHash};
use minting::{
    Answer, AssignRequest, Drt, Mint, Minted, Observer, Outcome, RefreshRequest, Refusal,
};
use peer_key::{PeerKey, PeerSecret};
use privacy_pass::{ChallengeDigest, PendingToken, TokenResponse, TokenSeed};
use receipt::{
    Entitlement, Entitlements, IssuanceReceipt, Srt, SubscriptionId, SubscriptionVersion,
};
use seal::{AnswerKey, OpeningKey};
use wire::parent::Failure;
use wire::{BootConfiguration, envelope};

/// 2026-11-20T23:42:17Z
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);
/// The epoch of `dedicated-ip` that it lies in.
pub(crate) const EPOCH: Epoch = Epoch::new(2_968);
pub(crate) const ISSUER: &str = "issuer.example";
pub(crate) const ORIGIN: &str = "dip.example";

/// The keys of [`EPOCH`] and the one after it.
static SIGNERS: LazyLock<[AwsLcSigner; 2]> =
    LazyLock::new(|| [(); 2].map(|()| AwsLcSigner::generate(2048).unwrap()));

/// What an observer was shown.
pub(crate) type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) struct Eye(Seen);

impl Observer for Eye {
    fn opened(&self, plaintext: &[u8]) {
        self.0.lock().unwrap().push(plaintext.to_vec());
    }

    fn sealing(&self, plaintext: &[u8]) {
        self.0.lock().unwrap().push(plaintext.to_vec());
    }
}

/// Everybody's keys, and a mint that believes them.
pub(crate) struct World {
    pub(crate) accounts: SigningKey,
    pub(crate) issuance: SigningKey,
    pub(crate) orders: SigningKey,
    pub(crate) boot: BootConfiguration,
    pub(crate) mint: Mint<Eye>,
    pub(crate) seen: Seen,
    tree: CommitmentTree,
}

/// What came of a request, opened by its sender.
pub(crate) struct Shown {
    pub(crate) grant: Option<Compact>,
    pub(crate) answer: Answer,
    pub(crate) size: usize,
}

impl Shown {
    pub(crate) fn minted(self) -> Minted {
        assert!(self.grant.is_some());
        match self.answer {
            Answer::Granted(minted) => minted,
            Answer::Refused(refusal) => panic!("refused: {refusal}"),
            Answer::Frozen(_) | Answer::GivenBack => panic!("no tokens"),
        }
    }

    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match &self.answer {
            Answer::Granted(_) => None,
            Answer::Refused(refusal) => {
                assert!(self.grant.is_none(), "a refusal came with a grant");
                Some(*refusal)
            }
            Answer::Frozen(_) | Answer::GivenBack => panic!("neither"),
        }
    }

    /// What the provider says of a lease that it froze.
    pub(crate) fn frozen(self) -> Notice {
        assert!(self.grant.is_none(), "a frozen lease came with a grant");
        match self.answer {
            Answer::Frozen(notice) => notice,
            _ => panic!("not frozen"),
        }
    }
}

pub(crate) fn role_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
}

pub(crate) fn subscription(number: u8) -> SubscriptionId {
    SubscriptionId::from_bytes([number; 16])
}

/// The claims of an SRT that covers everything.
pub(crate) fn srt_claims(subscriber: u8, version: u32) -> Srt {
    Srt {
        subscription: subscription(subscriber),
        entitlements: Entitlements::new(Entitlement::ALL, SubscriptionVersion::new(version)),
    }
}

/// Another mint of the same keys: `Mint` can't be cloned.
pub(crate) fn minting_key() -> SigningKey {
    role_key(4)
}

impl World {
    pub(crate) fn new() -> Self {
        let (accounts, issuance, orders) = (role_key(1), role_key(2), role_key(3));
        let spkis = SIGNERS.each_ref().map(|signer| signer.public_key().spki());
        let tree = CommitmentTree::build(Purpose::DedicatedIp, EPOCH, &spkis).unwrap();
        let boot = BootConfiguration {
            srt_keys: KeySet::from(accounts.verifying_key()),
            issuance_keys: KeySet::from(issuance.verifying_key()),
            refused_minting_keys: vec![],
            order_keys: KeySet::from(orders.verifying_key()),
            issuer_name: ISSUER.into(),
            origin: ORIGIN.into(),
            tree: TreePin { purpose: Purpose::DedicatedIp, first_epoch: EPOCH, root: tree.root() },
        };
        let seen = Seen::default();
        let opening = OpeningKey::generate(&mut system_rng());
        let eye = Eye(Arc::clone(&seen));
        let mint = Mint::new(boot.clone(), opening, minting_key(), eye);
        Self { accounts, issuance, orders, boot, mint, seen, tree }
    }

    pub(crate) fn signer(epoch: Epoch) -> &'static AwsLcSigner {
        &SIGNERS[(epoch.number() - EPOCH.number()) as usize]
    }

    pub(crate) fn published(&self, epoch: Epoch) -> PublishedKey {
        PublishedKey {
            purpose: Purpose::DedicatedIp,
            epoch,
            public_key: Base64Url(Self::signer(epoch).public_key().spki()),
            proof: self.tree.proof(epoch).unwrap(),
        }
    }

    pub(crate) fn challenge(epoch: Epoch) -> ChallengeDigest {
        epoch_keys::challenge(ISSUER, ORIGIN, Purpose::DedicatedIp, epoch).unwrap().digest()
    }

    pub(crate) fn srt(&self, subscriber: u8, version: u32) -> Compact {
        srt_claims(subscriber, version).sign(&self.accounts, NOW).unwrap()
    }

    /// The receipt for a request that `made` sent.
    pub(crate) fn receipt(
        &self,
        made: &PendingToken,
        subscriber: u8,
        version: u32,
    ) -> IssuanceReceipt {
        let blinded = digest(&SHA256, made.request().blinded_message());
        IssuanceReceipt {
            subscription: subscription(subscriber),
            version: SubscriptionVersion::new(version),
            key: privacy_pass::KeyId::of(Self::signer(EPOCH).public_key()),
            blinded_hash: blinded.as_ref().try_into().unwrap(),
        }
    }

    /// A token drawn by this subscription with this seed, and all that goes with it.
    pub(crate) fn drawn(&self, subscriber: u8, version: u32, seed: u8) -> AssignRequest {
        let signer = Self::signer(EPOCH);
        let made = pending(seed);
        AssignRequest {
            srt: self.srt(subscriber, version),
            receipt: self.receipt(&made, subscriber, version).sign(&self.issuance).unwrap(),
            seed: Secret::new([seed; 32]),
            token: made.finalize(&blind_signature(signer, &made)).unwrap(),
            key: self.published(EPOCH),
            device: device().public(),
            device_proof: None,
        }
    }

    pub(crate) fn order(request: &AssignRequest) -> Order {
        Order {
            lease: LeaseId::from_bytes([0xaa; 16]),
            ip: "203.0.113.7".parse().unwrap(),
            region: "eu-1".parse().unwrap(),
            token: request.token.spend_hash(),
            frozen: false,
            notice: None,
        }
    }

    /// Seals for the mint.
    pub(crate) fn seal(
        &self,
        info: &[u8],
        bound: &[u8],
        plaintext: &[u8],
        size: usize,
    ) -> (Vec<u8>, AnswerKey) {
        let key = self.mint.sealing_key();
        seal::seal(key, info, bound, plaintext, size, &mut system_rng()).unwrap()
    }

    pub(crate) fn seal_assign(
        &self,
        request: &AssignRequest,
        order: &Order,
    ) -> (Vec<u8>, AnswerKey) {
        let device = holder(request.device);
        request.seal(&device, &order.token, self.mint.sealing_key(), &mut system_rng()).unwrap()
    }

    /// Has an order carried out at `now`.
    pub(crate) fn assign_at(&self, request: &AssignRequest, order: &Order, now: UnixTime) -> Shown {
        self.carry_out(self.seal_assign(request, order), order, now)
    }

    /// What the mint says to this sealed request under an order that is all right.
    pub(crate) fn carry_out(
        &self,
        (sealed, key): (Vec<u8>, AnswerKey),
        order: &Order,
        now: UnixTime,
    ) -> Shown {
        let order = order.sign(&self.orders, now).unwrap();
        opened(self.mint.assign(order.as_str(), &sealed, now, &mut system_rng()).unwrap(), &key)
    }

    pub(crate) fn assign(&self, request: &AssignRequest) -> Shown {
        self.assign_at(request, &Self::order(request), NOW)
    }

    /// What the mint says to arbitrary content under a good order.
    pub(crate) fn assign_content(&self, plaintext: &[u8]) -> Shown {
        let order = Self::order(&self.drawn(1, 0, 1));
        let bound = order.token.as_bytes();
        let sealed = self.seal(envelope::ASSIGN, bound, plaintext, envelope::ASSIGN_SIZE);
        self.carry_out(sealed, &order, NOW)
    }

    /// A refresh request of a lease that this subscription was assigned.
    pub(crate) fn leased(&self, subscriber: u8, version: u32) -> RefreshRequest {
        let minted = self.assign(&self.drawn(subscriber, version, subscriber)).minted();
        RefreshRequest {
            srt: self.srt(subscriber, version),
            drt: minted.drt,
            device: device().public(),
            device_proof: None,
            give_back: false,
        }
    }

    pub(crate) fn drt_claims(&self, request: &RefreshRequest) -> Drt {
        let keys = KeySet::from(self.mint.minting_key());
        Drt::verify(request.drt.as_str(), &keys, NOW).unwrap()
    }

    /// The order that goes with this sealed request.
    pub(crate) fn extension_order(sealed: &[u8]) -> ExtensionOrder {
        ExtensionOrder {
            lease: LeaseId::from_bytes([0xaa; 16]),
            ip: "203.0.113.7".parse().unwrap(),
            region: "eu-1".parse().unwrap(),
            request: RequestHash(digest(&SHA256, sealed).as_ref().try_into().unwrap()),
            frozen: false,
            notice: None,
        }
    }

    pub(crate) fn seal_refresh(
        &self,
        request: &RefreshRequest,
        lease: LeaseId,
    ) -> (Vec<u8>, AnswerKey) {
        let device = holder(request.device);
        request.seal(&device, lease, self.mint.sealing_key(), &mut system_rng()).unwrap()
    }

    /// Has a refresh carried out at `now` on an order that `change` may spoil.
    pub(crate) fn refresh_at(
        &self,
        request: &RefreshRequest,
        change: impl Fn(&mut ExtensionOrder),
        now: UnixTime,
    ) -> Shown {
        let mut order = Self::extension_order(&[]);
        change(&mut order);
        self.extend(self.seal_refresh(request, order.lease), order, now)
    }

    /// What the mint says to this sealed request under an order for it.
    pub(crate) fn extend(
        &self,
        (sealed, key): (Vec<u8>, AnswerKey),
        mut order: ExtensionOrder,
        now: UnixTime,
    ) -> Shown {
        order.request = Self::extension_order(&sealed).request;
        let order = order.sign(&self.orders, now).unwrap();
        opened(self.mint.refresh(order.as_str(), &sealed, now, &mut system_rng()).unwrap(), &key)
    }

    pub(crate) fn refresh(&self, request: &RefreshRequest) -> Shown {
        self.refresh_at(request, |_| {}, NOW)
    }

    /// What was shown to the observer since the last look.
    pub(crate) fn look(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// The pending token of [`EPOCH`] from this seed.
pub(crate) fn pending(seed: u8) -> PendingToken {
    let key = World::signer(EPOCH).public_key();
    let seed = TokenSeed::from_bytes([seed; 32]);
    PendingToken::new(key, &World::challenge(EPOCH), &seed).unwrap()
}

pub(crate) fn blind_signature(signer: &AwsLcSigner, made: &PendingToken) -> TokenResponse {
    let signed = signer.sign_blinded(made.request().blinded_message()).unwrap();
    TokenResponse::decode(&signed).unwrap()
}

pub(crate) fn opened(outcome: Outcome, key: &AnswerKey) -> Shown {
    let (grant, sealed) = match outcome {
        Outcome::Granted { grant, sealed } => (Some(grant), sealed),
        Outcome::Refused { sealed } => (None, sealed),
    };
    let plaintext = key.open(&sealed, envelope::ANSWER_SIZE).unwrap();
    Shown { grant, answer: Answer::decode(&plaintext).unwrap(), size: sealed.len() }
}

/// The failure of a request of which nothing came.
pub(crate) fn failure(outcome: Result<Outcome, Failure>) -> Failure {
    match outcome {
        Ok(_) => panic!("it was carried out"),
        Err(failure) => failure,
    }
}

pub(crate) fn device() -> PeerSecret {
    PeerSecret::from_bytes(&Secret::new([9; 32]))
}

pub(crate) fn other_device() -> PeerSecret {
    PeerSecret::from_bytes(&Secret::new([5; 32]))
}

/// The private half of one of the two devices' keys.
fn holder(key: PeerKey) -> PeerSecret {
    [device(), other_device()].into_iter().find(|device| device.public() == key).unwrap()
}
