//! A module installed on an engine: runs state functions and follows the control table.

use std::any::Any;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::desk::Desk;
use crate::engine::Services;
use crate::exchanges::{Destination, EXCHANGES, ExchangeIds};
use crate::module::{Context, Datagram, Detached, Held, Input, Output, ProtocolModule, Rest, Wake};
use crate::seam::{Calls, ConnectionId, Disconnect, ListenerId, Origin, Owner, Released, Time, TransportId};
use crate::send_engine::Outbox;
use crate::stats::ModuleStats;
use crate::table::{Next, State};

/// State functions that may run for a connection in one event, before others get their turn: some
/// thirty pipelined requests of eight transitions each. The turn ends when the table leads back to the
/// start state, or at sixteen times as many wherever the connection is.
const TRANSITIONS_PER_EVENT: usize = 256;

/// A module as the engine sees it, whatever its types are.
pub(crate) trait InstalledModule {
    fn pass(&mut self, now: Time);
    fn attend(&mut self, services: &mut Services, owner: Owner);
    fn rest(&mut self, now: Time) -> Rest;
    fn woken(&mut self);
    fn connected(&mut self, run: &mut Run<'_>, origin: Origin);
    fn received(&mut self, run: &mut Run<'_>, bytes: &[u8]) -> usize;
    fn sent(&mut self, run: &mut Run<'_>, count: u64);
    fn disconnected(&mut self, run: &mut Run<'_>, reason: Disconnect);
    /// The transport has let go of the connection.
    fn released(&mut self, run: &mut Run<'_>, released: Released);
    fn completed(&mut self, run: &mut Run<'_>, result: Option<Box<dyn Any + Send>>);
    /// The wheel has an entry that is due. Returns when to look again.
    fn expired(&mut self, run: &mut Run<'_>, due: Time) -> Option<Time>;
    /// A datagram arrived. `run` names no connection.
    fn datagram(&mut self, run: &mut Run<'_>, socket: ListenerId, peer: SocketAddr, bytes: &[u8]);
    /// Begins an exchange that answers to nobody. `run` names no connection.
    fn begin(&mut self, run: &mut Run<'_>, tag: u64);
    /// Somebody notified the connection or exchange.
    fn notified(&mut self, run: &mut Run<'_>);
    /// What was opened with `tag` came to nothing before it was connected.
    fn unreachable(&mut self, services: &mut Services, owner: Owner, tag: u64, reason: Disconnect);
    /// The transport that an exchange answers through.
    fn transport_of(&self, exchange: ConnectionId) -> Option<TransportId>;
    /// The connections that are alive.
    fn live(&self) -> Vec<ConnectionId>;
    fn drain(&mut self, run: &mut Run<'_>);
    /// The connection used up its turn in an event, and goes on.
    fn again(&mut self, run: &mut Run<'_>);
    fn global(&mut self) -> &mut dyn Any;
}

/// What one event lends: the transport's calls, and the engine's services.
pub(crate) struct Run<'a> {
    pub(crate) calls: &'a mut dyn Calls,
    pub(crate) services: &'a mut Services,
    pub(crate) id: ConnectionId,
    pub(crate) owner: Owner,
}

pub(crate) struct Installed<M: ProtocolModule> {
    global: M::Global,
    /// By transport, then by the transport's slot: a connection is found by two indexings.
    connections: Vec<Vec<Option<Box<Connection<M>>>>>,
    exchange_ids: ExchangeIds,
    /// Empty between events; kept for its memory.
    detached: VecDeque<Detached<M>>,
    stats: Arc<ModuleStats>,
}

struct Connection<M: ProtocolModule> {
    held: Held,
    outbox: Outbox,
    state: State,
    data: M::Connection,
    request: M::Request,
}

impl<M: ProtocolModule> Installed<M> {
    pub(crate) fn new(global: M::Global, stats: Arc<ModuleStats>) -> Self {
        Installed {
            global,
            connections: Vec::new(),
            exchange_ids: ExchangeIds::default(),
            detached: VecDeque::new(),
            stats,
        }
    }

    fn slot(&mut self, id: ConnectionId) -> &mut Option<Box<Connection<M>>> {
        let (transport, index) = (id.transport().0 as usize, id.index() as usize);
        if self.connections.len() <= transport {
            self.connections.resize_with(transport + 1, Vec::new);
        }
        let slots = &mut self.connections[transport];
        if slots.len() <= index {
            slots.resize_with(index + 1, || None);
        }
        &mut slots[index]
    }

    /// Runs state functions from the connection's state on, until the table says to wait or to end.
    /// Returns how much of `bytes` was consumed.
    fn run(&mut self, run: &mut Run<'_>, wake: Wake, bytes: Option<&[u8]>) -> usize {
        let Some(slot) = slot_of(&mut self.connections, run.id) else { return 0 };
        let Some(connection) = slot.as_deref_mut().filter(|c| c.held.id == run.id) else { return 0 };
        if connection.held.turn_used && wake != Wake::Continued {
            // It goes on in its next turn, with all that the event left behind.
            return 0;
        }
        let mut input = Input::new(bytes);
        let end = step(connection, &mut self.global, &self.stats, &mut self.detached, run, wake, &mut input);
        match end {
            End::Waiting if run.id.transport() == EXCHANGES => {}
            End::Closed | End::Aborted if run.id.transport() == EXCHANGES => self.forget(run),
            End::Waiting => {
                if input.missed() {
                    run.calls.resume(run.id);
                }
            }
            // Its memory is kept until the transport says that the connection is gone: `sent` and
            // `disconnected` may still refer to it.
            End::Closed => run.calls.close(run.id),
            End::Aborted => {
                run.calls.abort(run.id);
                self.forget(run);
            }
        }
        self.run_detached(run);
        input.consumed()
    }

    /// Runs what was detached, in its order, until it waits or ends.
    fn run_detached(&mut self, run: &mut Run<'_>) {
        while let Some(Detached { destination, state, data, request }) = self.detached.pop_front() {
            let id = self.exchange_ids.next();
            let held = Held::new(id, run.owner, destination);
            let exchange = Connection { held, outbox: Outbox::default(), state, data, request };
            let mut run = Run { calls: &mut *run.calls, services: &mut *run.services, id, owner: run.owner };
            self.start_exchange(&mut run, exchange, Wake::Continued, None);
        }
    }

    fn exchange(&mut self, run: &mut Run<'_>, to: Destination, origin: Origin, wake: Wake, bytes: Option<&[u8]>) {
        run.id = self.exchange_ids.next();
        let data = M::connected(&mut self.global, run.id, origin, run.services.now);
        let exchange = Connection {
            held: Held::new(run.id, run.owner, to),
            outbox: Outbox::default(),
            state: M::TABLE.start(),
            data,
            request: M::Request::default(),
        };
        self.start_exchange(run, exchange, wake, bytes);
        self.run_detached(run);
    }

    /// Runs an exchange for the first time. It gets a slot only if it has to wait.
    fn start_exchange(&mut self, run: &mut Run<'_>, mut exchange: Connection<M>, wake: Wake, bytes: Option<&[u8]>) {
        let mut input = Input::new(bytes);
        let end = step(&mut exchange, &mut self.global, &self.stats, &mut self.detached, run, wake, &mut input);
        if matches!(end, End::Waiting) && self.exchange_ids.keep(run.id) {
            run.services.exchange_waits();
            *self.slot(run.id) = Some(Box::new(exchange));
            return;
        }
        if matches!(end, End::Waiting) || exchange.held.scheduled != Time::NEVER {
            self.exchange_ids.retire(run.id);
        }
        let mut desk = Desk { services: run.services, owner: run.owner };
        M::disconnected(&mut self.global, &mut desk, &mut exchange.data, &mut exchange.request);
    }

    fn forget(&mut self, run: &mut Run<'_>) {
        let Some(slot) = slot_of(&mut self.connections, run.id) else { return };
        if let Some(mut connection) = slot.take_if(|c| c.held.id == run.id) {
            if run.id.transport() == EXCHANGES {
                self.exchange_ids.retire(run.id);
                run.services.exchange_ended();
            } else {
                run.services.forgotten();
            }
            let mut desk = Desk { services: run.services, owner: run.owner };
            M::disconnected(&mut self.global, &mut desk, &mut connection.data, &mut connection.request);
        }
    }

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection<M>> {
        slot_of(&mut self.connections, id)?.as_deref_mut().filter(|c| c.held.id == id)
    }
}

fn slot_of<T>(connections: &mut [Vec<T>], id: ConnectionId) -> Option<&mut T> {
    connections.get_mut(id.transport().0 as usize)?.get_mut(id.index() as usize)
}

enum End {
    Waiting,
    Closed,
    Aborted,
}

fn step<M: ProtocolModule>(
    connection: &mut Connection<M>,
    global: &mut M::Global,
    stats: &ModuleStats,
    detached: &mut VecDeque<Detached<M>>,
    run: &mut Run<'_>,
    mut wake: Wake,
    input: &mut Input<'_>,
) -> End {
    if connection.held.closing {
        return End::Waiting;
    }
    connection.held.turn_used = false;
    for count in 1..TRANSITIONS_PER_EVENT * 16 {
        let state = connection.state;
        let mut cx = Context {
            global,
            connection: &mut connection.data,
            request: &mut connection.request,
            wake,
            input: *input,
            output: Output {
                destination: connection.held.destination,
                id: run.id,
                calls: run.calls,
                outbox: &mut connection.outbox,
            },
            held: &mut connection.held,
            services: run.services,
            stats,
            detached,
        };
        let outcome = (M::TABLE.functions()[state.index as usize].run)(&mut cx);
        input.follow(&cx.input);
        stats.transition(state.index, outcome.index).increment();
        wake = Wake::Continued;
        match M::TABLE.next(state, outcome) {
            Some(Next::Run(next)) => {
                connection.state = next;
                // Between two requests: within one, a state may hold on to this event's input.
                if count >= TRANSITIONS_PER_EVENT && next == M::TABLE.start() {
                    break;
                }
            }
            Some(Next::Wait(next)) => {
                connection.state = next;
                return End::Waiting;
            }
            Some(Next::Close) => {
                connection.held.closing = true;
                return End::Closed;
            }
            Some(Next::Abort) => return End::Aborted,
            None => {
                stats.violations.increment();
                return End::Aborted;
            }
        }
    }
    connection.held.turn_used = true;
    run.services.run_again(run.id, run.owner);
    End::Waiting
}

impl<M: ProtocolModule> InstalledModule for Installed<M> {
    fn pass(&mut self, now: Time) {
        M::pass(&mut self.global, now);
    }

    fn attend(&mut self, services: &mut Services, owner: Owner) {
        M::attend(&mut self.global, &mut Desk { services, owner });
    }

    fn rest(&mut self, now: Time) -> Rest {
        M::rest(&mut self.global, now)
    }

    fn woken(&mut self) {
        M::woken(&mut self.global);
    }

    fn connected(&mut self, run: &mut Run<'_>, origin: Origin) {
        let data = M::connected(&mut self.global, run.id, origin, run.services.now);
        let mut held = Held::new(run.id, run.owner, Destination::Connection(run.id));
        if let Origin::Opened(tag) = origin {
            held.tag = Some(tag);
        }
        *self.slot(run.id) = Some(Box::new(Connection {
            held,
            outbox: Outbox::default(),
            state: M::TABLE.start(),
            data,
            request: M::Request::default(),
        }));
        self.run(run, Wake::Continued, Some(&[]));
    }

    fn received(&mut self, run: &mut Run<'_>, bytes: &[u8]) -> usize {
        self.run(run, Wake::Received, Some(bytes))
    }

    fn sent(&mut self, run: &mut Run<'_>, count: u64) {
        let Some(connection) = self.connection(run.id) else { return };
        connection.held.taken += count;
        // Nearly every `sent` answers a response that is already behind us.
        if M::WANTS_SENT || !connection.outbox.is_empty() {
            self.run(run, Wake::Sent, None);
        }
    }

    fn disconnected(&mut self, run: &mut Run<'_>, reason: Disconnect) {
        if reason != Disconnect::Finished {
            let (global, slot) = (&mut self.global, slot_of(&mut self.connections, run.id));
            let ended = slot.and_then(|slot| slot.as_deref_mut()).filter(|c| c.held.id == run.id);
            let tag = ended.and_then(|connection| {
                M::ended(global, &mut connection.data, reason);
                connection.held.tag.filter(|_| !connection.held.closing)
            });
            self.forget(run);
            if let Some(tag) = tag {
                self.unreachable(run.services, run.owner, tag, reason);
            }
        } else if let Some(connection) = self.connection(run.id) {
            connection.held.finished = true;
            self.run(run, Wake::Finished, None);
        }
    }

    fn released(&mut self, run: &mut Run<'_>, released: Released) {
        let Some(slot) = slot_of(&mut self.connections, run.id) else { return };
        let Some(mut connection) = slot.take_if(|c| c.held.id == run.id) else { return };
        run.services.forgotten();
        run.id = self.exchange_ids.next();
        connection.held.go_on_as(run.id, released);
        // The wheel knows the deadline by the name that is dead.
        let deadline = connection.held.deadline;
        if deadline != Time::NEVER {
            connection.held.scheduled = deadline;
            run.services.schedule(run.id, run.owner, deadline);
        }
        self.start_exchange(run, *connection, Wake::Released, None);
        self.run_detached(run);
    }

    fn completed(&mut self, run: &mut Run<'_>, result: Option<Box<dyn Any + Send>>) {
        if let Some(connection) = self.connection(run.id) {
            connection.held.completion = Some(result);
            self.run(run, Wake::Completed, None);
        }
    }

    fn expired(&mut self, run: &mut Run<'_>, due: Time) -> Option<Time> {
        let now = run.services.now;
        let held = &mut self.connection(run.id)?.held;
        if held.scheduled != due {
            return None;
        }
        held.scheduled = Time::NEVER;
        if held.deadline > now || held.turn_used {
            held.scheduled = held.deadline;
            return (held.deadline != Time::NEVER).then_some(held.deadline);
        }
        held.deadline = Time::NEVER;
        self.run(run, Wake::Expired, None);
        None
    }

    fn datagram(&mut self, run: &mut Run<'_>, socket: ListenerId, peer: SocketAddr, bytes: &[u8]) {
        let now = run.services.now;
        if !M::EXCHANGES {
            return M::datagram(&mut self.global, &mut Datagram { calls: run.calls, socket, peer, bytes, now });
        }
        let destination = Destination::Datagram { socket, peer };
        self.exchange(run, destination, Origin::Datagram(socket, peer), Wake::Received, Some(bytes));
    }

    fn begin(&mut self, run: &mut Run<'_>, tag: u64) {
        self.exchange(run, Destination::Nowhere, Origin::Opened(tag), Wake::Continued, None);
    }

    fn notified(&mut self, run: &mut Run<'_>) {
        self.run(run, Wake::Notified, None);
    }

    fn unreachable(&mut self, services: &mut Services, owner: Owner, tag: u64, reason: Disconnect) {
        M::unreachable(&mut self.global, &mut Desk { services, owner }, tag, reason);
    }

    fn transport_of(&self, exchange: ConnectionId) -> Option<TransportId> {
        let slot = self.connections.get(exchange.transport().0 as usize)?.get(exchange.index() as usize)?;
        slot.as_ref().filter(|c| c.held.id == exchange).map(|c| c.held.destination.transport())
    }

    fn live(&self) -> Vec<ConnectionId> {
        self.connections.iter().flatten().flatten().map(|c| c.held.id).collect()
    }

    fn drain(&mut self, run: &mut Run<'_>) {
        self.run(run, Wake::Draining, None);
    }

    fn again(&mut self, run: &mut Run<'_>) {
        self.run(run, Wake::Continued, None);
    }

    fn global(&mut self) -> &mut dyn Any {
        &mut self.global
    }
}
