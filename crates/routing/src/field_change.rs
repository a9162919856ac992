//! Header fields that a route sets, adds and removes.

use std::fmt;

/// One change. Changes are made in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldChange {
    /// The field has this value, and only this.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The field has another line.
    Add {
        /// Its name.
        name: String,
        /// The line's value.
        value: String,
    },
    /// The field is taken out.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Fields about the connection or the framing of a message (RFC 9110 §7.6.1, RFC 9112 §6). They belong to the server:
/// changed ones would make two peers disagree where a message ends.
const REFUSED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

impl FieldChange {
    /// The field's name.
    pub fn name(&self) -> &str {
        match self {
            FieldChange::Set { name, .. } | FieldChange::Add { name, .. } | FieldChange::Remove { name } => name,
        }
    }

    /// The new value, if there is one.
    pub fn value(&self) -> Option<&str> {
        match self {
            FieldChange::Set { value, .. } | FieldChange::Add { value, .. } => Some(value),
            FieldChange::Remove { .. } => None,
        }
    }

    /// Whether the change can be made.
    ///
    /// # Errors
    /// It would make a message that is none, or another message.
    pub fn check(&self) -> Result<(), FieldChangeError> {
        let name = self.name();
        if !is_token(name) {
            return Err(FieldChangeError::Name(name.to_owned()));
        }
        if REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(name)) {
            return Err(FieldChangeError::Framing(name.to_owned()));
        }
        // RFC 9112 §3.2: a request has one Host field.
        if name.eq_ignore_ascii_case("host") && !matches!(self, FieldChange::Set { .. }) {
            return Err(FieldChangeError::Host);
        }
        match self.value() {
            Some(value) if !is_field_value(value) => Err(FieldChangeError::Value(value.to_owned())),
            _ => Ok(()),
        }
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_octet = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !text.is_empty() && text.bytes().all(is_token_octet)
}

/// RFC 9110 §5.5, without the octets beyond ASCII that it calls obsolete.
pub(crate) fn is_field_value(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\t')) && text.trim_matches([' ', '\t']) == text
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldChangeError {
    /// This is no name of a field.
    Name(String),
    /// This is no value of a field.
    Value(String),
    /// This field is about the connection, or about where a message ends.
    Framing(String),
    /// Host can be set, and nothing else.
    Host,
}

impl fmt::Display for FieldChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldChangeError::Name(name) => write!(f, "expected the name of a header field, found {name:?}"),
            FieldChangeError::Value(value) => write!(f, "expected the value of a header field, found {value:?}"),
            FieldChangeError::Framing(name) => {
                write!(f, "expected a field that is not about the connection or the message's end, found {name}")
            }
            FieldChangeError::Host => f.write_str("expected host only where fields are set, found it elsewhere"),
        }
    }
}

impl std::error::Error for FieldChangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_would_break_a_message_are_refused() {
        let set = |name: &str, value: &str| FieldChange::Set { name: name.into(), value: value.into() };
        let add = |name: &str, value: &str| FieldChange::Add { name: name.into(), value: value.into() };
        let remove = |name: &str| FieldChange::Remove { name: name.into() };
        for change in [set("X-A", "b c"), add("link", "\"\t\""), remove("Server"), set("Host", "a"), set("x", "")] {
            assert_eq!(change.check(), Ok(()), "{change:?}");
        }
        for change in [
            set("x a", ""),
            set("", ""),
            set("x:", ""),
            set("x", "a\r\nb: c"),
            set("x", "a\0"),
            set("x", " a"),
            set("x", "ü"),
            add("Content-Length", "1"),
            remove("transfer-encoding"),
            remove("Connection"),
            add("host", "a"),
            remove("Host"),
        ] {
            assert!(change.check().is_err(), "{change:?}");
        }
    }
}
