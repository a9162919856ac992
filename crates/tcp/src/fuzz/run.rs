//! Programs, run.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use afpa_wire::tcp::Flags;

use super::caller::Caller;
use super::peer::Peer;
use super::program::Program;
use crate::arrival::Integrity;
use crate::config::{Checksum, Config, CongestionControl, Handshake, KeepAlive};
use crate::time::Time;

/// Tokens.
pub(super) const ACCEPTED: u32 = 1;
pub(super) const CONNECTED: u32 = 2;
/// The most connections, replies that wait, and old connections that are remembered.
pub(super) const CONNECTIONS: u32 = 4;
const REPLIES: u32 = 8;
const REMEMBERED: u32 = 3;
/// Peers: those before the first server connect, the others are connected to.
const PEERS: usize = 8;
const FIRST_SERVER: usize = 5;

/// Reads `data` as a configuration and a program, and runs it: segments of several peers, near to what is expected and far from
/// it, errors, calls, time, and a device that may have no room. Begins with one connection that was accepted and one
/// that was asked for, and ends with the end of all of them.
///
/// # Panics
/// If something promised does not hold: packets that leave are well-formed and have the right octets at each number;
/// acknowledgments and windows do not move back; the caller sees the peer's octets in order; each connection
/// ends, and is said to have ended, once; pins are held until they are acknowledged, and not longer; memory stays
/// within its bounds and is given back; whatever waits has a deadline, and no deadline passes without effect.
pub fn tcp(data: &[u8]) {
    let mut program = Program::new(data);
    let (first, second) = (program.octet(), program.octet());
    let mut run = Run::new(first, second);
    run.open();
    while !program.is_over() {
        run.step(&mut program);
    }
    run.end(second & 0x80 != 0);
}

struct Run {
    caller: Caller,
    peers: Vec<Peer>,
    /// The packet that came last.
    last: Vec<u8>,
}

impl Run {
    fn new(first: u8, second: u8) -> Run {
        let is_v6 = first & 0x80 != 0;
        let address = |host: u8| if is_v6 { v6(host) } else { IpAddr::from([10, 0, 0, host]) };
        let local = SocketAddr::new(address(1), 80);
        let remote = |number: u8| {
            let port = 40_000 + u16::from(number / 2);
            SocketAddr::new(address(2 + number % 2), port)
        };
        let peers = (0..PEERS as u8).map(|number| Peer::new(local, remote(number))).collect();
        let caller = Caller::new(config(first, second), local, if second & 4 != 0 { 65_535 } else { 0 });
        Run { caller, peers, last: Vec::new() }
    }

    /// Opens a connection in each direction.
    fn open(&mut self) {
        self.feed_plain(0, Flags::SYN, 0);
        self.dispatch(usize::MAX);
        self.feed_plain(0, Flags::ACK, 1);
        self.caller.connect(self.peers[FIRST_SERVER].remote);
        self.dispatch(usize::MAX);
        self.feed_plain(FIRST_SERVER, Flags::SYN | Flags::ACK, 0);
        self.dispatch(usize::MAX);
    }

    /// Does one thing; with the highest bit set, what is due is sent after it.
    fn step(&mut self, program: &mut Program<'_>) {
        let what = program.octet();
        match what % 16 {
            0..=2 => self.segment(program),
            3 => self.exchange(program),
            4 => self.feed_raw(program),
            5 => self.mangle(program),
            6 => self.error(program),
            7 => self.caller.advance(Some(program.duration())),
            8 => self.caller.advance(None),
            9 => {
                let room = usize::from(program.octet());
                self.dispatch(room);
            }
            10 => self.caller.connect(self.peers[FIRST_SERVER + usize::from(program.octet()) % 3].remote),
            11 => {
                let which = usize::from(program.octet());
                self.peers[which % PEERS].go_on(program);
            }
            12 => self.caller.appetite = program.length(),
            _ => self.caller.call(program),
        }
        if what & 0x80 != 0 {
            self.dispatch(usize::MAX);
        }
    }

