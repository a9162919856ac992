//! The connections of a transport, what the seam's calls do to them, and the events that they raise.
//! Both drivers share this; they differ only in how octets move.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::TransportId;
use afpa_engine::seam::{Address, Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Segment, Time};
use afpa_platform::datagram::Datagram;
use afpa_platform::gather::Gather;
use afpa_platform::pipe::Pipe;
use afpa_platform::socket::unacknowledged;
use rustix::io::ioctl_fionbio;
use rustix::net::{Shutdown, shutdown};

use crate::address::{local_address, peer_address};
use crate::config::{Respond, SocketsConfig};
use crate::connection::{Connection, Finish, Phase};
use crate::datagrams::{Destinations, Outbox, collect};
use crate::opening::refusal;
use crate::senders::{Done, Job, Senders};
use crate::sharing::let_go;
use crate::stats::SocketsStats;
use crate::transmit::{Progress, pipe, transmit};
use crate::unread::Pool;

/// Gathers kept for use: each holds at most 8 KiB for copies when it is free, 4 MiB in all.
const KEPT_GATHERS: usize = 512;

/// Octets queued at a close that need not be minded: the kernel takes them even if the peer does not.
const CLOSE_AT_ONCE: u64 = 16 * 1024;

/// The room that each queue of connections starts with, so that a slow peer's first linger is not the
/// hit path's first allocation.
const QUEUED: usize = 256;

/// The connections of a transport.
pub(crate) struct Table {
    pub(crate) id: TransportId,
    pub(crate) window: usize,
    pub(crate) stats: Arc<SocketsStats>,
    /// The sockets that datagrams are sent from, by listener.
    pub(crate) datagram_sockets: Vec<Option<Arc<OwnedFd>>>,
    /// For those of them that are bound to every address, by listener.
    pub(crate) destinations: Vec<Option<Destinations>>,
    pub(crate) outbox: Outbox,
    /// The pass's time.
    pub(crate) now: Time,
    /// A connection was closed since this was last reset: descriptors and slots are free again.
    pub(crate) released: bool,
    slots: Vec<Connection>,
    free: Vec<u32>,
    live: usize,
    /// Of these, those that were opened here.
    opened: usize,
    max_connections: usize,
    max_accepted: usize,
    respond: Respond,
    send_buffer: usize,
    linger: Duration,
    close_patience: Duration,
    /// As [`SocketsConfig::keep_alive`].
    pub(crate) keep_alive: Duration,
    /// As [`SocketsConfig::lend_from`].
    pub(crate) lend_from: usize,
    pipe: Option<Pipe>,
    /// The driver wants sockets to wait, as io_uring does: one that does not is never waited for there.
    pub(crate) waits: bool,
    senders: Option<Senders>,
    /// Connections that the driver has to look at.
    touched: Vec<u32>,
    /// Connections whose unread input is to be shown again.
    resumed: VecDeque<ConnectionId>,
    /// Connections for which `sent` is to be raised.
    transmitted: VecDeque<ConnectionId>,
    lingering: VecDeque<(Time, ConnectionId)>,
    /// Connections that were closed with octets still queued, with what the peer had not taken when
    /// they were last looked at.
    closing: VecDeque<(Time, ConnectionId, u64)>,
    #[expect(clippy::vec_box, reason = "a gather keeps its box from here to the driver and back")]
    gathers: Vec<Box<Gather>>,
    pool: Pool,
    /// What is being sent where there is no ring.
    datagram: Datagram,
}

