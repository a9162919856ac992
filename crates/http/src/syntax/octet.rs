//! Classes of octets.

use super::error::RequestError;

const TOKEN: u8 = 1;
const REG_NAME: u8 = 2;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    mark(&mut classes, b"!#$%&'*+-.^_`|~", TOKEN);
    mark(&mut classes, b"-._~!$&'()*+,;=", REG_NAME);
    let mut octet = 0;
    while octet < 128u8 {
        if octet.is_ascii_alphanumeric() {
            classes[octet as usize] |= TOKEN | REG_NAME;
        }
        octet += 1;
    }
    classes
}

const fn mark(classes: &mut [u8; 256], octets: &[u8], class: u8) {
    let mut i = 0;
    while i < octets.len() {
        classes[octets[i] as usize] |= class;
        i += 1;
    }
}

/// Whether `octet` may be part of a token (RFC 9110 §5.6.2).
#[inline]
pub(super) fn is_token(octet: u8) -> bool {
    CLASSES[usize::from(octet)] & TOKEN != 0
}

/// Whether `octet` may be part of a registered name as it is (RFC 3986 §3.2.2).
#[inline]
pub(super) fn is_reg_name(octet: u8) -> bool {
    CLASSES[usize::from(octet)] & REG_NAME != 0
}

/// Optional white space (RFC 9110 §5.6.3).
#[inline]
pub(super) const fn is_white_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Whether `octets` has one that no field value may have (RFC 9110 §5.5).
#[inline]
pub(super) fn has_control(octets: &[u8]) -> bool {
    // Eight at a time; the last eight overlap those before them rather than be looked at one by one.
    let Some(last) = octets.last_chunk::<8>() else { return octets.iter().copied().any(is_control) };
    let (words, _) = octets.as_chunks::<8>();
    words.iter().chain([last]).fold(0, |found, &word| found | controls(u64::from_le_bytes(word))) != 0
}

/// The high bit of each octet of `word` that [`is_control`] holds for.
#[inline]
const fn controls(word: u64) -> u64 {
    const fn each(octet: u8) -> u64 {
        u64::from_le_bytes([octet; 8])
    }
    const HIGH: u64 = each(0x80);
    // Sums of seven bits do not carry into the next octet.
    let low = word & !HIGH;
    let not_below_space = low + each(0x80 - b' ');
    let not_tab = (low ^ each(b'\t')) + each(0x7f);
    let not_delete = (low ^ each(0x7f)) + each(0x7f);
    (!not_below_space & not_tab | !not_delete) & !word & HIGH
}

/// Whether no field value may have `octet` (RFC 9110 §5.5).
#[inline]
pub(super) const fn is_control(octet: u8) -> bool {
    (octet < b' ') & (octet != b'\t') | (octet == 0x7f)
}

/// Names the first control character in `octets`, if there is one.
#[cold]
pub(super) fn control_fault(octets: &[u8]) -> Option<RequestError> {
    let octet = octets.iter().copied().find(|&octet| is_control(octet))?;
    Some(match octet {
        0 => RequestError::Nul,
        b'\r' => RequestError::BareCarriageReturn,
        _ => RequestError::ControlCharacter,
    })
}

/// `octets` without white space at its ends.
#[inline]
pub(super) fn trimmed(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = octets {
        octets = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}

/// The value of a hexadecimal digit.
#[inline]
pub(super) const fn hexadecimal(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// The number that `digits` writes; saturates. `None` unless it is digits, and at least one.
pub(super) fn saturating_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_found_wherever_it_is() {
        for octet in 0..=u8::MAX {
            for length in 1..20 {
                for at in 0..length {
                    for other in [b'a', b'\t', 0xff] {
                        let mut octets = vec![other; length];
                        octets[at] = octet;
                        assert_eq!(has_control(&octets), is_control(octet), "{}", octets.escape_ascii());
                    }
                }
            }
        }
        assert!(!has_control(b""));
    }
}
