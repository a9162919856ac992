//! Where everything lies in a region. The one file that both sides must agree on: a change of it changes [`VERSION`].
//!
//! ```text
//!   header             1 page              who made it, and the geometry
//!   engine bells       128 octets each     the server sleeps / is to be rung
//!   attend bits        per engine          application → server: this slot has something for you
//!   queue bells        128 octets each     who waits on this queue sleeps
//!   happened bits      per queue           server → application: something happened on this slot
//!   holds              per process         octet per slot: not zero if the process refers to it
//!   slots              2 KiB each          words of either side, jobs, receives
//!   rings              per slot            octets received, then octets to send
//! ```
//!
//! Lines that one side writes and the other reads have 64 octets to themselves. Memory is touched only when it is
//! used: an idle slot costs half a page, and what was once queued in its rings.

use std::ops::Range;

/// Changes with every change of the layout or of what its words mean.
pub const VERSION: u32 = 1;
/// What a region begins with.
pub const MAGIC: u32 = u32::from_le_bytes(*b"AFPC");

/// Slots that one region can have.
pub const MAX_SLOTS: u32 = 1 << 16;
/// Engines that one server can have.
pub const MAX_ENGINES: u32 = 64;
/// Event queues of one application: threads that wait, and epoll instances.
pub const MAX_QUEUES: u32 = 256;
/// Processes of one application.
pub const MAX_PROCESSES: u32 = 256;
/// Octets of a ring.
pub const RING_SIZES: Range<u32> = 4096..(1 << 20) + 1;

/// Jobs of a slot that are posted and not done.
pub const JOBS: u32 = 16;
/// Octets of a job.
pub const JOB: usize = 32;
/// Receives of a slot that are posted and not done.
pub const RECEIVES: u32 = 8;
/// Octets of a posted receive.
pub const RECEIVE: usize = 16;
/// Octets of a receive's result.
pub const RESULT: usize = 8;
/// Octets of an accepted connection in its listener's ring.
pub const ACCEPTED: usize = 8;

/// Octets of a line: what one side writes is on other lines than what the other writes.
pub const LINE: usize = 64;
const PAGE: usize = 4096;
/// Two lines, since processors fetch lines in pairs.
const BELL: usize = 2 * LINE;

/// Words of the header.
pub mod header {
    /// [`MAGIC`](super::MAGIC).
    pub const MAGIC: usize = 0;
    /// [`VERSION`](super::VERSION).
    pub const VERSION: usize = 4;
    /// Slots.
    pub const SLOTS: usize = 8;
    /// Engines.
    pub const ENGINES: usize = 12;
    /// Event queues.
    pub const QUEUES: usize = 16;
    /// Processes.
    pub const PROCESSES: usize = 20;
    /// Octets of each ring.
    pub const RING: usize = 24;
    /// Not zero when the server has ended the application's attachment: nothing moves any more.
    pub const ENDED: usize = 64;
    /// How many processes' places have been given out so far, from the first on; zero if the server does not say.
    pub const PLACES: usize = 128;
}

/// Words of a slot, from its start. `server` words are written by the server alone, `application` words by the
/// application alone.
pub mod words {
    /// Server: how often the slot has been given out. Odd while it is.
    pub const GENERATION: usize = 0;
    /// Server: the engine that serves the slot.
    pub const ENGINE: usize = 4;
    /// Server: [state](crate::slot::state) bits.
    pub const STATE: usize = 8;
    /// Server: the errno that goes with `FAILED`.
    pub const ERROR: usize = 12;
    /// Server: octets put into the receive ring.
    pub const RECEIVED: usize = 16;
    /// Server: octets of the send ring that are no longer needed.
    pub const SENT: usize = 20;
    /// Server: jobs that are done.
    pub const JOBS_DONE: usize = 24;
    /// Server: posted receives that are done.
    pub const RECEIVES_DONE: usize = 28;

    /// Application: octets taken out of the receive ring.
    pub const TAKEN: usize = 64;
    /// Application: octets put into the send ring.
    pub const GIVEN: usize = 68;
    /// Application: jobs posted.
    pub const JOBS_POSTED: usize = 72;
    /// Application: receives posted.
    pub const RECEIVES_POSTED: usize = 76;
    /// Application: [command](crate::slot::command) bits; set, never cleared while the slot is in use.
    pub const COMMANDS: usize = 80;
    /// Application: octets that somebody waits for, beyond what eager receive brings by itself.
    pub const WANTED: usize = 84;
    /// Application: how many wait for room in the send ring, for a job, or for a receive.
    pub const WAITS: usize = 88;
    /// Application: of the receives posted, so many are not wanted any more, if they are not done.
    pub const RECEIVES_CANCELLED: usize = 92;

