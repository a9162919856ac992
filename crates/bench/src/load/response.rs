//! Reads responses, and trusts none: a strict, minimal parser of HTTP/1.x responses to GET.

use memchr::memmem;
use std::fmt;

/// The longest head that is read, in octets.
const MAX_HEAD: usize = 16 * 1024;

/// Reads one response after another from the octets that a connection delivers.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    /// The response whose body is being read, and how much of the body is missing.
    body: Option<(Response, u64)>,
}

/// What a server answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The length of the body, in octets.
    pub(crate) length: u64,
    /// Whether the server closes the connection after it (RFC 9112 §9.3).
    pub(crate) closes: bool,
}

/// How far [`ResponseReader::read`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// Octets that are dealt with.
    pub(crate) consumed: usize,
    /// The response that ends there.
    pub(crate) response: Option<Response>,
}

impl ResponseReader {
    /// Reads to the end of one response, or as far as `bytes` goes. A head that is not complete is
    /// not consumed: show it again when more has arrived.
    ///
    /// # Errors
    /// The server did not send a well-formed response with a `Content-Length`.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Progress, Malformed> {
        let mut consumed = 0;
        let (response, missing) = match self.body.take() {
            Some(body) => body,
            None => {
                let Some(end) = memmem::find(&bytes[..bytes.len().min(MAX_HEAD)], b"\r\n\r\n") else {
                    let too_long = bytes.len() >= MAX_HEAD;
                    return if too_long {
                        Err(Malformed::HeadTooLong)
                    } else {
                        Ok(Progress { consumed, response: None })
                    };
                };
                consumed = end + 4;
                let response = parse_head(&bytes[..end + 2])?;
                (response, response.length)
            }
        };
        let here = missing.min((bytes.len() - consumed) as u64);
        consumed += here as usize;
        if here == missing {
            return Ok(Progress { consumed, response: Some(response) });
        }
        self.body = Some((response, missing - here));
        Ok(Progress { consumed, response: None })
    }

    /// Whether octets of a body have come that is not complete.
    pub(crate) fn is_within_body(&self) -> bool {
        self.body.is_some_and(|(response, missing)| missing < response.length)
    }
}

/// What is wrong with a response: the server is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// The first line is not `HTTP/1.x NNN ...`.
    StatusLine,
    /// A header line has no colon, an empty or spaced name, or a bare CR or LF.
    Header,
    /// No `Content-Length`, or a `Transfer-Encoding`: the body's end is unknown.
    NoLength,
    /// A `Content-Length` that is not a number, or two that differ.
    BadLength,
    /// The head is longer than this program reads.
    HeadTooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::StatusLine => "the server's status line is malformed",
            Malformed::Header => "the server sent a malformed header line",
            Malformed::NoLength => "the server sent no Content-Length",
            Malformed::BadLength => "the server sent a malformed Content-Length",
            Malformed::HeadTooLong => "the server sent a head of more than 16 KiB",
        })
    }
}

/// `head` holds the status line and the header lines, each with its CRLF.
fn parse_head(head: &[u8]) -> Result<Response, Malformed> {
    let mut lines = head.split_inclusive(|&b| b == b'\n');
    let (minor, status) = parse_status_line(lines.next().and_then(strip_crlf).ok_or(Malformed::StatusLine)?)?;
    let mut length = None;
    let mut coded = false;
    // RFC 9112 §9.3: HTTP/1.0 closes unless it says keep-alive, HTTP/1.1 stays unless it says close.
    let mut closes = minor == 0;
    for line in lines {
        let line = strip_crlf(line).ok_or(Malformed::Header)?;
        let colon = memchr::memchr(b':', line).ok_or(Malformed::Header)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err(Malformed::Header);
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let value = parse_length(value)?;
                if length.is_some_and(|earlier| earlier != value) {
                    return Err(Malformed::BadLength);
                }
                length = Some(value);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => coded = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        closes = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        closes = false;
                    }
                }
            }
            _ => {}
        }
    }
    // RFC 9112 §6.3: these end with their head, whatever they declare.
    let length = match status {
        100..=199 | 204 | 304 => 0,
        _ if coded => return Err(Malformed::NoLength),
        _ => length.ok_or(Malformed::NoLength)?,
    };
    Ok(Response { status, length, closes })
}

