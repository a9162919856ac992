//! A peer, a caller and a clock that follow a script of arbitrary octets.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{self, Flags, Options, SackBlocks, Timestamps};
use afpa_wire::{checksum, ip};

use afpa_tcp::{Config, Handle, Handshake, Input, Integrity, Opened, Packet, Sink, Tcp, Time};

const LOCAL: ([u8; 4], u16) = ([10, 0, 0, 1], 80);
const REMOTE: ([u8; 4], u16) = ([10, 0, 0, 2], 4000);
/// The most that the TCP under test may hold.
const MEMORY: u64 = 20_000;
const CONNECTIONS: u32 = 3;

/// Takes `data` as a script for a peer, a caller and a clock: segments that are nearly right, calls, time. Nothing
/// may panic, every bound holds, and once all is quiet nothing is left.
///
/// # Panics
/// If a bound does not hold, or a connection outlives everything.
pub(crate) fn script(data: &[u8]) {
    let mut rig = Rig::new(data.first().copied().unwrap_or(0));
    for line in data.get(1..).unwrap_or_default().chunks(8) {
        let mut octets = [0; 8];
        octets[..line.len()].copy_from_slice(line);
        rig.step(octets);
        rig.check();
    }
    rig.end();
}

/// A TCP, what its peer knows of it, and its connections.
struct Rig {
    tcp: Tcp<Rc<[u8]>>,
    now: Time,
    handles: Vec<Handle>,
    seen: Seen,
}

/// What the peer saw last, and where it is itself.
struct Seen {
    source: SocketAddr,
    /// What follows what was sent.
    next: Sequence,
    /// What is expected of the peer.
    expected: Sequence,
    timestamp: u32,
    room: u32,
}

impl Sink<Rc<[u8]>> for Seen {
    fn max_payload(&self) -> usize {
        if self.room % 2 == 1 { 8000 } else { 0 }
    }

    fn transmit(&mut self, packet: Packet<'_, Rc<[u8]>>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        let len: usize = packet.pieces.iter().map(|piece| piece.bytes().len()).sum();
        let header = tcp::Segment::parse(packet.headers.get(20..).unwrap_or_default());
        let Ok(header) = header else { panic!("a header that cannot be read was sent") };
        assert!(packet.headers.len() + len <= 65_535, "a packet is too long");
        self.source.set_port(header.source_port);
        self.next = Sequence(header.sequence) + header.sequence_len() + len as u32;
        self.expected = Sequence(header.acknowledgment);
        self.timestamp = header.options.timestamps.map_or(0, |timestamps| timestamps.value);
        true
    }
}

impl Rig {
    fn new(choices: u8) -> Rig {
        let handshake = if choices & 1 == 0 { Handshake::Cookies } else { Handshake::Queue { entries: 2 } };
        let config = Config {
            max_connections: CONNECTIONS,
            handshake,
            accept_on_data: choices & 2 != 0,
            nagle: choices & 4 != 0,
            congestion_notification: choices & 8 != 0,
            timestamps: choices & 16 == 0,
            receive_memory: MEMORY,
            time_wait_entries: 4,
            keep_alive: Some(afpa_tcp::KeepAlive {
                idle: Duration::from_secs(60),
                interval: Duration::from_secs(5),
                probes: 2,
            }),
            ..Config::default()
        };
        let mut tcp = Tcp::new(config, [choices; 32]);
        let source = SocketAddr::from(LOCAL);
        let listened = tcp.listen(source, 1);
        assert!(listened.is_ok());
        let (next, expected) = (Sequence(0), Sequence(5000));
        let seen = Seen { source, next, expected, timestamp: 0, room: u32::MAX };
        Rig { tcp, now: Time(1_000_000_000), handles: Vec::new(), seen }
    }

    fn step(&mut self, line: [u8; 8]) {
        let [operation, a, b, ..] = line;
        let handle = self.handles.get(usize::from(a) % self.handles.len().max(1)).copied();
        match (operation % 16, handle) {
            (0..=8, _) => self.segment(line),
            (9, _) => self.pass(Duration::from_millis(u64::from(a) * u64::from(b))),
            (10, Some(handle)) => self.tcp.send_copy(handle, &vec![a; usize::from(b) * 16]),
            (11, Some(handle)) => self.tcp.send_pinned(handle, vec![a; usize::from(b) * 64].into()),
            (12, Some(handle)) => match b % 8 {
                0 => self.tcp.abort(handle),
                1 => self.tcp.finish(handle),
                2 => self.tcp.close(handle),
                _ => self.read(handle, usize::from(b) * 16),
            },
            (13, _) => {
                let remote = SocketAddr::from(REMOTE);
                let _ = self
                    .tcp
                    .connect(self.now, IpAddr::from(LOCAL.0), remote, 2)
                    .map(|handle| self.handles.push(handle));
            }
            (14, _) => self.seen.room = u32::from(a % 4),
            _ => self.seen.room = u32::MAX,
        }
        self.tcp.dispatch(self.now, &mut self.seen);
    }

