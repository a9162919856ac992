//! A slot: the socket channel of one socket (TCP Servers §3).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use crate::Forged;
use crate::byte_ring::ByteRing;
use crate::job_ring::{self, Job, Receive, Received};
use crate::layout::{ACCEPTED, JOBS, MAX_QUEUES, RECEIVES, words};
use crate::memory::{Memory, Word};

/// What the server says of a slot's connection: bits.
pub mod state {
    /// It is a listener: its receive ring holds [accepted](super::Accepted) connections.
    pub const LISTENING: u32 = 1;
    /// A connection is being opened.
    pub const CONNECTING: u32 = 2;
    /// The connection is, or was, established.
    pub const CONNECTED: u32 = 4;
    /// The peer has sent FIN: no octets come after those in the receive ring.
    pub const PEER_FINISHED: u32 = 8;
    /// The connection, or what should have become one, has failed: the slot's error says how.
    pub const FAILED: u32 = 16;
    /// Our FIN is sent, and everything before it.
    pub const FINISHED: u32 = 32;
    /// For want of room or credit the server has left octets unread, or connections waiting: who makes room tells its
    /// engine, and nobody else does. The server sets it, looks for room once more, and clears it when it has gone on.
    pub const STALLED: u32 = 64;
}

/// What an application asks for: bits, of which none is taken back.
pub mod command {
    /// FIN behind everything that is queued; what the peer sends is still wanted.
    pub const FINISH: u32 = 1;
    /// The application does not refer to the slot any more. What is queued is sent, then FIN.
    pub const CLOSE: u32 = 2;
    /// With `CLOSE`: a reset in place of all that. Without: a reset now, with which the connection fails (ECONNABORTED).
    pub const ABORT: u32 = 4;
    /// What the peer sends is not wanted any more.
    pub const DISCARD: u32 = 8;
}

/// The word `COMMANDS` has them in its lowest bits, and above them the use of the slot that they are for.
const COMMAND_BITS: u32 = 4;
const COMMANDS: u32 = (1 << COMMAND_BITS) - 1;

/// The bit of the word `WAITS` that [`Slot::wait`] sets; the others count.
const SOMEBODY: u32 = 1 << 31;

/// A connection that waits in a listener's receive ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its slot.
    pub slot: u32,
    /// The use of the slot.
    pub generation: u32,
}

/// A slot of a region. Which methods are whose is said by their names' side: `server` methods write words that are the
/// server's alone.
pub struct Slot<'a, M> {
    memory: &'a M,
    number: u32,
    base: usize,
    receive_ring: usize,
    ring: u32,
}

impl<M> Clone for Slot<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Slot<'_, M> {}

impl<'a, M: Memory> Slot<'a, M> {
    pub(crate) fn new(memory: &'a M, number: u32, base: usize, receive_ring: usize, ring: u32) -> Slot<'a, M> {
        Slot { memory, number, base, receive_ring, ring }
    }

    /// Its place in the region.
    pub fn number(&self) -> u32 {
        self.number
    }

    // What either side reads.

    /// The use of the slot; odd while it is given out.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.get(words::GENERATION)
    }

    /// The engine that serves it, as written: to be compared with how many there are.
    #[inline]
    pub fn engine(&self) -> u32 {
        self.word(words::ENGINE).load(Ordering::Relaxed)
    }

    /// Its [`state`] bits.
    #[inline]
    pub fn state(&self) -> u32 {
        self.get(words::STATE)
    }

    /// The errno of a slot that has [`state::FAILED`].
    pub fn error(&self) -> u32 {
        self.get(words::ERROR)
    }

    /// Its [`command`] bits.
    #[inline]
    pub fn commands(&self) -> u32 {
        self.get(words::COMMANDS) & COMMANDS
    }

