//! A connection between TCP and the slot of an application.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use afpa_channel::Forged;
use afpa_channel::slot::{Slot, command, state};
use afpa_engine::seam::Disconnect;
use afpa_engine::{Outcome, Time, Wake};
use rustix::io::Errno;

use crate::application::{Application, Memory, Use};
use crate::module::Cx;
use crate::provider::Fate;
use crate::receiving::Receiving;
use crate::sending::Sending;
use crate::stats::ProviderStats;
use crate::steering::Lease;
use crate::table::{CLOSED, GIVEN, IDLE, LEAVING, LET_GO, OVER, RESET, STAYS, TAKEN};

/// For how long a connection is given nothing more before it goes to another engine. Who takes less than what TCP holds in
/// that time is left where it is.
const LEAVE_PATIENCE: Duration = Duration::from_millis(250);

/// What the module keeps of a connection.
pub struct Connection {
    pub(crate) origin: Origin,
    /// Once it has a slot.
    pub(crate) channel: Option<Box<Channel>>,
    /// Its turn, while it waits for credit.
    pub(crate) waits: Option<u64>,
    /// The interface's frames, if it is of an interface.
    pub(crate) _lease: Option<Arc<Lease>>,
    /// How the transport says that it ended.
    pub(crate) reason: Option<Disconnect>,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Of the listener with this serial number.
    Listener(u64),
    /// Opened under this tag.
    Opening(u64),
    /// Nobody's.
    Nobody,
}

/// A connection that has a slot.
pub(crate) struct Channel {
    pub(crate) link: Link,
    receiving: Receiving,
    sending: Sending,
    /// The state bits that are published.
    state: u32,
    /// The application does not refer to it any more.
    is_closed: bool,
    finish: Finish,
    /// What had been taken over when the peer's patience was last looked at.
    looked_at: u64,
}

/// How far our FIN is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finish {
    No,
    Given,
    Sent,
}

/// The slot of a connection.
pub(crate) struct Link {
    pub(crate) application: Arc<Application>,
    /// The application's place on this engine.
    pub(crate) place: usize,
    pub(crate) at: Use,
}

/// Why a connection cannot go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The application has written what cannot be.
    Forged(Forged),
    /// What a job sends cannot be read.
    Unreadable(io::Error),
}

impl From<Forged> for Trouble {
    fn from(forged: Forged) -> Trouble {
        Trouble::Forged(forged)
    }
}

impl Link {
    /// The slot's words and rings.
    #[inline]
    pub(crate) fn slot(&self) -> Slot<'_, Memory> {
        self.application.region().slot(self.at.slot)
    }
}

impl Channel {
    pub(crate) fn new(link: Link) -> Box<Channel> {
        Box::new(Channel {
            link,
            receiving: Receiving::default(),
            sending: Sending::default(),
            state: state::CONNECTED,
            is_closed: false,
            finish: Finish::No,
            looked_at: 0,
        })
    }

    /// Moves what can be moved.
    pub(crate) fn relay(&mut self, cx: &mut Cx<'_>) -> Result<Outcome, Trouble> {
        let fate = cx.global.fate(&self.link);
        let slot = self.link.slot();
        let commands = slot.commands();
        if fate == Fate::Aborted || commands & (command::CLOSE | command::ABORT) == command::CLOSE | command::ABORT {
            self.is_closed = true;
            return Ok(RESET);
        }
        if !self.receiving.look(&mut cx.input) {
            return Ok(IDLE);
        }
        if fate == Fate::Abandoned || cx.draining() || commands & command::CLOSE != 0 {
            self.is_closed = true;
            // As the kernel does: the peer has to learn that not everything was read (RFC 9293 §3.10.4, RFC 2525 §2.17).
            return Ok(if self.receiving.is_unread(&mut cx.input, slot)? { RESET } else { CLOSED });
        }
        if commands & command::ABORT != 0 {
            return Ok(RESET);
        }
        if cx.global.is_leaving(&self.link) {
            if self.finish == Finish::No {
                return Ok(LEAVING);
            }
            cx.global.stay(&self.link);
        }
        let mut happened = self.receive(cx, commands)?;
        let slot = self.link.slot();
        let waited = self.sending.taken(cx.taken(), slot, &cx.global.stats);
        self.sending.give(cx, &self.link)?;
        if commands & command::FINISH != 0 && self.finish == Finish::No && self.sending.is_given() {
            cx.output.finish();
            self.finish = Finish::Given;
        }
        if self.finish == Finish::Given && self.sending.is_taken() {
            self.finish = Finish::Sent;
        }
        happened |= self.publish(cx.finished());
        let slot = self.link.slot();
        if happened || (waited && slot.server_waited_for()) {
            self.link.application.tell(slot, &cx.global.stats);
        }
        let both = state::PEER_FINISHED | state::FINISHED;
        Ok(if self.state & both == both { OVER } else { IDLE })
    }

    /// Takes what has come. Returns whether something happened for the application.
    fn receive(&mut self, cx: &mut Cx<'_>, commands: u32) -> Result<bool, Trouble> {
        if commands & command::DISCARD != 0 {
            return Ok(self.receiving.discard(&mut cx.input));
        }
        Ok(self.receiving.take(cx, &self.link, &mut self.state)?)
    }

