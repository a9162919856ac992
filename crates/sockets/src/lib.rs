//! The transport over the kernel's sockets.
//!
//! Two drivers are equals: [`Interface::Uring`] and [`Interface::Epoll`]. They share the connections
//! and the seam's calls (`connection`), and the synchronous sending (`transmit`); each only moves
//! octets in its own way.
//!
//! What is bounded: connections ([`SocketsConfig::max_connections`]; at the bound accepting pauses),
//! unread input per connection ([`SocketsConfig::receive_window`]; at the bound reading pauses, and
//! TCP closes its window), output per connection ([`SocketsConfig::send_buffer`]; at the bound
//! `send_space` is zero). When descriptors run out, accepting pauses and what exists goes on.
#![forbid(unsafe_code)]

mod address;
mod connection;
mod datagram;
mod epoll;
mod listener;
mod stats;
mod transmit;
mod uring;
mod worker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::seam::{Address, Calls, Events, Listen, ListenerId, Owner, Time, Transport, TransportId};

use connection::Table;
use epoll::Epoll;
use listener::{Listener, Listeners};
pub use stats::SocketsStats;
use uring::Uring;
use worker::SendWorkers;

/// The kernel's interface under the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Interface {
    /// io_uring where this kernel allows it, else epoll.
    #[default]
    Auto,
    /// io_uring, or an error.
    Uring,
    /// epoll.
    Epoll,
}

impl Interface {
    /// As an operator calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Interface::Auto => "auto",
            Interface::Uring => "io_uring",
            Interface::Epoll => "epoll",
        }
    }
}

/// The context in which responses are sent (AFPA §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Respond {
    /// The engine sends everything; files are staged in memory first.
    Inline,
    /// A worker sends everything.
    Thread,
    /// The engine sends memory, a worker sends files.
    #[default]
    Hybrid,
}

/// How the transport works.
#[derive(Clone, Debug)]
pub struct SocketsConfig {
    /// Its place among the engine's transports.
    pub transport: TransportId,
    /// The kernel's interface.
    pub interface: Interface,
    /// The context in which responses are sent.
    pub respond: Respond,
    /// The most connections at once. Default: 65,536.
    pub max_connections: u32,
    /// Octets of unread input per connection at which reading pauses. Default: 64 KiB.
    pub receive_window: usize,
    /// Octets of output per connection at which `send_space` is zero. Default: 256 KiB.
    pub send_buffer: u64,
    /// Threads that send, unless everything is sent inline. Default: 2.
    pub send_threads: usize,
}

impl Default for SocketsConfig {
    fn default() -> SocketsConfig {
        SocketsConfig {
            transport: TransportId(0),
            interface: Interface::Auto,
            respond: Respond::Hybrid,
            max_connections: 65_536,
            receive_window: 64 * 1024,
            send_buffer: 256 * 1024,
            send_threads: 2,
        }
    }
}

/// The transport. It belongs to the thread that made it.
pub struct Sockets {
    id: TransportId,
    driver: Driver,
    table: Table,
    listeners: Listeners,
    stopped: bool,
}

enum Driver {
    Uring(Box<Uring>),
    Epoll(Box<Epoll>),
}

