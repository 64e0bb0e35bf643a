//! A security module whose clock and moods the tests set, and a refresh that is all right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use coarse::{Epoch, Secret, UnixTime, system_rng};
use enclave::{Enclave, KeySource, ModuleError, SecurityModule};
use epoch_keys::{Purpose, Root, TreePin};
use jws::{KeySet, SigningKey};
use lease::{DipDetails, ExtensionOrder, LeaseId, RequestHash};
use minting::{Answer as Sealed, Drt, Observer, RefreshRequest, Refusal};
use nitro::{DevelopmentAuthority, DocumentFields, DocumentSigner};
use peer_key::PeerSecret;
use receipt::{Entitlement, Entitlements, Srt, SubscriptionId, SubscriptionVersion};
use seal::{AnswerKey, SealingKey};
use wire::parent::{Answer, Failure, Request};
use wire::{BootConfiguration, envelope};
use zeroize::Zeroizing;

/// 2026-11-20T23:42:17Z
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_218_137);
/// The seed of the minting key that [`wrapped`] wraps.
const MINTING_SEED: [u8; 32] = [4; 32];

/// The module of one program: it wraps by putting the program's number in front.
pub(crate) struct Module {
    signer: DocumentSigner,
    program: u8,
    now: AtomicU64,
    asked: AtomicUsize,
    failing: AtomicBool,
}

impl Module {
    pub(crate) fn new(program: u8) -> Arc<Self> {
        let signer = DevelopmentAuthority::generate(NOW).unwrap().issue(NOW).unwrap();
        Arc::new(Self {
            signer,
            program,
            now: AtomicU64::new(NOW.seconds()),
            asked: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        })
    }

    pub(crate) fn set(&self, now: UnixTime) {
        self.now.store(now.seconds(), Ordering::SeqCst);
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// How many documents were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn mood(&self) -> Result<(), ModuleError> {
        if self.failing.load(Ordering::SeqCst) { Err(ModuleError::Refused) } else { Ok(()) }
    }
}

/// The enclave's end of a [`Module`] that the test looks at, too.
pub(crate) struct Wire(pub(crate) Arc<Module>);

impl SecurityModule for Wire {
    fn attest(&self, key: &[u8], user_data: &[u8], nonce: &[u8]) -> Result<Vec<u8>, ModuleError> {
        self.0.mood()?;
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        let fields = DocumentFields {
            module_id: "i-0-enc0".into(),
            timestamp_ms: self.0.now.load(Ordering::SeqCst) * 1000,
            pcrs: [(0, [self.0.program; 48])].into(),
            public_key: some(key),
            user_data: some(user_data),
            nonce: some(nonce),
        };
        self.0.signer.sign(&fields).map_err(|_| ModuleError::Refused)
    }
}