    /// Octets from the peer: the server produces.
    #[inline]
    pub fn receive_ring(&self) -> ByteRing<'a, M> {
        let (received, taken) = (self.base + words::RECEIVED, self.base + words::TAKEN);
        ByteRing::new(self.memory, received, taken, self.receive_ring, self.ring)
    }

    /// Octets to the peer: the application produces.
    #[inline]
    pub fn send_ring(&self) -> ByteRing<'a, M> {
        let (given, sent) = (self.base + words::GIVEN, self.base + words::SENT);
        ByteRing::new(self.memory, given, sent, self.receive_ring + self.ring as usize, self.ring)
    }

    /// The address of this end. Unspecified until the connection is established.
    ///
    /// # Errors
    /// It is none.
    pub fn local(&self) -> Result<SocketAddr, Forged> {
        self.address(words::LOCAL)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// It is none.
    pub fn peer(&self) -> Result<SocketAddr, Forged> {
        self.address(words::PEER)
    }

    // The server's.

    /// Gives the slot out: nothing of its last use is left. `generation` is odd.
    pub fn server_begin(&self, generation: u32, engine: u32, state: u32) {
        debug_assert!(!generation.is_multiple_of(2));
        let zeroed = [
            words::ERROR,
            words::RECEIVED,
            words::SENT,
            words::JOBS_DONE,
            words::RECEIVES_DONE,
            words::TAKEN,
            words::GIVEN,
            words::JOBS_POSTED,
            words::RECEIVES_POSTED,
            words::WANTED,
            words::WAITS,
            words::RECEIVES_CANCELLED,
            words::RECEIVE_LOCK,
            words::SEND_LOCK,
        ];
        for word in zeroed {
            self.word(word).store(0, Ordering::Relaxed);
        }
        for word in (words::SUBSCRIBERS..words::RECEIVE_LOCK).step_by(4) {
            self.word(word).store(0, Ordering::Relaxed);
        }
        self.memory.write(self.base + words::SCRATCH, &[0; words::LOCAL - words::SCRATCH]);
        self.memory.write(self.base + words::LOCAL, &[0; 64]);
        self.word(words::COMMANDS).store(generation << COMMAND_BITS, Ordering::Relaxed);
        self.word(words::ENGINE).store(engine, Ordering::Relaxed);
        self.word(words::STATE).store(state, Ordering::Relaxed);
        self.word(words::GENERATION).store(generation, Ordering::Release);
    }

    /// Takes the slot back: `generation` is even.
    pub fn server_end(&self, generation: u32) {
        debug_assert!(generation.is_multiple_of(2));
        self.word(words::GENERATION).store(generation, Ordering::Release);
    }

    /// Says that another engine serves it from now on.
    pub fn server_move(&self, engine: u32) {
        self.word(words::ENGINE).store(engine, Ordering::Release);
    }

    /// Publishes state bits; all of them.
    #[inline]
    pub fn server_state(&self, state: u32) {
        self.word(words::STATE).store(state, Ordering::Release);
    }

    /// Publishes that it failed; all state bits.
    pub fn server_fail(&self, errno: u32, state: u32) {
        self.word(words::ERROR).store(errno, Ordering::Relaxed);
        self.server_state(state | state::FAILED);
    }

    /// Writes both addresses, before the state that they go with.
    pub fn server_addresses(&self, local: SocketAddr, peer: SocketAddr) {
        self.memory.write(self.base + words::LOCAL, &encode(local));
        self.memory.write(self.base + words::PEER, &encode(peer));
    }

    /// Publishes state bits with [`state::STALLED`] among them. The caller looks for room once more, for who made it
    /// just before has not seen this.
    pub fn server_stall(&self, state: u32) {
        self.server_state(state | state::STALLED);
        self.memory.fence();
    }

    /// How many jobs are posted beyond `known`: those that are done, lest more be under way than fit.
    ///
    /// # Errors
    /// More than fit.
    #[inline]
    pub fn server_jobs(&self, known: u32) -> Result<u32, Forged> {
        job_ring::posted(self.memory, self.base + words::JOBS_POSTED, known, JOBS)
    }

    /// The `index`th job, copied.
    ///
    /// # Errors
    /// It is none.
    pub fn server_job(&self, index: u32) -> Result<Job, Forged> {
        job_ring::read_job(self.memory, self.base + words::JOBS, index)
    }

    /// Publishes how many jobs are done.
    pub fn server_jobs_done(&self, done: u32) {
        self.word(words::JOBS_DONE).store(done, Ordering::Release);
    }

    /// How many receives are posted beyond `known`: those that are done, lest more be under way than fit.
    ///
    /// # Errors
    /// More than fit.
    #[inline]
    pub fn server_receives(&self, known: u32) -> Result<u32, Forged> {
        job_ring::posted(self.memory, self.base + words::RECEIVES_POSTED, known, RECEIVES)
    }

    /// The `index`th posted receive, copied.
    pub fn server_receive(&self, index: u32) -> Receive {
        job_ring::read_receive(self.memory, self.base + words::RECEIVES, index)
    }

    /// Publishes the result of the `index`th receive.
    pub fn server_received(&self, index: u32, result: Received) {
        job_ring::write_result(self.memory, self.base + words::RESULTS, index, result);
        self.word(words::RECEIVES_DONE).store(index.wrapping_add(1), Ordering::Release);
    }

    /// Whether the `index`th receive is not wanted any more.
    pub fn server_is_cancelled(&self, index: u32) -> bool {
        let ahead = self.get(words::RECEIVES_CANCELLED).wrapping_sub(index);
        (1..=RECEIVES).contains(&ahead)
    }

    /// Octets that somebody waits for, and that are not received eagerly.
    pub fn server_wanted(&self) -> u32 {
        self.get(words::WANTED)
    }

    /// Whether somebody waits for room in the send ring, for a job, or for a receive: only then the server tells of
    /// them. What was published before is seen by who has just said that he waits.
    #[inline]
    pub fn server_waited_for(&self) -> bool {
        self.memory.fence();
        self.get(words::WAITS) != 0
    }

    /// The queues that want to be told, of `words` of 32 queues each: everyone of the first, one of the second.
    #[inline]
    pub fn server_subscribers(&self, word: usize) -> (u32, u32) {
        (self.get(words::SUBSCRIBERS + 4 * word), self.get(words::EXCLUSIVE + 4 * word))
    }

    // The application's. Rings and jobs are its lock holder's.

    /// Whether the server waits for the room that the caller has just made, and has to be [told](crate::Region::attend).
    #[inline]
    pub fn is_stalled(&self) -> bool {
        self.memory.fence();
        self.state() & state::STALLED != 0
    }

    /// Octets taken out of the receive ring so far.
    #[inline]
    pub fn taken(&self) -> u32 {
        self.word(words::TAKEN).load(Ordering::Relaxed)
    }

    /// Octets put into the receive ring so far, taken out or not: for comparisons alone.
    #[inline]
    pub fn received_so_far(&self) -> u32 {
        self.get(words::RECEIVED)
    }

    /// Octets put into the send ring so far.
    #[inline]
    pub fn given(&self) -> u32 {
        self.word(words::GIVEN).load(Ordering::Relaxed)
    }

    /// Octets of the send ring that the server needs no longer.
    pub fn sent(&self) -> u32 {
        self.get(words::SENT)
    }

    /// Asks for something, in the use of the slot that is `generation`; in another, nothing is asked: of two processes that
    /// let go of a slot at once both may ask for its end. The server has to be [told](crate::Region::attend).
    pub fn command(&self, generation: u32, bits: u32) {
        let word = self.word(words::COMMANDS);
        let mut before = word.load(Ordering::Acquire);
        while before & !COMMANDS == generation << COMMAND_BITS {
            match word.compare_exchange(before, before | bits & COMMANDS) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// Says that so many octets are waited for.
    pub fn want(&self, octets: u32) {
        self.word(words::WANTED).store(octets, Ordering::Release);
    }

    /// Says whether somebody waits for room, for a job or for a receive. Who says so looks once more before he sleeps.
    /// For who knows that nobody else waits; otherwise [`Slot::begin_wait`].
    pub fn wait(&self, waits: bool) {
        let word = self.word(words::WAITS);
        if waits {
            word.fetch_or(SOMEBODY, Ordering::AcqRel);
        } else {
            word.fetch_and(!SOMEBODY, Ordering::AcqRel);
        }
        self.memory.fence();
    }

    /// As [`Slot::wait`], for one of several, who are counted; one that is killed meanwhile is told of in vain.
    pub fn begin_wait(&self) {
        self.count_waits(|count| count.saturating_add(1).min(SOMEBODY - 1));
        self.memory.fence();
    }

    /// After [`Slot::begin_wait`].
    pub fn end_wait(&self) {
        self.count_waits(|count| count.saturating_sub(1));
    }

    fn count_waits(&self, change: impl Fn(u32) -> u32) {
        let word = self.word(words::WAITS);
        let mut before = word.load(Ordering::Relaxed);
        while let Err(now) = word.compare_exchange(before, before & SOMEBODY | change(before & !SOMEBODY)) {
            before = now;
        }
    }

    /// Posts a job; returns its number. `None` if there is no room: one of those posted has to be done first.
    pub fn post_job(&self, job: Job) -> Option<u32> {
        let posted = self.word(words::JOBS_POSTED).load(Ordering::Relaxed);
        if posted.wrapping_sub(self.jobs_done()) >= JOBS {
            return None;
        }
        job_ring::write_job(self.memory, self.base + words::JOBS, posted, job);
        self.word(words::JOBS_POSTED).store(posted.wrapping_add(1), Ordering::Release);
        Some(posted)
    }

    /// How many jobs are posted.
    pub fn jobs_posted(&self) -> u32 {
        self.get(words::JOBS_POSTED)
    }

    /// How many jobs are done.
    #[inline]
    pub fn jobs_done(&self) -> u32 {
        self.get(words::JOBS_DONE)
    }

    /// Posts a receive; returns its number. `None` if there is no room.
    pub fn post_receive(&self, receive: Receive) -> Option<u32> {
        let posted = self.word(words::RECEIVES_POSTED).load(Ordering::Relaxed);
        if posted.wrapping_sub(self.receives_done()) >= RECEIVES {
            return None;
        }
        job_ring::write_receive(self.memory, self.base + words::RECEIVES, posted, receive);
        self.word(words::RECEIVES_POSTED).store(posted.wrapping_add(1), Ordering::Release);
        Some(posted)
    }

    /// How many posted receives are done.
    #[inline]
    pub fn receives_done(&self) -> u32 {
        self.get(words::RECEIVES_DONE)
    }

    /// Posted receives that are not done are not wanted any more: the server ends them, with
    /// [`Received::Cancelled`](crate::job_ring::Received) if no octet has come. It has to be [told](crate::Region::attend).
    pub fn cancel_receives(&self) {
        self.word(words::RECEIVES_CANCELLED).store(self.receives_posted(), Ordering::Release);
    }

    /// How many receives are posted.
    pub fn receives_posted(&self) -> u32 {
        self.word(words::RECEIVES_POSTED).load(Ordering::Relaxed)
    }

    /// What came of the `index`th receive, which is done and among the last that fit the ring.
    ///
    /// # Errors
    /// It is no result.
    pub fn received(&self, index: u32) -> Result<Received, Forged> {
        job_ring::read_result(self.memory, self.base + words::RESULTS, index)
    }

    /// Has `queue` told of what happens; with `exclusive`, one of those that are exclusive.
    ///
    /// # Panics
    /// No region has such a queue.
    pub fn subscribe(&self, queue: u32, exclusive: bool) {
        assert!(queue < MAX_QUEUES);
        let line = if exclusive { words::EXCLUSIVE } else { words::SUBSCRIBERS };
        self.word(line + 4 * (queue as usize / 32)).fetch_or(1 << (queue % 32), Ordering::AcqRel);
        // What happens from now on is told; what happened before is the caller's to look at.
        self.memory.fence();
    }

    /// Has `queue` told no more.
    ///
    /// # Panics
    /// No region has such a queue.
    pub fn unsubscribe(&self, queue: u32) {
        assert!(queue < MAX_QUEUES);
        for line in [words::SUBSCRIBERS, words::EXCLUSIVE] {
            self.word(line + 4 * (queue as usize / 32)).fetch_and(!(1 << (queue % 32)), Ordering::AcqRel);
        }
    }

    /// The word by which the application's threads agree on who takes out of the receive ring.
    pub fn receive_lock(&self) -> &'a M::Word {
        self.word(words::RECEIVE_LOCK)
    }

    /// The word by which they agree on who puts into the send ring.
    pub fn send_lock(&self) -> &'a M::Word {
        self.word(words::SEND_LOCK)
    }

    /// One of the twelve words that the application has for itself; zero in a new use of the slot.
    pub fn scratch(&self, index: usize) -> &'a M::Word {
        assert!(index < (words::LOCAL - words::SCRATCH) / 4);
        self.word(words::SCRATCH + 4 * index)
    }

    fn get(&self, word: usize) -> u32 {
        self.word(word).load(Ordering::Acquire)
    }

    fn word(&self, word: usize) -> &'a M::Word {
        self.memory.word(self.base + word)
    }

    fn address(&self, at: usize) -> Result<SocketAddr, Forged> {
        let mut octets = [0; 32];
        self.memory.read(self.base + at, &mut octets);
        decode(&octets)
    }
}