impl Sockets {
    /// A transport without listeners.
    ///
    /// # Errors
    /// The kernel refuses the interface, or descriptors or memory have run out.
    pub fn new(config: SocketsConfig) -> io::Result<Sockets> {
        let workers = match config.respond {
            Respond::Inline => None,
            Respond::Thread | Respond::Hybrid => Some(SendWorkers::start(config.send_threads.max(1))?),
        };
        let uring = match config.interface {
            Interface::Epoll => false,
            Interface::Uring => {
                afpa_platform::uring::probe().map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))?;
                true
            }
            Interface::Auto => afpa_platform::uring::probe().is_ok(),
        };
        let driver = if uring {
            Driver::Uring(Box::new(Uring::new(workers)?))
        } else {
            Driver::Epoll(Box::new(Epoll::new(workers)?))
        };
        let table = Table::new(&config);
        Ok(Sockets { id: config.transport, driver, table, listeners: Listeners::default(), stopped: false })
    }

    /// The interface in use.
    pub fn interface(&self) -> Interface {
        match self.driver {
            Driver::Uring(_) => Interface::Uring,
            Driver::Epoll(_) => Interface::Epoll,
        }
    }

    /// What the transport counts.
    pub fn stats(&self) -> Arc<SocketsStats> {
        self.table.stats.clone()
    }

    /// Listens; connections and datagrams belong to `owner`. Several engines may listen to one port:
    /// the kernel spreads connections over them.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn listen(&mut self, listen: Listen, owner: Owner) -> io::Result<ListenerId> {
        match listen {
            Listen::Stream(address) => {
                let socket = address::listen(&address)?;
                self.adopt(socket, owner)
            }
            Listen::Datagram(address) => self.listen_datagram(address::listen_datagram(address)?, owner),
        }
    }

    /// Accepts connections from a stream socket that already listens.
    ///
    /// # Errors
    /// The driver cannot watch it.
    pub fn adopt(&mut self, socket: OwnedFd, owner: Owner) -> io::Result<ListenerId> {
        let id = ListenerId { transport: self.id, index: self.listeners.all.len() as u16 };
        let mut listener = Listener { id, owner, socket, accepting: false };
        self.driver.accept(self.listeners.all.len(), &mut listener)?;
        self.listeners.all.push(listener);
        Ok(id)
    }

    fn listen_datagram(&mut self, socket: OwnedFd, owner: Owner) -> io::Result<ListenerId> {
        let index = self.table.datagrams.len();
        // Stream listeners count up, datagram sockets count down: one space of names.
        let id = ListenerId { transport: self.id, index: u16::MAX - index as u16 };
        match &mut self.driver {
            Driver::Uring(uring) => uring.watch_datagrams(index, socket.as_fd()),
            Driver::Epoll(epoll) => epoll.watch_datagrams(index, socket.as_fd())?,
        }
        self.table.datagrams.push((id, owner, socket));
        Ok(id)
    }

    /// Where a listener listens: the port that 0 stood for.
    pub fn local_address(&self, listener: ListenerId) -> Option<Address> {
        let stream = self.listeners.all.iter().find(|l| l.id == listener).map(|l| &l.socket);
        let datagram = || self.table.datagrams.iter().find(|(id, _, _)| *id == listener).map(|(_, _, socket)| socket);
        address::local(stream.or_else(datagram)?.as_fd())
    }

    /// Lets paused listeners accept again when they may, and bounds the sleep by when they may.
    fn resume_accepting(&mut self, now: Time, wait: Option<Duration>) -> io::Result<Option<Duration>> {
        if self.stopped || self.table.is_full() {
            return Ok(wait);
        }
        match self.listeners.resumes_in(now) {
            None => Ok(wait),
            Some(Duration::ZERO) => {
                for (index, listener) in self.listeners.all.iter_mut().enumerate() {
                    if !listener.accepting {
                        self.driver.accept(index, listener)?;
                    }
                }
                Ok(wait)
            }
            Some(pause) => Ok(Some(wait.map_or(pause, |wait| wait.min(pause)))),
        }
    }
}

impl Driver {
    fn accept(&mut self, index: usize, listener: &mut Listener) -> io::Result<()> {
        match self {
            Driver::Uring(uring) => {
                uring.accept(index, listener);
                Ok(())
            }
            Driver::Epoll(epoll) => epoll.accept(index, listener),
        }
    }
}

impl Transport for Sockets {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        let wait = self.resume_accepting(now, wait)?;
        let Sockets { driver, table, listeners, .. } = self;
        // Calls made between polls (timers, completions) are carried out first.
        match driver {
            Driver::Uring(uring) => {
                uring.settle(table, events);
                uring.poll(table, listeners, now, wait, events)
            }
            Driver::Epoll(epoll) => {
                epoll.settle(table, events);
                epoll.poll(table, listeners, now, wait, events)
            }
        }
    }

    fn calls(&mut self) -> &mut dyn Calls {
        &mut self.table
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        match &mut self.driver {
            Driver::Uring(uring) => {
                uring.watch(descriptor);
                Ok(())
            }
            Driver::Epoll(epoll) => epoll.watch(descriptor),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(match &self.driver {
            Driver::Uring(uring) => uring.descriptor(),
            Driver::Epoll(epoll) => epoll.descriptor(),
        })
    }

    fn stop_listening(&mut self) {
        self.stopped = true;
        for (index, listener) in self.listeners.all.iter_mut().enumerate() {
            match &mut self.driver {
                Driver::Uring(uring) => uring.stop_accepting(index, listener),
                Driver::Epoll(epoll) => epoll.stop_accepting(listener),
            }
        }
        self.listeners.all.clear();
        self.table.datagrams.clear();
    }

    fn connections(&self) -> usize {
        self.table.len()
    }
}
