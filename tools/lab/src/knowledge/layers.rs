//! What lies inside what was received: chunked bodies, percent-encoding, JSON strings, JWTs and base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Layers inside layers inside layers: a JWT in a JSON string in base64. Nobody here goes deeper.
const DEPTH: usize = 3;

/// Shorter runs of base64's characters are words.
const SHORTEST: usize = 16;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Calls `visit` with `bytes` and with everything decoded out of them, naming the layers passed
/// (outermost first).
pub(crate) fn dig(bytes: &[u8], visit: &mut impl FnMut(&[u8], &[&'static str])) {
    descend(bytes, &mut Vec::new(), visit);
}

fn descend(
    bytes: &[u8],
    passed: &mut Vec<&'static str>,
    visit: &mut impl FnMut(&[u8], &[&'static str]),
) {
    visit(bytes, passed);
    if passed.len() == DEPTH {
        return;
    }
    for (name, inner) in layers(bytes) {
        passed.push(name);
        descend(&inner, passed, visit);
        passed.pop();
    }
}

/// The layers directly inside `bytes`.
fn layers(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    found.extend(unchunked(bytes).into_iter().map(|body| ("chunked", body)));
    found.extend(percent_decoded(bytes).into_iter().map(|text| ("percent-encoded", text)));
    found.extend(unescaped(bytes).into_iter().map(|text| ("JSON string", text)));
    found.extend(decoded(bytes));
    found
}

/// The bodies of HTTP messages that came in chunks, put together.
fn unchunked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lower = bytes.to_ascii_lowercase();
    let mut bodies = Vec::new();
    let mut rest = 0;
    while let Some(header) = find(&lower, rest, b"transfer-encoding: chunked") {
        rest = header + 1;
        let Some(end) = find(bytes, header, b"\r\n\r\n") else { break };
        let (body, chunks) = chunks(bytes.get(end + 4..).unwrap_or_default());
        if chunks > 1 {
            bodies.push(body);
        }
    }
    bodies
}

/// As many whole chunks as `bytes` starts with, and their number.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    let mut count = 0;
    while let Some(line) = find(bytes, 0, b"\r\n") {
        let size = bytes.get(..line).and_then(|line| std::str::from_utf8(line).ok());
        let size = size.and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size @ 1..) = size else { break };
        let start = line + 2;
        let end = start.saturating_add(size);
        // A body that was cut off still shows what came.
        body.extend(bytes.get(start..end.min(bytes.len())).unwrap_or_default());
        count += 1;
        bytes = bytes.get(end.saturating_add(2)..).unwrap_or_default();
    }
    (body, count)
}

/// Each word with percent signs in it, decoded.
fn percent_decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for word in runs(bytes, |byte| byte.is_ascii_graphic()) {
        let mut text = Vec::with_capacity(word.len());
        let mut rest = word;
        while let Some((&first, after)) = rest.split_first() {
            let byte = match rest {
                [b'%', high, low, ..] => hex_pair(*high, *low),
                _ => None,
            };
            text.push(byte.unwrap_or(first));
            rest = if byte.is_some() { rest.get(3..).unwrap_or_default() } else { after };
        }
        if text.len() < word.len() {
            texts.push(text);
        }
    }
    texts
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// JSON strings with escapes in them, as what they stand for. Every quotation mark that isn't escaped
/// itself may open one: in a stream that is only partly JSON nobody knows which does.
fn unescaped(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let mut before = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let opens = byte == b'"' && before != b'\\';
        before = byte;
        let rest = bytes.get(at + 1..).unwrap_or_default();
        if opens && let Some((length, true)) = string_length(rest) {
            let content = rest.get(..length).unwrap_or_default();
            let quoted = [b"\"", content, b"\""].concat();
            let text = serde_json::from_slice::<String>(&quoted);
            texts.extend(text.map(String::into_bytes));
        }
    }
    texts
}

/// How long the string is that `bytes` starts with, up to its closing mark, and whether it has escapes.
fn string_length(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut escapes = false;
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => (escaped, escapes) = (true, true),
            b'"' => return Some((index, escapes)),
            0..0x20 => return None,
            _ => {}
        }
    }
    None
}

