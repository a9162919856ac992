//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use std::iter;

use super::chunked::ChunkedDecoder;
use super::error::RequestError;
pub use super::forward::fuzz::forward;
use super::head::RequestHead;
use super::host;
use super::message_body::BodyReader;
use super::method::Method;
use super::octet::{is_control, is_token};
use super::range::{self, MAX_RANGES, Ranges};
use super::request::{Limits, Progress, RequestParser};
use super::response_error::ResponseError;
use super::response_framing::ResponseBody;
use super::response_head::{ResponseHead, ResponseLimits, ResponseParser};
use super::target::normalise;

/// Parses `data` as a request head, at once, in two pieces, and octet by octet. All must agree, and
/// whatever an accepted head says must hold.
///
/// # Panics
/// If that is not so.
pub fn request(data: &[u8]) {
    let limits = Limits { head: 600, fields: 8, target: 200, ..Limits::default() };
    let mut at_once = RequestParser::default();
    let outcome = at_once.advance(data, &limits);
    if let Ok(Progress::Complete(length)) = outcome {
        check_head(at_once.head(), &data[..length]);
    }
    let middle = data.len() / 2;
    assert_eq!(outcome, in_pieces(data, &limits, [middle, data.len()]), "in two pieces");
    assert_eq!(outcome, in_pieces(data, &limits, 0..=data.len()), "octet by octet");
}

/// Parses `data` in steps, each of which shows the parser the first octets of it up to one of `ends`.
fn in_pieces(data: &[u8], limits: &Limits, ends: impl IntoIterator<Item = usize>) -> Result<Progress, RequestError> {
    let mut parser = RequestParser::default();
    let mut outcome = Ok(Progress::Incomplete);
    for end in ends {
        outcome = parser.advance(&data[..end], limits);
        if outcome != Ok(Progress::Incomplete) {
            break;
        }
    }
    outcome
}