    /// Application: the queues that are told of what happens, a bit each.
    pub const SUBSCRIBERS: usize = 128;
    /// Application: the queues of which one is told.
    pub const EXCLUSIVE: usize = 160;

    /// Application: who takes out of the receive ring: see [`lock`](crate::lock).
    pub const RECEIVE_LOCK: usize = 192;
    /// Application: who puts into the send ring.
    pub const SEND_LOCK: usize = 196;
    /// Application: 48 octets for its own use, such as flags that its processes share.
    pub const SCRATCH: usize = 208;

    /// Server: the address of this end, then of the peer: see [`slot`](crate::slot).
    pub const LOCAL: usize = 256;
    /// Server: the peer's address.
    pub const PEER: usize = 288;

    /// Application: jobs.
    pub const JOBS: usize = 512;
    /// Application: posted receives.
    pub const RECEIVES: usize = 1024;
    /// Server: results of posted receives.
    pub const RESULTS: usize = 1152;

    /// Octets of all this.
    pub const SLOT: usize = 2048;
}

const _: () = {
    assert!(words::JOBS + JOBS as usize * JOB <= words::RECEIVES);
    assert!(words::RECEIVES + RECEIVES as usize * RECEIVE <= words::RESULTS);
    assert!(words::RESULTS + RECEIVES as usize * RESULT <= words::SLOT);
    assert!(words::PEER + 32 <= words::JOBS);
    assert!(words::SUBSCRIBERS + (MAX_QUEUES / 8) as usize == words::EXCLUSIVE);
    assert!(words::EXCLUSIVE + (MAX_QUEUES / 8) as usize == words::RECEIVE_LOCK);
    assert!(JOBS.is_power_of_two() && RECEIVES.is_power_of_two());
};

/// How much of everything a region has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    slots: u32,
    engines: u32,
    queues: u32,
    processes: u32,
    ring: u32,
}

impl Geometry {
    /// `slots` are rounded up to a multiple of 32, `ring` octets to a power of two. `None` if something exceeds its
    /// limit, or is zero.
    pub fn new(slots: u32, engines: u32, queues: u32, processes: u32, ring: u32) -> Option<Geometry> {
        let within = |value, most| (1..=most).contains(&value);
        let fits = within(slots, MAX_SLOTS)
            && within(engines, MAX_ENGINES)
            && within(queues, MAX_QUEUES)
            && within(processes, MAX_PROCESSES)
            && RING_SIZES.contains(&ring);
        // Only then: a region's header may say anything, and what is rounded up must not overflow.
        fits.then(|| Geometry {
            slots: slots.next_multiple_of(32),
            engines,
            queues,
            processes,
            ring: ring.next_power_of_two(),
        })
    }

    /// Slots.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Engines.
    pub fn engines(&self) -> u32 {
        self.engines
    }

    /// Event queues.
    pub fn queues(&self) -> u32 {
        self.queues
    }

    /// Processes.
    pub fn processes(&self) -> u32 {
        self.processes
    }

    /// Octets of each ring, a power of two.
    pub fn ring(&self) -> u32 {
        self.ring
    }

    /// Octets of the region. Most are never touched.
    pub fn size(&self) -> usize {
        self.rings() + self.slots as usize * 2 * self.ring as usize
    }

    /// Octets that a slot can come to hold.
    pub fn footprint(&self) -> u64 {
        words::SLOT as u64 + 2 * u64::from(self.ring)
    }

    /// The bell of an engine.
    ///
    /// # Panics
    /// There is no such engine.
    pub fn engine_bell(&self, engine: u32) -> usize {
        PAGE + index(engine, self.engines) * BELL
    }

    /// The bits by which applications tell an engine of slots.
    ///
    /// # Panics
    /// There is no such engine.
    pub fn attend_bits(&self, engine: u32) -> usize {
        self.engine_bells_end() + index(engine, self.engines) * self.bitmap()
    }

