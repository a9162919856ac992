//! Whether an answer can be read to its end, names in the data of records included.

use crate::message::{Edns, FormError, Header, NameBuffer, Records, Section, Type, pieces};

/// Reads every record of `message` from `at` on. Returns what its OPT record says.
///
/// # Errors
/// It is malformed.
pub(super) fn check<'a>(message: &'a [u8], at: usize, header: &Header) -> Result<Option<Edns<'a>>, FormError> {
    let mut edns = None;
    let mut records = Records::at(message, at, header);
    let mut name = NameBuffer::default();
    for record in records.by_ref() {
        let record = record?;
        name.read(message, record.owner_at)?;
        if record.rtype != Type::OPT {
            pieces(message, &record, &mut name, |_| ())?;
            continue;
        }
        // RFC 6891 §6.1.1: one, of the root, in the additional section.
        if edns.is_some() || !name.as_name().is_root() || record.section != Section::Additional {
            return Err(FormError::Opt);
        }
        edns = Some(Edns::read(&record)?);
    }
    if records.position() != message.len() {
        return Err(FormError::Trailing);
    }
    Ok(edns)
}