impl Table {
    /// # Errors
    /// A sending thread cannot be started.
    pub(crate) fn new(config: &SocketsConfig, waits: bool) -> io::Result<Table> {
        let senders = match config.respond {
            Respond::Inline => None,
            Respond::Thread | Respond::Hybrid => Some(Senders::start(config.senders)?),
        };
        let max_connections = (config.max_connections as usize).clamp(1, ConnectionId::MAX_INDEX as usize + 1);
        Ok(Table {
            id: config.transport,
            window: config.receive_window.max(1),
            stats: Arc::default(),
            datagram_sockets: Vec::new(),
            destinations: Vec::new(),
            outbox: Outbox::default(),
            now: Time::default(),
            released: false,
            slots: Vec::new(),
            free: Vec::with_capacity(QUEUED),
            live: 0,
            opened: 0,
            max_connections,
            max_accepted: max_connections.saturating_sub(config.reserved as usize).max(1),
            respond: config.respond,
            send_buffer: config.send_buffer.max(1),
            linger: config.linger,
            close_patience: config.close_patience,
            keep_alive: config.keep_alive,
            lend_from: config.lend_from,
            pipe: pipe(),
            waits,
            senders,
            touched: Vec::with_capacity(QUEUED),
            resumed: VecDeque::with_capacity(QUEUED),
            transmitted: VecDeque::with_capacity(QUEUED),
            lingering: VecDeque::with_capacity(QUEUED),
            closing: VecDeque::with_capacity(QUEUED),
            gathers: Vec::with_capacity(QUEUED),
            pool: Pool::default(),
            datagram: Datagram::default(),
        })
    }

    pub(crate) fn senders(&self) -> Option<&Senders> {
        self.senders.as_ref()
    }

    /// Slots in use.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Whether no more may be accepted.
    pub(crate) fn is_full(&self) -> bool {
        self.live >= self.max_connections || self.live - self.opened >= self.max_accepted
    }

    /// # Errors
    /// The limit on connections is reached.
    pub(crate) fn check_room(&self) -> io::Result<()> {
        match self.live >= self.max_connections {
            true => Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the limit on connections is reached")),
            false => Ok(()),
        }
    }

    pub(crate) fn connection(&mut self, index: u32) -> &mut Connection {
        &mut self.slots[index as usize]
    }

    pub(crate) fn id_of(&self, index: u32) -> ConnectionId {
        ConnectionId::new(self.id, index, self.slots[index as usize].generation)
    }

    /// The slot's number and use, as the kernel hands it back: bits 24..32 are clear.
    pub(crate) fn token(&self, index: u32) -> u64 {
        u64::from(self.slots[index as usize].generation) << 32 | u64::from(index)
    }

    /// The slot that a token means, if its use is not over.
    pub(crate) fn by_token(&self, token: u64) -> Option<u32> {
        let index = token as u32;
        let slot = self.slots.get(index as usize)?;
        (slot.phase != Phase::Free && slot.generation == (token >> 32) as u32).then_some(index)
    }

    /// Makes the driver look at a connection.
    pub(crate) fn touch(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.touched {
            slot.touched = true;
            self.touched.push(index);
        }
    }

    pub(crate) fn next_touched(&mut self) -> Option<u32> {
        let index = self.touched.pop()?;
        self.slots[index as usize].touched = false;
        Some(index)
    }

    /// Whether calls left something for the driver to do.
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty() || !self.outbox.is_empty() || self.has_deferred()
    }

    /// Whether [`Table::raise_deferred`] has something to raise.
    pub(crate) fn has_deferred(&self) -> bool {
        !self.transmitted.is_empty() || !self.resumed.is_empty()
    }

    /// How long until the first connection on its way out has to be looked at.
    pub(crate) fn linger_wait(&self) -> Option<Duration> {
        let lingering = self.lingering.front().map(|(deadline, _)| deadline.since(self.now));
        let closing = self.closing.front().map(|(due, _, _)| due.since(self.now));
        lingering.into_iter().chain(closing).min()
    }
}

/// What happens to connections, and is told upwards.
impl Table {
    /// A peer opened a connection.
    pub(crate) fn accepted(
        &mut self,
        socket: OwnedFd,
        owner: Owner,
        listener: ListenerId,
        events: &mut dyn Events,
    ) -> u32 {
        let index = self.insert(socket, owner, Phase::Open);
        self.stats.accepted.increment();
        let id = self.id_of(index);
        events.connected(self, id, owner, Origin::Accepted(listener));
        self.touch(index);
        index
    }

