//! The query log's way off the engines: one bounded ring of octets for each engine.
//!
//! An engine pushes one record for each query with a [`Recorder`]: no lock, no allocation, no wait. A ring without room
//! drops the record and counts it. Another thread takes them out of [`Records`] and writes them down.

mod format;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use afpa_engine::records::{self, Fields, RecordReceiver, RecordSender};
use afpa_engine::stats::Counter;

use crate::message::{Class, MAX_NAME, Name, Question, Rcode, Type};

pub use format::{format_json, format_text};

/// The largest record in octets: the smallest ring that can hold every record.
pub const MAX_RECORD: usize = FIXED + MAX_NAME;

/// Octets of a record before the name.
const FIXED: usize = 8 + 17 + 2 + 1 + 4 + 1 + 2 + 1 + 4 + 4 + 3;

/// What became of a query, as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the query was read, in microseconds since 1970.
    pub unix_micros: u64,
    /// Who asked.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// How the query came.
    pub protocol: Protocol,
    /// What was asked; `None` if there was no question that could be read.
    pub question: Option<Question<'a>>,
    /// What the query said besides.
    pub flags: QueryFlags,
    /// The answer's code; without meaning if none was sent.
    pub rcode: Rcode,
    /// Where the answer came from, or why there was none.
    pub outcome: Outcome,
    /// Octets of the answer; zero if none was sent.
    pub answer_octets: u32,
    /// From the query being read to the answer being sent, in microseconds.
    pub latency_micros: u32,
    /// The backend that answered, by its number in the configuration.
    pub backend: Option<u16>,
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// In a datagram.
    Udp = 0,
    /// On a connection.
    Tcp = 1,
}

impl Protocol {
    /// Every protocol, each at its number.
    pub const ALL: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        }
    }
}

/// What a query said, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueryFlags(pub u8);

impl QueryFlags {
    /// Recursion is desired.
    pub const RECURSION: QueryFlags = QueryFlags(1);
    /// DNSSEC records are wanted.
    pub const DNSSEC: QueryFlags = QueryFlags(2);
    /// Checking is disabled.
    pub const CHECKING_DISABLED: QueryFlags = QueryFlags(4);
    /// Its server cookie was good.
    pub const COOKIE: QueryFlags = QueryFlags(8);
    /// It had an OPT record.
    pub const EDNS: QueryFlags = QueryFlags(16);

    /// Every flag, with its name in logs.
    pub const NAMES: [(QueryFlags, &'static str); 5] = [
        (QueryFlags::RECURSION, "rd"),
        (QueryFlags::DNSSEC, "do"),
        (QueryFlags::CHECKING_DISABLED, "cd"),
        (QueryFlags::COOKIE, "cookie"),
        (QueryFlags::EDNS, "edns"),
    ];

    /// These, and `flag` if `is_set`.
    pub const fn with(self, flag: QueryFlags, is_set: bool) -> QueryFlags {
        if is_set { QueryFlags(self.0 | flag.0) } else { self }
    }

    /// Whether `flag` is set.
    pub const fn has(self, flag: QueryFlags) -> bool {
        self.0 & flag.0 == flag.0
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        QueryFlags::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

/// Where an answer came from, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// From the cache.
    Hit = 0,
    /// From the cache, although it had expired (RFC 8767).
    Stale = 1,
    /// From a backend.
    Miss = 2,
    /// From a zone.
    Zone = 3,
    /// From the server itself: its version, its name, ANY (RFC 8482).
    Server = 4,
    /// No backend had an answer: SERVFAIL.
    Failed = 5,
    /// The query could not be read, or is of a kind that is not served.
    Malformed = 6,
    /// The client may not ask that.
    Refused = 7,
    /// The client asks more than it may.
    Limited = 8,
    /// Response rate limiting: sent truncated.
    Truncated = 9,
    /// Response rate limiting, or a bound that was reached: not sent.
    Dropped = 10,
}

impl Outcome {
    /// Every outcome, each at its number.
    pub const ALL: [Outcome; 11] = [
        Outcome::Hit,
        Outcome::Stale,
        Outcome::Miss,
        Outcome::Zone,
        Outcome::Server,
        Outcome::Failed,
        Outcome::Malformed,
        Outcome::Refused,
        Outcome::Limited,
        Outcome::Truncated,
        Outcome::Dropped,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Miss => "miss",
            Outcome::Zone => "zone",
            Outcome::Server => "server",
            Outcome::Failed => "failed",
            Outcome::Malformed => "malformed",
            Outcome::Refused => "refused",
            Outcome::Limited => "limited",
            Outcome::Truncated => "truncated",
            Outcome::Dropped => "dropped",
        }
    }
}

/// A ring of `capacity` octets, at least [`MAX_RECORD`]: the engine's end and the log's.
pub fn ring(capacity: usize) -> (Recorder, Records) {
    let (sender, receiver) = records::ring(capacity.max(MAX_RECORD));
    (Recorder { sender }, Records { receiver })
}

/// The engine's end.
pub struct Recorder {
    sender: RecordSender,
}

impl Recorder {
    /// Queues one record. Returns whether there was room; if not, the record is dropped and counted.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        let name = record.question.map(|question| question.name.as_wire()).unwrap_or_default();
        self.sender.push(&[&fixed(record), name])
    }
}

/// The log's end.
pub struct Records {
    receiver: RecordReceiver,
}

