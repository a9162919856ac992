//! The fields of each type.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::error::Reason;
use super::words::{base64, hexadecimal};
use super::{Words, location, name, parameters, seconds};
use crate::message::{Name, Type};

/// A part of a record's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Octet,
    Pair,
    /// 32 bits.
    Number,
    /// 32 bits that may be written with units.
    Seconds,
    /// A date, or seconds since 1970 (RFC 4034 §3.2).
    Time,
    V4,
    V6,
    Name,
    /// A string behind its length.
    Text,
    /// One or more of them.
    Texts,
    /// A string that is the rest.
    LongText,
    /// Letters and digits behind their length (RFC 8659 §4.1).
    Tag,
    Hexadecimal,
    Base64,
    /// Hexadecimal behind its length, `-` if empty (RFC 5155 §3.3).
    Salt,
    /// Base 32 without padding, behind its length (RFC 5155 §3.3).
    Hash,
    /// A type by its name.
    Covered,
    /// Types as a bitmap (RFC 4034 §4.1.2).
    Types,
    /// A DNSSEC algorithm by its number or mnemonic.
    Algorithm,
    /// A certificate's type by its number or mnemonic (RFC 4398 §2.1).
    CertificateType,
    Location,
    /// Parameters of a service (RFC 9460 §2.1).
    Parameters,
    /// Address prefixes (RFC 3123).
    Prefixes,
}

/// The fields of `rtype`; `None` if its data are written in the generic format only.
pub(super) fn fields(rtype: Type) -> Option<&'static [Field]> {
    use Field::*;
    Some(match rtype {
        Type::A => &[V4],
        Type::AAAA => &[V6],
        Type::NS | Type::CNAME | Type::PTR | Type::DNAME | Type::MB | Type::MG | Type::MR => &[Name],
        Type::SOA => &[Name, Name, Number, Seconds, Seconds, Seconds, Seconds],
        Type::MINFO | Type::RP => &[Name, Name],
        Type::MX | Type::KX | Type::AFSDB => &[Pair, Name],
        Type::HINFO => &[Text, Text],
        Type::TXT | Type::SPF => &[Texts],
        Type::LOC => &[Location],
        Type::SRV => &[Pair, Pair, Pair, Name],
        Type::NAPTR => &[Pair, Pair, Text, Text, Text, Name],
        Type::CERT => &[CertificateType, Pair, Algorithm, Base64],
        Type::APL => &[Prefixes],
        Type::DS | Type::CDS => &[Pair, Algorithm, Octet, Hexadecimal],
        Type::SSHFP => &[Octet, Octet, Hexadecimal],
        Type::RRSIG => &[Covered, Algorithm, Octet, Seconds, Time, Time, Pair, Name, Base64],
        Type::NSEC => &[Name, Types],
        Type::DNSKEY | Type::CDNSKEY => &[Pair, Octet, Algorithm, Base64],
        Type::DHCID | Type::OPENPGPKEY => &[Base64],
        Type::NSEC3 => &[Octet, Octet, Pair, Salt, Hash, Types],
        Type::NSEC3PARAM => &[Octet, Octet, Pair, Salt],
        Type::TLSA | Type::SMIMEA => &[Octet, Octet, Octet, Hexadecimal],
        Type::CSYNC => &[Number, Pair, Types],
        Type::ZONEMD => &[Number, Octet, Octet, Hexadecimal],
        Type::SVCB | Type::HTTPS => &[Pair, Name, Parameters],
        Type::URI => &[Pair, Pair, LongText],
        Type::CAA => &[Octet, Tag, LongText],
        _ => return None,
    })
}

/// Whether the data of `rtype` are names and nothing else: the letter case of two records makes no difference.
pub(in super::super) fn names_only(rtype: Type) -> bool {
    fields(rtype).is_some_and(|fields| fields.iter().all(|field| *field == Field::Name))
}

/// How many octets stand before the name in data of `rtype` whose addresses help who asks: NS and MX (RFC 1035 §3.3),
/// KX (RFC 2230), SRV (RFC 2782), SVCB (RFC 9460 §4.1).
pub(in super::super) fn targets(rtype: Type) -> Option<usize> {
    match rtype {
        Type::NS => Some(0),
        Type::MX | Type::KX | Type::SVCB | Type::HTTPS => Some(2),
        Type::SRV => Some(6),
        _ => None,
    }
}

