//! HTTP dates (RFC 9110 §5.6.7).

use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second that four digits of a year can write.
const LAST: u64 = 253_402_300_799;

/// `seconds` since the epoch as an IMF-fixdate, without allocation; the last second of the year 9999
/// for anything later.
pub fn imf_fixdate(seconds: u64) -> [u8; 29] {
    let seconds = seconds.min(LAST);
    let (year, month, day) = civil(seconds / 86_400);
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // The epoch was a Thursday.
    date[..3].copy_from_slice(name(b"ThuFriSatSunMonTueWed", seconds / 86_400 % 7));
    write_digits(&mut date[5..7], day);
    date[8..11].copy_from_slice(name(b"JanFebMarAprMayJunJulAugSepOctNovDec", month));
    write_digits(&mut date[12..16], year);
    write_digits(&mut date[17..19], seconds / 3600 % 24);
    write_digits(&mut date[20..22], seconds / 60 % 60);
    write_digits(&mut date[23..25], seconds % 60);
    date
}

/// The seconds since the epoch that `text` tells in one of the three forms of HTTP dates; `None` for
/// anything else and before the epoch.
pub fn parse(text: &[u8]) -> Option<u64> {
    let date: HttpDate = std::str::from_utf8(text).ok()?.parse().ok()?;
    let since: Duration = std::time::SystemTime::from(date).duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// The year, the month from zero and the day from one of the `days`th day since the epoch.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted in years that start in March, so that the leap day is the last, from 1 March 0000,
    // 719468 days before the epoch, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March come in fives of 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    (cycle * 400 + year + u64::from(month < 2), month, day)
}

fn name(names: &[u8], index: u64) -> &[u8] {
    &names[index as usize * 3..][..3]
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(seconds), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn three_forms_are_read() {
        // The examples of RFC 9110 §5.6.7.
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        for text in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 24:49:37 GMT", "784111777"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 GM\xff"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_written_the_same_elsewhere(seconds in 0..=LAST) {
            let date = imf_fixdate(seconds);
            prop_assert_eq!(parse(&date), Some(seconds));
            let other = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(other.as_bytes(), date);
        }
    }
}
