//! The io_uring driver: receives into provided buffers, sends by submission, and lets the kernel do
//! both within the one system call of a pass.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use afpa_engine::Time;
use afpa_engine::seam::{ConnectionId, Events, Origin};
use afpa_platform::gather::Gather;
use afpa_platform::uring::{Completion, Interest, Received, Ring, Token};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{Shutdown, shutdown};

use crate::Respond;
use crate::connection::{Finish, Phase, Table};
use crate::listener::{Listener, Listeners, is_exhaustion};
use crate::transmit::transmit;
use crate::worker::SendWorkers;

/// Pinned octets in one gather from which lending them to the kernel beats copying them.
const LEND_FROM: u64 = 32 * 1024;

pub(crate) struct Uring {
    ring: Ring,
    workers: Option<SendWorkers>,
}

/// Tokens of what is no connection: their generation is zero, which no connection has.
const WORKERS: Token = 1;
const WATCHED: Token = 2;
const DATAGRAMS: Token = 0x10_0000;
const LISTENERS: Token = 0x20_0000;

impl Uring {
    pub(crate) fn new(workers: Option<SendWorkers>) -> io::Result<Uring> {
        let mut ring = Ring::new()?;
        if let Some(workers) = &workers {
            ring.poll(WORKERS, workers.descriptor(), Interest::Readable);
        }
        Ok(Uring { ring, workers })
    }

