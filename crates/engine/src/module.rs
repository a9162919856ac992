//! What a protocol module is, and what its state functions can do (AFPA §3.2).

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_cache::{FragmentPin, ResidentBody};
use afpa_platform::foreign::ForeignSlice;

use crate::desk::{Desk, Notice, Open, Opening};
use crate::engine::Services;
use crate::exchanges::Destination;
use crate::seam::{
    Address, Calls, ConnectionId, Disconnect, FileRange, ListenerId, Origin, Owner, Released, Segment, Time,
};
use crate::send_engine::Outbox;
use crate::stats::ModuleStats;
use crate::table::{ControlTable, State};
use crate::workers::Busy;

/// A protocol on the platform: three kinds of state, state functions, and a control table.
///
/// One instance lives on each engine; nothing in it is shared between engines unless the module
/// shares it on purpose.
pub trait ProtocolModule: Sized + 'static {
    /// The module's name in figures, metrics and logs: one lower-case word.
    const NAME: &'static str;
    /// The control table. Build it with [`ControlTable::checked`] in this `const`, so that it is
    /// checked at compile time.
    const TABLE: &'static ControlTable<Self>;

    /// Whether state functions want every [`Wake::Sent`]; by default only while the send engine has
    /// something left to send.
    const WANTS_SENT: bool = false;

    /// Whether a datagram starts an *exchange*, which runs through the control table as a connection does:
    /// `connected` with [`Origin::Datagram`], the start state with the datagram as its input, `disconnected`.
    /// By default [`ProtocolModule::datagram`] gets it.
    const EXCHANGES: bool = false;

    /// Whether the module shares memory with others that leave work for it there without a call: [`ProtocolModule::attend`],
    /// [`ProtocolModule::rest`] and [`ProtocolModule::woken`] are called then. Other modules cost a pass nothing.
    const ATTENDS: bool = false;

    /// What is independent of connection and request.
    type Global: 'static;
    /// What changes per connection.
    type Connection: 'static;
    /// What changes per request within a connection. Reset by the module when the next one starts.
    type Request: Default + 'static;

    /// A connection is established: makes its data. The start state runs next.
    fn connected(global: &mut Self::Global, id: ConnectionId, origin: Origin, now: Time) -> Self::Connection;

    /// The transport says why a connection is gone; [`ProtocolModule::disconnected`] follows. Not called of those that the
    /// module itself aborts.
    fn ended(_global: &mut Self::Global, _connection: &mut Self::Connection, _reason: Disconnect) {}

    /// A connection is gone: the last look at its data, and the place to tell others of its end.
    fn disconnected(
        _global: &mut Self::Global,
        _desk: &mut Desk<'_>,
        _connection: &mut Self::Connection,
        _request: &mut Self::Request,
    ) {
    }

    /// Runs at the start of each pass of the engine's loop, before any event: the place to refresh a
    /// clock or to apply invalidations.
    fn pass(_global: &mut Self::Global, _now: Time) {}

    /// Looks for what others have left: the place to [notify](Desk::notify) connections and to [open](Desk::open) some.
    /// Called twice in each pass: before the transports are polled, and again when they have been.
    fn attend(_global: &mut Self::Global, _desk: &mut Desk<'_>) {}

    /// The engine has nothing to do and is about to sleep: the place to announce that whoever leaves work has to wake it
    /// from now on, through a descriptor that a transport [watches](crate::Transport::watch). Announce first, then look once more, and
    /// [stay](Rest::Stay) if there is something, so that there is no moment in which work goes unseen.
    fn rest(_global: &mut Self::Global, _now: Time) -> Rest {
        Rest::Sleep
    }

    /// The sleep before which [`ProtocolModule::rest`] was called is over, or did not come to be: the place to take the
    /// announcement back, before the first event that the poll has brought.
    fn woken(_global: &mut Self::Global) {}

    /// What was opened with `tag` could not be reached, or its peer ended it by other means than FIN. If it had
    /// been `connected`, `disconnected` has been called.
    fn unreachable(_global: &mut Self::Global, _desk: &mut Desk<'_>, _tag: u64, _reason: Disconnect) {}

    /// A datagram arrived on a socket that the module owns, and makes no exchange. The default ignores it.
    fn datagram(_global: &mut Self::Global, _datagram: &mut Datagram<'_>) {}
}

/// Whether the engine may sleep, as far as a module is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Until something happens.
    Sleep,
    /// Until something happens, but no longer than to this time.
    Until(Time),
    /// Not at all: the transports are polled without waiting.
    Stay,
}

/// A datagram, and the way to answer it.
pub struct Datagram<'a> {
    pub(crate) calls: &'a mut dyn Calls,
    /// The socket that it came to.
    pub socket: ListenerId,
    /// Who sent it. Nothing proves that they did.
    pub peer: SocketAddr,
    /// Its octets.
    pub bytes: &'a [u8],
    /// The pass's time.
    pub now: Time,
}

