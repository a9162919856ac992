//! The module that owns connections to backends: its three kinds of data.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use afpa_engine::seam::{Disconnect, Origin};
use afpa_engine::{ConnectionId, ControlTable, Desk, Notice, ProtocolModule, Time};

use super::error::FetchError;
use super::flight::End;
use super::shared::{Job, KEEPER, Place, Shared};
use super::states::was_closed_before;
use super::table::TABLE;
use crate::remote::{Relay, RemoteHead};
use crate::syntax::{BodyReader, ResponseParser};

/// HTTP towards backends.
pub struct Fetch;

/// Global data: one per engine.
pub struct FetchGlobal {
    pub(crate) shared: Rc<RefCell<Shared>>,
    pub(crate) relay: Arc<Relay>,
    /// Seconds since the epoch, as the module that faces clients has them.
    pub(crate) seconds: Rc<std::cell::Cell<u64>>,
}

/// Connection data.
pub struct Connection {
    pub(crate) tag: u64,
    pub(crate) notice: Option<Notice>,
    /// The backend's place; `None` for the watch, and once the end of the connection was counted.
    pub(crate) place: Option<Place>,
    /// Requests that were sent on it.
    pub(crate) requests: u32,
    /// The backend whose octets are counted: the same, also when the connection counts no more.
    pub(crate) counts_for: Option<Place>,
    /// Octets that were sent and received and are not counted yet: what all engines count is touched seldom.
    sent: u64,
    received: u64,
}

/// So many octets are counted at once, unless a response ends before.
const COUNTED_AT_ONCE: u64 = 256 << 10;

impl Connection {
    /// Octets went to the backend, or came from it.
    pub(crate) fn transferred(&mut self, sent: u64, received: u64, shared: &RefCell<Shared>) {
        self.sent += sent;
        self.received += received;
        if self.sent + self.received >= COUNTED_AT_ONCE {
            self.count(&shared.borrow());
        }
    }

    /// What was transferred is the backend's.
    pub(crate) fn count(&mut self, shared: &Shared) {
        let (sent, received) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.received));
        if let Some(place) = self.counts_for.filter(|_| sent + received > 0) {
            shared.transferred(place, sent, received);
        }
    }
}

/// Request data: one attempt.
#[derive(Default)]
pub struct Request {
    pub(crate) job: Option<Job>,
    pub(crate) parser: ResponseParser,
    pub(crate) head: Option<Arc<RemoteHead>>,
    pub(crate) reader: Option<BodyReader>,
    /// Something of it was sent.
    pub(crate) was_sent: bool,
    /// All of it was sent.
    pub(crate) is_sent: bool,
    /// The backend keeps the connection, as far as it says.
    pub(crate) is_persistent: bool,
    /// The response has ended for those who read it.
    pub(crate) is_over: bool,
}

impl FetchGlobal {
    /// One engine's data. `seconds` is kept up by the module that faces clients.
    pub fn new(shared: Rc<RefCell<Shared>>, relay: Arc<Relay>, seconds: Rc<std::cell::Cell<u64>>) -> FetchGlobal {
        FetchGlobal { shared, relay, seconds }
    }

    /// Requests of this engine that wait for a connection, by the name of their pool.
    pub fn waiting(&self) -> Vec<(String, u64)> {
        self.shared.borrow().waiting().map(|(pool, count)| (pool.to_owned(), count as u64)).collect()
    }

    /// Replaces what an operator decides.
    pub fn reload(&mut self, relay: Arc<Relay>, now: Time) {
        self.shared.borrow_mut().reload(&relay.pools, now);
        self.relay = relay;
    }
}

impl ProtocolModule for Fetch {
    const NAME: &'static str = "http-upstream";
    const TABLE: &'static ControlTable<Self> = &TABLE;
    /// A request's body goes on when there is room.
    const WANTS_SENT: bool = true;

    type Global = FetchGlobal;
    type Connection = Connection;
    type Request = Request;

    fn connected(_global: &mut FetchGlobal, _id: ConnectionId, origin: Origin, _now: Time) -> Connection {
        let tag = if let Origin::Opened(tag) = origin { tag } else { KEEPER };
        Connection { tag, notice: None, place: None, requests: 0, counts_for: None, sent: 0, received: 0 }
    }

    /// Whatever was under way goes on elsewhere, if it may.
    fn disconnected(global: &mut FetchGlobal, desk: &mut Desk<'_>, connection: &mut Connection, request: &mut Request) {
        let mut shared = global.shared.borrow_mut();
        let Some(place) = connection.place.take() else {
            // A tunnel's, which has left the pool.
            if let Some(job) = request.job.take() {
                job.flight.end(End::Failed(FetchError::CutOff), desk, shared.engine);
            }
            return;
        };
        let assigned = connection.notice.and_then(|notice| shared.assignment(notice));
        if let Some(notice) = connection.notice {
            shared.retire(notice, place);
        }
        if let Some(job) = assigned {
            shared.reassign(job, place, desk);
        }
        let is_worn = was_closed_before(connection, request);
        let job = request.job.take().and_then(|job| match is_worn {
            true => shared.again_afresh(job, place, desk).err(),
            false => Some(job),
        });
        if let Some(job) = job {
            if request.head.is_none() {
                shared.failed(job, place, FetchError::Unreachable, request.was_sent, desk);
            } else if !request.is_over {
                // Its readers have begun to answer: they cut off too.
                shared.failed(job, place, FetchError::CutOff, true, desk);
            } else {
                let validates = request.head.as_ref().is_some_and(|head| head.validates);
                shared.lost(&job, place, validates, desk);
            }
        }
        shared.disconnected(place, desk);
    }

    fn unreachable(global: &mut FetchGlobal, desk: &mut Desk<'_>, tag: u64, reason: Disconnect) {
        let error = match reason {
            Disconnect::Unavailable => None,
            Disconnect::TimedOut => Some(FetchError::TimedOut),
            _ => Some(FetchError::Unreachable),
        };
        global.shared.borrow_mut().unreachable(tag, error, desk);
    }
}
