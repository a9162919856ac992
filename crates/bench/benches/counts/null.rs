//! A transport that carries nothing: one connection, on which the same request arrives again and
//! again, and on which every octet is taken over at once.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use afpa_engine::seam::{Address, Calls, Events, ListenerId, Origin, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport, TransportId};

/// The transport.
pub struct Null {
    request: &'static [u8],
    owner: Owner,
    /// Requests that were answered.
    answered: Rc<Cell<u64>>,
    calls: Taken,
    connected: bool,
    asked: bool,
}

/// What was sent since the last event.
struct Taken(u64);

const LISTENER: ListenerId = ListenerId { transport: TransportId(0), index: 0 };

impl Null {
    /// A transport on which `request` arrives for `owner`. Counts the answers in `answered`.
    pub fn new(request: &'static [u8], owner: Owner, answered: Rc<Cell<u64>>) -> Null {
        Null { request, owner, answered, calls: Taken(0), connected: false, asked: false }
    }
}

/// One hit: a request is received, and its answer sent. Octets are left over if it is no hit.
#[inline(never)]
fn hit(events: &mut dyn Events, calls: &mut Taken, id: ConnectionId, owner: Owner, request: &[u8]) {
    events.received(calls, id, owner, request);
    let count = std::mem::take(&mut calls.0);
    if count > 0 {
        events.sent(calls, id, owner, count);
    }
}

impl Transport for Null {
    fn poll(&mut self, _now: Time, _wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        let id = ConnectionId::new(TransportId(0), 0, 1);
        if !self.connected {
            events.connected(&mut self.calls, id, self.owner, Origin::Accepted(LISTENER));
            self.connected = true;
        }
        if self.asked {
            // A miss, which is answered by and by.
            let count = std::mem::take(&mut self.calls.0);
            if count > 0 {
                events.sent(&mut self.calls, id, self.owner, count);
                self.asked = false;
            }
            return Ok(());
        }
        let before = self.answered.get();
        self.calls.0 = 0;
        hit(events, &mut self.calls, id, self.owner, self.request);
        self.asked = self.answered.get() == before;
        Ok(())
    }

    fn calls(&mut self) -> &mut dyn Calls {
        &mut self.calls
    }

    fn watch(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        usize::from(self.connected)
    }
}
