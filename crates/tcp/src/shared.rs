//! What the connections of one TCP share.

use std::collections::VecDeque;

use crate::arrival::Arrival;
use crate::challenge::Challenges;
use crate::config::Config;
use crate::connection::{Connection, Flags, Sending};
use crate::cookie::Cookies;
use crate::egress::stateless::Replies;
use crate::handshake::offers::Offers;
use crate::offload::Assisted;
use crate::payload::Payload;
use crate::pool::Pool;
use crate::receive::memory::Memory;
use crate::receive::reassembly::Reassembly;
use crate::secret::Secret;
use crate::stats::Stats;
use crate::time::Time;
use crate::time_wait::TimeWait;
use crate::timer_wheel::{Entry, TimerWheel};

/// How many boxes of each kind are kept for the next connection that needs one.
const POOLED: usize = 4096;
/// A deadline moves the wheel only if it comes earlier by more than this: a bound on how often one connection can.
const SLACK_NANOSECONDS: u64 = 1_000_000;

pub(crate) struct Shared<P> {
    pub(crate) config: Config,
    pub(crate) stats: Stats,
    /// The latest time that the caller passed in: for calls that carry none.
    pub(crate) now: Time,
    pub(crate) secret: Secret,
    pub(crate) cookies: Cookies,
    pub(crate) memory: Memory,
    pub(crate) wheel: TimerWheel,
    pub(crate) sendings: Pool<Sending<P>>,
    pub(crate) assemblies: Pool<Reassembly>,
    /// Indexes of connections that have something to send, each at most once.
    pub(crate) ready: VecDeque<u32>,
    pub(crate) replies: Replies,
    pub(crate) challenges: Challenges,
    pub(crate) time_wait: TimeWait,
    /// What came of a call rather than of a packet or a timer: told by the next `expire`. At most one for each call.
    pub(crate) notices: VecDeque<Arrival<'static>>,
    /// Incoming handshakes that occupy a connection.
    pub(crate) handshakes: u32,
    pub(crate) offers: Offers,
    pub(crate) assisted: Assisted,
    /// The payload of a segment that had to be copied: kept for its memory.
    pub(crate) settled: Vec<u8>,
}

impl<P: Payload> Shared<P> {
    pub(crate) fn new(config: Config, seed: &[u8; 32]) -> Shared<P> {
        Shared {
            stats: Stats::default(),
            now: Time(0),
            secret: Secret::new(seed),
            cookies: Cookies::new(seed, Time(0)),
            memory: Memory::new(config.receive_memory as usize),
            wheel: TimerWheel::new(Time(0)),
            sendings: Pool::new(POOLED),
            assemblies: Pool::new(POOLED),
            ready: VecDeque::with_capacity(1024),
            replies: Replies::new(config.stateless_replies),
            challenges: Challenges::new(config.challenges_per_second, seed),
            time_wait: TimeWait::new(config.time_wait_entries as usize, config.time_wait),
            notices: VecDeque::new(),
            handshakes: 0,
            offers: Offers::new(),
            assisted: Assisted::default(),
            settled: Vec::new(),
            config,
        }
    }

    /// The window that a SYN or SYN-ACK offers: what there is memory for, at least two segments, since a window of zero would
    /// have to be probed.
    pub(crate) fn first_window(&self) -> u16 {
        let room = u32::try_from(self.memory.room() / 2).unwrap_or(u32::MAX).max(2 * 1460);
        self.config.receive_window.min(room).min(65_535) as u16
    }

    /// Puts a connection that wants it into the queue of those that have something to send, and its next deadline on the wheel.
    pub(crate) fn settle(&mut self, index: u32, connection: &mut Connection<P>) {
        if connection.flags.has(Flags::WAKE) {
            connection.flags.clear(Flags::WAKE);
            if !connection.flags.has(Flags::READY) {
                connection.flags.set(Flags::READY);
                self.ready.push_back(index);
            }
        }
        let due = connection.deadline();
        if due.0.saturating_add(SLACK_NANOSECONDS) < connection.scheduled.0 {
            connection.scheduled = due;
            self.wheel.set(Entry { key: index, due });
        }
    }
}