impl Datagram<'_> {
    /// Sends one datagram back.
    pub fn reply(&mut self, segments: &mut dyn Iterator<Item = Segment<'_>>) {
        self.calls.send_datagram(self.socket, self.peer, segments);
    }
}

/// Why a state function runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The table led here from another state.
    Continued,
    /// Input arrived, or the rest of it is shown again.
    Received,
    /// TCP took over what was sent; there may be room to send.
    Sent,
    /// The peer sent FIN.
    Finished,
    /// The connection's deadline has passed.
    Expired,
    /// The connection's job is done: see [`Context::completion`].
    Completed,
    /// Somebody called [`Context::notify`].
    Notified,
    /// The connection itself is here: see [`Context::release`] and [`Context::released`].
    Released,
    /// The engine is stopping: end when nothing is in flight.
    Draining,
}

/// What a state function works with: its module's three kinds of data, the input, the output, and
/// the engine's services. The parts are fields so that one can be read while another is written.
pub struct Context<'a, M: ProtocolModule> {
    /// Global data.
    pub global: &'a mut M::Global,
    /// Connection data.
    pub connection: &'a mut M::Connection,
    /// Request data.
    pub request: &'a mut M::Request,
    /// Why the function runs.
    pub wake: Wake,
    /// What the peer sent.
    pub input: Input<'a>,
    /// What is sent to the peer.
    pub output: Output<'a>,
    pub(crate) held: &'a mut Held,
    pub(crate) services: &'a mut Services,
    pub(crate) stats: &'a ModuleStats,
    pub(crate) detached: &'a mut VecDeque<Detached<M>>,
}

/// A request that is to go on by itself.
pub(crate) struct Detached<M: ProtocolModule> {
    pub(crate) destination: Destination,
    pub(crate) state: State,
    pub(crate) data: M::Connection,
    pub(crate) request: M::Request,
}

/// The input that a connection has not consumed yet.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `None` when the event brought none: the transport may still hold some.
    bytes: Option<&'a [u8]>,
    consumed: usize,
    missed: bool,
}

/// The way to the peer.
pub struct Output<'a> {
    pub(crate) destination: Destination,
    /// The connection that it is, or nobody's.
    pub(crate) id: ConnectionId,
    pub(crate) calls: &'a mut dyn Calls,
    pub(crate) outbox: &'a mut Outbox,
}

/// What the engine itself keeps for a connection.
pub(crate) struct Held {
    pub(crate) id: ConnectionId,
    pub(crate) owner: Owner,
    pub(crate) destination: Destination,
    /// What it was opened with, if we did.
    pub(crate) tag: Option<u64>,
    /// The deadline that holds.
    pub(crate) deadline: Time,
    /// The earliest entry that the timer wheel has for the connection.
    pub(crate) scheduled: Time,
    /// Octets that TCP has taken over.
    pub(crate) taken: u64,
    pub(crate) finished: bool,
    /// It used up its turn in an event and goes on in another; until then no event runs it.
    pub(crate) turn_used: bool,
    /// The table said to close; only what is queued still leaves.
    pub(crate) closing: bool,
    pub(crate) completion: Option<Option<Box<dyn Any + Send>>>,
    /// The connection itself, until the module takes it.
    pub(crate) released: Option<Released>,
}

