//! The data of records: where names lie in them.

use std::cmp::Ordering;

use super::{Class, FormError, Name, NameBuffer, Record, Type};

/// A piece of data as it lies in a message.
pub(crate) enum Piece<'a> {
    /// Octets that hold no name, or none that we know of.
    Octets(&'a [u8]),
    /// A name, which every receiver understands compressed (RFC 3597 §4).
    Name(Name<'a>),
    /// A name that may have come compressed, but is not sent so.
    Plain(Name<'a>),
}

/// Takes the data of `record`, which is one of `message`, apart: `each` gets its pieces in their order. `name` is room
/// for one.
///
/// # Errors
/// The data is none of its type. Some pieces were handed out then.
pub(crate) fn pieces(
    message: &[u8],
    record: &Record<'_>,
    name: &mut NameBuffer,
    mut each: impl FnMut(Piece<'_>),
) -> Result<(), FormError> {
    let (mut at, end) = (record.rdata_at, record.rdata_at + record.rdata.len());
    for field in fields(record.rtype, record.class) {
        let start = at;
        at = match field {
            Field::Octets(count) => at + count,
            Field::Text => at + 1 + usize::from(*message.get(at).ok_or(FormError::Short)?),
            Field::Rest => end,
            Field::Name | Field::Plain => name.read(message, at)?,
        };
        each(match field {
            Field::Name => Piece::Name(name.as_name()),
            Field::Plain => Piece::Plain(name.as_name()),
            _ => Piece::Octets(message.get(start..at.min(end)).ok_or(FormError::Short)?),
        });
    }
    match at.cmp(&end) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(FormError::Trailing),
        Ordering::Greater => Err(FormError::Short),
    }
}

/// What the data of a type consists of.
enum Field {
    /// So many octets.
    Octets(usize),
    /// [`Piece::Name`].
    Name,
    /// [`Piece::Plain`].
    Plain,
    /// A character string behind its length (RFC 1035 §3.3).
    Text,
    /// Whatever is left.
    Rest,
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
