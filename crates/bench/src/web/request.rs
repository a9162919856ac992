//! Requests, as far as the web server looks at them.

use memchr::memmem;

/// The longest request, in octets.
pub(super) const MAX_REQUEST: usize = 8 * 1024;

/// A GET without a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request<'a> {
    /// What it asks for.
    pub(super) path: &'a [u8],
    /// The version: HTTP/1.0 or HTTP/1.1.
    pub(super) minor: u8,
    /// Whether the connection ends with the answer (RFC 9112 §9.3).
    pub(super) closes: bool,
    /// Its octets.
    pub(super) length: usize,
}

/// What stands at the start of what a client sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found<'a> {
    /// A request.
    Request(Request<'a>),
    /// A request that is not complete.
    Part,
    /// Something else.
    Refused,
}

/// Looks for a request at the start of `bytes`.
pub(super) fn find(bytes: &[u8]) -> Found<'_> {
    let Some(end) = memmem::find(&bytes[..bytes.len().min(MAX_REQUEST)], b"\r\n\r\n") else {
        return if bytes.len() >= MAX_REQUEST { Found::Refused } else { Found::Part };
    };
    match parse(&bytes[..end]) {
        Some((path, minor, closes)) => Found::Request(Request { path, minor, closes, length: end + 4 }),
        None => Found::Refused,
    }
}

fn parse(head: &[u8]) -> Option<(&[u8], u8, bool)> {
    let mut lines = head.split(|&octet| octet == b'\n').map(<[u8]>::trim_ascii_end);
    let rest = lines.next()?.strip_prefix(b"GET ")?;
    let (path, version) = rest.split_at(memchr::memchr(b' ', rest)?);
    let minor = match version {
        b" HTTP/1.0" => 0,
        b" HTTP/1.1" => 1,
        _ => return None,
    };
    let mut closes = minor == 0;
    for line in lines {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        if name.eq_ignore_ascii_case(b"connection") {
            match value[1..].trim_ascii() {
                value if value.eq_ignore_ascii_case(b"close") => closes = true,
                value if value.eq_ignore_ascii_case(b"keep-alive") => closes = false,
                _ => {}
            }
        } else if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Its body would be taken for the next request.
            return None;
        }
    }
    Some((path, minor, closes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_connection_header_say_whether_it_closes() {
        for (text, minor, closes) in [
            ("GET /x HTTP/1.0\r\n\r\n", 0, true),
            ("GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 0, false),
            ("GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET", 1, false),
            ("GET /x HTTP/1.1\r\nconnection: close\r\n\r\n", 1, true),
        ] {
            let length = text.find("\r\n\r\n").unwrap() + 4;
            let request = Request { path: b"/x", minor, closes, length };
            assert_eq!(find(text.as_bytes()), Found::Request(request), "{text}");
            assert_eq!(find(&text.as_bytes()[..length - 1]), Found::Part);
        }
    }

    #[test]
    fn what_is_no_get_without_a_body_is_refused() {
        for text in [
            "POST / HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(find(text.as_bytes()), Found::Refused, "{text}");
        }
        assert_eq!(find(&[b'x'; MAX_REQUEST]), Found::Refused);
    }
}
