//! Answers that engines leave to the program, so that a datagram that asks for one is answered in the driver.
//!
//! Which datagrams ask, and for what, is written in `bpf/answers.h`: the program has to understand the question, so that
//! this is about one protocol, DNS. What is answered, and for how long, is the engines' business.
//!
//! What is bounded: as many answers as [`Room`](super::Room) says, of which those that were not asked for lately make
//! room; the octets of one by [`Answer::LONGEST_TAIL`]; the names by [`Subject::LONGEST_NAME`]. Everything beyond these
//! goes to the engines as ever.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io, mem};

use rustix::mm::{self, MapFlags, ProtFlags};

use super::SteeringError;
use super::assistance::mix;
use crate::bpf::system::Map;

/// The answers of the program of one interface. Clones are of the same; engines may each have one.
#[derive(Clone)]
pub struct Answers {
    shared: Arc<Shared>,
}

struct Shared {
    tables: Tables,
    control: Control,
    /// The networks that the program knows.
    admitted: Mutex<HashSet<[u8; NETWORK]>>,
}

/// The program's tables, as far as answers have to do with them.
pub(super) struct Tables {
    pub(super) answers: Map,
    pub(super) networks: Map,
    pub(super) counters: Map,
}

/// Clients, and which groups they are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// An address of the network.
    pub address: IpAddr,
    /// The bits that all addresses of the network have in common with it, as its family counts them.
    pub prefix: u8,
    /// The groups, as bits.
    pub groups: u32,
}

/// Octets of a network's key.
const NETWORK: usize = 24;
/// The most networks, as the program has them.
const NETWORKS: u32 = 4096;

/// What an answer depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject {
    octets: [u8; Subject::LEN],
}

/// Bits of a question that an answer depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Asks {
    /// Recursion is desired (RD).
    pub recursion: bool,
    /// Checking is disabled (CD).
    pub unchecked: bool,
    /// DNSSEC records are wanted (DO).
    pub dnssec: bool,
    /// Authenticated data are understood (AD).
    pub authentic: bool,
    /// There is an OPT record.
    pub extended: bool,
}

/// An answer, as it is sent but for the ID, the question, and the age of the TTLs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer<'a> {
    /// When the TTLs were what they are in `tail`, in nanoseconds of the monotonic clock.
    pub stored_at: u64,
    /// From then on engines answer, in nanoseconds of the monotonic clock.
    pub ends_at: u64,
    /// How often the program gives the answer in each second, about, to all clients together; the rest goes to engines.
    /// Zero: as often as it is asked for.
    pub budget: u32,
    /// Groups of clients, as bits, that it is for: see [`Answers::admit`]. None: it is for everybody.
    pub groups: u32,
    /// Clients that take longer messages than this many octets are left to engines: they may be told more.
    pub most: u16,
    /// The second pair of octets of the header.
    pub flags: u16,
    /// Records, as the header counts them: answer, authority, additional.
    pub counts: [u16; 3],
    /// All that follows the question.
    pub tail: &'a [u8],
    /// Where in `tail` TTLs are that age, ascending.
    pub ttls: &'a [u16],
}

/// What became of datagrams to services that answers are left for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnswersCounters {
    /// Answered by the program.
    pub given: u64,
    /// Octets of those answers, without headers below their own.
    pub octets: u64,
    /// To engines: no question that the program understands.
    pub not_read: u64,
    /// To engines: no answer was left.
    pub not_left: u64,
    /// To engines: the answer's time was over, or it was withdrawn.
    pub over: u64,
    /// To engines: the client takes too little for the answer, or more than it was made for.
    pub of_other_size: u64,
    /// To engines: the answer is not for this client.
    pub not_for_client: u64,
    /// To engines: the answer's budget was spent.
    pub too_often: u64,
    /// To engines: the driver had no room for the answer.
    pub no_room: u64,
}

/// Why an answer cannot be left to the program: it is for engines to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsuitable {
    /// There is nothing behind the question, or more than [`Answer::LONGEST_TAIL`].
    Length,
    /// There are more TTLs than [`Answer::MOST_TTLS`], or one is not within the octets.
    Ttls,
}

/// Where the program has its counters of datagrams.
const GIVEN: u32 = 5;

impl Subject {
    /// The most octets of a name: longer ones are for engines.
    pub const LONGEST_NAME: usize = 72;
    const LEN: usize = Subject::LONGEST_NAME + 8;

    /// A question: its name in wire form and lower case, its type, its class. `None` if the name is too long.
    pub fn new(name: &[u8], kind: u16, class: u16, asks: Asks) -> Option<Subject> {
        let mut octets = [0; Subject::LEN];
        octets[..Subject::LONGEST_NAME].get_mut(..name.len())?.copy_from_slice(name);
        let rest = &mut octets[Subject::LONGEST_NAME..];
        rest[..2].copy_from_slice(&kind.to_be_bytes());
        rest[2..4].copy_from_slice(&class.to_be_bytes());
        rest[4..].copy_from_slice(&asks.bits().to_ne_bytes());
        Some(Subject { octets })
    }
}

