//! The driver over epoll, edge-triggered: each connection is registered once, for everything.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use afpa_engine::seam::Events;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, SocketFlags, accept_with, recv};

use crate::connection::Phase;
use crate::listeners::{Listener, Listeners};
use crate::table::Table;
use crate::transmit::Progress;

/// Events taken from the kernel in one pass.
const EVENTS: usize = 1024;
/// Octets of the buffer that every receive uses.
const BUFFER: usize = 64 * 1024;
/// Buffers read from one connection before others get their turn.
const RECEIVES_PER_TURN: usize = 4;
/// Connections accepted from one listener before others get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// What is registered, in bits 24..32 of the event's data; a connection's are clear.
const LISTENER: u64 = 1 << 24;
const DATAGRAMS: u64 = 2 << 24;
const SENDERS: u64 = 3 << 24;
const WATCHED: u64 = 4 << 24;
const KINDS: u64 = 0xff << 24;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    occurred: Vec<Event>,
    buffer: Vec<u8>,
    /// Connections that may have something to read, and want to.
    ready: Vec<u32>,
    reading: Vec<u32>,
    /// By the number under which its owner knows it.
    watched: HashMap<RawFd, OwnedFd>,
    started: bool,
}

impl Epoll {
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Epoll> {
        Ok(Epoll {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            occurred: Vec::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            ready: Vec::with_capacity(EVENTS),
            reading: Vec::with_capacity(EVENTS),
            watched: HashMap::new(),
            started: false,
        })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// # Errors
    /// The descriptor cannot be polled.
    pub(crate) fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let copy = descriptor.try_clone_to_owned()?;
        self.register(copy.as_fd(), WATCHED, EventFlags::IN)?;
        self.watched.insert(descriptor.as_raw_fd(), copy);
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        if let Some(copy) = self.watched.remove(&descriptor.as_raw_fd()) {
            // It would go on while its owner has it open. This fails only if it is not registered.
            let _ = epoll::delete(&self.epoll, &copy);
        }
    }

    /// One pass: waits for at most `wait`, and raises what happened.
    pub(crate) fn poll(
        &mut self,
        wait: Option<Duration>,
        table: &mut Table,
        listeners: &mut Listeners,
        events: &mut dyn Events,
    ) -> io::Result<()> {
        if let Some(senders) = table.senders().filter(|_| !self.started) {
            self.register(senders.descriptor(), SENDERS, EventFlags::IN)?;
        }
        self.started = true;
        self.settle(table, events);
        self.mind_listeners(table, listeners, events)?;
        self.settle(table, events);
        let wait = if table.has_deferred() || !self.ready.is_empty() { Some(Duration::ZERO) } else { wait };
        self.wait(wait)?;
        table.awake(events);
        let mut occurred = std::mem::take(&mut self.occurred);
        for event in occurred.drain(..) {
            self.happened(event, table, listeners, events);
            self.settle(table, events);
        }
        self.occurred = occurred;
        self.read_all(table, events);
        table.raise_deferred(events);
        self.settle(table, events);
        Ok(())
    }

    /// Stops accepting.
    pub(crate) fn stop_listening(&mut self, listeners: &mut Listeners) {
        for listener in listeners.list.iter_mut().filter(|listener| !listener.is_datagram) {
            self.unlisten(listener);
        }
    }

    /// Stops accepting from one listener.
    pub(crate) fn unlisten(&mut self, listener: &mut Listener) {
        if let Some(socket) = listener.socket.take().filter(|_| listener.active) {
            // A listener shared with others stays open; only our interest in it ends.
            let _ = epoll::delete(&self.epoll, &socket);
        }
        listener.active = false;
    }

