//! The module that asks backends: its three kinds of data.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use afpa_engine::seam::{Disconnect, Origin};
use afpa_engine::{ConnectionId, ControlTable, Desk, ProtocolModule, Time};

use super::shared::{Shared, Task, WATCH};
use super::table::TABLE;
use crate::cache::Prepared;
use crate::stats::{BackendEvent, DnsStats};
use crate::upstream::{End, Expected, Failure, FlightId, Setback};

/// DNS towards backends.
pub struct Fetch;

/// Global data: one per engine.
pub struct Global {
    pub(crate) shared: Rc<RefCell<Shared>>,
    pub(crate) stats: Arc<DnsStats>,
    /// Kept for its memory: what is sent.
    pub(crate) query: Vec<u8>,
}

impl Global {
    /// One engine's data.
    pub fn new(shared: Rc<RefCell<Shared>>, stats: Arc<DnsStats>) -> Global {
        Global { shared, stats, query: Vec::new() }
    }
}

/// Connection data: of a conversation, a connection, or work without a peer.
pub struct Connection {
    pub(crate) tag: u64,
    pub(crate) task: Option<Task>,
    /// What it has opened, and waits for.
    pub(crate) opened: u64,
}

/// Request data: one question.
#[derive(Default)]
pub struct Request {
    pub(crate) expected: Option<Expected>,
    pub(crate) asked_at: Time,
    /// Purges of the cache before the question was asked.
    pub(crate) purges: u64,
    pub(crate) answer: Option<Rc<Prepared>>,
    pub(crate) failure: Option<Failure>,
    /// Those who wait have it.
    pub(crate) is_handed_out: bool,
    /// Whether the answer is for the client's subnet alone.
    pub(crate) is_of_subnet: bool,
}

impl Connection {
    /// The flight that it works for.
    pub(crate) fn flight(&self) -> Option<FlightId> {
        match self.task? {
            Task::Start(flight) | Task::Retry(flight) | Task::Ask(flight, _) => Some(flight),
            Task::Check(_) | Task::Connect(_) => None,
        }
    }
}

impl ProtocolModule for Fetch {
    const NAME: &'static str = "dns-upstream";
    const TABLE: &'static ControlTable<Self> = &TABLE;

    type Global = Global;
    type Connection = Connection;
    type Request = Request;

    fn connected(_global: &mut Global, _id: ConnectionId, origin: Origin, _now: Time) -> Connection {
        let tag = if let Origin::Opened(tag) = origin { tag } else { WATCH };
        Connection { tag, task: None, opened: WATCH }
    }

    /// The attempt's end is one of many: whoever is next is found by work of our own.
    fn unreachable(global: &mut Global, desk: &mut Desk<'_>, tag: u64, reason: Disconnect) {
        let (now, owner) = (desk.now(), desk.owner());
        let watcher = global.shared.borrow_mut().watcher(tag);
        if let Some(watcher) = watcher {
            desk.notify(watcher);
        }
        // Want of room on this side says nothing of the backend.
        let is_ours = reason == Disconnect::Unavailable;
        let task = global.shared.borrow_mut().end(tag);
        match task {
            Some(Task::Ask(flight, attempt)) => {
                let mut shared = global.shared.borrow_mut();
                let end = if is_ours { End::Abandoned } else { End::Refused };
                let change = shared.pools.ended(attempt.backend, end, now);
                shared.flights.set_back(flight, Setback::Silence);
                let errand = shared.attempt(flight);
                drop(shared);
                desk.open(errand.open, owner, errand.tag);
                if !is_ours {
                    global.count(attempt.backend, BackendEvent::Unreachable, change);
                }
            }
            Some(Task::Check(attempt)) if !is_ours => {
                let change = global.shared.borrow_mut().pools.checked(attempt.backend, false, now);
                global.note(attempt.backend, change);
            }
            // Work is always reached.
            Some(Task::Check(_) | Task::Start(_) | Task::Retry(_) | Task::Connect(_)) | None => {}
        }
    }
}