impl Subject {
    /// The program's `mark_of`.
    fn mark(&self) -> u64 {
        let (words, _) = self.octets.as_chunks::<8>();
        words.iter().fold(0, |mark, word| mix(mark, u64::from_ne_bytes(*word)))
    }
}

impl Asks {
    fn bits(self) -> u32 {
        let bits = [self.recursion, self.unchecked, self.dnssec, self.authentic, self.extended];
        bits.iter().rev().fold(0, |bits, &bit| bits << 1 | u32::from(bit))
    }
}

impl Admission {
    fn key(&self) -> [u8; NETWORK] {
        let mut key = [0; NETWORK];
        let (version, bits): (u32, u8) = match self.address {
            IpAddr::V4(address) => {
                key[8..12].copy_from_slice(&address.octets());
                (4, 32)
            }
            IpAddr::V6(address) => {
                key[8..].copy_from_slice(&address.octets());
                (6, 128)
            }
        };
        key[..4].copy_from_slice(&(32 + u32::from(self.prefix.min(bits))).to_ne_bytes());
        key[4..8].copy_from_slice(&version.to_ne_bytes());
        key
    }
}

impl Answer<'_> {
    /// The most octets behind a question.
    pub const LONGEST_TAIL: usize = 512;
    /// The most TTLs.
    pub const MOST_TTLS: usize = 16;

    /// The program's `struct answer`.
    fn encode(&self, mark: u64, generation: u64) -> Result<[u8; ANSWER], Unsuitable> {
        if self.tail.is_empty() || self.tail.len() > Answer::LONGEST_TAIL {
            return Err(Unsuitable::Length);
        }
        if self.ttls.len() > Answer::MOST_TTLS {
            return Err(Unsuitable::Ttls);
        }
        let mut value = [0; ANSWER];
        let mut put = |at: usize, octets: &[u8]| value[at..at + octets.len()].copy_from_slice(octets);
        for (number, word) in [mark, generation, self.stored_at, self.ends_at].iter().enumerate() {
            put(8 * number, &word.to_ne_bytes());
        }
        put(BUDGET, &self.budget.to_ne_bytes());
        put(LENGTH, &(self.tail.len() as u16).to_ne_bytes());
        put(MOST, &self.most.to_ne_bytes());
        put(HEADER, &self.flags.to_be_bytes());
        for (number, count) in self.counts.iter().enumerate() {
            put(HEADER + 2 + 2 * number, &count.to_be_bytes());
        }
        put(TTLS, &(self.ttls.len() as u32).to_ne_bytes());
        put(GROUPS, &self.groups.to_ne_bytes());
        put(TAIL, self.tail);
        for (number, &place) in self.ttls.iter().enumerate() {
            let ttl = self.tail.get(place.into()..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Unsuitable::Ttls)?;
            put(TTL_VALUES + 4 * number, &u32::from_be_bytes(*ttl).to_ne_bytes());
            put(PLACES + 2 * number, &place.to_ne_bytes());
            put(TAIL + usize::from(place), &[0; 4]);
        }
        let sum = folded_sum(&value[TAIL..]);
        value[SUM..SUM + 4].copy_from_slice(&u32::from(sum).to_ne_bytes());
        Ok(value)
    }
}

/// The program's `struct answer`: octets of it, and where its parts lie.
const ANSWER: usize = 680;
const BUDGET: usize = 40;
const SUM: usize = 48;
const LENGTH: usize = 52;
const MOST: usize = 54;
const HEADER: usize = 56;
const TTLS: usize = 64;
const GROUPS: usize = 68;
const TTL_VALUES: usize = 72;
const PLACES: usize = 136;
const TAIL: usize = 168;

impl Answers {
    pub(super) fn new(tables: Tables, answering: BorrowedFd<'_>) -> io::Result<Answers> {
        let control = Control::map(answering)?;
        Ok(Answers { shared: Arc::new(Shared { tables, control, admitted: Mutex::default() }) })
    }

    /// Has the program answer, with what is left to it from now on. `partial_checksums`: whether a datagram is intact the
    /// checksum of which holds just the pseudo-header's sum, as on a veth.
    ///
    /// What the driver of a veth sends back arrives only if the other end has a program for XDP, too. Where that is not
    /// known, attach in [`AttachMode::Generic`](super::AttachMode::Generic), which needs nothing of the other end.
    pub fn turn_on(&self, partial_checksums: bool) {
        let flags = ON | if partial_checksums { ACCEPT_PARTIAL_CHECKSUMS } else { 0 };
        self.shared.control.word(FLAGS).store(flags, Ordering::Release);
    }

