//! Long transfers, and clients that do not stay until their end.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::client::Client;
use crate::lab::{DEVICE, FRAMES, Lab, PORT, SERVER};
use crate::pattern::{self, Comparison};
use crate::server::{ADMIN, Server, eventually, first_cpu};

#[test]
fn a_gibibyte_arrives_as_it_is() {
    let Some(lab) = Lab::cable("long") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (frames, length) in [("packet", 256 << 20), ("xdp", 1 << 30)] {
        pattern::write(&dir.path().join("big"), length);
        let server = Server::direct(&lab, dir.path(), &["--frames", frames]);
        let mut client = Client::connect(&lab.client, lab.address());
        client.ask(Path::new("big"), "Connection: close\r\n");
        assert_eq!(client.head().length(), length);
        client.compare(&mut Comparison::default(), length);
        assert!(client.is_finished());
        server.has_connections(0);
        assert_eq!(server.engine("pins"), 0);
    }
}

#[test]
fn large_frames_carry_large_segments() {
    const LENGTH: u64 = 64 << 20;
    let Some(lab) = Lab::cable("large") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    for end in [&lab.server, &lab.client] {
        end.ip(&["link", "set", DEVICE, "mtu", "9000"]);
    }
    for (frames, handling) in FRAMES.into_iter().flat_map(|frames| ["on", "off"].map(|on| (frames, on))) {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames, "--zero-copy", handling]);
        let mut client = Client::connect(&lab.client, lab.address());
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        client.compare(&mut Comparison::default(), LENGTH);
        // 40 octets of headers and 12 of timestamps.
        assert_eq!(server.connections()[0]["segment_size"], 8948);
    }
}

#[test]
fn a_client_that_is_killed_is_forgotten() {
    let Some(lab) = Lab::cable("killed") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), 64 << 20);
    let server = Server::direct(&lab, dir.path(), &[]);
    let script = format!(
        "exec 3<>/dev/tcp/{SERVER}/{PORT}; printf 'GET /big HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' >&3; exec cat <&3"
    );
    let mut client = lab.client.command("bash").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    // Kept until it is killed: it would end by itself if nobody could read what it writes.
    let mut output = client.stdout.take().unwrap();
    output.by_ref().take(1 << 20).read_to_end(&mut Vec::new()).unwrap();
    server.has_connections(1);
    client.kill().unwrap();
    client.wait().unwrap();
    server.has_connections(0);
    assert_eq!(server.engine("pins"), 0);
}

#[test]
fn a_transfer_goes_on_when_the_cable_is_plugged_in_again() {
    const LENGTH: u64 = 64 << 20;
    let Some(lab) = Lab::cable("plugged") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    for frames in FRAMES {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames]);
        let mut client = Client::connect(&lab.client, lab.address());
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        let mut comparison = Comparison::default();
        client.compare(&mut comparison, LENGTH / 4);
        let before = server.tcp("retransmission_timeouts");
        lab.client.ip(&["link", "set", DEVICE, "down"]);
        eventually("a timeout", || server.tcp("retransmission_timeouts") >= before + 2);
        lab.client.ip(&["link", "set", DEVICE, "up"]);
        client.compare(&mut comparison, LENGTH);
        assert_eq!(client.get("none").status, 404);
        assert_eq!(Client::connect(&lab.client, lab.address()).get("none").status, 404, "new clients come in, too");
    }
}

#[test]
fn a_client_that_is_unplugged_is_given_up() {
    let Some(lab) = Lab::cable("unplugged") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), 64 << 20);
    let configuration = dir.path().join("afpa.toml");
    let text = format!(
        "listen = '{SERVER}:{PORT}'\ntransport = 'direct'\ncores = '{}'\n\
         [direct]\ninterface = '{DEVICE}'\nframes = 'xdp'\n[site]\nroot = {:?}\n\
         [limits]\nmin-rate = 100000\nidle-timeout = '2s'\n[admin]\nlisten = '{ADMIN}'\n",
        first_cpu(),
        dir.path()
    );
    std::fs::write(&configuration, text).unwrap();
    let server = Server::start(&lab, &["run", "--config", configuration.to_str().unwrap()]);
    let mut client = Client::connect(&lab.client, lab.address());
    client.ask(Path::new("big"), "");
    client.head();
    lab.client.ip(&["link", "set", DEVICE, "down"]);
    server.has_connections(0);
    assert_eq!(server.engine("pins"), 0);
}
