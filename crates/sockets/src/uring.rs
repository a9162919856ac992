//! The driver over io_uring.
//!
//! A connection's first receive is for one buffer only, later ones go on: an exchange of one request
//! leaves nothing under way when it is closed. What was sent during an event leaves in one operation;
//! a small last response takes the closing of its socket along.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use afpa_engine::seam::{Disconnect, Events, ListenerId, Owner};
use afpa_platform::datagram::Arrival;
use afpa_platform::gather::Gather;
use afpa_platform::uring::{BUFFER_SIZE, Completion, Received, ReceivedDatagram, Ring};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::socket_error;

use crate::connection::Phase;
use crate::conversations::is_loss;
use crate::failures::Failures;
use crate::listeners::{Listener, Listeners};
use crate::table::Table;
use crate::transmit::Progress;

/// The most octets whose sending takes the closing of the socket along. They fit into a socket's first
/// buffer, so that they are with the kernel at once: a slow peer's progress could not be seen any more.
const CLOSE_BEHIND: u64 = 32 * 1024;

/// What a wait for something to read is for, as its token.
const SENDERS: u64 = 0;
const WATCHED: u64 = 1 << 32;
const FAILURES: u64 = 2 << 32;

pub(crate) struct Uring {
    ring: Ring,
    watched: Vec<Watched>,
    /// Made when first wanted.
    failures: Option<Failures>,
    started: bool,
}

/// A descriptor that wakes the ring, or a place for one.
enum Watched {
    Free,
    /// One operation waits for it; with the number under which its owner knows it.
    Live(RawFd, OwnedFd),
    /// The operation has been told to end, and has not yet.
    Ending(#[expect(dead_code, reason = "open until the ring is done with it")] OwnedFd),
}

impl Uring {
    /// # Errors
    /// The kernel refuses a ring.
    pub(crate) fn new() -> io::Result<Uring> {
        Ok(Uring { ring: Ring::new()?, watched: Vec::new(), failures: None, started: false })
    }

    /// Where no notifier can be had, the ring itself tells at least of what is complete.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.ring.notifier().unwrap_or(self.ring.as_fd())
    }

    /// Whether a pass would find something that the kernel has done, or wants to do.
    pub(crate) fn has_work(&mut self) -> bool {
        !self.started || self.ring.has_work()
    }

