//! Classes of octets, and the scans that every request goes through.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        classes[octet] = class(octet as u8);
        octet += 1;
    }
    classes
};

const fn class(octet: u8) -> u8 {
    let token = match octet {
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => TOKEN,
        _ if octet.is_ascii_alphanumeric() => TOKEN,
        _ => 0,
    };
    // Clients send `"`, `<`, `|` and others that RFC 3986 wants encoded; none of them confuses a
    // reader. A fragment does: RFC 9110 §4.2.5 keeps it from the wire.
    let target = if octet.is_ascii_graphic() && octet != b'#' { TARGET } else { 0 };
    token | target
}

/// Whether `octets` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && token_end(octets) == octets.len()
}

/// Where the token at the beginning of `octets` ends.
pub(super) fn token_end(octets: &[u8]) -> usize {
    class_end(octets, TOKEN)
}

/// Where the request target at the beginning of `octets` ends.
pub(super) fn target_end(octets: &[u8]) -> usize {
    class_end(octets, TARGET)
}

fn class_end(octets: &[u8], class: u8) -> usize {
    octets.iter().position(|&octet| CLASSES[octet as usize] & class == 0).unwrap_or(octets.len())
}

/// Where the field value at the beginning of `octets` ends: at the first control octet other than a
/// tab (RFC 9110 §5.5). Eight octets at a time.
pub(super) fn value_end(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = octets[at..].first_chunk() {
        let found = controls(u64::from_le_bytes(*eight));
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if octets[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    let tail = &octets[at..];
    at + tail.iter().position(|&octet| octet != b'\t' && octet.is_ascii_control()).unwrap_or(tail.len())
}

/// The lowest bit set says which of the eight octets is the first below 0x20 or equal to 0x7f. A
/// borrow can set bits above it, never below.
const fn controls(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = word.wrapping_sub(EACH * 0x20) & !word;
    let delete = word ^ (EACH * 0x7f);
    let equal = delete.wrapping_sub(EACH) & !delete;
    (below | equal) & (EACH * 0x80)
}

/// Without the optional white space before it (RFC 9110 §5.6.3).
pub(super) fn trim_start(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = octets {
        octets = rest;
    }
    octets
}

/// Without the optional white space around it.
pub(super) fn trim(octets: &[u8]) -> &[u8] {
    let mut octets = trim_start(octets);
    while let [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// The members of a list without the empty ones (RFC 9110 §5.6.1.2). Not for lists whose members may
/// hold a comma within quotes.
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&octet| octet == b',').map(trim).filter(|member| !member.is_empty())
}

/// The number that one or more decimal digits write; `None` for anything else or above 64 bits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The value of a hexadecimal digit.
pub(super) const fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_ends_at_its_first_control_octet(octets in prop::collection::vec(
            prop_oneof![8 => 0x20u8..0x7f, 2 => any::<u8>(), 1 => Just(b'\t')], 0..40)
        ) {
            let slow = octets.iter().position(|&o| (o < 0x20 && o != b'\t') || o == 0x7f).unwrap_or(octets.len());
            prop_assert_eq!(value_end(&octets), slow);
        }
    }

    #[test]
    fn decimal_takes_digits_only() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("0x1", None),
            ("1 ", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn empty_members_do_not_count() {
        assert_eq!(members(b" a,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(members(b" ,").count(), 0);
    }
}
