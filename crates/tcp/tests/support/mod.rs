//! A scripted peer: builds segments, feeds them to a [`Tcp`], and collects what it sends.
#![allow(dead_code, reason = "each test uses some of it")]

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use afpa_tcp::{Arrival, Config, Handle, Input, Integrity, Opened, Packet, Sink, Tcp, Time};
use afpa_wire::ip::{self, Ecn};
use afpa_wire::tcp::{self, Flags, Options, Segment, Timestamps};

pub(crate) const SERVER: &str = "10.0.0.1:80";
pub(crate) const CLIENT: &str = "10.0.0.2:40000";

pub(crate) type Pinned = Rc<[u8]>;

/// A packet that was sent, checked and taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: Options,
    pub(crate) ecn: Ecn,
    pub(crate) payload: Vec<u8>,
}

impl Sent {
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }
}

/// Takes packets apart; room for as many as `room` says.
pub(crate) struct Collector {
    pub(crate) sent: Vec<Sent>,
    pub(crate) room: usize,
    pub(crate) max_payload: usize,
    pub(crate) largest: usize,
}

impl Default for Collector {
    fn default() -> Collector {
        Collector { sent: Vec::new(), room: usize::MAX, max_payload: 0, largest: 0 }
    }
}

impl Sink<Pinned> for Collector {
    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn transmit(&mut self, packet: Packet<'_, Pinned>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        let mut octets = packet.headers.to_vec();
        packet.pieces.iter().for_each(|piece| octets.extend_from_slice(piece.bytes()));
        self.largest = self.largest.max(octets.len());
        match packet.segment_size {
            None => self.sent.push(take_apart(&octets)),
            Some(size) => cut(&octets, packet.headers.len(), usize::from(size)).iter().for_each(|octets| {
                self.sent.push(take_apart(octets));
            }),
        }
        true
    }
}

/// What a device does with a large segment.
pub(crate) fn cut(octets: &[u8], headers: usize, size: usize) -> Vec<Vec<u8>> {
    let parsed = ip::Packet::parse(octets).expect("a valid packet");
    let segment = Segment::parse(parsed.payload()).expect("a valid segment");
    let pseudo = parsed.pseudo_header();
    assert!(tcp::is_partial(parsed.payload(), pseudo), "the checksum field holds the pseudo-header's sum");
    let payload = &octets[headers..];
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(number, part)| {
        let mut flags = segment.flags;
        if number + 1 < count {
            flags = flags.without(Flags::FIN | Flags::PSH);
        }
        let header = tcp::Header {
            source_port: segment.source_port,
            destination_port: segment.destination_port,
            sequence: segment.sequence.wrapping_add((number * size) as u32),
            acknowledgment: segment.acknowledgment,
            flags,
            window: segment.window,
            options: segment.options,
        };
        build_between(parsed.source(), parsed.destination(), &header, parsed.ecn(), part)
    });
    parts.collect()
}

fn take_apart(octets: &[u8]) -> Sent {
    let packet = ip::Packet::parse(octets).expect("a valid packet");
    assert_eq!(packet.octets().len(), octets.len(), "the IP header says how long the packet is");
    let segment = Segment::parse(packet.payload()).expect("a valid segment");
    let integrity = tcp::is_intact(packet.payload(), packet.pseudo_header());
    assert_eq!(integrity, tcp::Integrity::Whole, "{segment:?}");
    Sent {
        source: SocketAddr::new(packet.source(), segment.source_port),
        destination: SocketAddr::new(packet.destination(), segment.destination_port),
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
        flags: segment.flags,
        window: segment.window,
        options: segment.options,
        ecn: packet.ecn(),
        payload: segment.payload.to_vec(),
    }
}

pub(crate) fn build(
    source: SocketAddr,
    destination: SocketAddr,
    header: tcp::Header,
    ecn: Ecn,
    payload: &[u8],
) -> Vec<u8> {
    let header = tcp::Header { source_port: source.port(), destination_port: destination.port(), ..header };
    build_between(source.ip(), destination.ip(), &header, ecn, payload)
}

