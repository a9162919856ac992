//! Whoever stands above TCP.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;

use super::life::Life;
use super::program::Program;
use super::run::{ACCEPTED, CONNECTED, CONNECTIONS};
use super::sink::{Device, Sent};
use crate::arrival::{Arrival, Input, Integrity};
use crate::config::Config;
use crate::handle::Handle;
use crate::tcp::Tcp;
use crate::time::Time;

/// The most that is queued for one peer, and what is queued at once on top of it.
const ENOUGH: u64 = 200_000;

/// Makes the calls that a program says, and compares what TCP says with what it promises.
pub(super) struct Caller {
    tcp: Tcp<Rc<[u8]>>,
    now: Time,
    local: SocketAddr,
    device: Device,
    receive_window: u32,
    receive_memory: u64,
    lives: HashMap<Handle, Life>,
    /// Those that are over.
    dead: HashSet<Handle>,
    /// How many octets of each input are consumed.
    pub(super) appetite: usize,
    /// Peers may have sent other octets than theirs.
    pub(super) is_tainted: bool,
    /// Replies that belong to no connection.
    replies: u64,
}

impl Caller {
    pub(super) fn new(config: Config, local: SocketAddr, max_payload: usize) -> Caller {
        let device = Device { room: 0, max_payload, mtu: usize::from(config.mtu), sent: Vec::new() };
        let (receive_window, receive_memory) = (config.receive_window, config.receive_memory);
        let mut tcp = Tcp::new(config, [7; 32]);
        assert!(tcp.listen(local, ACCEPTED).is_ok(), "the address is free");
        Caller {
            tcp,
            now: Time(1_000_000_000),
            local,
            device,
            receive_window,
            receive_memory,
            lives: HashMap::new(),
            dead: HashSet::new(),
            appetite: usize::MAX,
            is_tainted: false,
            replies: 0,
        }
    }

    pub(super) fn process(&mut self, octets: &[u8], integrity: Integrity) {
        let arrival = self.tcp.process(self.now, octets, integrity);
        if let Some(arrival) = arrival {
            self.arrives(&arrival, false);
        }
    }

    /// Lets time pass: so many nanoseconds, or up to the next deadline.
    pub(super) fn advance(&mut self, nanoseconds: Option<u64>) {
        self.now = match nanoseconds {
            Some(nanoseconds) => Time(self.now.0.saturating_add(nanoseconds)),
            None => self.tcp.next_deadline().map_or(self.now, |deadline| deadline.max(self.now)),
        };
        let mut told = 0;
        while let Some(arrival) = self.tcp.expire(self.now) {
            self.arrives(&arrival, true);
            told += 1;
            assert!(told < 10_000, "the same again and again");
        }
        let is_over = self.tcp.next_deadline().is_none_or(|deadline| deadline > self.now);
        assert!(is_over, "a deadline that has passed after everything due was done");
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.tcp.next_deadline()
    }

    pub(super) fn connect(&mut self, remote: SocketAddr) {
        if let Ok(handle) = self.tcp.connect(self.now, self.local.ip(), remote, CONNECTED) {
            assert!(!self.dead.contains(&handle), "a handle names one connection");
            let before = self.lives.insert(handle, Life::new(CONNECTED));
            assert!(before.is_none(), "a handle names one connection");
        }
    }

    /// Sends what is due, and tells what that was.
    pub(super) fn dispatch(&mut self, room: usize) -> Vec<Sent> {
        self.device.room = room;
        let is_done = self.tcp.dispatch(self.now, &mut self.device);
        assert!(is_done || self.device.room == 0, "nothing more is sent although there is room");
        let sent = std::mem::take(&mut self.device.sent);
        sent.iter().for_each(|sent| self.left(sent));
        if is_done {
            self.device.room = usize::MAX;
            assert!(self.tcp.dispatch(self.now, &mut self.device) && self.device.sent.is_empty(), "not done");
            self.check_waiting();
        }
        self.check_bounds();
        sent
    }

