//! Chunked bodies (RFC 9112 §7.1), read to the letter: a decoder that forgives lets two servers see
//! two different bodies.

use super::error::RequestError;
use super::octet::{hexadecimal, is_control, is_token};

/// The most octets of chunk extensions in one body.
pub const MAX_EXTENSIONS: u32 = 8 << 10;

/// The most octets of the trailer section.
pub const MAX_TRAILERS: u32 = 8 << 10;

/// Decodes a chunked body, in as many steps as its octets take to arrive. The trailer section is
/// checked and dropped, as RFC 9110 §6.5.1 allows.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    expects: Expects,
    /// Of the current chunk: the size as far as it is read, then the data still to come.
    left: u64,
    extensions: u32,
    trailers: u32,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Expects {
    /// The first digit of a size.
    #[default]
    Size,
    /// More digits, or what ends them.
    SizeOrEnd,
    Extension,
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    /// A trailer field's name, or the empty line.
    TrailerOrEnd,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Nothing,
}

impl Expects {
    fn is_trailer(self) -> bool {
        use Expects::{LastLineFeed, TrailerLineFeed, TrailerName, TrailerOrEnd, TrailerValue};
        matches!(self, TrailerOrEnd | TrailerName | TrailerValue | TrailerLineFeed | LastLineFeed)
    }
}

