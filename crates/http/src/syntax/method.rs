//! Request methods.

use super::octet::is_token;

/// The methods that are known here. What is not one of them is answered with 501, unless
/// [`Limits::extension_methods`](super::Limits::extension_methods) lets it through as [`Method::Other`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Method {
    /// RFC 9110 §9.3.1.
    #[default]
    Get,
    /// RFC 9110 §9.3.2.
    Head,
    /// RFC 9110 §9.3.3.
    Post,
    /// RFC 9110 §9.3.4.
    Put,
    /// RFC 9110 §9.3.5.
    Delete,
    /// RFC 9110 §9.3.6.
    Connect,
    /// RFC 9110 §9.3.7.
    Options,
    /// RFC 9110 §9.3.8.
    Trace,
    /// RFC 5789.
    Patch,
    /// One that is not known here, to be passed on: what it does is between client and backend. Its name
    /// is [`RequestHead::method_text`](super::RequestHead::method_text).
    Other,
}

impl Method {
    /// The longest name of a known method, in octets.
    pub(super) const LONGEST: usize = 7;

    const ALL: [Method; 9] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Connect,
        Method::Options,
        Method::Trace,
        Method::Patch,
    ];

    /// The longest name of a method that is passed on without being known, in octets.
    pub(super) const LONGEST_EXTENSION: usize = 32;

    /// The method that `line` starts with, if a space follows it, and its name's length. Names are
    /// case-sensitive (RFC 9110 §9.1).
    #[inline]
    pub(super) fn of_line(line: &[u8]) -> Option<(Method, usize)> {
        match line {
            [b'G', b'E', b'T', b' ', ..] => Some((Method::Get, 3)),
            [b'H', b'E', b'A', b'D', b' ', ..] => Some((Method::Head, 4)),
            _ => Method::ALL.into_iter().find_map(|method| {
                let name = method.name().as_bytes();
                (line.starts_with(name) && line.get(name.len()) == Some(&b' ')).then_some((method, name.len()))
            }),
        }
    }

    /// The unknown method that `line` starts with. One that differs from a known one by case alone is
    /// refused: a backend that forgives it would see another method than we do.
    pub(super) fn extension(line: &[u8]) -> Option<(Method, usize)> {
        let length = line.iter().take(Method::LONGEST_EXTENSION + 1).position(|&octet| octet == b' ')?;
        let name = &line[..length];
        let is_other = !Method::ALL.iter().any(|known| known.name().as_bytes().eq_ignore_ascii_case(name));
        (length > 0 && is_other && name.iter().copied().all(is_token)).then_some((Method::Other, length))
    }

    /// Whether requests with it change nothing at the server (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// Its name; empty for [`Method::Other`].
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => "",
        }
    }
}
