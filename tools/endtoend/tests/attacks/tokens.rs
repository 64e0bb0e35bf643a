//! Tokens at the DIP service: forged ones, other spellings of a good one, and good ones for something else.

use anyhow::{Context as _, Result, ensure};
use coarse::{Epoch, system_rng};
use encoding::Base64Url;
use endtoend::customer::Customer;
use endtoend::rows::Rows;
use endtoend::services::{Answer, REGION, now};
use epoch_keys::{CommittedKey, Purpose, challenge};
use lab::Town;
use privacy_pass::{
    ChallengeDigest, PendingToken, Token, TokenChallenge, TokenResponse, TokenSeed,
};
use rand_core::Rng as _;
use rsa_raw::Modulus;
use wire::envelope::{ASSIGN_SIZE, REQUEST_OVERHEAD};

use crate::TOWN;

/// The refusal of whatever is no good token.
const REFUSED: (u16, &str) = (401, "token-refused");
/// What every epoch key's public exponent is.
const EXPONENT: u32 = 65_537;

/// Shows these bytes as a token. The sealed request that goes with it has the right size and no sense: a token that
/// gets past the DIP service is reserved, and the enclave complains.
fn show(customer: &Customer, token: &[u8]) -> Result<Answer> {
    let authorization = format!("PrivateToken token=\"{}\"", Base64Url(token.to_vec()).to_text());
    let sealed = vec![0; ASSIGN_SIZE + REQUEST_OVERHEAD];
    customer.services.assign(Some(&authorization), REGION, &sealed)
}

/// The modulus of the week's key.
fn modulus(customer: &Customer) -> Result<Modulus> {
    let spki = customer.services.public_key()?.public_key.0;
    // SPKI (RFC 8017, 342 bytes): the modulus is the 256 bytes before the exponent's five.
    let end = spki.len().checked_sub(5).context("short")?;
    Ok(Modulus::new(spki.get(end - 256..end).context("short")?)?)
}

fn number(value: u8) -> [u8; 256] {
    let mut bytes = [0; 256];
    bytes[255] = value;
    bytes
}

/// `a - 1` of an odd number.
fn minus_one(a: &[u8]) -> Vec<u8> {
    let mut bytes = a.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last -= 1;
    }
    bytes
}

/// The sum in 257 bytes, big-endian.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (mut carry, mut sum) = (0, Vec::new());
    for (a, b) in a.iter().rev().zip(b.iter().rev()) {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        sum.push((digit & 0xff) as u8);
        carry = digit >> 8;
    }
    sum.push(carry as u8);
    sum.reverse();
    sum
}

#[test]
fn a_signature_that_nobody_made_buys_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let (one, other) = (Customer::new(&town)?, Customer::new(&town)?);
    let (srt, drawing) = (one.srt()?, one.begin()?);
    let answer = one.send(&srt, &drawing)?;
    let token = one.finish(&drawing, &answer)?.token()?;
    let foreign = other.buy()?.drawn.token()?;
    let before = Rows::of(&town)?;

    let modulus = modulus(&one)?;
    let (mine, theirs) = (token.authenticator(), foreign.authenticator());
    let mut any = [0; 256];
    system_rng().fill_bytes(&mut any[1..]);
    let mut flipped = *mine;
    flipped[128] ^= 1;
    let forged: [(&str, Vec<u8>); 12] = [
        // What textbook RSA gives to everybody: 0 and 1 are their own signatures, and -1 is one of itself.
        ("0", number(0).into()),
        ("1", number(1).into()),
        ("N - 1", minus_one(modulus.as_bytes())),
        ("N", modulus.as_bytes().to_vec()),
        // And the product of two signatures is that of the product.
        ("a product", modulus.mul(mine, theirs)?.to_vec()),
        ("a square", modulus.mul(mine, mine)?.to_vec()),
        ("an inverse", modulus.inverse(mine)?.to_vec()),
        ("the negative", negative(&modulus, mine)?),
        ("another's", theirs.to_vec()),
        ("a random number", any.to_vec()),
        ("one bit off", flipped.to_vec()),
        ("what was signed blindly", answer.body.to_vec()),
    ];
    let input = token.encode()[..98].to_vec();
    for (what, signature) in forged {
        let shown = show(&one, &[&input[..], &signature].concat())?;
        assert_eq!(shown.refusal(), REFUSED, "{what}");
    }
    // m = s^e: to choose the signature first, and take what it is the signature of for the token's nonce.
    for signature in [number(0), number(1), number(2), any] {
        let message = modulus.pow(&signature, EXPONENT)?;
        let mut input = input.clone();
        input[2..34].copy_from_slice(&message[224..]);
        let shown = show(&one, &[&input[..], &signature].concat())?;
        assert_eq!(shown.refusal(), REFUSED);
        // Or the whole of it for the token's content.
        let shown = show(&one, &[&message[158..], &signature].concat())?;
        assert_eq!(shown.refusal(), REFUSED);
    }
    before.unchanged(&town)?;
    // The very same token as it is gets past.
    assert_eq!(show(&one, &token.encode())?.refusal(), (409, "enclave-key-changed"));
    before.only_reserved(&town, &token.spend_hash())
}