    /// # Errors
    /// No descriptor is left.
    pub(crate) fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let copy = descriptor.try_clone_to_owned()?;
        let place = self.watched.iter().position(|watched| matches!(watched, Watched::Free)).unwrap_or_else(|| {
            self.watched.push(Watched::Free);
            self.watched.len() - 1
        });
        self.ring.poll_readable(WATCHED | place as u64, copy.as_fd());
        self.watched[place] = Watched::Live(descriptor.as_raw_fd(), copy);
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        let is_meant = |watched: &Watched| matches!(watched, Watched::Live(raw, _) if *raw == descriptor.as_raw_fd());
        let Some(place) = self.watched.iter().position(is_meant) else { return };
        self.ring.cancel_readable(WATCHED | place as u64);
        if let Watched::Live(_, copy) = std::mem::replace(&mut self.watched[place], Watched::Free) {
            self.watched[place] = Watched::Ending(copy);
        }
    }

    /// One pass: submits, waits for at most `wait`, and raises what came of it.
    pub(crate) fn poll(
        &mut self,
        wait: Option<Duration>,
        table: &mut Table,
        listeners: &mut Listeners,
        events: &mut dyn Events,
    ) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.await_senders(table);
        }
        self.settle(table, events);
        self.mind_listeners(table, listeners, events);
        self.settle(table, events);
        let wait = if table.has_deferred() { Some(Duration::ZERO) } else { wait };
        if self.ring.submit_and_gather(wait)? {
            events.worked();
        }
        table.awake(events);
        while let Some(completion) = self.ring.completion() {
            self.complete(completion, table, listeners, events);
            self.settle(table, events);
        }
        table.raise_deferred(events);
        self.settle(table, events);
        Ok(())
    }

    /// Stops accepting, if it does.
    pub(crate) fn stop_listening(&mut self, listeners: &mut Listeners) {
        for (index, listener) in listeners.list.iter_mut().enumerate().filter(|(_, l)| !l.is_datagram) {
            self.unlisten(index as u16, listener);
        }
    }

    /// Stops accepting from one listener, if it does. What the ring has accepted by then still comes.
    pub(crate) fn unlisten(&mut self, index: u16, listener: &mut Listener) {
        if !listener.active {
            listener.socket = None;
        } else if !std::mem::replace(&mut listener.cancelled, true) {
            self.ring.cancel_accept(u64::from(index));
        }
    }

    /// Stops receiving datagrams. Those that the ring has received by then arrive.
    pub(crate) fn stop_datagrams(&mut self, listeners: &mut Listeners) {
        for (index, listener) in listeners.list.iter_mut().enumerate().filter(|(_, l)| l.is_datagram && l.active) {
            if !std::mem::replace(&mut listener.cancelled, true) {
                self.ring.cancel_datagrams(index as u64);
            }
        }
    }

    /// Starts accepting anew, which finds what is already there.
    pub(crate) fn look_again(&mut self, listeners: &mut Listeners) {
        for (index, listener) in listeners.list.iter_mut().enumerate().filter(|(_, l)| !l.is_datagram && l.active) {
            if !std::mem::replace(&mut listener.cancelled, true) {
                self.ring.cancel_accept(index as u64);
            }
        }
    }

    fn await_senders(&mut self, table: &Table) {
        if let Some(senders) = table.senders() {
            self.ring.poll_readable(SENDERS, senders.descriptor());
        }
    }

    fn complete(
        &mut self,
        completion: Completion,
        table: &mut Table,
        listeners: &mut Listeners,
        events: &mut dyn Events,
    ) {
        match completion {
            Completion::Received { token, octets, more } => self.received(token, octets, more, table, events),
            Completion::Sent { token, gather, result } => sent(token, gather, result, table, events),
            Completion::Closed { token, still_open } => closed(token, still_open, table),
            Completion::Accepted { token, socket, more } => {
                accepted(token as u16, socket, more, table, listeners, events);
            }
            Completion::Writable { token } => writable(token, table, events),
            Completion::Input { token } => awaited(token, table),
            Completion::Readable { token } => self.readable(token, table),
            Completion::DatagramReceived { token, datagram, more } => {
                self.datagram_received(token as u16, datagram, more, table, listeners, events);
            }
            Completion::DatagramSent { datagram, result } => {
                table.outbox.done(datagram);
                if result.is_err() {
                    table.stats.datagrams_lost.increment();
                }
            }
        }
    }

    fn received(
        &mut self,
        token: u64,
        octets: io::Result<Received>,
        more: bool,
        table: &mut Table,
        events: &mut dyn Events,
    ) {
        let index = table.by_token(token);
        if let Some(index) = index
            && !more
        {
            let driver = &mut table.connection(index).driver;
            (driver.receiving, driver.cancelled) = (false, false);
            table.touch(index);
        }
        match (index, octets) {
            (Some(index), Ok(received)) if table.connection(index).is_conversation => {
                if received.is_truncated() {
                    table.stats.datagrams_lost.increment();
                } else {
                    table.heard(index, self.ring.octets(&received), events);
                }
                self.ring.recycle(received);
            }
            (Some(index), Ok(received)) if received.is_end() => {
                table.peer_finished(index, events);
                self.ring.recycle(received);
            }
            (Some(index), Ok(received)) => {
                let bytes = self.ring.octets(&received);
                table.arrived(index, bytes, bytes.len() < BUFFER_SIZE, events);
                self.ring.recycle(received);
            }
            (None, Ok(received)) => self.ring.recycle(received),
            (Some(index), Err(error)) if !is_passing(&error) => table.failed(index, &error),
            (Some(index), Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                let connection = table.connection(index);
                connection.driver.awaiting = connection.has_sender && !connection.driver.receiving;
            }
            (_, Err(_)) => {}
        }
    }

    fn datagram_received(
        &mut self,
        index: u16,
        datagram: io::Result<ReceivedDatagram>,
        more: bool,
        table: &mut Table,
        listeners: &mut Listeners,
        events: &mut dyn Events,
    ) {
        let listener = &mut listeners.list[usize::from(index)];
        listener.active &= more;
        let owner = listener.owner;
        match datagram {
            Ok(received) => {
                self.datagram_arrived(listeners.name(index), owner, &received, table, events);
                self.ring.recycle_datagram(received);
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => {
                listener.failing = true;
                listeners.pause(table);
            }
        }
        if !more {
            // At once: nothing else may make a transport that others watch poll again.
            self.receive_datagrams(table, listeners);
        }
    }

    fn datagram_arrived(
        &mut self,
        name: ListenerId,
        owner: Owner,
        received: &ReceivedDatagram,
        table: &mut Table,
        events: &mut dyn Events,
    ) {
        match self.ring.arrival(received) {
            Some(Arrival { from, to, octets, is_truncated: false }) => {
                table.note_destination(name.index, from, to);
                events.datagram(table, name, owner, from, octets);
            }
            _ => table.stats.datagrams_lost.increment(),
        }
    }

    fn readable(&mut self, token: u64, table: &mut Table) {
        // A wait is for one time: the next one finds out whether everything was read.
        let number = token as u32;
        match token & !u64::from(u32::MAX) {
            SENDERS => {
                table.take_back();
                self.await_senders(table);
            }
            FAILURES => {
                if let Some(failures) = &mut self.failures {
                    failures.take(table);
                    self.ring.poll_readable(FAILURES, failures.descriptor());
                }
            }
            _ => match &mut self.watched[number as usize] {
                Watched::Live(_, descriptor) => self.ring.poll_readable(token, descriptor.as_fd()),
                ended => *ended = Watched::Free,
            },
        }
    }

    /// Starts accepting where it may, and stops it where it must.
    fn mind_listeners(&mut self, table: &mut Table, listeners: &mut Listeners, events: &mut dyn Events) {
        while listeners.unpark(table, events).is_some() {}
        let may_accept = listeners.may_accept(table);
        self.receive_datagrams(table, listeners);
        for (index, listener) in listeners.list.iter_mut().enumerate() {
            let Some(socket) = listener.socket.as_ref().filter(|_| !(listener.is_datagram || listener.retired)) else {
                continue;
            };
            if may_accept && !listener.active {
                (listener.active, listener.cancelled) = (true, false);
                self.ring.accept(index as u64, socket.as_fd());
            } else if !may_accept && listener.active && !std::mem::replace(&mut listener.cancelled, true) {
                self.ring.cancel_accept(index as u64);
            }
        }
    }

    /// Starts receiving datagrams where that has ended.
    fn receive_datagrams(&mut self, table: &Table, listeners: &mut Listeners) {
        if listeners.datagrams_stopped {
            return;
        }
        let (is_paused, mut failed) = (listeners.is_paused(), false);
        for (index, listener) in listeners.list.iter_mut().enumerate() {
            let is_due = listener.is_datagram && !listener.active && !(listener.failing && is_paused);
            let Some(socket) = listener.socket.as_ref().filter(|_| is_due) else { continue };
            let is_informed = table.destinations[index].is_some();
            let receiving = self.ring.receive_datagrams(index as u64, socket.as_fd(), is_informed);
            (listener.active, listener.failing) = (receiving.is_ok(), receiving.is_err());
            failed |= listener.failing;
        }
        if failed {
            listeners.pause(table);
        }
    }

    fn settle(&mut self, table: &mut Table, events: &mut dyn Events) {
        while let Some(index) = table.next_touched() {
            self.advance(index, table, events);
        }
        while let Some((listener, datagram)) = table.outbox.pop() {
            match &table.datagram_sockets[usize::from(listener)] {
                Some(socket) => self.ring.send_datagram(socket.as_fd(), datagram),
                None => table.outbox.done(datagram),
            }
        }
    }

    /// Does what a connection needs next.
    fn advance(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        let connection = table.connection(index);
        match connection.phase {
            Phase::Free => {}
            Phase::Connecting if connection.is_to_be_told() => table.answered(index, Ok(()), events),
            Phase::Connecting => self.await_room(index, table),
            Phase::Ending { .. } if connection.is_conversation => self.forget(index, table, events),
            Phase::Ending { .. } => self.end(index, table, events),
            Phase::Open | Phase::Closing | Phase::Lingering | Phase::Releasing => {
                self.send(index, table);
                self.receive(index, table);
                self.mind(index, table);
                if table.connection(index).is_released() {
                    return self.give_away(index, table, events);
                }
                if matches!(table.connection(index).phase, Phase::Ending { .. }) {
                    table.touch(index);
                }
            }
        }
    }

    /// Starts the next send; with nothing left to send, winds the connection down.
    fn send(&mut self, index: u32, table: &mut Table) {
        if table.connection(index).is_conversation {
            self.say(index, table);
            return table.wind_down(index);
        }
        loop {
            let (token, lend_from) = (table.token(index), table.lend_from);
            let connection = table.connection(index);
            if connection.driver.sending || connection.lent.is_some() {
                return;
            }
            if connection.driver.blocked {
                return self.await_room(index, table);
            }
            let Some(front) = connection.outgoing.front() else {
                return table.wind_down(index);
            };
            let is_direct = front.has_lendable(lend_from) || front.has_file();
            if table.hand_over_front(index) {
                return;
            }
            if is_direct {
                match table.transmit_front(index) {
                    Ok(Progress::Done) => {}
                    Ok(Progress::Blocked) => table.connection(index).driver.blocked = true,
                    Err(error) => return table.failed(index, &error),
                }
                continue;
            }
            if let Err(error) = table.set_impatient(index, false) {
                return table.failed(index, &error);
            }
            let connection = table.connection(index);
            let takes_close = connection.phase == Phase::Closing
                && connection.outgoing.len() == 1
                && connection.queued <= CLOSE_BEHIND
                && connection.may_close_at_once();
            let Some(gather) = connection.outgoing.pop_front() else { return };
            connection.driver.sending = true;
            if takes_close && let Some(socket) = connection.socket.take() {
                self.ring.send_and_close(token, socket, gather);
            } else if let Some(socket) = &connection.socket {
                self.ring.send(token, socket.as_fd(), gather);
            }
            return;
        }
    }

    /// Sends what a conversation has to say: a datagram for each gather.
    fn say(&mut self, index: u32, table: &mut Table) {
        let token = table.token(index);
        let connection = table.connection(index);
        let Some(socket) = &connection.socket else { return };
        while let Some(gather) = connection.outgoing.pop_front() {
            self.ring.send(token, socket.as_fd(), gather);
        }
    }

    /// Starts or stops receiving.
    fn receive(&mut self, index: u32, table: &mut Table) {
        let (token, window) = (table.token(index), table.window);
        let connection = table.connection(index);
        let starts = connection.wants_input(window) && !connection.driver.receiving;
        if starts && let Err(error) = table.set_impatient(index, false) {
            return table.failed(index, &error);
        }
        let connection = table.connection(index);
        let Some(socket) = &connection.socket else { return };
        if starts {
            connection.driver.receiving = true;
            match connection.is_conversation {
                _ if connection.driver.awaiting => self.ring.poll_input(token, socket.as_fd()),
                true => self.ring.receive_whole(token, socket.as_fd(), connection.seasoned),
                false => self.ring.receive(token, socket.as_fd(), connection.seasoned),
            }
        } else if connection.driver.receiving
            && (connection.phase == Phase::Releasing
                || connection.phase == Phase::Open && connection.unread.len() >= window)
            && !std::mem::replace(&mut connection.driver.cancelled, true)
        {
            match connection.driver.awaiting {
                true => self.ring.cancel_input(token),
                false => self.ring.cancel_receive(token),
            }
        }
    }

    /// Minds a connection that stays open behind the peer's FIN. Without that, the next send tells.
    fn mind(&mut self, index: u32, table: &mut Table) {
        let token = table.token(index);
        let connection = table.connection(index);
        let is_due = connection.peer_finished && connection.phase == Phase::Open && !connection.is_conversation;
        let Some(socket) = connection.socket.as_ref().filter(|_| is_due && !connection.driver.registered) else {
            return;
        };
        if self.failures.is_none()
            && let Ok(failures) = Failures::new()
        {
            self.ring.poll_readable(FAILURES, failures.descriptor());
            self.failures = Some(failures);
        }
        connection.driver.registered = self.failures.as_ref().is_some_and(|failures| failures.mind(socket, token));
    }

    fn give_away(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        let connection = table.connection(index);
        if let (Some(failures), Some(socket)) = (&self.failures, &connection.socket)
            && std::mem::replace(&mut connection.driver.registered, false)
        {
            failures.forget(socket);
        }
        table.give_away(index, events);
    }

    fn await_room(&mut self, index: u32, table: &mut Table) {
        let token = table.token(index);
        let connection = table.connection(index);
        if let Some(socket) = &connection.socket
            && !std::mem::replace(&mut connection.driver.polling, true)
        {
            self.ring.poll_writable(token, socket.as_fd());
        }
    }

    /// Releases a conversation. What is under way is left to the ring, which closes the socket behind it: until
    /// then no other socket gets its number, and the outcome is nobody's.
    fn forget(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        let token = table.token(index);
        let connection = table.connection(index);
        if connection.driver.receiving {
            self.ring.cancel_receive(token);
        }
        if let Some(socket) = connection.socket.take() {
            self.ring.close(socket);
        }
        table.release(index, events);
    }

    /// Releases a connection, or ends what still uses it.
    fn end(&mut self, index: u32, table: &mut Table, events: &mut dyn Events) {
        let token = table.token(index);
        let connection = table.connection(index);
        if !connection.is_busy() {
            return table.release(index, events);
        }
        if !std::mem::replace(&mut connection.driver.ending, true) {
            match &connection.socket {
                Some(socket) => self.ring.cancel_all(socket.as_fd()),
                None => self.ring.cancel_sends(token),
            }
        }
    }
}

