//! Conditions in requests: the cache's own, and the clients' (RFC 9111 §4.3.1, §4.3.2).

use crate::date;
use crate::fields::Fields;
use crate::stored::Stored;
use crate::validators::opaque_tag;

/// The fields with which the origin is asked whether a stored response still holds: none, one or two.
pub fn validation_fields(stored: &Stored) -> impl Iterator<Item = (&'static [u8], &[u8])> {
    let etag = stored.validators.etag.as_deref().map(|tag| (&b"If-None-Match"[..], tag));
    let date = stored.validators.last_modified.as_ref().map(|modified| (&b"If-Modified-Since"[..], &*modified.text));
    etag.into_iter().chain(date)
}

/// Appends the value of an If-None-Match field that names all these responses, of which none answers a request: the
/// origin may choose one with a 304 (RFC 9111 §4.3.1). Appends nothing if none has an entity tag.
pub fn append_entity_tags<'s>(stored: impl IntoIterator<Item = &'s Stored>, out: &mut Vec<u8>) {
    let mut separator: &[u8] = b"";
    for tag in stored.into_iter().filter_map(|stored| stored.validators.etag.as_deref()) {
        out.extend_from_slice(separator);
        out.extend_from_slice(tag);
        separator = b", ";
    }
}

/// Whether a client's field is left out when the whole representation is fetched for the cache: conditions, which are
/// about what the client has, and Range.
pub fn is_left_out(name: &[u8]) -> bool {
    is_condition(name) || name.eq_ignore_ascii_case(b"range")
}

/// Whether a field is a condition (RFC 9110 §13.1).
pub fn is_condition(name: &[u8]) -> bool {
    [&b"if-match"[..], b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"]
        .iter()
        .any(|condition| condition.eq_ignore_ascii_case(name))
}

/// Whether only the origin can tell if the request's conditions hold (RFC 9111 §4.3.2): then it is forwarded as it is.
pub fn is_for_the_origin(fields: Fields<'_>) -> bool {
    fields.has(b"if-match") || fields.has(b"if-unmodified-since")
}

/// Whether a client that may have this response already has it: answer 304 (RFC 9111 §4.3.2). Only a 200 or 206 can be
/// what it has (RFC 9110 §13.2.1).
pub fn is_not_modified(stored: &Stored, fields: Fields<'_>) -> bool {
    if !matches!(stored.status, 200 | 206) {
        return false;
    }
    if fields.has(b"if-none-match") {
        let own = stored.validators.etag.as_deref().map(opaque_tag);
        return fields.members(b"if-none-match").any(|tag| tag == b"*" || own == Some(opaque_tag(tag)));
    }
    let mut since = fields.lines(b"if-modified-since");
    let Some(date) = since.next().and_then(date::parse) else { return false };
    // Without a date of modification, the response's own date stands for it.
    let modified = stored.validators.last_modified.as_ref().map_or(stored.date, |modified| modified.seconds);
    since.next().is_none() && modified <= date
}

/// Whether a request's Range is about this response: there is no If-Range, or it holds (RFC 9110 §13.1.5). Otherwise the
/// whole is the answer.
pub fn range_applies(stored: &Stored, fields: Fields<'_>) -> bool {
    let mut conditions = fields.lines(b"if-range");
    let Some(condition) = conditions.next() else { return true };
    let holds = match stored.validators.strong_tag() {
        Some(own) if own == condition => true,
        _ => stored.validators.last_modified.as_ref().is_some_and(|modified| {
            // RFC 9110 §8.8.2.2: a date is a strong validator if the response was made later than in that second.
            modified.seconds < stored.date && date::parse(condition) == Some(modified.seconds)
        }),
    };
    holds && conditions.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, Response, Times};
    use crate::policy::Policy;

    const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &[u8] = b"Sun, 06 Nov 1994 08:00:00 GMT";

    fn stored(lines: &[(&[u8], &[u8])]) -> Stored {
        let lines: Vec<_> =
            lines.iter().copied().chain([(&b"Cache-Control"[..], &b"max-age=9"[..]), (b"Date", DATE)]).collect();
        let request = Request { method: b"GET", uri: b"http://a/", fields: Fields(&[]) };
        let response = Response { status: 200, fields: Fields(&lines) };
        Policy::default().store(&request, &response, Times { requested: 784_111_777, received: 784_111_777 }).unwrap()
    }

    #[test]
    fn the_origin_is_asked_with_both_validators() {
        let both = stored(&[(b"ETag", b"W/\"a\""), (b"Last-Modified", EARLIER)]);
        let fields: Vec<_> = validation_fields(&both).collect();
        assert_eq!(fields, [(&b"If-None-Match"[..], &b"W/\"a\""[..]), (b"If-Modified-Since", EARLIER)]);
        assert_eq!(validation_fields(&stored(&[])).count(), 0);
        let mut tags = Vec::new();
        append_entity_tags([&both, &stored(&[]), &stored(&[(b"ETag", b"\"b\"")])], &mut tags);
        assert_eq!(tags, b"W/\"a\", \"b\"");
    }

    #[test]
    fn clients_that_have_it_get_304() {
        let tagged = stored(&[(b"ETag", b"\"a\""), (b"Last-Modified", EARLIER)]);
        for (name, value, holds) in [
            ("If-None-Match", "\"a\"", true),
            ("If-None-Match", "W/\"a\"", true),
            ("If-None-Match", "\"b\", \"a\"", true),
            ("If-None-Match", "*", true),
            ("If-None-Match", "\"b\"", false),
            ("If-None-Match", "a", false),
            ("If-Modified-Since", "Sun, 06 Nov 1994 08:00:00 GMT", true),
            ("If-Modified-Since", "Sunday, 06-Nov-94 08:10:00 GMT", true),
            ("If-Modified-Since", "Sun, 06 Nov 1994 07:59:59 GMT", false),
            ("If-Modified-Since", "yesterday", false),
            ("Range", "bytes=0-1", false),
        ] {
            assert_eq!(
                is_not_modified(&tagged, Fields(&[(name.as_bytes(), value.as_bytes())])),
                holds,
                "{name}: {value}"
            );
        }
        let both: [(&[u8], &[u8]); 2] = [(b"If-None-Match", b"\"b\""), (b"If-Modified-Since", DATE)];
        assert!(!is_not_modified(&tagged, Fields(&both)), "the entity tag counts");
        let since: [(&[u8], &[u8]); 1] = [(b"If-Modified-Since", DATE)];
        assert!(is_not_modified(&stored(&[]), Fields(&since)), "by its date");
    }

    #[test]
    fn ranges_of_what_the_client_has() {
        let tagged = stored(&[(b"ETag", b"\"a\""), (b"Last-Modified", EARLIER)]);
        let weak = stored(&[(b"ETag", b"W/\"a\""), (b"Last-Modified", DATE)]);
        assert!(range_applies(&tagged, Fields(&[])));
        for (condition, holds) in
            [(&b"\"a\""[..], true), (b"W/\"a\"", false), (b"\"b\"", false), (EARLIER, true), (DATE, false)]
        {
            assert_eq!(range_applies(&tagged, Fields(&[(b"If-Range", condition)])), holds);
            assert!(!range_applies(&weak, Fields(&[(b"If-Range", condition)])));
        }
    }
}
