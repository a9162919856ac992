//! Reads the body of a message, however it is delimited (RFC 9112 §6).

use super::chunked::ChunkedDecoder;
use super::error::RequestError;
use super::field_section::FieldSection;
use super::response_framing::ResponseBody;
use super::trailer;

/// The most fields of a trailer section; 431 beyond them, or 502 of a backend.
pub const MAX_TRAILER_FIELDS: usize = 64;

/// Takes a body from the octets that follow a head, in as many steps as they take to arrive. For requests and
/// for responses. Nothing is allocated unless there are trailers.
///
/// A fault is told as the client's; `ResponseError::from` makes it the backend's.
#[derive(Clone, Debug)]
pub struct BodyReader {
    framing: Framing,
    received: u64,
    trailers: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Framing {
    /// So much is left to come; zero if the body is complete.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Complete,
}

impl BodyReader {
    /// Reads the body that `framing` announces: what [`ResponseHead::framing`](super::ResponseHead::framing)
    /// or [`RequestHead::body`](super::RequestHead::body) says.
    pub fn new(framing: impl Into<ResponseBody>) -> BodyReader {
        let framing = match framing.into() {
            ResponseBody::None => Framing::Complete,
            ResponseBody::Length(length) => Framing::Length(length),
            ResponseBody::Chunked => Framing::Chunked(ChunkedDecoder::default()),
            ResponseBody::UntilClose => Framing::UntilClose,
        };
        BodyReader { framing, received: 0, trailers: Vec::new() }
    }

    /// Takes what of `input` belongs to the body, and gives the data to `sink`, in order, in slices of `input`
    /// that are not empty. Returns how much was taken, framing included, and whether the body is complete;
    /// unless it is, that is all of `input`.
    ///
    /// # Errors
    /// What is wrong with a chunked body. Its end cannot be known any more; data that came before the fault
    /// has been given.
    pub fn advance<'i>(
        &mut self,
        input: &'i [u8],
        mut sink: impl FnMut(&'i [u8]),
    ) -> Result<(usize, bool), RequestError> {
        let received = &mut self.received;
        let mut sink = |data: &'i [u8]| {
            *received = received.saturating_add(data.len() as u64);
            sink(data);
        };
        let taken = match &mut self.framing {
            Framing::Complete => 0,
            Framing::Length(left) => {
                let taken = (*left).min(input.len() as u64);
                *left -= taken;
                taken as usize
            }
            Framing::UntilClose => input.len(),
            Framing::Chunked(decoder) => {
                let trailers = &mut self.trailers;
                let advanced = decoder.decode_all(input, sink, |octet| trailers.push(octet));
                return self.check_trailers().and(advanced);
            }
        };
        if taken > 0 {
            sink(&input[..taken]);
        }
        Ok((taken, self.is_complete()))
    }

    /// The peer has closed in an orderly way, and all it sent was shown to [`BodyReader::advance`]. Returns
    /// whether the body is complete; if not, the message was cut off (RFC 9112 §8), and must not be stored or
    /// passed on as if it were whole.
    pub fn peer_finished(&mut self) -> bool {
        if matches!(self.framing, Framing::UntilClose) {
            self.framing = Framing::Complete;
        }
        self.is_complete()
    }

    /// Whether the body has come to its end.
    pub fn is_complete(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(decoder) => decoder.is_complete(),
            Framing::UntilClose => false,
            Framing::Complete => true,
        }
    }

    /// Octets of data so far, without framing.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Octets of data still to come, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.framing {
            Framing::Length(left) => Some(*left),
            Framing::Complete => Some(0),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// The trailer fields of a complete chunked body that may be passed on, in order: none that says what only
    /// a head may say. They must not become fields of a head (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let lines = if self.is_complete() { &self.trailers[..] } else { &[] };
        FieldSection::of_lines(lines).filter(|(name, _)| trailer::is_allowed(name))
    }

    /// The decoder bounds the octets; here the lines are counted.
    fn check_trailers(&self) -> Result<(), RequestError> {
        // A line is five octets or more, so few octets need no counting.
        let few = self.trailers.len() <= MAX_TRAILER_FIELDS * 5;
        if few || memchr::memchr_iter(b'\n', &self.trailers).count() <= MAX_TRAILER_FIELDS + 1 {
            Ok(())
        } else {
            Err(RequestError::TrailerTooLarge)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::{Body, fuzz};

    fn read(reader: &mut BodyReader, input: &[u8]) -> (Vec<u8>, usize, bool) {
        let mut data = Vec::new();
        let (taken, done) = reader.advance(input, |piece| data.extend_from_slice(piece)).unwrap();
        (data, taken, done)
    }

    fn trailers(reader: &BodyReader) -> Vec<(&[u8], &[u8])> {
        reader.trailers().collect()
    }

    #[test]
    fn a_length_is_counted() {
        let mut reader = BodyReader::new(Body::Length(5));
        assert_eq!(reader.remaining(), Some(5));
        assert_eq!(read(&mut reader, b"he"), (b"he".to_vec(), 2, false));
        assert!(!reader.peer_finished(), "cut off");
        assert_eq!(read(&mut reader, b"lloGET /"), (b"llo".to_vec(), 3, true));
        assert_eq!(read(&mut reader, b"GET /"), (vec![], 0, true));
        assert_eq!((reader.received(), reader.remaining()), (5, Some(0)));
    }

    #[test]
    fn no_body_takes_nothing() {
        for framing in [ResponseBody::None, ResponseBody::Length(0)] {
            let mut reader = BodyReader::new(framing);
            assert!(reader.is_complete());
            assert_eq!(read(&mut reader, b"x"), (vec![], 0, true));
        }
    }

    #[test]
    fn the_end_of_the_connection_ends_a_body() {
        let mut reader = BodyReader::new(ResponseBody::UntilClose);
        assert_eq!(read(&mut reader, b"abc"), (b"abc".to_vec(), 3, false));
        assert_eq!(reader.remaining(), None);
        assert!(!reader.is_complete() && reader.peer_finished() && reader.is_complete());
        assert_eq!(read(&mut reader, b"d"), (vec![], 0, true));
    }

    #[test]
    fn chunks_and_trailers() {
        let mut reader = BodyReader::new(Body::Chunked);
        let body =
            b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nDigest: x\r\ncontent-length: 5\r\nExpires: 0\r\nSig:  y \r\n\r\nrest";
        assert_eq!(read(&mut reader, &body[..20]), (b"abcde"[..5].to_vec(), 20, false));
        assert!(!reader.peer_finished() && trailers(&reader).is_empty());
        assert_eq!(read(&mut reader, &body[20..]), (vec![], body.len() - 24, true));
        assert_eq!(trailers(&reader), [(&b"Digest"[..], &b"x"[..]), (b"Sig", b"y")]);
        assert_eq!(reader.received(), 5);
    }

    #[test]
    fn trailers_are_bounded() {
        for (count, outcome) in [(MAX_TRAILER_FIELDS, true), (MAX_TRAILER_FIELDS + 1, false)] {
            let body = [b"0\r\n".to_vec(), b"ab: c\r\n".repeat(count), b"\r\n".to_vec()].concat();
            let found = BodyReader::new(Body::Chunked).advance(&body, |_| ());
            let expected = if outcome { Ok((body.len(), true)) } else { Err(RequestError::TrailerTooLarge) };
            assert_eq!(found, expected, "{count}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_keep_the_promises(body in "[0-3a-f:\r\n]{0,40}", framing in 0u8..4) {
            fuzz::body(&[&[framing], body.as_bytes()].concat());
        }
    }
}
