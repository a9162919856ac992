//! What is stored, for how long it is fresh, and what becomes of it.

use afpa_caching::{
    Cookies, Fields, NotStored, Partial, Policy, Request, RequestDirectives, Response, Reuse, Stored, Times, Why,
};
use proptest::prelude::*;

/// The moment of `DATE`.
const NOW: u64 = 784_111_777;
const DATE: (&str, &str) = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
const MODIFIED: (&str, &str) = ("Last-Modified", "Sat, 05 Nov 1994 08:49:37 GMT");
const EXPIRES: (&str, &str) = ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT");

type Lines<'a> = &'a [(&'a str, &'a str)];

fn exchange(policy: &Policy, method: &str, request: Lines, status: u16, response: Lines) -> Result<Stored, NotStored> {
    let request: Vec<_> = request.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let response: Vec<_> = response.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let request = Request { method: method.as_bytes(), uri: b"https://example.com/a", fields: Fields(&request) };
    let response = Response { status, fields: Fields(&response) };
    policy.store(&request, &response, Times { requested: NOW, received: NOW })
}

fn store(response: Lines) -> Result<Stored, NotStored> {
    exchange(&Policy::default(), "GET", &[], 200, response)
}

fn ttl(response: Lines) -> Option<i64> {
    store(response).ok().map(|stored| stored.ttl(NOW))
}

#[test]
fn lifetimes() {
    for (response, expected) in [
        (&[("Cache-Control", "max-age=3600")][..], Some(3600)),
        (&[("Cache-Control", "max-age=99999999999")], Some(365 * 86_400)),
        (&[("Cache-Control", "max-age=2147483648"), DATE, ("Age", "2147483649")], Some(0)),
        (&[("Cache-Control", "max-age=3600"), ("Age", "7200")], Some(-3600)),
        (&[("Cache-Control", "max-age=3600"), ("Date", "Sun, 06 Nov 1994 06:49:37 GMT")], Some(-3600)),
        (&[("Cache-Control", "max-age=3600"), ("Expires", "0")], Some(3600)),
        (&[("Cache-Control", "max-age=0"), EXPIRES], None),
        (&[("Cache-Control", "max-age=1, s-maxage=3600")], Some(3600)),
        (&[("Cache-Control", "max-age=3600"), ("Cache-Control", "s-maxage=1")], Some(1)),
        (&[("Cache-Control", "max-age=0, s-maxage=3600"), ("Expires", "0")], Some(3600)),
        (&[EXPIRES], Some(3600)),
        (&[EXPIRES, DATE], Some(3600)),
        (&[EXPIRES, ("Date", "foo")], Some(3600)),
        (&[EXPIRES, ("Date", "Sun, 06 Nov 1994 09:00:00 GMT")], Some(2977)),
        (&[EXPIRES, ("Date", "Sun, 06 Nov 1994 10:00:00 GMT"), MODIFIED], Some(0)),
        (&[EXPIRES, DATE, ("Age", "4000")], Some(-400)),
        (&[EXPIRES, ("Expires", "Sun, 06 Nov 1994 08:59:37 GMT")], Some(600)),
        (&[EXPIRES, ("Expires", "0")], None),
        (&[("Expires", "Sun, 06 Nov 1994 08:49:37 GMT"), DATE], None),
        (&[("Expires", "Sunday, 06-Nov-94 09:49:37 GMT")], Some(3600)),
        (&[("Expires", "SUN NOV  6 09:49:37 1994")], Some(3600)),
        (&[MODIFIED, DATE], Some(8640)),
        (&[("Last-Modified", "Sun, 06 Nov 1904 08:49:37 GMT"), DATE, ("ETag", "\"a\"")], Some(0)),
        (&[("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"), DATE], Some(86_400)),
        (&[("Last-Modified", "Sun, 06 Nov 1994 10:00:00 GMT"), DATE], Some(0)),
        (&[("ETag", "\"a\"")], Some(0)),
        (&[], None),
        (&[("Pragma", "no-cache"), ("Cache-Control", "max-age=9")], Some(9)),
        (&[("CDN-Cache-Control", "max-age=3600"), ("Cache-Control", "no-store")], Some(3600)),
        (&[("CDN-Cache-Control", "max-age=1"), ("Cache-Control", "max-age=3600")], Some(1)),
        (&[("CDN-Cache-Control", "max-age=0"), EXPIRES, DATE], None),
        (&[("CDN-Cache-Control", "max-age=3600"), ("Expires", "0")], Some(3600)),
        (&[("CDN-Cache-Control", "max-age=3600"), DATE, ("Age", "7200")], Some(-3600)),
        (&[("CDN-Cache-Control", "max-age=10000, &&&&&"), ("Cache-Control", "no-store")], None),
        (&[("CDN-Cache-Control", "must-revalidate"), EXPIRES], None),
    ] {
        assert_eq!(ttl(response), expected, "{response:?}");
    }
}

