//! Peers that lie about who they are.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use afpa_wire::tcp::{Flags, Header, Options};

use crate::client::Client;
use crate::lab::Lab;
use crate::observed::capture;
use crate::raw::{Forger, Numbers};
use crate::server::{Server, eventually};

/// How much memory a flood may cost: half-open connections cost none, or those of a queue of 1,024.
const FLOOD: u64 = 4 << 20;

#[test]
fn established_clients_are_answered_during_a_flood_of_syns() {
    let Some(lab) = Lab::cable("flood") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>dry").unwrap();
    for handshake in ["cookies", "queue"] {
        let server = Server::direct(&lab, dir.path(), &["--handshake", handshake]);
        let mut client = Client::connect(&lab.client, lab.address());
        assert_eq!(client.get("").body, b"<p>dry");
        let before = server.memory();
        let has_ended = AtomicBool::new(false);
        let (mut exchanges, mut sent) = (0, 0);
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let sent = flood(&lab, Duration::from_secs(2));
                has_ended.store(true, Ordering::Relaxed);
                sent
            });
            while !has_ended.load(Ordering::Relaxed) {
                assert_eq!(client.get("").body, b"<p>dry");
                exchanges += 1;
            }
            sent = flood.join().unwrap();
        });
        eventually("counting", || server.tcp("cookies_sent") > 1000);
        let grown = server.memory().saturating_sub(before);
        println!("{handshake}: {sent} SYNs, {exchanges} exchanges beside them, {grown} octets of memory");
        assert!(grown < FLOOD, "{grown} octets");
        assert_eq!(server.engine("connections"), 1);
        // Who comes now is welcome.
        assert_eq!(Client::connect(&lab.client, lab.address()).get("").body, b"<p>dry");
        assert_eq!(client.get("").body, b"<p>dry");
    }
}

#[test]
fn segments_forged_blindly_do_no_harm() {
    let Some(lab) = Lab::cable("forged") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>dry").unwrap();
    let server = Server::direct(&lab, dir.path(), &[]);
    let mut client = Client::connect(&lab.client, lab.address());
    let (client_address, server_address) = ends(&client);
    let forger = Forger::new(&lab.client);
    let mut numbers = Numbers(7);
    let kinds = [Flags::RST, Flags::RST.with(Flags::ACK), Flags::SYN, Flags::ACK, Flags::ACK.with(Flags::FIN)];
    for _ in 0..200 {
        for flags in kinds.iter().cycle().take(100) {
            let number = numbers.next();
            let header = Header {
                sequence: number as u32,
                acknowledgment: (number >> 32) as u32,
                flags: *flags,
                window: 100,
                ..Header::default()
            };
            let payload: &[u8] = if *flags == Flags::ACK { b"GET /forged HTTP/1.1\r\n" } else { b"" };
            forger.send(client_address, server_address, header, payload);
        }
        assert_eq!(client.get("").body, b"<p>dry");
    }
    assert_eq!(server.engine("resets"), 0);
    assert_eq!(server.engine("connections"), 1);
}

