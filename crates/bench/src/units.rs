//! Durations and sizes as the command line has them: `500ms`, `3s`, `64KiB`.

use std::time::Duration;

/// A year: longer than any load.
const LONGEST: f64 = 366.0 * 86_400.0;

const SPANS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A duration, zero allowed; a number without a unit counts seconds.
///
/// # Errors
/// It is none, or longer than a year.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let malformed = || "expected a duration such as 500ms, 3s or 2m".to_owned();
    let (number, unit) = split(text);
    let (_, factor) = SPANS.into_iter().find(|(name, _)| *name == or(unit, "s")).ok_or_else(malformed)?;
    match number.parse::<f64>().map(|number| number * factor) {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("expected at most a year".to_owned()),
        Err(_) => Err(malformed()),
    }
}

/// A duration above zero; see [`span`].
///
/// # Errors
/// As for [`span`], or it is zero.
pub(crate) fn positive_span(text: &str) -> Result<Duration, String> {
    span(text).and_then(|span| if span.is_zero() { Err("expected a duration above zero".to_owned()) } else { Ok(span) })
}

/// A number of octets.
///
/// # Errors
/// It is none, or does not fit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let malformed = || "expected a size such as 1024, 64KiB or 1MiB".to_owned();
    let (number, unit) = split(text);
    let (_, factor) = SIZES.into_iter().find(|(name, _)| *name == or(unit, "B")).ok_or_else(malformed)?;
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(malformed)
}

/// A number of octets in the largest unit in which it is whole.
pub(crate) fn show_size(octets: u64) -> String {
    let (name, unit) =
        SIZES.into_iter().rfind(|(_, unit)| octets > 0 && octets.is_multiple_of(*unit)).unwrap_or(SIZES[0]);
    if unit == 1 { octets.to_string() } else { format!("{}{name}", octets / unit) }
}

/// The number and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn or<'a>(unit: &'a str, default: &'a str) -> &'a str {
    if unit.is_empty() { default } else { unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_count_seconds() {
        for (text, millis) in
            [("3s", 3000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("4", 4000), ("0.5", 500), ("0s", 0)]
        {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "3 s", "-1s", "1e3", "1.2.3s", "NaN", "9999999h", "3S", "+3s"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(positive_span("0ms").is_err() && positive_span("1ms").is_ok());
    }

    #[test]
    fn sizes_count_octets() {
        for (text, octets) in [("1024", 1024), ("64KiB", 65_536), ("1MiB", 1 << 20), ("7B", 7)] {
            assert_eq!(size(text), Ok(octets), "{text}");
            assert_eq!(size(&show_size(octets)), Ok(octets));
        }
        assert_eq!([0, 1, 1025, 4096, 3 << 20].map(show_size), ["0", "1", "1025", "4KiB", "3MiB"]);
        for text in ["", "KiB", "1.5KiB", "64K", "64kib", "99999999999GiB", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