fn accepted(
    index: u16,
    socket: io::Result<OwnedFd>,
    more: bool,
    table: &mut Table,
    listeners: &mut Listeners,
    events: &mut dyn Events,
) {
    let listener = &mut listeners.list[usize::from(index)];
    if !more {
        listener.active = false;
    }
    match socket {
        Ok(socket) => {
            listeners.accepted(index, socket, table, events);
        }
        Err(error) => listeners.failed(&error, table),
    }
    listeners.drop_stopped(index);
}

fn sent(token: u64, mut gather: Box<Gather>, result: io::Result<u64>, table: &mut Table, events: &mut dyn Events) {
    let Some(index) = table.by_token(token) else { return table.recycle(gather) };
    if table.connection(index).is_conversation {
        return said(index, gather, result, table, events);
    }
    table.touch(index);
    let connection = table.connection(index);
    // While the socket is being closed, it is not ours to use.
    connection.driver.sending = connection.socket.is_none();
    let is_ending = matches!(connection.phase, Phase::Ending { .. });
    let (count, error) = match result {
        Ok(count) => (count, None),
        Err(error) => (0, Some(error).filter(|error| !is_passing(error))),
    };
    gather.advance(count);
    if gather.is_empty() || is_ending || error.is_some() {
        table.recycle(gather);
    } else {
        connection.outgoing.push_front(gather);
    }
    match error {
        None => table.sent(index, count, events),
        Some(error) => table.failed(index, &error),
    }
}

