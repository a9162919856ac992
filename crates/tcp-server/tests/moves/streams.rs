//! What streams look like whose connections move all the time: as if they did not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, scope, spawn};
use std::time::Duration;

use afpa_channel::control::{Reply, Request};
use afpa_channel::job_ring::{Job, Receive, Received, Source};
use afpa_channel::slot::{command, state};
use afpa_platform::foreign::ForeignMemory;
use afpa_sockets::Interface;
use afpa_tcp_server::{Notify, Settings};

use crate::common::{App, pattern};
use crate::server::{BY_HAND, Server, Setting, interfaces, listen, until};

const CONNECTIONS: usize = 24;
const OCTETS: usize = 600_000;

fn servers(test: impl Fn(&Server)) {
    for interface in interfaces() {
        for notify in [Notify::Interrupt, Notify::Adaptive] {
            test(&server(interface, notify));
        }
    }
}

fn server(interface: Interface, notify: Notify) -> Server {
    let provider = Settings { notify, ..Settings::default() };
    Server::start(&Setting { engines: 3, interface, provider, balance: BY_HAND, cpu: None })
}

/// Moves everything around until `is_over`.
fn stir(server: &Server, is_over: &AtomicBool) {
    let count = server.ports.len();
    for round in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let from = round % count;
        server.relieve(from, (from + 1 + round / count % (count - 1)) % count);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// While everything moves.
fn stirred(server: &Server, f: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| stir(server, &is_over));
        // A test that fails stirs no more.
        let _stop = Stop(&is_over);
        f();
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that sends a pattern of its own, and compares what comes back.
fn client(address: SocketAddr, number: usize) -> JoinHandle<()> {
    spawn(move || {
        let octets: Vec<u8> = pattern(OCTETS).iter().map(|octet| octet.wrapping_add(number as u8)).collect();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sent = octets.clone();
        let writer = spawn(move || {
            for piece in sent.chunks(1 + number * 977) {
                writer.write_all(piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        writer.join().unwrap();
        assert!(back == octets, "connection {number}: {} octets of {}", back.len(), octets.len());
    })
}

/// A connection of the application that echoes.
struct Echo {
    slot: u32,
    back: Vec<u8>,
    finished: bool,
}

impl Echo {
    /// Does what can be done. Returns whether something was, and whether it is over.
    fn step(&mut self, app: &App) -> (bool, bool) {
        assert!(!app.has(self.slot, state::FAILED), "error {}", app.slot(self.slot).error());
        // Looked at before the ring.
        let is_end = app.has(self.slot, state::PEER_FINISHED);
        let part = app.take(self.slot, 3000);
        let mut worked = !part.is_empty();
        let is_all = part.is_empty() && is_end;
        self.back.extend(part);
        if !self.back.is_empty() {
            let given = app.give(self.slot, &self.back);
            self.back.drain(..given);
            worked |= given > 0;
        }
        if is_all && self.back.is_empty() && !self.finished {
            app.command(self.slot, command::FINISH);
            self.finished = true;
        }
        let is_over = app.has(self.slot, state::FINISHED | state::PEER_FINISHED);
        if is_over {
            app.region.holds(app.place).release(self.slot);
            app.command(self.slot, command::CLOSE);
        }
        (worked, is_over)
    }
}

#[test]
fn streams_of_many_connections_go_on_while_these_move_all_the_time() {
    servers(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        stirred(server, || {
            let clients: Vec<_> = (0..CONNECTIONS).map(|number| client(address, number)).collect();
            let (mut echoes, mut over) = (Vec::new(), 0);
            while over < CONNECTIONS {
                let mut worked = false;
                while let Some(slot) = listeners.iter().find_map(|listener| app.accept(*listener)) {
                    echoes.push(Echo { slot, back: Vec::new(), finished: false });
                    worked = true;
                }
                echoes.retain_mut(|echo| {
                    let (has_worked, is_over) = echo.step(&app);
                    worked |= has_worked;
                    over += usize::from(is_over);
                    !is_over
                });
                if !worked {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        until("all are closed", || server.sum(|stats| stats.open.get()) == 0);
        let (came, went) = (server.sum(|stats| stats.moved_in.get()), server.sum(|stats| stats.moved_out.get()));
        assert!(came > CONNECTIONS as u64, "{came} moves");
        assert_eq!((came, server.sum(|stats| stats.resets.get())), (went, 0));
        assert_eq!(server.sum(|stats| stats.closed.get()), CONNECTIONS as u64);
    });
}

#[test]
fn jobs_and_posted_receives_go_on_while_connections_move() {
    servers(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let octets = pattern(4_000_000);
        let memory = ForeignMemory::create(octets.len()).unwrap();
        memory.write(0, &octets);
        let memory = app.register(&memory);
        let received = ForeignMemory::create(64 * 1024).unwrap();
        let posted = app.register(&received);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&octets).unwrap();
        let Reply::File { file } = app.ask(&Request::OpenFile, &[file.as_fd()]).unwrap() else { panic!("no file") };
        stirred(server, || {
            let mut peer = TcpStream::connect(address).unwrap();
            let mut accepted = None;
            until("a connection waits", || {
                accepted = listeners.iter().find_map(|listener| app.accept(*listener));
                accepted.is_some()
            });
            let slot = accepted.unwrap();
            let mut writer = peer.try_clone().unwrap();
            let sent = octets.clone();
            let writer = spawn(move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let reader = spawn(move || {
                let mut arrived = Vec::new();
                peer.read_to_end(&mut arrived).unwrap();
                arrived
            });
            app.give(slot, b"head");
            for source in [Source::Memory(memory), Source::File(file), Source::Memory(memory), Source::File(file)] {
                let after = app.slot(slot).given();
                app.slot(slot).post_job(Job { source, offset: 0, length: octets.len() as u64, after }).unwrap();
                app.give(slot, b"between");
            }
            let words = app.slot(slot);
            let mut came = Vec::new();
            for index in 0.. {
                words.post_receive(Receive { memory: posted, offset: 0, length: 64 * 1024 }).unwrap();
                app.attend(slot);
                until("a receive is done", || words.receives_done() == index + 1);
                match words.received(index).unwrap() {
                    Received::Octets(0) => break,
                    Received::Octets(count) => {
                        let mut part = vec![0; count as usize];
                        received.read(0, &mut part);
                        came.extend(part);
                    }
                    Received::InRing => came.extend(app.take(slot, 1 << 20)),
                    other => panic!("{other:?}"),
                }
            }
            app.command(slot, command::FINISH);
            writer.join().unwrap();
            assert!(came == octets);
            let arrived = reader.join().unwrap();
            let expected = [b"head".to_vec(), [&octets[..], b"between"].concat().repeat(4)].concat();
            assert!(arrived == expected);
            until("the jobs are done", || words.jobs_done() == 4);
            assert!(app.has(slot, state::FINISHED));
        });
        assert!(server.sum(|stats| stats.moved_in.get()) > 0);
    });
}

#[test]
fn however_connections_end_while_they_move_nothing_is_left_of_them() {
    servers(|server| {
        let app = server.attach();
        let region = app.region.clone();
        let (listeners, address) = listen(&app);
        stirred(server, || {
            let mut kept = Vec::new();
            for number in 0..90u32 {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&pattern(500)).unwrap();
                let mut accepted = None;
                until("a connection waits", || {
                    accepted = listeners.iter().find_map(|listener| app.accept(*listener));
                    accepted.is_some()
                });
                let slot = accepted.unwrap();
                let words = app.slot(slot);
                until("octets have come", || words.receive_ring().readable(0) == Ok(500));
                app.give(slot, &pattern(700));
                let close = |bits| {
                    app.region.holds(app.place).release(slot);
                    app.command(slot, command::CLOSE | bits);
                };
                match number % 6 {
                    // The peer resets.
                    0 => {
                        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
                        drop(client);
                        until("the reset is told", || app.has(slot, state::FAILED));
                        close(0);
                    }
                    // The application leaves octets unread.
                    1 => {
                        close(0);
                        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                    }
                    2 => {
                        app.take(slot, 500);
                        close(0);
                        let mut octets = Vec::new();
                        client.read_to_end(&mut octets).unwrap();
                        assert!(octets == pattern(700));
                    }
                    3 => {
                        close(command::ABORT);
                        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                    }
                    4 => {
                        app.command(slot, command::ABORT);
                        until("the abort is told", || app.has(slot, state::FAILED));
                        close(0);
                    }
                    // The process dies, in the end.
                    _ => kept.push((client, slot)),
                }
            }
            let held: Vec<u32> = kept.iter().map(|(_, slot)| *slot).collect();
            held.iter().for_each(|slot| drop(app.take(*slot, 500)));
            drop(app);
            for (mut client, _) in kept {
                let mut octets = Vec::new();
                client.read_to_end(&mut octets).unwrap();
                assert!(octets == pattern(700));
            }
        });
        until("all slots are free", || {
            (0..region.geometry().slots()).all(|slot| region.slot(slot).generation().is_multiple_of(2))
        });
        until("the region is let go", || Arc::strong_count(region.memory()) == 1);
        assert_eq!(server.sum(|stats| stats.open.get()), 0);
        assert!(server.sum(|stats| stats.moved_in.get()) > 0);
    });
}
