//! The public type.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use afpa_wire::ip::{self, Ecn, Packet};
use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{self, Flags as Controls, Segment};

use crate::arrival::{Arrival, Ending, Input, Integrity};
use crate::calls;
use crate::config::Config;
use crate::connection::{Connection, Flags};
use crate::egress::stateless::Reply;
use crate::egress::{self, Progress};
use crate::error::{ConnectError, ListenError};
use crate::handle::{Handle, ListenerIndex};
use crate::handshake::listen::{self, Listener};
use crate::handshake::offers;
use crate::info::ConnectionInfo;
use crate::ingress::{self, Step};
use crate::lookup::{Listeners, Lookup, Tuple};
use crate::packet::Sink;
use crate::payload::Payload;
use crate::shared::Shared;
use crate::slots::Slots;
use crate::state::State;
use crate::stats::Stats;
use crate::time::Time;
use crate::time_wait::{Remains, Stamps};
use crate::{icmp, receive, timers};

/// A TCP for one core: packets and time in, packets and a deadline out.
///
/// It never sends within [`process`](Tcp::process), [`expire`](Tcp::expire) or a call: what is due leaves with the next
/// [`dispatch`](Tcp::dispatch), so that an acknowledgment rides on the response that was made in the meantime.
pub struct Tcp<P: Payload> {
    pub(crate) shared: Shared<P>,
    pub(crate) slots: Slots<P>,
    pub(crate) lookup: Lookup,
    listeners: Listeners,
    /// The tokens of the listeners, by index.
    tokens: Vec<u32>,
    /// Indexes that are free again, the longest first.
    vacant: VecDeque<u16>,
}

impl<P: Payload> Tcp<P> {
    /// A TCP without listeners or connections. `seed` keys its tables, sequence numbers, cookies and ports: it
    /// must be random, and secret.
    pub fn new(config: Config, seed: [u8; 32]) -> Tcp<P> {
        let config = config.bounded();
        Tcp {
            slots: Slots::new(config.max_connections),
            lookup: Lookup::default(),
            listeners: Listeners::default(),
            tokens: Vec::new(),
            vacant: VecDeque::new(),
            shared: Shared::new(config, &seed),
        }
    }

