//! The transport, over whichever driver there is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::Transport;
use afpa_engine::seam::{Address, Calls, Events, Listen, ListenerId, Owner, Time};
use afpa_platform::datagram::tell_destination;
use afpa_platform::uring::probe;
use rustix::io::ioctl_fionbio;

use crate::address::local_address;
use crate::config::{Interface, SocketsConfig};
use crate::datagrams::Destinations;
use crate::epoll::Epoll;
use crate::listeners::Listeners;
use crate::stats::SocketsStats;
use crate::table::Table;
use crate::uring::Uring;

/// One engine's sockets. Make it on the thread that uses it: a ring belongs to one thread.
pub struct Sockets {
    // Dropped first: it waits until the kernel uses nothing of the others any more.
    driver: Driver,
    listeners: Listeners,
    table: Table,
    fallback: Option<String>,
    /// The driver has not seen all listeners.
    has_new: bool,
}

enum Driver {
    Uring(Box<Uring>),
    Epoll(Box<Epoll>),
}

impl Sockets {
    /// A transport without listeners.
    ///
    /// # Errors
    /// The interface that was asked for cannot be had, or a sending thread cannot be started.
    pub fn new(config: SocketsConfig) -> io::Result<Sockets> {
        let (driver, fallback) = match config.interface {
            Interface::Epoll => (Driver::epoll()?, None),
            Interface::Uring => (Driver::uring().map_err(io::Error::other)?, None),
            Interface::Auto => match Driver::uring() {
                Ok(driver) => (driver, None),
                Err(reason) => (Driver::epoll()?, Some(reason)),
            },
        };
        let listeners = Listeners::new(&config);
        let table = Table::new(&config, matches!(driver, Driver::Uring(_)))?;
        Ok(Sockets { driver, listeners, table, fallback, has_new: false })
    }

    /// The interface in use: never [`Interface::Auto`].
    pub fn interface(&self) -> Interface {
        match &self.driver {
            Driver::Uring(_) => Interface::Uring,
            Driver::Epoll(_) => Interface::Epoll,
        }
    }

    /// Why [`Interface::Auto`] came to be epoll.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The transport's counters.
    pub fn stats(&self) -> Arc<SocketsStats> {
        self.table.stats.clone()
    }

    /// Listens. TCP ports are shared with the other engines' listeners (SO_REUSEPORT).
    ///
    /// # Errors
    /// The address cannot be listened to; the error names it and the reason.
    pub fn listen(&mut self, to: Listen, owner: Owner) -> io::Result<ListenerId> {
        let listener = self.listeners.open(&to, owner)?;
        self.prepare(listener)?;
        Ok(listener)
    }

    /// Where a listener is bound: the port, if port 0 was asked for.
    ///
    /// # Errors
    /// It listens no more.
    pub fn local_address(&self, listener: ListenerId) -> io::Result<Address> {
        match self.listeners.socket(listener) {
            Some(socket) => local_address(socket),
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "not listening")),
        }
    }

    /// A duplicate of a listener's socket, for others to have it as well. It listens until all of them are closed.
    ///
    /// # Errors
    /// It listens no more, or no descriptor is left.
    pub fn duplicate(&self, listener: ListenerId) -> io::Result<OwnedFd> {
        match self.listeners.socket(listener) {
            Some(socket) => socket.try_clone(),
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "not listening")),
        }
    }

    fn prepare(&mut self, listener: ListenerId) -> io::Result<()> {
        self.has_new = true;
        let place = usize::from(listener.index);
        let listener = &self.listeners.list[place];
        if let Some(socket) = &listener.socket {
            // Ready or not: with epoll, another engine may have been faster. A ring waits only for
            // sockets that block.
            ioctl_fionbio(socket, matches!(self.driver, Driver::Epoll(_)))?;
        }
        let datagrams = listener.socket.clone().filter(|_| listener.is_datagram);
        let is_informed = datagrams.as_ref().is_some_and(inform);
        self.table.destinations.resize_with(self.listeners.list.len(), || None);
        self.table.datagram_sockets.resize_with(self.listeners.list.len(), || None);
        self.table.destinations[place] = is_informed.then(Destinations::default);
        self.table.datagram_sockets[place] = datagrams;
        Ok(())
    }

    /// How long nothing is due: until a paused listener or a lingering connection has to be looked at.
    fn wait(&self, wait: Option<Duration>) -> Option<Duration> {
        let own = [self.listeners.wait(self.table.now), self.table.linger_wait()];
        own.into_iter().flatten().chain(wait).min()
    }
}

