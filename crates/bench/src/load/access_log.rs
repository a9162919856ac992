//! Reads an access log in Common or Combined format, to replay what was asked for.

/// One line of a log that can be replayed: a GET that was answered with 200.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    /// The request target, as it was sent.
    pub(crate) target: &'a str,
    /// The octets of the body that were sent; `None` if the log does not say.
    pub(crate) length: Option<u64>,
}

/// The longest target that is replayed, in octets.
const MAX_TARGET: usize = 8000;

/// The entry on `line`, or `None` if it is no log line, no GET, not answered with 200, or asks for
/// something other than a path.
///
/// `host ident user [date] "GET target HTTP/x.y" status length ...`
pub(crate) fn parse_line(line: &str) -> Option<Entry<'_>> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let whole = words.next().is_none() && version.starts_with("HTTP/");
    let safe = target.starts_with('/') && target.len() <= MAX_TARGET && target.bytes().all(|b| b.is_ascii_graphic());
    let mut words = rest.split_ascii_whitespace();
    let (status, length) = (words.next()?, words.next()?);
    if !(whole && safe && method == "GET" && status == "200") {
        return None;
    }
    match length {
        "-" => Some(Entry { target, length: None }),
        digits => Some(Entry { target, length: Some(digits.parse().ok()?) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_and_combined_lines_are_read() {
        let common = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;
        assert_eq!(parse_line(common), Some(Entry { target: "/apache_pb.gif", length: Some(2326) }));
        let combined =
            r#"::1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=%20c HTTP/1.1" 200 - "http://x/" "agent \"y\"""#;
        assert_eq!(parse_line(combined), Some(Entry { target: "/a?b=%20c", length: None }));
    }

    #[test]
    fn what_cannot_be_replayed_is_left_out() {
        for line in [
            "",
            "nonsense",
            r#"a - - [d] "POST / HTTP/1.1" 200 1"#,
            r#"a - - [d] "GET / HTTP/1.1" 404 1"#,
            r#"a - - [d] "GET / HTTP/1.1" 304 0"#,
            r#"a - - [d] "GET http://x/ HTTP/1.1" 200 1"#,
            r#"a - - [d] "GET /a b HTTP/1.1" 200 1"#,
            r#"a - - [d] "GET /" 200 1"#,
            r#"a - - [d] "GET / HTTP/1.1" 200 x"#,
            r#"a - - [d] "GET / HTTP/1.1" 200"#,
            "a - - [d] \"GET /\r\nX: HTTP/1.1\" 200 1",
        ] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }
}
