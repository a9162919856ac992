//! Request methods.

/// The methods that are known here. What is not one of them is answered with 501.
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

    /// The method that `line` starts with, if a space follows it. Names are case-sensitive (RFC 9110
    /// §9.1).
    #[inline]
    pub(super) fn of_line(line: &[u8]) -> Option<Method> {
        match line {
            [b'G', b'E', b'T', b' ', ..] => Some(Method::Get),
            [b'H', b'E', b'A', b'D', b' ', ..] => Some(Method::Head),
            _ => Method::ALL.into_iter().find(|method| {
                let name = method.name().as_bytes();
                line.starts_with(name) && line.get(name.len()) == Some(&b' ')
            }),
        }
    }

    /// Its name.
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
        }
    }
}