/// Has a datagram socket tell where its datagrams were sent to, if that can be one of several addresses. Returns
/// whether it does.
fn inform(socket: &Arc<OwnedFd>) -> bool {
    match local_address(socket) {
        Ok(Address::Inet(address)) if address.ip().is_unspecified() => {
            tell_destination(socket.as_fd(), address.is_ipv6()).is_ok()
        }
        _ => false,
    }
}

impl Driver {
    fn uring() -> Result<Driver, String> {
        probe()?;
        let uring = Uring::new().map_err(|error| format!("io_uring cannot be set up: {error}"))?;
        Ok(Driver::Uring(Box::new(uring)))
    }

    fn epoll() -> io::Result<Driver> {
        Ok(Driver::Epoll(Box::new(Epoll::new()?)))
    }
}

impl Transport for Sockets {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.table.now = now;
        self.has_new = false;
        self.table.expire_lingering();
        self.table.expire_closing();
        let wait = self.wait(wait);
        match &mut self.driver {
            Driver::Uring(uring) => uring.poll(wait, &mut self.table, &mut self.listeners, events),
            Driver::Epoll(epoll) => epoll.poll(wait, &mut self.table, &mut self.listeners, events),
        }
    }

    fn calls(&mut self) -> &mut dyn Calls {
        &mut self.table
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        match &mut self.driver {
            Driver::Uring(uring) => uring.watch(descriptor),
            Driver::Epoll(epoll) => epoll.watch(descriptor),
        }
    }

    fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        match &mut self.driver {
            Driver::Uring(uring) => uring.unwatch(descriptor),
            Driver::Epoll(epoll) => epoll.unwatch(descriptor),
        }
    }

    fn adopt(&mut self, socket: OwnedFd, owner: Owner, backlog: u16) -> io::Result<ListenerId> {
        let listener = self.listeners.adopt(socket, owner, backlog)?;
        self.prepare(listener)?;
        Ok(listener)
    }

    fn unlisten(&mut self, listener: ListenerId) -> io::Result<()> {
        self.listeners.retire(listener)?;
        let index = listener.index;
        let listener = &mut self.listeners.list[usize::from(index)];
        match &mut self.driver {
            Driver::Uring(uring) => uring.unlisten(index, listener),
            Driver::Epoll(epoll) => epoll.unlisten(listener),
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(match &self.driver {
            Driver::Uring(uring) => uring.descriptor(),
            Driver::Epoll(epoll) => epoll.descriptor(),
        })
    }

    fn is_pending(&self) -> bool {
        self.has_new || self.table.has_touched()
    }

    fn is_due(&mut self, now: Time) -> Option<bool> {
        let Driver::Uring(uring) = &mut self.driver else { return None };
        Some(uring.has_work() || self.is_pending() || self.patience(now) == Some(Duration::ZERO))
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        let elapsed = now.since(self.table.now);
        self.wait(None).map(|wait| wait.saturating_sub(elapsed))
    }

    fn stop_listening(&mut self) {
        self.listeners.stop();
        match &mut self.driver {
            Driver::Uring(uring) => uring.stop_listening(&mut self.listeners),
            Driver::Epoll(epoll) => epoll.stop_listening(&mut self.listeners),
        }
    }

    fn stop_datagrams(&mut self) {
        self.listeners.datagrams_stopped = true;
        if let Driver::Uring(uring) = &mut self.driver {
            uring.stop_datagrams(&mut self.listeners);
        }
    }

    fn look_again(&mut self) {
        match &mut self.driver {
            Driver::Uring(uring) => uring.look_again(&mut self.listeners),
            Driver::Epoll(epoll) => epoll.look_again(&mut self.listeners),
        }
    }

    fn connections(&self) -> usize {
        let answers = if self.listeners.datagrams_stopped { self.table.outbox.len() } else { 0 };
        self.table.live() + self.listeners.unfinished() + answers
    }
}
