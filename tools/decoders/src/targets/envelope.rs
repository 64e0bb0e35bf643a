//! Sealed requests and answers: the envelope itself, its padding, and what a mint does with any content.
//!
//! The first byte says what follows: an envelope as it comes; a padded block, which is sealed to the recipient; the content
//! of an assignment's or a refresh's request, which is padded, sealed and minted for; the content of an answer.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _, setup_sender_with_rng};
use lease::{Extension, ExtensionOrder, Grant, Notice, Order, Release, RequestHash};
use minting::{Answer, AssignRequest, Mint, Minted, Outcome, RefreshRequest, Refusal};
use peer_key::PeerKey;
use seal::{Error, KeyProof, Opened, OpeningKey, Sealer, recipient, seal};
use wire::envelope::{
    ANSWER_OVERHEAD, ANSWER_SIZE, ASSIGN, ASSIGN_SIZE, REFRESH, REFRESH_SIZE, REQUEST_OVERHEAD,
};

use super::jwt;
use crate::fixture::{self, NOW, Repeatable, Role, key, keys};
use crate::input::{byte, tagged};

/// The size of the envelopes whose padding is looked at.
const SIZE: usize = 64;

static OPENING: LazyLock<OpeningKey> =
    LazyLock::new(|| OpeningKey::generate(&mut Repeatable::new(1)));

static MINT: LazyLock<Mint<()>> = LazyLock::new(|| {
    let opening = OpeningKey::generate(&mut Repeatable::new(1));
    Mint::new(fixture::boot(), opening, key(Role::Minting), ())
});

/// Opens an envelope, found or made.
pub(crate) fn check(input: &[u8]) {
    let Some((mode, rest)) = byte(input) else { return };
    match mode % 5 {
        0 => found(rest),
        1 => padded(rest),
        2 => assign(rest),
        3 => refresh(rest),
        _ => answer(rest),
    }
}

/// Nobody writes an envelope that opens without sealing it.
fn found(rest: &[u8]) {
    let with_key = [OPENING.public().bytes().as_slice(), rest].concat();
    for sealed in [rest, &with_key] {
        let opened = OPENING.open(b"info", b"bound", sealed, SIZE).map(|_| ());
        let ours = recipient(sealed) == Some(*OPENING.public());
        let expected = if sealed.len() < 32 || ours { Error::Unopenable } else { Error::OtherKey };
        assert_eq!(opened, Err(expected));
    }
    let (_, answer_key) =
        seal(OPENING.public(), b"info", b"bound", b"", SIZE, &mut Repeatable::new(2))
            .expect("it fits");
    assert_eq!(answer_key.open(rest, SIZE).map(|_| ()), Err(Error::Unopenable));
}

