//! One query as one line. Whatever a client sent, it cannot start a second line, add a field or reach a terminal as a
//! control sequence.

use std::fmt::{Display, Write};

use time::OffsetDateTime;

use super::Record;

/// Appends a line of twelve fields that a space separates: time, client as `address#port`, protocol, name, type, class,
/// flags with commas between, response code, outcome, octets of the answer, latency in microseconds, backend. A field
/// without a value is `-`.
///
/// Names are written as in master files (RFC 1035 §5.1): every octet is visible, none is a space. `backends` are the
/// names of the backends by their numbers; a number without a name is written as `#7`.
pub fn format_text<S: AsRef<str>>(record: &Record<'_>, backends: &[S], out: &mut String) {
    push_time(record, out);
    show(out, format_args!(" {}#{} {}", record.client.to_canonical(), record.client_port, record.protocol.name()));
    match &record.question {
        Some(question) => show(out, format_args!(" {} {} {} ", question.name, question.qtype, question.qclass)),
        None => out.push_str(" - - - "),
    }
    if record.flags.names().next().is_none() {
        out.push('-');
    }
    for (index, name) in record.flags.names().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        out.push_str(name);
    }
    let (octets, latency) = (record.answer_octets, record.latency_micros);
    show(out, format_args!(" {} {} {octets} {latency} ", record.rcode, record.outcome.name()));
    match record.backend.map(|index| (index, backends.get(usize::from(index)))) {
        None => out.push('-'),
        Some((_, Some(name))) => push_word(name.as_ref(), out),
        Some((index, None)) => show(out, format_args!("#{index}")),
    }
    out.push('\n');
}

/// Appends a JSON object (RFC 8259) and a line's end. What has no value is not there, flags that are not set are
/// `false`. The name is written as in master files, within a JSON string.
pub fn format_json<S: AsRef<str>>(record: &Record<'_>, backends: &[S], out: &mut String) {
    out.push_str("{\"time\":\"");
    push_time(record, out);
    let (client, port) = (record.client.to_canonical(), record.client_port);
    show(out, format_args!("\",\"client\":\"{client}\",\"port\":{port},\"protocol\":\"{}\"", record.protocol.name()));
    if let Some(question) = &record.question {
        out.push_str(",\"name\":");
        push_string(question.name, out);
        show(out, format_args!(",\"type\":\"{}\",\"class\":\"{}\"", question.qtype, question.qclass));
    }
    for (flag, name) in super::QueryFlags::NAMES {
        show(out, format_args!(",\"{name}\":{}", record.flags.has(flag)));
    }
    show(out, format_args!(",\"rcode\":\"{}\",\"outcome\":\"{}\"", record.rcode, record.outcome.name()));
    show(out, format_args!(",\"bytes\":{},\"latency_us\":{}", record.answer_octets, record.latency_micros));
    if let Some(index) = record.backend {
        out.push_str(",\"backend\":");
        match backends.get(usize::from(index)) {
            Some(name) => push_string(name.as_ref(), out),
            None => push_string(format_args!("#{index}"), out),
        }
    }
    out.push_str("}\n");
}

fn push_time(record: &Record<'_>, out: &mut String) {
    // A clock beyond the year 9999 is wrong, and 1970 says so.
    let when = OffsetDateTime::from_unix_timestamp_nanos(i128::from(record.unix_micros) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = when.to_calendar_date();
    let (hour, minute, second, micro) = when.to_hms_micro();
    let month = u8::from(month);
    show(out, format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z"));
}

/// `text` without spaces and control characters: what an operator has configured, and may have mistyped.
fn push_word(text: &str, out: &mut String) {
    out.extend(text.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }));
}

/// A JSON string.
fn push_string(text: impl Display, out: &mut String) {
    struct Escaped<'a>(&'a mut String);
    impl Write for Escaped<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for c in text.chars() {
                match c {
                    '"' | '\\' => self.0.extend(['\\', c]),
                    // Line and paragraph separators end a line for some readers.
                    c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                        write!(self.0, "\\u{:04x}", u32::from(c))?;
                    }
                    c => self.0.push(c),
                }
            }
            Ok(())
        }
    }
    out.push('"');
    show(&mut Escaped(out), text);
    out.push('"');
}