#[test]
fn statuses() {
    let policy = Policy::default();
    let fresh: Lines = &[("Cache-Control", "max-age=100")];
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert!(exchange(&policy, "GET", &[], status, fresh).is_ok(), "{status}");
    }
    for status in [0, 100, 103, 199, 407, 412, 416, 428, 429, 431, 511, 600, 999] {
        assert_eq!(exchange(&policy, "GET", &[], status, fresh), Err(NotStored::Status), "{status}");
    }
    assert_eq!(exchange(&policy, "GET", &[], 304, fresh), Err(NotStored::NotModified));
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let stored = exchange(&policy, "GET", &[], status, &[MODIFIED, DATE]);
        assert_eq!(stored.map(|stored| stored.ttl(NOW)), Ok(8640), "{status}");
    }
    for status in [201, 202, 302, 403, 500, 502, 503, 504, 599] {
        assert_eq!(exchange(&policy, "GET", &[], status, &[MODIFIED, DATE]), Err(NotStored::NoLifetime), "{status}");
    }
    let public: Lines = &[MODIFIED, DATE, ("Cache-Control", "public")];
    assert_eq!(exchange(&policy, "GET", &[], 599, public).map(|stored| stored.ttl(NOW)), Ok(8640));
    let must_understand: Lines = &[("Cache-Control", "max-age=3600, no-store, must-understand")];
    assert!(exchange(&policy, "GET", &[], 200, must_understand).is_ok());
    assert_eq!(exchange(&policy, "GET", &[], 599, must_understand), Err(NotStored::NotUnderstood));
}

