//! Reads words as what fields consist of.

use super::super::error::Reason;
use super::super::scanner::{Entry, Word};
use crate::message::{MAX_NAME, Name, NameParseError, escaped, read_text};

/// The words of a record that are left.
#[derive(Clone)]
pub(in super::super) struct Words<'a> {
    entry: &'a Entry,
    at: usize,
}

impl<'a> Words<'a> {
    pub(in super::super) fn new(entry: &'a Entry) -> Words<'a> {
        Words { entry, at: 0 }
    }

    pub(in super::super) fn peek(&self) -> Option<Word<'a>> {
        self.entry.word(self.at)
    }

    /// The next word, which is there, or `what` is missing.
    pub(in super::super) fn required(&mut self, what: &'static str) -> Result<Word<'a>, Reason> {
        self.next().ok_or(Reason::Missing(what))
    }

    /// Takes the next word if it is this one, without quotes.
    pub(super) fn take_if(&mut self, text: &[u8]) -> bool {
        let is = self.peek().is_some_and(|word| !word.quoted && word.text == text);
        if is {
            self.next();
        }
        is
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&mut self, what: &'static str) -> Result<T, Reason> {
        let word = self.required(what)?;
        let is_number = word.text.iter().all(u8::is_ascii_digit);
        word.as_str().parse().ok().filter(|_| is_number).ok_or_else(|| word.bad(what))
    }

    /// The next word as octets, escapes replaced.
    pub(super) fn octets(&mut self, what: &'static str, out: &mut Vec<u8>) -> Result<(), Reason> {
        let word = self.required(what)?;
        unescape(word.text, |octet, _| out.push(octet))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }
}

/// Appends what `words` are as hexadecimal digits in pairs.
pub(super) fn hexadecimal<'a>(words: impl Iterator<Item = Word<'a>>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut high = None;
    for word in words {
        for &octet in word.text {
            let digit = char::from(octet).to_digit(16).ok_or_else(|| word.bad("hexadecimal data"))? as u8;
            match high.take() {
                None => high = Some(digit << 4),
                Some(high) => out.push(high | digit),
            }
        }
    }
    if high.is_some() { Err(Reason::Missing("a hexadecimal digit")) } else { Ok(()) }
}

/// Appends what `words` are in base 64 (RFC 4648 §4).
pub(super) fn base64<'a>(words: impl Iterator<Item = Word<'a>>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let (mut bits, mut count, mut padding) = (0u32, 0, 0);
    for word in words {
        for &octet in word.text {
            let value = match octet {
                b'A'..=b'Z' if padding == 0 => octet - b'A',
                b'a'..=b'z' if padding == 0 => octet - b'a' + 26,
                b'0'..=b'9' if padding == 0 => octet - b'0' + 52,
                b'+' if padding == 0 => 62,
                b'/' if padding == 0 => 63,
                b'=' if padding < 2 && count % 4 >= 2 => {
                    padding += 1;
                    0
                }
                _ => return Err(word.bad("data in base 64")),
            };
            bits = bits << 6 | u32::from(value);
            count += 1;
            if count % 4 == 0 {
                out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
            }
        }
    }
    if count % 4 == 0 { Ok(()) } else { Err(Reason::Missing("a part of the data in base 64")) }
}

/// Appends the name that `word` is; below `origin`, if it has no dot at its end.
pub(in super::super) fn name(word: Word<'_>, origin: Name<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    if word.text == b"@" && !word.quoted {
        out.extend_from_slice(origin.as_wire());
        return Ok(());
    }
    let start = out.len();
    if !read_text(word.text, out, |_| Ok(()))? {
        out.extend_from_slice(origin.as_wire());
    }
    if out.len() - start > MAX_NAME { Err(Reason::Name(NameParseError::LongName)) } else { Ok(()) }
}

/// Seconds: a number, or numbers with units (`1h30m`).
pub(in super::super) fn seconds(text: &[u8]) -> Option<u32> {
    let (mut sum, mut number) = (0u64, None::<u64>);
    for &octet in text {
        let unit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(digit - b'0')));
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.saturating_add(number.take()?.saturating_mul(unit));
    }
    if text.is_empty() {
        return None;
    }
    u32::try_from(sum.saturating_add(number.unwrap_or(0))).ok()
}

/// A TTL as it is to be taken: zero if its top bit is set (RFC 2181 §8).
pub(in super::super) fn lifetime(ttl: u32) -> u32 {
    if ttl >> 31 == 1 { 0 } else { ttl }
}

/// Calls `each` with every octet that `text` stands for, and whether it was escaped (RFC 1035 §5.1).
pub(super) fn unescape(text: &[u8], mut each: impl FnMut(u8, bool)) -> Result<(), Reason> {
    let mut octets = text.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => each(escaped(&mut octets).ok_or(NameParseError::Escape)?, true),
            _ => each(octet, false),
        }
    }
    Ok(())
}
