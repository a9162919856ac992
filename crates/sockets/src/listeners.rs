//! The listeners and datagram sockets of a transport, and when accepting pauses.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::TransportId;
use afpa_engine::seam::{Events, Listen, ListenerId, Owner, Time};
use afpa_platform::datagram::{Arrival, receive_datagram};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{RecvFlags, SocketType, listen, recvfrom};

use crate::address::{bind_datagram, listen_to, widen};
use crate::config::SocketsConfig;
use crate::table::Table;

/// How long accepting pauses when no descriptor is left and no connection is closed meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Datagrams read from one socket before others get their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// The largest datagram.
const MAX_DATAGRAM: usize = 64 * 1024;

/// A socket that is listened to.
pub(crate) struct Listener {
    /// `None` when it is listened to no more.
    pub(crate) socket: Option<Arc<OwnedFd>>,
    pub(crate) owner: Owner,
    pub(crate) is_datagram: bool,
    /// Somebody else has this socket as well, and may change its mode at any time.
    pub(crate) is_adopted: bool,
    /// The driver is accepting (or waiting for datagrams).
    pub(crate) active: bool,
    /// The driver has been told to stop accepting.
    pub(crate) cancelled: bool,
    /// Receiving datagrams failed: it is tried again when accepting would be.
    pub(crate) failing: bool,
    /// It was told to end. The place is another's when the driver is done with it and nobody waits.
    pub(crate) retired: bool,
}

/// Why accepting may fail without anything being wrong with the listener.
const OF_THE_CONNECTION: [Errno; 13] = [
    Errno::AGAIN,
    Errno::INTR,
    Errno::CANCELED,
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
];

/// What a transport listens to.
pub(crate) struct Listeners {
    id: TransportId,
    backlog: u16,
    peer_speaks_first: bool,
    pub(crate) list: Vec<Listener>,
    /// Connections that were accepted together with the one that reached the limit.
    parked: VecDeque<(u16, OwnedFd)>,
    paused_until: Option<Time>,
    /// The limit on connections was reached, which has been counted.
    limited: bool,
    stopped: bool,
    /// Others receive the datagrams now.
    pub(crate) datagrams_stopped: bool,
    datagram: Vec<u8>,
}

impl Listeners {
    pub(crate) fn new(config: &SocketsConfig) -> Listeners {
        Listeners {
            id: config.transport,
            backlog: config.backlog,
            peer_speaks_first: config.peer_speaks_first,
            list: Vec::new(),
            parked: VecDeque::new(),
            paused_until: None,
            limited: false,
            stopped: false,
            datagrams_stopped: false,
            datagram: Vec::new(),
        }
    }

    /// Listens to an address.
    ///
    /// # Errors
    /// The address cannot be listened to; the error names it.
    pub(crate) fn open(&mut self, to: &Listen, owner: Owner) -> io::Result<ListenerId> {
        match to {
            Listen::Stream(address) => {
                self.add(listen_to(address, self.backlog, self.peer_speaks_first)?, owner, false, false)
            }
            Listen::Datagram(address) => self.add(bind_datagram(address)?, owner, true, false),
        }
    }

    /// Listens to a socket that is bound.
    ///
    /// # Errors
    /// It is neither a stream nor a datagram socket, or cannot be listened to.
    pub(crate) fn adopt(&mut self, socket: OwnedFd, owner: Owner, backlog: u16) -> io::Result<ListenerId> {
        match socket_type(&socket)? {
            SocketType::STREAM => {
                if !socket_acceptconn(&socket)? {
                    listen(&socket, i32::from(backlog))?;
                }
                self.add(socket, owner, false, true)
            }
            SocketType::DGRAM => self.add(socket, owner, true, true),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a stream nor a datagram socket")),
        }
    }

    fn add(&mut self, socket: OwnedFd, owner: Owner, is_datagram: bool, is_adopted: bool) -> io::Result<ListenerId> {
        let too_many = |_| io::Error::new(io::ErrorKind::QuotaExceeded, "too many listeners");
        let free = (0..self.list.len()).find(|&place| self.is_free(place)).unwrap_or(self.list.len());
        let index = u16::try_from(free).map_err(too_many)?;
        if is_datagram {
            widen(&socket);
        }
        let listener = Listener {
            socket: Some(Arc::new(socket)),
            owner,
            is_datagram,
            is_adopted,
            active: false,
            cancelled: false,
            failing: false,
            retired: false,
        };
        match self.list.get_mut(free) {
            Some(place) => *place = listener,
            None => self.list.push(listener),
        }
        Ok(self.name(index))
    }

    /// Whether a place can be another's: nothing comes to it any more.
    fn is_free(&self, place: usize) -> bool {
        let Listener { retired, active, .. } = self.list[place];
        retired && !active && !self.parked.iter().any(|(index, _)| usize::from(*index) == place)
    }

    /// The socket of a listener that is listened to.
    pub(crate) fn socket(&self, listener: ListenerId) -> Option<&Arc<OwnedFd>> {
        let found = self.list.get(usize::from(listener.index)).filter(|_| listener.transport == self.id);
        found.filter(|listener| !listener.retired)?.socket.as_ref()
    }