/// Appends what `words` say for `field`.
pub(super) fn read(field: Field, words: &mut Words<'_>, origin: Name<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    match field {
        Field::Octet => out.push(words.number("number up to 255")?),
        Field::Pair => out.extend_from_slice(&words.number::<u16>("number up to 65535")?.to_be_bytes()),
        Field::Number => out.extend_from_slice(&words.number::<u32>("number below 2^32")?.to_be_bytes()),
        Field::Seconds => {
            let word = words.required("a time in seconds")?;
            out.extend_from_slice(&seconds(word.text).ok_or_else(|| word.bad("time in seconds"))?.to_be_bytes());
        }
        Field::Time => {
            let word = words.required("a date")?;
            out.extend_from_slice(&time(word.text).ok_or_else(|| word.bad("date"))?.to_be_bytes());
        }
        Field::V4 => {
            let word = words.required("an IPv4 address")?;
            let address: Ipv4Addr = word.as_str().parse().map_err(|_| word.bad("IPv4 address"))?;
            out.extend_from_slice(&address.octets());
        }
        Field::V6 => {
            let word = words.required("an IPv6 address")?;
            let address: Ipv6Addr = word.as_str().parse().map_err(|_| word.bad("IPv6 address"))?;
            out.extend_from_slice(&address.octets());
        }
        Field::Name => name(words.required("a name")?, origin, out)?,
        Field::Text => text(words, out)?,
        Field::Texts => {
            text(words, out)?;
            while words.peek().is_some() {
                text(words, out)?;
            }
        }
        Field::LongText => words.octets("a string", out)?,
        Field::Tag => {
            let word = words.required("a tag")?;
            let is_tag = (1..=255).contains(&word.text.len()) && word.text.iter().all(u8::is_ascii_alphanumeric);
            if !is_tag {
                return Err(word.bad("tag"));
            }
            out.push(word.text.len() as u8);
            out.extend_from_slice(word.text);
        }
        Field::Hexadecimal => hexadecimal(words, out)?,
        Field::Base64 => base64(words, out)?,
        Field::Salt => salt(words, out)?,
        Field::Hash => hash(words, out)?,
        Field::Covered => out.extend_from_slice(&type_of(words)?.0.to_be_bytes()),
        Field::Types => types(words, out)?,
        Field::Algorithm => out.push(by_name(words, "algorithm", ALGORITHMS)? as u8),
        Field::CertificateType => {
            out.extend_from_slice(&by_name(words, "certificate type", CERTIFICATES)?.to_be_bytes())
        }
        Field::Location => location::read(words, out)?,
        Field::Parameters => parameters::read(words, out)?,
        Field::Prefixes => prefixes(words, out)?,
    }
    Ok(())
}

/// Whether `octets` have these fields and nothing behind them.
pub(super) fn are(fields: &[Field], octets: &[u8]) -> bool {
    fields.iter().try_fold(octets, |rest, field| skip(*field, rest)).is_some_and(<[u8]>::is_empty)
}

/// What is behind `field` at the start of `octets`.
fn skip(field: Field, octets: &[u8]) -> Option<&[u8]> {
    let behind_length = |octets: &'_ [u8]| octets.first().map(|len| 1 + usize::from(*len));
    let len = match field {
        Field::Octet | Field::Algorithm => 1,
        Field::Pair | Field::Covered | Field::CertificateType => 2,
        Field::Number | Field::Seconds | Field::Time | Field::V4 => 4,
        Field::V6 | Field::Location => 16,
        Field::Name => Name::read(octets).ok()?.as_wire().len(),
        Field::Text | Field::Tag | Field::Salt | Field::Hash => behind_length(octets)?,
        Field::Texts => {
            let mut rest = octets.get(behind_length(octets)?..)?;
            while !rest.is_empty() {
                rest = rest.get(behind_length(rest)?..)?;
            }
            octets.len()
        }
        Field::Parameters => parameters::are(octets).then_some(octets.len())?,
        Field::LongText | Field::Hexadecimal | Field::Base64 | Field::Types | Field::Prefixes => octets.len(),
    };
    octets.get(len..)
}

/// A string behind its length (RFC 1035 §3.3).
fn text(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let (at, word) = (out.len(), words.peek());
    out.push(0);
    words.octets("a string", out)?;
    let len = u8::try_from(out.len() - at - 1);
    out[at] =
        len.map_err(|_| word.map_or(Reason::Missing("a string"), |word| word.bad("string of up to 255 octets")))?;
    Ok(())
}

