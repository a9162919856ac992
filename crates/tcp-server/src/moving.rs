//! Connections that go on on another engine, because it has less to do (TCP Servers §5.2, §7).
//!
//! The engine that has one stops giving TCP anything, waits until TCP has taken over what it was given, and gets the socket
//! itself with every octet that was not consumed. All that is known of the connection goes with it to the other engine, whose
//! transport takes it over; indexes go on where they were. Whoever has not seen the move still tells the engine that had it,
//! which passes on what it is told.

use std::os::fd::OwnedFd;

use afpa_engine::seam::{Disconnect, Released};
use afpa_engine::{Desk, Notice, Open, Time, Transport};

use crate::channel::{Channel, Link};
use crate::provider::{Fate, Occupant, Provider};

/// Octets that cost about as much as to run once.
const OCTETS_PER_RUN: u64 = 4096;
/// Over how long costs are summed up, in nanoseconds.
const INTERVAL: u64 = 100_000_000;
/// Connections that are sent away at once.
const MOST: usize = 256;

/// A connection on its way.
pub(crate) struct Luggage {
    channel: Box<Channel>,
    fate: Fate,
    socket: OwnedFd,
    octets: Vec<u8>,
}

/// A connection that its new engine's transport does not know yet.
pub(crate) struct Arrival {
    channel: Box<Channel>,
    pub(crate) fate: Fate,
}

/// What a connection has cost lately.
#[derive(Clone, Copy, Default)]
pub(crate) struct Account {
    /// The interval that `now` is of.
    interval: u64,
    now: u32,
    /// Of the interval before it.
    before: u32,
}

/// Which connections are to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// Those that have cost the most, up to so many thousandths of what all together have cost.
    Permille(u32),
    /// All that can.
    All,
}

impl Provider {
    /// The engines of the server, this one included, by their numbers.
    pub fn meet(&mut self, ports: Vec<crate::Port>) {
        self.ports = ports;
    }

    /// Sends connections to other engines, which get one after the other. Those that wait to be accepted stay: they are in
    /// a ring of this engine's.
    pub fn relieve(&mut self, to: &[u32], share: Share, desk: &mut Desk<'_>) {
        let to: Vec<u32> =
            to.iter().copied().filter(|to| *to != self.engine && (*to as usize) < self.ports.len()).collect();
        if to.is_empty() {
            return;
        }
        let candidates = self.candidates(desk);
        let total: u64 = candidates.iter().map(|candidate| candidate.cost).sum();
        let mut left = match share {
            Share::Permille(share) => total * u64::from(share) / 1000,
            Share::All => u64::MAX,
        };
        let mut targets = to.iter().cycle();
        let mut count = 0;
        for Candidate { cost, place, slot, notice } in candidates {
            // Who costs nothing relieves nobody, and who costs more than is too much would only carry the load along.
            if count == MOST || (share != Share::All && (cost == 0 || cost > left)) {
                continue;
            }
            left -= cost;
            count += 1;
            if let Some(target) = targets.next() {
                self.leaving.insert((place, slot), *target);
                desk.notify(notice);
            }
        }
        if count > 0 && share != Share::All {
            self.stats.reliefs.increment();
        }
    }

