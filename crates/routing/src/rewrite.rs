//! Another path, and another query, for the same request.

use std::fmt;

use crate::path::{PathCondition, is_below};
use crate::pattern::{Captures, Pattern};
use crate::percent::{encode_path, encode_query};
use crate::request::RequestView;
use crate::template::{Template, Values};

/// What a backend is asked for instead of what the client asked for. Its parts act in the order in which they stand
/// here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Taken from the start of the path, if whole segments are so.
    pub strip_prefix: Option<String>,
    /// What is found the first time, and what takes its place. A `?` in that starts a query, which replaces the
    /// client's; `$query` is the client's.
    pub replace: Option<(Pattern, Template)>,
    /// Put in front of the path.
    pub add_prefix: Option<String>,
}

/// A rewritten path led out of where it was: the request is refused (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rewritten path has dot segments")
    }
}

impl std::error::Error for Refused {}

impl Rewrite {
    /// Whether nothing changes: then a backend is asked for what the client sent, octet for octet.
    pub fn is_empty(&self) -> bool {
        *self == Rewrite::default()
    }

    /// Appends the new target in origin form, escaped: a path that starts with a slash, and a query if there is one.
    /// `captures` is memory to work in; the groups in it are lost.
    ///
    /// # Errors
    /// The new path has dot segments, which a replacement can make of harmless ones. Nothing is appended then.
    pub fn target(
        &self,
        request: &RequestView<'_>,
        captures: &mut Captures,
        into: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let start = into.len();
        into.extend(self.add_prefix.as_deref().map_or("", PathCondition::stem).as_bytes());
        let stem = self.strip_prefix.as_deref().map_or("", PathCondition::stem).as_bytes();
        let stripped = if is_below(request.path, stem) { &request.path[stem.len()..] } else { request.path };
        // What is empty or lost its slash gets one.
        let rooted = if stripped.starts_with(b"/") { stripped } else { b"/" };
        let mut has_query = false;
        match &self.replace {
            Some((pattern, with)) if pattern.find(rooted, captures) => {
                let found = captures.group(0).unwrap_or_default();
                let from = into.len();
                encode_path(&rooted[..found.start], into);
                let groups = (&*captures, rooted);
                let values = Values { host: request.host, path: request.path, query: request.query, groups };
                let middle = into.len();
                with.expand(values, into);
                has_query = into[middle..].contains(&b'?');
                let mut rest = Vec::new();
                encode_path(&rooted[found.end..], &mut rest);
                let path_end =
                    into[middle..].iter().position(|&octet| octet == b'?').map_or(into.len(), |at| middle + at);
                into.splice(path_end..path_end, rest);
                if into.get(from) != Some(&b'/') {
                    into.insert(from, b'/');
                }
            }
            _ => encode_path(rooted, into),
        }
        let path_end = into[start..].iter().position(|&octet| octet == b'?').map_or(into.len(), |at| start + at);
        if has_dot_segments(&into[start..path_end]) {
            into.truncate(start);
            return Err(Refused);
        }
        if let (false, Some(query)) = (has_query, request.query) {
            into.push(b'?');
            encode_query(query, into);
        }
        Ok(())
    }
}

/// Whether there are any, be they escaped in a template (RFC 3986 §6.2.2.3).
fn has_dot_segments(path: &[u8]) -> bool {
    path.split(|&octet| octet == b'/').any(|segment| {
        let mut dots = 0;
        let mut rest = segment;
        while let Some(after) =
            rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b"%2e")).or_else(|| rest.strip_prefix(b"%2E"))
        {
            (dots, rest) = (dots + 1, after);
        }
        rest.is_empty() && matches!(dots, 1 | 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(rewrite: &Rewrite, path: &str, query: Option<&str>) -> Option<String> {
        let fields: [(&str, &str); 0] = [];
        let request = RequestView {
            method: b"GET",
            host: b"h",
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            fields: &fields.to_vec(),
        };
        let mut into = b"GET ".to_vec();
        let result = rewrite.target(&request, &mut Captures::new(), &mut into);
        let text = String::from_utf8(into).unwrap().split_off(4);
        assert!(result.is_ok() || text.is_empty());
        result.ok().map(|()| text)
    }

    #[test]
    fn prefixes_are_taken_and_given() {
        let rewrite = |strip: Option<&str>, add: Option<&str>| Rewrite {
            strip_prefix: strip.map(Into::into),
            add_prefix: add.map(Into::into),
            replace: None,
        };
        for (strip, add, path, query, expected) in [
            (Some("/api"), None, "/api/x", Some("a=b"), "/x?a=b"),
            (Some("/api/"), None, "/api", None, "/"),
            (Some("/api"), None, "/apis", None, "/apis"),
            (Some("/"), None, "/x", None, "/x"),
            (None, Some("/v1/"), "/x y", None, "/v1/x%20y"),
            (Some("/a"), Some("/b"), "/a/?/%", Some(""), "/b/%3F/%25?"),
            (None, Some("/b"), "*", None, "/b/"),
        ] {
            assert_eq!(rewritten(&rewrite(strip, add), path, query).as_deref(), Some(expected), "{strip:?} {path}");
        }
    }

    #[test]
    fn a_part_is_replaced() {
        for (pattern, with, path, query, expected) in [
            ("^/u/([0-9]+)$", "/users?id=$1", "/u/7", Some("x=y"), Some("/users?id=7")),
            ("^/u/([0-9]+)$", "/users?id=$1&$query", "/u/7", Some("x=y"), Some("/users?id=7&x=y")),
            ("^/u/([0-9]+)$", "/users?id=$1&$query", "/v/7", Some("x=y"), Some("/v/7?x=y")),
            ("old", "new", "/a/old/b old", None, Some("/a/new/b%20old")),
            ("old", "new?", "/a/old/b", Some("q"), Some("/a/new/b?")),
            ("^/", "$host", "/a", None, Some("/ha")),
            ("x", "", "/.x./secret", None, None),
            ("^/(.*)$", "/%2e./$1", "/a", None, None),
            ("^/x", "", "/x/../a", None, None),
            ("x", "?", "/.x", None, None),
            ("x", "", "/...x", None, Some("/...")),
        ] {
            let replace = Some((pattern.parse().unwrap(), with.parse().unwrap()));
            let rewrite = Rewrite { replace, ..Rewrite::default() };
            assert_eq!(rewritten(&rewrite, path, query).as_deref(), expected, "{pattern} {with} {path}");
        }
    }
}