impl Held {
    pub(crate) fn new(id: ConnectionId, owner: Owner, destination: Destination) -> Held {
        Held {
            id,
            owner,
            destination,
            tag: None,
            deadline: Time::NEVER,
            scheduled: Time::NEVER,
            taken: 0,
            finished: false,
            turn_used: false,
            closing: false,
            completion: None,
            released: None,
        }
    }

    /// The connection was released, and its request goes on as the exchange `id`.
    pub(crate) fn go_on_as(&mut self, id: ConnectionId, released: Released) {
        (self.id, self.destination) = (id, Destination::Nowhere);
        self.scheduled = Time::NEVER;
        self.released = Some(released);
    }
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: Option<&'a [u8]>) -> Input<'a> {
        Input { bytes, consumed: 0, missed: false }
    }

    /// The unread octets, where they arrived. Empty if this event brought none; then it is asked for
    /// what the transport still holds, and the connection wakes with [`Wake::Received`].
    pub fn unread(&mut self) -> &'a [u8] {
        match self.bytes {
            Some(bytes) => &bytes[self.consumed..],
            None => {
                self.missed = true;
                &[]
            }
        }
    }

    /// Whether this event brought input, if only none.
    pub fn is_present(&self) -> bool {
        self.bytes.is_some()
    }

    /// Consumes `count` octets.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn consume(&mut self, count: usize) {
        self.consumed += count;
        assert!(self.consumed <= self.bytes.map_or(0, <[u8]>::len), "consumed more than there is");
    }

    /// Takes over what a copy, lent to a state function, has come to.
    pub(crate) fn follow(&mut self, copy: &Input<'_>) {
        (self.consumed, self.missed) = (copy.consumed, copy.missed);
    }

    pub(crate) fn consumed(&self) -> usize {
        self.consumed
    }

    /// Whether a function looked for input that the event did not bring.
    pub(crate) fn missed(&self) -> bool {
        self.missed
    }
}

