//! Dictionaries of structured fields (RFC 9651), of which only numbers and booleans are kept.

/// The value of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    /// Something else, which is well formed.
    Other,
}

/// It is no dictionary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Reads one line of a dictionary and calls `member` for each of its members, in order (RFC 9651 §4.2.2).
///
/// # Errors
/// It is none; what `member` was told before does not count.
pub(crate) fn dictionary(line: &[u8], mut member: impl FnMut(&[u8], Value)) -> Result<(), Malformed> {
    let mut input = Input { rest: line };
    input.skip(is_space);
    // Leading and trailing SP are discarded (§4.2); a line that has nothing else is empty.
    while !input.rest.is_empty() {
        let key = input.key()?;
        let value = if input.eat(b'=') { input.item_or_list()? } else { Value::Boolean(true) };
        input.parameters()?;
        member(key, value);
        input.skip(is_blank);
        if input.rest.is_empty() {
            break;
        }
        if !input.eat(b',') {
            return Err(Malformed);
        }
        input.skip(is_blank);
        if input.rest.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(())
}

/// What is not read yet.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// §4.2.3.3: a lower-case letter or an asterisk, then also digits and some signs.
    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.rest.first().is_some_and(|octet| octet.is_ascii_lowercase() || *octet == b'*') {
            return Err(Malformed);
        }
        Ok(self.skip(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"_-.*".contains(&octet)))
    }

    /// §4.2.1.1: lists of a list do not exist, so that nothing recurs.
    fn item_or_list(&mut self) -> Result<Value, Malformed> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(is_space);
            if self.eat(b')') {
                return Ok(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !self.rest.first().is_some_and(|octet| b" )".contains(octet)) {
                return Err(Malformed);
            }
        }
    }

    /// §4.2.3.2.
    fn parameters(&mut self) -> Result<(), Malformed> {
        while self.eat(b';') {
            self.skip(is_space);
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Ok(())
    }

    /// §4.2.3.1.
    fn bare_item(&mut self) -> Result<Value, Malformed> {
        match self.rest.first().ok_or(Malformed)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b':' => self.octets(),
            b'?' => self.boolean(),
            b'@' => match (self.eat(b'@'), self.number()?) {
                (true, Value::Integer(_)) => Ok(Value::Other),
                _ => Err(Malformed),
            },
            b'%' => self.display_string(),
            octet if octet.is_ascii_alphabetic() || *octet == b'*' => {
                self.skip(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&octet));
                Ok(Value::Other)
            }
            _ => Err(Malformed),
        }
    }

    /// §4.2.4: 15 digits, or 12 before a point and 3 behind it.
    fn number(&mut self) -> Result<Value, Malformed> {
        let sign = if self.eat(b'-') { -1 } else { 1 };
        let whole = self.skip(|octet| octet.is_ascii_digit());
        if !(1..=15).contains(&whole.len()) {
            return Err(Malformed);
        }
        if self.eat(b'.') {
            let fraction = self.skip(|octet| octet.is_ascii_digit());
            let fits = whole.len() <= 12 && (1..=3).contains(&fraction.len());
            return if fits { Ok(Value::Other) } else { Err(Malformed) };
        }
        let number = whole.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        Ok(Value::Integer(sign * number))
    }

    /// §4.2.5.
    fn string(&mut self) -> Result<Value, Malformed> {
        self.eat(b'"');
        loop {
            match self.next()? {
                b'"' => return Ok(Value::Other),
                b'\\' if !b"\"\\".contains(&self.next()?) => return Err(Malformed),
                b' '..=b'~' => {}
                _ => return Err(Malformed),
            }
        }
    }

    /// §4.2.7: what the octets are is not looked at.
    fn octets(&mut self) -> Result<Value, Malformed> {
        self.eat(b':');
        self.skip(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet));
        if self.eat(b':') { Ok(Value::Other) } else { Err(Malformed) }
    }

    /// §4.2.8.
    fn boolean(&mut self) -> Result<Value, Malformed> {
        self.eat(b'?');
        match self.next()? {
            b'1' => Ok(Value::Boolean(true)),
            b'0' => Ok(Value::Boolean(false)),
            _ => Err(Malformed),
        }
    }

    /// §4.2.10: whether the octets are UTF-8 is not looked at.
    fn display_string(&mut self) -> Result<Value, Malformed> {
        self.eat(b'%');
        if !self.eat(b'"') {
            return Err(Malformed);
        }
        loop {
            match self.next()? {
                b'"' => return Ok(Value::Other),
                b'%' => {
                    for _ in 0..2 {
                        if !matches!(self.next()?, b'0'..=b'9' | b'a'..=b'f') {
                            return Err(Malformed);
                        }
                    }
                }
                b' '..=b'~' => {}
                _ => return Err(Malformed),
            }
        }
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let rest = self.rest.strip_prefix(&[wanted]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip(&mut self, accepts: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|octet| !accepts(*octet)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        skipped
    }
}

fn is_space(octet: u8) -> bool {
    octet == b' '
}

fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}