    /// A call of the program's choice, about a connection of its choice.
    pub(super) fn call(&mut self, program: &mut Program<'_>) {
        let what = program.octet();
        // A hash table's order changes from run to run.
        let mut handles: Vec<_> = self.lives.keys().copied().collect();
        handles.sort_by_key(|handle| (handle.index, handle.generation));
        let Some(&handle) = handles.get(usize::from(what >> 4) % handles.len().max(1)) else { return };
        match what % 16 {
            0..=2 => self.send(handle, program.length(), false),
            3..=5 => self.send(handle, program.length(), true),
            6..=8 => self.read(handle, program.length()),
            9 | 10 => self.finish(handle),
            11 => self.close(handle),
            12 => self.abort(handle),
            13 => self.interrupt(handle, program),
            14 => self.tcp.stop_listening(),
            _ => self.stray(program),
        }
    }

    /// The caller goes away.
    pub(super) fn leave(&mut self, aborts: bool) {
        self.tcp.stop_listening();
        let handles: Vec<_> = self.lives.keys().copied().collect();
        for handle in handles {
            if aborts { self.abort(handle) } else { self.close(handle) }
        }
    }

    /// When nothing is due any more.
    pub(super) fn check_end(&self) {
        let left: Vec<_> = self.tcp.handles().filter_map(|handle| self.tcp.describe(handle)).collect();
        assert!(left.is_empty(), "connections that never end: {left:?}");
        assert_eq!((self.tcp.connections(), self.lives.len()), (0, 0), "the end of a connection was not told");
        assert_eq!(self.tcp.shared.memory.room() as u64, self.receive_memory, "memory was not given back");
        assert_eq!(self.tcp.shared.handshakes, 0, "handshakes are counted that are over");
    }

    fn arrives(&mut self, arrival: &Arrival<'_>, is_late: bool) {
        let handle = arrival.handle;
        assert!(!self.dead.contains(&handle), "{arrival:?} of a connection that is over");
        let slot = self.tcp.slots.named(handle);
        assert_eq!(slot.is_none(), arrival.ended.is_some(), "{arrival:?}: a connection is gone when it has ended");
        let initial = slot.map(|slot| (slot.cold.initial_send, slot.cold.initial_receive));
        if arrival.opened.is_some() && !self.lives.contains_key(&handle) {
            self.lives.insert(handle, Life::new(ACCEPTED));
        }
        let Some(life) = self.lives.get_mut(&handle) else { panic!("{arrival:?} of an unknown connection") };
        life.arrives(arrival, initial);
        match arrival.input {
            Input::None => {}
            Input::Frame(octets) => {
                if !self.is_tainted {
                    life.input(octets, is_late);
                }
                let count = octets.len().min(self.appetite);
                life.consumed(count);
                self.tcp.consumed(handle, &octets[count..], count);
            }
            Input::Buffered => {
                if !self.is_tainted {
                    let unread = self.tcp.take_unread(handle);
                    life.input(&unread, is_late);
                    self.tcp.give_unread(handle, unread, 0);
                }
                self.read(handle, self.appetite);
            }
        }
        if let (true, Some(life)) = (arrival.finished, self.lives.get_mut(&handle)) {
            life.finished();
        }
        if let Some(ending) = arrival.ended {
            let life = self.lives.remove(&handle);
            life.iter().for_each(|life| life.ended(ending));
            self.dead.insert(handle);
        }
    }

    fn left(&mut self, sent: &Sent) {
        let Some(handle) = sent.handle else {
            self.replies += 1;
            assert!(sent.payload.is_empty(), "a reply with a payload");
            return;
        };
        let Some(slot) = self.tcp.slots.named(handle) else { panic!("a packet of a connection that is over") };
        let tuple = &slot.cold.tuple;
        assert_eq!((tuple.local, tuple.local_port), (sent.local.ip(), sent.local.port()));
        assert_eq!((tuple.remote, tuple.remote_port), (sent.remote.ip(), sent.remote.port()));
        if let Some(life) = self.lives.get_mut(&handle) {
            life.sent(sent, slot.receive_shift);
        }
    }

