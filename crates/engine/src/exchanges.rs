//! Exchanges: requests with an answer of their own place, and the ids that name them.

use std::net::SocketAddr;

use crate::seam::{ConnectionId, ListenerId, TransportId};

/// The place of exchanges among the transports: an engine holds fewer than that.
pub(crate) const EXCHANGES: TransportId = TransportId(u8::MAX);

/// The exchanges that may wait at once, for each module on an engine. One more is run, and forgotten if its
/// table says to wait.
pub(crate) const MAX_WAITING: usize = 65_536;

/// Where output goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    /// To this connection, which is the exchange's own or the one that it was detached from.
    Connection(ConnectionId),
    /// To this peer, each `send` as one datagram.
    Datagram { socket: ListenerId, peer: SocketAddr },
    /// To nobody: a module's own business.
    Nowhere,
}

impl Destination {
    /// The transport that it is reached through.
    pub(crate) fn transport(self) -> TransportId {
        match self {
            Destination::Connection(id) => id.transport(),
            Destination::Datagram { socket, .. } => socket.transport,
            Destination::Nowhere => TransportId(0),
        }
    }
}

/// Names for exchanges. A name that somebody may still know is never used again.
#[derive(Default)]
pub(crate) struct ExchangeIds {
    generations: Vec<u32>,
    free: Vec<u32>,
    /// Names of those for which there is no slot.
    beyond: u32,
}

impl ExchangeIds {
    /// The name of the next exchange. It is given again unless it is [kept](ExchangeIds::keep).
    pub(crate) fn next(&mut self) -> ConnectionId {
        if self.free.is_empty() {
            if self.generations.len() == MAX_WAITING {
                self.beyond = self.beyond.wrapping_add(1);
                return ConnectionId::new(EXCHANGES, ConnectionId::MAX_INDEX, self.beyond);
            }
            self.free.push(self.generations.len() as u32);
            self.generations.push(0);
        }
        let index = self.free[self.free.len() - 1];
        ConnectionId::new(EXCHANGES, index, self.generations[index as usize])
    }

    /// The exchange that was given `id` last waits: takes its slot. `false` if there is none.
    pub(crate) fn keep(&mut self, id: ConnectionId) -> bool {
        if self.free.last() == Some(&id.index()) {
            self.free.pop();
        }
        id.index() != ConnectionId::MAX_INDEX
    }

    /// `id`, given last or kept, is not to be given again.
    pub(crate) fn retire(&mut self, id: ConnectionId) {
        let Some(generation) = self.generations.get_mut(id.index() as usize) else { return };
        *generation = generation.wrapping_add(1);
        if self.free.last() != Some(&id.index()) {
            self.free.push(id.index());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_may_know_is_not_given_again() {
        let mut ids = ExchangeIds::default();
        let first = ids.next();
        assert_eq!(ids.next(), first, "nobody kept it");
        assert!(ids.keep(first));
        let second = ids.next();
        assert_ne!(second.index(), first.index());
        ids.retire(second);
        assert_ne!(ids.next(), second);
        ids.retire(first);
        let again = ids.next();
        assert_eq!((again.index(), again.generation()), (first.index(), first.generation() + 1));
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept() {
        let mut ids = ExchangeIds::default();
        for _ in 0..MAX_WAITING {
            let id = ids.next();
            assert!(ids.keep(id));
        }
        let (one, other) = (ids.next(), ids.next());
        assert!(one != other && !ids.keep(one));
        ids.retire(one);
        assert_eq!(ids.next().index(), ConnectionId::MAX_INDEX);
    }
}
