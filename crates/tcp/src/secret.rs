//! What peers must not be able to guess or steer, from one seed.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use afpa_wire::sequence::Sequence;
use siphasher::sip::SipHasher13;

use crate::lookup::Tuple;
use crate::time::Time;

/// Keyed hashes (SipHash-1-3) for one engine, each purpose under a key of its own: what one of them
/// shows to peers says nothing about the others.
pub(crate) struct Secret {
    lookup: SipHasher13,
    sequence: SipHasher13,
    timestamp: SipHasher13,
    timestamp_key: [u64; 2],
    port: SipHasher13,
    /// `next_ephemeral` of RFC 6056 §3.3.3.
    next_port: u32,
}

/// Ports that are tried before a search is given up.
const PORTS_TRIED: u32 = 1024;

/// The clock of RFC 9293 §3.4.1 ticks every 4 microseconds.
const SEQUENCE_TICK: u64 = 4_000;

impl Secret {
    /// All that `seed` determines; a stack needs one that nobody else knows.
    pub(crate) fn new(seed: &[u8; 32]) -> Secret {
        let port = keyed(seed, b"port", 0);
        let next_port = port.hash(b"next") as u32;
        Secret {
            lookup: keyed(seed, b"lookup", 0),
            sequence: keyed(seed, b"sequence", 0),
            timestamp: keyed(seed, b"timestamp", 0),
            timestamp_key: key(seed, b"timestamp", 0),
            port,
            next_port,
        }
    }

    /// The hash under which tables know a connection.
    pub(crate) fn hash(&self, tuple: &Tuple) -> u64 {
        hash_tuple(&self.lookup, tuple)
    }

    /// RFC 6528 §3: M + F(4-tuple, secret). A connection between the same ends begins above the one
    /// before it, and what one peer sees tells nothing about another's.
    pub(crate) fn initial_sequence(&self, now: Time, tuple: &Tuple) -> Sequence {
        let clock = (now.0 / SEQUENCE_TICK) as u32;
        Sequence(clock.wrapping_add(hash_tuple(&self.sequence, tuple) as u32))
    }

    /// What is added to the timestamp clock for this peer (RFC 7323 §5.4, §7.1): one clock per pair of
    /// addresses, so that it is monotonic over connections, and hides the machine's uptime.
    pub(crate) fn timestamp_offset(&self, local: IpAddr, remote: IpAddr) -> u32 {
        hash_tuple(&self.timestamp, &Tuple { local, remote, local_port: 0, remote_port: 0 }) as u32
    }

    /// The key of [`Secret::timestamp_offset`], as SipHash's two words.
    pub(crate) fn timestamp_key(&self) -> [u64; 2] {
        self.timestamp_key
    }

    /// A port of `range` for a connection to `remote` (RFC 6056 §3.3.3, algorithm 3): not to be guessed
    /// from other connections' ports, and not used again soon. `None` if `is_taken` says so of
    /// each port, or of 1024 in a row.
    pub(crate) fn choose_port(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        range: RangeInclusive<u16>,
        mut is_taken: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let count = u32::from(*range.end()).checked_sub(u32::from(*range.start()))? + 1;
        let ends = Tuple { local, remote: remote.ip(), local_port: 0, remote_port: remote.port() };
        let first = hash_tuple(&self.port, &ends) as u32 % count + self.next_port % count;
        for step in 0..count.min(PORTS_TRIED) {
            self.next_port = self.next_port.wrapping_add(1);
            // Less than `count` above the start: within the range.
            let port = range.start().saturating_add(((first + step) % count) as u16);
            if !is_taken(port) {
                return Some(port);
            }
        }
        None
    }
}

/// A hash function for one purpose; `number` tells apart the keys of a purpose that has many.
pub(crate) fn keyed(seed: &[u8; 32], purpose: &[u8], number: u64) -> SipHasher13 {
    let [low, high] = key(seed, purpose, number);
    SipHasher13::new_with_keys(low, high)
}

/// The two words of a key: the seed's first half is the key of the function that derives it, the second
/// half its input, with the purpose and the number.
pub(crate) fn key(seed: &[u8; 32], purpose: &[u8], number: u64) -> [u64; 2] {
    let word = |at: usize| seed[at..at + 8].iter().rev().fold(0, |word, &octet| word << 8 | u64::from(octet));
    let derive = SipHasher13::new_with_keys(word(0), word(8));
    [0u8, 1].map(|half| {
        let mut input = [0; 48];
        input[..16].copy_from_slice(&seed[16..]);
        input[16..24].copy_from_slice(&number.to_be_bytes());
        input[24] = half;
        let kept = purpose.len().min(input.len() - 25);
        input[25..25 + kept].copy_from_slice(&purpose[..kept]);
        derive.hash(&input)
    })
}