    fn send(&mut self, handle: Handle, count: usize, is_pinned: bool) {
        let Some(life) = self.lives.get_mut(&handle).filter(|_| self.tcp.in_flight(handle) < ENOUGH) else { return };
        let octets = life.octets(count);
        let before = self.tcp.in_flight(handle);
        if is_pinned {
            let payload: Rc<[u8]> = octets.into();
            life.pin(&payload);
            self.tcp.send_pinned(handle, payload);
        } else {
            self.tcp.send_copy(handle, &octets);
        }
        let taken = self.tcp.in_flight(handle) - before;
        assert!(taken == count as u64 || taken == 0, "{taken} of {count} octets queued");
        life.queued += taken;
    }

    fn read(&mut self, handle: Handle, most: usize) {
        let Some(life) = self.lives.get_mut(&handle) else { return };
        let unread = self.tcp.take_unread(handle);
        if !self.is_tainted {
            life.shown(&unread);
        }
        let count = unread.len().min(most);
        life.consumed(count);
        self.tcp.give_unread(handle, unread, count);
    }

    /// Something else happens while input is lent.
    fn interrupt(&mut self, handle: Handle, program: &mut Program<'_>) {
        let unread = self.tcp.take_unread(handle);
        match program.octet() % 4 {
            0 => self.send(handle, program.length(), true),
            1 => self.finish(handle),
            2 => self.close(handle),
            _ => self.abort(handle),
        }
        let count = unread.len().min(program.length());
        if let Some(life) = self.lives.get_mut(&handle) {
            life.consumed(count);
        }
        self.tcp.give_unread(handle, unread, count);
    }

    fn finish(&mut self, handle: Handle) {
        self.lives.entry(handle).and_modify(|life| life.is_finishing = true);
        self.tcp.finish(handle);
    }

    fn close(&mut self, handle: Handle) {
        self.lives.entry(handle).and_modify(|life| (life.is_finishing, life.is_closed) = (true, true));
        self.tcp.close(handle);
    }

    fn abort(&mut self, handle: Handle) {
        if self.tcp.describe(handle).is_none() {
            // It has ended, and that is about to be told.
            return;
        }
        self.tcp.abort(handle);
        assert!(self.tcp.describe(handle).is_none(), "an aborted connection is no more");
        let life = self.lives.remove(&handle);
        life.iter().for_each(Life::is_let_go);
        self.dead.insert(handle);
    }

    /// Calls about a connection that is over change nothing.
    fn stray(&mut self, program: &mut Program<'_>) {
        let (index, generation) = (u32::from(program.octet() % 8), u32::from(program.octet()));
        let handle = Handle { index, generation };
        if self.tcp.slots.named(handle).is_some() {
            return;
        }
        let before = self.tcp.connections();
        self.tcp.send_copy(handle, b"stray");
        self.tcp.consumed(handle, b"stray", 0);
        let unread = self.tcp.take_unread(handle);
        self.tcp.give_unread(handle, unread, 1);
        self.tcp.finish(handle);
        self.tcp.close(handle);
        self.tcp.abort(handle);
        assert_eq!((self.tcp.in_flight(handle), self.tcp.peer(handle)), (0, None));
        assert_eq!(self.tcp.connections(), before);
    }

    /// Whoever waits for an acknowledgment is woken some time.
    fn check_waiting(&self) {
        let has_deadline = self.tcp.next_deadline().is_some();
        for (handle, life) in &self.lives {
            let waits = self.tcp.in_flight(*handle) > 0 || life.is_closed;
            assert!(has_deadline || !waits, "no deadline: {:?}", self.tcp.describe(*handle));
        }
    }

    fn check_bounds(&self) {
        let stats = self.tcp.stats();
        assert!(self.tcp.connections() <= CONNECTIONS as usize);
        assert!(self.tcp.shared.memory.room() as u64 <= self.receive_memory);
        assert!(self.tcp.shared.ready.len() <= CONNECTIONS as usize, "each connection waits for its turn once");
        let causes = stats.packets_received + stats.resets_sent_aborted + stats.resets_sent_timed_out;
        assert!(self.replies <= causes, "{} replies to {causes} packets", self.replies);
        for info in self.tcp.handles().filter_map(|handle| self.tcp.describe(handle)) {
            assert!(info.unread <= self.receive_window, "{info:?}");
            assert!(info.segment_size > 0, "{info:?}");
        }
    }
}
