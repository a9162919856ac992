//! The data of records, written out.

use crate::message::{Class, FormError, NameBuffer, Record, Type};

/// What the data of a type consists of.
enum Field {
    /// So many octets.
    Octets(usize),
    /// A name, which may be compressed.
    Name,
    /// A character string behind its length (RFC 1035 §3.3).
    Text,
    /// Whatever is left.
    Rest,
}

/// Writes the data of `record` into `into`, which is cleared, its names uncompressed. A receiver has to understand
/// compressed names in the types of RFC 1035 and some others (RFC 3597 §4); here, all that have names are looked at.
///
/// # Errors
/// The data is none of its type.
pub(super) fn expand(
    message: &[u8],
    record: &Record<'_>,
    name: &mut NameBuffer,
    into: &mut Vec<u8>,
) -> Result<(), FormError> {
    into.clear();
    let end = record.rdata_at + record.rdata.len();
    let mut at = record.rdata_at;
    for field in fields(record.rtype, record.class) {
        let next = match field {
            Field::Octets(count) => at + count,
            Field::Text => at + 1 + usize::from(*message.get(at).ok_or(FormError::Short)?),
            Field::Rest => end,
            Field::Name => {
                at = name.read(message, at)?;
                into.extend_from_slice(name.as_name().as_wire());
                continue;
            }
        };
        into.extend_from_slice(message.get(at..next.min(end)).ok_or(FormError::Short)?);
        at = next;
    }
    match at.cmp(&end) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(FormError::Trailing),
        std::cmp::Ordering::Greater => Err(FormError::Short),
    }
}

fn fields(rtype: Type, class: Class) -> &'static [Field] {
    use Field::{Name, Octets, Rest, Text};
    match rtype {
        Type::A if class == Class::IN => &[Octets(4)],
        Type::AAAA if class == Class::IN => &[Octets(16)],
        // With MD and MF, which are obsolete; NSAP-PTR.
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME | Type::MB | Type::MG | Type::MR | Type(3 | 4 | 23) => &[Name],
        Type::SOA => &[Name, Name, Octets(20)],
        Type::MINFO | Type::RP => &[Name, Name],
        // With RT.
        Type::MX | Type::AFSDB | Type::KX | Type(21) => &[Octets(2), Name],
        // PX.
        Type(26) => &[Octets(2), Name, Name],
        Type::SRV => &[Octets(6), Name],
        Type::NAPTR => &[Octets(4), Text, Text, Text, Name],
        Type::SVCB | Type::HTTPS => &[Octets(2), Name, Rest],
        // With SIG.
        Type::RRSIG | Type(24) => &[Octets(18), Name, Rest],
        // With NXT.
        Type::NSEC | Type(30) => &[Name, Rest],
        _ => &[Rest],
    }
}
