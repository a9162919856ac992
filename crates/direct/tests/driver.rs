//! The program in the driver against TCP: what it answers is what TCP would answer, octet for octet.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use afpa_platform::clock;
use afpa_platform::steering::{Assistance, CookieKey, Parameters, Protocol, Rehearsal, SteeringError, Verdict};
use afpa_tcp::{Config, Handshake, Integrity, Offload, Packet, Payload, Sink, Tcp, Time};
use afpa_wire::tcp::{self, Flags, Header, Options, Timestamps};
use afpa_wire::{checksum, ip};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

const SEED: [u8; 32] = [7; 32];
const PORT: u16 = 80;
const OUR_LINK: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEERS_LINK: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HEADER: usize = 14;

/// Nothing is sent that has a payload.
#[derive(Clone)]
struct Nothing;

impl Payload for Nothing {
    fn bytes(&self) -> &[u8] {
        &[]
    }

    fn sum(&self, _: std::ops::Range<usize>) -> u16 {
        0
    }
}

/// The packets that TCP sends.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Sink<Nothing> for Sent {
    fn max_payload(&self) -> usize {
        0
    }

    fn transmit(&mut self, packet: Packet<'_, Nothing>) -> bool {
        self.0.push(packet.headers.to_vec());
        true
    }
}

/// The program and a TCP with the same keys.
struct Pair {
    program: Rehearsal,
    assistance: Assistance,
    config: Config,
}

impl Pair {
    /// Both listen to port 80 on every address; `None` where programs cannot be loaded.
    fn new(config: Config) -> Option<Pair> {
        let program = match Rehearsal::new() {
            Err(SteeringError::NoPrivilege | SteeringError::NoBpf) => {
                println!("skipped: this process may not load BPF programs");
                return None;
            }
            program => program.unwrap(),
        };
        for any in ["0.0.0.0:80", "[::]:80"] {
            program.steer(Protocol::Tcp, any.parse().unwrap()).unwrap();
        }
        let assistance = program.assist().unwrap();
        let pair = Pair { program, assistance, config };
        pair.publish(pair.offload());
        Some(pair)
    }

    fn tcp(&self) -> Tcp<Nothing> {
        let mut tcp = Tcp::new(self.config.clone(), SEED);
        for any in ["0.0.0.0:80", "[::]:80"] {
            tcp.listen(any.parse().unwrap(), 0).unwrap();
        }
        tcp
    }

    fn offload(&self) -> Offload {
        self.tcp().offload(Time(clock::now())).unwrap()
    }

    fn publish(&self, offload: Offload) {
        self.assistance.publish(&Parameters {
            cookie_keys: offload.cookie_keys.map(|(epoch, key)| CookieKey { epoch, key }),
            timestamp_key: offload.timestamp_key,
            selective_acknowledgments: offload.selective_acknowledgments,
            segment_sizes: offload.segment_sizes,
            window: offload.window,
            window_scale: offload.window_scale,
            absorbs: offload.absorbs,
            partial_checksums: offload.partial_checksums,
        });
    }

    fn run(&self, frame: &[u8]) -> Verdict {
        self.program.run(frame).unwrap()
    }

    /// The frame that TCP answers with at that time.
    fn answer(&self, frame: &[u8], now: Time) -> Vec<u8> {
        let (mut tcp, mut sent) = (self.tcp(), Sent::default());
        assert!(tcp.process(now, &frame[HEADER..], Integrity::Verify).is_none());
        assert!(tcp.dispatch(now, &mut sent));
        assert_eq!(sent.0.len(), 1, "{:?}", tcp.stats());
        [&frame[6..12], &frame[..6], &frame[12..HEADER], &sent.0[0]].concat()
    }

    /// The SYN-ACK of the program, which is TCP's, too.
    fn same_answer(&self, frame: &[u8]) -> Vec<u8> {
        let before = clock::now();
        let Verdict::Answered(answer) = self.run(frame) else { panic!("no answer to {frame:02x?}") };
        let (before, after) = (before / 1_000_000, clock::now() / 1_000_000);
        let answers: Vec<_> = (before..=after).map(|now| self.answer(frame, Time(now * 1_000_000))).collect();
        assert!(answers.contains(&answer), "{answer:02x?}\nis none of {answers:02x?}\nto {frame:02x?}");
        answer
    }
}

/// A segment of the peer's.
#[derive(Clone, Debug)]
struct Syn {
    peer: SocketAddr,
    ours: IpAddr,
    sequence: u32,
    acknowledgment: u32,
    flags: Flags,
    /// As they lie in the header.
    options: Vec<u8>,
    payload: Vec<u8>,
    is_partial: bool,
    padding: usize,
}

