//! How values of DNS are written, and what is said of text that is none.

use std::fmt::Display;
use std::str::FromStr;

use afpa_dns::message::{Class, NameBuf, NameParseError, Type};
use afpa_dns::protect::{Network, NetworkError, Secret};
use afpa_dns::route::FixedAnswer;
use afpa_dns::upstream::{Balance, SubnetPolicy};
use toml::de::DeValue;

use super::Address;
use crate::config::section::{FromValue, describe, from_text};
use crate::units::Malformed;

/// A domain name, in lower case: `example.com`, with or without a final dot; `.` is the root.
///
/// # Errors
/// It is none; with what helps.
pub fn domain_name(text: &str) -> Result<NameBuf, Malformed> {
    let name: Result<NameBuf, NameParseError> = text.parse();
    name.map(|name| name.as_name().to_lowercase()).map_err(|error| {
        let malformed = Malformed::new("a domain name such as example.com", text);
        if error == NameParseError::Empty { malformed } else { malformed.hint(error.to_string()) }
    })
}

fn network(text: &str) -> Result<Network, Malformed> {
    text.parse().map_err(|error: NetworkError| {
        let malformed = Malformed::new("a network such as 10.0.0.0/8 or 2001:db8::/32", text);
        if error == NetworkError::Address { malformed } else { malformed.hint(error.to_string()) }
    })
}

/// Text that is read by `read`; `expected` says what that would be, with quotation marks.
fn text<T, E: Display>(
    value: &DeValue<'_>,
    expected: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, String> {
    let text = value.as_str().ok_or_else(|| format!("expected {expected}, found {}", describe(value)))?;
    read(text).map_err(|error| error.to_string())
}

/// A mnemonic or a number in the generic form.
fn number<T: FromStr>(value: &DeValue<'_>, quoted: &str, expected: &'static str) -> Result<T, String> {
    text(value, quoted, |text| text.parse().map_err(|_| Malformed::new(expected, text)))
}

/// One of a few words, which `expected` lists.
fn word<T: Copy>(value: &DeValue<'_>, expected: &'static str, words: &[(&str, T)]) -> Result<T, String> {
    text(value, expected, |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| Malformed::new(expected, text))
    })
}

impl FromValue for Address {
    fn from_value(value: &DeValue<'_>) -> Result<Address, String> {
        from_text(value, "an IP address and a port such as \"127.0.0.1:53\"")
    }
}

impl FromValue for NameBuf {
    fn from_value(value: &DeValue<'_>) -> Result<NameBuf, String> {
        text(value, "a domain name such as \"example.com\"", domain_name)
    }
}

impl FromValue for Network {
    fn from_value(value: &DeValue<'_>) -> Result<Network, String> {
        text(value, "a network such as \"10.0.0.0/8\"", network)
    }
}

impl FromValue for Type {
    fn from_value(value: &DeValue<'_>) -> Result<Type, String> {
        number(value, "a type of records such as \"MX\" or \"TYPE65\"", "a type of records such as MX or TYPE65")
    }
}

impl FromValue for Class {
    fn from_value(value: &DeValue<'_>) -> Result<Class, String> {
        number(value, "a class such as \"IN\" or \"CLASS3\"", "a class such as IN or CLASS3")
    }
}

impl FromValue for Balance {
    fn from_value(value: &DeValue<'_>) -> Result<Balance, String> {
        let words = [
            ("least-outstanding", Balance::LeastOutstanding),
            ("hash", Balance::Hash),
            ("round-robin", Balance::RoundRobin),
        ];
        word(value, "least-outstanding, hash or round-robin", &words)
    }
}

impl FromValue for SubnetPolicy {
    fn from_value(value: &DeValue<'_>) -> Result<SubnetPolicy, String> {
        // RFC 7871 §11.1: the bits of a client's address that are passed on at most.
        let pass = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
        word(value, "strip or pass", &[("strip", SubnetPolicy::Strip), ("pass", pass)])
    }
}

