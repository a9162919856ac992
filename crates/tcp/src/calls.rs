//! What the caller asks for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::arrival::{Arrival, Ending, Input};
use crate::connection::{Connection, Flags, Sending};
use crate::egress;
use crate::error::ConnectError;
use crate::handle::Handle;
use crate::handshake::create;
use crate::ingress::{carries_data, ends};
use crate::lookup::Tuple;
use crate::payload::Payload;
use crate::receive::unread::Unread;
use crate::shared::Shared;
use crate::state::{Event, State};
use crate::tcp::{Tcp, is_unicast};
use crate::time::Time;
use crate::timers;

/// So many ports in a row that are taken end the search.
const ATTEMPTS: u32 = 1024;

/// RFC 9293 §3.10.1: active open.
pub(crate) fn connect<P: Payload>(
    tcp: &mut Tcp<P>,
    now: Time,
    local: IpAddr,
    remote: SocketAddr,
    token: u32,
) -> Result<Handle, ConnectError> {
    if local.is_ipv4() != remote.is_ipv4() || remote.port() == 0 {
        return Err(ConnectError::Addresses);
    }
    // RFC 9293 §3.9.2.3 (MUST-46).
    if !is_unicast(local) || !is_unicast(remote.ip()) {
        return Err(ConnectError::NotUnicast);
    }
    if tcp.slots.is_full() {
        return Err(ConnectError::TooManyConnections);
    }
    let tuple = choose_tuple(tcp, local, remote).ok_or(ConnectError::NoPort)?;
    let initial = tcp.shared.secret.initial_sequence(now, &tuple);
    let state = State::Closed.after(Event::ActiveOpen);
    let mut connection = create::new(&tcp.shared, tuple, initial, state, token, None);
    connection.send_next = initial + 1;
    connection.flags.set(Flags::SYNCHRONIZE.with(Flags::WAKE));
    let hash = tcp.shared.secret.hash(&tuple);
    let index = tcp.insert(hash, connection).ok_or(ConnectError::TooManyConnections)?;
    tcp.slots.get(index).map(|connection| connection.handle(index)).ok_or(ConnectError::TooManyConnections)
}

/// A local port that no connection to that peer uses, or used of late.
fn choose_tuple<P: Payload>(tcp: &mut Tcp<P>, local: IpAddr, remote: SocketAddr) -> Option<Tuple> {
    let with = |port| Tuple { local, remote: remote.ip(), local_port: port, remote_port: remote.port() };
    let range = tcp.shared.config.ephemeral_ports.clone();
    // Each choice is another port: the secret goes through all of them in an order of its own.
    (0..ATTEMPTS).find_map(|_| {
        let tuple = with(tcp.shared.secret.choose_port(local, remote, range.clone(), |_| false)?);
        let hash = tcp.shared.secret.hash(&tuple);
        let is_free = tcp.find(hash, &tuple).is_none() && !tcp.shared.time_wait.contains(&tuple, &tcp.shared.secret);
        is_free.then_some(tuple)
    })
}

pub(crate) fn consumed<P: Payload>(tcp: &mut Tcp<P>, handle: Handle, rest: &[u8], count: usize) {
    let _ = count;
    let Some(connection) = tcp.slots.named_mut(handle) else { return };
    if rest.is_empty() || connection.flags.has(Flags::DISCARD) {
        if connection.state == State::TimeWait {
            connection.cold.idle_deadline = tcp.shared.now;
            tcp.shared.settle(handle.index, connection);
        }
        return;
    }
    // There was room when the segment was taken. Should it be gone, the octets are lost, and so is the connection.
    if !connection.unread.push(rest, &mut tcp.shared.memory) {
        tcp.shared.stats.receive_memory_exhausted += rest.len() as u64;
        end(tcp, handle, Ending::Reset);
    }
}

pub(crate) fn give_unread<P: Payload>(tcp: &mut Tcp<P>, handle: Handle, mut unread: Unread, consumed: usize) {
    let memory = &mut tcp.shared.memory;
    let Some(connection) = tcp.slots.named_mut(handle) else {
        unread.clear(memory);
        return;
    };
    unread.consume(consumed, memory);
    if connection.flags.has(Flags::DISCARD) {
        unread.clear(memory);
    }
    let mut later = std::mem::replace(&mut connection.unread, unread);
    let is_lost = !later.is_empty() && !connection.unread.push(&later, memory);
    later.clear(memory);
    if is_lost {
        end(tcp, handle, Ending::Reset);
        return;
    }
    resume(connection, &mut tcp.shared, handle);
    if connection.state == State::TimeWait {
        let wait = if connection.unread.is_empty() { Duration::ZERO } else { tcp.shared.config.fin_wait };
        connection.cold.idle_deadline = tcp.shared.now.after(wait);
    } else if connection.state.may_receive() && egress::window(connection, &tcp.shared).is_update_due() {
        connection.acknowledge_at_once();
    }
    tcp.shared.settle(handle.index, connection);
}