/// `N - s`: the product of `s` and `N - 1`.
fn negative(modulus: &Modulus, signature: &[u8]) -> Result<Vec<u8>> {
    Ok(modulus.mul(signature, &minus_one(modulus.as_bytes()))?.to_vec())
}

#[test]
fn a_token_has_one_spelling() -> Result<()> {
    let town = TOWN.lock()?;
    // A token whose signature leaves room for the modulus in 256 bytes: about one in three does.
    let mut found = None;
    for _ in 0..200 {
        let customer = Customer::new(&town)?;
        let modulus = modulus(&customer)?;
        let bought = customer.buy()?;
        let sum = plus(bought.drawn.token()?.authenticator(), modulus.as_bytes());
        if sum[0] == 0 {
            found = Some((customer, bought, sum));
            break;
        }
    }
    let (customer, bought, sum) = found.context("no signature leaves room")?;
    let token = bought.drawn.token()?;
    let (input, signature) = (token.encode()[..98].to_vec(), token.authenticator());
    let spelled = |signature: &[u8]| [&input[..], signature].concat();
    let before = Rows::of(&town)?;
    let others = [
        ("0 || S", spelled(&[&[0], &signature[..]].concat())),
        ("S || 0", spelled(&[&signature[..], &[0]].concat())),
        ("S + N", spelled(&sum[1..])),
        ("0 || S + N", spelled(&sum)),
        ("S without its first byte", spelled(&signature[1..])),
        ("no S", input.clone()),
        ("nothing", Vec::new()),
        ("twice", [token.encode(), token.encode()].concat()),
        ("another type", [&[0, 1], &token.encode()[2..]].concat()),
    ];
    for (what, bytes) in others {
        assert_eq!(show(&customer, &bytes)?.refusal(), REFUSED, "{what}");
    }
    // The same bytes in another dress: base64 has one form here, too, and a request one token.
    let text = Base64Url(token.encode()).to_text();
    let sealed = vec![0; ASSIGN_SIZE + REQUEST_OVERHEAD];
    for shown in [
        format!("PrivateToken token=\"{}=\"", text.trim_end_matches('=')),
        format!("PrivateToken token=\"{text}\", PrivateToken token=\"{text}\""),
        format!("PrivateToken token=\"{text}\", token=\"{text}\""),
        format!("PrivateToken {text}"),
        format!("Bearer {text}"),
    ] {
        let refused = customer.services.assign(Some(&shown), REGION, &sealed)?;
        assert_eq!(refused.refusal(), REFUSED, "{shown}");
    }
    before.unchanged(&town)?;
    // S as it is: once.
    customer.assign(&bought)?;
    let leased = Rows::of(&town)?;
    assert_eq!(show(&customer, &spelled(&sum[1..]))?.refusal(), REFUSED);
    leased.unchanged(&town)
}

