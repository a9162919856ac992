//! Splits a master file into entries of words (RFC 1035 §5.1).

use std::io::{self, BufRead, Read};

use super::error::Reason;

/// The most octets of a line, and of the words of one entry. Data of 65535 octets in hexadecimal fit twice.
pub(super) const MAX_LINE: usize = 256 * 1024;

/// Reads entries: lines, and what parentheses make one.
pub(super) struct Scanner<R> {
    input: R,
    raw: Vec<u8>,
    line: u32,
}

/// Octets that may still be read, of so many.
pub(super) struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Budget {
        Budget { left: limit, limit }
    }

    fn take(&mut self, octets: usize) -> Result<(), Reason> {
        self.left = self.left.checked_sub(octets as u64).ok_or(Reason::LargeZone(self.limit))?;
        Ok(())
    }
}

/// The words of an entry, escapes as they were written.
#[derive(Default)]
pub(super) struct Entry {
    text: Vec<u8>,
    words: Vec<(u32, u32, bool)>,
    /// Whether its line starts with a blank: the owner is that of the record before.
    pub(super) starts_blank: bool,
    /// Its first line.
    pub(super) line: u32,
}

/// A word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a [u8],
    pub(super) quoted: bool,
}

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(input: R) -> Scanner<R> {
        Scanner { input, raw: Vec::new(), line: 0 }
    }

    /// The line that was read last.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// Reads the next entry that has words; false at the end. What is read is taken from `budget`.
    pub(super) fn next(&mut self, entry: &mut Entry, budget: &mut Budget) -> Result<bool, Reason> {
        loop {
            entry.text.clear();
            entry.words.clear();
            if !self.read_line(budget)? {
                return Ok(false);
            }
            entry.line = self.line;
            entry.starts_blank = matches!(self.raw.first(), Some(b' ' | b'\t'));
            let mut depth = 0;
            entry.split(&self.raw, &mut depth)?;
            while depth > 0 {
                if !self.read_line(budget)? {
                    return Err(Reason::Parentheses);
                }
                entry.split(&self.raw, &mut depth)?;
            }
            if !entry.words.is_empty() {
                return Ok(true);
            }
        }
    }

    fn read_line(&mut self, budget: &mut Budget) -> Result<bool, Reason> {
        self.raw.clear();
        let limit = MAX_LINE as u64 + 1;
        let read = loop {
            match (&mut self.input).take(limit).read_until(b'\n', &mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let len = read.map_err(|error| Reason::Read(error.kind()))?;
        if len == 0 {
            return Ok(false);
        }
        self.line = self.line.saturating_add(1);
        if len > MAX_LINE {
            return Err(Reason::LongLine(MAX_LINE));
        }
        budget.take(len)?;
        let ends = [&b"\r\n"[..], b"\n"].into_iter().find(|end| self.raw.ends_with(end));
        self.raw.truncate(self.raw.len() - ends.map_or(0, <[u8]>::len));
        Ok(true)
    }
}

impl Entry {
    /// The word at `place`.
    pub(super) fn word(&self, place: usize) -> Option<Word<'_>> {
        let &(start, end, quoted) = self.words.get(place)?;
        Some(Word { text: &self.text[start as usize..end as usize], quoted })
    }

    /// Adds the words of `line`; `depth` counts the parentheses that are open.
    fn split(&mut self, line: &[u8], depth: &mut u32) -> Result<(), Reason> {
        let mut at = 0;
        while let Some(&octet) = line.get(at) {
            match octet {
                b' ' | b'\t' => at += 1,
                b';' => break,
                b'(' => (at, *depth) = (at + 1, *depth + 1),
                b')' => (at, *depth) = (at + 1, depth.checked_sub(1).ok_or(Reason::Parentheses)?),
                b'"' => {
                    let len = word_len(&line[at + 1..], |octet| octet == b'"');
                    if line.get(at + 1 + len) != Some(&b'"') {
                        return Err(Reason::Quotes);
                    }
                    self.push(&line[at + 1..at + 1 + len], true)?;
                    at += len + 2;
                }
                _ => {
                    let ends = |octet| matches!(octet, b' ' | b'\t' | b';' | b'(' | b')' | b'"');
                    let len = word_len(&line[at..], ends);
                    // `key="value"` is one word (RFC 9460 §2.1).
                    let len = if line[at..at + len].ends_with(b"=") && line.get(at + len) == Some(&b'"') {
                        let value = word_len(&line[at + len + 1..], |octet| octet == b'"');
                        if line.get(at + len + 1 + value) != Some(&b'"') {
                            return Err(Reason::Quotes);
                        }
                        len + value + 2
                    } else {
                        len
                    };
                    self.push(&line[at..at + len], false)?;
                    at += len;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, word: &[u8], quoted: bool) -> Result<(), Reason> {
        // An empty word counts too: a line of quotes alone is bounded as well.
        if self.text.len() + self.words.len() + word.len() >= 2 * MAX_LINE {
            return Err(Reason::LongLine(2 * MAX_LINE));
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(word);
        self.words.push((start, self.text.len() as u32, quoted));
        Ok(())
    }
}

/// Octets before one that ends the word; one behind a backslash does not.
fn word_len(octets: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while at < octets.len() && !ends(octets[at]) {
        at += if octets[at] == b'\\' { 2 } else { 1 };
    }
    at.min(octets.len())
}

impl<'a> Word<'a> {
    /// For messages: at most 40 characters of it, those escaped that a terminal would obey.
    pub(super) fn shown(self) -> String {
        let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        String::from_utf8_lossy(self.text).chars().take(40).map(escaped).collect()
    }

    /// As text; what is no UTF-8 is no number and no mnemonic either.
    pub(super) fn as_str(self) -> &'a str {
        std::str::from_utf8(self.text).unwrap_or("\u{fffd}")
    }

    /// The complaint that it is no `expected`.
    pub(super) fn bad(self, expected: &'static str) -> Reason {
        Reason::Bad { expected, found: self.shown() }
    }
}
