//! Writes chunked bodies (RFC 9112 §7.1).

use super::octet::is_token;
use super::response::{end, field_octets};
use super::trailer;

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The most octets that [`chunk_head`] appends.
pub const LONGEST_CHUNK_HEAD: usize = 18;

/// Appends what precedes a chunk's `length` octets of data; [`CHUNK_END`] follows them. For no data nothing is
/// appended, and nothing may follow: an empty chunk would end the body.
pub fn chunk_head(out: &mut Vec<u8>, length: u64) {
    if length == 0 {
        return;
    }
    let digits = (67 - length.leading_zeros()) / 4;
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(length >> (4 * place)) as usize & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what ends the body, with `trailers`, of which those that no trailer section may have are left out
/// (RFC 9110 §6.5.1).
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if !name.is_empty() && name.iter().copied().all(is_token) && trailer::is_allowed(name) {
            field_octets(out, name, value);
        }
    }
    end(out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::{Body, BodyReader};

    fn head(length: u64) -> String {
        let mut out = Vec::new();
        chunk_head(&mut out, length);
        assert!(out.len() <= LONGEST_CHUNK_HEAD);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sizes() {
        for length in [1, 9, 10, 15, 16, 17, 255, 256, 0xfff, 0x1000, u64::from(u32::MAX), u64::MAX >> 4, u64::MAX] {
            assert_eq!(head(length), format!("{length:x}\r\n"));
        }
        assert_eq!(head(0), "");
    }

    #[test]
    fn no_trailer_ends_its_line_or_the_section() {
        let mut out = Vec::new();
        let trailers: [(&[u8], &[u8]); 5] =
            [(b"a", b"b\r\n\r\nc"), (b"", b"x"), (b"a b", b"x"), (b"Content-Length", b"1"), (b"d", b"")];
        last_chunk(&mut out, trailers);
        assert_eq!(out.escape_ascii().to_string(), "0\\r\\na: b    c\\r\\nd: \\r\\n\\r\\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(pieces in proptest::collection::vec("[a-z\r\n]{0,40}", 0..8), trailer in "[a-z]{1,5}") {
            let mut body = Vec::new();
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                chunk_head(&mut body, piece.len() as u64);
                body.extend_from_slice(piece.as_bytes());
                body.extend_from_slice(CHUNK_END);
            }
            last_chunk(&mut body, [(&b"x-end"[..], trailer.as_bytes())]);
            let (mut reader, mut data) = (BodyReader::new(Body::Chunked), Vec::new());
            prop_assert_eq!(reader.advance(&body, |piece| data.extend_from_slice(piece)), Ok((body.len(), true)));
            prop_assert_eq!(data, pieces.concat().into_bytes());
            prop_assert_eq!(reader.trailers().collect::<Vec<_>>(), [(&b"x-end"[..], trailer.as_bytes())]);
        }
    }
}
