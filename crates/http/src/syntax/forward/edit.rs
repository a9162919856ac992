//! Changes to fields that an operator configures, or the cache needs.

use super::hop_by_hop::{is_hop_by_hop, is_name, same_name};
use crate::syntax::response::field_octets;

/// One change to the fields of a head that is passed on.
///
/// The changes of a list are made one after the other; what is set or added stands behind what was received.
/// Changes of fields that [`FieldEdit::is_allowed`] refuses have no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldEdit<'a> {
    /// The field is there with this value and no other.
    Set(&'a [u8], &'a [u8]),
    /// One more line of the field.
    Add(&'a [u8], &'a [u8]),
    /// The field is not there.
    Remove(&'a [u8]),
}

impl<'a> FieldEdit<'a> {
    /// Whether a change may name this field: a token, and none that frames the message, belongs to one
    /// connection, or has a parameter of its own.
    pub fn is_allowed(name: &[u8]) -> bool {
        let ours = [&b"host"[..], b"expect", b"max-forwards", b"trailer"];
        is_name(name) && !is_hop_by_hop(name) && !ours.iter().any(|our| same_name(name, our))
    }

    fn name(&self) -> &'a [u8] {
        match self {
            FieldEdit::Set(name, _) | FieldEdit::Add(name, _) | FieldEdit::Remove(name) => name,
        }
    }

    fn replaces(&self, name: &[u8]) -> bool {
        !matches!(self, FieldEdit::Add(..)) && name.eq_ignore_ascii_case(self.name()) && FieldEdit::is_allowed(name)
    }
}

/// Changes of two lists, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Edits<'a>(pub(super) &'a [FieldEdit<'a>], pub(super) &'a [FieldEdit<'a>]);

impl<'a> Edits<'a> {
    /// Whether the field `name`, as it was received, is left out.
    pub(super) fn replace(self, name: &[u8]) -> bool {
        self.all().any(|edit| edit.replaces(name))
    }

    /// Appends what is set and added, and not replaced later.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        for (at, edit) in self.all().enumerate() {
            let (FieldEdit::Set(name, value) | FieldEdit::Add(name, value)) = *edit else { continue };
            if FieldEdit::is_allowed(name) && !self.all().skip(at + 1).any(|later| later.replaces(name)) {
                field_octets(out, name, value);
            }
        }
    }

    fn all(self) -> impl Iterator<Item = &'a FieldEdit<'a>> {
        self.0.iter().chain(self.1)
    }
}
