//! Names that an origin gives to groups of responses, so that they can be purged together.

use crate::fields::Fields;
use crate::list::Members;

/// How many keys a response may have.
pub const MOST_KEYS: usize = 128;
/// How long a key may be, in octets.
pub const LONGEST_KEY: usize = 128;

/// The keys of the fields Surrogate-Key (parted by spaces) and Cache-Tag (parted by commas), each once. `None` if there
/// are more than [`MOST_KEYS`], or one is longer than [`LONGEST_KEY`].
pub(crate) fn keys(fields: Fields<'_>) -> Option<Box<[Box<[u8]>]>> {
    let spaced = fields.lines(b"surrogate-key").flat_map(|line| line.split(|octet| matches!(octet, b' ' | b'\t')));
    let listed = fields.lines(b"cache-tag").flat_map(Members::of);
    let mut keys: Vec<Box<[u8]>> = Vec::new();
    for key in spaced.chain(listed).filter(|key| !key.is_empty()) {
        if keys.iter().any(|known| **known == *key) {
            continue;
        }
        if keys.len() == MOST_KEYS || key.len() > LONGEST_KEY {
            return None;
        }
        keys.push(key.into());
    }
    Some(keys.into())
}

/// Whether a field is for surrogates only, so that clients need not see it.
pub fn is_surrogate_field(name: &[u8]) -> bool {
    [&b"surrogate-key"[..], b"cache-tag", b"surrogate-control"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_both_fields() {
        let lines: [(&[u8], &[u8]); 3] =
            [(b"Surrogate-Key", b"a b  c"), (b"Cache-Tag", b"d e, f,,a"), (b"surrogate-key", b"g")];
        let keys = keys(Fields(&lines)).unwrap();
        assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), [&b"a"[..], b"b", b"c", b"g", b"d e", b"f"]);
    }

    #[test]
    fn too_many_or_too_long() {
        let many = (0..=MOST_KEYS).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert!(keys(Fields(&[(b"surrogate-key", many.as_bytes())])).is_none());
        assert!(keys(Fields(&[(b"cache-tag", &[b'a'; LONGEST_KEY + 1])])).is_none());
        assert!(keys(Fields(&[(b"cache-tag", &[b'a'; LONGEST_KEY])])).is_some());
    }
}