    /// Publishes how far both directions are. Returns whether that is news.
    fn publish(&mut self, peer_finished: bool) -> bool {
        let before = self.state;
        if peer_finished && !self.receiving.is_held_back() {
            self.state |= state::PEER_FINISHED;
        }
        if self.finish == Finish::Sent {
            self.state |= state::FINISHED;
        }
        if self.state != before {
            self.link.slot().server_state(self.state);
        }
        self.state != before
    }

    /// Goes on receiving, but gives TCP nothing more, until the socket can be given away.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) -> Result<Outcome, Trouble> {
        if cx.wake == Wake::Continued {
            cx.arm_after(LEAVE_PATIENCE);
        }
        let commands = self.link.slot().commands();
        let is_wanted = cx.global.is_leaving(&self.link) && cx.global.fate(&self.link) == Fate::Kept;
        let is_open = commands & (command::CLOSE | command::ABORT) == 0 && !cx.draining();
        if !is_wanted || !is_open || cx.wake == Wake::Expired {
            return Ok(self.stay(cx));
        }
        let mut happened = self.receive(cx, commands)?;
        let waited = self.sending.taken(cx.taken(), self.link.slot(), &cx.global.stats);
        happened |= self.publish(cx.finished());
        let slot = self.link.slot();
        if happened || (waited && slot.server_waited_for()) {
            self.link.application.tell(slot, &cx.global.stats);
        }
        if !self.sending.settle(cx)? {
            return Ok(IDLE);
        }
        Ok(if cx.release() { LET_GO } else { self.stay(cx) })
    }

    fn stay(&mut self, cx: &mut Cx<'_>) -> Outcome {
        cx.arm(Time::NEVER);
        cx.global.stay(&self.link);
        STAYS
    }

    /// The transport gives the socket away: whether anybody wants it still.
    pub(crate) fn await_release(&mut self, cx: &mut Cx<'_>) -> Outcome {
        let commands = self.link.slot().commands();
        let is_aborted = cx.global.fate(&self.link) == Fate::Aborted || commands & command::ABORT != 0;
        self.is_closed |= is_aborted && commands & command::CLOSE != 0;
        if is_aborted { RESET } else { IDLE }
    }

    /// Another transport goes on, on an engine where the application's place is `place`.
    pub(crate) fn go_on(&mut self, place: usize) {
        self.link.place = place;
        self.receiving.go_on();
        self.sending.go_on();
    }

    /// Sends what the application has left. What still arrives, nobody will read: a reset says so.
    pub(crate) fn drain(&mut self, cx: &mut Cx<'_>) -> Result<Outcome, Trouble> {
        if self.is_refused(cx) {
            return Ok(RESET);
        }
        self.sending.taken(cx.taken(), self.link.slot(), &cx.global.stats);
        self.sending.give(cx, &self.link)?;
        if !self.sending.is_given() {
            return Ok(self.be_patient(cx));
        }
        if self.finish == Finish::No {
            cx.output.finish();
        }
        Ok(GIVEN)
    }

    /// Waits until nothing refers to the slot's memory.
    pub(crate) fn linger(&mut self, cx: &mut Cx<'_>) -> Outcome {
        if self.is_refused(cx) {
            return RESET;
        }
        self.sending.taken(cx.taken(), self.link.slot(), &cx.global.stats);
        if self.sending.is_taken() { TAKEN } else { self.be_patient(cx) }
    }

    /// Whether octets arrive on a connection that the application has closed.
    fn is_refused(&mut self, cx: &mut Cx<'_>) -> bool {
        cx.input.is_present() && !cx.input.unread().is_empty()
    }

    /// Waits for the peer of a closed connection, unless it has taken nothing for too long.
    fn be_patient(&mut self, cx: &mut Cx<'_>) -> Outcome {
        match cx.wake {
            Wake::Expired if cx.taken() == self.looked_at => return RESET,
            Wake::Continued | Wake::Expired => {}
            _ => return IDLE,
        }
        self.looked_at = cx.taken();
        cx.arm_after(cx.global.settings.close_patience);
        IDLE
    }

    /// The connection is gone. Publishes how, unless the application knows; whether the slot is free.
    pub(crate) fn end(&mut self, reason: Option<Disconnect>, stats: &ProviderStats) -> bool {
        let slot = self.link.slot();
        if self.is_closed {
            return true;
        }
        self.sending.let_go(slot);
        let both = state::PEER_FINISHED | state::FINISHED;
        if self.state & both != both {
            self.receiving.fail(slot);
            let is_ours = slot.commands() & command::ABORT != 0;
            let errno = match errno(reason) {
                _ if is_ours => Errno::CONNABORTED,
                // As the kernel tells it: who knows that the peer has ended only learns that it does not listen either.
                Errno::CONNRESET if self.state & state::PEER_FINISHED != 0 => Errno::PIPE,
                errno => errno,
            };
            slot.server_fail(errno.raw_os_error().unsigned_abs(), self.state);
            self.link.application.tell(slot, stats);
        }
        false
    }
}

/// How the application is told of it.
pub(crate) fn errno(reason: Option<Disconnect>) -> Errno {
    match reason {
        Some(Disconnect::TimedOut) => Errno::TIMEDOUT,
        Some(Disconnect::Refused) => Errno::CONNREFUSED,
        Some(Disconnect::Unreachable) => Errno::HOSTUNREACH,
        Some(Disconnect::Unavailable) => Errno::ADDRNOTAVAIL,
        _ => Errno::CONNRESET,
    }
}
