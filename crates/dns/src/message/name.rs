//! Domain names (RFC 1035 §3.1, RFC 4343).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::FormError;

/// The most octets of a name in wire form, its last zero included (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;
/// The most octets of a label.
const MAX_LABEL: usize = 63;
/// The most pointers that are followed for one name: as many as it can have labels. A message could hold a chain of
/// thousands, and that would be all it costs to keep us busy (RFC 9267 §2).
const MAX_POINTERS: usize = MAX_NAME / 2;

/// A name in wire form, uncompressed: its labels, each behind its length, and a zero.
///
/// Comparisons ignore the case of ASCII letters (RFC 4343 §3); the order is DNSSEC's canonical one
/// (RFC 4034 §6.1).
#[derive(Clone, Copy)]
pub struct Name<'a> {
    wire: &'a [u8],
}

/// A name that owns its octets.
#[derive(Clone)]
pub struct NameBuf {
    wire: Box<[u8]>,
}

/// Room for a name that is read out of a message.
#[derive(Clone)]
pub struct NameBuffer {
    octets: [u8; MAX_NAME],
    len: usize,
}

/// Text that is no name: what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameParseError {
    /// There is no text. The root is a dot.
    Empty,
    /// Nothing is between two dots, or before the first.
    EmptyLabel,
    /// A label of more than 63 octets.
    LongLabel,
    /// More than 255 octets.
    LongName,
    /// A backslash that is followed by neither three digits up to 255 nor another character.
    Escape,
    /// A character beyond ASCII: an international name stands in its ASCII form (RFC 5890 §2.3.2.1).
    Unicode,
    /// A blank or a control character that is not escaped.
    Unescaped,
}

impl<'a> Name<'a> {
    /// The root.
    pub const ROOT: Name<'static> = Name { wire: &[0] };

    /// The uncompressed name at the start of `octets`, which may go on behind it.
    ///
    /// # Errors
    /// There is no name, or it is compressed ([`FormError::Pointer`]).
    #[inline]
    pub fn read(octets: &'a [u8]) -> Result<Name<'a>, FormError> {
        let mut at = 0;
        loop {
            match *octets.get(at).ok_or(FormError::Short)? {
                0 => break,
                len @ 1..=0x3f => at += 1 + usize::from(len),
                0xc0.. => return Err(FormError::Pointer),
                _ => return Err(FormError::LabelType),
            }
            if at >= MAX_NAME {
                return Err(FormError::LongName);
            }
        }
        Ok(Name { wire: &octets[..=at] })
    }

    /// The name that `wire` was seen to be when it was kept.
    pub(crate) const fn kept(wire: &'a [u8]) -> Name<'a> {
        Name { wire }
    }

    /// Its octets.
    pub const fn as_wire(self) -> &'a [u8] {
        self.wire
    }

    /// Whether it is the root.
    pub const fn is_root(self) -> bool {
        self.wire.len() == 1
    }

    /// Its labels without their lengths, from the left, without the root's.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.wire;
        std::iter::from_fn(move || {
            let (&len, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(len))?;
            rest = behind;
            (len > 0).then_some(label)
        })
    }

    /// How many labels it has, without the root's.
    pub fn label_count(self) -> usize {
        self.labels().count()
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(self) -> Option<Name<'a>> {
        let len = usize::from(*self.wire.first()?);
        (len > 0).then(|| Name { wire: &self.wire[1 + len..] })
    }

    /// The name and all above it, down to the root.
    pub fn ancestors(self) -> impl Iterator<Item = Name<'a>> {
        std::iter::successors(Some(self), |name| name.parent())
    }

    /// The name that its last `octets` are, if a label starts there.
    pub fn suffix(self, octets: usize) -> Option<Name<'a>> {
        self.ancestors().find(|name| name.wire.len() == octets)
    }

    /// Whether it is `other` or below it.
    pub fn is_within(self, other: Name<'_>) -> bool {
        let Some(extra) = self.wire.len().checked_sub(other.wire.len()) else { return false };
        // Only where a label starts: octets alone could match in the middle of one.
        let mut at = 0;
        while at < extra {
            at += 1 + usize::from(self.wire[at]);
        }
        at == extra && self.wire[extra..].eq_ignore_ascii_case(other.wire)
    }

    /// The labels that it has and `other` has not; `None` if it is not within `other`.
    fn above(self, other: Name<'_>) -> Option<&'a [u8]> {
        self.is_within(other).then(|| &self.wire[..self.wire.len() - other.wire.len()])
    }

    /// Whether its first label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.wire.starts_with(b"\x01*")
    }

    /// Its octets, letters in lower case, behind what `into` has.
    #[inline]
    pub fn write_lowercase(self, into: &mut Vec<u8>) {
        // Lengths are below `A`: they stay.
        into.extend(self.wire.iter().map(u8::to_ascii_lowercase));
    }

    /// A copy in lower case.
    pub fn to_lowercase(self) -> NameBuf {
        NameBuf { wire: self.wire.to_ascii_lowercase().into() }
    }

    /// A copy.
    pub fn to_owned(self) -> NameBuf {
        NameBuf { wire: self.wire.into() }
    }
}