/// A token over any challenge, which the service signs: it sees none.
fn drawn_for(town: &Town, key: &CommittedKey, digest: &ChallengeDigest) -> Result<Token> {
    let customer = Customer::new(town)?;
    let seed = TokenSeed::random(&mut system_rng());
    let pending = PendingToken::new(key.public_key(), digest, &seed)?;
    let answer = customer.services.blind_sign(customer.srt()?.as_str(), pending.request())?;
    ensure!(answer.status == 200, "it isn't signed: {:?}", answer.refusal());
    Ok(pending.finalize(&TokenResponse::decode(&answer.body)?)?)
}

#[test]
fn a_token_for_something_else_buys_nothing() -> Result<()> {
    let town = TOWN.lock()?;
    let customer = Customer::new(&town)?;
    let provider = &customer.services.provider;
    let (name, origin) = (provider.issuer_name.as_str(), provider.origin.as_str());
    let key = |purpose: Purpose, epoch: Epoch| -> Result<CommittedKey> {
        let published = customer.services.key_of(purpose, epoch)?;
        Ok(published.verify(provider.tree(purpose).context("no tree")?)?)
    };
    let (week, day) = (Purpose::DedicatedIp.epoch_at(now()), Purpose::Access.epoch_at(now()));
    let (weekly, daily) = (key(Purpose::DedicatedIp, week)?, key(Purpose::Access, day)?);
    let next = key(Purpose::DedicatedIp, week.next())?;
    let asked = |name, origin, purpose, epoch| -> Result<ChallengeDigest> {
        Ok(challenge(name, origin, purpose, epoch)?.digest())
    };
    let dedicated = asked(name, origin, Purpose::DedicatedIp, week)?;
    let last_week = Epoch::new(week.number() - 1);
    let all = [
        ("daily access", &daily, asked(name, origin, Purpose::Access, day)?),
        ("an access key, this challenge", &daily, dedicated),
        ("this key, an access challenge", &weekly, asked(name, origin, Purpose::Access, day)?),
        (
            "this key, a renewal challenge",
            &weekly,
            asked(name, origin, Purpose::Renewal, Purpose::Renewal.epoch_at(now()))?,
        ),
        (
            "another issuer",
            &weekly,
            asked("issuer.elsewhere.example", origin, Purpose::DedicatedIp, week)?,
        ),
        (
            "another origin",
            &weekly,
            asked(name, "dip.elsewhere.example", Purpose::DedicatedIp, week)?,
        ),
        (
            "this week's key, next week's challenge",
            &weekly,
            asked(name, origin, Purpose::DedicatedIp, week.next())?,
        ),
        (
            "this week's key, last week's challenge",
            &weekly,
            asked(name, origin, Purpose::DedicatedIp, last_week)?,
        ),
        ("next week's key, this challenge", &next, dedicated),
        ("no epoch", &weekly, TokenChallenge::new(name, None, &[origin])?.digest()),
        ("no origin", &weekly, no_origin(name, week)?),
    ];
    let tokens = all.map(|(what, key, digest)| (what, drawn_for(&town, key, &digest)));
    let early = drawn_for(&town, &next, &asked(name, origin, Purpose::DedicatedIp, week.next())?)?;
    let before = Rows::of(&town)?;
    for (what, token) in tokens {
        let shown = show(&customer, &token.context(what)?.encode())?;
        assert_eq!(shown.refusal(), REFUSED, "{what}");
    }
    before.unchanged(&town)?;
    // Drawn ahead, a token waits for its week (but for the minute by which clocks may differ).
    let shown = show(&customer, &early.encode())?;
    let good = Purpose::DedicatedIp.spendable(week.next(), now());
    assert_eq!(shown.refusal(), if good { (409, "enclave-key-changed") } else { REFUSED });
    Ok(())
}

/// This week's challenge, but for any origin.
fn no_origin(name: &str, week: Epoch) -> Result<ChallengeDigest> {
    let bound = challenge(name, "any.example", Purpose::DedicatedIp, week)?;
    let context = bound.redemption_context().context("no context")?;
    Ok(TokenChallenge::new(name, Some(*context), &[])?.digest())
}
