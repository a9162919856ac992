//! Paths that lose, repeat, delay, end for a while, or are narrower than they seem.

use std::path::Path;
use std::time::Duration;

use crate::client::Client;
use crate::lab::{FRAMES, Lab};
use crate::pattern::{self, Comparison};
use crate::relay::{Faults, Relay};
use crate::server::{Server, eventually};

const LENGTH: u64 = 20 << 20;
/// 5 % are lost, and others come twice or late.
const UNKIND: Faults = Faults { lost: 50, repeated: 20, overtaken: 20, delay: Duration::from_millis(3), longest: 0 };

#[test]
fn nothing_is_missing_after_loss_repetition_and_delay() {
    let Some(relay) = Relay::lab("loss", 1, UNKIND) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    for frames in FRAMES {
        let (server, before) = (Server::direct(&relay.lab, dir.path(), &["--frames", frames]), relay.lost());
        let mut client = Client::connect(&relay.lab.client, relay.lab.address());
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        client.compare(&mut Comparison::default(), LENGTH);
        assert_eq!(client.get("none").status, 404);
        let (lost, repaired) = (relay.lost() - before, server.tcp("retransmitted_segments"));
        println!("{frames}: {lost} frames were lost, {repaired} segments sent again");
        assert!(lost > 500 && server.tcp("fast_recoveries") > 0);
        drop(client);
        server.has_connections(0);
    }
}

#[test]
fn small_exchanges_survive_loss() {
    let Some(relay) = Relay::lab("small", 2, UNKIND) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("file"), 5000);
    let server = Server::direct(&relay.lab, dir.path(), &[]);
    // Side by side, so that their timeouts are, too.
    for _ in 0..2 {
        let mut clients = side_by_side(25, || Client::connect(&relay.lab.client, relay.lab.address()));
        for _ in 0..2 {
            clients.iter_mut().for_each(|client| client.ask(Path::new("file"), ""));
            for client in &mut clients {
                assert_eq!(client.head().length(), 5000);
                client.compare(&mut Comparison::default(), 5000);
            }
        }
    }
    server.has_connections(0);
}

#[test]
fn clients_with_less_of_tcp_are_served_as_well() {
    const LENGTH: u64 = 2 << 20;
    let Some(relay) = Relay::lab("less", 4, UNKIND) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&relay.lab, dir.path(), &[]);
    for less in [&["tcp_sack"][..], &["tcp_timestamps"], &["tcp_sack", "tcp_timestamps", "tcp_window_scaling"]] {
        for name in less {
            relay.lab.client.shell(&format!("echo 0 > /proc/sys/net/ipv4/{name}"));
        }
        let mut client = Client::connect(&relay.lab.client, relay.lab.address());
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        client.compare(&mut Comparison::default(), LENGTH);
        for name in less {
            relay.lab.client.shell(&format!("echo 1 > /proc/sys/net/ipv4/{name}"));
        }
    }
    server.has_connections(0);
}

#[test]
fn a_path_that_swallows_long_packets_is_found_out() {
    const LENGTH: u64 = 4 << 20;
    // Of what both links take, and nobody tells.
    let Some(relay) = Relay::lab("hole", 5, Faults { longest: 1314, ..Faults::default() }) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&relay.lab, dir.path(), &[]);
    let mut client = Client::connect(&relay.lab.client, relay.lab.address());
    client.ask(Path::new("big"), "");
    assert_eq!(client.head().length(), LENGTH);
    client.compare(&mut Comparison::default(), LENGTH);
    let connections = server.connections();
    let size = connections[0]["segment_size"].as_u64().unwrap();
    assert!((500..=1248).contains(&size), "{connections:?}");
}

#[test]
fn a_client_that_thinks_before_it_asks_is_not_taken_for_a_distant_one() {
    let Some(lab) = Lab::cable("thinks") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("file"), 5000);
    for handshake in ["cookies", "queue"] {
        let server = Server::direct(&lab, dir.path(), &["--handshake", handshake]);
        let mut client = Client::connect(&lab.client, lab.address());
        // What it does in between is not the network's time.
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(client.get("file").status, 200);
        let connections = server.connections();
        let round_trip = connections[0]["round_trip_micros"].as_u64().unwrap();
        assert!(round_trip < 1_000_000, "{handshake}: {connections:?}");
    }
}

#[test]
fn a_transfer_goes_on_after_the_path_was_cut() {
    let Some(relay) = Relay::lab("cut", 3, Faults::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&relay.lab, dir.path(), &[]);
    let mut client = Client::connect(&relay.lab.client, relay.lab.address());
    client.ask(Path::new("big"), "");
    assert_eq!(client.head().length(), LENGTH);
    let mut comparison = Comparison::default();
    client.compare(&mut comparison, LENGTH / 2);
    relay.cut(true);
    // 0.2, 0.4, 0.8 and 1.6 seconds, or more.
    let before = server.tcp("retransmission_timeouts");
    eventually("the fourth timeout", || server.tcp("retransmission_timeouts") >= before + 4);
    relay.cut(false);
    client.compare(&mut comparison, LENGTH);
    assert_eq!(client.get("none").status, 404);
}

#[test]
fn a_path_that_is_narrower_than_both_links_is_found_out() {
    const LENGTH: u64 = 4 << 20;
    let Some(lab) = Lab::routed("narrow", 1300) else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    let server = Server::direct(&lab, dir.path(), &[]);
    for address in [lab.address()].into_iter().chain(lab.address_v6()) {
        let mut client = Client::connect(&lab.client, address);
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        let mut comparison = Comparison::default();
        client.compare(&mut comparison, LENGTH / 2);
        let connections = server.connections();
        let size = connections[0]["segment_size"].as_u64().unwrap();
        assert!((1000..1300).contains(&size), "{connections:?}");
        client.compare(&mut comparison, LENGTH);
        drop(client);
        server.has_connections(0);
    }
    // The router told; nothing had to be guessed by timeouts alone.
    assert!(server.tcp("retransmission_timeouts") <= 2, "{}", server.tcp("retransmission_timeouts"));
}

fn side_by_side<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
