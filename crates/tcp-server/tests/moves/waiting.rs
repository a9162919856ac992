//! An application that sleeps until it is told, whose connections move all the time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use afpa_tcp_server::Settings;
use memnet::{Attachment, Listener, Options, Socket};

use crate::common::pattern;
use crate::server::{BY_HAND, Server, Setting, interfaces};

const CONNECTIONS: usize = 8;
const QUESTIONS: usize = 400;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

fn answer(socket: &Socket) {
    let mut octets = [0; 5000];
    loop {
        let count = socket.sync_recv(&mut octets, soon()).unwrap();
        if count == 0 {
            return;
        }
        assert_eq!(socket.sync_send(&octets[..count], soon()).unwrap(), count);
    }
}

fn ask(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for round in 0..QUESTIONS {
        let question = pattern(1 + round * 37 % 9000);
        stream.write_all(&question).unwrap();
        let mut answer = vec![0; question.len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == question);
    }
}

#[test]
fn who_sleeps_until_he_is_told_misses_nothing() {
    for interface in interfaces() {
        let provider = Settings::default();
        let server = Server::start(&Setting { engines: 2, interface, provider, balance: BY_HAND, cpu: None });
        let attachment = Attachment::attach(&server.path(), "test").unwrap();
        let listener = Listener::bind(&attachment, "127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = AtomicBool::new(false);
        scope(|outer| {
            outer.spawn(|| {
                for round in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    server.relieve(round % 2, 1 - round % 2);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                scope(|scope| {
                    for _ in 0..CONNECTIONS {
                        scope.spawn(|| ask(address));
                    }
                    for _ in 0..CONNECTIONS {
                        let socket = listener.sync_accept(soon()).unwrap();
                        scope.spawn(move || answer(&socket));
                    }
                });
            }));
            is_over.store(true, Ordering::Relaxed);
            done.unwrap();
        });
        assert!(server.sum(|stats| stats.moved_in.get()) > CONNECTIONS as u64);
        assert_eq!(server.sum(|stats| stats.resets.get()), 0);
    }
}
