//! What has become of a client's request that another server is to answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use afpa_cache::Object;
use afpa_caching::{Handled, RequestDirectives};
use afpa_engine::{Desk, Time};

use crate::fetch::flight::{Flight, ReaderId};
use crate::fetch::outgoing::Outgoing;
use crate::fetch::upload::Upload;
use crate::kept::Kept;
use crate::syntax::BodyReader;

/// From the miss on, until the client has the whole answer.
pub(crate) struct RemoteRequest {
    pub(crate) flight: Arc<Flight>,
    pub(crate) reader: ReaderId,
    /// What was asked, if it was asked for this client.
    pub(crate) outgoing: Option<Rc<Outgoing>>,
    /// The request's body, on its way to the backend.
    pub(crate) upload: Option<Rc<RefCell<Upload>>>,
    /// How far the body was read; `None` when that is done.
    pub(crate) body: Option<BodyReader>,
    /// Octets of the body that may still come.
    pub(crate) body_room: u64,
    /// The cache's key, without what responses vary by; empty if the cache is not asked.
    pub(crate) key: Vec<u8>,
    /// What the cache has, and may not simply use.
    pub(crate) stale: Option<Arc<Object<Kept>>>,
    pub(crate) directives: RequestDirectives,
    /// Why a backend was asked.
    pub(crate) why: Handled,
    /// Another one asked.
    pub(crate) is_collapsed: bool,
    /// When a second attempt is made.
    pub(crate) hedge_at: Time,
    /// Until when the client's 100 is left to the backend.
    pub(crate) continue_at: Time,
    /// When the client has waited long enough.
    pub(crate) deadline: Time,
    /// When the rate of its answer is looked at next.
    pub(crate) rate_at: Time,
    /// How its answer is framed, once its head was sent.
    pub(crate) framing: Option<Framing>,
    /// A chunk was sent, and its end is due.
    pub(crate) is_within_chunk: bool,
    /// The answer has ended; what is left of it is being sent.
    pub(crate) is_over: bool,
}

/// How an answer is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// As its length says, or without content.
    Counted,
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl RemoteRequest {
    /// The client waits no more.
    pub(crate) fn leave(&self, engine: u32, desk: &mut Desk<'_>) {
        self.flight.leave(self.reader, desk, engine);
        if let Some(upload) = &self.upload {
            upload.borrow_mut().cut_off(desk);
        }
    }

    /// The next moment at which something is to be done though nothing happens.
    pub(crate) fn next_deadline(&self) -> Time {
        self.hedge_at.min(self.continue_at).min(self.deadline).min(self.rate_at)
    }
}
