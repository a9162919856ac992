//! References to resources, resolved and brought into one form (RFC 3986 §5, §6.2).

/// No longer URI is looked at.
pub const LONGEST: usize = 8 * 1024;

/// The parts of an absolute http or https URI.
struct Parts<'a> {
    scheme: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
    query: Option<&'a [u8]>,
}

/// The absolute URI that `reference` means in a response of `base`, in the form in which two of them can be
/// compared: scheme and host in lower case, no default port, no dot segments, no fragment. `None` if one of them is no
/// URI of http or https, names a user, or is longer than [`LONGEST`].
pub fn resolve(base: &[u8], reference: &[u8]) -> Option<Vec<u8>> {
    if base.len() > LONGEST || reference.len() > LONGEST {
        return None;
    }
    let is_fit = |text: &[u8]| text.iter().all(|octet| octet.is_ascii_graphic() || *octet >= 0x80);
    if !is_fit(base) || !is_fit(reference) {
        return None;
    }
    let base = Parts::of(without_fragment(base))?;
    let reference = without_fragment(reference);
    if scheme_length(reference).is_some() {
        return Parts::of(reference)?.written(b"");
    }
    if let Some(rest) = reference.strip_prefix(b"//") {
        return Parts::of_hierarchy(base.scheme, rest).written(b"");
    }
    let (path, query) = split_query(reference);
    match path {
        [] => Parts { query: query.or(base.query), ..base }.written(b""),
        [b'/', ..] => Parts { path, query, ..base }.written(b""),
        // RFC 3986 §5.2.3: everything after the last slash is replaced.
        _ => {
            let end = base.path.iter().rposition(|&octet| octet == b'/').map_or(0, |slash| slash + 1);
            Parts { path: &base.path[..end], query, ..base }.written(path)
        }
    }
}

/// Whether two URIs that [`resolve`] made are of one origin.
pub fn is_same_origin(one: &[u8], other: &[u8]) -> bool {
    origin(one) == origin(other)
}

fn origin(uri: &[u8]) -> &[u8] {
    let start = scheme_length(uri).map_or(0, |length| length + 3);
    let end = uri.iter().skip(start).position(|&octet| octet == b'/').map_or(uri.len(), |length| start + length);
    &uri[..end]
}

impl<'a> Parts<'a> {
    fn of(uri: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = uri.split_at(scheme_length(uri)?);
        rest.strip_prefix(b"://").map(|rest| Self::of_hierarchy(scheme, rest))
    }

    /// What follows `//`.
    fn of_hierarchy(scheme: &'a [u8], rest: &'a [u8]) -> Self {
        let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
        let (path, query) = split_query(&rest[end..]);
        Self { scheme, authority: &rest[..end], path, query }
    }

    /// As text, with `rest` put behind the path.
    fn written(&self, rest: &[u8]) -> Option<Vec<u8>> {
        let scheme = self.scheme.to_ascii_lowercase();
        let default_port: &[u8] = match &scheme[..] {
            b"http" => b"80",
            b"https" => b"443",
            _ => return None,
        };
        let (host, port) = host_and_port(self.authority)?;
        let mut out = scheme;
        out.extend_from_slice(b"://");
        out.extend(host.iter().map(u8::to_ascii_lowercase));
        if !port.is_empty() && port != default_port {
            out.push(b':');
            out.extend_from_slice(port);
        }
        append_without_dots(&[self.path, rest].concat(), &mut out);
        if let Some(query) = self.query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        Some(out)
    }
}