    /// It is known whether a connection that we asked for was made.
    pub(crate) fn answered(&mut self, index: u32, result: io::Result<()>, events: &mut dyn Events) {
        let slot = &mut self.slots[index as usize];
        if slot.phase != Phase::Connecting {
            return;
        }
        if let Err(error) = result {
            return self.end(index, Some(refusal(&error)), false);
        }
        slot.phase = Phase::Open;
        let owner = slot.owner;
        let id = self.id_of(index);
        self.stats.opened.increment();
        events.connected(self, id, owner, Origin::Connected);
        self.touch(index);
    }

    /// Input arrived. `is_all` says that there was no more for now.
    pub(crate) fn arrived(&mut self, index: u32, bytes: &[u8], is_all: bool, events: &mut dyn Events) {
        self.touch(index);
        let slot = &mut self.slots[index as usize];
        slot.quiet = is_all && !slot.seasoned;
        slot.seasoned = true;
        if slot.phase != Phase::Open {
            if slot.keeps_input() {
                slot.unread.push(bytes, &mut self.pool);
            }
            return;
        }
        if !slot.unread.is_empty() {
            slot.unread.push(bytes, &mut self.pool);
            return self.show(index, events);
        }
        let (owner, is_conversation) = (slot.owner, slot.is_conversation);
        let id = self.id_of(index);
        let consumed = events.received(self, id, owner, bytes).min(bytes.len());
        if consumed == bytes.len() || is_conversation {
            return;
        }
        if let Some(index) = self.find(id) {
            let slot = &mut self.slots[index as usize];
            slot.quiet = false;
            if slot.keeps_input() {
                slot.unread.push(&bytes[consumed..], &mut self.pool);
            }
        }
    }

    /// Shows a connection's unread input.
    fn show(&mut self, index: u32, events: &mut dyn Events) {
        let slot = &mut self.slots[index as usize];
        let owner = slot.owner;
        let mut unread = std::mem::take(&mut slot.unread);
        let id = self.id_of(index);
        let consumed = events.received(self, id, owner, unread.bytes());
        unread.consume(consumed, &mut self.pool);
        match self.find(id).map(|index| &mut self.slots[index as usize]) {
            Some(slot) if slot.keeps_input() => {
                slot.unread = unread;
                self.touch(index);
            }
            other => {
                if let Some(slot) = other {
                    slot.quiet &= unread.is_empty();
                }
                unread.clear(&mut self.pool);
            }
        }
    }

    /// The peer's FIN arrived.
    pub(crate) fn peer_finished(&mut self, index: u32, events: &mut dyn Events) {
        self.touch(index);
        let slot = &mut self.slots[index as usize];
        if std::mem::replace(&mut slot.peer_finished, true) {
            return;
        }
        let (phase, owner) = (slot.phase, slot.owner);
        match phase {
            Phase::Open => {
                let id = self.id_of(index);
                events.disconnected(self, id, owner, Disconnect::Finished);
            }
            Phase::Lingering => self.end(index, Some(Disconnect::Closed), false),
            _ => {}
        }
    }

    /// `count` octets were taken over; `sent` is raised at once.
    pub(crate) fn sent(&mut self, index: u32, count: u64, events: &mut dyn Events) {
        let slot = &mut self.slots[index as usize];
        slot.queued -= count.min(slot.queued);
        if slot.is_live() && count > 0 {
            let owner = slot.owner;
            let id = self.id_of(index);
            events.sent(self, id, owner, count);
        }
    }