impl NameBuf {
    /// The name.
    pub fn as_name(&self) -> Name<'_> {
        Name { wire: &self.wire }
    }

    /// `label` in front of `name`; `None` if either is too long.
    pub fn prepend(label: &[u8], name: Name<'_>) -> Option<NameBuf> {
        let fits = (1..=MAX_LABEL).contains(&label.len()) && name.wire.len() + 1 + label.len() <= MAX_NAME;
        fits.then(|| NameBuf { wire: [&[label.len() as u8], label, name.wire].concat().into() })
    }

    /// `name` moved from below `from` to below `to` (RFC 6672 §2.2); `None` if that is too long, or if `name` is not
    /// within `from`.
    pub fn moved(name: Name<'_>, from: Name<'_>, to: Name<'_>) -> Option<NameBuf> {
        let prefix = name.above(from)?;
        (prefix.len() + to.wire.len() <= MAX_NAME).then(|| NameBuf { wire: [prefix, to.wire].concat().into() })
    }
}

impl Default for NameBuffer {
    fn default() -> NameBuffer {
        NameBuffer { octets: [0; MAX_NAME], len: 1 }
    }
}

impl NameBuffer {
    /// Reads the name at `at` of `message`, pointers followed. Returns where what follows it starts.
    ///
    /// # Errors
    /// There is no name; the buffer holds the root then.
    pub fn read(&mut self, message: &[u8], at: usize) -> Result<usize, FormError> {
        let read = self.read_labels(message, at);
        if read.is_err() {
            (self.octets[0], self.len) = (0, 1);
        }
        read
    }

    fn read_labels(&mut self, message: &[u8], at: usize) -> Result<usize, FormError> {
        let (mut at, mut end, mut len) = (at, None, 0);
        // What a pointer leads to must lie before everything that was read of this name: no loops.
        let (mut floor, mut pointers) = (at, 0);
        loop {
            match *message.get(at).ok_or(FormError::Short)? {
                0 => break,
                label @ 1..=0x3f => {
                    let octets = message.get(at..=at + usize::from(label)).ok_or(FormError::Short)?;
                    if len + octets.len() >= MAX_NAME {
                        return Err(FormError::LongName);
                    }
                    self.octets[len..len + octets.len()].copy_from_slice(octets);
                    len += octets.len();
                    at += octets.len();
                }
                0xc0.. => {
                    let target = usize::from(super::read_u16(message, at)? & 0x3fff);
                    pointers += 1;
                    if target >= floor || pointers > MAX_POINTERS {
                        return Err(FormError::Pointer);
                    }
                    end = end.or(Some(at + 2));
                    (at, floor) = (target, target);
                }
                _ => return Err(FormError::LabelType),
            }
        }
        self.octets[len] = 0;
        self.len = len + 1;
        Ok(end.unwrap_or(at + 1))
    }

    /// Makes it a copy of `name`.
    pub fn set(&mut self, name: Name<'_>) {
        self.octets[..name.wire.len()].copy_from_slice(name.wire);
        self.len = name.wire.len();
    }

    /// Makes it `name` moved from below `from` to below `to` (RFC 6672 §2.2). Returns whether that is a name, which it is not
    /// if it is too long, or if `name` is not within `from`; the buffer is as it was then.
    pub fn set_moved(&mut self, name: Name<'_>, from: Name<'_>, to: Name<'_>) -> bool {
        let Some(prefix) = name.above(from).filter(|prefix| prefix.len() + to.wire.len() <= MAX_NAME) else {
            return false;
        };
        let len = prefix.len() + to.wire.len();
        self.octets[..prefix.len()].copy_from_slice(prefix);
        self.octets[prefix.len()..len].copy_from_slice(to.wire);
        self.len = len;
        true
    }

