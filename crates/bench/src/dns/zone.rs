//! The zone that is served, and the questions about it: the same ones in every run.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The zone's name.
pub(super) const ORIGIN: &str = "example.com";
/// Names in it, each with an address of both kinds, a mail exchanger and a text.
const NAMES: u32 = 10_000;

/// How many questions there are of each type: 90 % ask for an IPv4 address, 5 % for a name that does not exist.
const QUESTIONS: [(&str, u32); 4] = [("A", 18_000), ("AAAA", 600), ("MX", 200), ("TXT", 200)];
const MISSING: u32 = 1_000;
/// Where the order of questions begins.
const SEED: u64 = 53;

/// A question, and what must come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) answer: Answer,
}

/// An answer without its TTLs, which a cache counts down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The response code in words.
    pub(super) status: String,
    /// The answer section, a record a line, words parted by one space.
    pub(super) records: Vec<String>,
}

/// The zone as a master file (RFC 1035 §5).
pub(super) fn file() -> String {
    let mut text = format!(
        "$ORIGIN {ORIGIN}.\n$TTL 3600\n\
         @ IN SOA ns1 hostmaster 1 7200 3600 1209600 3600\n\
         @ IN NS ns1\n@ IN NS ns2\nns1 IN A 192.0.2.253\nns2 IN A 192.0.2.254\n"
    );
    for number in 0..NAMES {
        for (kind, _) in QUESTIONS {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} IN {kind} {}", label(number), data(number, kind));
        }
    }
    text
}

/// The questions in a fixed random order, as dnsperf and kxdpgun read them: a name and a type on each line.
pub(super) fn questions() -> String {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut lines = Vec::new();
    for (kind, count) in QUESTIONS {
        lines.extend((0..count).map(|_| format!("{}.{ORIGIN} {kind}\n", label(random.u32(..NAMES)))));
    }
    lines.extend((0..MISSING).map(|_| format!("{}.{ORIGIN} A\n", missing(random.u32(..NAMES)))));
    random.shuffle(&mut lines);
    lines.concat()
}

/// One question of each type and one for a name that does not exist.
pub(super) fn samples() -> Vec<Sample> {
    let found = QUESTIONS.into_iter().map(|(kind, _)| {
        let number = 1234;
        let name = format!("{}.{ORIGIN}", label(number));
        let records = vec![format!("{name}. IN {kind} {}", data(number, kind))];
        Sample { name, kind, answer: Answer { status: "NOERROR".to_owned(), records } }
    });
    let answer = Answer { status: "NXDOMAIN".to_owned(), records: Vec::new() };
    found.chain([Sample { name: format!("{}.{ORIGIN}", missing(1234)), kind: "A", answer }]).collect()
}

fn label(number: u32) -> String {
    format!("host{number:05}")
}

fn missing(number: u32) -> String {
    format!("none{number:05}")
}

/// What the zone says about a name.
fn data(number: u32, kind: &str) -> String {
    match kind {
        // Addresses for benchmarks (RFC 2544) and for documentation (RFC 3849).
        "A" => Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number).to_string(),
        "AAAA" => Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, number as u16).to_string(),
        "MX" => format!("10 mail{}.example.net.", number % 4),
        _ => format!("\"v=spf1 ip4:198.18.0.0/15 include:spf{number}.example.net ~all\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_but_the_missing_ones_has_a_record() {
        let zone = file();
        let names: std::collections::HashSet<_> = zone.lines().filter_map(|line| line.split(' ').next()).collect();
        let questions = questions();
        let of_ours = |line: &&str| names.contains(line.split('.').next().unwrap());
        assert_eq!(questions.lines().count(), 20_000);
        assert_eq!(questions.lines().filter(of_ours).count(), 19_000);
        assert_eq!(questions.lines().filter(|line| line.ends_with(" A")).count(), 19_000);
    }

    #[test]
    fn the_order_is_mixed_and_always_the_same() {
        assert_eq!(questions(), questions());
        let kinds: Vec<_> = questions().lines().take(200).map(|line| line.rsplit(' ').next().unwrap().len()).collect();
        assert!(kinds.iter().any(|length| *length > 1));
    }

    #[test]
    fn samples_are_what_the_zone_says() {
        let zone = file();
        for sample in samples() {
            let record = sample.answer.records.first().map(|record| record.replace(".example.com. IN", " IN"));
            assert!(record.is_none_or(|record| zone.contains(&format!("\n{record}\n"))), "{sample:?}");
        }
        assert!(!zone.contains("none"));
    }
}
