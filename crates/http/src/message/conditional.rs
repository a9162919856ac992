//! Conditional requests (RFC 9110 §13).

use super::date;
use super::entity_tag::{self, EntityTag};
use super::method::Method;
use super::request::RequestHead;

/// What a representation is recognised by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    /// The entity tag as the ETag field has it.
    pub etag: &'a [u8],
    /// Last-Modified, in seconds since the epoch, if that is sent.
    pub last_modified: Option<u64>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evaluation {
    /// They hold, or there are none.
    Proceed,
    /// 304: the client has this representation.
    NotModified,
    /// 412: the client means another representation.
    PreconditionFailed,
}

/// Evaluates the preconditions of a request for a representation that exists, in the order of RFC 9110
/// §13.2.2. If-Range comes later: see [`range::wanted`](super::range::wanted).
pub fn evaluate(head: &RequestHead, octets: &[u8], validators: &Validators<'_>) -> Evaluation {
    if !head.has_preconditions() {
        return Evaluation::Proceed;
    }
    let modified_after = |text| Some(validators.last_modified? > date::parse(text)?);
    // A date that cannot be compared, here and below, counts as absent (RFC 9110 §13.1.3, §13.1.4).
    let meant = match head.if_match(octets) {
        Some(values) => any_matches(values, validators, EntityTag::matches_strongly),
        None => !head.if_unmodified_since(octets).and_then(modified_after).unwrap_or(false),
    };
    if !meant {
        return Evaluation::PreconditionFailed;
    }
    let reads = matches!(head.method(), Method::Get | Method::Head);
    let known = match head.if_none_match(octets) {
        Some(values) => any_matches(values, validators, EntityTag::matches_weakly),
        // RFC 9110 §13.1.3: ignored with If-None-Match, and for other methods.
        None => reads && head.if_modified_since(octets).and_then(modified_after) == Some(false),
    };
    match (known, reads) {
        (false, _) => Evaluation::Proceed,
        (true, true) => Evaluation::NotModified,
        (true, false) => Evaluation::PreconditionFailed,
    }
}

/// RFC 9110 §13.1.5: whether If-Range allows a part. A tag must match strongly, a date exactly.
pub(super) fn if_range_holds(value: &[u8], validators: &Validators<'_>) -> bool {
    match (EntityTag::parse(value), EntityTag::parse(validators.etag)) {
        (Some(theirs), Some(ours)) => theirs.matches_strongly(ours),
        (Some(_), None) => false,
        (None, _) => validators.last_modified.is_some_and(|seconds| date::parse(value) == Some(seconds)),
    }
}

/// Whether a value is `*`, or a list with a tag that matches.
fn any_matches<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    validators: &Validators<'_>,
    matches: fn(EntityTag<'a>, EntityTag<'_>) -> bool,
) -> bool {
    let ours = EntityTag::parse(validators.etag);
    values.any(|value| value == b"*" || entity_tag::list(value).any(|theirs| ours.is_some_and(|ours| matches(theirs, ours))))
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, RequestParser};
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const STRONG: Validators<'_> = Validators { etag: b"\"a\"", last_modified: Some(784_111_777) };

    fn evaluated(method: &str, fields: &str, validators: &Validators<'_>) -> Evaluation {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let mut parser = RequestParser::default();
        parser.advance(input.as_bytes(), &Limits::default()).expect("well-formed");
        evaluate(parser.head(), input.as_bytes(), validators)
    }

    #[test]
    fn preconditions() {
        use Evaluation::*;
        for (fields, expected) in [
            ("X: y".to_owned(), Proceed),
            // RFC 9110 §13.1.1: strong comparison.
            ("If-Match: \"a\"".to_owned(), Proceed),
            ("If-Match: \"b\", \"a\"".to_owned(), Proceed),
            ("If-Match: \"b\"\r\nIf-Match: \"a\"".to_owned(), Proceed),
            ("If-Match: *".to_owned(), Proceed),
            ("If-Match: \"b\"".to_owned(), PreconditionFailed),
            ("If-Match: W/\"a\"".to_owned(), PreconditionFailed),
            ("If-Match:".to_owned(), PreconditionFailed),
            // RFC 9110 §13.1.2: weak comparison.
            ("If-None-Match: \"a\"".to_owned(), NotModified),
            ("If-None-Match: W/\"a\"".to_owned(), NotModified),
            ("If-None-Match: \"b\" , \"a\"".to_owned(), NotModified),
            ("If-None-Match: \"b\"\r\nIf-None-Match: \"a\"".to_owned(), NotModified),
            ("If-None-Match: *".to_owned(), NotModified),
            ("If-None-Match: \"b\"".to_owned(), Proceed),
            ("If-None-Match: a".to_owned(), Proceed),
            // RFC 9110 §13.1.3.
            (format!("If-Modified-Since: {SAME}"), NotModified),
            (format!("If-Modified-Since: {AFTER}"), NotModified),
            (format!("If-Modified-Since: {BEFORE}"), Proceed),
            ("If-Modified-Since: yesterday".to_owned(), Proceed),
            (format!("If-Modified-Since: {SAME}\r\nIf-Modified-Since: {SAME}"), Proceed),
            (format!("If-Modified-Since: {SAME}\r\nIf-None-Match: \"b\""), Proceed),
            // RFC 9110 §13.1.4.
            (format!("If-Unmodified-Since: {SAME}"), Proceed),
            (format!("If-Unmodified-Since: {BEFORE}"), PreconditionFailed),
            ("If-Unmodified-Since: yesterday".to_owned(), Proceed),
            (format!("If-Unmodified-Since: {BEFORE}\r\nIf-Match: \"a\""), Proceed),
            // RFC 9110 §13.2.2: If-Match goes first.
            ("If-Match: \"b\"\r\nIf-None-Match: \"a\"".to_owned(), PreconditionFailed),
            ("If-Match: \"a\"\r\nIf-None-Match: \"a\"".to_owned(), NotModified),
        ] {
            for method in ["GET", "HEAD"] {
                assert_eq!(evaluated(method, &fields, &STRONG), expected, "{method} {fields:?}");
            }
        }
    }

    #[test]
    fn other_methods_fail_instead_of_not_modified() {
        assert_eq!(evaluated("PUT", "If-None-Match: \"a\"", &STRONG), Evaluation::PreconditionFailed);
        assert_eq!(evaluated("PUT", &format!("If-Modified-Since: {SAME}"), &STRONG), Evaluation::Proceed);
    }

    #[test]
    fn without_last_modified_dates_are_ignored() {
        let validators = Validators { last_modified: None, ..STRONG };
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            assert_eq!(evaluated("GET", &format!("{name}: {SAME}"), &validators), Evaluation::Proceed);
        }
    }

    #[test]
    fn if_range() {
        let weak = Validators { etag: b"W/\"a\"", last_modified: None };
        for (value, validators, holds) in [
            ("\"a\"", STRONG, true),
            ("\"b\"", STRONG, false),
            ("W/\"a\"", STRONG, false),
            ("\"a\"", weak, false),
            (SAME, STRONG, true),
            (BEFORE, STRONG, false),
            (AFTER, STRONG, false),
            (SAME, weak, false),
            ("*", STRONG, false),
            ("", STRONG, false),
        ] {
            assert_eq!(if_range_holds(value.as_bytes(), &validators), holds, "{value}");
        }
    }
}