fn build_between(
    source: std::net::IpAddr,
    destination: std::net::IpAddr,
    header: &tcp::Header,
    ecn: Ecn,
    payload: &[u8],
) -> Vec<u8> {
    let len = header.header_len() + payload.len();
    let below = ip::Header { source, destination, protocol: ip::TCP, ecn, payload_len: len, identification: 0 };
    let mut octets = vec![0; below.header_len() + len];
    let start = below.write(&mut octets);
    let end = start + header.write(&mut octets[start..]);
    octets[end..].copy_from_slice(payload);
    let pseudo = afpa_wire::checksum::pseudo_header(source, destination, ip::TCP, len as u32);
    let checksum = tcp::checksum(&octets[start..], pseudo);
    octets[start + tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
    octets
}

/// What happened to the caller of a [`Tcp`]: an arrival with its octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) handle: Handle,
    pub(crate) token: u32,
    pub(crate) opened: Option<Opened>,
    pub(crate) acknowledged: u64,
    pub(crate) input: Vec<u8>,
    pub(crate) finished: bool,
    pub(crate) ended: Option<afpa_tcp::Ending>,
}

/// A TCP with its clock, whose caller consumes everything unless told otherwise.
pub(crate) struct Host {
    pub(crate) tcp: Tcp<Pinned>,
    pub(crate) now: Time,
    pub(crate) sink: Collector,
    /// How many octets of each input are consumed.
    pub(crate) appetite: usize,
}

impl Host {
    pub(crate) fn new(config: Config) -> Host {
        let mut tcp = Tcp::new(config, [7; 32]);
        tcp.listen(SERVER.parse().unwrap(), 1).unwrap();
        Host { tcp, now: Time(1_000_000_000), sink: Collector::default(), appetite: usize::MAX }
    }

    pub(crate) fn listening_at(config: Config, local: SocketAddr) -> Host {
        let mut tcp = Tcp::new(config, [7; 32]);
        tcp.listen(local, 1).unwrap();
        Host { tcp, now: Time(1_000_000_000), sink: Collector::default(), appetite: usize::MAX }
    }

    /// Feeds a packet; what it provoked is not sent yet.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> Option<Event> {
        let arrival = self.tcp.process(self.now, octets, Integrity::Verify)?;
        let Arrival { handle, token, opened, acknowledged, input, finished, ended } = arrival;
        let taken = match input {
            Input::None => Vec::new(),
            Input::Frame(octets) => {
                let count = octets.len().min(self.appetite);
                self.tcp.consumed(handle, &octets[count..], count);
                octets[..count].to_vec()
            }
            Input::Buffered => self.read(handle),
        };
        Some(Event { handle, token, opened, acknowledged, input: taken, finished, ended })
    }

    /// Reads what is unread, as far as the appetite goes.
    pub(crate) fn read(&mut self, handle: Handle) -> Vec<u8> {
        let unread = self.tcp.take_unread(handle);
        let count = unread.len().min(self.appetite);
        let taken = unread[..count].to_vec();
        self.tcp.give_unread(handle, unread, count);
        taken
    }

    /// What is sent now.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        self.tcp.dispatch(self.now, &mut self.sink);
        std::mem::take(&mut self.sink.sent)
    }

    /// The one packet that is sent now.
    pub(crate) fn sent_one(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// Moves the clock, and returns what that raised.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Event> {
        let until = self.now.after(time);
        let mut events = Vec::new();
        self.tcp.dispatch(self.now, &mut self.sink);
        while let Some(deadline) = self.tcp.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            while let Some(arrival) = self.tcp.expire(self.now) {
                let Arrival { handle, token, opened, acknowledged, finished, ended, .. } = arrival;
                events.push(Event { handle, token, opened, acknowledged, input: Vec::new(), finished, ended });
            }
            self.tcp.dispatch(self.now, &mut self.sink);
        }
        self.now = until;
        events
    }
}

/// The other end, as a script.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The next sequence number to send.
    pub(crate) next: u32,
    /// The next one expected.
    pub(crate) expected: u32,
    pub(crate) window: u16,
    pub(crate) syn_options: Options,
    /// Our timestamp clock; `None` without timestamps.
    pub(crate) clock: Option<u32>,
    /// The last timestamp seen.
    pub(crate) recent: u32,
    pub(crate) ecn: Ecn,
}

