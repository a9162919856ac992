//! Text with variables in it.

use std::fmt;
use std::str::FromStr;

use crate::pattern::{Captures, GROUPS};
use crate::percent::{encode_host, encode_path, encode_query};

/// A URI, or a part of one, with variables: `https://$host/new$path?$query`.
///
/// `$host` and `$path` are the request's; `$query` is what follows its question mark, and if that is nothing, a `?` or
/// `&` just before the variable is left out; `$1` to `$9` are groups of a regular expression. `$$` is a dollar, and
/// braces may stand around a name: `${1}0`. What comes from a request is escaped, so that it stays what it stands
/// for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Path,
    Query,
    Group(usize),
}

/// What the variables of a template stand for.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) query: Option<&'a [u8]>,
    /// Groups, and what was searched for them.
    pub(crate) groups: (&'a Captures, &'a [u8]),
}

impl Template {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The highest group that is referred to; 0 if none is.
    pub(crate) fn highest_group(&self) -> usize {
        self.parts.iter().map(|part| if let Part::Group(number) = part { *number } else { 0 }).max().unwrap_or(0)
    }

    /// Whether it leads to where its writer meant, whatever a request says: it is a path, or starts with a scheme
    /// and a host in which nothing of the request's path is. After `https://example.com$1`, a request could name
    /// another host.
    pub(crate) fn is_location(&self) -> bool {
        let mut parts = self.parts.iter();
        let mut rest = match parts.next() {
            Some(Part::Path) => return true,
            Some(Part::Text(text)) if text.starts_with('/') && !text.starts_with("//") => return true,
            Some(Part::Text(text)) => {
                let schemes = ["https://", "http://", "//"];
                match schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
                    Some(rest) => rest,
                    None => return false,
                }
            }
            _ => return false,
        };
        let mut has_host = false;
        loop {
            if let Some(end) = rest.find(['/', '?', '#']) {
                return has_host || end > 0;
            }
            has_host |= !rest.is_empty();
            rest = match parts.next() {
                None | Some(Part::Path) => return has_host,
                Some(Part::Host) => {
                    has_host = true;
                    ""
                }
                Some(Part::Text(text)) => text,
                Some(Part::Query | Part::Group(_)) => return false,
            };
        }
    }

    /// Appends the text with its variables replaced.
    pub(crate) fn expand(&self, values: Values<'_>, into: &mut Vec<u8>) {
        let start = into.len();
        let mut in_query = false;
        for part in &self.parts {
            match part {
                Part::Text(text) => {
                    in_query |= text.contains('?');
                    into.extend(text.as_bytes());
                }
                Part::Host => encode_host(values.host, into),
                Part::Path => {
                    // `*`, or nothing, would be a part of the host before it.
                    if !values.path.starts_with(b"/") {
                        into.push(b'/');
                    }
                    append(values.path, in_query, into);
                }
                Part::Group(number) => append(values.groups.0.part(*number, values.groups.1), in_query, into),
                Part::Query => match values.query.filter(|query| !query.is_empty()) {
                    Some(query) => encode_query(query, into),
                    None if into[start..].ends_with(b"?") || into[start..].ends_with(b"&") => _ = into.pop(),
                    None => {}
                },
            }
        }
        // A path of a request that starts with two slashes would name a host (RFC 3986 §4.2).
        if !self.text.starts_with("//") {
            let slashes = into[start..].iter().take_while(|&&octet| octet == b'/').count();
            into.drain(start..start + slashes.saturating_sub(1));
        }
    }
}

/// Appends decoded octets. In a query, an ampersand, an equals sign or a plus sign of theirs would be another's.
fn append(decoded: &[u8], in_query: bool, into: &mut Vec<u8>) {
    if !in_query {
        return encode_path(decoded, into);
    }
    for piece in decoded.chunk_by(|left, right| !is_mark(*left) && !is_mark(*right)) {
        match piece {
            b"&" => into.extend(b"%26"),
            b"=" => into.extend(b"%3D"),
            b"+" => into.extend(b"%2B"),
            _ => encode_path(piece, into),
        }
    }
}

