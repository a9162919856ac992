//! Names compressed (RFC 1035 §4.1.4), in time that the octets written pay for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::message::{MAX_POINTER, Name, NameBuffer};

/// Where names and their ends stand in a message that is written.
///
/// A backend may pass on what an attacker has put into a zone: hundreds of long names that differ in their last labels.
/// So a suffix is looked up by its hash: each that is not found costs one hash, and at least two octets of the message.
#[derive(Default)]
pub(super) struct Suffixes {
    hasher: RandomState,
    places: HashMap<u64, u16>,
}

impl Suffixes {
    /// Appends `name` to `message`; of an end that stands there already in these letters, a pointer to it.
    pub(super) fn write(&mut self, name: Name<'_>, message: &mut Vec<u8>) {
        for suffix in name.ancestors().take_while(|suffix| !suffix.is_root()) {
            let hash = self.hasher.hash_one(suffix.as_wire());
            if let Some(&at) = self.places.get(&hash)
                && stands_at(suffix, message, at)
            {
                message.extend_from_slice(&(0xc000 | at).to_be_bytes());
                return;
            }
            if message.len() <= MAX_POINTER {
                self.places.insert(hash, message.len() as u16);
            }
            let wire = suffix.as_wire();
            message.extend_from_slice(&wire[..=usize::from(wire[0])]);
        }
        message.push(0);
    }
}

/// Whether `name` stands at `at`, in the same letters. Hashes alone do not say so.
fn stands_at(name: Name<'_>, message: &[u8], at: u16) -> bool {
    let mut found = NameBuffer::default();
    found.read(message, at.into()).is_ok() && found.as_name().as_wire() == name.as_wire()
}