impl Accepted {
    /// As it lies in a listener's ring.
    pub fn encode(self) -> [u8; ACCEPTED] {
        let mut octets = [0; ACCEPTED];
        octets[..4].copy_from_slice(&self.slot.to_le_bytes());
        octets[4..].copy_from_slice(&self.generation.to_le_bytes());
        octets
    }

    /// The reverse. Its numbers are still the other side's.
    pub fn decode(octets: [u8; ACCEPTED]) -> Accepted {
        let [a, b, c, d, e, f, g, h] = octets;
        Accepted { slot: u32::from_le_bytes([a, b, c, d]), generation: u32::from_le_bytes([e, f, g, h]) }
    }
}

/// Family (4 or 6), zero, port, scope, 16 octets of address; the rest is zero.
fn encode(address: SocketAddr) -> [u8; 32] {
    let mut octets = [0; 32];
    octets[2..4].copy_from_slice(&address.port().to_le_bytes());
    match address {
        SocketAddr::V4(v4) => {
            octets[0] = 4;
            octets[8..12].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            octets[0] = 6;
            octets[4..8].copy_from_slice(&v6.scope_id().to_le_bytes());
            octets[8..24].copy_from_slice(&v6.ip().octets());
        }
    }
    octets
}

fn decode(octets: &[u8; 32]) -> Result<SocketAddr, Forged> {
    let port = u16::from_le_bytes([octets[2], octets[3]]);
    match octets[0] {
        4 => {
            let ip: [u8; 4] = octets[8..12].try_into().expect("four octets");
            Ok(SocketAddr::new(IpAddr::from(ip), port))
        }
        6 => {
            let ip: [u8; 16] = octets[8..24].try_into().expect("sixteen octets");
            let scope = u32::from_le_bytes(octets[4..8].try_into().expect("four octets"));
            Ok(SocketAddr::V6(std::net::SocketAddrV6::new(ip.into(), port, 0, scope)))
        }
        _ => Err(Forged("an address of no family")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for address in ["10.1.2.3:80", "[fe80::1%7]:65535", "0.0.0.0:0", "[::]:1"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(decode(&encode(address)), Ok(address));
        }
        assert!(decode(&[0; 32]).is_err());
    }
}
