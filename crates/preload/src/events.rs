//! What poll(2) and epoll(7) tell of a socket, as the kernel tells it of one of its own. The bits are the same for both.

use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use memnet::Readiness;

use crate::application::{Application, Socket};
use crate::description::flag;
use crate::table::{Entry, Kind};

const IN: u32 = (POLLIN | POLLRDNORM) as u32;
const OUT: u32 = (POLLOUT | POLLWRNORM) as u32;
const RDHUP: u32 = POLLRDHUP as u32;
const HUP: u32 = POLLHUP as u32;
const ERR: u32 = POLLERR as u32;
/// Of a connection that has failed.
const FAILED: u32 = IN | OUT | RDHUP | HUP;

/// The events of an entry's socket. If `wanted` has room to send in it, and there is none, it is told when there is.
/// Of one on which the program sends by itself, `has_room` is asked.
pub(crate) fn now(application: &Application, entry: Entry, wanted: u32, has_room: impl FnOnce() -> bool) -> u32 {
    if application.is_gone() {
        return FAILED | ERR;
    }
    if entry.kind == Kind::Listener {
        return listener(application, entry);
    }
    let channel = application.channel(entry.number.into());
    let mut events = of(channel.readiness());
    if wanted & OUT != 0 && application.asks_kernel_for_room(entry) {
        if has_room() {
            events |= OUT;
        }
    } else if wanted & OUT != 0 && events & OUT == 0 {
        channel.slot().wait(true);
        events = of(channel.readiness());
    }
    let untold = || !application.description(entry.number.into()).has(flag::ERROR_TAKEN);
    if events & FAILED == FAILED && channel.error().is_some() && untold() { events | ERR } else { events }
}

fn listener(application: &Application, entry: Entry) -> u32 {
    let mut events = 0;
    let mut at_end = false;
    application.each_slot(entry, |engine| {
        if engine.readable().map_or(true, |octets| octets > 0) || engine.error().is_some() {
            events |= IN;
        }
        at_end = at_end || engine.slot().commands() & afpa_channel::slot::command::DISCARD != 0;
    });
    if at_end { events | IN | RDHUP | HUP } else { events }
}

fn of(ready: Readiness) -> u32 {
    if ready.failed {
        return FAILED;
    }
    let bits = [(ready.readable, IN), (ready.writable, OUT), (ready.peer_finished, RDHUP), (ready.hung_up, HUP)];
    bits.into_iter().filter(|(is, _)| *is).fold(0, |events, (_, bits)| events | bits)
}

/// A number that is another whenever octets or connections have come, or room has been made.
pub(crate) fn number(application: &Application, entry: Entry) -> u64 {
    if entry.kind == Kind::Stream {
        let slot = application.channel(entry.number.into()).slot();
        return u64::from(slot.received_so_far()) << 32 | u64::from(slot.sent());
    }
    let mut come = 0u32;
    application.each_slot(entry, |engine| come = come.wrapping_add(engine.slot().received_so_far()));
    come.into()
}

impl Socket {
    /// The events for which the kernel's socket has to be polled.
    pub(crate) fn asks_kernel(&self, wanted: u32) -> u32 {
        if wanted & OUT != 0 && self.application.asks_kernel_for_room(self.entry) { wanted & OUT } else { 0 }
    }

    /// Its events, but for room that only the kernel knows of ([`Socket::asks_kernel`]).
    pub(crate) fn events(&self, wanted: u32) -> u32 {
        now(self.application, self.entry, wanted, || false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_the_kernel_tells_them() {
        let nothing = Readiness::default();
        assert_eq!(of(nothing), 0);
        assert_eq!(of(Readiness { readable: true, ..nothing }), IN);
        assert_eq!(of(Readiness { writable: true, ..nothing }), OUT);
        let half = Readiness { readable: true, writable: true, ended: true, peer_finished: true, ..nothing };
        assert_eq!(of(half), IN | OUT | RDHUP);
        assert_eq!(of(Readiness { hung_up: true, ..half }), IN | OUT | RDHUP | HUP);
        assert_eq!(of(Readiness { failed: true, ..nothing }), IN | OUT | RDHUP | HUP);
    }
}