#[test]
fn only_a_reset_with_the_very_number_is_one() {
    let Some(lab) = Lab::cable("exact") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>dry").unwrap();
    let server = Server::direct(&lab, dir.path(), &[]);
    let mut client = Client::connect(&lab.client, lab.address());
    let (from, to) = ends(&client);
    let mut peer = Known::by_capture(&lab, &mut client);
    let forger = Forger::new(&lab.client);
    let forge = |peer: &Known, flags: Flags, distance: u32, ahead: u32, payload: &[u8]| {
        let sequence = peer.expected.wrapping_add(distance);
        let acknowledgment = peer.sent.wrapping_add(ahead);
        forger.send(from, to, Header { sequence, acknowledgment, flags, window: 100, ..Header::default() }, payload);
    };
    // Within the window, but not what is expected next (RFC 5961 §3.2); a SYN (§4.2).
    for distance in [1, 2, 100, 30_000, 60_000, u32::MAX, u32::MAX - 1000] {
        for flags in [Flags::RST, Flags::RST.with(Flags::ACK), Flags::SYN, Flags::SYN.with(Flags::ACK)] {
            forge(&peer, flags, distance, 0, b"");
        }
        peer.exchange(&mut client);
    }
    // The right place, but acknowledgments of what was never sent, or long ago (§5.2).
    for ahead in [1, 100_000, 1 << 30, 1 << 31, 3 << 30] {
        forge(&peer, Flags::ACK, 0, ahead, b"GET /forged HTTP/1.1\r\n");
        forge(&peer, Flags::ACK.with(Flags::FIN), 0, ahead, b"");
        peer.exchange(&mut client);
    }
    eventually("counting", || {
        peer.exchange(&mut client);
        server.tcp("challenge_acknowledgments") > 0
    });
    assert_eq!(server.engine("connections"), 1);
    // Which shows that all of it went to the right place.
    forge(&peer, Flags::RST, 0, 0, b"");
    server.has_connections(0);
    assert_eq!(server.engine("resets"), 1);
}

/// Where a server stands with a client that is silent.
struct Known {
    /// The number that the server expects next.
    expected: u32,
    /// The number that follows what it has sent.
    sent: u32,
    /// Octets of a question and of its answer.
    question: u32,
    answer: u32,
}

impl Known {
    /// By looking at what the server sees. Every question has a number, and all are of one length, as the answers.
    fn by_capture(lab: &Lab, client: &mut Client) -> Known {
        let mut asked = 0;
        let segments = capture(lab, 50, || {
            ask(client, asked);
            asked += 1;
        });
        let questions: Vec<_> = segments.iter().filter(|segment| segment.payload.starts_with(b"GET /?")).collect();
        let [.., before, last] = &questions[..] else { panic!("{segments:?}") };
        let number: u32 = str::from_utf8(&last.payload[6..14]).unwrap().parse().unwrap();
        let question = last.payload.len() as u32;
        assert_eq!(before.sequence.wrapping_add(question), last.sequence);
        let answer = last.acknowledgment.wrapping_sub(before.acknowledgment);
        let later = asked - number;
        Known {
            expected: last.sequence.wrapping_add(later * question),
            sent: last.acknowledgment.wrapping_add(later * answer),
            question,
            answer,
        }
    }

    fn exchange(&mut self, client: &mut Client) {
        ask(client, 0);
        self.expected = self.expected.wrapping_add(self.question);
        self.sent = self.sent.wrapping_add(self.answer);
    }
}

fn ask(client: &mut Client, number: u32) {
    client.send(&format!("GET /?{number:08} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!(client.answer().body, b"<p>dry");
}

/// Both ends of a connection over IPv4: the client's, the server's.
fn ends(client: &Client) -> (SocketAddrV4, SocketAddrV4) {
    match (client.stream().local_addr().unwrap(), client.stream().peer_addr().unwrap()) {
        (SocketAddr::V4(local), SocketAddr::V4(peer)) => (local, peer),
        other => panic!("{other:?}"),
    }
}

/// Sends SYNs from everywhere as fast as the kernel takes them; how many.
fn flood(lab: &Lab, duration: Duration) -> u64 {
    let forger = Forger::new(&lab.client);
    let SocketAddr::V4(server) = lab.address() else { unreachable!() };
    let mut numbers = Numbers(1);
    let options = Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..Options::default() };
    let until = Instant::now() + duration;
    let mut sent = 0;
    while Instant::now() < until {
        for _ in 0..64 {
            let sequence = numbers.next() as u32;
            let header = Header { sequence, flags: Flags::SYN, window: 64_000, options, ..Header::default() };
            forger.send(numbers.stranger(), server, header, &[]);
            sent += 1;
        }
    }
    sent
}
