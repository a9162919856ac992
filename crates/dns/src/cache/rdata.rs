//! The data of records, copied from one message to another.

use std::cmp::Ordering;

use super::suffixes::Suffixes;
use crate::message::{Class, FormError, NameBuffer, Record, Type};

/// What the data of a type consists of.
enum Field {
    /// So many octets.
    Octets(usize),
    /// A name, which every receiver understands compressed (RFC 3597 §4).
    Name,
    /// A name that may have come compressed, but is not sent so.
    Plain,
    /// A character string behind its length (RFC 1035 §3.3).
    Text,
    /// Whatever is left.
    Rest,
}

/// Appends the data of `record`, which is one of `message`, to `into`, where names stand at `suffixes`.
///
/// # Errors
/// The data is none of its type.
pub(super) fn copy(
    message: &[u8],
    record: &Record<'_>,
    suffixes: &mut Suffixes,
    into: &mut Vec<u8>,
) -> Result<(), FormError> {
    let (mut at, end) = (record.rdata_at, record.rdata_at + record.rdata.len());
    let mut name = NameBuffer::default();
    for field in fields(record.rtype, record.class) {
        let start = at;
        at = match field {
            Field::Octets(count) => at + count,
            Field::Text => at + 1 + usize::from(*message.get(at).ok_or(FormError::Short)?),
            Field::Rest => end,
            Field::Name | Field::Plain => name.read(message, at)?,
        };
        match field {
            Field::Name => suffixes.write(name.as_name(), into),
            Field::Plain => into.extend_from_slice(name.as_name().as_wire()),
            _ => into.extend_from_slice(message.get(start..at.min(end)).ok_or(FormError::Short)?),
        }
    }
    match at.cmp(&end) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(FormError::Trailing),
        Ordering::Greater => Err(FormError::Short),
    }
}

fn fields(rtype: Type, class: Class) -> &'static [Field] {
    use Field::{Name, Octets, Plain, Rest, Text};
    match rtype {
        Type::A if class == Class::IN => &[Octets(4)],
        Type::AAAA if class == Class::IN => &[Octets(16)],
        // With MD and MF, which are obsolete.
        Type::NS | Type::CNAME | Type::PTR | Type::MB | Type::MG | Type::MR | Type(3 | 4) => &[Name],
        Type::SOA => &[Name, Name, Octets(20)],
        Type::MINFO => &[Name, Name],
        Type::MX => &[Octets(2), Name],
        // With NSAP-PTR.
        Type::DNAME | Type(23) => &[Plain],
        Type::RP => &[Plain, Plain],
        // With RT.
        Type::AFSDB | Type::KX | Type(21) => &[Octets(2), Plain],
        // PX.
        Type(26) => &[Octets(2), Plain, Plain],
        Type::SRV => &[Octets(6), Plain],
        Type::NAPTR => &[Octets(4), Text, Text, Text, Plain],
        Type::SVCB | Type::HTTPS => &[Octets(2), Plain, Rest],
        // With SIG.
        Type::RRSIG | Type::SIG => &[Octets(18), Plain, Rest],
        // With NXT.
        Type::NSEC | Type(30) => &[Plain, Rest],
        _ => &[Rest],
    }
}
