//! Record data: from presentation format to octets.
//!
//! A table says which fields a type has. It reads text, and it checks octets that came in the generic format.

mod fields;
mod location;
mod parameters;
mod words;

pub(super) use fields::{names_only, targets};
pub(super) use words::{Words, lifetime, name, seconds};

use super::error::Reason;
use crate::message::{Name, Type};
use fields::fields;

/// Appends the data of a record of `rtype`, which `words` are, to `out`. Relative names are below `origin`.
pub(super) fn read(rtype: Type, words: &mut Words<'_>, origin: Name<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let start = out.len();
    match fields(rtype) {
        _ if words.take_if(b"\\#") => {
            generic(words, out)?;
            // RFC 3597 §5: of a known type too, and then the octets must make sense.
            if fields(rtype).is_some_and(|fields| !fields::are(fields, &out[start..])) {
                return Err(Reason::GenericData(rtype));
            }
        }
        Some(fields) => {
            for &field in fields {
                fields::read(field, words, origin, out)?;
            }
        }
        None => return Err(Reason::OnlyGeneric(rtype)),
    }
    if let Some(word) = words.next() {
        return Err(Reason::Trailing(word.shown()));
    }
    if out.len() - start > usize::from(u16::MAX) { Err(Reason::LongData) } else { Ok(()) }
}

/// A length and as many octets (RFC 3597 §5).
fn generic(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let word = words.required("the data's length")?;
    let len: u16 = word.as_str().parse().map_err(|_| word.bad("length"))?;
    let start = out.len();
    words::hexadecimal(words, out)?;
    if out.len() - start == usize::from(len) { Ok(()) } else { Err(word.bad("number of these octets")) }
}