impl ChunkedDecoder {
    /// Reads `input` and drops the data. Returns how much of `input` belongs to the body, and whether
    /// the body is complete; unless it is, that is all of `input`.
    ///
    /// # Errors
    /// What is wrong with the body. Its end cannot be known any more.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), RequestError> {
        self.decode(input, |_| ())
    }

    /// As [`ChunkedDecoder::advance`]; gives the data to `sink`, in order, in pieces that are not empty.
    ///
    /// # Errors
    /// As [`ChunkedDecoder::advance`]. Data that came before the fault has been given.
    pub fn decode(&mut self, input: &[u8], sink: impl FnMut(&[u8])) -> Result<(usize, bool), RequestError> {
        self.decode_all(input, sink, |_| ())
    }

    /// As [`ChunkedDecoder::decode`]; gives the octets of the trailer section to `trailer`, each once, and
    /// before they are checked.
    pub(super) fn decode_all<'i>(
        &mut self,
        input: &'i [u8],
        mut sink: impl FnMut(&'i [u8]),
        mut trailer: impl FnMut(u8),
    ) -> Result<(usize, bool), RequestError> {
        let mut read = 0;
        while self.expects != Expects::Nothing && read < input.len() {
            if self.expects == Expects::Data {
                let count = self.left.min((input.len() - read) as u64) as usize;
                sink(&input[read..read + count]);
                read += count;
                self.left -= count as u64;
                if self.left == 0 {
                    self.expects = Expects::DataCarriageReturn;
                }
            } else {
                if self.expects.is_trailer() {
                    trailer(input[read]);
                }
                self.expects = self.octet(input[read])?;
                read += 1;
            }
        }
        Ok((read, self.expects == Expects::Nothing))
    }

    /// Whether the body is complete.
    pub fn is_complete(&self) -> bool {
        self.expects == Expects::Nothing
    }

    /// Takes one octet of what is not data. Returns what comes next.
    fn octet(&mut self, octet: u8) -> Result<Expects, RequestError> {
        match (self.expects, octet) {
            (Expects::Size, _) => self.digit(octet),
            (Expects::SizeOrEnd, b'\r') => Ok(Expects::SizeLineFeed),
            (Expects::SizeOrEnd, b';') | (Expects::Extension, _) => self.extension(octet),
            (Expects::SizeOrEnd, _) => self.digit(octet),
            (Expects::SizeLineFeed, b'\n') if self.left == 0 => Ok(Expects::TrailerOrEnd),
            (Expects::SizeLineFeed, b'\n') => Ok(Expects::Data),
            (Expects::DataCarriageReturn, b'\r') => Ok(Expects::DataLineFeed),
            (Expects::DataLineFeed, b'\n') => Ok(Expects::Size),
            (Expects::LastLineFeed, b'\n') => Ok(Expects::Nothing),
            (Expects::SizeLineFeed | Expects::DataCarriageReturn | Expects::DataLineFeed, _) => {
                Err(RequestError::ChunkEnd)
            }
            _ => self.trailer(octet),
        }
    }

    /// Digits and nothing else: neither sign nor prefix nor space.
    fn digit(&mut self, octet: u8) -> Result<Expects, RequestError> {
        let Some(digit) = hexadecimal(octet) else {
            let fault = if octet == b'\n' { RequestError::ChunkEnd } else { RequestError::ChunkSize };
            return Err(fault);
        };
        if self.left >> 60 != 0 {
            return Err(RequestError::ChunkSizeOverflow);
        }
        self.left = self.left << 4 | u64::from(digit);
        // A size of many zeros is a size, and an endless one is bounded as extensions are.
        if self.left == 0 {
            self.count_extension()?;
        }
        Ok(Expects::SizeOrEnd)
    }

    fn extension(&mut self, octet: u8) -> Result<Expects, RequestError> {
        match octet {
            b'\r' => Ok(Expects::SizeLineFeed),
            b'\n' => Err(RequestError::ChunkEnd),
            _ if is_control(octet) => Err(RequestError::ChunkExtension),
            _ => self.count_extension().map(|()| Expects::Extension),
        }
    }

    fn count_extension(&mut self) -> Result<(), RequestError> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS { Err(RequestError::ChunkExtension) } else { Ok(()) }
    }

    fn trailer(&mut self, octet: u8) -> Result<Expects, RequestError> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS {
            return Err(RequestError::TrailerTooLarge);
        }
        match (self.expects, octet) {
            (Expects::TrailerOrEnd, b'\r') => Ok(Expects::LastLineFeed),
            (Expects::TrailerOrEnd | Expects::TrailerName, _) if is_token(octet) => Ok(Expects::TrailerName),
            (Expects::TrailerName, b':') => Ok(Expects::TrailerValue),
            (Expects::TrailerValue, b'\r') => Ok(Expects::TrailerLineFeed),
            (Expects::TrailerValue, _) if !is_control(octet) => Ok(Expects::TrailerValue),
            (Expects::TrailerLineFeed, b'\n') => Ok(Expects::TrailerOrEnd),
            _ => Err(RequestError::Trailer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::fuzz;

    fn decode(input: &[u8]) -> Result<(Vec<u8>, usize, bool), RequestError> {
        let mut data = Vec::new();
        let (read, done) = ChunkedDecoder::default().decode(input, |piece| data.extend_from_slice(piece))?;
        Ok((data, read, done))
    }

    #[test]
    fn bodies() {
        let rows: &[(&str, &str, bool)] = &[
            ("0\r\n\r\n", "", true),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", true),
            ("05\r\nhello\r\n000\r\n\r\n", "hello", true),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", true),
            ("5;a=b;c=\"d e\" ;f\r\nhello\r\n0;last\r\n\r\n", "hello", true),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", true),
            ("0\r\nA: b\r\nC:\r\n\r\n", "", true),
            ("5\r\nhel", "hel", false),
            ("5\r\nhello\r", "hello", false),
            ("0\r\n\r", "", false),
            ("ffffffffffffffff\r\nx", "x", false),
            ("", "", false),
        ];
        for &(input, data, done) in rows {
            assert_eq!(decode(input.as_bytes()), Ok((data.into(), input.len(), done)), "{input:?}");
        }
    }

    #[test]
    fn what_follows_the_body_is_left() {
        assert_eq!(decode(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), Ok((b"x".to_vec(), 11, true)));
    }

    #[test]
    fn faults() {
        use RequestError::{ChunkEnd, ChunkExtension, ChunkSize, ChunkSizeOverflow, Trailer, TrailerTooLarge};
        let long = |octets: &[u8], count: usize| octets.repeat(count);
        let rows: Vec<(Vec<u8>, RequestError, u16)> = vec![
            // RFC 9112 §7.1: chunk-size = 1*HEXDIG.
            (b"0x5\r\n".to_vec(), ChunkSize, 400),
            (b"+5\r\n".to_vec(), ChunkSize, 400),
            (b"-5\r\n".to_vec(), ChunkSize, 400),
            (b" 5\r\n".to_vec(), ChunkSize, 400),
            (b"5 \r\n".to_vec(), ChunkSize, 400),
            (b"5\t;a\r\n".to_vec(), ChunkSize, 400),
            (b"\r\n".to_vec(), ChunkSize, 400),
            (b"g\r\n".to_vec(), ChunkSize, 400),
            (b"5_0\r\n".to_vec(), ChunkSize, 400),
            (b";a\r\n".to_vec(), ChunkSize, 400),
            (b"10000000000000000\r\n".to_vec(), ChunkSizeOverflow, 400),
            (b"fffffffffffffffff\r\n".to_vec(), ChunkSizeOverflow, 400),
            // RFC 9112 §7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF.
            (b"5\nhello\r\n".to_vec(), ChunkEnd, 400),
            (b"5\rhello\r\n".to_vec(), ChunkEnd, 400),
            (b"5\r\nhello0\r\n\r\n".to_vec(), ChunkEnd, 400),
            (b"5\r\nhello\n0\r\n\r\n".to_vec(), ChunkEnd, 400),
            (b"5\r\nhello\r0\r\n\r\n".to_vec(), ChunkEnd, 400),
            (b"5\r\nhelloo\r\n0\r\n\r\n".to_vec(), ChunkEnd, 400),
            // RFC 9112 §7.1.1: a bound on extensions.
            (b"5;a\n".to_vec(), ChunkEnd, 400),
            (b"5;a\0\r\n".to_vec(), ChunkExtension, 400),
            ([b"5;".to_vec(), long(b"a", 8192)].concat(), ChunkExtension, 400),
            (long(b"1;abcdefgh\r\nx\r\n", 1000), ChunkExtension, 400),
            (long(b"0", 9000), ChunkExtension, 400),
            // RFC 9112 §7.1.2: trailers are field lines.
            (b"0\r\nx\r\n".to_vec(), Trailer, 400),
            (b"0\r\nx : y\r\n".to_vec(), Trailer, 400),
            (b"0\r\n x: y\r\n".to_vec(), Trailer, 400),
            (b"0\r\n: y\r\n".to_vec(), Trailer, 400),
            (b"0\r\nx: y\n".to_vec(), Trailer, 400),
            (b"0\r\nx: \0\r\n".to_vec(), Trailer, 400),
            (b"0\r\nx: y\rz".to_vec(), Trailer, 400),
            (b"0\r\n\n".to_vec(), Trailer, 400),
            (b"0\r\n\rx".to_vec(), Trailer, 400),
            ([b"0\r\n".to_vec(), long(b"a: b\r\n", 2000)].concat(), TrailerTooLarge, 431),
        ];
        for (input, fault, status) in rows {
            let text = input[..input.len().min(40)].escape_ascii();
            assert_eq!(decode(&input), Err(fault), "{text}");
            assert_eq!(fault.status(), status, "{text}");
            assert!(fault.closes(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn data_comes_back(pieces in proptest::collection::vec("[a-z\r\n]{1,20}", 0..8)) {
            let mut body = Vec::new();
            for piece in &pieces {
                body.extend_from_slice(format!("{:x};x=y\r\n{piece}\r\n", piece.len()).as_bytes());
            }
            body.extend_from_slice(b"0\r\nT: u\r\n\r\n");
            prop_assert_eq!(decode(&body), Ok((pieces.concat().into_bytes(), body.len(), true)));
            fuzz::chunked(&body);
        }

        #[test]
        fn any_octets_keep_the_promises(body in "[0-9a-f;:x \r\n]{0,60}") {
            fuzz::chunked(body.as_bytes());
        }
    }
}
