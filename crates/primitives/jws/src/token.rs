//! Signing and checking compact tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coarse::{Hour, UnixTime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{CLOCK_SKEW, KeySet, SigningKey};

/// A kind of token: its `typ` and what it claims beside `iss`, `aud` and `exp`.
pub trait Claims: Serialize + DeserializeOwned {
    /// The header's `typ`, different for each kind (RFC 8725 section 3.11).
    const TYPE: &'static str;
    /// The longest token of this kind that is made or looked at, in bytes.
    const LONGEST: usize = 2048;
}

/// A token in compact form: three base64url parts with dots between. It authorises its bearer, so it
/// is wiped on drop and doesn't print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Compact(String);

impl Compact {
    /// Takes in what may be a token; [`verify`] tells.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compact(..)")
    }
}

/// What a verifier expects of a token.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The `iss` claim.
    pub issuer: &'a str,
    /// The `aud` claim must contain this.
    pub audience: &'a str,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not a compact JWS of the one form that is accepted.
    #[error("the token is malformed")]
    Malformed,
    /// The `alg` isn't `EdDSA`.
    #[error("the token is signed with another algorithm")]
    Algorithm,
    /// The `typ` is another: a token of another kind.
    #[error("the token is of another kind")]
    Type,
    /// The `kid` names none of the trusted keys.
    #[error("the token is signed by a key that is not trusted here")]
    UnknownKey,
    /// The signature doesn't hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// The `iss` is another.
    #[error("the token is from another issuer")]
    Issuer,
    /// The `aud` is another.
    #[error("the token is meant for another service")]
    Audience,
    /// The `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// The claims don't have the shape that this kind of token has.
    #[error("the token's claims are not those of its kind")]
    Claims,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Serialize)]
struct Body<'a, C> {
    iss: &'a str,
    aud: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<UnixTime>,
    #[serde(flatten)]
    claims: &'a C,
}

#[derive(Deserialize)]
struct Registered {
    iss: String,
    aud: Audience,
    exp: Option<u64>,
}

/// RFC 7519 section 4.1.3 allows one audience or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

/// Signs `claims` for `audiences`. `expires` is a whole hour, so that a token's end tells no one when
/// it was made; `None` makes a token without end.
///
/// # Errors
/// [`Error::Claims`] when the claims can't be written as a JSON object, [`Error::Malformed`] when the token
/// would be longer than [`Claims::LONGEST`].
pub fn sign<C: Claims>(
    key: &SigningKey,
    issuer: &str,
    audiences: &[&str],
    expires: Option<Hour>,
    claims: &C,
) -> Result<Compact, Error> {
    sign_body(key, &Body { iss: issuer, aud: audiences, exp: expires.map(Hour::start), claims })
}

/// As [`sign`], for a token that ends at a moment within minutes: one that is used at once, by nobody who could learn from its end when it
/// was made.
///
/// # Errors
/// As [`sign`].
pub fn sign_briefly<C: Claims>(
    key: &SigningKey,
    issuer: &str,
    audiences: &[&str],
    expires: UnixTime,
    claims: &C,
) -> Result<Compact, Error> {
    sign_body(key, &Body { iss: issuer, aud: audiences, exp: Some(expires), claims })
}

fn sign_body<C: Claims>(key: &SigningKey, body: &Body<'_, C>) -> Result<Compact, Error> {
    let header = Header {
        alg: "EdDSA".into(),
        kid: key.verifying_key().id().as_str().into(),
        typ: C::TYPE.into(),
    };
    let header = serde_json::to_vec(&header).map_err(|_| Error::Claims)?;
    let mut body = serde_json::to_vec(body).map_err(|_| Error::Claims)?;
    let mut text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&body));
    body.zeroize();
    let signature = key.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    if text.len() > C::LONGEST {
        return Err(Error::Malformed);
    }
    Ok(Compact(text))
}

/// Checks a token and gives its claims: form, `alg`, `typ`, key, signature, `iss`, `aud`, then `exp` against
/// `now` (with [`CLOCK_SKEW`]).
///
/// # Errors
/// The first check that fails, in that order; claims are looked at only after the signature held.
pub fn verify<C: Claims>(
    token: &str,
    keys: &KeySet,
    expect: Expect<'_>,
    now: UnixTime,
) -> Result<C, Error> {
    verify_with_end(token, keys, expect, now).map(|(claims, _)| claims)
}

