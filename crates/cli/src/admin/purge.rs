//! The body of a purge: `{"url": …}`, `{"prefix": …}`, `{"name": …}`, `{"subtree": …}` or `{"all": true}`.

use afpa_dns::message::NameBuf;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::stats::Purge;

/// The longest body that is read.
pub(super) const MAX_BODY: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    url: Option<String>,
    prefix: Option<String>,
    /// A domain name.
    name: Option<String>,
    /// A domain name, with all below it.
    subtree: Option<String>,
    all: Option<bool>,
}

/// Reads a body.
///
/// # Errors
/// What the client did wrong, in a sentence.
pub(super) fn parse(body: &[u8]) -> Result<Purge, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("the body is not a purge: {error}"))?;
    match body {
        Body { url: Some(url), prefix: None, name: None, subtree: None, all: None } => Ok(Purge::Path(path(&url)?)),
        Body { prefix: Some(prefix), url: None, name: None, subtree: None, all: None } => {
            Ok(Purge::Prefix(path(&prefix)?))
        }
        Body { name: Some(name), url: None, prefix: None, subtree: None, all: None } => Ok(Purge::Name(domain(&name)?)),
        Body { subtree: Some(name), url: None, prefix: None, name: None, all: None } => {
            Ok(Purge::Subtree(domain(&name)?))
        }
        Body { all: Some(true), url: None, prefix: None, name: None, subtree: None } => Ok(Purge::All),
        Body { all: Some(false), url: None, prefix: None, name: None, subtree: None } => {
            Err("\"all\" must be true".into())
        }
        _ => Err("the body must have exactly one of \"url\", \"prefix\", \"name\", \"subtree\" and \"all\"".into()),
    }
}

fn domain(text: &str) -> Result<NameBuf, String> {
    text.parse().map_err(|error| format!("{text:?} is no domain name: {error}"))
}

/// The path of an http URL or of a path, without query, decoded as the cache's keys are.
fn path(url: &str) -> Result<Vec<u8>, String> {
    let path = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        Some(_) => return Err(format!("{url:?} is not an http URL")),
        None => url,
    };
    let path: Vec<u8> = percent_decode_str(path.split(['?', '#']).next().unwrap_or_default()).collect();
    if !path.starts_with(b"/") || path.contains(&0) {
        return Err(format!("{url:?} must be an http URL or a path that starts with /"));
    }
    // Requests are normalised before they are looked up: no key has such a segment.
    let mut segments = path.split(|&octet| octet == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || segment.is_empty() && !is_last {
            return Err(format!("{url:?} must have no empty segment, \".\" or \"..\""));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies() {
        let good = [
            (r#"{"url": "/a/b.html"}"#, Purge::Path(b"/a/b.html".into())),
            (r#"{"url": "http://example.org:8080/a?b#c"}"#, Purge::Path(b"/a".into())),
            (r#"{"url": "https://example.org"}"#, Purge::Path(b"/".into())),
            (r#"{"prefix": "/images/"}"#, Purge::Prefix(b"/images/".into())),
            (r#"{"url": "/caf%C3%A9%20%ff"}"#, Purge::Path(b"/caf\xc3\xa9 \xff".into())),
            (r#"{"prefix": "/.well-known"}"#, Purge::Prefix(b"/.well-known".into())),
            (r#"{"all": true}"#, Purge::All),
        ];
        for (body, purge) in good {
            assert_eq!(parse(body.as_bytes()), Ok(purge), "{body}");
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
            r#"{"all": true} x"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
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