fn salt(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let word = words.required("a salt")?;
    let at = out.len();
    out.push(0);
    if word.text != b"-" {
        hexadecimal(std::iter::once(word), out)?;
    }
    out[at] = u8::try_from(out.len() - at - 1).map_err(|_| word.bad("salt of up to 255 octets"))?;
    Ok(())
}

fn hash(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let word = words.required("a hash")?;
    let at = out.len();
    out.push(0);
    let (mut bits, mut count) = (0u32, 0);
    for &octet in word.text {
        let digit = char::from(octet).to_digit(32).ok_or_else(|| word.bad("hash in base 32"))?;
        bits = bits << 5 | digit;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    let len = u8::try_from(out.len() - at - 1).ok().filter(|len| *len > 0);
    out[at] = len.ok_or_else(|| word.bad("hash of up to 255 octets"))?;
    Ok(())
}

fn type_of(words: &mut Words<'_>) -> Result<Type, Reason> {
    let word = words.required("a type")?;
    word.as_str().parse().map_err(|_| Reason::UnknownType(word.shown()))
}

/// RFC 4034 §4.1.2: windows of 256 types, each with as many octets as it needs.
fn types(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut found = Vec::new();
    while words.peek().is_some() {
        found.push(type_of(words)?.0);
    }
    found.sort_unstable();
    for window in found.chunk_by(|left, right| left >> 8 == right >> 8) {
        let mut bits = [0u8; 32];
        for low in window.iter().map(|number| number & 0xff) {
            bits[usize::from(low >> 3)] |= 0x80 >> (low & 7);
        }
        let len = window.iter().map(|number| usize::from((number & 0xff) >> 3) + 1).max().unwrap_or(0);
        out.extend_from_slice(&[(window[0] >> 8) as u8, len as u8]);
        out.extend_from_slice(&bits[..len]);
    }
    Ok(())
}

const ALGORITHMS: &[(&str, u16)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];
const CERTIFICATES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// A number, or a mnemonic for it. The tables hold what fits the field; a number is checked against their last entry.
fn by_name(words: &mut Words<'_>, what: &'static str, names: &[(&str, u16)]) -> Result<u16, Reason> {
    let word = words.required(what)?;
    let named = names.iter().find(|(name, _)| word.text.eq_ignore_ascii_case(name.as_bytes()));
    let highest = if what == "algorithm" { u16::from(u8::MAX) } else { u16::MAX };
    let number = named.map(|(_, number)| *number).or_else(|| word.as_str().parse().ok());
    number.filter(|number| *number <= highest).ok_or_else(|| word.bad(what))
}

/// `[!]family:address/prefix` (RFC 3123 §5).
fn prefixes(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    for word in words.by_ref() {
        let item = word.as_str();
        let (negated, item) = item.strip_prefix('!').map_or((0, item), |rest| (0x80, rest));
        let read = || {
            let (family, rest) = item.split_once(':')?;
            let (address, prefix) = rest.split_once('/')?;
            let prefix: u8 = prefix.parse().ok()?;
            Some(match family {
                "1" => (1, prefix, 32, address.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
                "2" => (2, prefix, 128, address.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
                _ => return None,
            })
        };
        let found: Option<(u8, u8, u8, Vec<u8>)> = read();
        let found = found.filter(|(_, prefix, longest, _)| prefix <= longest);
        let (family, prefix, _, address) = found.ok_or_else(|| word.bad("address prefix"))?;
        // RFC 3123 §4: without zeros at the end.
        let len = address.iter().rposition(|octet| *octet > 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&[0, family, prefix, negated | len as u8]);
        out.extend_from_slice(&address[..len]);
    }
    Ok(())
}

/// Seconds since 1970, modulo 2^32 (RFC 4034 §3.1.5), of `YYYYMMDDHHmmSS` or of the number itself (§3.2).
fn time(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if text.len() != 14 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let number = |from: usize, to: usize| text[from..to].iter().fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !is_date {
        return None;
    }
    // Days since 1970-03-01 less leap days counted in years that start in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        for (text, seconds) in [
            ("19700101000000", 0),
            ("20000229235959", 951_868_799),
            ("20261129031500", 1_795_922_100),
            ("1234567890", 1_234_567_890),
        ] {
            assert_eq!(time(text.as_bytes()), Some(seconds), "{text}");
        }
        for text in ["", "19701301000000", "x", "-1", "99999999999"] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }
}
