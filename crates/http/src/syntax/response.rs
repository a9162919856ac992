//! Writes response heads, and the content that the server makes itself.
//!
//! A response is laid out as mutable head, immutable head, payload (AFPA §3.4). The mutable head, from
//! the status line on, changes from response to response and is written first; the immutable head ends
//! with the empty line, so that it and the payload lie side by side. The functions here append, and
//! the caller keeps that order.

use std::fmt::Write;
use std::ops::Range;

use super::octet::{has_control, is_control};
pub use super::status::reason;

/// The methods that a file answers (RFC 9110 §10.2.1).
pub const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Appends the status line (RFC 9112 §4).
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line. `name` is a token; a control character in `value` becomes a space, as RFC
/// 9110 §5.5 has recipients do, so no value can end its line.
pub fn field(out: &mut Vec<u8>, name: &str, value: impl AsRef<[u8]>) {
    field_octets(out, name.as_bytes(), value.as_ref());
}

/// As [`field`], of a name that was received.
pub(crate) fn field_octets(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    value_and_end(out, value);
}

/// Appends the value of a field and the end of its line.
pub(super) fn value_and_end(out: &mut Vec<u8>, value: &[u8]) {
    if has_control(value) {
        out.extend(value.iter().map(|&octet| if is_control(octet) { b' ' } else { octet }));
    } else {
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line whose value is a number.
pub fn field_number(out: &mut Vec<u8>, name: &str, value: u64) {
    name_and_colon(out, name);
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends Location with `reference`, of which only what no URI may have is encoded (RFC 9110 §10.2.2).
pub fn location(out: &mut Vec<u8>, reference: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    name_and_colon(out, "Location");
    for &octet in reference {
        match octet {
            b'!'..=b'~' if !matches!(octet, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                out.push(octet);
            }
            _ => out.extend([b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Range for `range`, which is not empty, of `length` octets (RFC 9110 §14.4).
pub fn content_range(out: &mut Vec<u8>, range: &Range<u64>, length: u64) {
    name_and_colon(out, "Content-Range");
    out.extend_from_slice(b"bytes ");
    decimal(out, range.start);
    out.push(b'-');
    decimal(out, range.end.saturating_sub(1));
    out.push(b'/');
    decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends the Content-Range of a 416 for `length` octets (RFC 9110 §14.4).
pub fn content_range_unsatisfied(out: &mut Vec<u8>, length: u64) {
    name_and_colon(out, "Content-Range");
    out.extend_from_slice(b"bytes */");
    decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends the empty line that ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// What separates the parts of a multipart/byteranges response (RFC 9110 §14.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boundary([u8; 20]);

impl Boundary {
    /// A boundary made of `seed`. Take one that whoever writes the files cannot foresee: a payload
    /// that holds the boundary breaks the response.
    pub fn new(seed: u64) -> Boundary {
        let mut text = *b"afpa0000000000000000";
        for (i, octet) in text[4..].iter_mut().enumerate() {
            *octet = b"0123456789abcdef"[(seed >> (60 - 4 * i)) as usize & 15];
        }
        Boundary(text)
    }

    /// The value of Content-Type.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", String::from_utf8_lossy(&self.0))
    }

    /// Appends what precedes the octets of one part: the delimiter and the part's head.
    pub fn part(&self, out: &mut Vec<u8>, content_type: impl AsRef<[u8]>, range: &Range<u64>, length: u64) {
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(&self.0);
        out.extend_from_slice(b"\r\n");
        field(out, "Content-Type", content_type);
        content_range(out, range, length);
        end(out);
    }

    /// Appends what follows the last part.
    pub fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(&self.0);
        out.extend_from_slice(b"--\r\n");
    }
}

/// The type of what [`error_page`] and [`redirect_page`] make.
pub const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// The content of a response that says what went wrong.
pub fn error_page(status: u16) -> String {
    page(status, "")
}

/// The content of a redirect for those that do not follow it. `location` is a URI reference, written
/// with what `Location` has in it (RFC 9110 §15.4.2).
pub fn redirect_page(status: u16, location: &[u8]) -> String {
    let mut link = String::new();
    for octet in location.iter().copied() {
        match octet {
            b'&' => link.push_str("&amp;"),
            b'!'..=b'~' if !matches!(octet, b'"' | b'\'' | b'<' | b'>') => link.push(char::from(octet)),
            _ => _ = write!(link, "%{octet:02X}"),
        }
    }
    page(status, &format!("<p><a href=\"{link}\">{link}</a></p>\n"))
}

fn page(status: u16, content: &str) -> String {
    let reason = reason(status);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status} {reason}</title></head>\n\
         <body>\n<h1>{status} {reason}</h1>\n{content}</body>\n</html>\n"
    )
}

fn name_and_colon(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
}

/// Appends `number` in decimal, without going through formatting.
pub(super) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn heads() {
        let head = written(|out| {
            status_line(out, 206);
            field(out, "Allow", ALLOW);
            field_number(out, "Content-Length", u64::MAX);
            field_number(out, "Age", 0);
            content_range(out, &(0..500), 1234);
            end(out);
        });
        assert_eq!(
            head,
            "HTTP/1.1 206 Partial Content\r\nAllow: GET, HEAD, OPTIONS\r\nContent-Length: 18446744073709551615\r\n\
             Age: 0\r\nContent-Range: bytes 0-499/1234\r\n\r\n"
        );
        assert_eq!(written(|out| content_range_unsatisfied(out, 7)), "Content-Range: bytes */7\r\n");
        assert_eq!(written(|out| status_line(out, 299)), "HTTP/1.1 299 \r\n");
    }

    #[test]
    fn no_value_ends_its_line() {
        assert_eq!(written(|out| field(out, "X", b"a\r\nY: b\0")), "X: a  Y: b \r\n");
        let location = written(|out| location(out, b"/a b%20\r\nX: y\xff?q=\"<{'\xe9"));
        assert_eq!(location, "Location: /a%20b%20%0D%0AX:%20y%FF?q=%22%3C%7B'%E9\r\n");
    }

    #[test]
    fn parts() {
        let boundary = Boundary::new(0x0123_4567_89ab_cdef);
        assert_eq!(boundary.content_type(), "multipart/byteranges; boundary=afpa0123456789abcdef");
        let body = written(|out| {
            boundary.part(out, "text/plain", &(0..1), 10);
            out.push(b'x');
            boundary.close(out);
        });
        assert_eq!(
            body,
            "\r\n--afpa0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\nx\
             \r\n--afpa0123456789abcdef--\r\n"
        );
    }

    #[test]
    fn pages() {
        assert!(error_page(404).contains("<h1>404 Not Found</h1>"));
        let page = redirect_page(301, b"/\"><script>&'/");
        assert!(page.contains("<a href=\"/%22%3E%3Cscript%3E&amp;%27/\">"), "{page}");
    }
}
