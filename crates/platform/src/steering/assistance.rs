//! What an engine and the program share, so that the program answers SYNs as the engine would.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use rustix::mm::{self, MapFlags, ProtFlags};

/// An engine's area of the program's memory; the program does nothing for an engine before [`Assistance::publish`],
/// and nothing after [`Assistance::retract`], or once this is dropped.
///
/// Live connections are counted by a hash of their ends, 2^18 counters of 8 bits: their segments, and those of a few
/// others whose hash is the same, are left to the engine. A counter that is full stays so.
pub struct Assistance {
    base: NonNull<u8>,
    tuple_key: u64,
}

/// What the program has to know. The SYN-ACKs that it sends are those that the engine sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// The keys of the cookies, of at most four epochs in a row: of the epoch that is, the one before and the next.
    /// An epoch is 64 s of the monotonic clock.
    pub cookie_keys: [CookieKey; 3],
    /// The key of what is added to the clock for timestamps; `None` if they are not in use.
    pub timestamp_key: Option<[u64; 2]>,
    /// Whether selective acknowledgments are accepted.
    pub selective_acknowledgments: bool,
    /// Octets of the largest segments to announce: IPv4, IPv6.
    pub segment_sizes: [u16; 2],
    /// The window to offer, not scaled.
    pub window: u16,
    /// The scale of later windows, 0 to 14.
    pub window_scale: u8,
    /// Whether bare acknowledgments of cookies are dropped: the engine waits for data.
    pub absorbs: bool,
    /// Whether a checksum that holds just the pseudo-header's sum is right.
    pub partial_checksums: bool,
}

/// SipHash's two words for the cookies of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CookieKey {
    /// The epoch's number: so many times 64 s on the monotonic clock.
    pub epoch: u64,
    /// The key.
    pub key: [u64; 2],
}

/// The program's `struct area`: octets of it, and where its parts lie.
const AREA: usize = OFFERS + 8 * OFFER_PLACES + LIVE_PLACES;
const FLAGS: usize = 0;
const TUPLE_KEY: usize = 8;
const TIMESTAMP_KEY: usize = 16;
const EPOCHS: usize = 32;
const EPOCH: usize = 24;
const SEGMENT_SIZES: usize = 128;
const WINDOW: usize = 144;
const WINDOW_SCALE: usize = 152;
const ANSWERED: usize = 168;
const ABSORBED: usize = 176;
const OFFERS: usize = 32_768;
const OFFER_PLACES: usize = 1 << 12;
const LIVE: usize = OFFERS + 8 * OFFER_PLACES;
const LIVE_PLACES: usize = 1 << LIVE_BITS;
const LIVE_BITS: u32 = 18;

/// Flags.
const ANSWER: u64 = 1;
const ABSORB: u64 = 2;
const TIMESTAMPS: u64 = 4;
const SELECTIVE: u64 = 8;
const PARTIAL_CHECKSUMS: u64 = 16;

/// The program tells time in offers in 2^26 ns.
const OFFER_TICK: u32 = 26;
/// So many of these may its clock be ahead.
const OFFER_LEAD: u16 = 64;

// SAFETY: `base` is the address of a mapping that belongs to the process, not to a thread, and all that is read or
// written there is atomic.
unsafe impl Send for Assistance {}
// SAFETY: as above.
unsafe impl Sync for Assistance {}