impl KeySource for Wire {
    fn wrap(&self, secret: &[u8]) -> Result<Vec<u8>, ModuleError> {
        self.0.mood()?;
        Ok([&[self.0.program], secret].concat())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ModuleError> {
        self.0.mood()?;
        let secret = wrapped.strip_prefix(&[self.0.program]).ok_or(ModuleError::Refused)?;
        Ok(Zeroizing::new(secret.to_vec()))
    }
}

pub(crate) fn enclave(module: &Arc<Module>) -> Enclave<Wire, ()> {
    Enclave::new(Wire(Arc::clone(module)), ())
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
}

pub(crate) fn configuration() -> Vec<u8> {
    let boot = BootConfiguration {
        srt_keys: KeySet::from(key(1).verifying_key()),
        issuance_keys: KeySet::from(key(2).verifying_key()),
        refused_minting_keys: vec![],
        order_keys: KeySet::from(key(3).verifying_key()),
        issuer_name: "issuer.example".into(),
        origin: "dip.example".into(),
        tree: TreePin {
            purpose: Purpose::DedicatedIp,
            first_epoch: Epoch::new(2_968),
            root: Root::from_bytes([0; 32]),
        },
    };
    serde_json::to_vec(&boot).unwrap()
}

/// The key of [`MINTING_SEED`] as the module of this program wraps it.
pub(crate) fn wrapped(program: u8) -> Vec<u8> {
    [&[program][..], &MINTING_SEED].concat()
}

pub(crate) fn boot(wrapped_key: Vec<u8>) -> Request {
    boot_with_former(wrapped_key, vec![])
}

pub(crate) fn boot_with_former(wrapped_key: Vec<u8>, former_keys: Vec<Vec<u8>>) -> Request {
    Request::Boot { configuration: configuration(), wrapped_key, former_keys }
}

/// What the enclave tells of itself: the sealing key from its document, its configuration and minting key.
pub(crate) fn attested(answer: &Result<Answer, Failure>) -> (Vec<u8>, Vec<u8>) {
    let Ok(Answer::Attested { document, minting_key, .. }) = answer else {
        panic!("not attested: {answer:?}");
    };
    (document.clone(), minting_key.clone())
}

/// The sealing key of a booted enclave, as its document names it.
pub(crate) fn sealing_key<M: SecurityModule + KeySource, O: Observer>(
    enclave: &Enclave<M, O>,
) -> SealingKey {
    let (document, _) = attested(&enclave.answer(Request::Attest { nonce: vec![1] }));
    // The document's map has `public_key` with 32 bytes: 0x58 0x20 in CBOR.
    let name = b"public_key\x58\x20";
    let place = document.windows(name.len()).position(|window| window == name).unwrap();
    let start = place + name.len();
    SealingKey::from_bytes(document[start..start + 32].try_into().unwrap())
}

/// A refresh of a lease whose DRT the key of [`MINTING_SEED`] signed, right at [`NOW`].
pub(crate) fn refresh(to: &SealingKey) -> (Request, AnswerKey) {
    refresh_at(to, NOW)
}

/// The same, with an order that is signed at another time.
pub(crate) fn refresh_at(to: &SealingKey, now: UnixTime) -> (Request, AnswerKey) {
    let (subscription, version) =
        (SubscriptionId::from_bytes([1; 16]), SubscriptionVersion::new(0));
    let entitlements = Entitlements::new(Entitlement::ALL, version);
    let device = PeerSecret::from_bytes(&Secret::new([9; 32]));
    let drt = Drt {
        subscription,
        version,
        lease: LeaseId::from_bytes([0xaa; 16]),
        dip_details: DipDetails { ip: "203.0.113.7".parse().unwrap() },
        region: "eu-1".parse().unwrap(),
    };
    let request = RefreshRequest {
        srt: Srt { subscription, entitlements }.sign(&key(1), NOW).unwrap(),
        drt: drt.sign(&SigningKey::from_seed(&Secret::new(MINTING_SEED)).unwrap(), NOW).unwrap(),
        device: device.public(),
        device_proof: None,
        give_back: false,
    };
    let (sealed, answer) = request.seal(&device, drt.lease, to, &mut system_rng()).unwrap();
    let order = ExtensionOrder {
        lease: drt.lease,
        ip: drt.dip_details.ip,
        region: drt.region,
        request: RequestHash(digest(&SHA256, &sealed).as_ref().try_into().unwrap()),
        frozen: false,
        notice: None,
    };
    let order = order.sign(&key(3), now).unwrap().as_str().as_bytes().to_vec();
    (Request::Refresh { order, sealed }, answer)
}

/// Why a refresh was refused; nothing when it was granted.
pub(crate) fn refusal(answer: &Result<Answer, Failure>, key: &AnswerKey) -> Option<Refusal> {
    let sealed = match answer {
        Ok(Answer::Granted { sealed, .. } | Answer::Refused { sealed }) => sealed,
        other => panic!("neither granted nor refused: {other:?}"),
    };
    match Sealed::decode(&key.open(sealed, envelope::ANSWER_SIZE).unwrap()).unwrap() {
        Sealed::Granted(_) => None,
        Sealed::Refused(refusal) => Some(refusal),
        Sealed::Frozen(_) | Sealed::GivenBack => panic!("neither"),
    }
}
