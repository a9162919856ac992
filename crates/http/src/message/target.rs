//! Request targets (RFC 9112 §3.2) and their paths (RFC 3986 §3.3, §5.2.4, §6.2.2).

use std::ops::Range;

use super::error::RequestError;
use super::host;
use super::method::Method;
use super::octets::hexadecimal;

/// The form of a request target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetForm {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `host:port`, for CONNECT.
    Authority,
    /// `*`, for OPTIONS.
    Asterisk,
}

/// The parts of a request target, as places in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    pub(super) authority: Option<Range<usize>>,
    /// Path and query.
    pub(super) path: Range<usize>,
}

impl Target {
    /// Divides `target`, which has no white space and no control octet.
    pub(super) fn parse(method: Method, target: &[u8]) -> Result<Target, RequestError> {
        let form = |form, path| Ok(Target { form, authority: None, path });
        match (method, target) {
            (Method::Connect, _) if host::is_authority_form(target) => {
                Ok(Target { form: TargetForm::Authority, authority: Some(0..target.len()), path: 0..0 })
            }
            (Method::Connect, _) => Err(RequestError::Target),
            (_, [b'/', ..]) => form(TargetForm::Origin, 0..target.len()),
            (Method::Options, b"*") => form(TargetForm::Asterisk, 0..0),
            _ => Self::parse_absolute(method, target),
        }
    }

    fn parse_absolute(method: Method, target: &[u8]) -> Result<Target, RequestError> {
        let start = scheme_end(target).ok_or(RequestError::Target)?;
        let rest = &target[start..];
        let end = start + rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
        // RFC 9110 §4.2.1: a sender must not generate an http URI with an empty host; §4.2.4: nor one
        // with a user's name, which `host` refuses.
        if start == end || !host::is_valid(&target[start..end]) {
            return Err(RequestError::HostMalformed);
        }
        // RFC 9112 §3.2.4: OPTIONS for a URI without path and query asks about the server.
        let asterisk = method == Method::Options && end == target.len();
        let form = if asterisk { TargetForm::Asterisk } else { TargetForm::Absolute };
        Ok(Target { form, authority: Some(start..end), path: end..target.len() })
    }
}

fn scheme_end(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        target.get(..scheme.len())?.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}

/// The path, and what stands behind the first `?`.
pub(super) fn split_query(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&octet| octet == b'?') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// `raw` percent-decoded, without `.`, `..` and empty segments, with a slash at its beginning.
/// Borrowed if `raw` is like that already, else made in `scratch`.
///
/// Segments are compared after they were decoded, so that `%2e%2e` is `..`; what was decoded is not
/// decoded again. An encoded slash is refused, not taken for a separator.
///
/// # Errors
///
/// A malformed or refused encoding, NUL, or a path that leads above its root.
pub fn normalise<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    if is_canonical(raw) {
        return Ok(raw);
    }
    scratch.clear();
    let mut segments = raw.strip_prefix(b"/").unwrap_or(raw).split(|&octet| octet == b'/').peekable();
    while let Some(segment) = segments.next() {
        push_segment(segment, segments.peek().is_some(), scratch)?;
    }
    Ok(scratch)
}

/// Whether `raw` has nothing to decode or remove. A segment that starts with a dot is left to the
/// slow way, whatever follows.
fn is_canonical(raw: &[u8]) -> bool {
    if raw.first() != Some(&b'/') {
        return false;
    }
    let mut after_slash = false;
    for &octet in raw {
        match octet {
            b'%' | 0 => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = octet == b'/',
        }
    }
    true
}

/// Appends a slash and the decoded segment. The slash of the last segment stays even when nothing
/// follows it: `/a/` and `/a/.` both end in one (RFC 3986 §5.2.4).
fn push_segment(segment: &[u8], more: bool, path: &mut Vec<u8>) -> Result<(), RequestError> {
    // Each segment before has left its slash out at its end; this is where it goes.
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    let start = path.len();
    decode(segment, path)?;
    match &path[start..] {
        b"." => path.truncate(start),
        b".." => {
            path.truncate(start - 1);
            let parent = path.iter().rposition(|&octet| octet == b'/').ok_or(RequestError::PathAboveRoot)?;
            path.truncate(parent + 1);
        }
        b"" => {}
        _ if more => path.push(b'/'),
        _ => {}
    }
    Ok(())
}

