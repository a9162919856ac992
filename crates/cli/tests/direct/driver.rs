//! The driver does the stateless part of handshakes.

use std::path::Path;

use afpa_platform::interface::Interface;
use afpa_platform::steering::{AttachMode, Steering};

use crate::client::Client;
use crate::lab::{DEVICE, Lab};
use crate::server::{Server, eventually};

const ASSISTED: &[&str] = &["--driver-handshake", "on"];

/// A program at the client's end that passes all: without one, what a driver sends back on such a cable waits there for
/// the next frame.
fn passing(lab: &Lab) -> Steering {
    lab.client.inside(|| {
        let facts = Interface::by_name(DEVICE).unwrap();
        Steering::attach(facts.index, AttachMode::Native).unwrap()
    })
}

/// So many connections with a request each, which the server closes; the frames that reached the engine.
fn exchanges(lab: &Lab, server: &Server<'_>, count: u64) -> u64 {
    let before = server.tcp("frames_in");
    lab.client.inside(|| {
        for _ in 0..count {
            let mut client = Client::here(lab.address());
            client.ask(Path::new("page"), "Connection: close\r\n");
            assert_eq!(client.answer().body.len(), 1000);
            assert!(client.is_finished());
        }
    });
    eventually("the last connection's end", || server.tcp("time_waits") >= count);
    server.tcp("frames_in") - before
}

#[test]
fn connections_open_without_the_engine() {
    const COUNT: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page"), "x".repeat(1000)).unwrap();
    let Some(lab) = Lab::cable("driver") else { return };
    let _passing = passing(&lab);
    let frames = [&[][..], ASSISTED].map(|arguments| {
        let server = Server::direct(&lab, dir.path(), arguments);
        let frames = exchanges(&lab, &server, COUNT);
        let (driver, engine) = (server.tcp("driver_cookies_sent"), server.tcp("cookies_sent"));
        assert_eq!(driver + engine, COUNT);
        // The engine may have answered one before it had told the driver how.
        assert!(if arguments.is_empty() { driver == 0 } else { engine <= 1 }, "{driver} {engine}");
        assert_eq!(server.tcp("driver_acknowledgments_absorbed"), driver);
        assert_eq!(server.tcp("cookies_accepted"), COUNT);
        frames
    });
    println!("{} frames for {COUNT} exchanges, {} with the driver", frames[0], frames[1]);
    assert!(frames[1] + 2 * COUNT <= frames[0] + 10, "{frames:?}");
}

#[test]
fn a_connection_opens_even_if_the_answers_of_the_driver_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page"), "hello").unwrap();
    let Some(lab) = Lab::cable("lost") else { return };
    let server = Server::direct(&lab, dir.path(), ASSISTED);
    // The engine may answer the first before it has told the driver how.
    eventually("an answer of each", || {
        assert_eq!(Client::connect(&lab.client, lab.address()).get("page").body, b"hello");
        server.tcp("driver_cookies_sent") > 0 && server.tcp("cookies_sent") > 0
    });
}