/// A datagram has left, or is lost.
fn said(index: u32, gather: Box<Gather>, result: io::Result<u64>, table: &mut Table, events: &mut dyn Events) {
    let length = gather.remaining();
    table.recycle(gather);
    match result {
        Err(error) if !Errno::from_io_error(&error).is_some_and(is_loss) => return table.failed(index, &error),
        Err(_) => table.stats.datagrams_lost.increment(),
        Ok(_) => {}
    }
    table.sent(index, length, events);
}

/// The kernel closed a socket behind its last send, or did not get that far.
fn closed(token: u64, still_open: Option<OwnedFd>, table: &mut Table) {
    let Some(index) = table.by_token(token) else { return };
    table.touch(index);
    let connection = table.connection(index);
    connection.driver.sending = false;
    let is_ending = matches!(connection.phase, Phase::Ending { .. });
    if still_open.is_some() {
        connection.socket = still_open;
    } else if !is_ending {
        table.end(index, Some(Disconnect::Closed), false);
    }
}

/// There is something to receive on a socket whose mode is not ours.
fn awaited(token: u64, table: &mut Table) {
    let Some(index) = table.by_token(token) else { return };
    table.touch(index);
    let driver = &mut table.connection(index).driver;
    (driver.receiving, driver.awaiting, driver.cancelled) = (false, false, false);
}

fn writable(token: u64, table: &mut Table, events: &mut dyn Events) {
    let Some(index) = table.by_token(token) else { return };
    table.touch(index);
    let connection = table.connection(index);
    (connection.driver.polling, connection.driver.blocked) = (false, false);
    if connection.phase == Phase::Connecting
        && let Some(socket) = &connection.socket
    {
        let result = socket_error(socket).and_then(|result| result);
        // From here on the ring uses it, which waits only for sockets that block.
        let result = result.and_then(|()| ioctl_fionbio(socket, false));
        table.answered(index, result.map_err(io::Error::from), events);
    }
}

/// Whether an operation may simply be started again: it was told to end, no buffer was free, or a
/// thread had the socket.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::CANCELED, Errno::NOBUFS, Errno::AGAIN, Errno::INTR].map(|errno| errno.raw_os_error());
    error.raw_os_error().is_some_and(|code| passing.contains(&code))
}