    /// Accepts connections to `local`, whose address may be unspecified: then any of that family. `token` comes
    /// back with everything that happens to them.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn listen(&mut self, local: SocketAddr, token: u32) -> Result<ListenerIndex, ListenError> {
        if local.port() == 0 || !(is_unicast(local.ip()) || local.ip().is_unspecified()) {
            return Err(ListenError::Address);
        }
        let next = u16::try_from(self.tokens.len()).map_err(|_| ListenError::TooMany);
        let index = self.vacant.front().map_or(next, |&vacant| Ok(vacant))?;
        self.listeners.insert(local, u32::from(index))?;
        self.vacant.pop_front();
        match self.tokens.get_mut(usize::from(index)) {
            Some(place) => *place = token,
            None => self.tokens.push(token),
        }
        Ok(ListenerIndex(index))
    }

    /// Accepts no more connections to this listener's address; those that are open live on, and a handshake that a queue
    /// remembers may still complete, with the token that it began with. Returns whether there was such a listener.
    pub fn unlisten(&mut self, listener: ListenerIndex) -> bool {
        let is_removed = self.listeners.remove(u32::from(listener.0));
        if is_removed {
            self.vacant.push_back(listener.0);
        }
        is_removed
    }

    /// Accepts no more connections. Those that are open live on; handshakes that are under way are refused.
    pub fn stop_listening(&mut self) {
        self.listeners = Listeners::default();
    }

    /// Opens a connection from `local` and a port of its own choice (RFC 6056). The SYN leaves with the next
    /// [`dispatch`](Tcp::dispatch).
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(
        &mut self,
        now: Time,
        local: IpAddr,
        remote: SocketAddr,
        token: u32,
    ) -> Result<Handle, ConnectError> {
        self.shared.now = now;
        calls::connect(self, now, local, remote, token)
    }

    /// Takes an IP packet with TCP, or with ICMP about TCP. Returns what that changed for a connection, if anything.
    pub fn process<'f>(&mut self, now: Time, packet: &'f [u8], integrity: Integrity) -> Option<Arrival<'f>> {
        self.shared.now = now;
        self.shared.stats.packets_received += 1;
        let Ok(packet) = Packet::parse(packet) else {
            self.shared.stats.malformed += 1;
            return None;
        };
        match packet.protocol() {
            ip::TCP => self.process_segment(now, &packet, integrity),
            ip::ICMP | ip::ICMPV6 => icmp::process(self, now, &packet),
            _ => {
                self.shared.stats.unmatched += 1;
                None
            }
        }
    }

    /// After [`Input::Frame`]: the caller consumed `count` octets, and `rest` follows them. The rest is copied to the
    /// unread buffer, and the receive window is smaller by it.
    pub fn consumed(&mut self, handle: Handle, rest: &[u8], count: usize) {
        calls::consumed(self, handle, rest, count);
    }

    /// Lends everything that is unread, until [`give_unread`](Tcp::give_unread).
    pub fn take_unread(&mut self, handle: Handle) -> Unread {
        Unread(
            self.slots.named_mut(handle).map(|connection| std::mem::take(&mut connection.unread)).unwrap_or_default(),
        )
    }

    /// Gives back what `take_unread` lent; the caller has consumed its first `consumed` octets. The window opens by them.
    pub fn give_unread(&mut self, handle: Handle, unread: Unread, consumed: usize) {
        calls::give_unread(self, handle, unread.0, consumed);
    }

    /// Queues a copy of `bytes`. Nothing happens if our half is closed. A connection for which more than 1 GiB is queued
    /// is reset.
    pub fn send_copy(&mut self, handle: Handle, bytes: &[u8]) {
        calls::send(self, handle, |sending| sending.queue.push_copy(bytes));
    }

    /// Queues `payload`, to be sent from where it lies and dropped when all of it is acknowledged. Nothing happens
    /// if our half is closed. A connection for which more than 1 GiB is queued is reset.
    pub fn send_pinned(&mut self, handle: Handle, payload: P) {
        calls::send(self, handle, |sending| sending.queue.push_pinned(payload));
    }

    /// How many octets the caller should queue now; `send_copy` and `send_pinned` take more.
    pub fn send_space(&self, handle: Handle) -> usize {
        let queued = self.slots.named(handle).map_or(u32::MAX, Connection::queued);
        self.shared.config.send_buffer.saturating_sub(queued) as usize
    }

    /// Octets queued, sent or not, and not acknowledged.
    pub fn in_flight(&self, handle: Handle) -> u64 {
        self.slots.named(handle).map_or(0, |connection| u64::from(connection.queued()))
    }

    /// Sends FIN after what is queued; the peer may go on sending.
    pub fn finish(&mut self, handle: Handle) {
        calls::finish(self, handle);
    }

    /// Finishes, and drops what the peer sends from now on. [`Arrival::ended`] still follows.
    pub fn close(&mut self, handle: Handle) {
        calls::close(self, handle);
    }

    /// Resets the connection: the handle is dead, nothing more is reported, and queued payloads are dropped.
    pub fn abort(&mut self, handle: Handle) {
        calls::abort(self, handle);
    }

    /// What the caller gave to [`listen`](Tcp::listen) or [`connect`](Tcp::connect).
    pub fn token(&self, handle: Handle) -> Option<u32> {
        self.slots.named(handle).map(|connection| connection.token)
    }

    /// The other end.
    pub fn peer(&self, handle: Handle) -> Option<SocketAddr> {
        let tuple = &self.slots.named(handle)?.cold.tuple;
        Some(SocketAddr::new(tuple.remote, tuple.remote_port))
    }

    /// Our end.
    pub fn local(&self, handle: Handle) -> Option<SocketAddr> {
        let tuple = &self.slots.named(handle)?.cold.tuple;
        Some(SocketAddr::new(tuple.local, tuple.local_port))
    }

    /// Sends what is due: replies that belong to no connection first, then connections in turn. False if the sink ran
    /// full: call again when it has room.
    pub fn dispatch(&mut self, now: Time, sink: &mut impl Sink<P>) -> bool {
        self.shared.now = now;
        if !self.shared.replies.dispatch(sink, &mut self.shared.stats) {
            return false;
        }
        while let Some(index) = self.shared.ready.pop_front() {
            let Some(connection) = self.slots.unready(index) else { continue };
            match egress::turn(connection, &mut self.shared, index, now, sink) {
                Progress::Done => {}
                Progress::Again => connection.flags.set(Flags::WAKE),
                Progress::Full => {
                    connection.flags.set(Flags::READY);
                    self.shared.ready.push_front(index);
                    self.shared.settle(index, connection);
                    return false;
                }
            }
            self.shared.settle(index, connection);
        }
        true
    }

    /// When [`expire`](Tcp::expire) has to be called next. At once if that time has passed.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.shared.notices.is_empty() {
            return Some(self.shared.now);
        }
        let deadlines = [self.shared.wheel.next_deadline(), self.shared.time_wait.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due by `now`. Call it until it returns `None`, then [`dispatch`](Tcp::dispatch).
    pub fn expire(&mut self, now: Time) -> Option<Arrival<'static>> {
        self.shared.now = now;
        if let Some(notice) = self.next_notice() {
            return Some(notice);
        }
        self.shared.time_wait.expire(now, &self.shared.secret);
        while let Some(entry) = self.shared.wheel.pop(now) {
            let Some(connection) = self.slots.get_mut(entry.key) else { continue };
            connection.scheduled = Time::NEVER;
            let ending = timers::fire(connection, &mut self.shared, now);
            let (handle, token) = (connection.handle(entry.key), connection.token);
            let is_known = connection.flags.has(Flags::ANNOUNCED) || connection.listener.is_none();
            let Some(ending) = ending else {
                self.shared.settle(entry.key, connection);
                continue;
            };
            self.retire(entry.key, now, ending);
            if is_known {
                return Some(Arrival::of_end(handle, token, ending));
            }
        }
        None
    }

    /// How many connections there are, half-open ones that exist only as cookies not counted.
    pub fn connections(&self) -> usize {
        self.slots.len()
    }

    /// The handles of all connections, in no order.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.slots.handles()
    }

    /// A connection as an operator would like to see it.
    pub fn describe(&self, handle: Handle) -> Option<ConnectionInfo> {
        let connection = self.slots.named(handle)?;
        Some(ConnectionInfo::of(connection, &self.shared, handle))
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// What a call came to, if that still holds.
    fn next_notice(&mut self) -> Option<Arrival<'static>> {
        while let Some(mut notice) = self.shared.notices.pop_front() {
            if notice.ended.is_some() {
                return Some(notice);
            }
            let Some(connection) = self.slots.named(notice.handle) else { continue };
            if connection.unread.is_empty() {
                notice.input = Input::None;
            }
            if notice.finished || notice.input != Input::None {
                return Some(notice);
            }
        }
        None
    }

    fn process_segment<'f>(&mut self, now: Time, packet: &Packet<'f>, integrity: Integrity) -> Option<Arrival<'f>> {
        let (local, remote) = (packet.destination(), packet.source());
        let segment = match Segment::parse(packet.payload()) {
            Ok(segment) if !packet.is_fragment() && is_unicast(local) && is_unicast(remote) => segment,
            _ => {
                self.shared.stats.malformed += 1;
                return None;
            }
        };
        if integrity == Integrity::Verify && !self.is_intact(packet) {
            self.shared.stats.broken_checksums += 1;
            return None;
        }
        let tuple = Tuple { local, remote, local_port: segment.destination_port, remote_port: segment.source_port };
        let hash = self.shared.secret.hash(&tuple);
        match self.find(hash, &tuple) {
            Some(index) => self.arrives(index, now, segment, packet.ecn()),
            None => self.process_unmatched(now, hash, &tuple, segment, packet.ecn()),
        }
    }

    fn is_intact(&self, packet: &Packet<'_>) -> bool {
        let pseudo_header = packet.pseudo_header();
        (self.shared.config.partial_checksums && tcp::is_partial(packet.payload(), pseudo_header))
            || tcp::is_intact(packet.payload(), pseudo_header) == tcp::Integrity::Whole
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple) -> Option<u32> {
        self.lookup.find(hash, |index| self.slots.get(index).is_some_and(|slot| slot.cold.tuple == *tuple))
    }

    #[inline]
    fn arrives<'f>(&mut self, index: u32, now: Time, segment: Segment<'f>, ecn: Ecn) -> Option<Arrival<'f>> {
        let connection = self.slots.get_mut(index)?;
        let step = ingress::arrives(connection, &mut self.shared, now, segment, ecn);
        self.complete(index, now, step)
    }

    /// Does what follows a segment, and tells the caller if it concerns it.
    pub(crate) fn complete<'f>(&mut self, index: u32, now: Time, mut step: Step<'f>) -> Option<Arrival<'f>> {
        let connection = self.slots.get_mut(index)?;
        let (handle, token) = (connection.handle(index), connection.token);
        let is_known = connection.flags.has(Flags::ANNOUNCED) || connection.listener.is_none();
        let is_read = step.input == Input::None && connection.unread.is_empty();
        match connection.state {
            State::Closed => {
                let ending = *step.ended.get_or_insert(Ending::Closed);
                self.retire(index, now, ending);
            }
            State::TimeWait if is_read => {
                step.ended = Some(Ending::Closed);
                self.retire(index, now, Ending::Closed);
            }
            _ => self.shared.settle(index, connection),
        }
        let Step { opened, acknowledged, input, finished, ended } = step;
        let is_news = opened.is_some() || acknowledged > 0 || input != Input::None || finished || ended.is_some();
        (is_news && is_known).then_some(Arrival { handle, token, opened, acknowledged, input, finished, ended })
    }

    fn process_unmatched<'f>(
        &mut self,
        now: Time,
        hash: u64,
        tuple: &Tuple,
        segment: Segment<'f>,
        ecn: Ecn,
    ) -> Option<Arrival<'f>> {
        let above = listen::passes_time_wait(&mut self.shared, now, tuple, &segment)?;
        let listener = self.listener(tuple);
        let (is_reset, has_acknowledgment, has_syn) = (
            segment.flags.contains(Controls::RST),
            segment.flags.contains(Controls::ACK),
            segment.flags.contains(Controls::SYN),
        );
        if is_reset {
            self.shared.stats.unmatched += 1;
            return None;
        }
        let Some(listener) = listener else {
            self.refuse(tuple, &segment);
            return None;
        };
        if has_acknowledgment && !has_syn {
            return self.process_acknowledgment(now, hash, tuple, segment, ecn, listener);
        }
        if has_acknowledgment {
            self.refuse(tuple, &segment);
        } else if has_syn {
            if self.slots.is_full() {
                self.shared.stats.syns_dropped += 1;
                return None;
            }
            let offered = listen::offer(&mut self.shared, now, (hash, tuple), &segment, listener, above);
            if let Some(connection) = offered {
                self.insert(hash, connection);
            }
        }
        None
    }

    /// An acknowledgment for a listener: of a cookie, or of nothing.
    fn process_acknowledgment<'f>(
        &mut self,
        now: Time,
        hash: u64,
        tuple: &Tuple,
        segment: Segment<'f>,
        ecn: Ecn,
        listener: Listener,
    ) -> Option<Arrival<'f>> {
        let Some(agreed) = listen::cookie_of(&mut self.shared, now, tuple, &segment) else {
            let made = Sequence(segment.acknowledgment) - 1;
            let is_offered = self.shared.offers.is_recent(now, hash, made)
                || self.shared.assisted.has_offered(now, offers::UNCERTAIN, tuple, made.0);
            if !is_offered {
                self.refuse(tuple, &segment);
            }
            return None;
        };
        let is_bare = segment.payload.is_empty() && !segment.flags.contains(Controls::FIN);
        if self.shared.config.accept_on_data && is_bare {
            return None;
        }
        if self.slots.is_full() {
            self.shared.stats.accepts_dropped += 1;
            return None;
        }
        self.shared.stats.cookies_accepted += 1;
        self.shared.offers.forget(hash);
        let connection = listen::accept(&mut self.shared, now, tuple, &segment, listener, agreed);
        let index = self.insert(hash, connection)?;
        let connection = self.slots.get_mut(index)?;
        // Whatever the segment is otherwise, it completes the handshake.
        let opened = crate::handshake::synchronize_received::announce(connection, &mut self.shared);
        let mut step = ingress::arrives(connection, &mut self.shared, now, segment, ecn);
        step.opened = opened;
        self.complete(index, now, step)
    }

    fn listener(&self, tuple: &Tuple) -> Option<Listener> {
        let index = self.listeners.find(tuple.local, tuple.local_port)?;
        let token = *self.tokens.get(index as usize)?;
        Some(Listener { index: index as u16, token })
    }

    /// RFC 9293 §3.10.7.1.
    fn refuse(&mut self, tuple: &Tuple, segment: &Segment<'_>) {
        self.shared.stats.unmatched += 1;
        if self.shared.replies.push(Reply::reset(*tuple, segment), &mut self.shared.stats) {
            self.shared.stats.resets_sent_unmatched += 1;
        }
    }

    /// Adds a connection; `None` at the bound.
    pub(crate) fn insert(&mut self, hash: u64, connection: Connection<P>) -> Option<u32> {
        let index = self.slots.insert(connection)?;
        let (slots, secret) = (&self.slots, &self.shared.secret);
        self.lookup.insert(hash, index, |index| slots.get(index).map_or(0, |slot| secret.hash(&slot.cold.tuple)));
        if let Some(connection) = self.slots.get_mut(index) {
            self.shared.assisted.comes(&connection.cold.tuple);
            self.shared.settle(index, connection);
        }
        Some(index)
    }

    /// Ends a connection: in TIME-WAIT it is remembered for a while, and everything that it holds is given back.
    pub(crate) fn retire(&mut self, index: u32, now: Time, ending: Ending) {
        let Some(connection) = self.slots.get_mut(index) else { return };
        let shared = &mut self.shared;
        match ending {
            Ending::Closed => shared.stats.closed += 1,
            Ending::TimedOut => shared.stats.timed_out += 1,
            Ending::Refused => shared.stats.refused += 1,
            Ending::Reset => {}
        }
        if connection.state == State::TimeWait {
            remember(connection, shared, now);
        }
        if !connection.flags.has(Flags::ANNOUNCED) && connection.listener.is_some() {
            shared.handshakes = shared.handshakes.saturating_sub(1);
        }
        if let Some(sending) = connection.sending.take() {
            shared.sendings.give(sending);
        }
        if let Some(mut assembly) = connection.assembly.take() {
            assembly.clear(&mut shared.memory);
            shared.assemblies.give(assembly);
        }
        connection.unread.clear(&mut shared.memory);
        shared.assisted.goes(&connection.cold.tuple);
        let hash = shared.secret.hash(&connection.cold.tuple);
        self.lookup.remove(hash, index);
        shared.wheel.cancel(index);
        self.slots.remove(index);
    }
}

/// Puts a connection into the table of closed ones, and sends the acknowledgment that it owes.
fn remember<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, now: Time) {
    let stamps = Stamps { recent: connection.timestamp_recent, offset: connection.timestamp_offset };
    let timestamps = connection.flags.has(Flags::TIMESTAMPS).then_some(stamps);
    let remains = Remains { next: connection.receive_next, sent: connection.send_next, timestamps };
    shared.stats.time_waits += 1;
    if !shared.time_wait.insert(now, &connection.cold.tuple, remains, &shared.secret) {
        shared.stats.time_waits_evicted += 1;
    }
    if connection.flags.has(Flags::ACKNOWLEDGE) {
        let reply = listen::remind(&connection.cold.tuple, &remains, now);
        shared.replies.push(reply, &mut shared.stats);
    }
}

/// RFC 9293 §3.9.2.3: TCP is between two hosts.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !(address.is_multicast() || address.is_broadcast() || address.is_unspecified()),
        IpAddr::V6(address) => !(address.is_multicast() || address.is_unspecified()),
    }
}

/// Octets lent by [`Tcp::take_unread`]; to be given back.
#[derive(Default)]
pub struct Unread(receive::unread::Unread);

impl Deref for Unread {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
