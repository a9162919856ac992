//! Parameters of SVCB and HTTPS records (RFC 9460).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::error::Reason;
use super::super::scanner::Word;
use super::Words;
use super::words::{base64, unescape};

/// Keys by name (RFC 9460 §14.3.2, RFC 9461 §5).
const KEYS: &[(&str, u16)] = &[
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", 7),
    ("ohttp", OHTTP),
];
const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const OHTTP: u16 = 8;

/// Appends the parameters, in the order of their keys (RFC 9460 §2.2).
pub(super) fn read(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut parameters = Vec::new();
    for word in words.by_ref() {
        let (name, text) = split(word);
        let key = key(name).ok_or_else(|| word.bad("parameter"))?;
        let mut octets = Vec::new();
        if let Some(text) = text {
            unescape(text, |octet, _| octets.push(octet))?;
        }
        let value = value(key, &octets, text.is_some()).ok_or_else(|| word.bad("parameter"))?;
        parameters.push((key, value, word));
    }
    parameters.sort_by_key(|(key, ..)| *key);
    // RFC 9460 §2.2: each key once.
    if let Some(pair) = parameters.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(pair[1].2.bad("parameter that is not there already"));
    }
    for (key, value, word) in parameters {
        let len = u16::try_from(value.len()).map_err(|_| word.bad("parameter of up to 65535 octets"))?;
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&value);
    }
    Ok(())
}

/// Whether `octets` are parameters in strictly increasing order (RFC 9460 §2.2).
pub(super) fn are(mut octets: &[u8]) -> bool {
    let mut last = None;
    while let [key_high, key_low, high, low, rest @ ..] = octets {
        let key = u16::from_be_bytes([*key_high, *key_low]);
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        if last.is_some_and(|last| last >= key) {
            return false;
        }
        (last, octets) = (Some(key), rest);
    }
    octets.is_empty()
}

/// The name of a parameter, and its value's text without quotes.
fn split(word: Word<'_>) -> (&[u8], Option<&[u8]>) {
    let Some(at) = word.text.iter().position(|octet| *octet == b'=') else { return (word.text, None) };
    let value = &word.text[at + 1..];
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (&word.text[..at], Some(inner.unwrap_or(value)))
}

fn key(name: &[u8]) -> Option<u16> {
    let known = KEYS.iter().find(|(known, _)| name == known.as_bytes()).map(|(_, key)| *key);
    let digits = || std::str::from_utf8(name.strip_prefix(b"key")?).ok();
    let number = || digits().filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))?.parse().ok();
    // RFC 9460 §14.3.2: key65535 is reserved.
    known.or_else(number).filter(|key| *key < u16::MAX)
}

/// The value in wire format (RFC 9460 §7); `None` if it is none of this key.
fn value(key: u16, text: &[u8], is_given: bool) -> Option<Vec<u8>> {
    let as_str = || std::str::from_utf8(text).ok();
    Some(match key {
        MANDATORY => {
            let mut keys: Vec<u16> = list(text).iter().map(|name| self::key(name)).collect::<Option<_>>()?;
            keys.sort_unstable();
            // RFC 9460 §8: neither itself nor a key twice.
            if keys.is_empty() || keys[0] == MANDATORY || keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return None;
            }
            keys.iter().flat_map(|key| key.to_be_bytes()).collect()
        }
        ALPN => {
            let mut out = Vec::new();
            for protocol in list(text) {
                let len = u8::try_from(protocol.len()).ok().filter(|len| *len > 0)?;
                out.push(len);
                out.extend_from_slice(&protocol);
            }
            Some(out).filter(|out| !out.is_empty())?
        }
        NO_DEFAULT_ALPN | OHTTP => (!is_given || text.is_empty()).then(Vec::new)?,
        PORT => as_str()?.parse::<u16>().ok()?.to_be_bytes().to_vec(),
        IPV4HINT => {
            let addresses = as_str()?.split(',').map(|item| item.parse::<Ipv4Addr>().ok());
            addresses.collect::<Option<Vec<_>>>()?.iter().flat_map(Ipv4Addr::octets).collect()
        }
        IPV6HINT => {
            let addresses = as_str()?.split(',').map(|item| item.parse::<Ipv6Addr>().ok());
            addresses.collect::<Option<Vec<_>>>()?.iter().flat_map(Ipv6Addr::octets).collect()
        }
        ECH => {
            let mut out = Vec::new();
            base64(std::iter::once(Word { text, quoted: false }), &mut out).ok()?;
            out
        }
        _ => text.to_vec(),
    })
}

/// Items between commas; `\,` and `\\` stand for the characters themselves (RFC 9460 appendix A.1).
fn list(text: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut().into_iter().for_each(|item| item.extend(octets.next())),
            _ => items.last_mut().into_iter().for_each(|item| item.push(octet)),
        }
    }
    items
}
