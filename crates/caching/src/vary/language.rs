//! Accept-Language (RFC 9110 §12.5.4) in one form.

use crate::fields::Fields;
use crate::list::trimmed;
use crate::seconds::append_decimal;

/// More ranges than this are not sorted.
const MOST_SORTED: usize = 16;

/// Appends the ranges in lower case, those that are wanted most first, equally wanted ones in the order of the
/// alphabet. If there are many they stay in their order.
pub(super) fn append(fields: Fields<'_>, key: &mut Vec<u8>) {
    let mut ranges = [(0, &[][..]); MOST_SORTED];
    let mut count = 0;
    for member in fields.members(b"accept-language") {
        let Some(slot) = ranges.get_mut(count) else {
            return append_unsorted(fields, key);
        };
        *slot = weighted(member);
        count += 1;
    }
    let ranges = &mut ranges[..count];
    ranges.sort_unstable_by(|(weight, range), (other_weight, other)| {
        other_weight.cmp(weight).then_with(|| lower_case(range).cmp(lower_case(other)))
    });
    for range in ranges {
        append_range(*range, key);
    }
}

fn append_unsorted(fields: Fields<'_>, key: &mut Vec<u8>) {
    let start = key.len();
    for member in fields.members(b"accept-language") {
        append_range(weighted(member), key);
        if key.len() - start > super::LONGEST_KEY {
            return;
        }
    }
}

fn append_range((weight, range): (u16, &[u8]), key: &mut Vec<u8>) {
    key.extend(lower_case(range));
    // No field has an octet like this, so that no range looks like two.
    key.push(b'\n');
    append_decimal(weight.into(), key);
    key.push(b'\n');
}

fn lower_case(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().map(u8::to_ascii_lowercase)
}

/// A range and its weight. What is not understood is part of the range.
fn weighted(member: &[u8]) -> (u16, &[u8]) {
    match member.iter().position(|&octet| octet == b';') {
        Some(mark) if weight(&member[mark..]).is_some() => (quality(&member[mark..]), trimmed(&member[..mark])),
        _ => (1000, member),
    }
}

/// The weight in thousandths that parameters, which begin with a semicolon, give (RFC 9110 §12.4.2); 1000 if they give
/// none.
pub(super) fn quality(parameters: &[u8]) -> u16 {
    weight(parameters).unwrap_or(1000)
}

fn weight(parameters: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = trimmed(parameters.strip_prefix(b";")?) else { return None };
    let (whole, fraction) = value.split_first()?;
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let thousandths = (0..3).fold(0, |sum, place| sum * 10 + digits.get(place).map_or(0, |d| u16::from(d - b'0')));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}
