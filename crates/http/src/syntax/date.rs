//! HTTP dates (RFC 9110 §5.6.7).

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// The last second of the year 9999, beyond which the format does not reach.
const LAST: u64 = 253_402_300_799;

/// The moment `seconds` after 1970 began, as an IMF-fixdate. A moment after the year 9999 is written
/// as the last one of it.
pub fn imf_fixdate(seconds: u64) -> [u8; 29] {
    let mut text = [b' '; 29];
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)));
    // An IMF-fixdate is 29 octets, so it fits.
    let _ = write!(&mut text[..], "{date}");
    text
}

/// Seconds since 1970 of a date in any of the three formats. `None` if it is in none, or before 1970.
pub fn parse(text: &[u8]) -> Option<u64> {
    let date = std::str::from_utf8(text).ok()?;
    let moment = httpdate::parse_http_date(date).ok()?;
    moment.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_formats_name_one_moment() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&imf_fixdate(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&imf_fixdate(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&imf_fixdate(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn what_is_no_date() {
        for text in ["", "0", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 25:49:37 GMT", "\u{ff}"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0..=LAST) {
            prop_assert_eq!(parse(&imf_fixdate(seconds)), Some(seconds));
        }
    }
}
