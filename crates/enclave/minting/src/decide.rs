//! Who may have tokens: the checks on what was sealed, in the order in which they are made.

use aws_lc_rs::digest::{SHA256, digest};
use coarse::UnixTime;
use epoch_keys::Purpose;
use jws::KeySet;
use lease::{ExtensionOrder, Order};
use peer_key::PeerKey;
use privacy_pass::{TokenSeed, TokenTrace};
use receipt::{ENCLAVE_AUDIENCE, IssuanceReceipt, Srt, SubscriptionId, SubscriptionVersion};
use seal::{KeyProof, ProofCheck};
use wire::BootConfiguration;

use crate::{AssignRequest, Drt, RefreshRequest, Refusal};

/// What a request has a right to.
pub(crate) enum Right {
    /// Tokens.
    Tokens(Entitled),
    /// To be told why there are none.
    Notice,
    /// To end its lease.
    Release,
}

/// A subscription whose right to a dedicated IP was shown.
pub(crate) struct Entitled {
    pub(crate) subscription: SubscriptionId,
    pub(crate) version: SubscriptionVersion,
}

/// The right to tokens that name this device: the request proves that its sender holds the device's private key. It is
/// looked at before everything else, being the cheapest of the checks and the only one on the request itself.
pub(crate) fn device(
    device: &PeerKey,
    proof: Option<&KeyProof>,
    proofs: &ProofCheck<'_>,
) -> Result<(), Refusal> {
    let held = proof.is_some_and(|proof| proofs.holds(device, proof));
    if held { Ok(()) } else { Err(Refusal::Device) }
}

/// The right to a first assignment: the SRT is good; the receipt of issuance is this very subscription's; the key is
/// the committed one; the seed gives the blinded message that was signed, and this very token; the token is the one in the order.
/// (A receipt of a later version than the SRT's asks for a newer SRT: the one shown was minted before a reset.)
pub(crate) fn assignment(
    request: &AssignRequest,
    order: &Order,
    boot: &BootConfiguration,
    now: UnixTime,
) -> Result<Right, Refusal> {
    let entitled = entitled(request.srt.as_str(), boot, now)?;
    let receipt = IssuanceReceipt::verify(request.receipt.as_str(), &boot.issuance_keys)
        .map_err(|_| Refusal::Receipt)?;
    if receipt.subscription != entitled.subscription || receipt.version < entitled.version {
        return Err(Refusal::OtherSubscription);
    }
    if receipt.version > entitled.version {
        return Err(Refusal::Srt);
    }

    let key = request.key.verify(&boot.tree).map_err(|_| Refusal::Key)?;
    let fits = key.purpose() == Purpose::DedicatedIp && receipt.key == *key.key_id();
    if !fits || !key.purpose().spendable(key.epoch(), now) {
        return Err(Refusal::Key);
    }

    let challenge =
        key.challenge(&boot.issuer_name, &boot.origin).map_err(|_| Refusal::Key)?.digest();
    let seed = TokenSeed::from_bytes(*request.seed.expose());
    let made = TokenTrace::new(key.public_key(), &challenge, &seed).map_err(|_| Refusal::Seed)?;
    let blinded = digest(&SHA256, made.request().blinded_message());
    if blinded.as_ref() != receipt.blinded_hash || made.nonce() != request.token.nonce() {
        return Err(Refusal::Seed);
    }

    privacy_pass::verify_token(key.public_key(), &challenge, &request.token)
        .map_err(|_| Refusal::Token)?;
    if !made.leads_to(&request.token) {
        return Err(Refusal::Seed);
    }
    if request.token.spend_hash() != order.token {
        return Err(Refusal::Token);
    }
    Ok(if order.frozen { Right::Notice } else { Right::Tokens(entitled) })
}

/// The right to a refresh, or to give the lease back: the SRT is good; the DRT is this subscription's, in its present version; lease and
/// address are those of the order. Of a frozen lease nobody but its holder is told.
pub(crate) fn refresh(
    request: &RefreshRequest,
    order: &ExtensionOrder,
    boot: &BootConfiguration,
    minting_keys: &KeySet,
    now: UnixTime,
) -> Result<Right, Refusal> {
    let entitled = entitled(request.srt.as_str(), boot, now)?;
    let drt =
        Drt::verify(request.drt.as_str(), minting_keys, now).map_err(|error| match error {
            jws::Error::Expired => Refusal::DrtExpired,
            _ => Refusal::Drt,
        })?;
    if drt.subscription != entitled.subscription {
        return Err(Refusal::OtherSubscription);
    }
    if drt.version < entitled.version {
        return Err(Refusal::Reset);
    }
    if drt.version > entitled.version {
        return Err(Refusal::Srt);
    }
    if drt.lease != order.lease || drt.dip_details.ip != order.ip || drt.region != order.region {
        return Err(Refusal::OtherLease);
    }
    Ok(match order.frozen {
        _ if request.give_back => Right::Release,
        true => Right::Notice,
        false => Right::Tokens(entitled),
    })
}

fn entitled(srt: &str, boot: &BootConfiguration, now: UnixTime) -> Result<Entitled, Refusal> {
    let srt =
        Srt::verify(srt, &boot.srt_keys, ENCLAVE_AUDIENCE, now).map_err(|error| match error {
            jws::Error::Expired => Refusal::SrtExpired,
            _ => Refusal::Srt,
        })?;
    let covered = srt.entitlements.dedicated_ip.ok_or(Refusal::NotEntitled)?;
    Ok(Entitled { subscription: srt.subscription, version: covered.did })
}
