//! A transport that carries nothing: one connection, on which the same request arrives again and
//! again, and on which every octet is taken over at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use afpa_engine::seam::{Address, Calls, Events, ListenerId, Origin, Segment};
use afpa_engine::{ConnectionId, Owner, Time, Transport, TransportId};

/// The transport.
pub(crate) struct Null {
    request: &'static [u8],
    owner: Owner,
    calls: Taken,
    connected: bool,
    /// The answer to the first request comes by and by: it is a miss.
    waiting: bool,
}

/// What was sent since the last event.
pub(crate) struct Taken(u64);

const LISTENER: ListenerId = ListenerId { transport: TransportId(0), index: 0 };

impl Null {
    /// A transport on which `request` arrives for `owner`.
    pub(crate) fn new(request: &'static [u8], owner: Owner) -> Null {
        Null { request, owner, calls: Taken(0), connected: false, waiting: false }
    }
}

/// One hit: a request is received, and its answer sent. Returns whether there was one.
#[inline(never)]
pub(crate) fn hit(events: &mut dyn Events, calls: &mut Taken, id: ConnectionId, owner: Owner, request: &[u8]) -> bool {
    events.received(calls, id, owner, request);
    sent(events, calls, id, owner)
}

fn sent(events: &mut dyn Events, calls: &mut Taken, id: ConnectionId, owner: Owner) -> bool {
    let count = std::mem::take(&mut calls.0);
    if count > 0 {
        events.sent(calls, id, owner, count);
    }
    count > 0
}

impl Transport for Null {
    fn poll(&mut self, _now: Time, _wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        let id = ConnectionId::new(TransportId(0), 0, 1);
        if !self.connected {
            events.connected(&mut self.calls, id, self.owner, Origin::Accepted(LISTENER));
            self.connected = true;
        }
        let answered = match self.waiting {
            true => sent(events, &mut self.calls, id, self.owner),
            false => hit(events, &mut self.calls, id, self.owner, self.request),
        };
        self.waiting = !answered;
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

impl Calls for Taken {
    fn send(&mut self, _: ConnectionId, segment: Segment<'_>) {
        self.0 += match segment {
            Segment::Copy(octets) => octets.len() as u64,
            Segment::Pinned(pin) => pin.len() as u64,
            Segment::Foreign(slice) => slice.len() as u64,
            Segment::File(range) => range.length,
        };
    }

    fn send_space(&self, _: ConnectionId) -> usize {
        1 << 20
    }

    fn peer(&self, _: ConnectionId) -> Option<Address> {
        None
    }

    fn connect(&mut self, _: &Address, _: Owner) -> io::Result<ConnectionId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sends_files(&self) -> bool {
        true
    }

    fn resume(&mut self, _: ConnectionId) {}
    fn close(&mut self, _: ConnectionId) {}
    fn finish(&mut self, _: ConnectionId) {}
    fn abort(&mut self, _: ConnectionId) {}
    fn send_datagram(&mut self, _: ListenerId, _: SocketAddr, _: &mut dyn Iterator<Item = Segment<'_>>) {}
}
