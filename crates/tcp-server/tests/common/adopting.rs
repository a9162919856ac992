//! A network of memory that applications' listeners can be on.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use afpa_engine::memory::Memory;
use afpa_engine::seam::{Calls, Events, ListenerId};
use afpa_engine::{Owner, Time, Transport, TransportId};

/// The network of memory, which adopts any listener.
pub(crate) struct Adopting {
    memory: Memory,
    /// The one that there is, kept as a transport keeps it.
    listener: Option<OwnedFd>,
}

impl Adopting {
    pub(crate) fn new(memory: Memory) -> Adopting {
        Adopting { memory, listener: None }
    }
}

impl Transport for Adopting {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.memory.poll(now, wait, events)
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self.memory.calls()
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.watch(descriptor)
    }

    fn adopt(&mut self, socket: OwnedFd, _: Owner, _: u16) -> io::Result<ListenerId> {
        self.listener = Some(socket);
        Ok(ListenerId { transport: TransportId(0), index: 0 })
    }

    fn unlisten(&mut self, _: ListenerId) -> io::Result<()> {
        self.listener = None;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        self.memory.connections()
    }
}