    /// A segment whose numbers are what they should be, or near.
    fn segment(&mut self, [_, flags, sequence, acknowledgment, len, window, options, echo]: [u8; 8]) {
        let near = |number: Sequence, by: u8| Sequence(number.0.wrapping_add_signed(i32::from(by as i8) * 7));
        let timestamps = (options & 1 == 0).then(|| Timestamps {
            value: (self.now.0 / 1_000_000) as u32,
            echo: self.seen.timestamp.wrapping_sub(u32::from(echo % 2)),
        });
        let mut sack = SackBlocks::NONE;
        if options & 2 != 0 {
            let start = near(self.seen.next, echo);
            sack.push((start.0, (start + u32::from(len)).0));
        }
        let is_syn = flags & 2 != 0;
        let header = tcp::Header {
            source_port: REMOTE.1,
            destination_port: self.seen.source.port(),
            sequence: near(self.seen.expected, sequence).0,
            acknowledgment: near(self.seen.next, acknowledgment).0,
            flags: Flags(flags),
            window: u16::from(window) * 50,
            options: Options {
                mss: is_syn.then_some(u16::from(len) * 10),
                window_scale: (is_syn && options & 4 != 0).then_some(options >> 4),
                sack_permitted: is_syn && options & 8 != 0,
                timestamps,
                sack,
            },
        };
        let packet = packet(&header, &vec![len; usize::from(len) * usize::from(1 + options % 8)]);
        let Some(arrival) = self.tcp.process(self.now, &packet, Integrity::Verify) else { return };
        if let Some(Opened::Accepted(_)) = arrival.opened {
            self.handles.push(arrival.handle);
        }
        match arrival.input {
            Input::Frame(octets) => {
                let count = usize::from(echo).min(octets.len());
                self.tcp.consumed(arrival.handle, &octets[count..], count);
            }
            Input::Buffered if echo % 2 == 0 => self.read(arrival.handle, usize::from(echo) * 16),
            _ => {}
        }
        if arrival.ended.is_some() {
            assert!(self.tcp.peer(arrival.handle).is_none(), "an end is an end");
            self.handles.retain(|handle| *handle != arrival.handle);
        }
    }

    fn read(&mut self, handle: Handle, count: usize) {
        let unread = self.tcp.take_unread(handle);
        let count = count.min(unread.len());
        self.tcp.give_unread(handle, unread, count);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        while let Some(arrival) = self.tcp.expire(self.now) {
            self.handles.retain(|handle| *handle != arrival.handle);
        }
    }

    fn check(&self) {
        assert!(self.tcp.connections() <= CONNECTIONS as usize);
        let unread: u64 =
            self.tcp.handles().filter_map(|handle| self.tcp.describe(handle)).map(|info| u64::from(info.unread)).sum();
        assert!(unread <= MEMORY, "{unread} octets are held");
        let is_owed = |info: afpa_tcp::ConnectionInfo| info.outstanding > 0 || info.queued > 0;
        let owes = self.tcp.handles().filter_map(|handle| self.tcp.describe(handle)).any(is_owed);
        assert!(!owes || self.seen.room == 0 || self.tcp.next_deadline().is_some(), "nothing is waited for");
    }

    /// The peer is gone, and the caller closes: all timers run out.
    fn end(mut self) {
        self.seen.room = u32::MAX;
        self.handles.drain(..).for_each(|handle| self.tcp.close(handle));
        for _ in 0..10_000 {
            self.tcp.dispatch(self.now, &mut self.seen);
            let Some(deadline) = self.tcp.next_deadline() else { break };
            self.now = self.now.max(deadline);
            while self.tcp.expire(self.now).is_some() {}
        }
        assert_eq!(self.tcp.connections(), 0, "a connection outlives everything");
        assert_eq!(self.tcp.next_deadline(), None, "a timer outlives everything");
    }
}

fn packet(header: &tcp::Header, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (IpAddr::from(REMOTE.0), IpAddr::from(LOCAL.0));
    let payload_len = header.header_len() + payload.len();
    let below =
        ip::Header { source, destination, protocol: ip::TCP, ecn: ip::Ecn::NotCapable, payload_len, identification: 0 };
    let mut octets = vec![0; ip::V4_HEADER_LEN + payload_len];
    let start = below.write(&mut octets);
    let end = start + header.write(&mut octets[start..]);
    octets[end..].copy_from_slice(payload);
    let sum = checksum::pseudo_header(source, destination, ip::TCP, payload_len as u32);
    let sum = tcp::checksum(&octets[start..], sum);
    octets[start + tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    octets
}
