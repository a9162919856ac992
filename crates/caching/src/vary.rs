//! The secondary key: which of the responses to one URI answers a request (RFC 9111 §4.1).

mod encoding;
mod language;

use crate::fields::Fields;

pub use encoding::append_accept_encoding;

/// A key does not grow beyond this many octets.
pub const LONGEST_KEY: usize = 2048;

/// The key would be too long: forward the request, and store nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTooLong;

/// Appends the key of a request for responses that depend on the fields with these names. Requests that say the
/// same in them, up to white space and to how lines are parted, have the same key; others have another one, save that
/// Accept-Encoding is reduced to what [`append_accept_encoding`] makes of it, **which must be what is
/// forwarded**, and that neither case nor order matters in Accept-Language. If the key would be too long, `key` is left
/// as it was.
pub fn append_key<'n>(
    names: impl IntoIterator<Item = &'n [u8]>,
    fields: Fields<'_>,
    key: &mut Vec<u8>,
) -> Result<(), KeyTooLong> {
    let start = key.len();
    for name in names {
        append_part(name, fields, key);
        if key.len() - start > LONGEST_KEY {
            key.truncate(start);
            return Err(KeyTooLong);
        }
    }
    Ok(())
}

/// The name and the value, each behind its length, so that no two lists of them look the same.
fn append_part(name: &[u8], fields: Fields<'_>, key: &mut Vec<u8>) {
    append_behind_length(key, |key| key.extend(name.iter().map(u8::to_ascii_lowercase)));
    let is_there = fields.has(name);
    key.push(u8::from(is_there));
    if !is_there {
        return;
    }
    append_behind_length(key, |key| {
        if name.eq_ignore_ascii_case(b"accept-encoding") {
            append_accept_encoding(fields, key);
        } else if name.eq_ignore_ascii_case(b"accept-language") {
            language::append(fields, key);
        } else {
            append_list(fields.members(name), key);
        }
    });
}

fn append_behind_length(key: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    let start = key.len();
    key.extend_from_slice(&[0; 4]);
    append(key);
    let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
    key[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Stops where the key is too long already.
fn append_list<'a>(members: impl Iterator<Item = &'a [u8]>, key: &mut Vec<u8>) {
    let start = key.len();
    for (index, member) in members.enumerate() {
        if index > 0 {
            key.extend_from_slice(b", ");
        }
        key.extend_from_slice(member);
        if key.len() - start > LONGEST_KEY {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(names: &[&str], lines: &[(&str, &str)]) -> Vec<u8> {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut key = Vec::new();
        append_key(names.iter().map(|name| name.as_bytes()), Fields(&lines), &mut key).unwrap();
        key
    }

    #[test]
    fn requests_that_say_the_same_have_the_same_key() {
        for (name, one, other) in [
            ("foo", &[("Foo", "1, 2")][..], &[("Foo", "1"), ("foo", "2")][..]),
            ("foo", &[("Foo", "1,2")], &[("Foo", " 1, 2 ")]),
            ("FOO", &[("Foo", "1"), ("Bar", "1")], &[("Bar", "2"), ("Foo", "1")]),
            ("foo", &[], &[("Bar", "1")]),
            ("accept-language", &[("Accept-Language", "en, de")], &[("Accept-Language", "de, en")]),
            ("accept-language", &[("Accept-Language", "en, de")], &[("Accept-Language", "eN, De")]),
            ("accept-language", &[("Accept-Language", "en, de")], &[("Accept-Language", " en ,   de")]),
            (
                "accept-language",
                &[("Accept-Language", "en;q=0.5,de")],
                &[("Accept-Language", "de;q=1.000, en ; Q=0.50")],
            ),
            (
                "accept-encoding",
                &[("Accept-Encoding", "gzip, deflate, br")],
                &[("Accept-Encoding", "br;q=1,gzip;q=0.1")],
            ),
            ("accept-encoding", &[("Accept-Encoding", "")], &[("Accept-Encoding", "deflate")]),
        ] {
            assert_eq!(key(&[name], one), key(&[name], other), "{name}: {one:?}, {other:?}");
        }
    }

    #[test]
    fn requests_that_say_something_else_have_another_key() {
        for (names, one, other) in [
            (&["foo"][..], &[("Foo", "1")][..], &[("Foo", "2")][..]),
            (&["foo"], &[("Foo", "a")], &[("Foo", "A")]),
            (&["foo"], &[("Foo", "1, 2")], &[("Foo", "2, 1")]),
            (&["foo"], &[("Foo", "\"1, 2\"")], &[("Foo", "\"1,2\"")]),
            (&["foo"], &[("Foo", "")], &[]),
            (&["foo", "bar"], &[("Foo", "1")], &[("Bar", "1")]),
            (&["accept-language"], &[("Accept-Language", "en")], &[("Accept-Language", "en;q=0.9")]),
            (&["accept-language"], &[("Accept-Language", "")], &[]),
            (&["accept-encoding"], &[("Accept-Encoding", "gzip")], &[("Accept-Encoding", "gzip;q=0")]),
            (&["accept-encoding"], &[("Accept-Encoding", "gzip")], &[("Accept-Encoding", "gzip, identity;q=0")]),
            (&["accept-encoding"], &[("Accept-Encoding", "")], &[]),
        ] {
            assert_ne!(key(names, one), key(names, other), "{names:?}: {one:?}, {other:?}");
        }
    }

    #[test]
    fn a_key_that_would_be_too_long_leaves_nothing() {
        let before = vec![b'k'; LONGEST_KEY * 3];
        for name in [&b"foo"[..], b"accept-language"] {
            let mut key = before.clone();
            let long = b"a,".repeat(LONGEST_KEY);
            assert_eq!(append_key([name], Fields(&[(name, &long)]), &mut key), Err(KeyTooLong));
            assert_eq!(key, before);
            append_key([name], Fields(&[(name, &b"a,".repeat(100))]), &mut key).unwrap();
            assert!(key.len() > before.len() + 300, "all of it");
        }
    }

    proptest! {
        /// Lists of values that are already in their one form: of distinct ones no two have the same key.
        #[test]
        fn no_two_values_share_a_key(one in values(), other in values()) {
            let key = |values: &[Option<String>; 2]| {
                let lines: Vec<_> = ["a", "b"].into_iter().zip(values).filter_map(|(n, v)| Some((n, v.as_deref()?))).collect();
                key(&["a", "b"], &lines)
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        #[test]
        fn no_octets_make_it_panic(names: Vec<Vec<u8>>, values: Vec<Vec<u8>>) {
            let lines: Vec<_> = names.iter().map(|n| &n[..]).zip(values.iter().map(|v| &v[..])).collect();
            let _ = append_key(names.iter().map(|name| &name[..]), Fields(&lines), &mut Vec::new());
            for name in [&b"accept-encoding"[..], b"accept-language"] {
                let lines: Vec<_> = values.iter().map(|value| (name, &value[..])).collect();
                let _ = append_key([name], Fields(&lines), &mut Vec::new());
            }
        }
    }

    fn values() -> impl Strategy<Value = [Option<String>; 2]> {
        let value = || proptest::option::of("|[ab\0]{1,3}(, [ab]{1,2}){0,2}");
        (value(), value()).prop_map(|(one, other)| [one, other])
    }
}