impl Syn {
    fn linux(peer: &str) -> Syn {
        let peer: SocketAddr = peer.parse().unwrap();
        let ours = if peer.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
        let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0 });
        let header = Header {
            options: Options {
                mss: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps,
                ..Options::NONE
            },
            ..Header::default()
        };
        let mut octets = [0; 60];
        let len = header.write(&mut octets);
        Syn {
            peer,
            ours: ours.parse().unwrap(),
            sequence: 1_000_000,
            acknowledgment: 0,
            flags: Flags::SYN,
            options: octets[20..len].to_vec(),
            payload: Vec::new(),
            is_partial: false,
            padding: 0,
        }
    }

    /// The acknowledgment that follows an answer.
    fn acknowledging(&self, answer: &[u8]) -> Syn {
        let header = if self.peer.is_ipv4() { 20 } else { 40 };
        let made = tcp::Segment::parse(&answer[HEADER + header..]).unwrap().sequence;
        Syn {
            sequence: self.sequence.wrapping_add(1),
            acknowledgment: made.wrapping_add(1),
            flags: Flags::ACK,
            options: Vec::new(),
            ..self.clone()
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut segment = vec![0; 20];
        let header = Header {
            source_port: self.peer.port(),
            destination_port: PORT,
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
            window: 64_240,
            ..Header::default()
        };
        header.write(&mut segment);
        segment.extend_from_slice(&self.options);
        segment.resize(segment.len().next_multiple_of(4), 0);
        segment[12] = (segment.len() << 2) as u8;
        segment.extend_from_slice(&self.payload);
        let pseudo = checksum::pseudo_header(self.peer.ip(), self.ours, ip::TCP, segment.len() as u32);
        let sum = if self.is_partial { pseudo } else { tcp::checksum(&segment, pseudo) };
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        let header = ip::Header {
            source: self.peer.ip(),
            destination: self.ours,
            protocol: ip::TCP,
            ecn: ip::Ecn::NotCapable,
            payload_len: segment.len(),
            identification: 77,
        };
        let mut packet = vec![0; header.header_len()];
        header.write(&mut packet);
        let kind: [u8; 2] = if self.ours.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        [&OUR_LINK[..], &PEERS_LINK, &kind, &packet, &segment, &vec![0; self.padding]].concat()
    }
}

/// One option, or what looks like one.
fn option() -> impl Strategy<Value = Vec<u8>> {
    let whole = |kind: u8, len: usize| {
        prop::collection::vec(any::<u8>(), len).prop_map(move |data| [&[kind, len as u8 + 2][..], &data].concat())
    };
    prop_oneof![
        6 => whole(2, 2),
        4 => Just(vec![1]),
        6 => whole(3, 1),
        6 => whole(4, 0),
        6 => whole(8, 8),
        1 => whole(5, 8),
        1 => Just(vec![0]),
        2 => (5u8..=255, 0usize..6).prop_flat_map(move |(kind, len)| whole(kind, len)),
        1 => (0u8..9, any::<u8>()).prop_map(|(kind, len)| vec![kind, len]),
    ]
}

fn host(is_ipv4: bool) -> impl Strategy<Value = IpAddr> {
    any::<[u8; 16]>().prop_map(move |mut octets| {
        if is_ipv4 {
            IpAddr::from([octets[0] % 223 + 1, octets[1], octets[2], octets[3]])
        } else {
            octets[0] = 0x20 | octets[0] & 0x1f;
            IpAddr::from(octets)
        }
    })
}

