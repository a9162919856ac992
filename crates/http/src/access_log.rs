//! The access log's way off the engines: one bounded ring of octets for each engine.
//!
//! An engine pushes one record for each request with a [`Recorder`]: no lock, no allocation, no
//! wait. A ring without room drops the record and counts it. Another thread takes them out of
//! [`Records`] and writes them down.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use afpa_engine::records::{self, Fields, RecordReceiver, RecordSender};
use afpa_engine::stats::Counter;

/// The most octets of a method that are logged.
pub const MAX_METHOD: usize = 32;
/// The most octets of a request target that are logged.
pub const MAX_TARGET: usize = 2048;
/// The most octets of a Referer that are logged.
pub const MAX_REFERER: usize = 1024;
/// The most octets of a User-Agent that are logged.
pub const MAX_USER_AGENT: usize = 512;
/// The largest record: the smallest ring that can hold every record.
pub const MAX_RECORD: usize = FIXED + MAX_METHOD + MAX_TARGET + MAX_REFERER + MAX_USER_AGENT;

/// Octets of a record before its texts.
const FIXED: usize = 8 + 1 + 16 + 1 + 2 + 8 + 8 + 1 + 4 * 2;

/// What became of a request, as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When the request was read, in microseconds since 1970.
    pub unix_micros: u64,
    /// Who asked; `None` through a Unix socket.
    pub peer: Option<IpAddr>,
    /// The method as sent, or empty if there was none that could be read.
    pub method: &'a [u8],
    /// The request target as sent, any octets.
    pub target: &'a [u8],
    /// The minor version of HTTP/1.
    pub minor_version: u8,
    /// The status answered.
    pub status: u16,
    /// Octets of payload handed to TCP.
    pub body_octets: u64,
    /// From the request being read to its last octet being handed to TCP, in microseconds.
    pub duration_micros: u64,
    /// How the cache took part.
    pub outcome: CacheOutcome,
    /// The Referer field, or empty.
    pub referer: &'a [u8],
    /// The User-Agent field, or empty.
    pub user_agent: &'a [u8],
}

/// How the cache took part in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CacheOutcome {
    /// Answered from pinned memory.
    Hit = 0,
    /// Fetched first.
    Miss = 1,
    /// Answered from a file, through the file system's cache.
    File = 2,
    /// The client's copy was still good: 304.
    Revalidated = 3,
    /// The cache had no part in it: errors, redirects, listings.
    None = 4,
    /// Another request's answer: it waited for that, and asked nobody.
    Collapsed = 5,
    /// Asked of a backend first, whose answer was that the cache's is still good.
    Validated = 6,
    /// From the cache, although it was out of date, because the backend failed.
    Stale = 7,
    /// Asked of a backend, without the cache.
    Pass = 8,
}