    pub(crate) fn watch(&mut self, descriptor: BorrowedFd<'_>) {
        self.ring.poll(WATCHED, descriptor, Interest::Readable);
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    pub(crate) fn accept(&mut self, index: usize, listener: &mut Listener) {
        listener.accepting = true;
        self.ring.accept(LISTENERS + index as Token, listener.socket.as_fd());
    }

    pub(crate) fn watch_datagrams(&mut self, index: usize, socket: BorrowedFd<'_>) {
        self.ring.poll(DATAGRAMS + index as Token, socket, Interest::Readable);
    }

    pub(crate) fn stop_accepting(&mut self, index: usize, listener: &mut Listener) {
        if listener.accepting {
            self.ring.cancel_accept(LISTENERS + index as Token);
        }
    }

    pub(crate) fn poll(
        &mut self,
        table: &mut Table,
        listeners: &mut Listeners,
        now: Time,
        wait: Option<Duration>,
        events: &mut dyn Events,
    ) -> io::Result<()> {
        self.ring.submit_and_wait(wait)?;
        while let Some(completion) = self.ring.completion() {
            self.complete(table, listeners, now, completion, events);
            self.settle(table, events);
        }
        Ok(())
    }

    /// Does what the calls of an event, and the events that follow from that, have asked for.
    pub(crate) fn settle(&mut self, table: &mut Table, events: &mut dyn Events) {
        loop {
            while let Some(index) = table.next_touched() {
                self.work(table, index, events);
            }
            if !table.show_resumed(events) {
                return;
            }
        }
    }

    fn complete(
        &mut self,
        table: &mut Table,
        listeners: &mut Listeners,
        now: Time,
        completion: Completion,
        events: &mut dyn Events,
    ) {
        match completion {
            Completion::Received { token, octets, more } => self.received(table, token, octets, more, events),
            Completion::Sent { token, gather, result } => self.sent(table, token, gather, result, events),
            Completion::Accepted { token, socket, more } => {
                let at = (token - LISTENERS) as usize;
                if let Err(error) = &socket && is_exhaustion(error) {
                    table.stats.out_of_descriptors.increment();
                    listeners.pause(now);
                }
                if let Some(listener) = listeners.all.get_mut(at) {
                    self.accepted(table, at, listener, socket.ok(), more, events);
                }
            }
            Completion::Closed { token, still_open } => {
                self.closed(table, token, still_open, events);
                listeners.unpause();
            }
            Completion::Ready { token, more } => self.ready(table, token, more, events),
        }
    }

    fn accepted(
        &mut self,
        table: &mut Table,
        at: usize,
        listener: &mut Listener,
        socket: Option<OwnedFd>,
        more: bool,
        events: &mut dyn Events,
    ) {
        listener.accepting = more;
        let (owner, origin) = (listener.owner, Origin::Accepted(listener.id));
        if let Some(id) = socket.and_then(|socket| table.open(socket, owner, Phase::Open)) {
            table.stats.accepted.increment();
            events.connected(table, id, owner, origin);
            self.work_if_live(table, token(id), events);
        }
        if table.is_full() && more {
            // Those that come before the cancellation does are closed at once.
            table.stats.at_connection_limit.increment();
            self.stop_accepting(at, listener);
        }
    }

    fn received(
        &mut self,
        table: &mut Table,
        token: Token,
        octets: io::Result<Received>,
        more: bool,
        events: &mut dyn Events,
    ) {
        let Some(index) = find(table, token) else {
            if let Ok(received) = octets {
                self.ring.recycle(received);
            }
            return;
        };
        let connection = table.at(index);
        connection.receiving = more;
        let open = connection.phase == Phase::Open;
        match octets {
            Ok(received) if received.is_end() => {
                self.ring.recycle(received);
                table.peer_finished(index, events);
            }
            Ok(received) => {
                if open {
                    table.deliver(index, self.ring.octets(&received), events);
                }
                self.ring.recycle(received);
            }
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => table.stats.out_of_buffers.increment(),
            Err(error) if is_cancellation(&error) => {}
            Err(error) if open => table.fail(index, &error, events),
            Err(_) => {}
        }
        self.work_if_live(table, token, events);
    }

    fn sent(
        &mut self,
        table: &mut Table,
        token: Token,
        mut gather: Box<Gather>,
        result: io::Result<u64>,
        events: &mut dyn Events,
    ) {
        let Some(index) = find(table, token) else { return table.recycle(gather) };
        table.at(index).sending = false;
        match result {
            Ok(count) => {
                gather.advance(count);
                if gather.is_empty() {
                    table.recycle(gather);
                } else {
                    table.at(index).outgoing.push_front(gather);
                }
                table.sent(index, count, events);
            }
            Err(error) => {
                table.recycle(gather);
                if !is_cancellation(&error) {
                    table.fail(index, &error, events);
                }
            }
        }
        self.work_if_live(table, token, events);
    }

    fn closed(&mut self, table: &mut Table, token: Token, still_open: Option<OwnedFd>, events: &mut dyn Events) {
        let Some(index) = find(table, token) else { return };
        let Some(socket) = still_open else { return table.ended(index, events) };
        // What was to leave before did not: go on with the rest, or end what failed.
        let connection = table.at(index);
        connection.socket = Some(socket);
        if connection.phase == Phase::Ending {
            connection.phase = Phase::Closing;
        }
        self.work(table, index, events);
    }

    fn ready(&mut self, table: &mut Table, token: Token, more: bool, events: &mut dyn Events) {
        if let Some(index) = find(table, token) {
            table.at(index).sending = false;
            if table.at(index).phase == Phase::Connecting {
                self.arrived(table, index, events);
            }
            return self.work(table, index, events);
        }
        match token {
            WORKERS => {
                self.worker_results(table, events);
                if !more && let Some(workers) = &self.workers {
                    self.ring.poll(WORKERS, workers.descriptor(), Interest::Readable);
                }
            }
            datagrams if datagrams & DATAGRAMS != 0 => {
                crate::datagram::receive(table, (datagrams - DATAGRAMS) as usize, events);
            }
            _ => {}
        }
    }

    /// A connection that we asked for is established, or refused.
    fn arrived(&mut self, table: &mut Table, index: u32, events: &mut dyn Events) {
        let id = table.id_of(index);
        let connection = table.at(index);
        let owner = connection.owner;
        let Some(socket) = connection.fd() else { return };
        let outcome = rustix::net::sockopt::socket_error(socket).and_then(|outcome| outcome);
        match outcome.and_then(|()| ioctl_fionbio(socket, false)) {
            Ok(()) => {
                connection.phase = Phase::Open;
                events.connected(table, id, owner, Origin::Connected);
            }
            Err(error) => table.fail(index, &error.into(), events),
        }
    }

    fn worker_results(&mut self, table: &mut Table, events: &mut dyn Events) {
        let Some(workers) = &self.workers else { return };
        let results: Vec<_> = workers.results().collect();
        for result in results {
            let Some(index) = find(table, result.token) else { continue };
            let connection = table.at(index);
            connection.sending = false;
            if let Some(socket) = connection.fd() {
                let _ = ioctl_fionbio(socket, false);
            }
            let mut gather = connection.held.take();
            match result.result {
                Ok(transmitted) => {
                    if let Some(gather) = &mut gather {
                        gather.advance(transmitted.count);
                    }
                    self.progressed(table, index, gather, transmitted.count, transmitted.blocked, events);
                }
                Err(error) => table.fail(index, &error, events),
            }
            self.work_if_live(table, result.token, events);
        }
    }

    /// Part of a gather was sent without the ring.
    fn progressed(
        &mut self,
        table: &mut Table,
        index: u32,
        gather: Option<Box<Gather>>,
        count: u64,
        blocked: bool,
        events: &mut dyn Events,
    ) {
        let token = token(table.id_of(index));
        if let Some(gather) = gather {
            if gather.is_empty() {
                table.recycle(gather);
            } else {
                table.at(index).outgoing.push_front(gather);
            }
        }
        let connection = table.at(index);
        if blocked && let Some(socket) = connection.socket.as_ref() {
            self.ring.poll(token, socket.as_fd(), Interest::Writable);
            connection.sending = true;
        }
        table.sent(index, count, events);
    }

    fn work_if_live(&mut self, table: &mut Table, token: Token, events: &mut dyn Events) {
        if let Some(index) = find(table, token) {
            self.work(table, index, events);
        }
    }

    /// Brings a connection to where its module wants it: sends, then finishes, then closes; receives
    /// as long as it is open.
    fn work(&mut self, table: &mut Table, index: u32, events: &mut dyn Events) {
        let token = token(table.id_of(index));
        match table.at(index).phase {
            Phase::Free => return,
            Phase::Connecting => return self.await_arrival(table, index, token),
            Phase::Open | Phase::Closing => {
                if !table.at(index).sending
                    && let Some(gather) = table.take_outgoing(index)
                {
                    self.send(table, index, token, gather, events);
                    if find(table, token).is_none() {
                        return;
                    }
                }
                self.finish(table, index);
            }
            Phase::Ending | Phase::Aborting => {}
        }
        let connection = table.at(index);
        match connection.phase {
            Phase::Open if connection.wants_input() && connection.held.is_none() => {
                let many = connection.seasoned;
                if let Some(socket) = connection.socket.as_ref() {
                    self.ring.receive(token, socket.as_fd(), many);
                    connection.receiving = true;
                }
            }
            Phase::Open if connection.paused && connection.receiving => self.ring.cancel_receive(token),
            Phase::Closing if connection.is_drained() => {
                connection.phase = Phase::Ending;
                self.end(table, index, token);
            }
            Phase::Ending | Phase::Aborting => self.end(table, index, token),
            _ => {}
        }
    }

    fn await_arrival(&mut self, table: &mut Table, index: u32, token: Token) {
        let connection = table.at(index);
        if !connection.sending && let Some(socket) = connection.socket.as_ref() {
            self.ring.poll(token, socket.as_fd(), Interest::Writable);
            connection.sending = true;
        }
    }

    fn send(
        &mut self,
        table: &mut Table,
        index: u32,
        token: Token,
        mut gather: Box<Gather>,
        events: &mut dyn Events,
    ) {
        let to_worker = match table.respond {
            Respond::Thread => true,
            Respond::Hybrid => gather.has_file(),
            Respond::Inline => false,
        };
        let connection = table.at(index);
        let Some(socket) = connection.socket.as_ref() else { return table.recycle(gather) };
        if let Some(workers) = self.workers.as_ref().filter(|_| to_worker) {
            let submitted = workers.submit(token, socket.as_fd(), gather.share());
            connection.sending = true;
            connection.held = Some(gather);
            table.stats.worker_sends.increment();
            if let Err(error) = submitted {
                table.fail(index, &error, events);
            }
        } else if gather.has_file() || gather.lendable() >= LEND_FROM {
            match transmit_blocking_mode(socket.as_fd(), &mut gather) {
                Ok((count, blocked)) => self.progressed(table, index, Some(gather), count, blocked, events),
                Err(error) => {
                    table.recycle(gather);
                    table.fail(index, &error, events);
                }
            }
        } else {
            connection.sending = true;
            let last = connection.phase == Phase::Closing && connection.outgoing.is_empty();
            if last && !connection.receiving && let Some(socket) = connection.socket.take() {
                connection.phase = Phase::Ending;
                self.ring.send_and_close(token, socket, gather);
            } else if let Some(socket) = connection.socket.as_ref() {
                self.ring.send(token, socket.as_fd(), gather);
            }
        }
    }

    fn finish(&mut self, table: &mut Table, index: u32) {
        let connection = table.at(index);
        if connection.finish == Finish::Due && connection.is_drained() {
            connection.finish = Finish::Sent;
            if let Some(socket) = connection.fd() {
                // A peer that has reset the connection is noticed by the receive.
                let _ = shutdown(socket, Shutdown::Write);
            }
        }
    }

    /// Closes the socket when the kernel is done with it on our behalf.
    fn end(&mut self, table: &mut Table, index: u32, token: Token) {
        let connection = table.at(index);
        let busy = connection.receiving || connection.sending;
        match (connection.phase, connection.socket.take()) {
            (_, None) => {}
            (_, Some(socket)) if !busy => self.ring.close(token, socket),
            (Phase::Ending, Some(socket)) => {
                // FIN leaves now, and the receive that is under way completes.
                let _ = shutdown(&socket, Shutdown::Both);
                connection.socket = Some(socket);
            }
            (_, Some(socket)) => {
                self.ring.cancel_all(socket.as_fd());
                connection.socket = Some(socket);
            }
        }
    }
}

/// A socket that io_uring waits on must be in blocking mode, and sendfile(2) must not wait: the mode
/// is changed for the call.
fn transmit_blocking_mode(socket: BorrowedFd<'_>, gather: &mut Gather) -> io::Result<(u64, bool)> {
    ioctl_fionbio(socket, true)?;
    let transmitted = transmit(socket, gather, false);
    ioctl_fionbio(socket, false)?;
    transmitted.map(|t| (t.count, t.blocked))
}

fn token(id: ConnectionId) -> Token {
    Token::from(id.generation()) << 32 | Token::from(id.index())
}

fn find(table: &Table, token: Token) -> Option<u32> {
    table.find((token >> 32) as u32, token as u32)
}

fn is_cancellation(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::CANCELED.raw_os_error())
}