fn syn() -> impl Strategy<Value = Syn> {
    let ends = any::<bool>().prop_flat_map(|is_ipv4| (host(is_ipv4), host(is_ipv4)));
    let options = prop::collection::vec(option(), 0..10);
    (ends, any::<u16>(), any::<u32>(), options, any::<bool>(), 0usize..12).prop_map(
        |((peer, ours), port, sequence, options, is_partial, padding)| {
            let mut octets = Vec::new();
            for option in options.into_iter().filter(|option| option.len() <= 40) {
                if octets.len() + option.len() <= 40 {
                    octets.extend_from_slice(&option);
                }
            }
            Syn {
                peer: SocketAddr::new(peer, port),
                ours,
                sequence,
                acknowledgment: 0,
                flags: Flags::SYN,
                options: octets,
                payload: Vec::new(),
                is_partial,
                padding,
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    (any::<bool>(), any::<bool>(), 1280u16..9001, 4096u32..1 << 24).prop_map(
        |(timestamps, selective_acknowledgments, mtu, receive_window)| Config {
            timestamps,
            selective_acknowledgments,
            mtu,
            receive_window,
            accept_on_data: true,
            partial_checksums: true,
            ..Config::default()
        },
    )
}

fn configured() -> Config {
    Config { accept_on_data: true, ..Config::default() }
}

#[test]
fn the_answer_is_the_one_of_tcp_octet_for_octet() {
    let Some(pair) = Pair::new(configured()) else { return };
    let pair = RefCell::new(pair);
    let mut runner = TestRunner::new(Cases { cases: 1000, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&(config(), syn()), |(config, syn)| {
        pair.borrow_mut().config = config;
        let pair = pair.borrow();
        pair.publish(pair.offload());
        pair.same_answer(&syn.frame());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn what_every_client_of_today_says_is_answered_with_as_much() {
    let Some(pair) = Pair::new(configured()) else { return };
    for peer in ["198.51.100.1:40000", "[2001:db8::9]:40000"] {
        let syn = Syn::linux(peer).frame();
        assert_eq!(pair.same_answer(&syn).len(), syn.len());
    }
    assert_eq!((pair.assistance.answered(), pair.assistance.absorbed()), (2, 0));
}

/// A frame, changed; its checksums are as they were.
fn changed(mut frame: Vec<u8>, place: usize, octet: u8) -> Vec<u8> {
    frame[place] = octet;
    frame
}

#[test]
fn what_is_not_plain_is_left_to_the_engine() {
    let Some(pair) = Pair::new(configured()) else { return };
    let v4 = || Syn::linux("198.51.100.1:40000");
    let v6 = || Syn::linux("[2001:db8::9]:40000");
    let tagged = |frame: Vec<u8>| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    let flags = |flags| Syn { flags, ..v4() }.frame();
    let cases = [
        (tagged(v4().frame()), "a VLAN tag"),
        (flags(Flags::SYN | Flags::ECE | Flags::CWR), "congestion notification"),
        (flags(Flags::SYN | Flags::ACK), "a SYN-ACK"),
        (flags(Flags::SYN | Flags::FIN), "a SYN and a FIN"),
        (flags(Flags::RST), "a reset"),
        (Syn { payload: b"early".to_vec(), ..v4() }.frame(), "data"),
        (Syn { is_partial: true, ..v4() }.frame(), "a checksum that nobody completed"),
        (changed(v4().frame(), 14 + 16, 1), "a broken header of IP"),
        (changed(v4().frame(), 14 + 20 + 5, 1), "a broken segment"),
        (changed(v6().frame(), 14 + 40 + 5, 1), "a broken segment over IPv6"),
        (changed(v4().frame(), 0, 3), "to a group of hosts"),
        (Syn { peer: "224.0.0.1:40000".parse().unwrap(), ..v4() }.frame(), "from a group of hosts"),
        (Syn { peer: "0.0.0.0:40000".parse().unwrap(), ..v4() }.frame(), "from nobody"),
        (Syn { peer: "[::]:40000".parse().unwrap(), ..v6() }.frame(), "from nobody, IPv6"),
        (Syn { peer: "[ff02::1]:40000".parse().unwrap(), ..v6() }.frame(), "from a group, IPv6"),
        (Syn { padding: 100, ..v4() }.frame(), "something behind it"),
        (Syn { options: vec![1; 40], ..v4() }.frame(), "many options"),
    ];
    for (frame, what) in cases {
        assert_eq!(pair.run(&frame), Verdict::Passed, "{what}");
    }
    assert!(matches!(pair.run(&v4().frame()), Verdict::Answered(_)));
    assert_eq!(pair.run(&v4().frame()), Verdict::Passed, "the answer may have been lost");
    let next = Syn { sequence: 5, ..v4() }.frame();
    assert!(matches!(pair.run(&next), Verdict::Answered(_)), "another connection");
}

#[test]
fn what_was_offered_is_known_for_a_while() {
    let Some(pair) = Pair::new(configured()) else { return };
    let syn = Syn::linux("198.51.100.1:40000");
    let (ours, second) = (SocketAddr::new(syn.ours, PORT), Duration::from_secs(1));
    let made = syn.acknowledging(&pair.same_answer(&syn.frame())).acknowledgment.wrapping_sub(1);
    let has = |now, peer, number| pair.assistance.has_offered(now, second, ours, peer, number);
    let now = clock::now();
    assert!(has(now, syn.peer, made));
    assert!(has(now - 1_000_000, syn.peer, made), "its clock was ahead of ours");
    assert!(!has(now + 2_000_000_000, syn.peer, made), "too long ago");
    assert!(!has(now, syn.peer, made + 1), "another number");
    assert!(!has(now, "198.51.100.1:40001".parse().unwrap(), made), "another peer");
}

#[test]
fn acknowledgments_of_cookies_are_absorbed_and_no_others() {
    let Some(pair) = Pair::new(configured()) else { return };
    for peer in ["198.51.100.1:40000", "[2001:db8::9]:40000"] {
        let syn = Syn::linux(peer);
        let good = syn.acknowledging(&pair.same_answer(&syn.frame()));
        assert_eq!(pair.run(&good.frame()), Verdict::Dropped);
        assert_eq!(pair.run(&good.frame()), Verdict::Dropped, "again");
        let cases = [
            (Syn { payload: b"GET".to_vec(), ..good.clone() }, "data"),
            (Syn { flags: Flags::ACK | Flags::FIN, ..good.clone() }, "the end"),
            (Syn { acknowledgment: good.acknowledgment ^ 1 << 20, ..good.clone() }, "another number"),
            (Syn { sequence: good.sequence + 1, ..good.clone() }, "another SYN's"),
            (Syn { peer: SocketAddr::new(syn.peer.ip(), 40_001), ..good.clone() }, "another peer's"),
        ];
        for (segment, what) in cases {
            assert_eq!(pair.run(&segment.frame()), Verdict::Passed, "{what}");
        }
    }
    assert_eq!(pair.assistance.absorbed(), 4);
}

#[test]
fn live_connections_are_left_to_the_engine() {
    let Some(pair) = Pair::new(configured()) else { return };
    for peer in ["198.51.100.1:40000", "[2001:db8::9]:40000"] {
        let syn = Syn::linux(peer);
        let acknowledgment = syn.acknowledging(&pair.same_answer(&syn.frame()));
        let again = Syn { sequence: 77, ..syn.clone() };
        let ours = SocketAddr::new(syn.ours, PORT);
        pair.assistance.comes(ours, syn.peer);
        assert_eq!(pair.run(&again.frame()), Verdict::Passed);
        assert_eq!(pair.run(&acknowledgment.frame()), Verdict::Passed);
        // Others are not affected, but for the few that share its counter.
        let others = (0..200).filter(|number| {
            let peer = SocketAddr::new(syn.peer.ip(), 50_000 + number);
            matches!(pair.run(&Syn { peer, ..syn.clone() }.frame()), Verdict::Answered(_))
        });
        assert!(others.count() > 195);
        pair.assistance.goes(ours, syn.peer);
        assert!(matches!(pair.run(&again.frame()), Verdict::Answered(_)));
    }
}

#[test]
fn without_an_engine_nothing_is_done() {
    let Some(pair) = Pair::new(configured()) else { return };
    let syn = |number: u16| Syn::linux(&format!("198.51.100.1:{number}")).frame();
    let later = |mut offload: Offload, epochs: u64| {
        offload.cookie_keys.iter_mut().for_each(|(epoch, _)| *epoch += epochs);
        offload
    };
    pair.publish(later(pair.offload(), 4));
    assert_eq!(pair.run(&syn(1000)), Verdict::Passed, "the keys are of other epochs");
    pair.publish(pair.offload());
    assert!(matches!(pair.run(&syn(1001)), Verdict::Answered(_)));
    pair.assistance.retract();
    assert_eq!(pair.run(&syn(1002)), Verdict::Passed);
    pair.publish(pair.offload());
    assert!(matches!(pair.run(&syn(1003)), Verdict::Answered(_)));
    let Pair { program, assistance, .. } = pair;
    drop(assistance);
    assert_eq!(program.run(&syn(1004)).unwrap(), Verdict::Passed, "the engine is gone");
}

#[test]
fn what_cannot_be_offloaded_is_not() {
    let offload = |config| Tcp::<Nothing>::new(config, SEED).offload(Time(0));
    assert!(offload(configured()).is_some_and(|offload| offload.absorbs));
    assert!(offload(Config::default()).is_some_and(|offload| !offload.absorbs));
    assert_eq!(offload(Config { congestion_notification: true, ..configured() }), None);
    assert_eq!(offload(Config { handshake: Handshake::Queue { entries: 9 }, ..configured() }), None);
}
