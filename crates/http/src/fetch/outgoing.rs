//! What a backend is asked, and what is to become of its answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_cache::Object;

use super::flight::Flight;
use super::upload::Upload;
use crate::kept::Kept;
use crate::remote::Routed;
use crate::syntax::Method;

/// A request as it is sent on. On the engine of the client who asked first.
pub(crate) struct Outgoing {
    /// Its head, as it is sent; empty once it is a tunnel.
    pub(crate) head: RefCell<Vec<u8>>,
    pub(crate) method: Method,
    /// Its body, if it has one.
    pub(crate) upload: Option<Rc<RefCell<Upload>>>,
    /// Its body is sent in chunks.
    pub(crate) is_chunked: bool,
    /// It may turn into a tunnel (RFC 9110 §7.8).
    pub(crate) upgrades: bool,
    /// The number of the pool that is asked.
    pub(crate) pool: usize,
    /// What decides among backends, where something of the request does.
    pub(crate) hash: Option<u64>,
    /// The backend that the client's cookie names.
    pub(crate) sticky: Option<Vec<u8>>,
    /// What comes before the request on a connection of its own: a PROXY header.
    pub(crate) preamble: Vec<u8>,
    /// To whom the answer goes beside the clients who wait.
    pub(crate) keeping: Option<Keeping>,
    /// The route, for what it changes in responses.
    pub(crate) routed: Routed,
    pub(crate) times: FetchTimes,
}

impl Outgoing {
    /// Nobody joins `flight` any more, for which this is asked.
    pub(crate) fn close(&self, flight: &Arc<Flight>) {
        if let Some(keeping) = &self.keeping {
            self.routed.relay.relay.shared.flights.remove(&keeping.key, flight);
        }
    }
}

/// What the cache needs of a request whose answer it may keep.
pub(crate) struct Keeping {
    /// The key without what responses vary by.
    pub(crate) key: Vec<u8>,
    /// The request's head as the client sent it.
    pub(crate) octets: Vec<u8>,
    /// The number of the cache policy.
    pub(crate) policy: usize,
    /// A part was asked for: what comes may be one.
    pub(crate) is_part: bool,
    /// The object that the backend is asked about, if it has one to compare.
    pub(crate) validates: Option<Arc<Object<Kept>>>,
    /// Seconds since the epoch.
    pub(crate) requested_at: u64,
    /// Purges before the request was made.
    pub(crate) purges: u64,
}

/// How long a backend may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchTimes {
    /// To accept a connection, and to wait for one.
    pub connect: Duration,
    /// From the request's last octet to the response's first.
    pub first_byte: Duration,
    /// Between two octets.
    pub between_bytes: Duration,
    /// The whole of it, seen from the client; zero for no bound.
    pub total: Duration,
}
