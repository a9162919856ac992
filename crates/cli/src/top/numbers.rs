//! How numbers and names are written in few columns.

/// `1234567` as `1.23 M`.
pub(super) fn short(mut number: f64) -> String {
    let mut units = ["", " k", " M", " G", " T", " P"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    let is_whole = number.fract() == 0.0;
    while number >= 999.5 {
        let Some(next) = units.next() else { break };
        (number, unit) = (number / 1000.0, next);
    }
    let digits = match number {
        _ if number >= 99.5 || (unit.is_empty() && is_whole) => 0,
        _ if number >= 9.95 => 1,
        _ => 2,
    };
    format!("{number:.digits$}{unit}")
}

/// Octets, as `1.23 MB`; a few are `12 B`.
pub(super) fn octets(number: f64) -> String {
    let text = short(number);
    if text.contains(' ') { text + "B" } else { text + " B" }
}

/// Nanoseconds, as `12.3 ms`.
pub(super) fn duration(nanos: f64) -> String {
    let (number, unit) = match nanos {
        _ if nanos >= 0.9995e9 => (nanos / 1e9, "s"),
        _ if nanos >= 0.9995e6 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e3, "µs"),
    };
    format!("{} {unit}", short(number))
}

/// Seconds, as `2 d 3 h`.
pub(super) fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let (unit, size) = units[first];
    let whole = format!("{} {unit}", seconds / size);
    match units.get(first + 1) {
        Some((next, smaller)) => format!("{whole} {} {next}", seconds % size / smaller),
        None => whole,
    }
}

/// A share of 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A name that others chose, fit for a terminal: what is not printable ASCII is escaped, what is longer than `longest`
/// columns is cut.
pub(super) fn name(text: &str, longest: usize) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let mut out = String::new();
    for character in text.chars() {
        let next = if is_plain(character) { character.to_string() } else { character.escape_unicode().to_string() };
        if out.len() + next.len() > longest {
            out.truncate(longest.saturating_sub(1));
            return out + "…";
        }
        out += &next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (0.0, "0"),
            (7.0, "7"),
            (1.234, "1.23"),
            (45.67, "45.7"),
            (999.0, "999"),
            (999.7, "1.00 k"),
            (1234.0, "1.23 k"),
            (99_960.0, "100 k"),
            (5e18, "5000 P"),
        ];
        for (number, expected) in cases {
            assert_eq!(short(number), expected);
        }
        assert_eq!([octets(12.0), octets(1_230_000.0)], ["12 B", "1.23 MB"]);
        assert_eq!([0.0, 850.0, 54_500_000.0, 2e9].map(duration), ["0 µs", "0.85 µs", "54.5 ms", "2 s"]);
        assert_eq!([0, 59, 61, 7300, 90_000].map(span), ["0 s", "59 s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]);
        assert_eq!(percent(0.8149), "81.5 %");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        for (text, longest, expected) in [
            ("/a b", 10, "/a b"),
            ("\u{1b}[2J", 20, "\\u{1b}[2J"),
            ("/ü\u{202e}", 30, "/\\u{fc}\\u{202e}"),
            ("/a/long/path", 6, "/a/lo…"),
            ("ab\u{1b}", 4, "ab…"),
            ("", 0, ""),
        ] {
            let found = name(text, longest);
            assert_eq!(found, expected);
            assert!(found.chars().count() <= longest);
        }
    }
}
