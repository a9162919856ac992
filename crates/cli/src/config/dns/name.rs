//! Domain names, as zone files write them.

use std::fmt;
use std::str::FromStr;

use crate::units::Malformed;

/// A domain name: `example.com`, with or without a final dot; `.` is the root. A dot or a backslash within a label is
/// `\.` or `\\`, and any octet `\DDD` in decimal (RFC 1035 §5.1).
///
/// Letters are kept in lower case: names that differ in nothing else are one name (RFC 4343 §3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DomainName {
    /// As in a message, without compression: labels behind their lengths, then the root's zero.
    wire: Vec<u8>,
}

/// RFC 1035 §2.3.4: the longest name, with the octets of its labels' lengths, and the longest label.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

impl DomainName {
    /// The name as it stands in a message, without compression: at most 255 octets.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.wire == [0]
    }

    /// Its labels, from the first to the one below the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes().filter_map(|suffix| first_label(suffix).map(|(label, _)| label))
    }

    /// The name and all that it lies below, up to the root, as they stand in a message.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(Some(&self.wire[..]), |wire| first_label(wire).map(|(_, rest)| rest))
    }
}

/// The first label and what follows it; none of the root.
fn first_label(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = wire.split_first().filter(|(length, _)| **length > 0)?;
    rest.split_at_checked(usize::from(*length))
}

impl Default for DomainName {
    /// The root.
    fn default() -> DomainName {
        DomainName { wire: vec![0] }
    }
}

impl FromStr for DomainName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<DomainName, Malformed> {
        let malformed = || Malformed::new("a domain name such as example.com", text);
        if text == "." {
            return Ok(DomainName::default());
        }
        let mut name = Builder::default();
        let mut rest = text.as_bytes();
        while let Some((octet, is_dot, next)) = take(rest) {
            let octet = octet.ok_or_else(|| malformed().hint(unreadable(rest)))?;
            let taken = if is_dot { name.end_label() } else { name.push(octet) };
            taken.map_err(|hint| malformed().hint(hint))?;
            rest = next;
        }
        name.finish().map_err(|hint| if text.is_empty() { malformed() } else { malformed().hint(hint) })
    }
}

/// The next octet of a name, whether it is a dot between labels, and what follows it. No octet: it is not well written.
fn take(text: &[u8]) -> Option<(Option<u8>, bool, &[u8])> {
    let (&first, rest) = text.split_first()?;
    Some(match (first, rest) {
        (b'.', _) => (Some(b'.'), true, rest),
        (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..]) => {
            let number = [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(**digit - b'0'));
            (u8::try_from(number).ok(), false, rest)
        }
        (b'\\', [octet @ b' '..=b'~', rest @ ..]) if !octet.is_ascii_digit() => (Some(*octet), false, rest),
        (b'!'..=b'[' | b']'..=b'~', _) => (Some(first), false, rest),
        _ => (None, false, rest),
    })
}

fn unreadable(rest: &[u8]) -> &'static str {
    match rest[0] {
        b'\\' => "a backslash stands before a character, or before three digits up to 255",
        0x80.. => "write an international name in its ASCII form, xn--...",
        _ => "write a blank or a control character as a backslash and three digits, \\032",
    }
}

/// A name that grows octet by octet.
#[derive(Default)]
struct Builder {
    wire: Vec<u8>,
    label: Vec<u8>,
    ended: bool,
}

impl Builder {
    fn push(&mut self, octet: u8) -> Result<(), &'static str> {
        if self.label.len() == LABEL_MAX {
            return Err("a label has at most 63 octets");
        }
        // With the length of this label and the root's.
        if self.wire.len() + self.label.len() + 3 > NAME_MAX {
            return Err("a name has at most 255 octets");
        }
        self.label.push(octet.to_ascii_lowercase());
        self.ended = false;
        Ok(())
    }

    fn end_label(&mut self) -> Result<(), &'static str> {
        if self.label.is_empty() {
            return Err("there is nothing between two dots, or before the first");
        }
        // At most 63, as `push` sees to.
        self.wire.push(self.label.len() as u8);
        self.wire.append(&mut self.label);
        self.ended = true;
        Ok(())
    }

    fn finish(mut self) -> Result<DomainName, &'static str> {
        if !self.ended {
            self.end_label()?;
        }
        self.wire.push(0);
        Ok(DomainName { wire: self.wire })
    }
}

