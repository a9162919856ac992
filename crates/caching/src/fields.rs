//! The field lines of a message.

use crate::list::{Members, trimmed};

/// The field lines of a request or of a response, in their order, as (name, value). Names are compared
/// without regard to case; white space around values is none of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl<'a> Fields<'a> {
    /// The values of the lines with this name.
    pub fn lines(self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| trimmed(value))
    }

    /// The value of the first line with this name.
    pub fn first(self, name: &[u8]) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// Whether there is a line with this name.
    pub fn has(self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// The members of the list that the lines with this name are together.
    pub fn members(self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.lines(name).flat_map(Members::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_name_are_one_list() {
        let lines: [(&[u8], &[u8]); 3] = [(b"Vary", b" a, b"), (b"Other", b"x"), (b"vARY", b"c \t")];
        let fields = Fields(&lines);
        assert_eq!(fields.lines(b"vary").collect::<Vec<_>>(), [&b"a, b"[..], b"c"]);
        assert_eq!(fields.members(b"VARY").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(fields.first(b"vary"), Some(&b"a, b"[..]));
        assert!(fields.has(b"other") && !fields.has(b"othe"));
    }
}