fn is_mark(octet: u8) -> bool {
    matches!(octet, b'&' | b'=' | b'+')
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        if let Some(other) = text.bytes().find(|octet| !matches!(octet, b'!'..=b'~')) {
            return Err(TemplateError(format!("escape the octet {other:#04x} as %{other:02X}")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push_text(before, &mut parts);
            rest = match after.strip_prefix('$') {
                Some(after) => {
                    push_text("$", &mut parts);
                    after
                }
                None => {
                    let (name, after) = variable(after);
                    parts.push(part(name)?);
                    after
                }
            };
        }
        push_text(rest, &mut parts);
        Ok(Template { text: text.to_owned(), parts })
    }
}

fn push_text(text: &str, parts: &mut Vec<Part>) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// The name behind a dollar, and what follows it.
fn variable(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return (name, after);
    }
    let end = match text.as_bytes().first() {
        Some(b'0'..=b'9') => text.find(|c: char| !c.is_ascii_digit()),
        _ => text.find(|c: char| !c.is_ascii_lowercase()),
    };
    text.split_at(end.unwrap_or(text.len()))
}

fn part(name: &str) -> Result<Part, TemplateError> {
    match name {
        "host" => Ok(Part::Host),
        "path" => Ok(Part::Path),
        "query" => Ok(Part::Query),
        _ => match name.parse() {
            Ok(number) if (1..GROUPS).contains(&number) => Ok(Part::Group(number)),
            _ => Err(TemplateError(format!(
                "there is no variable ${name}, only $host, $path, $query and $1 to $9; $$ is a dollar"
            ))),
        },
    }
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;

    fn expanded(template: &str, path: &str, query: Option<&str>) -> String {
        let pattern: Pattern = "^/([^/]*)/(.*)$".parse().unwrap();
        let mut captures = Captures::new();
        pattern.find(path.as_bytes(), &mut captures);
        let groups = (&captures, path.as_bytes());
        let values = Values { host: b"a.example", path: path.as_bytes(), query: query.map(str::as_bytes), groups };
        let mut into = b"x".to_vec();
        template.parse::<Template>().unwrap().expand(values, &mut into);
        String::from_utf8(into).unwrap().split_off(1)
    }

    #[test]
    fn variables_are_replaced_and_stay_what_they_stand_for() {
        for (template, path, query, expected) in [
            ("https://$host$path?$query", "/a/b", Some("c=d"), "https://a.example/a/b?c=d"),
            ("https://$host$path?$query", "/a/b", None, "https://a.example/a/b"),
            ("/x?a=1&$query", "/", None, "/x?a=1"),
            ("/x?a=1&$query", "/", Some("b=%26 \r\n"), "/x?a=1&b=%26%20%0D%0A"),
            ("/new/$2/${1}0$$", "/a/b c", None, "/new/b%20c/a0$"),
            ("/search?q=$2", "/a/b&c=d+e?", None, "/search?q=b%26c%3Dd%2Be%3F"),
            ("/$1$2", "/none", None, "/"),
            ("$path", "//evil.example/x", None, "/evil.example/x"),
            ("/$2", "/a//evil.example", None, "/evil.example"),
            ("//cdn.example$path", "/a\r\nSet-Cookie: b", None, "//cdn.example/a%0D%0ASet-Cookie:%20b"),
        ] {
            assert_eq!(expanded(template, path, query), expected, "{template} {path}");
        }
    }

    #[test]
    fn a_location_names_its_host() {
        for (template, expected) in [
            ("/a$1", true),
            ("$path", true),
            ("https://$host$path", true),
            ("http://www.$host/$1", true),
            ("//example.com/$1", true),
            ("https://example.com", true),
            ("https://example.com?$query", true),
            ("https://example.com$1", false),
            ("https://$1.example.com/", false),
            ("https://example.com$query", false),
            ("https:///a", false),
            ("$1", false),
            ("a", false),
            ("javascript:$1", false),
            ("", false),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().is_location(), expected, "{template}");
        }
        assert_eq!(expanded("https://$host$path", "*", None), "https://a.example/*");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["$", "$0", "$10", "$uri", "${1", "$Host", "a b", "a\r\n", "ü"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        assert_eq!("/$2/$1".parse::<Template>().unwrap().highest_group(), 2);
    }
}
