//! The HTTP authentication scheme `PrivateToken` (RFC 9577 sections 2.1 and 2.2.2).
//!
//! Values are sent quoted and padded; quoted or not, padded or not is taken. Unknown parameters and
//! other schemes in the same header are passed over.

use std::time::Duration;

use blind_rsa::{KeyError, PublicKey};

use crate::challenge::TokenChallenge;
use crate::codec::{self, DecodeError};
use crate::token::Token;

const SCHEME: &str = "PrivateToken";

/// One challenge of a `WWW-Authenticate` header. Its parts are still bytes, since a header may hold
/// challenges of token types that we don't know beside those that we do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeHeader {
    challenge: Vec<u8>,
    token_key: Option<Vec<u8>>,
    max_age: Option<Duration>,
}

impl ChallengeHeader {
    /// A challenge for a token signed with this key. After `max_age` (whole seconds) the origin may
    /// have forgotten it.
    #[must_use]
    pub fn new(challenge: &TokenChallenge, key: &PublicKey, max_age: Option<Duration>) -> Self {
        Self { challenge: challenge.encode(), token_key: Some(key.spki()), max_age }
    }

    /// The `PrivateToken` challenges of a `WWW-Authenticate` header's value, in their order; none if
    /// it has other schemes only.
    pub fn parse(header: &str) -> Result<Vec<Self>, HeaderError> {
        private_token(header)?.iter().map(Self::of_parameters).collect()
    }

    /// The value of a `WWW-Authenticate` header with these challenges.
    #[must_use]
    pub fn build(challenges: &[Self]) -> String {
        challenges.iter().map(Self::to_text).collect::<Vec<_>>().join(", ")
    }

    /// The challenge; an error if its token type is another than 0x0002.
    pub fn token_challenge(&self) -> Result<TokenChallenge, DecodeError> {
        TokenChallenge::decode(&self.challenge)
    }

    /// The key that the token shall be signed with, if it is named. Only a key that is also known from
    /// elsewhere (a pinned commitment) may be used: an origin could name one of its own.
    #[must_use]
    pub fn public_key(&self) -> Option<Result<PublicKey, KeyError>> {
        self.token_key.as_deref().map(PublicKey::from_spki)
    }

    /// How long the origin remembers the challenge.
    #[must_use]
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    fn of_parameters(parameters: &Parameters<'_>) -> Result<Self, HeaderError> {
        let bytes = |name| match find(parameters, name)? {
            None => Ok(None),
            Some(text) => codec::decode_base64url(text).map(Some).ok_or(HeaderError::Value(name)),
        };
        let max_age = match find(parameters, "max-age")? {
            None => None,
            Some(text) => {
                let seconds = text.parse().ok().filter(|_| !text.starts_with('+'));
                Some(Duration::from_secs(seconds.ok_or(HeaderError::Value("max-age"))?))
            }
        };
        Ok(Self {
            challenge: bytes("challenge")?.ok_or(HeaderError::Missing("challenge"))?,
            token_key: bytes("token-key")?,
            max_age,
        })
    }

    fn to_text(&self) -> String {
        let mut text =
            format!("{SCHEME} challenge=\"{}\"", codec::encode_base64url(&self.challenge));
        if let Some(key) = &self.token_key {
            text.push_str(&format!(", token-key=\"{}\"", codec::encode_base64url(key)));
        }
        if let Some(age) = self.max_age {
            text.push_str(&format!(", max-age=\"{}\"", age.as_secs()));
        }
        text
    }
}

/// The `Authorization` header that carries a token.
pub struct TokenHeader;

impl TokenHeader {
    /// The token in an `Authorization` header's value. One scheme, one token: a second is an error.
    pub fn parse(header: &str) -> Result<Token, HeaderError> {
        let challenges = private_token(header)?;
        let [parameters] = challenges.as_slice() else {
            return Err(if challenges.is_empty() {
                HeaderError::Scheme
            } else {
                HeaderError::Repeated
            });
        };
        let text = find(parameters, "token")?.ok_or(HeaderError::Missing("token"))?;
        let bytes = codec::decode_base64url(text).ok_or(HeaderError::Value("token"))?;
        Ok(Token::decode(&bytes)?)
    }