/// RFC 3986 §3.2, without a user. The port is empty if there is none.
fn host_and_port(authority: &[u8]) -> Option<(&[u8], &[u8])> {
    let literal_length = match authority {
        [b'[', ..] => authority.iter().position(|&octet| octet == b']')? + 1,
        _ => 0,
    };
    let colon = authority.iter().skip(literal_length).position(|&octet| octet == b':');
    let (host, port) = authority.split_at(colon.map_or(authority.len(), |length| literal_length + length));
    let port = port.strip_prefix(b":").unwrap_or(port);
    let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(octet);
    let is_literal = |octet: &u8| octet.is_ascii_hexdigit() || b":.".contains(octet);
    let is_host = match host {
        [b'[', address @ .., b']'] => address.iter().all(is_literal),
        _ => !host.is_empty() && host.iter().all(is_name),
    };
    (is_host && port.iter().all(u8::is_ascii_digit)).then_some((host, port))
}

/// RFC 3986 §5.2.4; an empty path is the root.
fn append_without_dots(path: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let mut segments = path.split(|&octet| octet == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment.len() == 2 {
                    let end = out[start..].iter().rposition(|&octet| octet == b'/').unwrap_or(0);
                    out.truncate(start + end);
                }
                if is_last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
}

/// The length of the scheme that a URI begins with; a relative reference has none.
fn scheme_length(uri: &[u8]) -> Option<usize> {
    let colon = uri.iter().position(|&octet| octet == b':')?;
    let scheme = &uri[..colon];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet));
    is_scheme.then_some(colon)
}

fn without_fragment(uri: &[u8]) -> &[u8] {
    uri.split(|&octet| octet == b'#').next().unwrap_or_default()
}

fn split_query(reference: &[u8]) -> (&[u8], Option<&[u8]>) {
    match reference.iter().position(|&octet| octet == b'?') {
        Some(mark) => (&reference[..mark], Some(&reference[mark + 1..])),
        None => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolved(base: &str, reference: &str) -> Option<String> {
        resolve(base.as_bytes(), reference.as_bytes()).map(|uri| String::from_utf8(uri).unwrap())
    }

    /// The examples of RFC 3986 §5.4 that http allows.
    #[test]
    fn references_are_resolved() {
        for (reference, path) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            (";x", "/b/c/;x"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/../g", "/g"),
            ("g..", "/b/c/g.."),
            ("./g/.", "/b/c/g/"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("//A", ""),
            ("HTTP://a:80", ""),
        ] {
            let path = if path.is_empty() { "/" } else { path };
            assert_eq!(resolved("http://a/b/c/d;p?q", reference), Some(format!("http://a{path}")), "{reference}");
        }
    }

    #[test]
    fn one_form_for_one_resource() {
        for (reference, uri) in [
            ("HTTPS://Example.COM:443/A", Some("https://example.com/A")),
            ("https://example.com:/", Some("https://example.com/")),
            ("https://example.com:80/", Some("https://example.com:80/")),
            ("https://example.com?q", Some("https://example.com/?q")),
            ("https://user@example.com/", None),
            ("https://[::1]:443/", Some("https://[::1]/")),
            ("https://[::1]x/", None),
            ("https://a::/", None),
            ("https://a:8o/", None),
            ("https://a\\b/", None),
            ("https:///x", None),
            ("https:x", None),
            ("ftp://example.com/", None),
            ("/a b", None),
            ("/a\nb", None),
        ] {
            assert_eq!(resolved("https://example.com/x", reference).as_deref(), uri, "{reference}");
        }
    }

    proptest! {
        #[test]
        fn what_is_resolved_stays_so(base in "https?://[a-zA-Z.:0-9]{1,8}[/.?#a-z%:]{0,12}", reference in "[/.?#a-z:@]{0,16}") {
            if let Some(uri) = resolve(base.as_bytes(), reference.as_bytes()) {
                prop_assert_eq!(resolve(&uri, &uri), Some(uri.clone()));
                prop_assert_eq!(resolve(&uri, b""), Some(uri));
            }
        }

        #[test]
        fn no_octets_make_it_panic(base: Vec<u8>, reference: Vec<u8>) {
            resolve(&base, &reference);
            resolve(b"http://a/b", &reference);
        }
    }
}