    /// Accepts no more from a listener. The driver has to end what it has under way.
    ///
    /// # Errors
    /// It is no stream listener, or listens no more.
    pub(crate) fn retire(&mut self, listener: ListenerId) -> io::Result<()> {
        let is_listening = self.socket(listener).is_some();
        match self.list.get_mut(usize::from(listener.index)).filter(|found| is_listening && !found.is_datagram) {
            Some(found) => found.retired = true,
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "no stream is listened to")),
        }
        Ok(())
    }

    pub(crate) fn name(&self, index: u16) -> ListenerId {
        ListenerId { transport: self.id, index }
    }

    /// A connection was accepted, be it while accepting was being stopped: nobody else can have it. Returns the slot that
    /// it got, unless it has to wait for one.
    pub(crate) fn accepted(
        &mut self,
        index: u16,
        socket: OwnedFd,
        table: &mut Table,
        events: &mut dyn Events,
    ) -> Option<u32> {
        if table.is_full() {
            self.parked.push_back((index, socket));
            return None;
        }
        let owner = self.list[usize::from(index)].owner;
        Some(table.accepted(socket, owner, self.name(index), events))
    }

    /// The next connection that waited for a slot, if there is one now.
    pub(crate) fn unpark(&mut self, table: &mut Table, events: &mut dyn Events) -> Option<u32> {
        if table.is_full() {
            return None;
        }
        let (index, socket) = self.parked.pop_front()?;
        self.accepted(index, socket, table, events)
    }

    /// Accepting failed. Pauses it, unless the error is of the connection that would have been accepted
    /// (accept(2) lists those of the network), or of our own asking.
    pub(crate) fn failed(&mut self, error: &io::Error, table: &Table) {
        let lacking = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(|errno| errno.raw_os_error());
        if error.raw_os_error().is_some_and(|code| lacking.contains(&code)) {
            table.stats.out_of_descriptors.increment();
        } else if Errno::from_io_error(error).is_some_and(|errno| OF_THE_CONNECTION.contains(&errno)) {
            return;
        }
        self.pause(table);
    }

    /// Lets a while pass until the system is asked again for what it has just refused.
    pub(crate) fn pause(&mut self, table: &Table) {
        self.paused_until = Some(table.now.after(PAUSE));
    }

    /// Whether connections may be accepted now.
    pub(crate) fn may_accept(&mut self, table: &mut Table) -> bool {
        let released = std::mem::replace(&mut table.released, false);
        if released || self.paused_until.is_some_and(|until| until <= table.now) {
            self.paused_until = None;
        }
        let is_full = table.is_full() || !self.parked.is_empty();
        if is_full && !self.limited {
            table.stats.at_connection_limit.increment();
        }
        self.limited = is_full;
        !is_full && !self.stopped && self.paused_until.is_none()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// How long accepting pauses from now on, if it does.
    pub(crate) fn wait(&self, now: Time) -> Option<Duration> {
        self.paused_until.map(|until| until.since(now))
    }

    /// Accepts no more. Datagram sockets go on: an answer may be due.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// What has to come to its end when all is stopped: connections that wait for a slot, and listeners with which the
    /// driver is not done.
    pub(crate) fn unfinished(&self) -> usize {
        let is_stopped = |l: &&Listener| if l.is_datagram { self.datagrams_stopped } else { self.stopped };
        let parked = if self.stopped { self.parked.len() } else { 0 };
        parked + self.list.iter().filter(is_stopped).filter(|listener| listener.active).count()
    }

    /// Closes a listener that is listened to no more and with which the driver is done.
    pub(crate) fn drop_stopped(&mut self, index: u16) {
        let listener = &mut self.list[usize::from(index)];
        if (self.stopped || listener.retired) && !listener.active && !listener.is_datagram {
            listener.socket = None;
        }
    }

    /// Raises the datagrams that have arrived. Returns whether there may be more.
    pub(crate) fn receive_datagrams(&mut self, index: u16, table: &mut Table, events: &mut dyn Events) -> bool {
        let name = self.name(index);
        let Listener { socket: Some(socket), owner, .. } = &self.list[usize::from(index)] else { return false };
        self.datagram.resize(MAX_DATAGRAM, 0);
        let is_informed = table.destinations[usize::from(index)].is_some();
        for _ in 0..DATAGRAMS_PER_TURN {
            match receive(socket, &mut self.datagram, is_informed) {
                Ok(Some(Arrival { from, to, octets, .. })) => {
                    table.note_destination(index, from, to);
                    events.datagram(table, name, *owner, from, octets);
                }
                // An answer that we sent was refused by its receiver: nothing to do with the others.
                Ok(None) | Err(Errno::INTR | Errno::CONNREFUSED) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Receives a datagram without waiting. Where it was sent to is told by sockets that are asked for it, at a price.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8], is_informed: bool) -> rustix::io::Result<Option<Arrival<'a>>> {
    if is_informed {
        let arrival = receive_datagram(socket.as_fd(), buffer);
        return arrival.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    let (length, _, from) = recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    Ok(from.map(|from| Arrival { from, to: None, octets: &buffer[..length], is_truncated: false }))
}