fn decode(mut segment: &[u8], path: &mut Vec<u8>) -> Result<(), RequestError> {
    while let Some((&octet, rest)) = segment.split_first() {
        segment = rest;
        let octet = if octet == b'%' {
            let [high, low, rest @ ..] = rest else { return Err(RequestError::PathEncoding) };
            segment = rest;
            let high = hexadecimal(*high).ok_or(RequestError::PathEncoding)?;
            let low = hexadecimal(*low).ok_or(RequestError::PathEncoding)?;
            high << 4 | low
        } else {
            octet
        };
        match octet {
            0 => return Err(RequestError::PathNul),
            b'/' => return Err(RequestError::PathSlash),
            _ => path.push(octet),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(raw: &[u8]) -> Result<Vec<u8>, RequestError> {
        normalise(raw, &mut b"left over".to_vec()).map(<[u8]>::to_vec)
    }

    #[test]
    fn paths() {
        for (raw, path) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b.html", "/a/b.html"),
            ("/a/", "/a/"),
            ("/.hidden", "/.hidden"),
            ("/...", "/..."),
            ("/a//b", "/a/b"),
            ("//a", "/a"),
            ("//", "/"),
            ("/a//", "/a/"),
            ("/.", "/"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/%7euser", "/~user"),
            ("/a%20b", "/a b"),
            ("/%E2%82%ac", "/\u{20ac}"),
            ("/a%25b", "/a%b"),
            ("/%2525", "/%25"),
            ("/a+b", "/a+b"),
            ("/a\\b", "/a\\b"),
        ] {
            assert_eq!(normalised(raw.as_bytes()), Ok(path.as_bytes().to_vec()), "{raw:?}");
        }
    }

    #[test]
    fn refused_paths() {
        use RequestError::*;
        for (raw, error) in [
            ("/%", PathEncoding),
            ("/%4", PathEncoding),
            ("/%4/1", PathEncoding),
            ("/%zz", PathEncoding),
            ("/%+1", PathEncoding),
            ("/a%00", PathNul),
            ("/a%2fb", PathSlash),
            ("/..%2F", PathSlash),
            ("/..", PathAboveRoot),
            ("/../a", PathAboveRoot),
            ("/a/../../b", PathAboveRoot),
            ("/%2e%2e/a", PathAboveRoot),
            ("/.%2e/a", PathAboveRoot),
            ("//..", PathAboveRoot),
        ] {
            assert_eq!(normalised(raw.as_bytes()), Err(error), "{raw:?}");
        }
    }

    #[test]
    fn canonical_paths_are_borrowed() {
        let raw = b"/a/b.html";
        let mut scratch = Vec::new();
        assert!(std::ptr::eq(normalise(raw, &mut scratch).expect("canonical"), raw));
    }

    #[test]
    fn forms() {
        use TargetForm::*;
        let parse = |method, target: &str| {
            Target::parse(method, target.as_bytes())
                .map(|parts| (parts.form, parts.authority.map(|place| target[place].to_owned()), target[parts.path].to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());
        for (method, target, parts) in [
            (Method::Get, "/a?b", (Origin, None, "/a?b")),
            (Method::Get, "http://h/a", (Absolute, some("h"), "/a")),
            (Method::Get, "HTTPS://h:1?q", (Absolute, some("h:1"), "?q")),
            (Method::Get, "http://h", (Absolute, some("h"), "")),
            (Method::Options, "*", (Asterisk, None, "")),
            (Method::Options, "http://h", (Asterisk, some("h"), "")),
            (Method::Options, "http://h/", (Absolute, some("h"), "/")),
            (Method::Connect, "h:443", (Authority, some("h:443"), "")),
        ] {
            assert_eq!(parse(method, target), Ok((parts.0, parts.1, parts.2.to_owned())), "{target}");
        }
        for (method, target, error) in [
            (Method::Get, "*", RequestError::Target),
            (Method::Get, "a/b", RequestError::Target),
            (Method::Get, "", RequestError::Target),
            (Method::Get, "h:80", RequestError::Target),
            (Method::Get, "ftp://h/", RequestError::Target),
            (Method::Get, "http:/a", RequestError::Target),
            (Method::Get, "http:///a", RequestError::HostMalformed),
            (Method::Get, "http://user@h/a", RequestError::HostMalformed),
            (Method::Get, "http://h:x/a", RequestError::HostMalformed),
            (Method::Connect, "/a", RequestError::Target),
            (Method::Connect, "h", RequestError::Target),
            (Method::Connect, "http://h/", RequestError::Target),
        ] {
            assert_eq!(parse(method, target), Err(error), "{target}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_path_is_canonical_and_stays_as_it_is(raw in "/(\\.|/|%2e|%2E|%25|%|%41|%zz|a|b){0,12}") {
            if let Ok(path) = normalised(raw.as_bytes()) {
                prop_assert_eq!(path[0], b'/');
                prop_assert!(!path.contains(&0));
                prop_assert!(!path.windows(2).any(|pair| pair == b"//"));
                prop_assert!(path.split(|&octet| octet == b'/').all(|segment| segment != b"." && segment != b".."));
                let encoded = path.split(|&octet| octet == b'%').collect::<Vec<_>>().join(&b"%25"[..]);
                prop_assert_eq!(normalised(&encoded), Ok(path));
            }
        }
    }
}