impl CacheOutcome {
    /// Every outcome, each at its number.
    pub const ALL: [CacheOutcome; 9] = [
        CacheOutcome::Hit,
        CacheOutcome::Miss,
        CacheOutcome::File,
        CacheOutcome::Revalidated,
        CacheOutcome::None,
        CacheOutcome::Collapsed,
        CacheOutcome::Validated,
        CacheOutcome::Stale,
        CacheOutcome::Pass,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            CacheOutcome::Hit => "hit",
            CacheOutcome::Miss => "miss",
            CacheOutcome::File => "file",
            CacheOutcome::Revalidated => "revalidated",
            CacheOutcome::Collapsed => "collapsed",
            CacheOutcome::Validated => "validated",
            CacheOutcome::Stale => "stale",
            CacheOutcome::Pass => "pass",
            CacheOutcome::None => "none",
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
    /// Queues one record, its texts cut at their bounds. Returns whether there was room; if not, the
    /// record is dropped and counted.
    pub fn push(&mut self, entry: &Entry<'_>) -> bool {
        let texts = [
            cut(entry.method, MAX_METHOD),
            cut(entry.target, MAX_TARGET),
            cut(entry.referer, MAX_REFERER),
            cut(entry.user_agent, MAX_USER_AGENT),
        ];
        let [method, target, referer, user_agent] = texts;
        self.sender.push(&[&fixed(entry, &texts), method, target, referer, user_agent])
    }
}

/// The log's end.
pub struct Records {
    receiver: RecordReceiver,
}

impl Records {
    /// Takes the oldest record out of the ring.
    pub fn take(&mut self) -> Option<Entry<'_>> {
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

/// A record's first octets, little-endian: the numbers, the lengths of the four texts.
fn fixed(entry: &Entry<'_>, texts: &[&[u8]; 4]) -> [u8; FIXED] {
    let (family, address) = match entry.peer {
        None => (0, [0; 16]),
        Some(IpAddr::V4(ip)) => (4, ip.to_ipv6_mapped().octets()),
        Some(IpAddr::V6(ip)) => (6, ip.octets()),
    };
    let mut fixed = [0; FIXED];
    let mut at = 0;
    let mut put = |octets: &[u8]| {
        fixed[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    put(&entry.unix_micros.to_le_bytes());
    put(&[family]);
    put(&address);
    put(&[entry.minor_version]);
    put(&entry.status.to_le_bytes());
    put(&entry.body_octets.to_le_bytes());
    put(&entry.duration_micros.to_le_bytes());
    put(&[entry.outcome as u8]);
    for text in texts {
        put(&(text.len() as u16).to_le_bytes());
    }
    fixed
}

/// Reads what [`Recorder::push`] wrote.
fn decode(record: &[u8]) -> Option<Entry<'_>> {
    let mut input = Fields(record);
    let unix_micros = u64::from_le_bytes(input.array()?);
    let [family] = input.array()?;
    let address = Ipv6Addr::from(input.array::<16>()?);
    let [minor_version] = input.array()?;
    let status = u16::from_le_bytes(input.array()?);
    let body_octets = u64::from_le_bytes(input.array()?);
    let duration_micros = u64::from_le_bytes(input.array()?);
    let [outcome] = input.array()?;
    let mut lengths = [0; 4];
    for length in &mut lengths {
        *length = usize::from(u16::from_le_bytes(input.array()?));
    }
    Some(Entry {
        unix_micros,
        peer: match family {
            4 => Some(IpAddr::V4(address.to_ipv4_mapped()?)),
            6 => Some(IpAddr::V6(address)),
            _ => None,
        },
        minor_version,
        status,
        body_octets,
        duration_micros,
        outcome: *CacheOutcome::ALL.get(usize::from(outcome))?,
        method: input.slice(lengths[0])?,
        target: input.slice(lengths[1])?,
        referer: input.slice(lengths[2])?,
        user_agent: input.slice(lengths[3])?,
    })
}

fn cut(text: &[u8], most: usize) -> &[u8] {
    &text[..text.len().min(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(target: &'a [u8], agent: &'a [u8]) -> Entry<'a> {
        Entry {
            unix_micros: 1_700_000_000_123_456,
            peer: Some("192.0.2.7".parse().unwrap()),
            method: b"GET",
            target,
            minor_version: 1,
            status: 200,
            body_octets: 5_000_000_000,
            duration_micros: 42,
            outcome: CacheOutcome::Miss,
            referer: b"",
            user_agent: agent,
        }
    }

    #[test]
    fn what_goes_in_comes_out_also_around_the_end_of_the_ring() {
        let (mut recorder, mut records) = ring(0);
        for i in 0..5000usize {
            let target = vec![b'a' + (i % 26) as u8; i % MAX_TARGET];
            let mut sent = entry(&target, b"agent \xff\0\n");
            sent.peer = [None, Some("::1".parse().unwrap()), Some("10.0.0.1".parse().unwrap())][i % 3];
            sent.outcome = CacheOutcome::ALL[i % 5];
            assert!(recorder.push(&sent));
            assert_eq!(records.take(), Some(sent));
            assert_eq!(records.take(), None);
        }
        assert_eq!(records.dropped(), 0);
        assert!(!records.is_abandoned());
        drop(recorder);
        assert!(records.is_abandoned());
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_keeps_what_it_has() {
        let (mut recorder, mut records) = ring(MAX_RECORD);
        let kept = (0..200).filter(|_| recorder.push(&entry(&[b'x'; 100], b""))).count();
        assert!(kept > 0 && kept < 200);
        assert_eq!(records.dropped(), 200 - kept as u64);
        let mut taken = 0;
        while let Some(entry) = records.take() {
            assert_eq!(entry.target, [b'x'; 100]);
            taken += 1;
        }
        assert_eq!(taken, kept);
        assert!(recorder.push(&entry(b"/", b"")), "there is room again");
    }

    #[test]
    fn texts_are_cut_at_their_bounds() {
        let (mut recorder, mut records) = ring(MAX_RECORD);
        let long = vec![b'y'; 100_000];
        assert!(recorder.push(&Entry { method: &long, referer: &long, ..entry(&long, &long) }));
        let entry = records.take().unwrap();
        let lengths = [entry.method, entry.target, entry.referer, entry.user_agent].map(<[u8]>::len);
        assert_eq!(lengths, [MAX_METHOD, MAX_TARGET, MAX_REFERER, MAX_USER_AGENT]);
    }
}
