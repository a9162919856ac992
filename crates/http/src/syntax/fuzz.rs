//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use super::chunked::ChunkedDecoder;
use super::error::RequestError;
use super::head::RequestHead;
use super::host;
use super::range::{self, MAX_RANGES, Ranges};
use super::request::{Limits, Progress, RequestParser};
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
    assert_eq!(head.method_text(octets), head.method().name().as_bytes());
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
