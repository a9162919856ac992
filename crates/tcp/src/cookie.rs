//! SYN cookies (RFC 4987 §3.6): a handshake that is remembered by the peer.

use std::net::IpAddr;

use afpa_wire::sequence::Sequence;
use siphasher::sip::SipHasher13;

use crate::lookup::Tuple;
use crate::secret::{key, keyed};
use crate::time::Time;

/// Makes and checks the initial sequence numbers of SYN-ACKs that nothing here remembers.
///
/// A cookie's 32 bits, the most significant first:
///
/// | bits  | meaning |
/// |-------|---------|
/// | 31..8 | the 24 least significant bits of the keyed hash |
/// | 7..5  | index into the table of segment sizes of the address family |
/// | 4..1  | the peer's window scale; 15: the peer offered none |
/// | 0     | the peer permits SACK |
///
/// Whether timestamps are in use is not in it: each segment shows that.
///
/// The hash is SipHash-1-3 (64 bits) under the two words of the epoch's key, over 17 octets for IPv4 and 41 for
/// IPv6, integers in network order:
///
/// | IPv4   | IPv6   | contents |
/// |--------|--------|----------|
/// | 0..4   | 0..16  | remote address (the SYN's source) |
/// | 4..8   | 16..32 | local address |
/// | 8..10  | 32..34 | remote port |
/// | 10..12 | 34..36 | local port |
/// | 12..16 | 36..40 | the SYN's sequence number |
/// | 16     | 40     | the cookie's least significant octet |
///
/// An epoch is 64 s of the clock that the caller passes in; the cookies of the current one and of the one
/// before are accepted, so a cookie is good for 64 to 128 s. A blind guess hits once in 2^23.
pub(crate) struct Cookies {
    seed: [u8; 32],
    epoch: u64,
    current: SipHasher13,
    previous: SipHasher13,
}

/// The options of the peer's SYN, as far as a cookie keeps them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// The largest segment for the peer. Comes back as the largest in the table that is not more; at least
    /// 256 (IPv4) or 536 (IPv6), which every path takes.
    pub(crate) mss: u16,
    /// The shift of the peer's windows, if it scales them: 0 to 14 (RFC 7323 §2.3).
    pub(crate) window_scale: Option<u8>,
    /// Whether the peer understands selective acknowledgments.
    pub(crate) sack_permitted: bool,
}

/// Nanoseconds.
pub(crate) const EPOCH: u64 = 64_000_000_000;
const PURPOSE: &[u8] = b"cookie";
const NO_SCALE: u8 = 15;

/// What paths have: 1500 and 9000 octets, tunnels, dialled lines; and what RFC 9293 §3.7.1 supposes.
const IPV4_SIZES: [u16; 8] = [256, 536, 1200, 1360, 1400, 1440, 1460, 8960];
const IPV6_SIZES: [u16; 8] = [536, 1220, 1280, 1340, 1380, 1420, 1440, 8940];

impl Cookies {
    /// Cookies that nobody can make who does not know `seed`.
    pub(crate) fn new(seed: &[u8; 32], now: Time) -> Cookies {
        let epoch = now.0 / EPOCH;
        Cookies {
            seed: *seed,
            epoch,
            current: keyed(seed, PURPOSE, epoch),
            previous: keyed(seed, PURPOSE, epoch.wrapping_sub(1)),
        }
    }

    /// The sequence number for the SYN-ACK. `peer` is the SYN's.
    pub(crate) fn make(&mut self, now: Time, tuple: &Tuple, peer: Sequence, options: Options) -> Sequence {
        self.rotate(now);
        let options = pack(tuple.remote, options);
        Sequence(cookie(&self.current, tuple, peer, options))
    }

    /// The options of the SYN that had the sequence number `peer` (the ACK's, less one), if `cookie` (the ACK's
    /// acknowledgment number, less one) was made for it in this epoch or the one before.
    pub(crate) fn check(&mut self, now: Time, tuple: &Tuple, peer: Sequence, made: Sequence) -> Option<Options> {
        self.rotate(now);
        let options = made.0 as u8;
        let is_ours = |function| cookie(function, tuple, peer, options) == made.0;
        (is_ours(&self.current) || is_ours(&self.previous)).then(|| unpack(tuple.remote, options))
    }