/// As [`verify`], and gives the hour in which the token ends, too (at its start, but for [`sign_briefly`]'s); nothing for a token
/// without end.
///
/// # Errors
/// As [`verify`].
pub fn verify_with_end<C: Claims>(
    token: &str,
    keys: &KeySet,
    expect: Expect<'_>,
    now: UnixTime,
) -> Result<(C, Option<Hour>), Error> {
    if token.len() > C::LONGEST {
        return Err(Error::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed)?;
    let (header, body) = signed.split_once('.').ok_or(Error::Malformed)?;
    let header: Header = parse(header)?;
    if header.alg != "EdDSA" {
        return Err(Error::Algorithm);
    }
    if header.typ != C::TYPE {
        return Err(Error::Type);
    }
    let key = keys.get(&header.kid).ok_or(Error::UnknownKey)?;
    let signature = decode(signature)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(Error::Signature);
    }
    let mut body = decode(body)?;
    let registered = json::<Registered>(&body);
    let claims = json::<C>(&body);
    body.zeroize();
    let registered = registered.ok_or(Error::Claims)?;
    if registered.iss != expect.issuer {
        return Err(Error::Issuer);
    }
    if !registered.aud.contains(expect.audience) {
        return Err(Error::Audience);
    }
    let end = registered.exp.map(UnixTime::from_seconds);
    if end.is_some_and(|end| end.plus(CLOCK_SKEW) <= now) {
        return Err(Error::Expired);
    }
    Ok((claims.ok_or(Error::Claims)?, end.map(UnixTime::hour)))
}

fn parse<T: DeserializeOwned>(part: &str) -> Result<T, Error> {
    json(&decode(part)?).ok_or(Error::Malformed)
}

