//! One request as one line. Whatever a client sent, it cannot start a second line, end a quoted
//! field or reach a terminal as a control sequence.

use std::fmt::Display;
use std::io::Write;

use afpa_http::access_log::Entry;
use time::OffsetDateTime;

/// The Combined Log Format, in UTC: the Common Log Format with Referer and User-Agent.
///
/// In quoted fields `"`, `\` and every octet outside visible ASCII appear as `\xHH`.
pub(super) fn combined(out: &mut Vec<u8>, entry: &Entry<'_>) {
    match entry.peer {
        Some(ip) => show(out, ip),
        None => out.extend_from_slice(b"unix:"),
    }
    let when = at(entry);
    let month = &when.month().to_string()[..3];
    let (day, year, (hour, minute, second)) = (when.day(), when.year(), when.to_hms());
    show(out, format_args!(" - - [{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000] \""));
    if entry.method.is_empty() {
        out.push(b'-');
    } else {
        escape(out, entry.method);
        out.push(b' ');
        escape(out, entry.target);
        show(out, format_args!(" HTTP/1.{}", entry.minor_version));
    }
    show(out, format_args!("\" {} {}", entry.status, entry.body_octets));
    for text in [entry.referer, entry.user_agent] {
        out.extend_from_slice(b" \"");
        if text.is_empty() {
            out.push(b'-');
        } else {
            escape(out, text);
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// A JSON object (RFC 8259). Octets that are not UTF-8 appear as U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let when = at(entry);
    let (year, month, day) = (when.year(), u8::from(when.month()), when.day());
    let (hour, minute, second, micro) = when.to_hms_micro();
    show(
        out,
        format_args!("{{\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z\""),
    );
    match entry.peer {
        Some(ip) => show(out, format_args!(",\"peer\":\"{ip}\"")),
        None => out.extend_from_slice(b",\"peer\":\"unix:\""),
    }
    json_field(out, "method", entry.method);
    json_field(out, "target", entry.target);
    show(out, format_args!(",\"version\":\"1.{}\",\"status\":{}", entry.minor_version, entry.status));
    show(out, format_args!(",\"bytes\":{},\"duration_us\":{}", entry.body_octets, entry.duration_micros));
    show(out, format_args!(",\"cache\":\"{}\"", entry.outcome.name()));
    json_field(out, "referer", entry.referer);
    json_field(out, "user_agent", entry.user_agent);
    out.extend_from_slice(b"}\n");
}

fn at(entry: &Entry<'_>) -> OffsetDateTime {
    // A clock beyond the year 9999 is wrong, and 1970 says so.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(entry.unix_micros) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn show(out: &mut Vec<u8>, what: impl Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{what}");
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for &octet in text {
        match octet {
            b'"' | b'\\' | ..b' ' | 0x7f.. => show(out, format_args!("\\x{octet:02X}")),
            _ => out.push(octet),
        }
    }
}

fn json_field(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    show(out, format_args!(",\"{name}\":\""));
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => {
                    out.push(b'\\');
                    out.push(c as u8);
                }
                // Line and paragraph separators end a line for some readers.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    show(out, format_args!("\\u{:04x}", u32::from(c)));
                }
                c => show(out, c),
            }
        }
        if !chunk.invalid().is_empty() {
            show(out, char::REPLACEMENT_CHARACTER);
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_http::access_log::CacheOutcome;
    use proptest::prelude::*;

    fn entry() -> Entry<'static> {
        Entry {
            unix_micros: 971_186_136_000_042,
            peer: Some("192.0.2.7".parse().unwrap()),
            method: b"GET",
            target: b"/apache_pb.gif?a=b",
            minor_version: 0,
            status: 200,
            body_octets: 2326,
            duration_micros: 57,
            outcome: CacheOutcome::Hit,
            referer: b"http://www.example.com/start.html",
            user_agent: b"Mozilla/4.08 [en] (Win98; I ;Nav)",
        }
    }

    fn line(format: fn(&mut Vec<u8>, &Entry<'_>), entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        format(&mut out, entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_combined_form() {
        assert_eq!(
            line(combined, &entry()),
            "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /apache_pb.gif?a=b HTTP/1.0\" 200 2326 \
             \"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\"\n"
        );
        let unreadable =
            Entry { peer: None, method: b"", target: b"", status: 400, referer: b"", user_agent: b"", ..entry() };
        assert_eq!(line(combined, &unreadable), "unix: - - [10/Oct/2000:13:55:36 +0000] \"-\" 400 2326 \"-\" \"-\"\n");
    }

    #[test]
    fn the_json_form() {
        assert_eq!(
            line(json, &Entry { peer: Some("::1".parse().unwrap()), minor_version: 1, referer: b"", ..entry() }),
            "{\"time\":\"2000-10-10T13:55:36.000042Z\",\"peer\":\"::1\",\"method\":\"GET\",\
             \"target\":\"/apache_pb.gif?a=b\",\"version\":\"1.1\",\"status\":200,\"bytes\":2326,\"duration_us\":57,\
             \"cache\":\"hit\",\"referer\":\"\",\"user_agent\":\"Mozilla/4.08 [en] (Win98; I ;Nav)\"}\n"
        );
    }

    #[test]
    fn hostile_texts_stay_in_their_field() {
        let hostile = Entry { user_agent: b"\" 200 0\r\n1.2.3.4 - \\ \x1b[2J \xff \xc3\xa9", ..entry() };
        let shown = line(combined, &hostile);
        assert!(shown.ends_with("\"\\x22 200 0\\x0D\\x0A1.2.3.4 - \\x5C \\x1B[2J \\xFF \\xC3\\xA9\"\n"), "{shown}");
        let shown = line(json, &hostile);
        assert!(shown.ends_with("\"\\\" 200 0\\u000d\\u000a1.2.3.4 - \\\\ \\u001b[2J \u{fffd} é\"}\n"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_octets_make_one_line_with_their_fields(octets: Vec<u8>, unix_micros: u64) {
            let entry = Entry { unix_micros, target: &octets, referer: &octets, user_agent: &octets, ..entry() };
            let text = line(combined, &entry);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert_eq!(text.matches('"').count(), 6);
            prop_assert!(text.trim_end().bytes().all(|b| (b' '..0x7f).contains(&b)));
            let parsed: serde_json::Value = serde_json::from_str(&line(json, &entry)).unwrap();
            prop_assert_eq!(parsed["target"].as_str().unwrap(), String::from_utf8_lossy(&octets));
        }
    }
}