    /// The value of an `Authorization` header with this token.
    #[must_use]
    pub fn build(token: &Token) -> String {
        format!("{SCHEME} token=\"{}\"", codec::encode_base64url(&token.encode()))
    }
}

/// What is wrong with a peer's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not the grammar of RFC 9110 section 11.
    #[error("the header is not a list of authentication schemes with parameters")]
    Syntax,
    /// Another scheme.
    #[error("the authentication scheme is not PrivateToken")]
    Scheme,
    /// A parameter isn't there.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter's value is not what it should be.
    #[error("the value of the parameter {0} is not valid")]
    Value(&'static str),
    /// A parameter, or the scheme, is there twice.
    #[error("a parameter or credential is given twice")]
    Repeated,
    /// The token inside is not one.
    #[error(transparent)]
    Token(#[from] DecodeError),
}

/// A scheme's parameters: names and values.
type Parameters<'a> = Vec<(&'a str, String)>;

fn find<'a>(parameters: &'a Parameters<'_>, name: &str) -> Result<Option<&'a str>, HeaderError> {
    let mut found = parameters.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(HeaderError::Repeated),
        (first, None) => Ok(first.map(|(_, value)| value.as_str())),
    }
}

/// The parameters of each `PrivateToken` scheme in a header.
///
/// RFC 9110 section 11 separates both schemes and parameters by commas. A name with `=` and a value
/// after it belongs to the scheme before it; a name without opens a scheme.
fn private_token(header: &str) -> Result<Vec<Parameters<'_>>, HeaderError> {
    let mut schemes: Vec<(&str, Parameters<'_>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        let (name, after) = token(rest)?;
        if let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']))?;
            let (_, parameters) = schemes.last_mut().ok_or(HeaderError::Syntax)?;
            parameters.push((name, value));
            rest = end_of_element(after)?;
        } else {
            schemes.push((name, Vec::new()));
            // The first parameter, or a token68, follows after a space; else the element ends here.
            rest = match after.strip_prefix(' ') {
                Some(after) => skip_token68(after.trim_start_matches(' ')),
                None => end_of_element(after)?,
            };
        }
    }
    Ok(schemes
        .into_iter()
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
        .map(|(_, parameters)| parameters)
        .collect())
}

/// Splits off an RFC 9110 token.
fn token(text: &str) -> Result<(&str, &str), HeaderError> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let (name, rest) = text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()));
    if name.is_empty() { Err(HeaderError::Syntax) } else { Ok((name, rest)) }
}

/// Splits off a value: a quoted string, or anything up to a comma or space (base64 padding is no
/// RFC 9110 token, and is sent unquoted all the same).
fn parameter_value(text: &str) -> Result<(String, &str), HeaderError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let plain = !value.is_empty() && !value.contains(['"', '\\']);
        return if plain { Ok((value.to_owned(), rest)) } else { Err(HeaderError::Syntax) };
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok((value, chars.as_str())),
            Some('\\') => value.push(chars.next().ok_or(HeaderError::Syntax)?),
            Some(c) => value.push(c),
            None => return Err(HeaderError::Syntax),
        }
    }
}