fn show(out: &mut impl Write, what: impl Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, Name, NameBuf, Question, Rcode, Type};
    use crate::query_log::{Outcome, Protocol, QueryFlags};
    use proptest::prelude::*;

    fn record(name: Name<'_>) -> Record<'_> {
        Record {
            unix_micros: 971_186_136_000_042,
            client: "192.0.2.7".parse().unwrap(),
            client_port: 5353,
            protocol: Protocol::Udp,
            question: Some(Question { name, qtype: Type::AAAA, qclass: Class::IN }),
            flags: QueryFlags::RECURSION.with(QueryFlags::DNSSEC, true).with(QueryFlags::EDNS, true),
            rcode: Rcode::NOERROR,
            outcome: Outcome::Miss,
            answer_octets: 64,
            latency_micros: 570,
            backend: Some(1),
        }
    }

    fn text(record: &Record<'_>) -> String {
        let mut out = String::new();
        format_text(record, &["first", "second"], &mut out);
        out
    }

    fn json(record: &Record<'_>) -> String {
        let mut out = String::new();
        format_json(record, &["first", "second"], &mut out);
        out
    }

    #[test]
    fn the_text_form() {
        let name: NameBuf = "www.Example.com".parse().unwrap();
        let full = record(name.as_name());
        assert_eq!(
            text(&full),
            "2000-10-10T13:55:36.000042Z 192.0.2.7#5353 udp www.Example.com. AAAA IN rd,do,edns NOERROR miss 64 570 \
             second\n"
        );
        let empty = Record {
            client: "2001:db8::1".parse().unwrap(),
            protocol: Protocol::Tcp,
            question: None,
            flags: QueryFlags::default(),
            rcode: Rcode::FORMERR,
            outcome: Outcome::Malformed,
            backend: None,
            ..full.clone()
        };
        assert_eq!(
            text(&empty),
            "2000-10-10T13:55:36.000042Z 2001:db8::1#5353 tcp - - - - FORMERR malformed 64 570 -\n"
        );
        let unknown = Record {
            question: Some(Question { qtype: Type(65280), qclass: Class(7), ..full.question.unwrap() }),
            rcode: Rcode(999),
            backend: Some(7),
            ..full
        };
        assert!(
            text(&unknown).ends_with(" www.Example.com. TYPE65280 CLASS7 rd,do,edns RCODE999 miss 64 570 #7\n"),
            "{}",
            text(&unknown)
        );
    }

    #[test]
    fn the_json_form() {
        let name: NameBuf = "www.example.com".parse().unwrap();
        let full = record(name.as_name());
        assert_eq!(
            json(&full),
            "{\"time\":\"2000-10-10T13:55:36.000042Z\",\"client\":\"192.0.2.7\",\"port\":5353,\"protocol\":\"udp\",\
             \"name\":\"www.example.com.\",\"type\":\"AAAA\",\"class\":\"IN\",\"rd\":true,\"do\":true,\"cd\":false,\
             \"cookie\":false,\"edns\":true,\"rcode\":\"NOERROR\",\"outcome\":\"miss\",\"bytes\":64,\
             \"latency_us\":570,\"backend\":\"second\"}\n"
        );
        let empty: serde_json::Value =
            serde_json::from_str(&json(&Record { question: None, backend: None, ..full })).unwrap();
        assert!(empty.get("name").is_none() && empty.get("type").is_none() && empty.get("backend").is_none());
    }

    #[test]
    fn hostile_names_stay_in_their_field() {
        let name = NameBuf::prepend(b"a b\r\n\x1b[2J\"\\\xc3\xa9\0", Name::ROOT).unwrap();
        let shown = "a\\032b\\013\\010\\027[2J\\\"\\\\\\195\\169\\000.";
        assert!(text(&record(name.as_name())).contains(&format!(" udp {shown} AAAA ")));
        let parsed: serde_json::Value = serde_json::from_str(&json(&record(name.as_name()))).unwrap();
        assert_eq!(parsed["name"], shown);
    }

    #[test]
    fn hostile_backends_stay_in_their_field() {
        let (mut line, mut object) = (String::new(), String::new());
        format_text(&record(Name::ROOT), &["", "a b\n\"c"], &mut line);
        assert!(line.ends_with(" a_b_\"c\n"), "{line}");
        format_json(&record(Name::ROOT), &["", "a b\n\"c\u{2028}"], &mut object);
        assert!(object.ends_with("\"a b\\u000a\\\"c\\u2028\"}\n"), "{object}");
    }

    proptest! {
        #[test]
        fn any_name_makes_one_line_of_twelve_visible_fields_that_tells_the_name(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=63), 0..4),
            unix_micros: u64,
            numbers: (u16, u16, u16),
        ) {
            let name = labels.iter().fold(Name::ROOT.to_owned(), |name, label| {
                NameBuf::prepend(label, name.as_name()).unwrap_or(name)
            });
            let (qtype, qclass, rcode) = (Type(numbers.0), Class(numbers.1), Rcode(numbers.2));
            let question = Some(Question { name: name.as_name(), qtype, qclass });
            let record = Record { unix_micros, question, rcode, ..record(name.as_name()) };
            let line = text(&record);
            prop_assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
            prop_assert!(line.trim_end().bytes().all(|octet| (b' '..0x7f).contains(&octet)));
            let fields: Vec<_> = line.trim_end().split(' ').collect();
            prop_assert_eq!(fields.len(), 12);
            prop_assert!(fields.iter().all(|field| !field.is_empty()));
            let told: NameBuf = fields[3].parse().unwrap();
            prop_assert_eq!(told.as_name().as_wire(), name.as_name().as_wire());
            let object = json(&record);
            prop_assert!(object.ends_with('\n') && object.matches('\n').count() == 1);
            let parsed: serde_json::Value = serde_json::from_str(&object).unwrap();
            prop_assert_eq!(parsed["name"].as_str().unwrap(), fields[3]);
        }
    }
}
