//! What becomes of a stored response when the origin says that it still holds (RFC 9111 §3.2, §4.3.4, §4.3.5).

use crate::fields::Fields;
use crate::message::{Request, Response, Times};
use crate::not_stored::NotStored;
use crate::omitted::Omitted;
use crate::policy::Policy;
use crate::stored::Stored;
use crate::validators::{Validators, is_strong, opaque_tag};

/// These describe the stored content, which stays as it is. RFC 9111 §3.2 excepts Content-Length; the other two say how
/// the stored octets are to be read.
const KEPT: [&[u8]; 3] = [b"content-length", b"content-encoding", b"content-range"];

/// A response after validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed<'a> {
    /// The lines to store and to send, in place of those stored before.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// What is to be kept from now on. If it may not be stored any more, it answers this request and is removed; for
    /// [`NotStored::RequestNoStore`] and [`NotStored::Authorization`] the stored one may stay as it was.
    pub stored: Result<Stored, NotStored>,
}

/// The origin's 304 is about another representation than the stored one, which must not be used: ask again, without
/// conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRepresentation;

/// What a response to HEAD means for a stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadEffect<'a> {
    /// It is about the stored one, and brings it up to date.
    Refreshed(Box<Refreshed<'a>>),
    /// It is about another: the stored one is out of date ([`crate::Freshness::invalidate`]).
    Invalidated,
    /// Nothing.
    None,
}