impl Assistance {
    /// Maps the area at `place` of the table `areas`.
    pub(super) fn map(areas: BorrowedFd<'_>, place: u32) -> io::Result<Assistance> {
        let (protection, offset) = (ProtFlags::READ | ProtFlags::WRITE, AREA as u64 * u64::from(place));
        // SAFETY: a new mapping at an address of the kernel's choice; the table has as many octets, or it fails.
        let base =
            unsafe { mm::mmap(std::ptr::null_mut(), AREA, protection, MapFlags::SHARED, areas.as_fd(), offset) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From the system's random numbers, so that no peer knows which connections share a counter.
        let assistance = Assistance { base, tuple_key: RandomState::new().hash_one(place) };
        assistance.word(TUPLE_KEY).store(assistance.tuple_key, Ordering::Relaxed);
        Ok(assistance)
    }

    /// Tells the program what it has to know. Call it at least every 64 s: without the key of an epoch, nothing is
    /// answered in it.
    pub fn publish(&self, parameters: &Parameters) {
        let store = |place, value| self.word(place).store(value, Ordering::Relaxed);
        for CookieKey { epoch, key } in parameters.cookie_keys {
            // Of the four places, nobody reads that of the next epoch; the others are written as they are.
            let place = EPOCHS + (epoch % 4) as usize * EPOCH;
            store(place + 8, key[0]);
            store(place + 16, key[1]);
            self.word(place).store(epoch.wrapping_add(1), Ordering::Release);
        }
        let timestamp_key = parameters.timestamp_key.unwrap_or_default();
        store(TIMESTAMP_KEY, timestamp_key[0]);
        store(TIMESTAMP_KEY + 8, timestamp_key[1]);
        store(SEGMENT_SIZES, parameters.segment_sizes[0].into());
        store(SEGMENT_SIZES + 8, parameters.segment_sizes[1].into());
        store(WINDOW, parameters.window.into());
        store(WINDOW_SCALE, parameters.window_scale.into());
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        let flags = ANSWER
            | flag(ABSORB, parameters.absorbs)
            | flag(TIMESTAMPS, parameters.timestamp_key.is_some())
            | flag(SELECTIVE, parameters.selective_acknowledgments)
            | flag(PARTIAL_CHECKSUMS, parameters.partial_checksums);
        self.word(FLAGS).store(flags, Ordering::Release);
    }

    /// Leaves everything to the engine from now on.
    pub fn retract(&self) {
        self.word(FLAGS).store(0, Ordering::Release);
    }

    /// A connection between these ends begins to live: its SYNs and acknowledgments are the engine's. To be undone by one
    /// [`Assistance::goes`]. Called by one thread.
    pub fn comes(&self, local: SocketAddr, remote: SocketAddr) {
        let counter = self.counter(self.hash(local, remote));
        let count = counter.load(Ordering::Relaxed);
        counter.store(count.saturating_add(1), Ordering::Relaxed);
    }

    /// A connection lives no longer. Called by the same thread.
    pub fn goes(&self, local: SocketAddr, remote: SocketAddr) {
        let counter = self.counter(self.hash(local, remote));
        let count = counter.load(Ordering::Relaxed);
        // One that has been full has lost count.
        if count != u8::MAX {
            counter.store(count.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Whether the program has sent the SYN-ACK of that number at most `age` before `now`, a time of the monotonic clock in
    /// nanoseconds. Of two that were sent to peers whose hash is the same it knows the later.
    pub fn has_offered(&self, now: u64, age: Duration, local: SocketAddr, remote: SocketAddr, number: u32) -> bool {
        let hash = self.hash(local, remote);
        let offer = self.word(OFFERS + 8 * ((hash >> 32) as usize % OFFER_PLACES)).load(Ordering::Relaxed);
        let elapsed = ((now >> OFFER_TICK) as u16).wrapping_sub((offer >> 16) as u16);
        // The program's clock may be ahead of the time that the caller has read.
        let elapsed = if elapsed > u16::MAX - OFFER_LEAD { 0 } else { u64::from(elapsed) };
        (offer >> 32) as u32 == number
            && offer as u16 == hash as u16 | 1
            && u128::from(elapsed) << OFFER_TICK <= age.as_nanos()
    }

    /// SYN-ACKs that the program has sent for this engine.
    pub fn answered(&self) -> u64 {
        self.word(ANSWERED).load(Ordering::Relaxed)
    }

    /// Acknowledgments that it has dropped.
    pub fn absorbed(&self) -> u64 {
        self.word(ABSORBED).load(Ordering::Relaxed)
    }

    /// As the program's `tuple_hash`: over the octets as they lie in a packet that the peer sends.
    fn hash(&self, local: SocketAddr, remote: SocketAddr) -> u64 {
        let ports = (u64::from(local.port().swap_bytes()) << 16) | u64::from(remote.port().swap_bytes());
        let addresses = match (remote.ip(), local.ip()) {
            (IpAddr::V4(remote), IpAddr::V4(local)) => mix(self.tuple_key, words([remote.octets(), local.octets()])),
            (remote, local) => {
                let halves = [remote, local].map(|address| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                });
                let (halves, _) = halves.as_flattened().as_chunks::<8>();
                halves.iter().fold(self.tuple_key, |hash, half| mix(hash, u64::from_le_bytes(*half)))
            }
        };
        mix(mix(addresses, ports), self.tuple_key)
    }

    fn counter(&self, hash: u64) -> &AtomicU8 {
        let place = LIVE + (hash >> (u64::BITS - LIVE_BITS)) as usize;
        assert!(place < AREA, "the place is one of the counters'");
        // SAFETY: within the mapping, which lives as long as `self`, and which is only accessed atomically here.
        unsafe { self.base.add(place).cast::<AtomicU8>().as_ref() }
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        assert!(place.is_multiple_of(8) && place + 8 <= AREA, "the place is one of a word");
        // SAFETY: as above; the mapping begins at a page, so that the place is aligned.
        unsafe { self.base.add(place).cast::<AtomicU64>().as_ref() }
    }
}

impl Drop for Assistance {
    fn drop(&mut self) {
        self.retract();
        // SAFETY: nobody points into the mapping any more: references into it are borrowed from `self`.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), AREA) };
    }
}

impl fmt::Debug for Assistance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assistance").field("answered", &self.answered()).finish_non_exhaustive()
    }
}

/// The program's `mix`.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 32
}

fn words([low, high]: [[u8; 4]; 2]) -> u64 {
    u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32
}