/// Passes over the single base64 value that some other schemes have in place of parameters.
fn skip_token68(text: &str) -> &str {
    let (element, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    let body = element.trim_end().trim_end_matches('=');
    let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    if !body.is_empty() && body.chars().all(is_token68) { rest } else { text }
}

/// After an element comes a comma or the end.
fn end_of_element(text: &str) -> Result<&str, HeaderError> {
    let rest = text.trim_start_matches([' ', '\t']);
    if rest.is_empty() || rest.starts_with(',') { Ok(rest) } else { Err(HeaderError::Syntax) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some(challenge: &[u8]) -> ChallengeHeader {
        ChallengeHeader { challenge: challenge.to_vec(), token_key: None, max_age: None }
    }

    #[test]
    fn all_forms_of_a_value_are_taken() {
        for header in [
            r#"PrivateToken challenge="AAE=""#,
            r#"PrivateToken challenge="AAE""#,
            "PrivateToken challenge=AAE=",
            "PrivateToken challenge=AAE",
            "privatetoken CHALLENGE = AAE ",
            r#"Basic realm="a, b=\"c\"", PrivateToken  challenge=AAE=, x="y z",q=1"#,
            "Negotiate YWI=, PrivateToken challenge=AAE=",
            "Negotiate, PrivateToken challenge=AAE=,,",
            r#"PrivateToken challenge="AAE=", Negotiate YWI="#,
        ] {
            assert_eq!(ChallengeHeader::parse(header), Ok(vec![some(&[0, 1])]), "{header}");
        }
        assert_eq!(ChallengeHeader::parse(r#"Basic realm="x""#), Ok(vec![]));
        assert_eq!(ChallengeHeader::parse(""), Ok(vec![]));
    }

    #[test]
    fn wrong_headers_are_refused() {
        for (header, error) in [
            ("PrivateToken challenge", HeaderError::Missing("challenge")),
            ("PrivateToken", HeaderError::Missing("challenge")),
            ("PrivateToken max-age=1", HeaderError::Missing("challenge")),
            ("PrivateToken challenge=AA+/", HeaderError::Value("challenge")),
            ("PrivateToken challenge=AAF=", HeaderError::Value("challenge")),
            ("PrivateToken challenge=AAE, max-age=-1", HeaderError::Value("max-age")),
            ("PrivateToken challenge=AAE, max-age=+1", HeaderError::Value("max-age")),
            ("PrivateToken challenge=AAE, Challenge=AAE", HeaderError::Repeated),
            ("PrivateToken challenge=\"AAE", HeaderError::Syntax),
            ("PrivateToken challenge=AAE max-age=1", HeaderError::Syntax),
            ("challenge=AAE", HeaderError::Syntax),
            ("PrivateToken challenge=\"AAE\"x", HeaderError::Syntax),
            ("(", HeaderError::Syntax),
        ] {
            assert_eq!(ChallengeHeader::parse(header), Err(error), "{header}");
        }
        assert_eq!(TokenHeader::parse("Bearer x").err(), Some(HeaderError::Scheme));
        assert_eq!(TokenHeader::parse("PrivateToken").err(), Some(HeaderError::Missing("token")));
        let twice = "PrivateToken token=AAE, PrivateToken token=AAE";
        assert_eq!(TokenHeader::parse(twice).err(), Some(HeaderError::Repeated));
        let short = TokenHeader::parse("PrivateToken token=AAE=").err();
        assert_eq!(short, Some(HeaderError::Token(DecodeError::TokenType(1))));
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(
            parts in prop::collection::vec(
                (
                    prop::collection::vec(any::<u8>(), 0..40),
                    prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
                    prop::option::of(any::<u64>().prop_map(Duration::from_secs)),
                ),
                0..4,
            ),
        ) {
            let headers: Vec<ChallengeHeader> = parts
                .into_iter()
                .map(|(challenge, token_key, max_age)| {
                    ChallengeHeader { challenge, token_key, max_age }
                })
                .collect();
            prop_assert_eq!(ChallengeHeader::parse(&ChallengeHeader::build(&headers)), Ok(headers));
        }

        #[test]
        fn no_text_panics(text in "(PrivateToken |challenge=|token=|[ -~ä,=\" ]){0,12}") {
            let _ = ChallengeHeader::parse(&text);
            let _ = TokenHeader::parse(&text);
        }
    }
}
