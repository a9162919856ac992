//! One directive of a Cache-Control field (RFC 9111 §5.2).

use crate::list::{Members, trimmed, unquoted};
use crate::seconds;

/// A directive's name, in any case, and its argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directive<'a> {
    pub(super) name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    None,
    /// Of a token or of a quoted string.
    Text(&'a [u8]),
    Seconds(u32),
    /// There is something, but not of the syntax.
    Malformed,
}

impl<'a> Directive<'a> {
    /// A member of a Cache-Control field.
    pub(super) fn of(member: &'a [u8]) -> Self {
        let Some(equals) = member.iter().position(|&octet| octet == b'=') else {
            return Self { name: member, argument: Argument::None };
        };
        let (name, value) = (&member[..equals], &member[equals + 1..]);
        let has_space = trimmed(name).len() != name.len() || trimmed(value).len() != value.len();
        let argument = if has_space { Argument::Malformed } else { Argument::Text(unquoted(value)) };
        Self { name: trimmed(name), argument }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl<'a> Argument<'a> {
    pub(super) fn seconds(self) -> Option<u32> {
        match self {
            Self::Text(text) => seconds::parse(text),
            Self::Seconds(seconds) => Some(seconds),
            Self::None | Self::Malformed => None,
        }
    }

    /// The names of fields; `None` if there are none or it is not a list of names.
    pub(super) fn field_names(self) -> Option<Members<'a>> {
        let Self::Text(text) = self else { return None };
        let mut names = Members::of(text).peekable();
        names.peek()?;
        names.all(crate::list::is_token).then(|| Members::of(text))
    }
}