    /// Leaves everything to engines from now on.
    pub fn turn_off(&self) {
        self.shared.control.word(FLAGS).store(0, Ordering::Release);
    }

    /// Says which clients are in which groups, instead of what was said before; all answers are withdrawn. A client is in
    /// those of the smallest network that it is in.
    ///
    /// # Errors
    /// There are more than 4,096 networks, or the kernel refused. Then nothing is answered until this succeeds and
    /// [`Answers::turn_on`] follows.
    pub fn admit(&self, networks: &[Admission]) -> Result<(), SteeringError> {
        let Shared { tables, control, admitted } = &*self.shared;
        let mut admitted = admitted.lock().unwrap_or_else(PoisonError::into_inner);
        // Half of the networks may say the contrary of all of them.
        let flags = control.word(FLAGS).swap(0, Ordering::AcqRel);
        for network in admitted.drain() {
            super::forgive_absence(tables.networks.remove(&network))?;
        }
        for network in networks {
            let key = network.key();
            let set = tables.networks.set(&key, &network.groups.to_ne_bytes());
            set.map_err(|error| match error.raw_os_error() {
                Some(libc::ENOSPC) => SteeringError::TableFull { entries: NETWORKS },
                _ => SteeringError::System { step: "naming clients to the XDP program", error },
            })?;
            admitted.insert(key);
        }
        self.withdraw_all();
        control.word(FLAGS).store(flags, Ordering::Release);
        Ok(())
    }

    /// To be had before what is to be published is read: what was withdrawn in between is then not given.
    pub fn generation(&self) -> u64 {
        self.shared.control.word(GENERATION).load(Ordering::Acquire)
    }

    /// Leaves an answer to the program, in the place of one that it may have. It may forget it at any time.
    ///
    /// # Errors
    /// The answer is unsuitable, or the kernel refused.
    pub fn publish(&self, subject: &Subject, answer: &Answer<'_>, generation: u64) -> Result<(), SteeringError> {
        let value = answer.encode(subject.mark(), generation).map_err(SteeringError::Unsuitable)?;
        let failed = |error| SteeringError::System { step: "leaving an answer to the XDP program", error };
        self.shared.tables.answers.set(&subject.octets, &value).map_err(failed)
    }

    /// Takes an answer back: when this returns, the program gives it to no datagram that comes later. What is not there is
    /// no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn withdraw(&self, subject: &Subject) -> Result<(), SteeringError> {
        super::forgive_absence(self.shared.tables.answers.remove(&subject.octets))
    }

    /// Takes all answers back, and those that are published as of an earlier generation: no system call.
    pub fn withdraw_all(&self) {
        self.shared.control.word(GENERATION).fetch_add(1, Ordering::AcqRel);
    }

    /// What the program has done so far.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn counters(&self) -> Result<AnswersCounters, SteeringError> {
        let read = |index| {
            let step = "reading the XDP program's counters of answers";
            self.shared.tables.counters.sum(GIVEN + index).map_err(|error| SteeringError::System { step, error })
        };
        Ok(AnswersCounters {
            given: read(0)?,
            octets: read(1)?,
            not_read: read(2)?,
            not_left: read(3)?,
            over: read(4)?,
            of_other_size: read(5)?,
            not_for_client: read(6)?,
            too_often: read(7)?,
            no_room: read(8)?,
        })
    }
}

/// The program's `struct answering`, and its flags.
const GENERATION: usize = 0;
const FLAGS: usize = 1;
const ON: u64 = 1;
const ACCEPT_PARTIAL_CHECKSUMS: u64 = 2;

/// The page that engines and the program share.
struct Control {
    base: NonNull<[AtomicU64; 2]>,
}

// SAFETY: `base` is the address of a mapping that belongs to the process, not to a thread, and all that is read or
// written there is atomic.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

impl Control {
    fn map(answering: BorrowedFd<'_>) -> io::Result<Control> {
        let (len, protection) = (mem::size_of::<[AtomicU64; 2]>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping at an address of the kernel's choice, of a table that has as many octets.
        let base = unsafe { mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, answering, 0) }?;
        Ok(Control { base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)? })
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        // SAFETY: the mapping begins at a page, lives as long as `self`, and is only accessed atomically.
        let words = unsafe { self.base.as_ref() };
        &words[place]
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: nobody points into the mapping any more: references into it are borrowed from `self`.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), mem::size_of::<[AtomicU64; 2]>()) };
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsuitable::Length => write!(f, "behind its question are not 1 to {} octets", Answer::LONGEST_TAIL),
            Unsuitable::Ttls => write!(f, "it has more than {} TTLs, or not where it says", Answer::MOST_TTLS),
        }
    }
}

impl std::error::Error for Unsuitable {}

/// RFC 1071: of the words as they lie in memory.
fn folded_sum(octets: &[u8]) -> u16 {
    let words =
        octets.chunks(2).map(|word| u64::from(u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)])));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