    /// An operation on the connection failed.
    pub(crate) fn failed(&mut self, index: u32, error: &io::Error) {
        let slot = &self.slots[index as usize];
        let reason = match slot.phase {
            Phase::Free | Phase::Ending { .. } => return,
            // The only errors of a datagram socket are of its last datagrams, most often ICMP's.
            _ if slot.is_conversation => Disconnect::Refused,
            Phase::Connecting => refusal(error),
            // Everything had left; whether all of it arrived is not known either way.
            Phase::Lingering => Disconnect::Closed,
            Phase::Open | Phase::Closing | Phase::Releasing => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    Disconnect::TimedOut
                }
                _ => Disconnect::Reset,
            },
        };
        self.end(index, Some(reason), false);
    }

    /// Raises what was put off: once for each connection, so that none holds up the others.
    pub(crate) fn raise_deferred(&mut self, events: &mut dyn Events) {
        for _ in 0..self.transmitted.len() {
            let Some(id) = self.transmitted.pop_front() else { break };
            // One that ends is reported before that, unless it was aborted.
            if let Some(index) = self.find_live(id) {
                self.report(index, events);
            }
        }
        for _ in 0..self.resumed.len() {
            let Some(id) = self.resumed.pop_front() else { break };
            if let Some(index) = self.find(id) {
                self.slots[index as usize].resumed = false;
                if self.slots[index as usize].phase == Phase::Open {
                    self.show(index, events);
                }
            }
        }
    }

    /// A datagram came to one of our addresses.
    pub(crate) fn note_destination(&mut self, listener: u16, peer: SocketAddr, ours: Option<IpAddr>) {
        if let (Some(known), Some(ours)) = (&mut self.destinations[usize::from(listener)], ours) {
            known.note(peer, ours);
        }
    }

    /// The wait is over: what happens now happens at another time.
    pub(crate) fn awake(&mut self, events: &mut dyn Events) {
        if let Some(now) = events.awake() {
            self.now = now;
        }
    }

    /// Resets the closed connections whose peer took nothing since they were last looked at: nobody
    /// above minds them any more.
    pub(crate) fn expire_closing(&mut self) {
        while let Some(&(due, id, before)) = self.closing.front() {
            if due > self.now {
                break;
            }
            self.closing.pop_front();
            let Some(index) = self.find(id) else { continue };
            let phase = self.slots[index as usize].phase;
            let untaken = self.untaken(id);
            match phase {
                Phase::Closing | Phase::Lingering if untaken > 0 && untaken < before => {
                    self.closing.push_back((self.now.after(self.close_patience), id, untaken));
                }
                Phase::Closing => self.give_up(index, Disconnect::TimedOut),
                Phase::Lingering => self.give_up(index, Disconnect::Closed),
                _ => {}
            }
        }
    }

    fn give_up(&mut self, index: u32, reason: Disconnect) {
        self.stats.linger_timeouts.increment();
        self.end(index, Some(reason), true);
    }

    /// Octets that were queued and that the peer has not acknowledged.
    fn untaken(&self, id: ConnectionId) -> u64 {
        let queued = self.find(id).map_or(0, |index| self.slots[index as usize].queued);
        queued + self.in_flight(id)
    }

    /// Ends the connections that lingered long enough.
    pub(crate) fn expire_lingering(&mut self) {
        while let Some(&(deadline, id)) = self.lingering.front() {
            if deadline > self.now {
                break;
            }
            self.lingering.pop_front();
            let lingering = |index: &u32| self.slots[*index as usize].phase == Phase::Lingering;
            let Some(index) = self.find(id).filter(lingering) else { continue };
            // A reset would discard what a slow peer has not read yet.
            match self.untaken(id) {
                0 => self.give_up(index, Disconnect::Closed),
                untaken => self.closing.push_back((self.now.after(self.close_patience), id, untaken)),
            }
        }
    }

    /// Closes a connection that nothing uses any more, frees its slot, and tells why.
    pub(crate) fn release(&mut self, index: u32, events: &mut dyn Events) {
        let Phase::Ending { reason, reset } = self.slots[index as usize].phase else { return };
        if reason.is_some() {
            self.report(index, events);
        }
        let id = self.id_of(index);
        let slot = &mut self.slots[index as usize];
        if let Some(socket) = slot.socket.take() {
            let_go(socket, slot.is_shared, reset);
        }
        let owner = slot.owner;
        self.vacate(index);
        if let Some(reason) = reason {
            events.disconnected(self, id, owner, reason);
        }
    }

    /// Frees the slot of a connection that is over.
    pub(crate) fn vacate(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.socket = None;
        slot.phase = Phase::Free;
        slot.generation = slot.generation.wrapping_add(1);
        let is_opened = std::mem::take(&mut slot.is_opened);
        self.free.push(index);
        self.live -= 1;
        self.opened -= usize::from(is_opened);
        self.released = true;
    }

    pub(crate) fn report(&mut self, index: u32, events: &mut dyn Events) {
        let slot = &mut self.slots[index as usize];
        let count = std::mem::take(&mut slot.unreported);
        if count > 0 {
            let owner = slot.owner;
            let id = self.id_of(index);
            events.sent(self, id, owner, count);
        }
    }
}

