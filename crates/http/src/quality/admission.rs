//! What a request has been given, and gives back when it ends.

use std::cell::Cell;
use std::rc::Rc;

use afpa_classes::{Permit, Refusal, Slot, Ticket};
use afpa_engine::{Notice, Time};

use super::EngineClass;

/// Given back by [`Quality::end`](super::Quality::end), however the request ends.
pub(crate) struct Admission {
    /// Its class, if there are any.
    pub(crate) class: Option<Rc<EngineClass>>,
    /// It counts as one in progress.
    pub(super) is_counted: bool,
    /// As one of its client's.
    pub(super) slot: Option<Slot>,
    /// To ask a backend or a worker.
    pub(super) permit: Option<Permit>,
    /// Where it waits for that.
    pub(super) seat: Option<Rc<Seat>>,
    /// When more of its answer may be sent, if it is that which holds it up.
    pub(crate) resumes: Time,
}

/// A place in front of the gate.
pub(crate) struct Seat {
    pub(super) notice: Notice,
    pub(super) class: Rc<EngineClass>,
    pub(super) ticket: Cell<Option<Ticket>>,
    pub(super) turn: Cell<Option<Turn>>,
    /// What is looked up in the cache. The engine's own is other requests' meanwhile.
    pub(crate) key: Vec<u8>,
}

/// What one that waited finds at its seat.
pub(super) enum Turn {
    Go(Permit),
    Refuse(Refusal),
    /// Classes have changed: it is to arrive again.
    Anew,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { class: None, is_counted: false, slot: None, permit: None, seat: None, resumes: Time::NEVER }
    }
}

impl Admission {
    /// Whether it waits for its turn.
    pub(crate) fn is_waiting(&self) -> bool {
        self.seat.is_some()
    }

    /// Whether it may ask a backend or a worker.
    pub(crate) fn has_permit(&self) -> bool {
        self.permit.is_some()
    }

    /// Whether its answer is sent no faster than its class may.
    pub(crate) fn is_paced(&self) -> bool {
        self.class.as_ref().is_some_and(|class| class.piece > 0)
    }
}