    /// A segment as the program says.
    fn segment(&mut self, program: &mut Program<'_>) {
        let which = program.octet();
        self.last = self.peers[usize::from(which) % PEERS].segment(which, program);
        self.caller.process(&self.last, Integrity::Verify);
    }

    /// What peers mostly do: data that acknowledges everything.
    fn exchange(&mut self, program: &mut Program<'_>) {
        let (which, length) = (usize::from(program.octet()), program.length());
        self.feed_plain(which % PEERS, Flags::ACK, length);
    }

    fn feed_plain(&mut self, which: usize, flags: Flags, payload: usize) {
        self.last = self.peers[which].plain(flags, payload);
        self.caller.process(&self.last, Integrity::Verify);
    }

    fn feed_raw(&mut self, program: &mut Program<'_>) {
        let count = usize::from(program.octet());
        self.last = program.octets(count).to_vec();
        self.caller.is_tainted = true;
        self.caller.process(&self.last, Integrity::Verify);
    }

    /// The last packet again, with an octet changed; and, unless the highest bit of its place says otherwise, with checksums
    /// that are said to be good.
    fn mangle(&mut self, program: &mut Program<'_>) {
        let (place, octet) = (program.octet(), program.octet());
        if let Some(changed) = self.last.get_mut(usize::from(place & 0x7f)) {
            *changed ^= octet;
        }
        let integrity = if place & 0x80 == 0 { Integrity::Verified } else { Integrity::Verify };
        self.caller.is_tainted |= integrity == Integrity::Verified;
        self.caller.process(&self.last, integrity);
    }

    fn error(&mut self, program: &mut Program<'_>) {
        let which = usize::from(program.octet());
        self.last = self.peers[which % PEERS].error(program);
        self.caller.process(&self.last, Integrity::Verify);
    }

    fn dispatch(&mut self, room: usize) {
        for sent in self.caller.dispatch(room) {
            self.peers.iter_mut().for_each(|peer| peer.take(&sent));
        }
    }

    /// Everybody is gone. The caller aborts, or closes and waits.
    fn end(mut self, aborts: bool) {
        self.caller.leave(aborts);
        self.dispatch(usize::MAX);
        let mut steps = 0;
        while let Some(deadline) = self.caller.next_deadline() {
            assert!(deadline < Time::NEVER && steps < 2000, "{steps} steps, and still something to do");
            self.caller.advance(None);
            self.dispatch(usize::MAX);
            steps += 1;
        }
        self.caller.check_end();
    }
}

fn config(first: u8, second: u8) -> Config {
    let has = |bit: u8| first & bit != 0;
    let keep_alive = KeepAlive { idle: Duration::from_secs(10), interval: Duration::from_secs(1), probes: 3 };
    Config {
        max_connections: CONNECTIONS,
        handshake: if has(1) { Handshake::Queue { entries: 2 } } else { Handshake::Cookies },
        accept_on_data: has(2),
        timestamps: !has(4),
        selective_acknowledgments: !has(8),
        congestion_notification: has(16),
        nagle: has(32),
        congestion_control: if has(64) { CongestionControl::NewReno } else { CongestionControl::Cubic },
        keep_alive: (second & 1 != 0).then_some(keep_alive),
        receive_window: [65_535, 4096, 10_000, 1 << 20][usize::from(second >> 3 & 3)],
        receive_memory: if second & 2 != 0 { 24 * 1024 } else { 1 << 22 },
        mtu: if second & 32 != 0 { 9000 } else { 1500 },
        checksum: if second & 64 != 0 { Checksum::Computed } else { Checksum::Stored },
        stateless_replies: REPLIES,
        time_wait_entries: REMEMBERED,
        ..Config::default()
    }
}

fn v6(host: u8) -> IpAddr {
    IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
}