/// What drivers do to connections.
impl Table {
    /// Switches a socket between waiting for what it is asked and refusing it. Sending lent memory needs
    /// the one (splice(2) has no flag for it), the ring the other; it stays as it is until then.
    ///
    /// # Errors
    /// The socket is no socket any more.
    pub(crate) fn set_impatient(&mut self, index: u32, impatient: bool) -> io::Result<()> {
        let slot = &mut self.slots[index as usize];
        if self.waits
            && slot.driver.impatient != impatient
            && let Some(socket) = &slot.socket
        {
            ioctl_fionbio(socket, impatient)?;
            slot.driver.impatient = impatient;
        }
        Ok(())
    }

    /// Sends the gather in front without waiting. `sent` is raised later.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn transmit_front(&mut self, index: u32) -> io::Result<Progress> {
        if self.slots[index as usize].is_conversation {
            return self.transmit_datagram(index);
        }
        self.set_impatient(index, true)?;
        let slot = &mut self.slots[index as usize];
        let (Some(socket), Some(gather)) = (&slot.socket, slot.outgoing.front_mut()) else { return Ok(Progress::Done) };
        let (count, result) = transmit(socket.as_fd(), gather, self.pipe.as_mut(), self.lend_from);
        if gather.is_empty()
            && let Some(gather) = slot.outgoing.pop_front()
        {
            self.recycle(gather);
        }
        self.taken(index, count);
        result
    }

    /// Gives the gather in front to a sending thread, if that is who sends it. Returns whether it did.
    pub(crate) fn hand_over_front(&mut self, index: u32) -> bool {
        let connection = self.id_of(index);
        let slot = &self.slots[index as usize];
        let has_file = slot.outgoing.front().is_some_and(|gather| gather.has_file());
        let is_theirs = (self.respond == Respond::Thread || has_file) && !slot.is_conversation;
        if self.senders.is_none() || !is_theirs || self.set_impatient(index, true).is_err() {
            return false;
        }
        let slot = &mut self.slots[index as usize];
        let (Some(senders), Some(socket), Some(gather)) = (&self.senders, &slot.socket, slot.outgoing.front()) else {
            return false;
        };
        // Without a descriptor to spare, the engine sends it.
        let Ok(socket) = socket.try_clone() else { return false };
        senders.submit(Job { connection, socket, gather: gather.share(), lend_from: self.lend_from });
        self.stats.handed_over.increment();
        slot.lent = slot.outgoing.pop_front();
        slot.driver.room = false;
        true
    }

    /// Takes back what the sending threads have done.
    pub(crate) fn take_back(&mut self) {
        if let Some(senders) = &self.senders {
            senders.acknowledge();
        }
        while let Some(Done { connection, sent, result }) = self.senders.as_ref().and_then(Senders::done) {
            let Some(index) = self.find(connection) else { continue };
            self.touch(index);
            let slot = &mut self.slots[index as usize];
            let Some(mut gather) = slot.lent.take() else { continue };
            gather.advance(sent);
            if matches!(slot.phase, Phase::Ending { .. }) || gather.is_empty() {
                self.recycle(gather);
            } else {
                slot.outgoing.push_front(gather);
            }
            self.taken(index, sent);
            let driver = &mut self.slots[index as usize].driver;
            match result {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked) => driver.blocked = !driver.room,
                Err(error) => self.failed(index, &error),
            }
        }
    }

    /// Does what is due when nothing is left to send: FIN, or the end.
    pub(crate) fn wind_down(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        match slot.phase {
            Phase::Open if slot.finish == Finish::Due => self.send_fin(index),
            Phase::Closing if slot.is_conversation || slot.may_close_at_once() => {
                self.end(index, Some(Disconnect::Closed), false)
            }
            Phase::Closing => {
                if slot.finish != Finish::Sent {
                    self.send_fin(index);
                }
                self.slots[index as usize].phase = Phase::Lingering;
                self.lingering.push_back((self.now.after(self.linger), self.id_of(index)));
                if self.slots[index as usize].peer_finished {
                    self.end(index, Some(Disconnect::Closed), false);
                }
            }
            _ => {}
        }
    }

    /// Ends a connection: it is released when nothing uses it any more.
    pub(crate) fn end(&mut self, index: u32, reason: Option<Disconnect>, reset: bool) {
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Ending { reason, reset };
        slot.unread.clear(&mut self.pool);
        while let Some(gather) = self.slots[index as usize].outgoing.pop_front() {
            self.recycle(gather);
        }
        self.touch(index);
    }

    /// Keeps a gather for use.
    pub(crate) fn recycle(&mut self, mut gather: Box<Gather>) {
        if self.gathers.len() < KEPT_GATHERS {
            gather.clear();
            self.gathers.push(gather);
        }
    }

    fn send_fin(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.finish = Finish::Sent;
        if let Some(socket) = &slot.socket {
            // It fails only if the connection is gone, which the next operation reports.
            let _ = shutdown(socket, Shutdown::Write);
        }
    }

    /// Counts octets that were taken over outside of an event.
    pub(crate) fn taken(&mut self, index: u32, count: u64) {
        let id = self.id_of(index);
        let slot = &mut self.slots[index as usize];
        slot.queued -= count.min(slot.queued);
        if count > 0 {
            if slot.unreported == 0 {
                self.transmitted.push_back(id);
            }
            slot.unreported += count;
        }
    }

    pub(crate) fn insert(&mut self, socket: OwnedFd, owner: Owner, phase: Phase) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Connection::free());
            (self.slots.len() - 1) as u32
        });
        self.slots[index as usize].occupy(socket, owner, phase);
        self.live += 1;
        self.opened += usize::from(phase == Phase::Connecting);
        index
    }

    /// The slot of a connection that exists, be it on its way out.
    fn find(&self, id: ConnectionId) -> Option<u32> {
        let slot = self.slots.get(id.index() as usize)?;
        let is_same = slot.generation == id.generation() && slot.phase != Phase::Free && id.transport() == self.id;
        is_same.then_some(id.index())
    }

    /// The slot of a connection that calls may name.
    pub(crate) fn find_live(&self, id: ConnectionId) -> Option<u32> {
        self.find(id).filter(|&index| self.slots[index as usize].is_live())
    }
}

