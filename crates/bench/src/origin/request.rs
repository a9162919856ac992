//! Reads requests as far as an origin needs them: the first line, and whether the connection ends or becomes another's.

use memchr::memmem;

/// The longest head that is read, in octets.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// A request's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// What is asked for.
    pub(super) target: String,
    /// Whether the answer has no body (HEAD).
    pub(super) only_head: bool,
    /// Whether the connection ends after the answer (RFC 9112 §9.3).
    pub(super) closes: bool,
    /// Whether the connection shall speak another protocol (RFC 9110 §7.8).
    pub(super) upgrades: bool,
}

/// What is wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refused;

impl Request {
    /// The request that `bytes` begin with and its length, or nothing if there is more to come.
    ///
    /// # Errors
    /// It is too long, not a GET or HEAD, or has a body: an origin of a benchmark is asked for documents.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
        let Some(end) = memmem::find(&bytes[..bytes.len().min(MAX_HEAD)], b"\r\n\r\n") else {
            return if bytes.len() >= MAX_HEAD { Err(Refused) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Refused)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refused);
        };
        let mut request = Request {
            target: target.to_owned(),
            only_head: method == "HEAD",
            closes: version != "HTTP/1.1",
            upgrades: false,
        };
        if !matches!(method, "GET" | "HEAD") || !version.starts_with("HTTP/1.") {
            return Err(Refused);
        }
        lines.try_for_each(|line| request.note(line))?;
        Ok(Some((request, end + 4)))
    }

    fn note(&mut self, line: &str) -> Result<(), Refused> {
        let (name, value) = line.split_once(':').ok_or(Refused)?;
        let value = value.trim();
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(',').map(str::trim) {
                    self.closes |= option.eq_ignore_ascii_case("close");
                    self.closes &= !option.eq_ignore_ascii_case("keep-alive");
                }
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrades = true,
            14 if name.eq_ignore_ascii_case("content-length") && value != "0" => return Err(Refused),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => return Err(Refused),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(Request, usize)>, Refused> {
        Request::parse(text.as_bytes())
    }

    #[test]
    fn a_request_that_is_not_complete_is_waited_for() {
        let text = "GET /fixed/1 HTTP/1.1\r\nHost: h\r\n\r\nGET";
        for length in 0..text.len() - 3 {
            assert_eq!(parse(&text[..length]), Ok(None));
        }
        let (request, length) = parse(text).unwrap().unwrap();
        assert_eq!((request.target.as_str(), length), ("/fixed/1", text.len() - 3));
        assert_eq!((request.only_head, request.closes, request.upgrades), (false, false, false));
    }

    #[test]
    fn the_version_and_the_headers_say_what_becomes_of_the_connection() {
        for (text, closes, upgrades) in [
            ("GET / HTTP/1.0\r\n\r\n", true, false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, false),
            ("HEAD / HTTP/1.1\r\nconnection: x, Close\r\n\r\n", true, false),
            ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false, true),
        ] {
            let (request, _) = parse(text).unwrap().unwrap();
            assert_eq!((request.closes, request.upgrades), (closes, upgrades), "{text}");
        }
    }

    #[test]
    fn what_has_a_body_or_is_no_request_is_refused() {
        for text in [
            "POST / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / a HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nx\r\n\r\n",
        ] {
            assert_eq!(parse(text), Err(Refused), "{text}");
        }
        assert_eq!(Request::parse(&[b'a'; MAX_HEAD]), Err(Refused));
    }
}