/// What opens is what was padded as it must be, and then its content comes out.
fn padded(rest: &[u8]) {
    type Scheme = X25519HkdfSha256;
    let mut block = rest.to_vec();
    block.resize(SIZE, 0);
    let bytes = OPENING.public().bytes();
    let public = <Scheme as Kem>::PublicKey::from_bytes(bytes).expect("a key");
    let mut rng = Repeatable::new(3);
    let (encapped, mut context) = setup_sender_with_rng::<AesGcm256, HkdfSha256, Scheme>(
        &OpModeS::Base,
        &public,
        b"info",
        &mut rng,
    )
    .expect("a sound key");
    let ciphertext = context.seal(&block, b"bound").expect("it fits");
    let enc = encapped.to_bytes();
    let sealed = [bytes.as_slice(), enc.as_slice(), &ciphertext].concat();
    assert_eq!(sealed.len(), SIZE + REQUEST_OVERHEAD);

    let length = usize::from(u16::from_be_bytes([block[0], block[1]]));
    let good = block.get(2 + length..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    match OPENING.open(b"info", b"bound", &sealed, SIZE) {
        Err(error) => assert!(!good && error == Error::Unopenable),
        Ok(Opened { plaintext, answer, .. }) => {
            assert!(good);
            assert_eq!(plaintext.as_slice(), &block[2..2 + length]);
            let answer = answer.seal(&plaintext, SIZE, &mut rng).expect("it was as long before");
            assert_eq!(answer.len(), SIZE + ANSWER_OVERHEAD);
        }
    }
}

/// The mint answers any content in one size, and grants only to whom it must.
fn assign(content: &[u8]) {
    let order = Order {
        lease: fixture::lease_id(),
        ip: fixture::address(),
        region: fixture::region(),
        token: fixture::TOKEN.spend_hash(),
        frozen: false,
        notice: None,
    };
    let mut rng = Repeatable::new(4);
    let bound = order.token.as_bytes();
    let sealer = Sealer::new(MINT.sealing_key(), ASSIGN, bound, &mut rng).expect("a sound key");
    let right = sealer.prove(&fixture::device_secret()).expect("a sound key");
    let mut request = AssignRequest::decode(content);
    // Nobody can guess a proof: what has none gets the right one, if the device is the sender's own.
    let unproven = request.as_mut().filter(|request| request.device_proof.is_none());
    let proven = unproven.map(|request| {
        request.device_proof = Some(right.clone());
        request.encode().expect("it was read").to_vec()
    });
    let content = proven.as_deref().unwrap_or(content);
    let Ok((sealed, answer_key)) = sealer.seal(content, ASSIGN_SIZE) else {
        return assert!(content.len() > ASSIGN_SIZE - 2);
    };
    assert_eq!(sealed.len(), ASSIGN_SIZE + REQUEST_OVERHEAD);
    let signed = order.sign(&key(Role::Orders), NOW).expect("an order");
    let outcome = MINT.assign(signed.as_str(), &sealed, NOW, &mut rng).expect("a good order");
    if let Some(request) = &request {
        let again = request.encode().expect("it was read");
        let read = AssignRequest::decode(&again).expect("it was written");
        assert_eq!(read.encode().expect("as before"), again);
    }
    let answer = told(&outcome, |answer| answer_key.open(answer, ANSWER_SIZE).ok());
    match (outcome, answer) {
        (Outcome::Granted { grant, .. }, Answer::Granted(minted)) => {
            let request = request.expect("tokens for what is no request");
            assert!(request.token == *fixture::TOKEN && *request.seed.expose() == [7; 32]);
            let grant = Grant::verify(grant.as_str(), &keys(Role::Minting)).expect("our own");
            assert!(grant.lease == order.lease && grant.token == order.token);
            good(&minted, &request.device);
        }
        (Outcome::Refused { .. }, Answer::Refused(refusal)) => {
            assert_eq!(request.is_none(), refusal == Refusal::Malformed);
            if let Some(request) = request {
                let proven = proves(request.device, request.device_proof.as_ref(), &right);
                assert_eq!(!proven, refusal == Refusal::Device);
            }
        }
        _ => panic!("the parent and the client are told different things"),
    }
}

fn refresh(content: &[u8]) {
    let mut rng = Repeatable::new(5);
    let bound = *fixture::lease_id().bytes();
    let sealer = Sealer::new(MINT.sealing_key(), REFRESH, &bound, &mut rng).expect("a sound key");
    let right = sealer.prove(&fixture::device_secret()).expect("a sound key");
    let mut request = RefreshRequest::decode(content);
    let unproven = request.as_mut().filter(|request| request.device_proof.is_none());
    let proven = unproven.map(|request| {
        request.device_proof = Some(right.clone());
        request.encode().expect("it was read").to_vec()
    });
    let content = proven.as_deref().unwrap_or(content);
    let Ok((sealed, answer_key)) = sealer.seal(content, REFRESH_SIZE) else {
        return assert!(content.len() > REFRESH_SIZE - 2);
    };
    let order = ExtensionOrder {
        lease: fixture::lease_id(),
        ip: fixture::address(),
        region: fixture::region(),
        request: RequestHash(digest(&SHA256, &sealed).as_ref().try_into().expect("32 bytes")),
        frozen: false,
        notice: None,
    };
    let signed = order.sign(&key(Role::Orders), NOW).expect("an order");
    let outcome = MINT.refresh(signed.as_str(), &sealed, NOW, &mut rng).expect("a good order");
    let answer = told(&outcome, |answer| answer_key.open(answer, ANSWER_SIZE).ok());
    match (outcome, answer) {
        (Outcome::Granted { grant, .. }, Answer::Granted(minted)) => {
            let request = request.expect("tokens for what is no request");
            let grant = Extension::verify(grant.as_str(), &keys(Role::Minting)).expect("our own");
            assert!(grant.lease == order.lease && grant.request == order.request);
            assert!(!request.give_back);
            good(&minted, &request.device);
        }
        (Outcome::Granted { grant, .. }, Answer::GivenBack) => {
            assert!(request.is_some_and(|request| request.give_back));
            let grant = Release::verify(grant.as_str(), &keys(Role::Minting)).expect("our own");
            assert!(grant.lease == order.lease && grant.request == order.request);
        }
        (Outcome::Refused { .. }, Answer::Refused(refusal)) => {
            assert_eq!(request.is_none(), refusal == Refusal::Malformed);
            if let Some(request) = request {
                let proven = proves(request.device, request.device_proof.as_ref(), &right);
                assert_eq!(!proven, refusal == Refusal::Device);
            }
        }
        _ => panic!("the parent and the client are told different things"),
    }
}

/// What the client is told; grant or not, it is of one size.
fn told(
    outcome: &Outcome,
    open: impl FnOnce(&[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>>,
) -> Answer {
    let (Outcome::Granted { sealed, .. } | Outcome::Refused { sealed }) = outcome;
    assert_eq!(sealed.len(), ANSWER_SIZE + ANSWER_OVERHEAD);
    let plaintext = open(sealed).expect("it is sealed to the asker");
    Answer::decode(&plaintext).expect("it is an answer")
}

/// Whether a request names the sender's own device, with the one proof of it that is good.
fn proves(device: PeerKey, proof: Option<&KeyProof>, right: &KeyProof) -> bool {
    device == fixture::device() && proof.is_some_and(|proof| proof.bytes() == right.bytes())
}

fn good(minted: &Minted, device: &PeerKey) {
    assert!(*device == fixture::device());
    let dat = lease::Dat::verify(minted.dat.as_str(), &keys(Role::Minting), NOW).expect("our own");
    assert!(dat.is_for(device) && dat.dip_details.ip == fixture::address());
    assert!(minted.lease == fixture::lease_id() && minted.region == fixture::region());
}

/// What reads as an answer is written and read again.
fn answer(rest: &[u8]) {
    let Some(answer) = Answer::decode(rest) else { return };
    let written = answer.encode().expect("it was read");
    let again = Answer::decode(&written).expect("it was written");
    assert_eq!(again.encode().expect("as before"), written);
    assert_eq!(matches!(again, Answer::Granted(_)), matches!(answer, Answer::Granted(_)));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let tokens = jwt::tokens();
    let request = fixture::assign_request().encode().expect("a request");
    let refresh = RefreshRequest {
        srt: fixture::srt(),
        drt: tokens[3].clone(),
        device: fixture::device(),
        device_proof: None,
        give_back: false,
    };
    let mut wrongly_proven = fixture::assign_request();
    wrongly_proven.device_proof = Some(KeyProof::from_bytes([7; 32]));
    let minted = Minted {
        lease: fixture::lease_id(),
        ip: fixture::address(),
        region: fixture::region(),
        dat: tokens[2].clone(),
        dat_ends: lease::Dat::end(NOW),
        drt: tokens[3].clone(),
        drt_ends: minting::Drt::end(NOW),
        notice: Some(Notice::frozen()),
    };
    let answers = [
        Answer::Granted(minted),
        Answer::Refused(Refusal::Srt),
        Answer::Frozen(Notice::frozen()),
        Answer::GivenBack,
    ];
    let mut seeds = vec![
        tagged(0, [0x11; SIZE + 48]),
        tagged(1, [0, 5, b'h', b'e', b'l', b'l', b'o']),
        tagged(1, [0, 62]),
        tagged(1, [0, 2, 1, 1, 1]),
        tagged(2, request),
        tagged(2, wrongly_proven.encode().expect("a request")),
        tagged(2, b"{}"),
        tagged(3, refresh.encode().expect("a request")),
        tagged(3, RefreshRequest { give_back: true, ..refresh }.encode().expect("a request")),
    ];
    seeds.extend(answers.map(|answer| tagged(4, answer.encode().expect("an answer"))));
    seeds
}