impl Calls for Table {
    fn send(&mut self, connection: ConnectionId, segment: Segment<'_>) {
        let Some(index) = self.find_live(connection) else { return };
        let slot = &mut self.slots[index as usize];
        if !slot.may_send() {
            return;
        }
        if slot.is_conversation && matches!(segment, Segment::File(_)) {
            return self.stats.datagrams_lost.increment();
        }
        if slot.is_conversation || slot.outgoing.back().is_none_or(|gather| gather.is_full()) {
            slot.outgoing.push_back(self.gathers.pop().unwrap_or_default());
        }
        let Some(gather) = slot.outgoing.back_mut() else { return };
        let before = gather.remaining();
        match segment {
            Segment::Copy(bytes) => gather.copy(bytes),
            Segment::Pinned(pin) => gather.pin(pin.into()),
            Segment::Foreign(slice) if slot.is_conversation => gather.copy_foreign(&slice),
            Segment::Foreign(slice) => gather.foreign(slice),
            Segment::File(range) => gather.file(range.file, range.offset, range.length),
        }
        slot.queued += gather.remaining() - before;
        self.touch(index);
    }

    fn send_space(&self, connection: ConnectionId) -> usize {
        let slot = self.find_live(connection).map(|index| &self.slots[index as usize]).filter(|slot| slot.may_send());
        slot.map_or(0, |slot| self.send_buffer.saturating_sub(slot.queued as usize))
    }