/// JSON is UTF-8 (RFC 8259 section 8.1), also where nobody looks: what serde passes over it doesn't decode.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// Base64url without padding; the engine refuses anything but the one canonical form.
fn decode(part: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests {
    use coarse::Secret;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Ticket {
        seat: u32,
    }
    impl Claims for Ticket {
        const TYPE: &'static str = "ticket+jwt";
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        seat: u32,
    }
    impl Claims for Other {
        const TYPE: &'static str = "other+jwt";
    }

    const NOON: Hour = Hour::new(490_000);
    const EXPECT: Expect<'_> = Expect { issuer: "us", audience: "gate" };

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Secret::new([seed; 32])).unwrap()
    }

    fn ticket(key: &SigningKey) -> Compact {
        sign(key, "us", &["gate", "bar"], Some(NOON), &Ticket { seat: 4 }).unwrap()
    }

    fn check<C: Claims>(token: &str, expect: Expect<'_>, now: UnixTime) -> Result<C, Error> {
        verify(token, &key(1).verifying_key().into(), expect, now)
    }

    #[test]
    fn a_good_token_gives_its_claims() {
        let token = ticket(&key(1));
        let got: Ticket = check(token.as_str(), EXPECT, UnixTime::from_seconds(0)).unwrap();
        assert_eq!(got, Ticket { seat: 4 });
    }

    #[test]
    fn each_expectation_is_checked() {
        let token = ticket(&key(1));
        let token = token.as_str();
        let early = UnixTime::from_seconds(0);
        let err = |expect| check::<Ticket>(token, expect, early).unwrap_err();
        assert_eq!(err(Expect { issuer: "them", ..EXPECT }), Error::Issuer);
        assert_eq!(err(Expect { audience: "roof", ..EXPECT }), Error::Audience);
        assert_eq!(check::<Other>(token, EXPECT, early).unwrap_err(), Error::Type);
        let stranger = ticket(&key(2));
        assert_eq!(
            check::<Ticket>(stranger.as_str(), EXPECT, early).unwrap_err(),
            Error::UnknownKey
        );
    }

    #[test]
    fn a_token_ends_a_minute_after_its_hour() {
        let token = ticket(&key(1));
        let at = |seconds| {
            let now = UnixTime::from_seconds(NOON.start().seconds() + seconds);
            check::<Ticket>(token.as_str(), EXPECT, now).err()
        };
        assert_eq!(at(59), None);
        assert_eq!(at(60), Some(Error::Expired));
    }

    #[test]
    fn the_end_is_told() {
        let end = |expires| {
            let token = sign(&key(1), "us", &["gate"], expires, &Ticket { seat: 4 }).unwrap();
            let keys = KeySet::from(key(1).verifying_key());
            let now = UnixTime::from_seconds(0);
            verify_with_end::<Ticket>(token.as_str(), &keys, EXPECT, now).unwrap().1
        };
        assert_eq!(end(Some(NOON)), Some(NOON));
        assert_eq!(end(None), None);
    }

    #[test]
    fn headers_of_other_forms_are_refused() {
        let good = ticket(&key(1));
        let mut parts = good.as_str().split('.');
        let (_, body) = (parts.next().unwrap(), parts.next().unwrap());
        let kid = key(1).verifying_key().id().to_string();
        let with = |header: String| {
            let signed = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header));
            let signature = key(1).sign(signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            check::<Ticket>(&token, EXPECT, UnixTime::from_seconds(0)).err()
        };
        let typ = Ticket::TYPE;
        assert_eq!(with(format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#)), None);
        for (header, error) in [
            (format!(r#"{{"alg":"none","kid":"{kid}","typ":"{typ}"}}"#), Error::Algorithm),
            (format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{typ}"}}"#), Error::Algorithm),
            (format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#), Error::Malformed),
            (
                format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}","crit":[]}}"#),
                Error::Malformed,
            ),
            (
                format!(r#"{{"alg":"EdDSA","alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#),
                Error::Malformed,
            ),
        ] {
            assert_eq!(with(header.clone()), Some(error), "{header}");
        }
    }

    #[test]
    fn claims_are_utf_8_in_members_that_nobody_reads_too() {
        let good = ticket(&key(1));
        let header = good.as_str().split('.').next().unwrap();
        let with = |body: &[u8]| {
            let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
            let signature = URL_SAFE_NO_PAD.encode(key(1).sign(signed.as_bytes()));
            let token = format!("{signed}.{signature}");
            check::<Ticket>(&token, EXPECT, UnixTime::from_seconds(0)).err()
        };
        assert_eq!(with(br#"{"iss":"us","aud":"gate","seat":4,"more":{"x":1}}"#), None);
        let spoilt = b"{\"iss\":\"us\",\"aud\":\"gate\",\"seat\":4,\"more\":{\"\xd4\":1}}";
        assert_eq!(with(spoilt), Some(Error::Claims));
    }

    #[test]
    fn every_spoilt_character_is_noticed() {
        let token = ticket(&key(1));
        for place in 0..token.as_str().len() {
            let mut bytes = token.as_str().as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let spoilt = String::from_utf8(bytes).unwrap();
            assert!(check::<Ticket>(&spoilt, EXPECT, UnixTime::from_seconds(0)).is_err());
        }
    }

    /// A library that we did not write reads our tokens, and we read its.
    #[test]
    fn jsonwebtoken_agrees() {
        use jsonwebtoken as other;
        let ours = ticket(&key(1));
        let mut rules = other::Validation::new(other::Algorithm::EdDSA);
        rules.set_audience(&["gate"]);
        rules.set_issuer(&["us"]);
        rules.validate_exp = false;
        let public = URL_SAFE_NO_PAD.encode(key(1).verifying_key().bytes());
        let theirs = other::DecodingKey::from_ed_components(&public).unwrap();
        let read = other::decode::<Ticket>(ours.as_str(), &theirs, &rules).unwrap();
        assert_eq!(read.claims.seat, 4);

        // PKCS#8 version 1 of an Ed25519 seed (RFC 8410 section 7).
        let mut pkcs8 =
            vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        pkcs8.extend([1; 32]);
        let mut header = other::Header::new(other::Algorithm::EdDSA);
        header.kid = Some(key(1).verifying_key().id().to_string());
        header.typ = Some(Ticket::TYPE.into());
        let claims = serde_json::json!({"iss": "us", "aud": "gate", "seat": 9});
        let made =
            other::encode(&header, &claims, &other::EncodingKey::from_ed_der(&pkcs8)).unwrap();
        let got: Ticket = check(&made, EXPECT, UnixTime::from_seconds(0)).unwrap();
        assert_eq!(got.seat, 9);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused_without_panic(text in ".{0,300}") {
            prop_assert!(check::<Ticket>(&text, EXPECT, UnixTime::from_seconds(0)).is_err());
        }
    }
}