    /// The previous epoch, the current and the next, each with its key as SipHash's two words: for a program in the
    /// driver that computes the same.
    pub(crate) fn keys(&self, now: Time) -> [(u64, [u64; 2]); 3] {
        let epoch = now.0 / EPOCH;
        [epoch.wrapping_sub(1), epoch, epoch.wrapping_add(1)].map(|epoch| (epoch, key(&self.seed, PURPOSE, epoch)))
    }

    fn rotate(&mut self, now: Time) {
        let epoch = now.0 / EPOCH;
        if epoch != self.epoch {
            let seed = self.seed;
            *self = Cookies::new(&seed, now);
        }
    }
}

fn cookie(function: &SipHasher13, tuple: &Tuple, peer: Sequence, options: u8) -> u32 {
    let mut input = [0; 41];
    let mut len = 0;
    let mut put = |octets: &[u8]| {
        input[len..len + octets.len()].copy_from_slice(octets);
        len += octets.len();
    };
    for address in [tuple.remote, tuple.local] {
        match address {
            IpAddr::V4(address) => put(&address.octets()),
            IpAddr::V6(address) => put(&address.octets()),
        }
    }
    put(&tuple.remote_port.to_be_bytes());
    put(&tuple.local_port.to_be_bytes());
    put(&peer.0.to_be_bytes());
    put(&[options]);
    (function.hash(&input[..len]) as u32) << 8 | u32::from(options)
}

fn sizes(address: IpAddr) -> &'static [u16; 8] {
    if address.is_ipv4() { &IPV4_SIZES } else { &IPV6_SIZES }
}

fn pack(remote: IpAddr, options: Options) -> u8 {
    let size = sizes(remote).iter().rposition(|&size| size <= options.mss).unwrap_or(0) as u8;
    let scale = options.window_scale.map_or(NO_SCALE, |scale| scale.min(14));
    size << 5 | scale << 1 | u8::from(options.sack_permitted)
}

