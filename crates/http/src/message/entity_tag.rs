//! Entity tags (RFC 9110 §8.8.3).

/// An entity tag: `W/"opaque"` or `"opaque"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntityTag<'a> {
    /// Whether it starts with `W/`.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag that is the whole of `value`.
    pub fn parse(value: &'a [u8]) -> Option<EntityTag<'a>> {
        match Self::parse_first(value) {
            Some((tag, [])) => Some(tag),
            _ => None,
        }
    }

    /// The tag that `value` begins with, and what follows it.
    fn parse_first(value: &'a [u8]) -> Option<(EntityTag<'a>, &'a [u8])> {
        let (weak, quoted) = match value {
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&octet| !is_tag_octet(octet))?;
        Some((EntityTag { weak, opaque: &inner[..end] }, inner[end..].strip_prefix(b"\"")?))
    }

    /// RFC 9110 §8.8.3.2: the same, and neither is weak.
    pub fn matches_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// RFC 9110 §8.8.3.2: the same, weak or not.
    pub fn matches_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The tags of a list. It ends before the first member that is none: what comes after cannot be told
/// apart, since a tag may hold a comma.
pub fn list(mut value: &[u8]) -> impl Iterator<Item = EntityTag<'_>> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', rest @ ..] = value {
            value = rest;
        }
        let (tag, rest) = EntityTag::parse_first(value)?;
        // A member ends at the list's end, at white space, or at a comma.
        if !matches!(rest, [] | [b' ' | b'\t' | b',', ..]) {
            return None;
        }
        value = rest;
        Some(tag)
    })
}

const fn is_tag_octet(octet: u8) -> bool {
    matches!(octet, 0x21 | 0x23..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let tag = |weak, opaque: &'static str| Some(EntityTag { weak, opaque: opaque.as_bytes() });
        for (value, expected) in [
            ("\"a\"", tag(false, "a")),
            ("W/\"a,b\"", tag(true, "a,b")),
            ("\"\"", tag(false, "")),
            ("w/\"a\"", None),
            ("W/a", None),
            ("a", None),
            ("\"a", None),
            ("\"a b\"", None),
            ("\"a\"b", None),
            ("", None),
        ] {
            assert_eq!(EntityTag::parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn comparison() {
        // The table of RFC 9110 §8.8.3.2.
        for (one, other, strongly, weakly) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let [one, other] = [one, other].map(|tag| EntityTag::parse(tag.as_bytes()).expect("a tag"));
            assert_eq!((one.matches_strongly(other), one.matches_weakly(other)), (strongly, weakly));
        }
    }

    #[test]
    fn lists() {
        let opaque = |value: &'static str| -> Vec<_> { list(value.as_bytes()).map(|tag| tag.opaque).collect() };
        assert_eq!(opaque("\"a\", W/\"b\" ,, \"c,d\""), [&b"a"[..], b"b", b"c,d"]);
        assert_eq!(opaque("\"a\", b, \"c\""), [b"a"]);
        assert_eq!(opaque("\"a\"b, \"c\""), [&b""[..]; 0]);
        assert_eq!(opaque(""), [&b""[..]; 0]);
    }
}