    /// Waits for listeners anew, which finds what is already there.
    pub(crate) fn look_again(&mut self, listeners: &mut Listeners) {
        for listener in listeners.list.iter_mut().filter(|listener| listener.active) {
            if let Some(socket) = &listener.socket {
                let _ = epoll::delete(&self.epoll, socket);
            }
            listener.active = false;
        }
    }

    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let timeout =
            wait.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.occurred), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn happened(&mut self, event: Event, table: &mut Table, listeners: &mut Listeners, events: &mut dyn Events) {
        let Event { flags, data } = event;
        let data = data.u64();
        let number = data as u32 & !(KINDS as u32);
        match data & KINDS {
            LISTENER => self.accept(number as u16, table, listeners, events),
            DATAGRAMS => {
                listeners.receive_datagrams(number as u16, table, events);
            }
            SENDERS => table.take_back(),
            // Its owner looks at it after each pass.
            WATCHED => {}
            _ => {
                if let Some(index) = table.by_token(data) {
                    changed(index, flags, table, events);
                }
            }
        }
    }

    fn accept(&mut self, index: u16, table: &mut Table, listeners: &mut Listeners, events: &mut dyn Events) {
        for _ in 0..ACCEPTS_PER_TURN {
            if table.is_full() {
                return;
            }
            let listener = &listeners.list[usize::from(index)];
            let Some(socket) = &listener.socket else { return };
            // The mode is the socket's, and so also that of the application whose socket this is: when it has just made
            // it one that waits, and another engine was quicker, accepting would hold up everybody here.
            if listener.is_adopted
                && let Err(error) = ioctl_fionbio(socket, true)
            {
                return listeners.failed(&error.into(), table);
            }
            match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    listeners.accepted(index, socket, table, events);
                    self.settle(table, events);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return listeners.failed(&error.into(), table),
            }
        }
    }

    /// Registers listeners where accepting may go on, and takes them out where it may not.
    fn mind_listeners(
        &mut self,
        table: &mut Table,
        listeners: &mut Listeners,
        events: &mut dyn Events,
    ) -> io::Result<()> {
        while listeners.unpark(table, events).is_some() {}
        let may_accept = listeners.may_accept(table);
        let may_receive = !listeners.datagrams_stopped;
        for (index, listener) in listeners.list.iter_mut().enumerate() {
            let Some(socket) = &listener.socket else { continue };
            let (wanted, kind) = if listener.is_datagram { (may_receive, DATAGRAMS) } else { (may_accept, LISTENER) };
            if wanted == listener.active {
                continue;
            }
            if wanted {
                // A socket shared by engines wakes one of them, not all.
                let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
                epoll::add(&self.epoll, socket, EventData::new_u64(kind | index as u64), flags)?;
            } else {
                epoll::delete(&self.epoll, socket)?;
            }
            listener.active = wanted;
        }
        Ok(())
    }

    fn settle(&mut self, table: &mut Table, events: &mut dyn Events) {
        while let Some(index) = table.next_touched() {
            self.advance(index, table, events);
        }
    }

    /// Does what a connection needs next.
    fn advance(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        if !self.introduce(index, table) {
            return table.touch(index);
        }
        let connection = table.connection(index);
        match connection.phase {
            Phase::Connecting if connection.is_to_be_told() => table.answered(index, Ok(()), events),
            Phase::Free | Phase::Connecting => {}
            Phase::Ending { .. } => {
                if !table.connection(index).is_busy() {
                    table.release(index, events);
                }
            }
            Phase::Releasing => {
                self.send(index, table);
                self.release(index, table, events);
            }
            Phase::Open | Phase::Closing | Phase::Lingering => {
                self.send(index, table);
                self.plan_to_read(index, table);
            }
        }
    }

    /// Registers a new connection. Returns false if that failed, which ends it.
    fn introduce(&mut self, index: u32, table: &mut Table) -> bool {
        let token = table.token(index);
        let connection = table.connection(index);
        if connection.driver.registered || !connection.is_live() {
            return true;
        }
        connection.driver.registered = true;
        let Some(socket) = &connection.socket else { return true };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        match epoll::add(&self.epoll, socket, EventData::new_u64(token), flags) {
            Ok(()) => true,
            Err(error) => {
                table.failed(index, &error.into());
                false
            }
        }
    }

    fn send(&mut self, index: u32, table: &mut Table) {
        loop {
            let connection = table.connection(index);
            if connection.lent.is_some() || connection.driver.blocked {
                return;
            }
            if connection.outgoing.is_empty() {
                return table.wind_down(index);
            }
            if table.hand_over_front(index) {
                return;
            }
            match table.transmit_front(index) {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked) => table.connection(index).driver.blocked = true,
                Err(error) => return table.failed(index, &error),
            }
        }
    }

    /// Gives a connection away, if that is due. Our interest in it would otherwise outlive our descriptor.
    fn release(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        let connection = table.connection(index);
        if !connection.is_released() {
            return;
        }
        if let Some(socket) = &connection.socket
            && std::mem::replace(&mut connection.driver.registered, false)
        {
            // It fails only if the socket is not registered, which is what is wanted.
            let _ = epoll::delete(&self.epoll, socket);
        }
        table.give_away(index, events);
    }

    fn plan_to_read(&mut self, index: u32, table: &mut Table) {
        let window = table.window;
        let connection = table.connection(index);
        if connection.driver.readable
            && connection.wants_input(window)
            && !std::mem::replace(&mut connection.driver.ready, true)
        {
            self.ready.push(index);
        }
    }

    /// Reads from each connection that is ready, a bounded amount.
    fn read_all(&mut self, table: &mut Table, events: &mut dyn Events) {
        std::mem::swap(&mut self.ready, &mut self.reading);
        while let Some(index) = self.reading.pop() {
            table.connection(index).driver.ready = false;
            for _ in 0..RECEIVES_PER_TURN {
                if !self.receive(index, table, events) {
                    break;
                }
            }
            table.touch(index);
            self.settle(table, events);
        }
    }

    /// Receives once. Returns whether there may be more to read for the same connection.
    fn receive(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) -> bool {
        let (token, window) = (table.token(index), table.window);
        let connection = table.connection(index);
        if !connection.driver.readable || !connection.wants_input(window) {
            return false;
        }
        let Some(socket) = &connection.socket else { return false };
        match recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
            // One edge may stand for many datagrams.
            Ok((length, _)) if connection.is_conversation => table.heard(index, &self.buffer[..length], events),
            Ok((0, _)) => {
                connection.driver.readable = false;
                table.peer_finished(index, events);
            }
            Ok((length, _)) => {
                let is_all = length < BUFFER;
                // What arrives later is another edge; only the end came with this one.
                connection.driver.readable = !is_all || connection.driver.hung_up;
                table.arrived(index, &self.buffer[..length], is_all, events);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => connection.driver.readable = false,
            Err(error) => table.failed(index, &error.into()),
        }
        self.settle(table, events);
        table.by_token(token).is_some()
    }

    fn register(&self, descriptor: BorrowedFd<'_>, data: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(data), flags)?)
    }
}

/// Notes what an edge says of a connection.
fn changed(index: u32, flags: EventFlags, table: &mut Table, events: &mut dyn Events) {
    table.touch(index);
    let connection = table.connection(index);
    if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
        connection.driver.readable = true;
    }
    if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
        connection.driver.hung_up = true;
    }
    if flags.contains(EventFlags::ERR) {
        table.failed_behind(index);
    }
    let connection = table.connection(index);
    if flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
        connection.driver.blocked = false;
        connection.driver.room = true;
        if connection.phase == Phase::Connecting
            && let Some(socket) = &connection.socket
        {
            let result = socket_error(socket).and_then(|result| result);
            table.answered(index, result.map_err(io::Error::from), events);
        }
    }
}