impl Output<'_> {
    /// Sends octets by copy, at once: heads, and small answers. What the send engine has is not
    /// waited for: call this before it is given anything. An exchange sends nothing but by this: a datagram
    /// each time, or octets of the connection that it was detached from.
    pub fn send(&mut self, bytes: &[u8]) {
        debug_assert!(self.outbox.is_empty());
        match self.destination {
            Destination::Connection(id) => self.calls.send(id, Segment::Copy(bytes)),
            Destination::Datagram { socket, peer } => {
                self.calls.send_datagram(socket, peer, &mut std::iter::once(Segment::Copy(bytes)));
            }
            Destination::Nowhere => {}
        }
    }

    /// Sends foreign memory from where it lies, at once: as [`Output::send`], but without a copy. It is no longer needed
    /// when [`Context::taken`] has grown by its octets. A datagram each time, if that is what is sent.
    pub fn lend(&mut self, slice: ForeignSlice) {
        debug_assert!(self.outbox.is_empty());
        match self.destination {
            Destination::Connection(id) => self.calls.send(id, Segment::Foreign(slice)),
            Destination::Datagram { socket, peer } => {
                self.calls.send_datagram(socket, peer, &mut std::iter::once(Segment::Foreign(slice)));
            }
            Destination::Nowhere => {}
        }
    }

    /// Sends cache memory from where it lies, at once: as [`Output::lend`].
    pub fn pin(&mut self, pin: FragmentPin) {
        debug_assert!(self.outbox.is_empty());
        match self.destination {
            Destination::Connection(id) => self.calls.send(id, Segment::Pinned(pin)),
            Destination::Datagram { socket, peer } => {
                self.calls.send_datagram(socket, peer, &mut std::iter::once(Segment::Pinned(pin)));
            }
            Destination::Nowhere => {}
        }
    }

    /// Whether [`Output::send_file`] may be called.
    pub fn sends_files(&self) -> bool {
        matches!(self.destination, Destination::Connection(_)) && self.calls.sends_files()
    }

    /// Sends a file's range by reference, at once: as [`Output::lend`], of a connection whose transport
    /// [sends files](Output::sends_files).
    pub fn send_file(&mut self, range: FileRange) {
        debug_assert!(self.outbox.is_empty() && self.sends_files());
        self.calls.send(self.id, Segment::File(range));
    }

    /// How many octets the transport would like to be given now; for datagrams there is always room for one.
    pub fn space(&self) -> usize {
        match self.destination {
            Destination::Connection(id) => self.calls.send_space(id),
            Destination::Datagram { .. } | Destination::Nowhere => usize::MAX,
        }
    }

    /// Gives the send engine the octets `start..end` of `body` (its head and payload are one stream).
    pub fn respond(&mut self, body: Rc<ResidentBody>, start: u64, end: u64) {
        self.outbox.push_body(body, start, end);
    }

    /// Gives the send engine octets that the module made, behind what it already has.
    pub fn respond_bytes(&mut self, bytes: Vec<u8>) {
        self.outbox.push_bytes(bytes);
    }

    /// Gives the send engine octets that others send as well, behind what it already has.
    pub fn respond_shared(&mut self, bytes: Arc<[u8]>) {
        self.outbox.push_shared(bytes);
    }

    /// Whether the send engine has something left to send. What was sent by copy, and what TCP has taken over,
    /// does not count.
    pub fn is_sending(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends FIN behind what is queued and keeps receiving: the first half of a lingering close
    /// (RFC 9112 §9.6).
    pub fn finish(&mut self) {
        self.calls.finish(self.id);
    }

    /// The other end, if the transport knows it.
    pub fn peer(&self) -> Option<Address> {
        match self.destination {
            Destination::Connection(id) => self.calls.peer(id),
            Destination::Datagram { peer, .. } => Some(Address::Inet(peer)),
            Destination::Nowhere => None,
        }
    }

    /// Our end, if the transport knows it.
    pub fn local(&self) -> Option<Address> {
        match self.destination {
            Destination::Connection(id) => self.calls.local(id),
            Destination::Datagram { .. } | Destination::Nowhere => None,
        }
    }

    /// The connection's socket, for who sends on it himself: see [`Calls::share`].
    pub fn share(&mut self) -> Option<BorrowedFd<'_>> {
        match self.destination {
            Destination::Connection(id) => self.calls.share(id),
            Destination::Datagram { .. } | Destination::Nowhere => None,
        }
    }

    /// Whether [`Context::release`] would be granted.
    pub fn can_release(&self) -> bool {
        match self.destination {
            Destination::Connection(id) => id == self.id && self.outbox.is_empty() && self.calls.can_release(id),
            Destination::Datagram { .. } | Destination::Nowhere => false,
        }
    }

    /// Opens another connection on the same transport, owned by `owner`.
    ///
    /// # Errors
    /// As [`Calls::connect`].
    pub fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<ConnectionId> {
        self.calls.connect(to, owner)
    }
}