impl Records {
    /// Takes the oldest record out of the ring.
    pub fn take(&mut self) -> Option<Record<'_>> {
        decode(self.receiver.take()?)
    }

    /// How many records found no room so far.
    pub fn dropped(&self) -> u64 {
        self.receiver.dropped()
    }

    /// The counter behind [`Records::dropped`], for whoever reports it.
    pub fn dropped_counter(&self) -> Arc<Counter> {
        self.receiver.dropped_counter()
    }

    /// Whether the engine's end is gone: no record will be added.
    pub fn is_abandoned(&self) -> bool {
        self.receiver.is_abandoned()
    }
}

/// What a record has before its name, numbers little-endian.
fn fixed(record: &Record<'_>) -> [u8; FIXED] {
    let (is_ipv4, address) = match record.client {
        IpAddr::V4(ip) => (1, ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => (0, ip.octets()),
    };
    let (rtype, class) = record.question.map_or((0, 0), |question| (question.qtype.0, question.qclass.0));
    let mut octets = [0; FIXED];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        octets[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&record.unix_micros.to_le_bytes());
    put(&[is_ipv4]);
    put(&address);
    put(&record.client_port.to_le_bytes());
    put(&[record.protocol as u8]);
    put(&rtype.to_le_bytes());
    put(&class.to_le_bytes());
    put(&[record.flags.0]);
    put(&record.rcode.0.to_le_bytes());
    put(&[record.outcome as u8]);
    put(&record.answer_octets.to_le_bytes());
    put(&record.latency_micros.to_le_bytes());
    put(&[u8::from(record.backend.is_some())]);
    put(&record.backend.unwrap_or_default().to_le_bytes());
    octets
}

/// Reads what [`Recorder::push`] wrote.
fn decode(record: &[u8]) -> Option<Record<'_>> {
    let mut input = Fields(record);
    let unix_micros = u64::from_le_bytes(input.array()?);
    let [is_ipv4] = input.array()?;
    let address = Ipv6Addr::from(input.array::<16>()?);
    let client_port = u16::from_le_bytes(input.array()?);
    let [protocol] = input.array()?;
    let (qtype, qclass) = (Type(u16::from_le_bytes(input.array()?)), Class(u16::from_le_bytes(input.array()?)));
    let [flags] = input.array()?;
    let rcode = Rcode(u16::from_le_bytes(input.array()?));
    let [outcome] = input.array()?;
    let answer_octets = u32::from_le_bytes(input.array()?);
    let latency_micros = u32::from_le_bytes(input.array()?);
    let [has_backend] = input.array()?;
    let backend = u16::from_le_bytes(input.array()?);
    let name = (!input.0.is_empty()).then(|| Name::read(input.0)).transpose().ok()?;
    Some(Record {
        unix_micros,
        client: if is_ipv4 == 1 { IpAddr::V4(address.to_ipv4_mapped()?) } else { IpAddr::V6(address) },
        client_port,
        protocol: *Protocol::ALL.get(usize::from(protocol))?,
        question: name.map(|name| Question { name, qtype, qclass }),
        flags: QueryFlags(flags),
        rcode,
        outcome: *Outcome::ALL.get(usize::from(outcome))?,
        answer_octets,
        latency_micros,
        backend: (has_backend == 1).then_some(backend),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::NameBuf;
    use proptest::prelude::*;

    fn record(name: Name<'_>) -> Record<'_> {
        Record {
            unix_micros: 1_700_000_000_123_456,
            client: "192.0.2.7".parse().unwrap(),
            client_port: 5353,
            protocol: Protocol::Tcp,
            question: Some(Question { name, qtype: Type::AAAA, qclass: Class::IN }),
            flags: QueryFlags::RECURSION.with(QueryFlags::COOKIE, true),
            rcode: Rcode::NXDOMAIN,
            outcome: Outcome::Miss,
            answer_octets: 65_535,
            latency_micros: 42,
            backend: Some(3),
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_also_around_the_end_of_the_ring(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=63), 0..4),
            numbers: (u64, u16, u16, u8, u16, u32, u32),
            client: std::net::IpAddr,
            backend: Option<u16>,
            outcome in prop::sample::select(&Outcome::ALL[..]),
        ) {
            let name = labels.iter().fold(Name::ROOT.to_owned(), |name, label| {
                NameBuf::prepend(label, name.as_name()).unwrap_or(name)
            });
            let (mut recorder, mut records) = ring(0);
            for round in 0..20 {
                let (unix_micros, client_port, rtype, flags, rcode, answer_octets, latency_micros) = numbers;
                let question = Question { name: name.as_name(), qtype: Type(rtype), qclass: Class(round) };
                let sent = Record {
                    unix_micros,
                    client,
                    client_port,
                    protocol: Protocol::ALL[usize::from(round) % 2],
                    question: (round % 3 > 0).then_some(question),
                    flags: QueryFlags(flags),
                    rcode: Rcode(rcode),
                    outcome,
                    answer_octets,
                    latency_micros,
                    backend,
                };
                prop_assert!(recorder.push(&sent));
                prop_assert_eq!(records.take(), Some(sent));
                prop_assert_eq!(records.take(), None);
            }
            prop_assert_eq!(records.dropped(), 0);
        }
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_keeps_what_it_has() {
        let name: NameBuf = "www.example.com".parse().unwrap();
        let (mut recorder, mut records) = ring(MAX_RECORD);
        let kept = (0..200).filter(|_| recorder.push(&record(name.as_name()))).count();
        assert!(kept > 0 && kept < 200);
        assert_eq!(records.dropped(), 200 - kept as u64);
        assert_eq!(records.dropped_counter().get(), 200 - kept as u64);
        for _ in 0..kept {
            assert_eq!(records.take(), Some(record(name.as_name())));
        }
        assert_eq!(records.take(), None);
        assert!(!records.is_abandoned());
        drop(recorder);
        assert!(records.is_abandoned());
    }
}
