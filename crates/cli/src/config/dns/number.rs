//! Types and classes of records, by their mnemonics or their numbers.

use std::fmt;
use std::str::FromStr;

use crate::units::Malformed;

/// A type of records or of questions: `MX`, `TYPE65`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

/// A class: `IN`, `CLASS3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl RecordType {
    /// Authoritative name servers (RFC 1035 §3.3.11).
    pub const NS: RecordType = RecordType(2);
}

/// IANA's registry of types, as far as names are in use.
const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("DNAME", 39),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("EUI48", 108),
    ("EUI64", 109),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
];

const CLASSES: &[(&str, u16)] = &[("IN", 1), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANY", 255)];

impl FromStr for RecordType {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<RecordType, Malformed> {
        number(text, TYPES, "TYPE")
            .map(RecordType)
            .ok_or_else(|| Malformed::new("a type of records such as MX or TYPE65", text))
    }
}

impl FromStr for Class {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Class, Malformed> {
        number(text, CLASSES, "CLASS").map(Class).ok_or_else(|| Malformed::new("a class such as IN or CLASS3", text))
    }
}

/// RFC 3597 §5: `TYPE65` and `CLASS3` are written so whether there is a mnemonic or not.
fn number(text: &str, names: &[(&str, u16)], unnamed: &str) -> Option<u16> {
    if let Some((_, number)) = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Some(*number);
    }
    let (start, digits) = text.split_at_checked(unnamed.len())?;
    let is_number = start.eq_ignore_ascii_case(unnamed) && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, TYPES, "TYPE", f)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, CLASSES, "CLASS", f)
    }
}

fn show(number: u16, names: &[(&str, u16)], unnamed: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match names.iter().find(|(_, named)| *named == number) {
        Some((name, _)) => f.write_str(name),
        None => write!(f, "{unnamed}{number}"),
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_classes_have_names_and_numbers() {
        for (text, number, shown) in [
            ("MX", 15, "MX"),
            ("aaaa", 28, "AAAA"),
            ("TYPE65", 65, "HTTPS"),
            ("type65280", 65280, "TYPE65280"),
            ("TYPE0", 0, "TYPE0"),
            ("any", 255, "ANY"),
        ] {
            let kind: RecordType = text.parse().unwrap();
            assert_eq!((kind.0, kind.to_string().as_str()), (number, shown));
        }
        for (text, number, shown) in [("in", 1, "IN"), ("CLASS3", 3, "CH"), ("CLASS42", 42, "CLASS42")] {
            let class: Class = text.parse().unwrap();
            assert_eq!((class.0, class.to_string().as_str()), (number, shown));
        }
        for text in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "MXX", "65", "TYPÉ1", "CLASS1"] {
            let error = text.parse::<RecordType>().unwrap_err().to_string();
            assert_eq!(error, format!("expected a type of records such as MX or TYPE65, found {text:?}"));
        }
        assert_eq!(
            "TYPE1".parse::<Class>().unwrap_err().to_string(),
            "expected a class such as IN or CLASS3, found \"TYPE1\""
        );
    }

    #[test]
    fn no_name_or_number_stands_twice() {
        for names in [TYPES, CLASSES] {
            for (i, (name, number)) in names.iter().enumerate() {
                assert!(!names[..i].iter().any(|(other, same)| other == name || same == number), "{name}");
            }
        }
    }
}