impl<M: ProtocolModule> Context<'_, M> {
    /// The connection's name.
    pub fn id(&self) -> ConnectionId {
        self.held.id
    }

    /// The time at which this pass of the loop started.
    pub fn now(&self) -> Time {
        self.services.now
    }

    /// For how long the input of this pass may have waited: as long as the pass before worked, and the kernel for it;
    /// nothing if the engine has slept since, for then nothing was there. Half of it on average, and a lower bound in an
    /// engine that has more to do than it can, since octets wait in a socket's buffer as well.
    pub fn delay(&self) -> Duration {
        self.services.delay
    }

    /// Whether the peer has sent FIN: no more input will come.
    pub fn finished(&self) -> bool {
        self.held.finished
    }

    /// Whether the engine stops, now or soon: an answer is the last of its connection, and should say so.
    pub fn leaving(&self) -> bool {
        self.services.leaving
    }

    /// Whether the engine is stopping: who has nothing in flight ends.
    pub fn draining(&self) -> bool {
        self.services.draining
    }

    /// Octets that TCP has taken over so far: their memory is no longer the module's concern. Wakes with [`Wake::Sent`]
    /// tell of more, if the module [wants](ProtocolModule::WANTS_SENT) them.
    pub fn taken(&self) -> u64 {
        self.held.taken
    }

    /// Octets that have reached the peer so far, as far as the transport can tell: grows while a
    /// large send buffer drains, however slowly.
    pub fn delivered(&self) -> u64 {
        self.held.taken.saturating_sub(self.output.calls.in_flight(self.held.id))
    }

    /// Wakes the connection with [`Wake::Expired`] when `deadline` comes, unless it is moved.
    /// [`Time::NEVER`] disarms. At most [`crate::timers::TICK`] late.
    pub fn arm(&mut self, deadline: Time) {
        self.held.deadline = deadline;
        if deadline < self.held.scheduled {
            self.held.scheduled = deadline;
            self.services.schedule(self.held.id, self.held.owner, deadline);
        }
    }

    /// [`Context::arm`] with a duration from now.
    pub fn arm_after(&mut self, duration: Duration) {
        self.arm(self.services.now.after(duration));
    }

    /// Counts the time since `started` in the module's latency histogram.
    pub fn record_latency(&mut self, started: Time) {
        self.stats.latency.record(self.services.now.since(started).as_nanos() as u64);
    }

    /// The name under which others can wake this connection or exchange.
    pub fn notice(&self) -> Notice {
        Notice { connection: self.held.id, owner: self.held.owner }
    }

    /// Wakes a connection or exchange of this engine with [`Wake::Notified`], after the current event. One that
    /// has ended is not woken.
    pub fn notify(&mut self, notice: Notice) {
        self.services.notify(notice);
    }

    /// The engine's desk, for what outlives the state function.
    pub fn desk(&mut self) -> Desk<'_> {
        Desk { owner: self.held.owner, services: self.services }
    }

    /// Opens a connection or a conversation for the module `owner`, after the current event and on the transport
    /// that reaches the host's own network. Its `connected` gets [`Origin::Opened`] with `tag`; if it comes to
    /// nothing, its `unreachable` gets the tag.
    pub fn open(&mut self, what: Open, owner: Owner, tag: u64) {
        self.services.open(Opening { what, owner, tag });
    }

    /// Lets the request go on as an exchange, from `state` on and after this connection's turn, so that the
    /// connection can read the next one: answers may overtake each other. The exchange starts with `data`, has no
    /// input, and what it sends goes to this connection.
    pub fn detach(&mut self, data: M::Connection, state: State) {
        let destination = self.held.destination;
        let request = std::mem::take(self.request);
        self.detached.push_back(Detached { destination, state, data, request });
    }

    /// Asks the transport for the connection itself, to hand it to somebody else. Returns whether it is granted;
    /// if not, nothing has happened. Call it before a job is started, and when the send engine has nothing left.
    ///
    /// If it is, let the table wait. No input is shown any more, and what is not consumed stays for whoever gets the
    /// connection. When all that was sent is with the kernel, the connection's id is dead and the request goes on
    /// as an exchange that answers to nobody: with the data it had, under another [`Context::id`] and
    /// [`Context::notice`], its deadline kept. It wakes with [`Wake::Released`]. Until then it may change its mind:
    /// [`Next::Close`](crate::Next::Close) and [`Next::Abort`](crate::Next::Abort) do what they say. If the peer
    /// resets the connection before, it ends as any other.
    pub fn release(&mut self) -> bool {
        self.output.can_release() && self.output.calls.release(self.held.id)
    }

    /// The connection that was [released](Context::release): once, to whoever takes it first. What is never taken is
    /// closed when the exchange ends.
    pub fn released(&mut self) -> Option<Released> {
        self.held.released.take()
    }

    /// Runs `job` on a worker; the connection wakes with [`Wake::Completed`] when it is done. A
    /// connection has at most one job at a time.
    ///
    /// # Errors
    /// The workers' queue is full; nothing was queued.
    pub fn spawn<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Result<(), Busy> {
        self.services.spawn(self.held.id, self.held.owner, job)
    }

    /// What the connection's job returned: `None` while it runs, `Some(None)` if it panicked or
    /// returned another type.
    pub fn completion<T: 'static>(&mut self) -> Option<Option<T>> {
        let result = self.held.completion.take()?;
        Some(result.and_then(|any| any.downcast::<T>().ok()).map(|boxed| *boxed))
    }
}
