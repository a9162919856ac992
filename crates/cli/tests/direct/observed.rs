//! What an operator sees while traffic runs.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use afpa_wire::tcp::{Flags, Segment};
use afpa_wire::{ethernet, ip};

use crate::client::Client;
use crate::lab::{CLIENT, DEVICE, FRAMES, Lab};
use crate::pattern::{self, Comparison};
use crate::server::{ADMIN, Server, eventually};

/// The block of pcapng that holds a frame, and where in it the frame's length and octets are.
const ENHANCED_PACKET: u32 = 6;
const CAPTURED_LENGTH: usize = 20;
const OCTETS: usize = 28;

#[test]
fn connections_and_counters_are_shown_while_traffic_runs() {
    const LENGTH: u64 = 32 << 20;
    let Some(lab) = Lab::cable("shown") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&lab, dir.path(), &["--congestion", "reno"]);
    let mut client = Client::connect(&lab.client, lab.address());
    client.ask(Path::new("big"), "");
    client.head();
    let mut comparison = Comparison::default();
    client.compare(&mut comparison, LENGTH / 2);

    let connections = server.connections();
    let [connection] = &connections[..] else { panic!("{connections:?}") };
    assert_eq!(connection["local"], lab.address().to_string());
    assert_eq!(connection["remote"], client.stream().local_addr().unwrap().to_string());
    assert_eq!((&connection["state"], &connection["congestion"]["control"]), (&"established".into(), &"reno".into()));
    // 1,500 octets without 40 of headers and 12 of timestamps.
    assert_eq!(connection["segment_size"], 1448);
    for number in ["congestion_window", "receive_window", "round_trip_micros", "retransmission_timeout_micros"] {
        assert!(connection[number].as_u64().unwrap() > 0, "{number}: {connection}");
    }
    assert_eq!(connection["unread"], 0);

    client.compare(&mut comparison, LENGTH);
    // An engine that has nothing to do tells what it has counted.
    assert!(server.tcp("payload_octets_out") > LENGTH);
    let counters = ["frames_in", "frames_out", "payload_octets_in", "cookies_sent", "cookies_accepted"];
    counters.iter().for_each(|name| assert!(server.tcp(name) > 0, "{name}"));
    assert_eq!(server.tcp("bad_checksums"), 0);
    let frames = server.tcp("frames_out");
    assert!(frames > LENGTH / 1448, "{frames} frames");
    drop(client);
    server.has_connections(0);
    assert!(server.connections().iter().all(|connection| connection["state"] != "established"));
    assert!(server.tcp("cookies_accepted") == 1 || !server.connections().is_empty());
}

#[test]
fn a_capture_holds_what_direct_received_and_sent() {
    let Some(lab) = Lab::cable("capture") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("file"), 10_000);
    for frames in FRAMES {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames]);
        let segments = capture(&lab, 200, || {
            let mut client = Client::connect(&lab.client, lab.address());
            client.ask(Path::new("file"), "Connection: close\r\n");
            assert_eq!(client.answer().status, 200);
            assert!(client.is_finished());
        });
        all_of_an_exchange(&lab, &segments);
        server.has_connections(0);
    }
}

fn all_of_an_exchange(lab: &Lab, segments: &[Captured]) {
    assert_eq!(segments.len(), 200);
    let client: IpAddr = CLIENT.parse().unwrap();
    for segment in segments {
        let ends = [segment.from, segment.to];
        assert!(ends.contains(&lab.address()) && ends.iter().any(|end| end.ip() == client), "{segment:?}");
    }
    // The handshake, the question, the answer, the end.
    let count = |is_sent: bool, flags: Flags| {
        let right = |s: &&Captured| (s.from == lab.address()) == is_sent && s.flags.contains(flags);
        segments.iter().filter(right).count()
    };
    for (is_sent, flags) in [(false, Flags::SYN), (true, Flags::SYN), (true, Flags::FIN), (false, Flags::FIN)] {
        assert!(count(is_sent, flags) > 0, "{is_sent} {flags:?}");
    }
    let asks = |s: &Captured| s.payload.starts_with(b"GET /file HTTP/1.1\r\n");
    assert!(segments.iter().any(asks), "no request");
    assert!(segments.iter().any(|s| s.payload.starts_with(b"HTTP/1.1 200 OK\r\n")), "no answer");
}

/// A segment of a capture.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: Flags,
    pub(crate) payload: Vec<u8>,
}

/// What the server's direct transport sees, until it is so many frames: `traffic` is made again and again.
pub(crate) fn capture(lab: &Lab, frames: usize, mut traffic: impl FnMut()) -> Vec<Captured> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.pcapng");
    let mut command = lab.server.command(env!("CARGO_BIN_EXE_afpa"));
    command.arg("capture").arg(&file).args(["--admin", ADMIN, "--count", &frames.to_string()]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    eventually("a capture", || {
        traffic();
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("afpa: {frames} frames in {}, 0 lost\n", file.display()));
    read(&std::fs::read(&file).unwrap())
}

fn read(mut file: &[u8]) -> Vec<Captured> {
    let number = |octets: &[u8], at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
    assert!(file.windows(DEVICE.len()).take(500).any(|name| name == DEVICE.as_bytes()), "the interface has no name");
    let mut segments = Vec::new();
    while !file.is_empty() {
        let (block, rest) = file.split_at(number(file, 4) as usize);
        if number(block, 0) == ENHANCED_PACKET {
            segments.push(segment(&block[OCTETS..][..number(block, CAPTURED_LENGTH) as usize]));
        }
        file = rest;
    }
    segments
}

fn segment(frame: &[u8]) -> Captured {
    let frame = ethernet::Frame::parse(frame).unwrap();
    let packet = ip::Packet::parse(frame.payload).unwrap();
    let segment = Segment::parse(packet.payload()).unwrap();
    Captured {
        from: SocketAddr::new(packet.source(), segment.source_port),
        to: SocketAddr::new(packet.destination(), segment.destination_port),
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
        flags: segment.flags,
        payload: segment.payload.to_vec(),
    }
}