    /// The name that was read last; the root, if there is none.
    pub fn as_name(&self) -> Name<'_> {
        Name { wire: &self.octets[..self.len] }
    }
}

impl PartialEq<Name<'_>> for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        self.wire.eq_ignore_ascii_case(other.wire)
    }
}

impl Eq for Name<'_> {}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in self.wire {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

impl Ord for Name<'_> {
    /// RFC 4034 §6.1: by labels from the right, as octets in lower case.
    fn cmp(&self, other: &Name<'_>) -> Ordering {
        let (ours, theirs) = (self.label_count(), other.label_count());
        let common = ours.min(theirs);
        let pairs = self.labels().skip(ours - common).zip(other.labels().skip(theirs - common));
        let orders = pairs
            .map(|(left, right)| left.iter().map(u8::to_ascii_lowercase).cmp(right.iter().map(u8::to_ascii_lowercase)));
        // Labels come from the left: the last that differ decide.
        orders.filter(|order| order.is_ne()).last().unwrap_or_else(|| ours.cmp(&theirs))
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Name<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NameBuf {
    fn eq(&self, other: &NameBuf) -> bool {
        self.as_name() == other.as_name()
    }
}

impl Eq for NameBuf {}

impl Hash for NameBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_name().hash(state);
    }
}

impl Ord for NameBuf {
    fn cmp(&self, other: &NameBuf) -> Ordering {
        self.as_name().cmp(&other.as_name())
    }
}

impl PartialOrd for NameBuf {
    fn partial_cmp(&self, other: &NameBuf) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name<'_> {
    /// As master files write it (RFC 1035 §5.1), with its last dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                    b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_name(), f)
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NameBuf {
    type Err = NameParseError;

    /// A name as master files write it, taken as absolute whether it ends in a dot or not.
    fn from_str(text: &str) -> Result<NameBuf, NameParseError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let is_whole = read_text(text.as_bytes(), &mut wire, |octet| match octet {
            b'!'..=b'~' => Ok(()),
            0x80.. => Err(NameParseError::Unicode),
            _ => Err(NameParseError::Unescaped),
        })?;
        if !is_whole {
            wire.push(0);
        }
        if wire.len() > MAX_NAME { Err(NameParseError::LongName) } else { Ok(NameBuf { wire: wire.into() }) }
    }
}

/// Appends the labels that `text` has in a master file (RFC 1035 §5.1). Returns whether it ends in a dot: then the name is
/// whole, its last zero included. Its length is for the caller to look at. `may_stand` says what need not be escaped.
pub(crate) fn read_text(
    text: &[u8],
    into: &mut Vec<u8>,
    may_stand: impl Fn(u8) -> Result<(), NameParseError>,
) -> Result<bool, NameParseError> {
    match text {
        b"" => return Err(NameParseError::Empty),
        b"." => {
            into.push(0);
            return Ok(true);
        }
        _ => {}
    }
    let mut label = into.len();
    into.push(0);
    let mut octets = text.iter().copied();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'.' if into[label] == 0 => return Err(NameParseError::EmptyLabel),
            b'.' => {
                label = into.len();
                into.push(0);
                continue;
            }
            b'\\' => escaped(&mut octets).ok_or(NameParseError::Escape)?,
            _ => may_stand(octet).map(|()| octet)?,
        };
        if usize::from(into[label]) == MAX_LABEL {
            return Err(NameParseError::LongLabel);
        }
        into.push(octet);
        into[label] += 1;
    }
    // What opened behind the last dot is the root.
    Ok(into[label] == 0)
}

/// What a backslash stands for, together with what follows it.
pub(crate) fn escaped(octets: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = octets.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digit = |octet: u8| octet.is_ascii_digit().then(|| u32::from(octet - b'0'));
    let value = digit(first)? * 100 + digit(octets.next()?)? * 10 + digit(octets.next()?)?;
    u8::try_from(value).ok()
}

impl fmt::Display for NameParseError {
    /// What the writer has to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameParseError::Empty => "a name is missing; the root is a dot",
            NameParseError::EmptyLabel => "there is nothing between two dots, or before the first",
            NameParseError::LongLabel => "a label has at most 63 octets",
            NameParseError::LongName => "a name has at most 255 octets",
            NameParseError::Escape => "a backslash stands before a character, or before three digits up to 255",
            NameParseError::Unicode => "write an international name in its ASCII form, xn--...",
            NameParseError::Unescaped => "write a blank or a control character as a backslash and three digits, \\032",
        })
    }
}

impl std::error::Error for NameParseError {}
