//! Request targets (RFC 9112 §3.2), and the path within them.

use super::error::RequestError;
use super::host;
use super::method::Method;
use super::octet::hexadecimal;
use super::span::Span;

/// The form of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetForm {
    /// A path with an optional query.
    #[default]
    Origin,
    /// A whole URI. Its authority overrides Host.
    Absolute,
    /// Host and port: CONNECT.
    Authority,
    /// `*`: OPTIONS for the server as a whole.
    Asterisk,
}

/// The scheme of a URI (RFC 9110 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// A target's parts, as spans of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    /// Of an absolute URI, whether its scheme is https.
    pub(super) https: bool,
    pub(super) whole: Span,
    /// The path as it was sent; empty if an absolute URI has none.
    pub(super) path: Span,
    pub(super) query: Span,
    /// The authority that the target names; absent in origin form.
    pub(super) authority: Span,
    /// The path is as [`normalise`] would leave it.
    pub(super) canonical: bool,
}

impl Target {
    /// The scheme that an absolute URI has.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        let is_absolute = self.authority.is_present() && self.form != TargetForm::Authority;
        is_absolute.then_some(if self.https { Scheme::Https } else { Scheme::Http })
    }

    /// Parses the target that is `head[start..end]`.
    #[inline]
    pub(super) fn parse(method: Method, head: &[u8], start: usize, end: usize) -> Result<Target, RequestError> {
        let text = &head[start..end];
        if text.first() == Some(&b'/') && method != Method::Connect {
            let mut target = Target { whole: Span::new(start..end), ..Target::default() };
            target.set_path(head, start, end)?;
            return Ok(target);
        }
        Target::parse_rare(method, head, start, end)
    }

    fn parse_rare(method: Method, head: &[u8], start: usize, end: usize) -> Result<Target, RequestError> {
        let whole = Span::new(start..end);
        let text = &head[start..end];
        match (method, text) {
            (Method::Connect, _) => {
                // RFC 9112 §3.2.3: the port cannot be left out.
                host::parse(text).and_then(|authority| authority.port).ok_or(RequestError::Target)?;
                Ok(Target { form: TargetForm::Authority, whole, authority: whole, ..Target::default() })
            }
            (Method::Options, b"*") => Ok(Target { form: TargetForm::Asterisk, whole, ..Target::default() }),
            _ => Target::parse_absolute(method, head, start, end),
        }
    }

    fn parse_absolute(method: Method, head: &[u8], start: usize, end: usize) -> Result<Target, RequestError> {
        let text = &head[start..end];
        let (scheme, prefix) = [(Scheme::Http, "http://"), (Scheme::Https, "https://")]
            .into_iter()
            .find(|(_, prefix)| {
                text.get(..prefix.len()).is_some_and(|text| text.eq_ignore_ascii_case(prefix.as_bytes()))
            })
            .ok_or(RequestError::Target)?;
        let rest = &text[prefix.len()..];
        let length = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
        if !host::is_valid(&rest[..length]) {
            return Err(RequestError::Target);
        }
        let path = start + prefix.len() + length;
        let mut target = Target {
            form: TargetForm::Absolute,
            https: scheme == Scheme::Https,
            whole: Span::new(start..end),
            authority: Span::new(start + prefix.len()..path),
            ..Target::default()
        };
        target.set_path(head, path, end)?;
        // RFC 9112 §3.2.4: OPTIONS for a URI without path and query is for the server as a whole.
        if method == Method::Options && path == end {
            target.form = TargetForm::Asterisk;
        }
        Ok(target)
    }

    /// Finds path and query in `head[start..end]`, and whether the path is canonical.
    #[inline]
    fn set_path(&mut self, head: &[u8], start: usize, end: usize) -> Result<(), RequestError> {
        let text = &head[start..end];
        let scan = scan(text);
        self.path = Span::new(start..start + scan.length);
        self.canonical = scan.canonical && scan.length > 0;
        if scan.length < text.len() {
            let query = &text[scan.length..];
            if query[0] != b'?' || !query.iter().copied().all(is_allowed) {
                return Err(RequestError::Target);
            }
            self.query = Span::new(start + scan.length + 1..end);
        }
        Ok(())
    }
}

/// How a path was found to be.
struct Scan {
    /// Up to the query or the first octet that may not be there.
    length: usize,
    canonical: bool,
}

const SLASH: u8 = 1;
/// What makes a path suspicious when it follows a slash: another slash, or a dot.
const BEHIND_SLASH: u8 = 2;
const PERCENT: u8 = 4;
const END: u8 = 8;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        classes[octet] = match octet as u8 {
            b'/' => SLASH | BEHIND_SLASH,
            b'.' => BEHIND_SLASH,
            b'%' => PERCENT,
            b'?' => END,
            other if !is_allowed(other) => END,
            _ => 0,
        };
        octet += 1;
    }
    classes
}

/// Visible characters but `#`, which would start a fragment. Clients send some of them that RFC 3986
/// wants encoded, such as `|`; they can do no harm.
const fn is_allowed(octet: u8) -> bool {
    matches!(octet, b'!'..=b'~') && octet != b'#'
}