fn unpack(remote: IpAddr, octet: u8) -> Options {
    Options {
        mss: sizes(remote)[usize::from(octet >> 5)],
        window_scale: Some(octet >> 1 & 15).filter(|&scale| scale != NO_SCALE),
        sack_permitted: octet & 1 == 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const OPTIONS: Options = Options { mss: 1460, window_scale: Some(7), sack_permitted: true };

    fn ipv4() -> Tuple {
        Tuple::new("192.0.2.1:80".parse().unwrap(), "198.51.100.1:40000".parse().unwrap())
    }

    fn ipv6() -> Tuple {
        Tuple::new("[2001:db8::1]:80".parse().unwrap(), "[2001:db8::2]:40000".parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_cookie_brings_the_options_back(
            seed in any::<[u8; 32]>(), now: u64, later in 0u64..EPOCH, peer: u32, is_ipv4: bool,
            mss: u16, scale in prop::option::of(0u8..15), sack_permitted: bool,
        ) {
            let tuple = if is_ipv4 { ipv4() } else { ipv6() };
            let mut cookies = Cookies::new(&seed, Time(0));
            let options = Options { mss, window_scale: scale, sack_permitted };
            let made = cookies.make(Time(now), &tuple, Sequence(peer), options);
            let back = cookies.check(Time(now.saturating_add(later)), &tuple, Sequence(peer), made).unwrap();
            prop_assert_eq!((back.window_scale, back.sack_permitted), (scale, sack_permitted));
            let least = if is_ipv4 { 256 } else { 536 };
            prop_assert!(back.mss <= mss.max(least));
        }

        /// Never by luck in these few cases: proptest's seeds vary, and 2^-23 is rare enough.
        #[test]
        fn nothing_but_the_very_cookie_passes(peer: u32, other: u32, flipped in 0u32..32) {
            let mut cookies = Cookies::new(&[5; 32], Time(0));
            for tuple in [ipv4(), ipv6()] {
                let made = cookies.make(Time(0), &tuple, Sequence(peer), OPTIONS);
                let mut passes = |tuple: &Tuple, peer, made| cookies.check(Time(1), tuple, peer, made).is_some();
                prop_assert!(passes(&tuple, Sequence(peer), made));
                prop_assert!(!passes(&tuple, Sequence(peer), Sequence(made.0 ^ 1 << flipped)));
                prop_assert!(other == peer || !passes(&tuple, Sequence(other), made));
                let swapped = Tuple {
                    local: tuple.remote,
                    remote: tuple.local,
                    local_port: tuple.remote_port,
                    remote_port: tuple.local_port,
                };
                let wrong = [
                    swapped,
                    Tuple { local: tuple.remote, ..tuple },
                    Tuple { remote: tuple.local, ..tuple },
                    Tuple { local_port: 81, ..tuple },
                    Tuple { remote_port: 40001, ..tuple },
                ];
                for wrong in wrong {
                    prop_assert!(!passes(&wrong, Sequence(peer), made));
                }
                let mut strangers = Cookies::new(&[6; 32], Time(0));
                prop_assert_eq!(strangers.check(Time(1), &tuple, Sequence(peer), made), None);
            }
        }
    }

    #[test]
    fn a_cookie_outlives_one_epoch_but_not_two() {
        let epoch = Duration::from_nanos(EPOCH);
        let start = Time(5 * EPOCH);
        let mut cookies = Cookies::new(&[5; 32], start);
        let made = cookies.make(start, &ipv4(), Sequence(9), OPTIONS);
        let table =
            [(Duration::ZERO, true), (epoch, true), (epoch * 2 - Duration::from_nanos(1), true), (epoch * 2, false)];
        for (later, passes) in table {
            let checked = cookies.check(start.after(later), &ipv4(), Sequence(9), made);
            assert_eq!(checked, passes.then_some(OPTIONS), "{later:?}");
        }
        assert_ne!(cookies.make(start.after(epoch), &ipv4(), Sequence(9), OPTIONS), made);
    }

    #[test]
    fn segment_sizes_are_rounded_down_to_what_the_table_has() {
        let mut cookies = Cookies::new(&[5; 32], Time(0));
        let table = [
            (ipv4(), 65_535, 8960),
            (ipv4(), 8960, 8960),
            (ipv4(), 8959, 1460),
            (ipv4(), 1460, 1460),
            (ipv4(), 1459, 1440),
            (ipv4(), 537, 536),
            (ipv4(), 1, 256),
            (ipv6(), 8940, 8940),
            (ipv6(), 1440, 1440),
            (ipv6(), 1220, 1220),
            (ipv6(), 1219, 536),
        ];
        for (tuple, mss, expected) in table {
            let made = cookies.make(Time(0), &tuple, Sequence(1), Options { mss, ..OPTIONS });
            let back = cookies.check(Time(0), &tuple, Sequence(1), made).map(|options| options.mss);
            assert_eq!(back, Some(expected), "{mss}");
        }
    }

    /// The layout is an interface: whoever computes a cookie elsewhere gets the same.
    #[test]
    fn the_layout_is_as_documented() {
        let mut cookies = Cookies::new(&[5; 32], Time(0));
        let [_, (epoch, [low, high]), _] = cookies.keys(Time(1));
        assert_eq!(epoch, 0);
        let function = SipHasher13::new_with_keys(low, high);
        let short = [198, 51, 100, 1, 192, 0, 2, 1, 0x9c, 0x40, 0, 80, 1, 2, 3, 4, 6 << 5 | 7 << 1 | 1];
        let expected = (function.hash(&short) as u32) << 8 | 6 << 5 | 7 << 1 | 1;
        assert_eq!(cookies.make(Time(2), &ipv4(), Sequence(0x0102_0304), OPTIONS).0, expected);
        let mut long = [0; 41];
        long[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        long[15] = 2;
        long[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        long[31] = 1;
        long[32..].copy_from_slice(&[0x9c, 0x40, 0, 80, 1, 2, 3, 4, 6 << 5 | 15 << 1]);
        let options = Options { mss: 1440, window_scale: None, sack_permitted: false };
        let expected = (function.hash(&long) as u32) << 8 | 6 << 5 | 15 << 1;
        assert_eq!(cookies.make(Time(2), &ipv6(), Sequence(0x0102_0304), options).0, expected);
    }
}
