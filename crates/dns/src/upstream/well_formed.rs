//! Whether an answer can be read to its end, names in the data of records included.

use crate::message::{Edns, FormError, Header, NameBuffer, Record, Records, Section, Type};

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
            check_data(message, &record, &mut name)?;
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

/// The data must have the octets that its type says, and names that end within it.
fn check_data(message: &[u8], record: &Record<'_>, name: &mut NameBuffer) -> Result<(), FormError> {
    let Some(Shape { before, names, after }) = shape(record.rtype) else { return Ok(()) };
    let (mut at, end) = (record.rdata_at + before, record.rdata_at + record.rdata.len());
    for _ in 0..names {
        if at >= end {
            return Err(FormError::Short);
        }
        at = name.read(message, at)?;
    }
    if at + after == end { Ok(()) } else { Err(FormError::Short) }
}

/// Octets, then names, then octets.
struct Shape {
    before: usize,
    names: usize,
    after: usize,
}

/// The types whose names may be compressed: those of RFC 1035, and those that receivers decompress all the same
/// (RFC 3597 §4). And addresses, whose length is known.
fn shape(rtype: Type) -> Option<Shape> {
    let (before, names, after) = match rtype {
        Type::A => (4, 0, 0),
        Type::AAAA => (16, 0, 0),
        Type::NS | Type::CNAME | Type::PTR | Type::MB | Type::MG | Type::MR | Type::DNAME => (0, 1, 0),
        Type::SOA => (0, 2, 20),
        Type::MINFO | Type::RP => (0, 2, 0),
        Type::MX | Type::AFSDB | Type::KX => (2, 1, 0),
        Type::SRV => (6, 1, 0),
        _ => return None,
    };
    Some(Shape { before, names, after })
}