#[inline]
fn scan(text: &[u8]) -> Scan {
    let (mut previous, mut found) = (0, 0);
    for (length, &octet) in text.iter().enumerate() {
        let class = CLASSES[usize::from(octet)];
        if class == END {
            return Scan { length, canonical: found == 0 };
        }
        // SLASH, moved by one, is BEHIND_SLASH.
        found |= class & (PERCENT | previous << 1);
        previous = class & SLASH;
    }
    Scan { length: text.len(), canonical: found == 0 }
}

/// Decodes and normalises a path: percent-encoded octets are decoded once, dot segments are removed
/// as RFC 3986 §5.2.4 has it (so no path leads above the root), empty segments collapse. The result
/// starts with a slash; any other octet may be in it but NUL. It is `path` itself if there is nothing
/// to do, or else in `scratch`.
///
/// An encoded slash is refused with 404: it is data within a name, which no file's name can have, and
/// decoding it would let a path mean two things to us and to a proxy in front of us.
///
/// # Errors
/// [`RequestError::PercentEncoding`], [`RequestError::NulInPath`], [`RequestError::EncodedSlash`].
pub fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    let scan = scan(path);
    if scan.canonical && scan.length == path.len() && path.first() == Some(&b'/') {
        return Ok(path);
    }
    rewrite(path, scratch)
}

/// [`normalise`] without the look for what needs no change.
pub(super) fn rewrite<'a>(path: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    scratch.clear();
    scratch.push(b'/');
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&octet| octet == b'/').peekable();
    while let Some(segment) = segments.next() {
        let start = scratch.len();
        decode(segment, scratch)?;
        match &scratch[start..] {
            b"" => {}
            b"." => scratch.truncate(start),
            b".." => {
                let parent = scratch[..start - 1].iter().rposition(|&octet| octet == b'/').unwrap_or(0);
                scratch.truncate(parent + 1);
            }
            _ if segments.peek().is_some() => scratch.push(b'/'),
            _ => {}
        }
    }
    Ok(scratch)
}

/// Appends `segment`, percent-decoded.
fn decode(segment: &[u8], into: &mut Vec<u8>) -> Result<(), RequestError> {
    let mut rest = segment;
    while let [octet, tail @ ..] = rest {
        rest = tail;
        let decoded = match (octet, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let (Some(high), Some(low)) = (hexadecimal(*high), hexadecimal(*low)) else {
                    return Err(RequestError::PercentEncoding);
                };
                rest = tail;
                high << 4 | low
            }
            (b'%', _) => return Err(RequestError::PercentEncoding),
            _ => *octet,
        };
        match (octet, decoded) {
            (_, 0) => return Err(RequestError::NulInPath),
            (b'%', b'/') => return Err(RequestError::EncodedSlash),
            _ => into.push(decoded),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::fuzz;

    #[test]
    fn paths_are_normalised() {
        let rows: &[(&str, &str)] = &[
            ("/", "/"),
            ("/a/b.html", "/a/b.html"),
            ("/a//b///", "/a/b/"),
            ("//", "/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/../../../c/", "/c/"),
            ("/%2e%2E/%2e/x", "/x"),
            ("/a%20b%7e", "/a b~"),
            ("/%25%32%65", "/%2e"),
            ("/%252e%252e/x", "/%2e%2e/x"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/..a/.b/c..", "/..a/.b/c.."),
            ("/a\\..\\b", "/a\\..\\b"),
            ("", "/"),
        ];
        for &(path, expected) in rows {
            let mut scratch = Vec::new();
            let found = normalise(path.as_bytes(), &mut scratch).unwrap();
            assert_eq!(found.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string(), "{path}");
        }
    }

    #[test]
    fn what_needs_no_change_is_not_copied() {
        for path in ["/", "/a/b.html", "/a.b/c-d~e", "/a/b."] {
            let mut scratch = Vec::new();
            assert_eq!(normalise(path.as_bytes(), &mut scratch).unwrap().as_ptr(), path.as_ptr());
            assert_eq!(scratch.capacity(), 0);
        }
    }

    #[test]
    fn paths_that_are_refused() {
        let rows: &[(&str, RequestError, u16)] = &[
            ("/%", RequestError::PercentEncoding, 400),
            ("/%4", RequestError::PercentEncoding, 400),
            ("/%4g", RequestError::PercentEncoding, 400),
            ("/%+1", RequestError::PercentEncoding, 400),
            ("/a%00", RequestError::NulInPath, 400),
            ("/a%2fb", RequestError::EncodedSlash, 404),
            ("/..%2F..%2Fetc", RequestError::EncodedSlash, 404),
        ];
        for &(path, error, status) in rows {
            assert_eq!(normalise(path.as_bytes(), &mut Vec::new()), Err(error), "{path}");
            assert_eq!(error.status(), status);
            assert!(!error.closes(), "the request's end is known");
        }
    }

    proptest! {
        #[test]
        fn any_path_keeps_the_promises(path in "(/|\\.|%2[eEfF]|%00|%25|%|[a-z]|//|\\.\\.){0,24}") {
            fuzz::path(path.as_bytes());
        }

        #[test]
        fn any_octets_keep_the_promises(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz::path(&path);
        }
    }
}