/// Everything that base64 of either alphabet, or hex, may stand for; the parts of JWTs by that name.
fn decoded(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let standard = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let mut found = Vec::new();
    for run in runs(bytes, |byte| url(byte) || byte == b'.') {
        let parts: Vec<&[u8]> = run.split(|&byte| byte == b'.').collect();
        let jwt = parts.windows(3).any(is_jwt);
        for part in parts {
            let name = if jwt { "JWT" } else { "base64url" };
            if jwt || part.len() >= SHORTEST {
                found.extend(base64_decoded(&URL_SAFE, part).map(|inner| (name, inner)));
            }
        }
    }
    for run in runs(bytes, standard).filter(|run| run.len() >= SHORTEST) {
        // Without the two characters that set it apart it was decoded above.
        if run.iter().any(|&byte| byte == b'+' || byte == b'/') {
            found.extend(base64_decoded(&STANDARD, run).map(|inner| ("base64", inner)));
        }
    }
    for run in runs(bytes, |byte| byte.is_ascii_hexdigit()).filter(|run| run.len() >= SHORTEST) {
        found.extend(hex::decode(run).map(|inner| ("hex", inner)));
    }
    found
}

/// `header.payload.signature`, of which the header is a JSON object.
fn is_jwt(parts: &[&[u8]]) -> bool {
    let header = parts.first().and_then(|header| base64_decoded(&URL_SAFE, header));
    header.is_some_and(|header| header.starts_with(b"{"))
}

fn base64_decoded(alphabet: &Alphabet, text: &[u8]) -> Option<Vec<u8>> {
    // One character over says nothing by itself: a neighbour that looks like base64.
    let length = if text.len() % 4 == 1 { text.len() - 1 } else { text.len() };
    let text: Cow<'_, [u8]> = text.get(..length)?.into();
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// The longest stretches of `bytes` whose every byte is of `kind`.
fn runs(bytes: &[u8], kind: impl Fn(u8) -> bool) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |&byte| !kind(byte)).filter(|run| !run.is_empty())
}

/// Where `needle` is, from offset `from` on.
fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|index| from + index)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    /// The names of the layers under which `needle` shows, each way once.
    fn ways(bytes: &[u8], needle: &[u8]) -> Vec<String> {
        let mut ways = Vec::new();
        dig(bytes, &mut |inner, passed| {
            if find(inner, 0, needle).is_some() {
                ways.push(passed.join(" "));
            }
        });
        ways.dedup();
        ways
    }

    #[test]
    fn chunks_come_together() {
        let message = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            4;a=b\r\nneed\r\n4\r\nle!!\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(ways(message, b"needle!!"), ["chunked"]);
        assert!(ways(&message.to_ascii_lowercase(), b"needle? ").is_empty());
    }

    #[test]
    fn escapes_and_percent_signs_are_read() {
        assert_eq!(ways(br#"x" {"a":"n\u0065edle"}"#, b"needle"), ["JSON string"]);
        assert_eq!(ways(b"GET /a?b=n%65edl%65 HTTP", b"needle"), ["percent-encoded"]);
        assert!(ways(b"100% n%6", b"ne").is_empty());
    }

    #[test]
    fn jwts_are_taken_apart() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let jwt =
            format!("{}.{}.{}", part("{\"alg\":1}"), part("{\"sub\":\"needle\"}"), part("sig"));
        assert_eq!(ways(format!("Bearer {jwt}\r\n").as_bytes(), b"needle"), ["JWT"]);
        let short = format!("{}.{}.{}", part("{\"alg\":1}"), part("needle"), part("sig"));
        assert_eq!(ways(short.as_bytes(), b"needle"), ["JWT"]);
    }

    #[test]
    fn three_layers_are_passed_and_no_more() {
        let mut text = b"the needle lies here".to_vec();
        for layers in 1..=3 {
            text = format!("<{}>", STANDARD.encode(&text)).into_bytes();
            let ways = ways(&text, b"needle");
            assert!(ways.iter().any(|way| way.split(' ').count() == layers), "{ways:?}");
        }
        text = format!("<{}>", STANDARD.encode(&text)).into_bytes();
        assert!(ways(&text, b"needle").is_empty());
    }

    #[test]
    fn hex_is_a_layer_too() {
        assert_eq!(ways(hex::encode("a needle").as_bytes(), b"needle"), ["hex"]);
    }
}
