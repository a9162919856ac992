//! Conditional requests (RFC 9110 §13).

use super::date;
use super::head::{FieldValues, RequestHead};
use super::method::Method;
use super::octet::trimmed;

/// What tells a representation from others of its resource.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// The entity tag with its quotes, and `W/` before them if it is weak.
    pub etag: &'a [u8],
    /// The modification date in seconds since 1970, if it is good as a validator.
    pub last_modified: Option<u64>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evaluation {
    /// Answer as if there were none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2, for a resource that exists and is
/// described by `validators`. `octets` are the head's.
pub fn evaluate(head: &RequestHead, octets: &[u8], validators: &Validators<'_>) -> Evaluation {
    let holds = match (head.if_match(octets), head.if_unmodified_since(octets)) {
        (Some(values), _) => lists(values, validators.etag, strongly_equal),
        // RFC 9110 §13.1.4: what is not a date, or meets a resource without one, is ignored.
        (None, Some(value)) => !is_modified_since(value, validators).unwrap_or(false),
        (None, None) => true,
    };
    if !holds {
        return Evaluation::PreconditionFailed;
    }
    let reads = matches!(head.method(), Method::Get | Method::Head);
    let unchanged = match (head.if_none_match(octets), head.if_modified_since(octets)) {
        (Some(values), _) => lists(values, validators.etag, weakly_equal),
        (None, Some(value)) => reads && is_modified_since(value, validators) == Some(false),
        (None, None) => false,
    };
    match (unchanged, reads) {
        (false, _) => Evaluation::Proceed,
        (true, true) => Evaluation::NotModified,
        (true, false) => Evaluation::PreconditionFailed,
    }
}

/// Whether If-Range lets a range be answered: it is absent, or names this very representation (RFC
/// 9110 §13.1.5).
pub(super) fn if_range_holds(head: &RequestHead, octets: &[u8], validators: &Validators<'_>) -> bool {
    let Some(value) = head.if_range(octets) else { return true };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        return EntityTags(value)
            .next()
            .is_some_and(|tag| tag.len() == value.len() && strongly_equal(tag, validators.etag));
    }
    date::parse(value).is_some_and(|date| validators.last_modified == Some(date))
}

/// The strong comparison of RFC 9110 §8.8.3.2.
pub fn strongly_equal(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// The weak comparison of RFC 9110 §8.8.3.2.
pub fn weakly_equal(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
    opaque(a) == opaque(b)
}

/// Whether the field is `*`, or lists a tag that equals `etag`.
fn lists(mut values: FieldValues<'_>, etag: &[u8], equal: fn(&[u8], &[u8]) -> bool) -> bool {
    values.any(|value| value == b"*" || EntityTags(value).any(|tag| equal(tag, etag)))
}

/// `None` if `value` is not a date, or there is none to compare it with.
fn is_modified_since(value: &[u8], validators: &Validators<'_>) -> Option<bool> {
    let modified = validators.last_modified?;
    Some(modified > date::parse(value)?)
}

/// The entity tags of a list, as they are written. Ends where the list is malformed.
struct EntityTags<'a>(&'a [u8]);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let list = trimmed_list(self.0);
        let quote = if list.starts_with(b"W/") { 2 } else { 0 };
        let Some((b'"', opaque)) = list.get(quote..).and_then(<[u8]>::split_first) else {
            self.0 = b"";
            return None;
        };
        let Some(length) = opaque.iter().position(|&octet| octet == b'"') else {
            self.0 = b"";
            return None;
        };
        let (tag, rest) = list.split_at(quote + length + 2);
        self.0 = rest;
        matches!(trimmed(rest), [] | [b',', ..]).then_some(tag)
    }
}