#[test]
fn what_is_not_stored() {
    let authorized: Lines = &[("Authorization", "x")];
    for (request, response, expected) in [
        (&[][..], &[("Cache-Control", "no-store, max-age=9")][..], NotStored::NoStore),
        (&[], &[("Cache-Control", "max-age=9"), ("cache-control", "No-StOrE")], NotStored::NoStore),
        (&[], &[("Cache-Control", "private, max-age=9")], NotStored::Private),
        (&[], &[("CDN-Cache-Control", "private"), ("Cache-Control", "max-age=9"), EXPIRES], NotStored::Private),
        (&[("Cache-Control", "no-store")], &[("Cache-Control", "max-age=9")], NotStored::RequestNoStore),
        (authorized, &[("Cache-Control", "max-age=9")], NotStored::Authorization),
        (&[], &[("Cache-Control", "max-age=9"), ("Vary", "*")], NotStored::VaryAny),
        (&[], &[("Cache-Control", "max-age=9"), ("Vary", ""), ("Vary", "*")], NotStored::VaryAny),
        (&[], &[("Cache-Control", "max-age=9"), ("Vary", ", Foo, *")], NotStored::VaryAny),
        (&[], &[("Cache-Control", "max-age=9"), ("Vary", "a b")], NotStored::Vary),
        (&[], &[("Cache-Control", "max-age=9"), ("Vary", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q")], NotStored::Vary),
        (&[], &[("Cache-Control", "max-age=9, no-cache")], NotStored::NotReusable),
        (&[], &[("Cache-Control", "max-age=0")], NotStored::NotReusable),
        (&[], &[MODIFIED, DATE, ("Set-Cookie", "a=b")], NotStored::SetCookie),
    ] {
        assert_eq!(
            exchange(&Policy::default(), "GET", request, 200, response),
            Err(expected),
            "{request:?}, {response:?}"
        );
    }
    for allowed in ["public", "must-revalidate", "s-maxage=3"] {
        let value = format!("max-age=9, {allowed}");
        assert!(
            exchange(&Policy::default(), "GET", authorized, 200, &[("Cache-Control", &value)]).is_ok(),
            "{allowed}"
        );
    }
}

#[test]
fn cookies_are_stored_as_the_operator_wants() {
    let explicit: Lines = &[("Cache-Control", "max-age=9"), ("Set-Cookie", "a=b")];
    let public: Lines = &[("Cache-Control", "max-age=9, public"), ("Set-Cookie", "a=b")];
    let omitted: Lines = &[("Cache-Control", "max-age=9, private=\"set-cookie\""), ("Set-Cookie", "a=b")];
    for (cookies, expected) in [
        (Cookies::Explicit, [true, true, true]),
        (Cookies::Public, [false, true, true]),
        (Cookies::Never, [false, false, true]),
    ] {
        let policy = Policy { cookies, ..Policy::default() };
        let stored = [explicit, public, omitted].map(|response| exchange(&policy, "GET", &[], 200, response).is_ok());
        assert_eq!(stored, expected, "{cookies:?}");
    }
}

#[test]
fn methods() {
    let policy = Policy { stores_post: true, ..Policy::default() };
    let fresh: Lines = &[("Cache-Control", "max-age=9")];
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "get"] {
        assert_eq!(exchange(&policy, method, &[], 200, fresh), Err(NotStored::Method), "{method}");
    }
    for (location, is_stored) in [("/a", true), ("", true), ("https://EXAMPLE.com/a", true), ("/b", false)] {
        let response: Lines = &[("Cache-Control", "max-age=9"), ("Content-Location", location)];
        assert_eq!(exchange(&policy, "POST", &[], 200, response).is_ok(), is_stored, "{location}");
        assert!(exchange(&Policy::default(), "POST", &[], 200, response).is_err());
    }
    assert!(exchange(&policy, "POST", &[], 200, &[MODIFIED, DATE, ("Content-Location", "/a")]).is_err());
}

#[test]
fn what_the_operator_adds() {
    let policy = Policy {
        default_lifetime: 30,
        lifetimes_by_status: vec![(404, 5), (503, 2)],
        stale_while_revalidate: 7,
        stale_if_error: 8,
        ..Policy::default()
    };
    let ttl = |status, response| exchange(&policy, "GET", &[], status, response).map(|stored| stored.ttl(NOW));
    assert_eq!(ttl(200, &[]), Ok(30));
    assert_eq!(ttl(404, &[]), Ok(5));
    assert_eq!(ttl(503, &[]), Ok(2));
    assert_eq!(ttl(500, &[]), Err(NotStored::NoLifetime));
    assert_eq!(ttl(404, &[("Cache-Control", "max-age=9")]), Ok(9));
    for (value, windows) in [
        ("max-age=1", (7, 8)),
        ("max-age=1, stale-while-revalidate=3, stale-if-error=4", (3, 4)),
        ("max-age=1, stale-while-revalidate=3, stale-if-error=4, must-revalidate", (0, 0)),
        ("max-age=1, proxy-revalidate", (0, 0)),
        ("s-maxage=1", (0, 0)),
        ("s-maxage=1, stale-while-revalidate=3", (3, 0)),
    ] {
        let stored = exchange(&policy, "GET", &[], 200, &[("Cache-Control", value)]).unwrap();
        let none = RequestDirectives::default();
        let meanwhile =
            (0..20).filter(|after| stored.reuse(&none, NOW + 1 + after) == Reuse::StaleWhileRevalidate).count();
        let on_error = (0..20).filter(|after| stored.on_error(&none, NOW + 1 + after)).count();
        assert_eq!((meanwhile, on_error), windows, "{value}");
    }
}

#[test]
fn what_is_known_of_a_stored_response() {
    let stored = store(&[
        ("Cache-Control", "max-age=9, immutable, no-transform, no-cache=\"x-token\""),
        ("Vary", "Foo, accept-ENCODING, foo"),
        ("ETag", "\"a\""),
        MODIFIED,
        DATE,
        ("Surrogate-Key", "one two"),
        ("Connection", "X-Hop"),
    ])
    .unwrap();
    assert!(stored.freshness.is_plainly_fresh(NOW) && stored.freshness.immutable && stored.no_transform);
    assert_eq!((stored.date, stored.lacks_date, stored.status), (NOW, false, 200));
    assert_eq!(stored.vary.iter().map(|name| &**name).collect::<Vec<_>>(), [&b"accept-encoding"[..], b"foo"]);
    assert_eq!(stored.surrogate_keys.len(), 2);
    assert!(["x-token", "x-hop", "connection"].iter().all(|name| !stored.omitted.keeps(name.as_bytes(), b"")));
    let always = store(&[("Cache-Control", "no-cache, max-age=9"), ("ETag", "\"a\"")]).unwrap();
    assert!(!always.freshness.is_plainly_fresh(NOW));
    assert_eq!(always.reuse(&RequestDirectives::default(), NOW), Reuse::Validate(Why::NoCache));
}

#[test]
fn parts_say_what_they_are_of() {
    let part = |range| {
        exchange(&Policy::default(), "GET", &[], 206, &[("Cache-Control", "max-age=9"), ("Content-Range", range)])
    };
    let expected = Partial { first: 4, last: 9, complete: Some(10) };
    assert_eq!(part("bytes 4-9/10").unwrap().partial, Some(expected));
    assert_eq!(part("bytes 4-10/10"), Err(NotStored::Partial));
    let whole = store(&[("Cache-Control", "max-age=9"), ("Content-Range", "bytes 4-9/10")]).unwrap();
    assert_eq!(whole.partial, None);
}

/// A line that matters, or one of any octets.
fn line() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = "cache-control|cdn-cache-control|age|date|expires|vary|etag|last-modified|connection|set-cookie|authorization|[a-z]{0,4}";
    let value = "[ -~]{0,24}|(max-age|s-maxage|stale-if-error|stale-while-revalidate)=[0-9]{0,12}|private|no-cache|must-revalidate|foo, no-store";
    (name, value).prop_map(|(name, value)| (name.into_bytes(), value.into_bytes()))
}

proptest! {
    #[test]
    fn what_forbids_storing_does_so_wherever_it_is(
        mut lines in proptest::collection::vec(line(), 0..6),
        place: prop::sample::Index,
        forbidding in prop::sample::select(vec![
            ("Cache-Control", "no-store"), ("Cache-Control", "private"), ("Vary", "*"), ("vary", "x , *"), ("cache-control", "a=\"b, no-store"),
        ]),
        status in 200_u16..600,
    ) {
        let (name, value) = forbidding;
        lines.retain(|(name, value)| name != b"cdn-cache-control" && !value.windows(4).any(|part| part == b"unde"));
        lines.insert(place.index(lines.len() + 1), (name.into(), value.into()));
        let lines: Vec<_> = lines.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let request = Request { method: b"GET", uri: b"http://a/", fields: Fields(&[]) };
        let response = Response { status, fields: Fields(&lines) };
        let policy = Policy { default_lifetime: 100, ..Policy::default() };
        let times = Times { requested: NOW, received: NOW };
        prop_assert!(policy.store(&request, &response, times).is_err());
    }

    #[test]
    fn no_exchange_makes_it_panic(
        lines in proptest::collection::vec(line(), 0..8), requested: u64, received: u64, now: u64, status: u16,
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let request = Request { method: b"GET", uri: b"http://a/", fields: Fields(&lines) };
        let response = Response { status, fields: Fields(&lines) };
        let times = Times { requested, received };
        if let Ok(stored) = Policy::default().store(&request, &response, times) {
            let directives = Policy::default().request_directives(request.fields);
            prop_assert!(stored.reuse(&directives, now) != Reuse::Fresh || stored.ttl(now) > 0);
            let _ = stored.refresh(&Policy::default(), &request, Fields(&lines), Fields(&lines), times);
        }
    }

    #[test]
    fn any_octets_keep_the_promises(data: Vec<u8>, text in "(200|206|404)\n([a-z-]{1,8}:[ -~]{0,9}\n){0,3}\n((cache-control|vary|etag|date):[ -~]{0,20}\n){0,5}\n") {
        afpa_caching::fuzz::exchange(&data);
        afpa_caching::fuzz::exchange(text.as_bytes());
        afpa_caching::fuzz::date(&data);
    }
}