impl Stored {
    /// After a 304 with the fields `not_modified` to a request that was made with this response's validators. `fields`
    /// are the stored ones.
    pub fn refresh<'a>(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        fields: Fields<'a>,
        not_modified: Fields<'a>,
        times: Times,
    ) -> Result<Refreshed<'a>, OtherRepresentation> {
        if !self.is_confirmed_by(not_modified) {
            return Err(OtherRepresentation);
        }
        Ok(self.updated(policy, request, fields, not_modified, times))
    }

    /// After a response to HEAD. `fields` are the stored ones.
    pub fn after_head<'a>(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        fields: Fields<'a>,
        head: &Response<'a>,
        times: Times,
    ) -> HeadEffect<'a> {
        match head.status {
            200 if self.status == 200 => {}
            // The resource answers otherwise now; an error says nothing of it.
            200..=299 | 300..=303 | 305..=399 | 404 | 410 => return HeadEffect::Invalidated,
            _ => return HeadEffect::None,
        }
        let has_changed = |name: &[u8]| head.fields.first(name).is_some_and(|new| fields.first(name) != Some(new));
        if [&b"etag"[..], b"last-modified", b"content-length", b"content-encoding"].into_iter().any(has_changed) {
            return HeadEffect::Invalidated;
        }
        HeadEffect::Refreshed(Box::new(self.updated(policy, request, fields, head.fields, times)))
    }

    /// RFC 9111 §4.3.4. A 304 without validators answers our own condition, and is believed.
    fn is_confirmed_by(&self, not_modified: Fields<'_>) -> bool {
        let Validators { etag, last_modified } = Validators::of(not_modified);
        match (&self.validators.etag, etag) {
            (Some(own), Some(new)) if is_strong(own) && is_strong(&new) => own == &new,
            (Some(own), Some(new)) => opaque_tag(own) == opaque_tag(&new),
            (None, Some(new)) if is_strong(&new) => false,
            _ => match (&self.validators.last_modified, last_modified) {
                (Some(own), Some(new)) => new.seconds <= own.seconds,
                _ => true,
            },
        }
    }

    fn updated<'a>(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        fields: Fields<'a>,
        new: Fields<'a>,
        times: Times,
    ) -> Refreshed<'a> {
        let is_kept = |name: &[u8]| KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name));
        // The old date and age are those of a response that has just been confirmed.
        let is_old = |name: &[u8]| [&b"date"[..], b"age"].iter().any(|old| old.eq_ignore_ascii_case(name));
        let own = fields.0.iter().filter(|(name, _)| is_kept(name) || !is_old(name) && !new.has(name));
        let merged: Vec<_> = own.chain(new.0.iter().filter(|(name, _)| !is_kept(name))).copied().collect();
        let request = Request { method: b"GET", ..*request };
        let response = Response { status: self.status, fields: Fields(&merged) };
        let stored = policy.store(&request, &response, times);
        let omitted = match &stored {
            Ok(stored) => stored.omitted.clone(),
            Err(_) => Omitted::of(response.fields, &[]).unwrap_or_default(),
        };
        let fields = merged.into_iter().filter(|(name, value)| omitted.keeps(name, value)).collect();
        Refreshed { fields, stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = &'static [(&'static [u8], &'static [u8])];

    const STORED: Lines = &[
        (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"Cache-Control", b"max-age=2"),
        (b"ETag", b"\"a\""),
        (b"Last-Modified", b"Sun, 06 Nov 1994 08:00:00 GMT"),
        (b"Content-Length", b"36"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Type", b"text/plain"),
        (b"X", b"1"),
        (b"X", b"2"),
        (b"Y", b"1"),
    ];
    const TIMES: Times = Times { requested: 784_111_777, received: 784_111_777 };
    const LATER: Times = Times { requested: 784_111_877, received: 784_111_877 };

    fn request() -> Request<'static> {
        Request { method: b"GET", uri: b"https://example.com/", fields: Fields(&[]) }
    }

    fn stored() -> Stored {
        Policy::default().store(&request(), &Response { status: 200, fields: Fields(STORED) }, TIMES).unwrap()
    }

    fn refresh(not_modified: Lines) -> Result<Refreshed<'static>, OtherRepresentation> {
        stored().refresh(&Policy::default(), &request(), Fields(STORED), Fields(not_modified), LATER)
    }

    #[test]
    fn new_fields_replace_stored_ones_and_the_rest_stays() {
        let refreshed = refresh(&[
            (b"Cache-Control", b"max-age=3600"),
            (b"Content-Length", b"10"),
            (b"Content-Encoding", b"br"),
            (b"content-type", b"text/html"),
            (b"x", b"3"),
            (b"Connection", b"z"),
            (b"Z", b"1"),
            (b"Age", b"10"),
            (b"ETag", b"W/\"a\""),
        ])
        .unwrap();
        let fields = Fields(&refreshed.fields);
        assert_eq!(fields.lines(b"cache-control").collect::<Vec<_>>(), [b"max-age=3600"]);
        assert_eq!(fields.lines(b"content-length").collect::<Vec<_>>(), [b"36"]);
        assert_eq!(fields.lines(b"content-encoding").collect::<Vec<_>>(), [b"gzip"]);
        assert_eq!(fields.lines(b"content-type").collect::<Vec<_>>(), [b"text/html"]);
        assert_eq!(fields.lines(b"x").collect::<Vec<_>>(), [b"3"]);
        assert_eq!(fields.lines(b"y").collect::<Vec<_>>(), [b"1"]);
        assert!([&b"connection"[..], b"z", b"age", b"date"].iter().all(|name| !fields.has(name)));
        let stored = refreshed.stored.unwrap();
        assert_eq!((stored.age(LATER.received), stored.ttl(LATER.received)), (10, 3590));
        assert!(stored.lacks_date);
    }

    #[test]
    fn a_bare_304_makes_it_fresh_for_as_long_as_before() {
        let refreshed = refresh(&[]).unwrap();
        let stored = refreshed.stored.unwrap();
        assert_eq!((stored.age(LATER.received), stored.ttl(LATER.received)), (0, 2));
        assert_eq!(Fields(&refreshed.fields).lines(b"x").collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn what_may_not_be_stored_any_more_answers_once() {
        let refreshed = refresh(&[(b"Cache-Control", b"no-store")]).unwrap();
        assert_eq!(refreshed.stored, Err(NotStored::NoStore));
        assert!(Fields(&refreshed.fields).has(b"y"));
    }

    #[test]
    fn a_304_about_another_representation() {
        let cases: [(Lines, bool); 7] = [
            (&[(b"ETag", b"\"b\"")], false),
            (&[(b"ETag", b"W/\"b\"")], false),
            (&[(b"ETag", b"\"a\"")], true),
            (&[(b"ETag", b"unquoted")], true),
            (&[(b"Last-Modified", b"Sun, 06 Nov 1994 08:00:00 GMT")], true),
            (&[(b"Last-Modified", b"Sun, 06 Nov 1994 07:00:00 GMT")], true),
            (&[(b"Last-Modified", b"Sun, 06 Nov 1994 08:00:01 GMT")], false),
        ];
        for (lines, confirms) in cases {
            assert_eq!(refresh(lines).is_ok(), confirms, "{lines:?}");
        }
    }

    #[test]
    fn head_refreshes_or_invalidates() {
        let after = |status, fields| {
            let head = Response { status, fields: Fields(fields) };
            stored().after_head(&Policy::default(), &request(), Fields(STORED), &head, LATER)
        };
        let same: Lines =
            &[(b"Cache-Control", b"max-age=100"), (b"ETag", b"\"a\""), (b"Content-Length", b"36"), (b"Y", b"2")];
        let HeadEffect::Refreshed(refreshed) = after(200, same) else { panic!("not refreshed") };
        assert_eq!(refreshed.stored.unwrap().ttl(LATER.received), 100);
        assert_eq!(Fields(&refreshed.fields).first(b"y"), Some(&b"2"[..]));
        assert_eq!(after(200, &[(b"ETag", b"\"b\"")]), HeadEffect::Invalidated);
        assert_eq!(after(200, &[(b"Content-Length", b"37")]), HeadEffect::Invalidated);
        assert_eq!(after(410, same), HeadEffect::Invalidated);
        assert_eq!(after(304, same), HeadEffect::None);
        assert_eq!(after(503, same), HeadEffect::None);
    }
}