/// There is memory again: what arrived out of order and had to wait for it may be next.
fn resume<P: Payload>(connection: &mut Connection<P>, shared: &mut Shared<P>, handle: Handle) {
    if connection.assembly.is_none() || !carries_data::resume(connection, shared) {
        return;
    }
    let (now, token) = (shared.now, connection.token);
    let finished = !connection.flags.has(Flags::PEER_FINISHED) && ends::take_kept(connection, shared, now);
    let notice =
        Arrival { handle, token, opened: None, acknowledged: 0, input: Input::Buffered, finished, ended: None };
    shared.notices.push_back(notice);
}

/// RFC 9293 §3.10.2.
pub(crate) fn send<P: Payload>(tcp: &mut Tcp<P>, handle: Handle, push: impl FnOnce(&mut Sending<P>) -> bool) {
    let Some(connection) = tcp.slots.named_mut(handle) else { return };
    if !connection.state.may_send() || connection.flags.has(Flags::FINISH) {
        return;
    }
    let sending = connection.sending.get_or_insert_with(|| tcp.shared.sendings.take());
    if !push(sending) {
        end(tcp, handle, Ending::Reset);
        return;
    }
    if sending.queue.is_empty() {
        // Nothing was nothing: an idle connection has no box.
        if let Some(sending) = connection.sending.take() {
            tcp.shared.sendings.give(sending);
        }
        return;
    }
    connection.flags.set(Flags::WAKE);
    tcp.shared.settle(handle.index, connection);
}

/// RFC 9293 §3.10.4, our half.
pub(crate) fn finish<P: Payload>(tcp: &mut Tcp<P>, handle: Handle) {
    let Some(connection) = tcp.slots.named_mut(handle) else { return };
    if !connection.state.may_send() || connection.flags.has(Flags::FINISH) {
        return;
    }
    connection.flags.set(Flags::FINISH.with(Flags::WAKE));
    connection.sending.get_or_insert_with(|| tcp.shared.sendings.take());
    // Before our SYN is acknowledged, it waits for that.
    if connection.state.is_synchronized() {
        connection.state = connection.state.after(Event::Close);
    }
    tcp.shared.settle(handle.index, connection);
}

/// RFC 9293 §3.10.4, both halves.
pub(crate) fn close<P: Payload>(tcp: &mut Tcp<P>, handle: Handle) {
    let Some(connection) = tcp.slots.named_mut(handle) else { return };
    connection.flags.set(Flags::DISCARD);
    connection.unread.clear(&mut tcp.shared.memory);
    if let Some(mut assembly) = connection.assembly.take() {
        assembly.clear(&mut tcp.shared.memory);
        tcp.shared.assemblies.give(assembly);
    }
    match connection.state {
        State::SynSent => {
            connection.state = connection.state.after(Event::Close);
            let token = connection.token;
            tcp.shared.notices.push_back(Arrival::of_end(handle, token, Ending::Closed));
            tcp.retire(handle.index, tcp.shared.now, Ending::Closed);
            return;
        }
        State::FinWait2 => connection.cold.idle_deadline = tcp.shared.now.after(tcp.shared.config.linger),
        State::TimeWait => connection.cold.idle_deadline = tcp.shared.now,
        _ => {}
    }
    tcp.shared.settle(handle.index, connection);
    finish(tcp, handle);
}

/// RFC 9293 §3.10.5.
pub(crate) fn abort<P: Payload>(tcp: &mut Tcp<P>, handle: Handle) {
    let Some(connection) = tcp.slots.named_mut(handle) else { return };
    if connection.state.is_synchronized() || connection.state == State::SynReceived {
        let reply = timers::reset(connection, tcp.shared.now);
        if tcp.shared.replies.push(reply, &mut tcp.shared.stats) {
            tcp.shared.stats.resets_sent_aborted += 1;
        }
    }
    connection.state = State::Closed;
    tcp.retire(handle.index, tcp.shared.now, Ending::Reset);
}

/// Aborts, and tells the caller with the next `expire`.
fn end<P: Payload>(tcp: &mut Tcp<P>, handle: Handle, ending: Ending) {
    let Some(token) = tcp.slots.named(handle).map(|connection| connection.token) else { return };
    abort(tcp, handle);
    tcp.shared.notices.push_back(Arrival::of_end(handle, token, ending));
}
