//! How old a response was when it arrived (RFC 9111 §4.2.3).

use crate::date;
use crate::fields::Fields;
use crate::message::Times;
use crate::seconds::{self, moment};

/// When a response was made, by its Date; `None` if that is missing or no date.
pub(crate) fn date(fields: Fields<'_>) -> Option<u64> {
    date::parse(fields.first(b"date")?)
}

/// The moment at which the response would have left the origin, so that the age at any moment is the time since.
pub(crate) fn born(fields: Fields<'_>, times: Times) -> i64 {
    let (requested, received) = (moment(times.requested), moment(times.received));
    let apparent_age = date(fields).map_or(0, |date| received - moment(date)).max(0);
    let delay = (received - requested).max(0);
    received - apparent_age.max(age_value(fields) + delay)
}

/// The first value of the first line counts; one that is no number is ignored (RFC 9111 §5.1).
fn age_value(fields: Fields<'_>) -> i64 {
    let first = fields.members(b"age").next().and_then(seconds::parse);
    i64::from(first.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(lines: &[(&str, &str)]) -> i64 {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        784_111_787 - born(Fields(&lines), Times { requested: 784_111_785, received: 784_111_787 })
    }

    #[test]
    fn the_first_age_counts() {
        for (lines, expected) in [
            (&["100"][..], 102),
            (&["2147483648"], (1 << 31) + 2),
            (&["99999999999999999999999"], (1 << 31) + 2),
            (&["7200, 0"], 7202),
            (&["0, 7200"], 2),
            (&["7200", "0"], 7202),
            (&["0", "7200"], 2),
            (&["abc"], 2),
            (&["-7200"], 2),
            (&["7200.0"], 2),
            (&[""], 2),
            (&[], 2),
        ] {
            let lines: Vec<_> = lines.iter().map(|value| ("Age", *value)).collect();
            assert_eq!(age(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_greater_of_two_ages_is_taken() {
        let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(age(&[date]), 10);
        assert_eq!(age(&[date, ("Age", "5")]), 10);
        assert_eq!(age(&[date, ("Age", "9")]), 11);
        assert_eq!(age(&[("Date", "Sun, 06 Nov 2094 08:49:37 GMT")]), 2);
        assert_eq!(age(&[("Date", "yesterday")]), 2);
    }
}