    /// Connections that may go, those first that have cost the most.
    fn candidates(&mut self, desk: &mut Desk<'_>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for place in 0..self.attached.len() {
            let waiting = self.look_at_listeners(place, desk);
            let Some(attached) = &self.attached[place] else { continue };
            for (slot, occupant) in attached.occupants.iter().enumerate() {
                let Occupant::Connection(notice, Fate::Kept) = *occupant else { continue };
                let cost = attached.accounts[slot].cost(self.now);
                let slot = slot as u32;
                if !waiting.contains(&slot) && !self.leaving.contains_key(&(place, slot)) {
                    candidates.push(Candidate { cost, place, slot, notice });
                }
            }
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.cost));
        candidates
    }

    /// Whether the connection is to go to another engine.
    #[inline]
    pub(crate) fn is_leaving(&self, link: &Link) -> bool {
        !self.leaving.is_empty() && self.leaving.contains_key(&(link.place, link.at.slot))
    }

    /// It does not go after all.
    pub(crate) fn stay(&mut self, link: &Link) {
        if self.leaving.remove(&(link.place, link.at.slot)).is_some() {
            self.stats.moves_failed.increment();
        }
    }

    /// The connection is the other engine's from here on.
    pub(crate) fn send_off(&mut self, channel: Box<Channel>, released: Released, is_draining: bool) {
        self.note_work();
        let (place, slot) = (channel.link.place, channel.link.at.slot);
        let to = self.leaving.remove(&(place, slot)).filter(|_| !is_draining).unwrap_or(self.engine);
        let fate = self.fate(&channel.link);
        let Released { socket, octets } = released;
        let application = channel.link.application.clone();
        if let Some(attached) = &mut self.attached[place] {
            attached.occupy(slot, Occupant::Free);
            attached.accounts[slot as usize] = Account::default();
        }
        self.stats.open.set(self.stats.open.get().saturating_sub(1));
        self.stats.moved_out.increment();
        let luggage = Luggage { channel, fate, socket, octets };
        // Before anybody can be told of it there: who is told there before it has come is seen when it comes.
        application.move_slot(slot, to);
        if let Some(port) = self.ports.get(to as usize) {
            port.command(move |provider, desk, transports| provider.arrive(luggage, desk, transports));
        }
        self.let_go(place);
    }

    /// A connection comes from another engine.
    fn arrive(&mut self, luggage: Luggage, desk: &mut Desk<'_>, transports: &mut [Box<dyn Transport>]) {
        self.note_work();
        let Luggage { mut channel, mut fate, socket, octets } = luggage;
        let application = channel.link.application.clone();
        let slot = channel.link.at.slot;
        // What was said of orphans, and of the application's end, may have been said to this engine before it came, and to
        // the other one after it had gone.
        if fate == Fate::Kept && (application.has_ended() || !application.is_held(slot)) {
            fate = Fate::Abandoned;
        }
        let number = application.identity().number;
        let place = match self.place_of(number) {
            Some(place) => place,
            None => {
                self.attach(application, transports);
                match self.place_of(number) {
                    Some(place) => place,
                    None => return,
                }
            }
        };
        channel.go_on(place);
        let tag = self.next_serial();
        if let Some(attached) = &mut self.attached[place] {
            attached.occupy(slot, Occupant::Arriving(tag));
        }
        self.stats.open.add(1);
        self.arrivals.insert(tag, Arrival { channel, fate });
        desk.open(Open::TakeOver { socket, octets }, desk.owner(), tag);
    }

    /// The transport knows a connection that has come from another engine.
    pub(crate) fn welcome(&mut self, tag: u64, notice: Notice) -> Option<Box<Channel>> {
        let Arrival { channel, fate } = self.arrivals.remove(&tag)?;
        self.note_work();
        self.stats.moved_in.increment();
        if let Some(attached) = &mut self.attached[channel.link.place] {
            attached.occupy(channel.link.at.slot, Occupant::Connection(notice, fate));
        }
        Some(channel)
    }

    /// The transport does not take over a connection that has come from another engine: its peer has reset it meanwhile,
    /// or there are as many as there may be.
    pub(crate) fn lose(&mut self, tag: u64) {
        let Some(Arrival { channel, fate }) = self.arrivals.remove(&tag) else { return };
        self.note_work();
        self.stats.moves_failed.increment();
        self.stats.resets.increment();
        self.end_as(fate, *channel, Some(Disconnect::Reset));
    }

    /// Octets that connections have moved in all.
    #[inline]
    pub(crate) fn octets(&self) -> u64 {
        self.stats.received_octets.get().wrapping_add(self.stats.sent_octets.get())
    }

    /// A connection has run once. `before` is how many octets had been moved then.
    #[inline]
    pub(crate) fn charge(&mut self, link: &Link, before: u64) {
        let cost = 1 + self.octets().wrapping_sub(before) / OCTETS_PER_RUN;
        let account = self.attached[link.place].as_mut().and_then(|a| a.accounts.get_mut(link.at.slot as usize));
        if let Some(account) = account {
            account.charge(self.now, u32::try_from(cost).unwrap_or(u32::MAX));
        }
    }
}

/// A connection that may go.
struct Candidate {
    cost: u64,
    place: usize,
    slot: u32,
    notice: Notice,
}

impl Account {
    #[inline]
    fn charge(&mut self, now: Time, cost: u32) {
        let interval = now.0 / INTERVAL;
        if interval != self.interval {
            self.before = if interval == self.interval + 1 { self.now } else { 0 };
            (self.interval, self.now) = (interval, 0);
        }
        self.now = self.now.saturating_add(cost);
    }

    /// What it has cost in the last interval, or in the one at hand if that is more already.
    fn cost(&self, now: Time) -> u64 {
        match (now.0 / INTERVAL).saturating_sub(self.interval) {
            0 => self.now.max(self.before).into(),
            1 => self.now.into(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_has_cost_is_forgotten_in_time() {
        let mut account = Account::default();
        let at = |interval: u64| Time(interval * INTERVAL + 5);
        account.charge(at(7), 10);
        account.charge(at(7), 20);
        assert_eq!((account.cost(at(7)), account.cost(at(8)), account.cost(at(9))), (30, 30, 0));
        account.charge(at(8), 1);
        assert_eq!((account.cost(at(8)), account.cost(at(9)), account.cost(at(10))), (30, 1, 0));
        account.charge(at(20), 4);
        assert_eq!(account.cost(at(20)), 4);
    }
}