impl FromValue for FixedAnswer {
    fn from_value(value: &DeValue<'_>) -> Result<FixedAnswer, String> {
        let words = [
            ("refused", FixedAnswer::Refused),
            ("nxdomain", FixedAnswer::NxDomain),
            ("servfail", FixedAnswer::ServFail),
            ("drop", FixedAnswer::Drop),
        ];
        word(value, "refused, nxdomain, servfail or drop", &words)
    }
}

impl FromValue for Secret {
    fn from_value(value: &DeValue<'_>) -> Result<Secret, String> {
        match value.as_str() {
            // What is said of it shows none of its digits.
            Some(text) => text.parse().map_err(|error: afpa_dns::protect::SecretParseError| error.to_string()),
            None if value.as_integer().is_some() => {
                Err("expected 32 hexadecimal digits in quotes, found a number".into())
            }
            None => Err(format!("expected 32 hexadecimal digits in quotes, found {}", describe(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_with_or_without_a_final_dot() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("example.com", b"\x07example\x03com\0"),
            ("Example.COM.", b"\x07example\x03com\0"),
            ("_dns.x-1", b"\x04_dns\x03x-1\0"),
            (r"\065\032\255", b"\x03a \xff\0"),
        ] {
            assert_eq!(domain_name(text).unwrap().as_name().as_wire(), wire, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_helps() {
        let label = "a".repeat(64);
        for (text, hint) in [
            (".example.com", "there is nothing between two dots, or before the first"),
            ("a..b", "there is nothing between two dots, or before the first"),
            ("..", "there is nothing between two dots, or before the first"),
            (r"a\", "a backslash stands before a character, or before three digits up to 255"),
            (r"a\25", "a backslash stands before a character, or before three digits up to 255"),
            (r"a\256", "a backslash stands before a character, or before three digits up to 255"),
            ("a b", "write a blank or a control character as a backslash and three digits, \\032"),
            ("bücher.example", "write an international name in its ASCII form, xn--..."),
            (&label, "a label has at most 63 octets"),
            (&"a.".repeat(128), "a name has at most 255 octets"),
        ] {
            assert_eq!(domain_name(text).unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
        let missing = domain_name("").unwrap_err().to_string();
        assert_eq!(missing, "expected a domain name such as example.com, found \"\"");
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_helps() {
        assert_eq!(
            network("10.1.0.0/8").unwrap_err().to_string(),
            "expected a network such as 10.0.0.0/8 or 2001:db8::/32, found \"10.1.0.0/8\"; \
             it has host bits; write 10.0.0.0/8"
        );
        for (text, hint) in [
            ("10.0.0.0/255.0.0.0", Some("its prefix is a number from 0 to 32")),
            ("::/129", Some("its prefix is a number from 0 to 128")),
            ("::ffff:10.0.0.0/104", Some("write 10.0.0.0/8")),
            ("10/8", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(network(text).unwrap_err().hint.as_deref(), hint, "{text}");
        }
    }

    #[test]
    fn types_classes_and_words_say_what_was_expected() {
        let string = |text: &'static str| DeValue::String(text.into());
        for text in ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE+1", "MXX", "65", "TYPÉ1", "CLASS1"] {
            let error = Type::from_value(&string(text)).unwrap_err();
            assert_eq!(error, format!("expected a type of records such as MX or TYPE65, found {text:?}"));
        }
        assert_eq!(
            Class::from_value(&string("TYPE1")).unwrap_err(),
            "expected a class such as IN or CLASS3, found \"TYPE1\""
        );
        assert_eq!(
            FixedAnswer::from_value(&DeValue::Boolean(true)).unwrap_err(),
            "expected refused, nxdomain, servfail or drop, found true"
        );
        assert_eq!(FixedAnswer::from_value(&string("servfail")), Ok(FixedAnswer::ServFail));
        assert_eq!(Balance::from_value(&string("round-robin")), Ok(Balance::RoundRobin));
    }
}
