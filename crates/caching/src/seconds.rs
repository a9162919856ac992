//! Numbers of seconds and moments, as fields write them and as they are calculated with.

/// The largest number of seconds that is told from larger ones (RFC 9111 §1.2.2).
pub const MOST_SECONDS: u32 = 1 << 31;
/// No moment is later: sums of a moment and some numbers of seconds do not overflow.
const LAST_MOMENT: u64 = 1 << 60;

/// Reads delta-seconds: digits and nothing else. A number beyond [`MOST_SECONDS`] is read as that one.
pub fn parse(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        text.iter().fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(value.min(u64::from(MOST_SECONDS)) as u32)
}

/// The value of an Age field for this age in seconds, appended to `out`.
pub fn append(seconds: u64, out: &mut Vec<u8>) {
    append_decimal(seconds.min(u64::from(MOST_SECONDS)), out);
}

pub(crate) fn append_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// A moment as a number that can be calculated with; some are before 1970, where a response is older than that.
pub(crate) fn moment(seconds: u64) -> i64 {
    seconds.min(LAST_MOMENT) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_only() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("2147483647", Some((1 << 31) - 1)),
            ("2147483649", Some(1 << 31)),
            ("99999999999999999999999999", Some(1 << 31)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1 ", None),
            ("a1", None),
        ] {
            assert_eq!(parse(text.as_bytes()), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_decimal() {
        for (value, text) in [(0, "0"), (7, "7"), (1_000, "1000"), (u64::MAX, "2147483648")] {
            let mut out = Vec::new();
            append(value, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