impl fmt::Display for DomainName {
    /// Without the final dot, but for the root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (i, label) in self.labels().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(octet))?,
                    b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<DomainName>().unwrap_or_else(|error| panic!("{error}")).wire().to_vec()
    }

    #[test]
    fn names_are_written_as_in_zone_files() {
        let cases: [(&str, &[u8], &str); 8] = [
            (".", b"\0", "."),
            ("example.com", b"\x07example\x03com\0", "example.com"),
            ("Example.COM.", b"\x07example\x03com\0", "example.com"),
            ("_dns.x-1", b"\x04_dns\x03x-1\0", "_dns.x-1"),
            (r"a\.b.c", b"\x03a.b\x01c\0", r"a\.b.c"),
            (r"a\\b", b"\x03a\\b\0", r"a\\b"),
            (r"\065\032\255", b"\x03a \xff\0", r"a\032\255"),
            (r"\.", b"\x01.\0", r"\."),
        ];
        for (text, octets, shown) in cases {
            assert_eq!(wire(text), octets, "{text}");
            assert_eq!(text.parse::<DomainName>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_name_lies_below_its_suffixes() {
        let name: DomainName = r"a\.b.example.COM".parse().unwrap();
        let suffixes: [&[u8]; 4] = [b"\x03a.b\x07example\x03com\0", b"\x07example\x03com\0", b"\x03com\0", b"\0"];
        assert!(name.suffixes().eq(suffixes));
        assert!(name.labels().eq([&b"a.b"[..], b"example", b"com"]));
        let root = DomainName::default();
        assert!(root.suffixes().eq([b"\0"]) && root.labels().next().is_none());
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_helps() {
        for (text, hint) in [
            (".example.com", "there is nothing between two dots, or before the first"),
            ("a..b", "there is nothing between two dots, or before the first"),
            ("..", "there is nothing between two dots, or before the first"),
            (r"a\", "a backslash stands before a character, or before three digits up to 255"),
            (r"a\25", "a backslash stands before a character, or before three digits up to 255"),
            (r"a\256", "a backslash stands before a character, or before three digits up to 255"),
            ("a b", "write a blank or a control character as a backslash and three digits, \\032"),
            ("bücher.example", "write an international name in its ASCII form, xn--..."),
        ] {
            assert_eq!(text.parse::<DomainName>().unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
        assert_eq!(
            "".parse::<DomainName>().unwrap_err().to_string(),
            "expected a domain name such as example.com, found \"\""
        );
    }

    #[test]
    fn labels_and_names_have_a_longest() {
        let label = "a".repeat(63);
        assert_eq!(wire(&label).len(), 65);
        let error = format!("{label}a").parse::<DomainName>().unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("a label has at most 63 octets"));
        // 3 labels of 64 octets with their lengths, one of 62, and the root's zero.
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(wire(&longest).len(), 255);
        assert_eq!(wire(&format!("{longest}.")).len(), 255);
        for longer in [format!("{longest}b"), format!("{longest}.b"), "a.".repeat(128)] {
            let error = longer.parse::<DomainName>().unwrap_err();
            assert_eq!(error.hint.as_deref(), Some("a name has at most 255 octets"), "{longer}");
        }
        assert_eq!(wire(&"a.".repeat(127)).len(), 255);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_again(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..12)) {
            let text: String = labels.iter().flat_map(|label| {
                label.iter().map(|octet| format!("\\{octet:03}")).chain([".".to_owned()])
            }).collect();
            let text = if text.is_empty() { ".".to_owned() } else { text };
            let name: DomainName = text.parse().unwrap();
            prop_assert_eq!(name.labels().count(), labels.len());
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn no_text_panics(text in prop_oneof![any::<String>(), "[a.\\\\0-9]{0,300}"]) {
            if let Ok(name) = text.parse::<DomainName>() {
                prop_assert!(name.wire().len() <= 255 && name.wire().ends_with(&[0]));
            }
        }
    }
}