/// `list` from its first member on.
fn trimmed_list(mut list: &[u8]) -> &[u8] {
    while let [b',' | b' ' | b'\t', rest @ ..] = list {
        list = rest;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{Limits, Progress, RequestParser};

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const BEFORE: &str = "Sunday, 06-Nov-94 08:49:36 GMT";

    fn with_head<T>(method: &str, fields: &str, look: impl FnOnce(&RequestHead, &[u8]) -> T) -> T {
        let fields = fields.replace("THEN", THEN).replace("LATER", LATER).replace("BEFORE", BEFORE);
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut parser = RequestParser::default();
        assert_eq!(parser.advance(head.as_bytes(), &Limits::default()), Ok(Progress::Complete(head.len())), "{head}");
        look(parser.head(), head.as_bytes())
    }

    #[test]
    fn preconditions_in_their_order() {
        use Evaluation::{NotModified, PreconditionFailed, Proceed};
        let rows: &[(&str, Evaluation)] = &[
            ("", Proceed),
            // RFC 9110 §13.1.1: strong comparison.
            ("If-Match: \"x\"\r\n", Proceed),
            ("If-Match: *\r\n", Proceed),
            ("If-Match: \"y\", \"x\"\r\n", Proceed),
            ("If-Match: \"y\"\r\n", PreconditionFailed),
            ("If-Match: W/\"x\"\r\n", PreconditionFailed),
            ("If-Match: x\r\n", PreconditionFailed),
            ("If-Match:\r\n", PreconditionFailed),
            // RFC 9110 §13.1.2: weak comparison.
            ("If-None-Match: \"x\"\r\n", NotModified),
            ("if-none-match:W/\"x\"\r\n", NotModified),
            ("If-None-Match: *\r\n", NotModified),
            ("If-None-Match: \"a,b\" ,, W/\"c\",\t\"x\"\r\n", NotModified),
            ("If-None-Match: \"y\"\r\n", Proceed),
            ("If-None-Match: x\r\n", Proceed),
            ("If-None-Match: \"x\r\n", Proceed),
            ("If-None-Match: \"y\" \"x\"\r\n", Proceed),
            ("If-None-Match: w/\"x\"\r\n", Proceed),
            // RFC 9110 §5.3: repeated list fields are one list.
            ("If-None-Match: \"y\"\r\nX: \"z\"\r\nIF-NONE-MATCH: \"x\"\r\n", NotModified),
            ("If-None-Match: \"y\"\r\nX-If-None-Match: \"x\"\r\nIf-None-Match: \"z\"\r\n", Proceed),
            // RFC 9110 §13.1.3: ignored if it is no date, repeated, or beside If-None-Match.
            ("If-Modified-Since: THEN\r\n", NotModified),
            ("If-Modified-Since: LATER\r\n", NotModified),
            ("If-Modified-Since: BEFORE\r\n", Proceed),
            ("If-Modified-Since: soon\r\n", Proceed),
            ("If-Modified-Since: THEN\r\nIf-Modified-Since: THEN\r\n", Proceed),
            ("If-Modified-Since: THEN\r\nIf-None-Match: \"y\"\r\n", Proceed),
            ("If-Modified-Since: BEFORE\r\nIf-None-Match: \"x\"\r\n", NotModified),
            // RFC 9110 §13.1.4: ignored if it is no date, or beside If-Match.
            ("If-Unmodified-Since: THEN\r\n", Proceed),
            ("If-Unmodified-Since: BEFORE\r\n", PreconditionFailed),
            ("If-Unmodified-Since: never\r\n", Proceed),
            ("If-Unmodified-Since: BEFORE\r\nIf-Match: \"x\"\r\n", Proceed),
            // RFC 9110 §13.2.2: failed before not modified.
            ("If-Match: \"y\"\r\nIf-None-Match: \"x\"\r\n", PreconditionFailed),
            ("If-Match: \"x\"\r\nIf-None-Match: \"x\"\r\n", NotModified),
        ];
        let validators = Validators { etag: b"\"x\"", last_modified: Some(784_111_777) };
        for &(fields, expected) in rows {
            let found = with_head("GET", fields, |head, octets| evaluate(head, octets, &validators));
            assert_eq!(found, expected, "{fields}");
        }
        let fields = "If-None-Match: \"x\"\r\n";
        for (method, expected) in [("HEAD", NotModified), ("PUT", PreconditionFailed)] {
            assert_eq!(with_head(method, fields, |head, octets| evaluate(head, octets, &validators)), expected);
        }
    }

    #[test]
    fn dates_mean_nothing_where_there_is_none() {
        let validators = Validators { etag: b"\"x\"", last_modified: None };
        for fields in ["If-Modified-Since: THEN\r\n", "If-Unmodified-Since: THEN\r\n"] {
            let found = with_head("GET", fields, |head, octets| evaluate(head, octets, &validators));
            assert_eq!(found, Evaluation::Proceed, "{fields}");
        }
    }

    #[test]
    fn if_range_wants_the_very_same() {
        let rows = [
            ("", true),
            ("If-Range: \"x\"\r\n", true),
            ("If-Range: THEN\r\n", true),
            ("If-Range: \"y\"\r\n", false),
            ("If-Range: W/\"x\"\r\n", false),
            ("If-Range: \"x\", \"y\"\r\n", false),
            ("If-Range: BEFORE\r\n", false),
            ("If-Range: LATER\r\n", false),
            ("If-Range: x\r\n", false),
            ("If-Range: \"x\"\r\nIf-Range: \"x\"\r\n", false),
        ];
        let validators = Validators { etag: b"\"x\"", last_modified: Some(784_111_777) };
        for (fields, expected) in rows {
            let found = with_head("GET", fields, |head, octets| if_range_holds(head, octets, &validators));
            assert_eq!(found, expected, "{fields}");
        }
        let weak = Validators { etag: b"W/\"x\"", ..validators };
        assert!(!with_head("GET", "If-Range: W/\"x\"\r\n", |head, octets| if_range_holds(head, octets, &weak)));
    }

    #[test]
    fn comparisons() {
        // The table of RFC 9110 §8.8.3.2.
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            assert_eq!((strongly_equal(a, b), weakly_equal(a, b)), (strong, weak));
        }
    }
}
