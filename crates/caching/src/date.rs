//! HTTP dates (RFC 9110 §5.6.7) as a cache reads them.

use std::time::UNIX_EPOCH;

/// The longest of the three formats: `Wednesday, 06-Nov-94 08:49:37 GMT`.
const LONGEST: usize = 33;
const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// Seconds since 1970 of a date in any of the three formats. A cache does not care about case (RFC 9111 §4.2).
/// `None` if it is in none of them, has another zone than GMT, or is before 1970.
pub fn parse(text: &[u8]) -> Option<u64> {
    let mut buffer = [0; LONGEST];
    let text = with_usual_case(text, &mut buffer)?;
    parse_exactly(text).or_else(|| parse_on_another_day(text))
}

fn parse_exactly(text: &[u8]) -> Option<u64> {
    let moment = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    moment.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// A date is one although its day of the week is another, as where a program writes it without a calendar.
fn parse_on_another_day(text: &mut [u8]) -> Option<u64> {
    let is_day = text.first_chunk().is_some_and(|day| DAYS.contains(&day));
    DAYS.iter().filter(|_| is_day).find_map(|day| {
        text.first_chunk_mut().map(|place| *place = **day)?;
        parse_exactly(text)
    })
}

/// `THU, 18 aug 2050 02:01:18 gmt` as `Thu, 18 Aug 2050 02:01:18 GMT`.
fn with_usual_case<'b>(text: &[u8], buffer: &'b mut [u8; LONGEST]) -> Option<&'b mut [u8]> {
    let written = buffer.get_mut(..text.len())?;
    let mut is_within_word = false;
    for (to, from) in written.iter_mut().zip(text) {
        *to = if is_within_word { from.to_ascii_lowercase() } else { from.to_ascii_uppercase() };
        is_within_word = from.is_ascii_alphabetic();
    }
    if let Some([b' ', zone @ ..]) = written.last_chunk_mut::<4>() {
        zone.make_ascii_uppercase();
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_in_any_case() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "SUN, 06 nov 1994 08:49:37 gMt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "sunday, 06-NOV-94 08:49:37 gmt",
            "Sun Nov  6 08:49:37 1994",
            "SUN NOV  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Tue, 19 Jan 2038 14:14:08 GMT"), Some(2_147_523_248));
        assert_eq!(parse(b"Thursday, 18-Aug-50 02:01:18 GMT"), parse(b"Thu, 18 Aug 2050 02:01:18 GMT"));
        for text in ["Mon Aug  8 02:01:18 2050", "Thu Aug  8 02:01:18 2050", "Sat, 08 Aug 2050 02:01:18 GMT"] {
            assert_eq!(parse(text.as_bytes()), Some(2_543_536_878), "{text}");
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 25:01:18 GMT",
            "Foo, 18 Aug 2050 02:01:18 GMT",
            "Mon, 31 Feb 2050 02:01:18 GMT",
            "Mon",
            "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
            "Sun, 06 Nov 1904 08:49:37 GMT",
            "\u{ff}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
