//! What tells a representation from an earlier one (RFC 9110 §8.8).

use crate::date;
use crate::fields::Fields;

/// The validators of a stored response. Those that are not of the syntax are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag, with quotation marks and the mark of a weak one.
    pub etag: Option<Box<[u8]>>,
    /// The date of the last modification.
    pub last_modified: Option<LastModified>,
}

/// A date of last modification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastModified {
    /// Seconds since 1970.
    pub seconds: u64,
    /// As the origin wrote it: it may compare no more than that.
    pub text: Box<[u8]>,
}

impl Validators {
    /// Of these fields.
    pub fn of(fields: Fields<'_>) -> Self {
        let etag = fields.first(b"etag").filter(|tag| is_entity_tag(tag)).map(Box::from);
        let last_modified = fields
            .first(b"last-modified")
            .and_then(|text| Some(LastModified { seconds: date::parse(text)?, text: text.into() }));
        Self { etag, last_modified }
    }

    /// The entity tag, if it is a strong one: then what has it is the same, octet by octet (RFC 9110 §8.8.1).
    pub fn strong_tag(&self) -> Option<&[u8]> {
        self.etag.as_deref().filter(|tag| is_strong(tag))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// RFC 9110 §8.8.3.
pub(crate) fn is_entity_tag(text: &[u8]) -> bool {
    let [b'"', inner @ .., b'"'] = opaque_tag(text) else { return false };
    // No space may be in it, and some have one. It comes back as it was sent, so nothing depends on that.
    inner.iter().all(|&octet| matches!(octet, b' ' | b'!') || octet > b'"' && octet != 0x7f)
}

/// Without the mark of a weak tag: what weak comparison compares.
pub(crate) fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

pub(crate) fn is_strong(tag: &[u8]) -> bool {
    tag.starts_with(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags() {
        for tag in ["\"\"", "\"abc\"", "W/\"abc\"", "\"a,b\"", "\"a b\"", "\"ü\""] {
            assert!(is_entity_tag(tag.as_bytes()), "{tag}");
        }
        for tag in ["", "\"", "abc", "w/\"abc\"", "W\\\"abc\"", "W\"abc\"", "\"a\"b\"", "*"] {
            assert!(!is_entity_tag(tag.as_bytes()), "{tag}");
        }
    }
}
