//! The epoll driver: edge-triggered readiness, and system calls that do not wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use afpa_engine::Time;
use afpa_engine::seam::{ConnectionId, Events, Origin};
use afpa_platform::gather::Gather;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, SocketFlags, accept_with, recv, shutdown};

use crate::Respond;
use crate::connection::{Finish, Phase, Table};
use crate::listener::{Listener, Listeners, is_exhaustion};
use crate::transmit::transmit;
use crate::worker::SendWorkers;

/// Octets received by one system call.
const RECEIVE: usize = 64 * 1024;
/// Connections accepted from one listener before others get their turn.
const ACCEPTS: usize = 64;
/// Events taken in one pass.
const EVENTS: usize = 1024;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Box<[u8]>,
    workers: Option<SendWorkers>,
}

/// Marks of what is no connection: their generation is zero, which no connection has.
const WORKERS: u64 = 1;
const WATCHED: u64 = 2;
const DATAGRAMS: u64 = 0x10_0000;
const LISTENERS: u64 = 0x20_0000;

impl Epoll {
    pub(crate) fn new(workers: Option<SendWorkers>) -> io::Result<Epoll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        if let Some(workers) = &workers {
            add(&epoll, workers.descriptor(), WORKERS, epoll::EventFlags::IN)?;
        }
        let buffer = vec![0; RECEIVE].into_boxed_slice();
        Ok(Epoll { epoll, events: Vec::with_capacity(EVENTS), buffer, workers })
    }

    pub(crate) fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        add(&self.epoll, descriptor, WATCHED, epoll::EventFlags::IN)
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(crate) fn accept(&mut self, index: usize, listener: &mut Listener) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&listener.socket, true)?;
        add(&self.epoll, listener.socket.as_fd(), LISTENERS + index as u64, epoll::EventFlags::IN)?;
        listener.accepting = true;
        Ok(())
    }

    pub(crate) fn watch_datagrams(&mut self, index: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        add(&self.epoll, socket, DATAGRAMS + index as u64, epoll::EventFlags::IN)
    }

    pub(crate) fn stop_accepting(&mut self, listener: &mut Listener) {
        if std::mem::replace(&mut listener.accepting, false) {
            let _ = epoll::delete(&self.epoll, &listener.socket);
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
        let timeout = wait.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() });
        let mut ready = std::mem::take(&mut self.events);
        ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &ready {
            self.event(table, listeners, now, event.data.u64(), event.flags, events);
            self.settle(table, events);
        }
        self.events = ready;
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

    fn event(
        &mut self,
        table: &mut Table,
        listeners: &mut Listeners,
        now: Time,
        mark: u64,
        flags: epoll::EventFlags,
        events: &mut dyn Events,
    ) {
        if let Some(index) = find(table, mark) {
            if flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                self.writable(table, index, events);
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ERR) {
                self.readable(table, index, mark, events);
            }
            return;
        }
        match mark {
            WORKERS => self.worker_results(table, events),
            listener if listener & LISTENERS != 0 => {
                let at = (listener - LISTENERS) as usize;
                if let Some(listener) = listeners.all.get_mut(at)
                    && let Err(error) = self.accept_some(table, listener, events)
                    && is_exhaustion(&error)
                {
                    table.stats.out_of_descriptors.increment();
                    self.stop_accepting(&mut listeners.all[at]);
                    listeners.pause(now);
                }
            }
            datagrams if datagrams & DATAGRAMS != 0 => {
                crate::datagram::receive(table, (datagrams - DATAGRAMS) as usize, events);
            }
            _ => {}
        }
    }

    fn accept_some(&mut self, table: &mut Table, listener: &mut Listener, events: &mut dyn Events) -> io::Result<()> {
        let (owner, origin) = (listener.owner, Origin::Accepted(listener.id));
        for _ in 0..ACCEPTS {
            if table.is_full() {
                table.stats.at_connection_limit.increment();
                self.stop_accepting(listener);
                return Ok(());
            }
            let socket = match accept_with(&listener.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                // The peer was gone before we came, or a signal: the next may be there.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(id) = table.open(socket, owner, Phase::Open) else { return Ok(()) };
            table.stats.accepted.increment();
            if self.register(table, id).is_err() {
                table.release(id.index());
                continue;
            }
            events.connected(table, id, owner, origin);
            self.settle(table, events);
        }
        Ok(())
    }

    fn register(&mut self, table: &mut Table, id: ConnectionId) -> io::Result<()> {
        let connection = table.at(id.index());
        let Some(socket) = connection.socket.as_ref() else { return Ok(()) };
        add(&self.epoll, socket.as_fd(), mark(id), edges())?;
        // The first event tells whether there is input, and until it comes there is none.
        connection.receiving = true;
        Ok(())
    }

    /// Receives until nothing is left, the module has enough, or the connection ends. `receiving`
    /// says that the kernel will report more; without it, input may lie there unreported.
    fn readable(&mut self, table: &mut Table, index: u32, mark: u64, events: &mut dyn Events) {
        table.at(index).receiving = false;
        loop {
            let connection = table.at(index);
            if !connection.wants_input() {
                return;
            }
            let Some(socket) = connection.socket.as_ref() else { return };
            match recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    table.peer_finished(index, events);
                    return;
                }
                Ok((length, _)) => {
                    // Meanwhile nobody else starts to read this connection.
                    connection.receiving = true;
                    let buffer = std::mem::take(&mut self.buffer);
                    table.deliver(index, &buffer[..length], events);
                    self.buffer = buffer;
                    self.settle(table, events);
                    if find(table, mark).is_none() {
                        return;
                    }
                    table.at(index).receiving = false;
                }
                Err(Errno::AGAIN) => {
                    table.at(index).receiving = true;
                    return;
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    table.fail(index, &error.into(), events);
                    return;
                }
            }
        }
    }

    fn writable(&mut self, table: &mut Table, index: u32, events: &mut dyn Events) {
        let id = table.id_of(index);
        let connection = table.at(index);
        if connection.phase == Phase::Connecting {
            let owner = connection.owner;
            let Some(socket) = connection.fd() else { return };
            match rustix::net::sockopt::socket_error(socket).and_then(|outcome| outcome) {
                Ok(()) => {
                    connection.phase = Phase::Open;
                    connection.sending = false;
                    events.connected(table, id, owner, Origin::Connected);
                }
                Err(error) => return table.fail(index, &error.into(), events),
            }
        } else if connection.held.is_none() {
            connection.sending = false;
        }
        self.work(table, index, events);
    }

    fn worker_results(&mut self, table: &mut Table, events: &mut dyn Events) {
        let Some(workers) = &self.workers else { return };
        let results: Vec<_> = workers.results().collect();
        for result in results {
            let Some(index) = find(table, result.token) else { continue };
            let connection = table.at(index);
            connection.sending = false;
            let gather = connection.held.take();
            match result.result {
                Ok(transmitted) => {
                    if let Some(mut gather) = gather {
                        gather.advance(transmitted.count);
                        self.put_back(table, index, gather, transmitted.blocked);
                    }
                    if transmitted.blocked {
                        self.rearm(table, index);
                    }
                    table.sent(index, transmitted.count, events);
                }
                Err(error) => table.fail(index, &error, events),
            }
            if find(table, result.token).is_some() {
                self.work(table, index, events);
            }
        }
    }

    /// Brings a connection to where its module wants it: sends, then finishes, then closes; receives
    /// as long as it is open.
    fn work(&mut self, table: &mut Table, index: u32, events: &mut dyn Events) {
        let id = table.id_of(index);
        match table.at(index).phase {
            Phase::Free => return,
            Phase::Connecting => return self.await_arrival(table, id, events),
            Phase::Open | Phase::Closing => {
                while !table.at(index).sending
                    && let Some(gather) = table.take_outgoing(index)
                {
                    self.send(table, index, gather, events);
                    if find(table, mark(id)).is_none() {
                        return;
                    }
                }
            }
            Phase::Ending | Phase::Aborting => {}
        }
        let connection = table.at(index);
        if connection.finish == Finish::Due && connection.is_drained() {
            connection.finish = Finish::Sent;
            if let Some(socket) = connection.fd() {
                // A peer that has reset the connection is noticed by the receive.
                let _ = shutdown(socket, Shutdown::Write);
            }
        }
        match connection.phase {
            Phase::Open if connection.wants_input() => self.readable(table, index, mark(id), events),
            Phase::Closing if connection.is_drained() => {
                connection.phase = Phase::Ending;
                self.end(table, index, events);
            }
            Phase::Ending | Phase::Aborting => self.end(table, index, events),
            _ => {}
        }
    }

    fn await_arrival(&mut self, table: &mut Table, id: ConnectionId, events: &mut dyn Events) {
        if !std::mem::replace(&mut table.at(id.index()).sending, true)
            && let Err(error) = self.register(table, id)
        {
            table.fail(id.index(), &error, events);
        }
    }

    fn send(&mut self, table: &mut Table, index: u32, mut gather: Box<Gather>, events: &mut dyn Events) {
        let token = mark(table.id_of(index));
        let to_worker = match table.respond {
            Respond::Thread => true,
            Respond::Hybrid => gather.has_file(),
            Respond::Inline => false,
        };
        // The last octets leave together with FIN.
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
            return;
        }
        let last = connection.phase == Phase::Closing && connection.outgoing.is_empty();
        match transmit(socket.as_fd(), &mut gather, last) {
            Ok(transmitted) => {
                self.put_back(table, index, gather, transmitted.blocked);
                table.sent(index, transmitted.count, events);
            }
            Err(error) => {
                table.recycle(gather);
                table.fail(index, &error, events);
            }
        }
    }

    /// Keeps what the socket had no room for.
    fn put_back(&mut self, table: &mut Table, index: u32, gather: Box<Gather>, blocked: bool) {
        table.at(index).sending = blocked;
        if gather.is_empty() {
            table.recycle(gather);
        } else {
            table.at(index).outgoing.push_front(gather);
        }
    }

    /// Asks for the edges again: one that came while a worker was sending was not for it.
    fn rearm(&mut self, table: &mut Table, index: u32) {
        let id = table.id_of(index);
        if let Some(socket) = table.at(index).fd() {
            let _ = epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(mark(id)), edges());
        }
    }

    fn end(&mut self, table: &mut Table, index: u32, events: &mut dyn Events) {
        // A worker has a descriptor of its own: what it sends after this goes nowhere.
        drop(table.at(index).socket.take());
        table.ended(index, events);
    }
}

fn add(epoll: &OwnedFd, descriptor: BorrowedFd<'_>, mark: u64, flags: epoll::EventFlags) -> io::Result<()> {
    Ok(epoll::add(epoll, descriptor, epoll::EventData::new_u64(mark), flags)?)
}

fn edges() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET
}

fn mark(id: ConnectionId) -> u64 {
    u64::from(id.generation()) << 32 | u64::from(id.index())
}

fn find(table: &Table, mark: u64) -> Option<u32> {
    table.find((mark >> 32) as u32, mark as u32)
}