    fn in_flight(&self, connection: ConnectionId) -> u64 {
        let slot = self.find_live(connection).map(|index| &self.slots[index as usize]);
        let socket = slot.filter(|slot| !slot.is_conversation).and_then(|slot| slot.socket.as_ref());
        socket.and_then(|socket| unacknowledged(socket.as_fd()).ok()).unwrap_or(0)
    }

    fn resume(&mut self, connection: ConnectionId) {
        let Some(index) = self.find_live(connection) else { return };
        let slot = &mut self.slots[index as usize];
        if !std::mem::replace(&mut slot.resumed, true) {
            self.resumed.push_back(connection);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        let Some(index) = self.find_live(connection) else { return };
        let slot = &mut self.slots[index as usize];
        match slot.phase {
            Phase::Connecting if !slot.is_conversation && !slot.is_made => {
                self.end(index, Some(Disconnect::Closed), true)
            }
            Phase::Connecting | Phase::Open | Phase::Releasing => {
                slot.phase = Phase::Closing;
                slot.quiet &= slot.unread.is_empty();
                slot.unread.clear(&mut self.pool);
                if slot.queued > CLOSE_AT_ONCE && !slot.is_conversation {
                    self.closing.push_back((self.now.after(self.close_patience), connection, u64::MAX));
                }
                self.touch(index);
            }
            _ => {}
        }
    }

    fn finish(&mut self, connection: ConnectionId) {
        let Some(index) = self.find_live(connection) else { return };
        let slot = &mut self.slots[index as usize];
        if slot.finish == Finish::No && !slot.is_conversation && slot.phase != Phase::Releasing {
            slot.finish = Finish::Due;
            self.touch(index);
        }
    }

    fn abort(&mut self, connection: ConnectionId) {
        if let Some(index) = self.find_live(connection) {
            self.end(index, None, !self.slots[index as usize].is_conversation);
        }
    }

    fn share(&mut self, connection: ConnectionId) -> Option<BorrowedFd<'_>> {
        self.start_to_share(connection)
    }

    fn can_release(&self, connection: ConnectionId) -> bool {
        self.find_live(connection).is_some_and(|index| self.slots[index as usize].may_be_released())
    }

    fn release(&mut self, connection: ConnectionId) -> bool {
        self.start_release(connection)
    }

    fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.open(to, owner)
    }

    fn connect_with(&mut self, socket: OwnedFd, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.open_with(socket, to, owner)
    }

    fn take_over(&mut self, socket: OwnedFd, owner: Owner, octets: Vec<u8>) -> io::Result<ConnectionId> {
        self.take_in(socket, owner, octets)
    }

    fn converse(&mut self, to: SocketAddr, owner: Owner) -> io::Result<ConnectionId> {
        self.open_conversation(to, owner)
    }

    fn peer(&self, connection: ConnectionId) -> Option<Address> {
        let index = self.find_live(connection)?;
        peer_address(self.slots[index as usize].socket.as_ref()?)
    }

    fn local(&self, connection: ConnectionId) -> Option<Address> {
        let index = self.find_live(connection)?;
        local_address(self.slots[index as usize].socket.as_ref()?).ok()
    }

    fn send_datagram(&mut self, socket: ListenerId, peer: SocketAddr, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        let Some(Some(from)) = self.datagram_sockets.get(usize::from(socket.index)) else { return };
        let ours = self.destinations[usize::from(socket.index)].as_ref().and_then(|known| known.of(peer));
        let is_taken = if self.waits {
            self.outbox.push(socket.index, peer, ours, segments)
        } else {
            self.datagram.address(peer, ours);
            collect(&mut self.datagram.octets, segments) && self.datagram.send(from.as_fd()).is_ok()
        };
        if !is_taken {
            self.stats.datagrams_lost.increment();
        }
    }

    fn sends_files(&self) -> bool {
        self.senders.is_some()
    }
}