/// Over 12 octets for IPv4, 36 for IPv6: local and remote address, local and remote port.
fn hash_tuple(function: &SipHasher13, tuple: &Tuple) -> u64 {
    let mut input = [0; 36];
    let mut len = 0;
    let mut put = |octets: &[u8]| {
        input[len..len + octets.len()].copy_from_slice(octets);
        len += octets.len();
    };
    for address in [tuple.local, tuple.remote] {
        match address {
            IpAddr::V4(address) => put(&address.octets()),
            IpAddr::V6(address) => put(&address.octets()),
        }
    }
    put(&tuple.local_port.to_be_bytes());
    put(&tuple.remote_port.to_be_bytes());
    function.hash(&input[..len])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn tuple(local: &str, remote: &str) -> Tuple {
        Tuple::new(local.parse().unwrap(), remote.parse().unwrap())
    }

    #[test]
    fn each_part_of_the_tuple_counts_and_so_does_the_seed() {
        let tuples = [
            tuple("192.0.2.1:80", "198.51.100.1:1024"),
            tuple("192.0.2.2:80", "198.51.100.1:1024"),
            tuple("192.0.2.1:81", "198.51.100.1:1024"),
            tuple("192.0.2.1:80", "198.51.100.2:1024"),
            tuple("192.0.2.1:80", "198.51.100.1:1025"),
            tuple("198.51.100.1:1024", "192.0.2.1:80"),
            tuple("[2001:db8::1]:80", "[2001:db8::2]:1024"),
            tuple("[2001:db8::2]:80", "[2001:db8::1]:1024"),
        ];
        let secrets = [Secret::new(&[1; 32]), Secret::new(&[2; 32])];
        let all = || secrets.iter().flat_map(|secret| tuples.iter().map(move |tuple| (secret, tuple)));
        let hashes: BTreeSet<_> = all().map(|(secret, tuple)| secret.hash(tuple)).collect();
        let sequences: BTreeSet<_> = all().map(|(secret, tuple)| secret.initial_sequence(Time(0), tuple).0).collect();
        assert_eq!((hashes.len(), sequences.len()), (16, 16));
    }

    #[test]
    fn every_octet_of_the_seed_counts() {
        let tuple = tuple("192.0.2.1:80", "198.51.100.1:1024");
        let hashes: BTreeSet<_> = (0..32)
            .map(|at| {
                let mut seed = [0; 32];
                seed[at] = 1;
                Secret::new(&seed).hash(&tuple)
            })
            .collect();
        assert_eq!(hashes.len(), 32);
    }

    /// RFC 9293 §3.4.1: about 4 µs per number.
    #[test]
    fn initial_sequence_numbers_rise_with_the_clock() {
        let (secret, tuple) = (Secret::new(&[7; 32]), tuple("192.0.2.1:80", "198.51.100.1:1024"));
        let first = secret.initial_sequence(Time(0), &tuple);
        for (later, expected) in [(3_999, 0), (4_000, 1), (1_000_000_000, 250_000)] {
            assert_eq!(secret.initial_sequence(Time(later), &tuple).0.wrapping_sub(first.0), expected);
        }
        let wrapped = Time(0).after(Duration::from_micros(4 << 32));
        assert_eq!(secret.initial_sequence(wrapped, &tuple), first);
    }

    #[test]
    fn the_timestamp_clock_is_one_per_pair_of_addresses() {
        let secret = Secret::new(&[7; 32]);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let offset = |remote| secret.timestamp_offset(address("192.0.2.1"), address(remote));
        assert_eq!(offset("198.51.100.1"), offset("198.51.100.1"));
        assert_ne!(offset("198.51.100.1"), offset("198.51.100.2"));
    }

    #[test]
    fn ports_are_not_used_again_before_the_range_is() {
        let mut secret = Secret::new(&[3; 32]);
        let remote = "198.51.100.1:80".parse().unwrap();
        let local = "192.0.2.1".parse().unwrap();
        let ports: BTreeSet<_> =
            (0..100).map(|_| secret.choose_port(local, remote, 40_000..=40_099, |_| false).unwrap()).collect();
        assert_eq!(ports, (40_000..=40_099).collect());
    }

    proptest! {
        #[test]
        fn a_free_port_of_the_range_is_chosen_if_there_is_one(
            seed in any::<[u8; 32]>(), start: u16, width in 0u16..300,
            taken in prop::collection::btree_set(0u16..300, 0..300),
        ) {
            let range = start..=start.saturating_add(width);
            let is_taken = |port: u16| taken.contains(&(port - start));
            let free = range.clone().any(|port| !is_taken(port));
            let mut secret = Secret::new(&seed);
            let remote = "[2001:db8::1]:80".parse().unwrap();
            let chosen = secret.choose_port("2001:db8::2".parse().unwrap(), remote, range.clone(), is_taken);
            prop_assert_eq!(chosen.is_some(), free);
            if let Some(port) = chosen {
                prop_assert!(range.contains(&port) && !is_taken(port));
            }
        }
    }

    #[test]
    fn a_search_is_bounded() {
        let mut tried = 0;
        let mut secret = Secret::new(&[3; 32]);
        let remote = "198.51.100.1:80".parse().unwrap();
        let chosen = secret.choose_port("192.0.2.1".parse().unwrap(), remote, 0..=u16::MAX, |_| {
            tried += 1;
            true
        });
        assert_eq!((chosen, tried), (None, PORTS_TRIED));
        let reversed = RangeInclusive::new(2, 1);
        assert_eq!(secret.choose_port("192.0.2.1".parse().unwrap(), remote, reversed, |_| false), None);
    }
}
