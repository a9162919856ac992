//! Connections on which others send, and whose sockets' mode is theirs, on both interfaces.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use afpa_engine::ConnectionId;
use afpa_engine::seam::Disconnect;
use afpa_sockets::Interface;
use common::*;
use rustix::io::ioctl_fionbio;

/// A connection, its peer, and who sends on it as well.
fn shared(harness: &mut Harness) -> (TcpStream, ConnectionId, TcpStream) {
    let (client, id) = harness.client();
    let socket = harness.calls().share(id).expect("a socket").try_clone_to_owned().expect("a descriptor");
    (client, id, socket.into())
}

on_both_interfaces! {
    fn what_others_send_and_what_comes_get_through_in_whatever_mode(interface) {
        let mut harness = Harness::new(interface, swallow);
        for modes in [[false, false], [true, true], [false, true]] {
            let (client, id, mut own) = shared(&mut harness);
            // More than is received at a time, so that receiving ends and begins anew.
            let octets = pattern(600_000);
            for is_nonblocking in modes {
                ioctl_fionbio(&own, is_nonblocking).expect("a socket");
                own.write_all(b"sent").expect("a connection");
                let (mut writer, sent) = (client.try_clone().expect("a descriptor"), octets.clone());
                let client_thread = thread::spawn(move || {
                    writer.read_exact(&mut [0; 4]).expect("what was sent");
                    writer.write_all(&sent).expect("a connection");
                });
                harness.serve(client_thread);
            }
            let received = |log: &[Event]| -> usize {
                let of = |event: &Event| match event {
                    Event::Received(of, bytes) if *of == id => bytes.len(),
                    _ => 0,
                };
                log.iter().map(of).sum()
            };
            harness.until("all octets", |log| received(log) == 2 * octets.len());
            assert!(!harness.calls().can_release(id), "its mode is not ours to change");
            own.write_all(b"the end").expect("a connection");
            harness.calls().close(id);
            client.shutdown(Shutdown::Write).expect("a connection");
            assert_eq!(harness.serve(thread::spawn(move || read_all(client))), b"the end");
            harness.until("the end", |log| ending(log, id).is_some());
            assert_eq!(harness.ending(id), Some(Disconnect::Closed));
        }
    }

    fn a_close_finishes_and_an_abort_resets_whoever_has_the_socket_as_well(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (client, id, _kept) = shared(&mut harness);
        harness.calls().close(id);
        assert_eq!(harness.serve(thread::spawn(move || read_all(client))), b"");
        let (mut client, id, mut kept) = shared(&mut harness);
        harness.calls().abort(id);
        let reset = move || client.read(&mut [0; 8]).expect_err("a reset").kind();
        assert_eq!(harness.serve(thread::spawn(reset)), ErrorKind::ConnectionReset);
        assert!(kept.write_all(b"nowhere").is_err());
    }

    fn a_linger_time_that_others_set_holds_nobody_up(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (client, id, own) = shared(&mut harness);
        // Octets that the peer does not read: who closes last would wait for them.
        own.set_nonblocking(true).expect("a socket");
        while (&own).write(&[0; 65536]).is_ok() {}
        let linger = Some(std::time::Duration::from_secs(3600));
        rustix::net::sockopt::set_socket_linger(&own, linger).expect("a socket");
        drop(own);
        client.shutdown(Shutdown::Write).expect("a connection");
        harness.until("the peer's end", |log| log.contains(&Event::Disconnected(id, Disconnect::Finished)));
        harness.calls().close(id);
        harness.until("the end", |log| ending(log, id).is_some());
        drop(client);
    }

    fn only_what_exists_is_shared(interface) {
        let mut harness = Harness::new(interface, swallow);
        let (client, id, _) = shared(&mut harness);
        harness.calls().abort(id);
        harness.pass();
        assert!(harness.calls().share(id).is_none());
        drop(client);
    }
}