/// The minor version and the status code.
fn parse_status_line(line: &[u8]) -> Result<(u8, u16), Malformed> {
    match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'1', b' ', a @ b'1'..=b'5', b, c, rest @ ..]
            if b.is_ascii_digit() && c.is_ascii_digit() && matches!(rest, [] | [b' ', ..]) =>
        {
            let digit = |d: u8| u16::from(d - b'0');
            Ok((minor - b'0', digit(*a) * 100 + digit(*b) * 10 + digit(*c)))
        }
        _ => Err(Malformed::StatusLine),
    }
}

/// RFC 9110 §8.6: one or more digits, nothing else.
fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::BadLength);
    }
    value
        .iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(Malformed::BadLength)
}

/// The line without its CRLF; `None` if it lacks one or holds another CR.
fn strip_crlf(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\r\n").filter(|line| memchr::memchr(b'\r', line).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Progress, Malformed> {
        ResponseReader::default().read(bytes)
    }

    #[test]
    fn a_whole_response_is_read_in_one_step() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1";
        let response = Response { status: 200, length: 3, closes: false };
        assert_eq!(read(bytes), Ok(Progress { consumed: bytes.len() - 8, response: Some(response) }));
    }

    #[test]
    fn a_body_begins_with_its_first_octet() {
        let mut reader = ResponseReader::default();
        for (bytes, within) in
            [(&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"[..], false), (b"a", true), (b"bc", false)]
        {
            reader.read(bytes).unwrap();
            assert_eq!(reader.is_within_body(), within);
        }
    }

    #[test]
    fn persistence_follows_the_version_and_the_connection_header() {
        for (head, closes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nConnection: foo, Keep-Alive\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            let response = read(head.as_bytes()).unwrap().response.unwrap();
            assert_eq!(response.closes, closes, "{head}");
        }
    }

    #[test]
    fn bodyless_statuses_need_no_length() {
        for status in [204, 304] {
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 9\r\n\r\n");
            assert_eq!(read(head.as_bytes()).unwrap().response.unwrap().length, 0);
        }
    }

    #[test]
    fn malformed_responses_are_refused() {
        for (head, error) in [
            ("HTTP/2.0 200 OK\r\n\r\n", Malformed::StatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", Malformed::StatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", Malformed::StatusLine),
            ("http/1.1 200 OK\r\n\r\n", Malformed::StatusLine),
            ("HTTP/1.1 200 OK\r\n\r\n", Malformed::NoLength),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Malformed::NoLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", Malformed::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", Malformed::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Malformed::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", Malformed::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n", Malformed::Header),
            ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Malformed::Header),
            ("HTTP/1.1 200 OK\r\nA: b\nContent-Length: 3\r\n\r\n", Malformed::Header),
        ] {
            assert_eq!(read(head.as_bytes()), Err(error), "{head:?}");
        }
        assert_eq!(read(&vec![b'a'; MAX_HEAD]), Err(Malformed::HeadTooLong));
    }

    proptest! {
        /// However the octets are cut, the same responses are seen.
        #[test]
        fn cuts_do_not_matter(lengths in prop::collection::vec(0usize..2000, 1..6), cut in 1usize..700) {
            let mut stream = Vec::new();
            for length in &lengths {
                stream.extend_from_slice(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
                stream.resize(stream.len() + length, b'x');
            }
            let (mut reader, mut start, mut shown, mut seen) = (ResponseReader::default(), 0, 0, Vec::new());
            while start < stream.len() {
                shown = (shown + cut).min(stream.len());
                loop {
                    let progress = reader.read(&stream[start..shown]).unwrap();
                    start += progress.consumed;
                    match progress.response {
                        Some(response) => seen.push(response.length as usize),
                        None => break,
                    }
                    if start == shown { break }
                }
            }
            prop_assert_eq!(seen, lengths);
        }

        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend_from_slice(&bytes);
            head.extend_from_slice(b"\r\n\r\n");
            let _ = read(&head);
        }
    }
}
