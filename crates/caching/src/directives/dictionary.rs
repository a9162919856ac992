//! Targeted fields are dictionaries of RFC 9651 (RFC 9213 §2.1): a single fault makes the whole field count for nothing.

use super::directive::{Argument, Directive};
use crate::seconds::MOST_SECONDS;

/// The directives whose value is a number of seconds. One of another type is a fault: what was meant is unknown.
const SECONDS: [&[u8]; 4] = [b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"];
/// More members than a response has reason for are taken for a fault.
const MOST_MEMBERS: usize = 128;

/// The members of the dictionary that the lines are together, without those that are `?0`. `None` if there is a
/// fault, or no member.
pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Directive<'a>>> {
    let mut directives = Vec::new();
    let mut is_empty = true;
    for line in lines.filter(|line| !line.is_empty()) {
        let mut reader = Reader { rest: line };
        loop {
            directives.extend(reader.member()?);
            is_empty = false;
            reader.space();
            if reader.rest.is_empty() {
                break;
            }
            // A member must follow: a comma at the end is a fault.
            reader.expect(b',')?;
            reader.space();
        }
        if directives.len() > MOST_MEMBERS {
            return None;
        }
    }
    (!is_empty).then_some(directives)
}

struct Reader<'a> {
    rest: &'a [u8],
}

enum Item<'a> {
    Integer(i64),
    Decimal,
    Text(&'a [u8]),
    Octets,
    Boolean(bool),
}

impl<'a> Reader<'a> {
    /// A member and its parameters; `Some(None)` for one that is false.
    fn member(&mut self) -> Option<Option<Directive<'a>>> {
        let name = self.key()?;
        let value = match self.rest {
            [b'=', b'(', ..] => {
                self.skip(1);
                self.inner_list()?
            }
            [b'=', ..] => {
                self.skip(1);
                self.item()?
            }
            _ => Item::Boolean(true),
        };
        self.parameters()?;
        let argument = match value {
            Item::Integer(value) => Argument::Seconds(value.clamp(0, i64::from(MOST_SECONDS)) as u32),
            Item::Text(text) => Argument::Text(text),
            Item::Boolean(true) => Argument::None,
            Item::Boolean(false) => return Some(None),
            Item::Decimal | Item::Octets => Argument::Malformed,
        };
        if SECONDS.contains(&name) && !matches!(argument, Argument::Seconds(_)) {
            return None;
        }
        Some(Some(Directive { name, argument }))
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.take_while(|o| o.is_ascii_lowercase() || o.is_ascii_digit() || b"_-.*".contains(&o));
        matches!(key.first()?, b'a'..=b'z' | b'*').then_some(key)
    }

    fn item(&mut self) -> Option<Item<'a>> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.octets(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                Some(Item::Text(self.take_while(|o| crate::list::is_token(&[o]) || b":/".contains(&o))))
            }
            b'@' => {
                self.skip(1);
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Octets)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let is_negative = self.rest.first() == Some(&b'-');
        self.skip(usize::from(is_negative));
        let digits = self.take_while(|o| o.is_ascii_digit());
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        if self.rest.first() == Some(&b'.') {
            self.skip(1);
            let fraction = self.take_while(|o| o.is_ascii_digit());
            return (digits.len() <= 12 && matches!(fraction.len(), 1..=3)).then_some(Item::Decimal);
        }
        // At most fifteen digits: it fits.
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        Some(Item::Integer(if is_negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<Item<'a>> {
        let mut at = 1;
        loop {
            match self.rest.get(at)? {
                b'"' => break,
                b'\\' if matches!(self.rest.get(at + 1)?, b'"' | b'\\') => at += 2,
                b'\\' => return None,
                b' '..=b'~' => at += 1,
                _ => return None,
            }
        }
        let text = &self.rest[1..at];
        self.skip(at + 1);
        Some(Item::Text(text))
    }

    fn boolean(&mut self) -> Option<Item<'a>> {
        let value = match self.rest.get(1)? {
            b'0' => false,
            b'1' => true,
            _ => return None,
        };
        self.skip(2);
        Some(Item::Boolean(value))
    }

    fn octets(&mut self) -> Option<Item<'a>> {
        self.skip(1);
        self.take_while(|o| o.is_ascii_alphanumeric() || b"+/=".contains(&o));
        self.expect(b':')?;
        Some(Item::Octets)
    }

    fn inner_list(&mut self) -> Option<Item<'a>> {
        self.expect(b'(')?;
        loop {
            self.take_while(|o| o == b' ');
            if self.rest.first()? == &b')' {
                self.skip(1);
                return Some(Item::Octets);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.rest.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.rest.first() == Some(&b';') {
            self.skip(1);
            self.take_while(|o| o == b' ');
            self.key()?;
            if self.rest.first() == Some(&b'=') {
                self.skip(1);
                self.item()?;
            }
        }
        Some(())
    }

    fn space(&mut self) {
        self.take_while(|o| matches!(o, b' ' | b'\t'));
    }

    fn expect(&mut self, octet: u8) -> Option<()> {
        (*self.rest.first()? == octet).then(|| self.skip(1))
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|&octet| !is_part(octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}
