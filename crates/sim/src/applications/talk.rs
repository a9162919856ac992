//! An application that sends a stream and checks one.

use std::fmt;
use std::time::Duration;

use afpa_tcp::{Ending, Time};
use fastrand::Rng;

use crate::application::{Application, Calls, SharedTally};
use crate::octets::Octets;

/// What a [`Talker`] does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Talk {
    /// What it sends.
    pub outgoing: Octets,
    /// How much of it.
    pub amount: u64,
    /// The largest piece that it queues at once.
    pub piece: usize,
    /// Of how many pieces in four it pins the octets rather than have them copied.
    pub pinned: u8,
    /// What it expects.
    pub incoming: Octets,
    /// How much of it.
    pub expected: u64,
    /// How it reads.
    pub reading: Reading,
    /// When it closes.
    pub closing: Closing,
    /// After how many octets, queued and received, it loses patience and resets the connection.
    pub patience: Option<u64>,
}

/// How an application reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Everything, as soon as it is there.
    AtOnce,
    /// So many octets at a time, so far apart.
    Slowly(usize, Duration),
    /// Nothing for a while after so many octets.
    Pausing(u64, Duration),
}

/// When an application closes its half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// When everything is queued: the peer may go on (half-close).
    WhenQueued,
    /// When everything is queued and the peer has finished.
    AfterPeer,
}

/// Sends a stream of octets and checks another one, octet by octet.
pub struct Talker {
    talk: Talk,
    tally: SharedTally,
    random: Rng,
    queued: u64,
    closed: bool,
    paused: bool,
    wake: Option<Time>,
}

impl Talker {
    /// A talker that counts in this tally.
    pub fn new(talk: Talk, tally: SharedTally) -> Talker {
        let random = Rng::with_seed(talk.outgoing.0);
        Talker { talk, tally, random, queued: 0, closed: false, paused: false, wake: None }
    }

    /// Whether it has had enough, and has reset the connection.
    fn is_out_of_patience(&mut self, calls: &mut Calls<'_>) -> bool {
        let exchanged = self.queued + self.tally.borrow().received;
        let is_out = !self.closed && self.talk.patience.is_some_and(|patience| exchanged >= patience);
        if is_out {
            self.closed = true;
            self.tally.borrow_mut().aborted = true;
            calls.abort();
        }
        is_out
    }

    fn fill(&mut self, calls: &mut Calls<'_>) {
        if self.is_out_of_patience(calls) {
            return;
        }
        while self.queued < self.talk.amount && calls.space() > 0 {
            let left = self.talk.amount - self.queued;
            let count = self.random.usize(1..=self.talk.piece).min(left as usize);
            if self.random.u8(0..4) < self.talk.pinned {
                calls.pin(self.talk.outgoing.pinned(self.queued, count));
            } else {
                calls.copy(&self.talk.outgoing.range(self.queued, count));
            }
            self.queued += count as u64;
        }
        let finished = self.tally.borrow().finished;
        if self.queued < self.talk.amount || self.closed {
            return;
        }
        if finished {
            calls.close();
            self.closed = true;
        } else if self.talk.closing == Closing::WhenQueued {
            calls.finish();
        }
    }

    fn appetite(&mut self, received: u64, shown: usize, now: Time) -> usize {
        match self.talk.reading {
            Reading::AtOnce => shown,
            Reading::Slowly(count, every) => {
                if self.wake.is_some_and(|at| at > now) {
                    return 0;
                }
                self.wake = (shown > count).then(|| now.after(every));
                shown.min(count)
            }
            Reading::Pausing(after, pause) => {
                if self.wake.is_some_and(|at| at > now) {
                    return 0;
                }
                self.wake = None;
                if received + (shown as u64) < after || self.paused {
                    return shown;
                }
                self.paused = true;
                self.wake = Some(now.after(pause));
                after.saturating_sub(received) as usize
            }
        }
    }
}

impl Application for Talker {
    fn opened(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().opened = true;
        self.fill(calls);
    }

    fn input(&mut self, octets: &[u8], calls: &mut Calls<'_>) -> usize {
        let received = self.tally.borrow().received;
        self.talk.incoming.check(received, octets);
        let count = self.appetite(received, octets.len(), calls.now());
        self.tally.borrow_mut().received += count as u64;
        assert!(received + octets.len() as u64 <= self.talk.expected, "the stream is longer than what was sent");
        self.is_out_of_patience(calls);
        count
    }

    fn acknowledged(&mut self, calls: &mut Calls<'_>) {
        self.fill(calls);
    }

    fn finished(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().finished = true;
        assert_eq!(self.tally.borrow().received, self.talk.expected, "the stream ends early");
        self.fill(calls);
    }

    fn ended(&mut self, ending: Ending) {
        let mut tally = self.tally.borrow_mut();
        tally.ending = Some(ending);
        tally.complete = ending == Ending::Closed && tally.finished && self.queued == self.talk.amount;
    }

    fn wake(&self) -> Option<Time> {
        self.wake
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sends {} octets in pieces of up to {}, ", self.amount, self.piece)?;
        write!(f, "{} of 4 pinned, reads {:?}, closes {:?}", self.pinned, self.reading, self.closing)
    }
}