fn check_head(head: &RequestHead, octets: &[u8]) {
    assert!(octets.ends_with(b"\r\n\r\n"));
    if head.method() != Method::Other {
        assert_eq!(head.method_text(octets), head.method().name().as_bytes());
    }
    let (host, target) = (head.host(octets), head.target(octets));
    assert!(host::is_valid(host) || host.is_empty() && head.is_http_1_0());
    assert!(!target.is_empty() && target.iter().all(u8::is_ascii_graphic));
    for value in [head.user_agent(octets), head.referer(octets), head.query(octets).unwrap_or_default()] {
        assert!(!value.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')));
    }
    for values in [head.if_match(octets), head.if_none_match(octets)].into_iter().flatten() {
        assert!(values.clone().count() >= 1);
        assert!(values.flatten().all(|octet| !matches!(octet, 0 | b'\r' | b'\n')));
    }
    let mut scratch = Vec::new();
    if let Ok(path) = head.path(octets, &mut scratch) {
        check_path(path);
    }
}

/// Parses `data` as a response head, at once, in two pieces, and octet by octet. All must agree, and
/// whatever an accepted head says must hold.
///
/// # Panics
/// If that is not so.
pub fn response(data: &[u8]) {
    let limits = ResponseLimits { head: 600, fields: 8 };
    let in_pieces = |ends: &mut dyn Iterator<Item = usize>| {
        let mut parser = ResponseParser::default();
        let mut outcome = Ok(Progress::Incomplete);
        for end in ends {
            outcome = parser.advance(&data[..end], &limits);
            if outcome != Ok(Progress::Incomplete) {
                break;
            }
        }
        (outcome, parser)
    };
    let (outcome, parser) = in_pieces(&mut iter::once(data.len()));
    let middle = data.len() / 2;
    assert_eq!(outcome, in_pieces(&mut [middle, data.len()].into_iter()).0, "in two pieces");
    assert_eq!(outcome, in_pieces(&mut (0..=data.len())).0, "octet by octet");
    if let Ok(Progress::Complete(length)) = outcome {
        check_response(parser.head(), &data[..length]);
    }
}

fn check_response(head: &ResponseHead, octets: &[u8]) {
    assert!(octets.ends_with(b"\r\n\r\n") && (100..600).contains(&head.status()));
    assert!(!head.reason(octets).iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')));
    let lines = octets.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(head.fields(octets).count(), lines - 2);
    for (name, value) in head.fields(octets) {
        assert!(!name.is_empty() && name.iter().copied().all(is_token));
        assert!(!value.iter().copied().any(is_control));
    }
    let framing_fields = head
        .fields(octets)
        .filter(|(name, _)| {
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
        })
        .count();
    assert!(framing_fields <= 1, "nobody can disagree about the end");
    assert!(matches!(head.framing(Method::Head), Ok(ResponseBody::None) | Err(ResponseError::UnexpectedContent)));
    assert_eq!(head.upgrade(octets).is_some_and(|protocol| !protocol.is_empty()), head.status() == 101);
}

/// Reads a body, at once and octet by octet. Both must agree. The first octet of `data` says how it is
/// delimited.
///
/// # Panics
/// If they do not, or the reader says of itself what does not hold.
pub fn body(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let framing = match kind % 4 {
        0 => ResponseBody::None,
        1 => ResponseBody::Length(u64::from(kind)),
        2 => ResponseBody::UntilClose,
        _ => ResponseBody::Chunked,
    };
    let (mut at_once, mut whole) = (BodyReader::new(framing), Vec::new());
    let outcome = at_once.advance(data, |piece| whole.extend_from_slice(piece));
    assert_eq!(at_once.received(), whole.len() as u64);
    let (mut reader, mut pieces, mut read) = (BodyReader::new(framing), Vec::new(), 0);
    let stepwise = loop {
        let next = &data[read..(read + 1).min(data.len())];
        match reader.advance(next, |piece| pieces.extend_from_slice(piece)) {
            Ok((count, done)) => {
                read += count;
                assert_eq!(done, reader.is_complete());
                if done || next.is_empty() {
                    break Ok((read, done));
                }
            }
            Err(fault) => break Err(fault),
        }
    };
    assert_eq!(stepwise, outcome);
    assert_eq!(pieces, whole);
    if outcome.is_ok() {
        assert!(reader.trailers().eq(at_once.trailers()));
        assert!(
            reader
                .trailers()
                .all(|(name, value)| { name.iter().copied().all(is_token) && !value.iter().copied().any(is_control) })
        );
        assert_eq!(reader.peer_finished(), at_once.peer_finished());
    }
}

/// Normalises `data` as a path.
///
/// # Panics
/// If the result is not a path below the root, or normalising it again changes it.
pub fn path(data: &[u8]) {
    let mut scratch = Vec::new();
    let Ok(path) = normalise(data, &mut scratch) else { return };
    check_path(path);
    assert!(path.len() <= data.len().max(1) + 1);
    // A percent sign in the result is an octet of a name, so it is encoded before the second time.
    let encoded: Vec<u8> = path
        .iter()
        .flat_map(|&octet| if octet == b'%' || !octet.is_ascii_graphic() { escape(octet) } else { vec![octet] })
        .collect();
    let mut again = Vec::new();
    assert_eq!(normalise(&encoded, &mut again), Ok(path), "normalising twice");
}

fn escape(octet: u8) -> Vec<u8> {
    format!("%{octet:02x}").into_bytes()
}

fn check_path(path: &[u8]) {
    assert_eq!(path.first(), Some(&b'/'));
    assert!(!path.contains(&0));
    assert!(!path.windows(2).any(|pair| pair == b"//"));
    assert!(!path.split(|&octet| octet == b'/').any(|segment| matches!(segment, b"." | b"..")));
}

/// Reads `data` as a Range field's value; the first octet is the length of what it is a range of.
///
/// # Panics
/// If a range is empty, reaches beyond the end, or overlaps another, or there are too many.
pub fn range(data: &[u8]) {
    let Some((&length, value)) = data.split_first() else { return };
    let length = u64::from(length);
    match range::parse(value, length) {
        Ranges::Whole | Ranges::Unsatisfiable => {}
        Ranges::One(range) => assert!(range.start < range.end && range.end <= length),
        Ranges::Several(mut ranges) => {
            assert!((2..=MAX_RANGES).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= length));
            ranges.sort_unstable_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }
}

/// Decodes `data` as a chunked body, at once and octet by octet. Both must agree.
///
/// # Panics
/// If they do not, or the data is longer than what it was decoded from.
pub fn chunked(data: &[u8]) {
    let mut whole = Vec::new();
    let at_once = ChunkedDecoder::default().decode(data, |piece| whole.extend_from_slice(piece));
    assert!(whole.len() <= data.len());
    if let Ok((read, done)) = at_once {
        assert!(done || read == data.len());
    }
    let mut decoder = ChunkedDecoder::default();
    let (mut pieces, mut read) = (Vec::new(), 0);
    let outcome = loop {
        let next = &data[read..(read + 1).min(data.len())];
        match decoder.decode(next, |piece| pieces.extend_from_slice(piece)) {
            Ok((count, done)) => {
                read += count;
                if done || next.is_empty() {
                    break Ok((read, done));
                }
            }
            Err(fault) => break Err(fault),
        }
    };
    assert_eq!(outcome, at_once);
    assert_eq!(pieces, whole);
}
