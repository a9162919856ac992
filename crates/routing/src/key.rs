//! Under which key a response is kept.

use crate::parameters::parameters;
use crate::request::{Fields, cookie};

/// The parts of a request that a response depends on. What is left out must change nothing in the response: whoever
/// sends it first decides what others get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyParts {
    /// Keys of different spaces are different: those of routes that answer the same request differently.
    pub space: String,
    /// The host.
    pub host: bool,
    /// The query.
    pub query: QueryKey,
    /// Header fields, in lower case.
    pub fields: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
}

/// What of a query belongs to a key. Parameters stay as sent and in their order; names are compared decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueryKey {
    /// All of it.
    #[default]
    All,
    /// None of it.
    None,
    /// These parameters.
    Only(Vec<String>),
    /// All parameters but these.
    AllBut(Vec<String>),
}

impl Default for KeyParts {
    fn default() -> KeyParts {
        KeyParts { space: String::new(), host: true, query: QueryKey::All, fields: Vec::new(), cookies: Vec::new() }
    }
}

impl KeyParts {
    /// Appends the key. Two requests have the same one only if all parts are the same: each part is a letter, its
    /// length in four octets, and itself.
    pub fn append(&self, host: &[u8], path: &[u8], query: Option<&[u8]>, fields: &dyn Fields, into: &mut Vec<u8>) {
        if self.host {
            part(b'h', into, |into| into.extend(host));
        }
        part(b'p', into, |into| into.extend(path));
        if let Some(query) = query {
            self.query.append(query, into);
        }
        for name in &self.fields {
            part(b'f', into, |into| into.extend(name.as_bytes()));
            fields.each_value(name, &mut |value| {
                part(b'v', into, |into| into.extend(value));
                false
            });
        }
        for name in &self.cookies {
            part(b'c', into, |into| into.extend(name.as_bytes()));
            if let Some(value) = cookie(fields, name) {
                part(b'v', into, |into| into.extend(value));
            }
        }
        if !self.space.is_empty() {
            part(b's', into, |into| into.extend(self.space.as_bytes()));
        }
    }

    /// A key in words: its parts, each with what it is.
    pub fn shown(key: &[u8]) -> String {
        let mut words = Vec::new();
        let mut rest = key;
        while let [letter, a, b, c, d, after @ ..] = rest {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let Some((octets, after)) = after.split_at_checked(length) else { break };
            let what = match letter {
                b'h' => "host ",
                b'p' => "path ",
                b'q' => "query ",
                b'f' => "header ",
                b'c' => "cookie ",
                b's' => "in ",
                _ => "= ",
            };
            words.push(format!("{what}{}", octets.escape_ascii()));
            rest = after;
        }
        words.join(", ").replace(", = ", " = ")
    }
}

impl QueryKey {
    /// What of a query belongs to a key; `None` if nothing ever does.
    pub fn kept(&self, query: &[u8]) -> Option<Box<[u8]>> {
        let mut into = Vec::new();
        self.append(query, &mut into);
        into.get(PART_HEAD..).map(Into::into)
    }

    fn append(&self, query: &[u8], into: &mut Vec<u8>) {
        let names = match self {
            QueryKey::All => return part(b'q', into, |into| into.extend(query)),
            QueryKey::None => return,
            QueryKey::Only(names) | QueryKey::AllBut(names) => names,
        };
        let wanted = matches!(self, QueryKey::Only(_));
        part(b'q', into, |into| {
            let start = into.len();
            for parameter in parameters(query) {
                if names.iter().any(|name| parameter.is_named(name)) == wanted {
                    if into.len() > start {
                        into.push(b'&');
                    }
                    into.extend(parameter.text);
                }
            }
        });
    }
}

/// Octets of a part before itself.
const PART_HEAD: usize = 5;

/// Appends a part that `write` appends. One of 4 GiB or more, which no request has, is cut short.
fn part(letter: u8, into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    into.push(letter);
    let length_at = into.len();
    into.extend([0; 4]);
    write(into);
    let length = u32::try_from(into.len() - length_at - 4).unwrap_or(u32::MAX);
    into[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(parts: &KeyParts, query: Option<&str>, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut into = Vec::new();
        parts.append(b"h", b"/p", query.map(str::as_bytes), &fields.to_vec(), &mut into);
        into
    }

    #[test]
    fn a_query_counts_as_far_as_it_is_told_to() {
        let names = || vec!["utm".to_owned(), "a".to_owned()];
        for (query_key, query, expected) in [
            (QueryKey::All, Some("b&a=1"), "host h, path /p, query b&a=1"),
            (QueryKey::All, Some(""), "host h, path /p, query "),
            (QueryKey::All, None, "host h, path /p"),
            (QueryKey::None, Some("a"), "host h, path /p"),
            (QueryKey::Only(names()), Some("b=2&a=1&%61=2&c"), "host h, path /p, query a=1&%61=2"),
            (QueryKey::AllBut(names()), Some("b=2&a=1&%61=2&c"), "host h, path /p, query b=2&c"),
        ] {
            let parts = KeyParts { query: query_key, ..KeyParts::default() };
            assert_eq!(KeyParts::shown(&key(&parts, query, &[])), expected);
        }
    }

    #[test]
    fn fields_cookies_and_spaces_count() {
        let parts = KeyParts {
            space: "app".into(),
            host: false,
            fields: vec!["x".into()],
            cookies: vec!["s".into(), "t".into()],
            ..KeyParts::default()
        };
        let fields = [("x", "1"), ("Cookie", "t=2"), ("X", "3")];
        let shown = KeyParts::shown(&key(&parts, None, &fields));
        assert_eq!(shown, "path /p, header x = 1 = 3, cookie s, cookie t = 2, in app");
        assert_ne!(key(&parts, None, &fields), key(&KeyParts { space: "b".into(), ..parts }, None, &fields));
    }

    /// A request, as far as a key sees it.
    type Seen = (String, String, Option<String>, Vec<String>, Option<String>);

    fn seen() -> impl Strategy<Value = Seen> {
        let text = || "[a&=hpqfvc\\PC]{0,4}";
        (
            text(),
            text(),
            proptest::option::of(text()),
            proptest::collection::vec("[a-c]{0,2}", 0..3),
            proptest::option::of("[a-c]{0,2}"),
        )
    }

    proptest! {
        #[test]
        fn different_requests_have_different_keys(left in seen(), right in seen()) {
            let parts = KeyParts { fields: vec!["x".into()], cookies: vec!["s".into()], ..KeyParts::default() };
            let key = |(host, path, query, values, cookie): &Seen| {
                let mut fields: Vec<_> = values.iter().map(|value| ("x", value.clone())).collect();
                fields.extend(cookie.iter().map(|value| ("cookie", format!("s={value}"))));
                let mut into = Vec::new();
                parts.append(host.as_bytes(), path.as_bytes(), query.as_ref().map(String::as_bytes), &fields, &mut into);
                into
            };
            prop_assert_eq!(key(&left) == key(&right), left == right);
        }
    }
}