    /// The bell of an event queue.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn queue_bell(&self, queue: u32) -> usize {
        self.attend_end() + index(queue, self.queues) * BELL
    }

    /// The bits by which engines tell a queue of slots.
    ///
    /// # Panics
    /// There is no such queue.
    pub fn happened_bits(&self, queue: u32) -> usize {
        self.queue_bells_end() + index(queue, self.queues) * self.bitmap()
    }

    /// What a process holds: an octet per slot.
    ///
    /// # Panics
    /// There is no such process.
    pub fn holds(&self, process: u32) -> usize {
        self.happened_end() + index(process, self.processes) * self.slots as usize
    }

    /// A slot's words.
    ///
    /// # Panics
    /// There is no such slot.
    pub fn slot(&self, slot: u32) -> usize {
        self.holds_end() + index(slot, self.slots) * words::SLOT
    }

    /// A slot's receive ring.
    ///
    /// # Panics
    /// There is no such slot.
    pub fn receive_ring(&self, slot: u32) -> usize {
        self.rings() + index(slot, self.slots) * 2 * self.ring as usize
    }

    /// A slot's send ring.
    ///
    /// # Panics
    /// There is no such slot.
    pub fn send_ring(&self, slot: u32) -> usize {
        self.receive_ring(slot) + self.ring as usize
    }

    /// Octets of a bitmap with its summary, in whole pairs of lines.
    fn bitmap(&self) -> usize {
        let words = self.slots as usize / 32;
        (4 * (words.div_ceil(32) + words)).next_multiple_of(BELL)
    }

    fn engine_bells_end(&self) -> usize {
        PAGE + self.engines as usize * BELL
    }

    fn attend_end(&self) -> usize {
        self.engine_bells_end() + self.engines as usize * self.bitmap()
    }

    fn queue_bells_end(&self) -> usize {
        self.attend_end() + self.queues as usize * BELL
    }

    fn happened_end(&self) -> usize {
        self.queue_bells_end() + self.queues as usize * self.bitmap()
    }

    fn holds_end(&self) -> usize {
        (self.happened_end() + self.processes as usize * self.slots as usize).next_multiple_of(PAGE)
    }

    fn rings(&self) -> usize {
        (self.holds_end() + self.slots as usize * words::SLOT).next_multiple_of(PAGE)
    }
}

fn index(value: u32, count: u32) -> usize {
    assert!(value < count, "there are {count}, and no number {value}");
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps() {
        for (slots, engines, queues, processes, ring) in
            [(1, 1, 1, 1, 4096), (1000, 3, 256, 7, 5000), (65536, 64, 256, 256, 1 << 20)]
        {
            let geometry = Geometry::new(slots, engines, queues, processes, ring).unwrap();
            let (slots, engines) = (geometry.slots(), geometry.engines());
            let (queues, processes) = (geometry.queues(), geometry.processes());
            let bitmap = slots as usize / 8 + (slots as usize / 32).div_ceil(32) * 4;
            let ring = geometry.ring() as usize;
            let mut parts = vec![(0, 128)];
            parts.extend((0..engines).map(|engine| (geometry.engine_bell(engine), 4)));
            parts.extend((0..engines).map(|engine| (geometry.attend_bits(engine), bitmap)));
            parts.extend((0..queues).map(|queue| (geometry.queue_bell(queue), 4)));
            parts.extend((0..queues).map(|queue| (geometry.happened_bits(queue), bitmap)));
            parts.extend((0..processes).map(|process| (geometry.holds(process), slots as usize)));
            parts.extend((0..slots).map(|slot| (geometry.slot(slot), words::SLOT)));
            parts.extend(
                (0..slots).flat_map(|slot| [(geometry.receive_ring(slot), ring), (geometry.send_ring(slot), ring)]),
            );
            parts.push((geometry.size(), 0));
            assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{geometry:?}");
            assert_eq!(geometry.slot(slots - 1) % LINE, 0);
        }
    }

    #[test]
    fn what_exceeds_a_limit_is_refused() {
        assert!(Geometry::new(0, 1, 1, 1, 4096).is_none());
        assert!(Geometry::new(1, 65, 1, 1, 4096).is_none());
        assert!(Geometry::new(1, 1, 257, 1, 4096).is_none());
        assert!(Geometry::new(1, 1, 1, 257, 4096).is_none());
        assert!(Geometry::new(1, 1, 1, 1, 4095).is_none());
        assert!(Geometry::new(1, 1, 1, 1, (1 << 20) + 1).is_none());
        assert!(Geometry::new(65537, 1, 1, 1, 4096).is_none());
        assert!(Geometry::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX).is_none());
    }
}
