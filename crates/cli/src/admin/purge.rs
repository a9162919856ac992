//! A purge, as it is ordered: `{"url": …}`, `{"prefix": …}`, `{"surrogate_key": …}`, `{"field": {"name": …, "value": …}}`,
//! `{"name": …}`, `{"subtree": …}` or `{"all": true}`, and with it `"soft": true`.

use afpa_dns::message::NameBuf;
use afpa_http::syntax::host;
use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::stats::{Purge, Subject};

/// The longest body that is read.
pub(super) const MAX_BODY: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    url: Option<String>,
    prefix: Option<String>,
    surrogate_key: Option<String>,
    field: Option<Field>,
    /// A domain name.
    name: Option<String>,
    /// A domain name, with all below it.
    subtree: Option<String>,
    all: Option<bool>,
    #[serde(default)]
    soft: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    value: String,
}

/// What `Authorization: Bearer TOKEN` shows (RFC 6750 §2.1).
pub(super) fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Reads a body.
///
/// # Errors
/// What the client did wrong, in a sentence.
pub(super) fn parse(body: &[u8]) -> Result<Purge, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("the body is not a purge: {error}"))?;
    let Body { url, prefix, surrogate_key, field, name, subtree, all, soft: is_soft } = body;
    let subjects = [
        url.map(|url| Url::parse(&url).map(|Url { host, path, query }| Subject::Url { host, path, query })),
        prefix.map(|prefix| Url::parse(&prefix).map(|Url { host, path, .. }| Subject::Prefix { host, path })),
        surrogate_key.map(|key| surrogate(key).map(Subject::Surrogate)),
        field.map(|Field { name, value }| Ok(Subject::Field { name: name.into(), value: value.into() })),
        name.map(|name| domain(&name).map(Subject::Name)),
        subtree.map(|name| domain(&name).map(Subject::Subtree)),
        all.map(|all| if all { Ok(Subject::All) } else { Err("\"all\" must be true".into()) }),
    ];
    let mut subjects = subjects.into_iter().flatten();
    let (Some(what), None) = (subjects.next(), subjects.next()) else {
        return Err("the body must have exactly one of \"url\", \"prefix\", \"surrogate_key\", \"field\", \"name\", \
                    \"subtree\" and \"all\""
            .into());
    };
    let what = what?;
    if is_soft && matches!(what, Subject::Name(_) | Subject::Subtree(_)) {
        return Err("answers of DNS cannot be validated: \"soft\" is not for them".into());
    }
    Ok(Purge { what, is_soft })
}

fn domain(text: &str) -> Result<NameBuf, String> {
    text.parse().map_err(|error| format!("{text:?} is no domain name: {error}"))
}

/// A field of a response has keys between blanks.
fn surrogate(key: String) -> Result<Vec<u8>, String> {
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(format!("{key:?} is no surrogate key: expected one word"));
    }
    Ok(key.into())
}

/// An http URL or a path, as the caches' keys have them.
struct Url {
    host: Option<Vec<u8>>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
}

impl Url {
    fn parse(url: &str) -> Result<Url, String> {
        let (host, rest) = match url.split_once("://") {
            Some(("http" | "https", rest)) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                let parsed = host::parse(authority.as_bytes());
                let host = parsed.ok_or_else(|| format!("{url:?} has no host, or one that cannot be"))?.host;
                (
                    Some(host.to_ascii_lowercase()),
                    if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") },
                )
            }
            _ if url.starts_with('/') => (None, url.to_owned()),
            _ => return Err(format!("{url:?} must be an http URL or a path that starts with /")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (encoded, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path: Vec<u8> = percent_decode_str(encoded).collect();
        if path.contains(&0) {
            return Err(format!("{url:?} must not have the octet 0 in its path"));
        }
        // Requests are normalised before they are looked up: no key has such a segment.
        let mut segments = path.split(|&octet| octet == b'/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            if matches!(segment, b"." | b"..") || segment.is_empty() && !is_last {
                return Err(format!("{url:?} must have no empty segment, \".\" or \"..\""));
            }
        }
        Ok(Url { host, path, query: query.map(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies() {
        let owned = |text: &str| text.as_bytes().to_vec();
        let url = |host: Option<&str>, path: &[u8], query: Option<&str>| Subject::Url {
            host: host.map(owned),
            path: path.to_vec(),
            query: query.map(owned),
        };
        let prefix = |host: Option<&str>, path: &str| Subject::Prefix { host: host.map(owned), path: owned(path) };
        let field = Subject::Field { name: owned("Content-Type"), value: owned("text/html") };
        for (body, what, is_soft) in [
            (r#"{"url": "/a/b.html"}"#, url(None, b"/a/b.html", None), false),
            (
                r#"{"url": "http://Example.org:8080/a?b=%20?#c"}"#,
                url(Some("example.org"), b"/a", Some("b=%20?")),
                false,
            ),
            (r#"{"url": "https://example.org", "soft": true}"#, url(Some("example.org"), b"/", None), true),
            (r#"{"url": "http://[::1]:80?"}"#, url(Some("[::1]"), b"/", Some("")), false),
            (r#"{"url": "/caf%C3%A9%20%ff"}"#, url(None, b"/caf\xc3\xa9 \xff", None), false),
            (r#"{"prefix": "/images/"}"#, prefix(None, "/images/"), false),
            (r#"{"prefix": "http://example.org/.well-known"}"#, prefix(Some("example.org"), "/.well-known"), false),
            (r#"{"surrogate_key": "product-7"}"#, Subject::Surrogate(owned("product-7")), false),
            (r#"{"field": {"name": "Content-Type", "value": "text/html"}, "soft": true}"#, field, true),
            (r#"{"all": true}"#, Subject::All, false),
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(Purge { what, is_soft }), "{body}");
        }
        for body in [
            "",
            "{}",
            "[]",
            r#"{"all": false}"#,
            r#"{"all": 1}"#,
            r#"{"url": "/a", "all": true}"#,
            r#"{"url": "/a", "url": "/b"}"#,
            r#"{"url": "a"}"#,
            r#"{"url": "ftp://example.org/a"}"#,
            r#"{"url": "/a\u0000"}"#,
            r#"{"url": "/a%00"}"#,
            r#"{"url": "/a/../b"}"#,
            r#"{"url": "/a/%2e%2E"}"#,
            r#"{"prefix": "//a"}"#,
            r#"{"path": "/a"}"#,
            r#"{"soft": true}"#,
            r#"{"url": "http://"}"#,
            r#"{"url": "http://user@example.org/"}"#,
            r#"{"surrogate_key": "two words"}"#,
            r#"{"surrogate_key": ""}"#,
            r#"{"field": {"name": "a"}}"#,
            r#"{"field": "a=b"}"#,
            r#"{"name": "example.org", "soft": true}"#,
            r#"{"all": true} x"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn tokens_are_shown_as_bearers() {
        for (field, expected) in [
            (None, None),
            (Some("Bearer abc"), Some(&b"abc"[..])),
            (Some("bearer  abc"), Some(b"abc")),
            (Some("Basic abc"), None),
            (Some("Bearer"), None),
            (Some("abc"), None),
        ] {
            let fields = field.map(|field| (header::AUTHORIZATION, field.parse().unwrap()));
            assert_eq!(token(&fields.into_iter().collect()), expected, "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>, url: String) {
            let _ = parse(&body);
            let _ = parse(serde_json::json!({ "url": url }).to_string().as_bytes());
        }
    }
}
