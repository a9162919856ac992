//! What runs on a [`Host`](crate::Host).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use afpa_tcp::{Ending, Handle, Tcp, Time};

/// One side of one connection. What it is lent and told is what a transport lends and tells a protocol module.
pub trait Application {
    /// The connection is established.
    fn opened(&mut self, calls: &mut Calls<'_>) {
        let _ = calls;
    }

    /// Everything that the peer has sent and that is not consumed yet. Returns how much of it is consumed.
    fn input(&mut self, octets: &[u8], calls: &mut Calls<'_>) -> usize;

    /// Some of what was sent is acknowledged.
    fn acknowledged(&mut self, calls: &mut Calls<'_>) {
        let _ = calls;
    }

    /// The peer has closed its half, and everything before is consumed.
    fn finished(&mut self, calls: &mut Calls<'_>);

    /// The connection is over.
    fn ended(&mut self, ending: Ending);

    /// When it wants to be shown its unread input again.
    fn wake(&self) -> Option<Time> {
        None
    }
}

/// The calls down to TCP.
pub struct Calls<'a> {
    pub(crate) tcp: &'a mut Tcp<Rc<[u8]>>,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) handle: Handle,
    pub(crate) now: Time,
}

impl Calls<'_> {
    /// The time by the host's clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How much should be queued now.
    pub fn space(&self) -> usize {
        self.tcp.send_space(self.handle)
    }

    /// Queues a copy.
    pub fn copy(&mut self, octets: &[u8]) {
        self.ledger.queue(octets.len(), None);
        self.tcp.send_copy(self.handle, octets);
    }

    /// Queues pinned octets.
    pub fn pin(&mut self, octets: Rc<[u8]>) {
        let pin = Rc::downgrade(&octets);
        self.ledger.queue(octets.len(), Some(pin));
        self.tcp.send_pinned(self.handle, octets);
    }

    /// Closes this half.
    pub fn finish(&mut self) {
        self.tcp.finish(self.handle);
    }

    /// Closes this half, and wants nothing of the other one.
    pub fn close(&mut self) {
        self.ledger.closed = true;
        self.tcp.close(self.handle);
    }

    /// Resets the connection.
    pub fn abort(&mut self) {
        self.ledger.aborted = true;
        self.tcp.abort(self.handle);
    }
}

/// What is queued and not acknowledged on one connection: TCP has to hold each pin exactly so long.
#[derive(Default)]
pub(crate) struct Ledger {
    pieces: VecDeque<(u64, Option<Weak<[u8]>>)>,
    queued: u64,
    acknowledged: u64,
    pub(crate) closed: bool,
    pub(crate) aborted: bool,
}

impl Ledger {
    fn queue(&mut self, octets: usize, pin: Option<Weak<[u8]>>) {
        self.queued += octets as u64;
        self.pieces.push_back((self.queued, pin));
    }

    /// # Panics
    /// TCP has dropped a pin too early, keeps it too long, or acknowledges what was never queued.
    pub(crate) fn acknowledge(&mut self, octets: u64) {
        self.acknowledged += octets;
        assert!(self.acknowledged <= self.queued, "{} of {} octets acknowledged", self.acknowledged, self.queued);
        while self.pieces.front().is_some_and(|(end, _)| *end <= self.acknowledged) {
            if let Some((end, Some(pin))) = self.pieces.pop_front() {
                assert_eq!(pin.strong_count(), 0, "the pin that ends at {end} is held after it was acknowledged");
            }
        }
        if let Some((end, Some(pin))) = self.pieces.front() {
            assert!(pin.strong_count() > 0, "the pin that ends at {end} was dropped before it was acknowledged");
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.acknowledged == self.queued
    }

    /// # Panics
    /// TCP holds a pin of a connection that is over.
    pub(crate) fn end(&self) {
        let held = self.pieces.iter().filter_map(|(_, pin)| pin.as_ref()).any(|pin| pin.strong_count() > 0);
        assert!(!held, "a pin is held after its connection has ended");
    }
}

/// What an application has seen, shared with the test that watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// The connection was established.
    pub opened: bool,
    /// Octets consumed, each of them checked.
    pub received: u64,
    /// The peer closed its half.
    pub finished: bool,
    /// Everything that was to be exchanged was.
    pub complete: bool,
    /// The application reset the connection.
    pub aborted: bool,
    /// How it ended.
    pub ending: Option<Ending>,
}

/// A tally that a test can look at.
pub type SharedTally = Rc<RefCell<Tally>>;