impl Peer {
    /// A peer with every option.
    pub(crate) fn new() -> Peer {
        let syn_options = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 5000, echo: 0 }),
            ..Options::NONE
        };
        Peer {
            local: CLIENT.parse().unwrap(),
            remote: SERVER.parse().unwrap(),
            next: 1000,
            expected: 0,
            window: 1000,
            syn_options,
            clock: Some(5000),
            recent: 0,
            ecn: Ecn::NotCapable,
        }
    }

    /// A peer with nothing but an MSS; its window is in octets.
    pub(crate) fn plain() -> Peer {
        let syn_options = Options { mss: Some(1460), ..Options::NONE };
        Peer { syn_options, clock: None, window: 60_000, ..Peer::new() }
    }

    pub(crate) fn at_port(mut self, port: u16) -> Peer {
        self.local.set_port(port);
        self
    }

    pub(crate) fn options(&self) -> Options {
        let timestamps = self.clock.map(|value| Timestamps { value, echo: self.recent });
        Options { timestamps, ..Options::NONE }
    }

    /// Any segment.
    pub(crate) fn build(&self, sequence: u32, flags: Flags, options: Options, payload: &[u8]) -> Vec<u8> {
        let header = tcp::Header {
            sequence,
            acknowledgment: if flags.contains(Flags::ACK) { self.expected } else { 0 },
            flags,
            window: self.window,
            options,
            ..tcp::Header::default()
        };
        build(self.local, self.remote, header, self.ecn, payload)
    }

    pub(crate) fn syn(&self) -> Vec<u8> {
        self.build(self.next, Flags::SYN, self.syn_options, &[])
    }

    /// The next segment; the sequence number advances.
    pub(crate) fn segment(&mut self, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let octets = self.build(self.next, flags, self.options(), payload);
        let end = payload.len() as u32 + u32::from(flags.contains(Flags::FIN));
        self.next = self.next.wrapping_add(end);
        octets
    }

    pub(crate) fn ack(&mut self) -> Vec<u8> {
        self.segment(Flags::ACK, &[])
    }

    pub(crate) fn data(&mut self, payload: &[u8]) -> Vec<u8> {
        self.segment(Flags::ACK | Flags::PSH, payload)
    }

    pub(crate) fn fin(&mut self) -> Vec<u8> {
        self.segment(Flags::ACK | Flags::FIN, &[])
    }

    /// Data at an offset from the next sequence number, which stays.
    pub(crate) fn data_at(&self, offset: i32, payload: &[u8]) -> Vec<u8> {
        let sequence = self.next.wrapping_add(offset as u32);
        self.build(sequence, Flags::ACK | Flags::PSH, self.options(), payload)
    }

    /// An acknowledgment with SACK blocks, at offsets from `expected`.
    pub(crate) fn sack(&self, blocks: &[(u32, u32)]) -> Vec<u8> {
        let at = |offset: u32| self.expected.wrapping_add(offset);
        let sack = blocks.iter().map(|(first, behind)| (at(*first), at(*behind))).collect();
        self.build(self.next, Flags::ACK, Options { sack, ..self.options() }, &[])
    }

    /// Takes note of a segment in order.
    pub(crate) fn take(&mut self, sent: &Sent) {
        let controls = u32::from(sent.has(Flags::SYN)) + u32::from(sent.has(Flags::FIN));
        self.expected = sent.sequence.wrapping_add(sent.payload.len() as u32 + controls);
        if let Some(timestamps) = sent.options.timestamps {
            self.recent = timestamps.value;
        }
    }

    /// Shakes hands, up to and including the SYN-ACK.
    pub(crate) fn open(&mut self, host: &mut Host) -> Sent {
        assert_eq!(host.feed(&self.syn()), None);
        let synchronized = host.sent_one();
        assert!(synchronized.has(Flags::SYN | Flags::ACK));
        assert_eq!(synchronized.acknowledgment, self.next.wrapping_add(1));
        self.next = self.next.wrapping_add(1);
        self.take(&synchronized);
        synchronized
    }

    /// Shakes hands.
    pub(crate) fn connect(&mut self, host: &mut Host) -> Handle {
        self.open(host);
        let acknowledgment = self.ack();
        let event = host.feed(&acknowledgment).expect("the connection is open");
        assert!(matches!(event.opened, Some(Opened::Accepted(_))));
        assert_eq!(host.sent(), []);
        event.handle
    }
}

pub(crate) fn pinned(len: usize) -> Pinned {
    (0..len).map(|octet| (octet % 251) as u8).collect()
}

pub(crate) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
