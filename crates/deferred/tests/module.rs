//! A protocol module that defers: the way through its control table, and what its clients get if nobody is there.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use afpa_deferred::Listener;
use afpa_engine::Next::{Close, Run, Wait};
use afpa_engine::seam::{Address, Listen, Origin, Released};
use afpa_engine::workers::Workers;
use afpa_engine::{
    ConnectionId, Context, ControlTable, Engine, Outcome, ProtocolModule, State, StateFunction, Time, Wake, row,
};
use afpa_platform::clock;
use afpa_platform::hand_over::{Addresses, HandOver};
use afpa_sockets::{Interface, Respond, Sockets, SocketsConfig};
use common::*;

/// Its requests are lines. What begins with "defer" is the local server's, with all that follows.
struct Lines;

const DERIVE_RESPONSE: State = State::new(0, "derive response");
const DERIVE_DEFERRED_RESPONSE: State = State::new(1, "derive deferred response");

const INCOMPLETE: Outcome = Outcome::new(0, "incomplete");
const DEFERRED: Outcome = Outcome::new(1, "deferred");
const PENDING: Outcome = Outcome::new(2, "pending");
const GONE: Outcome = Outcome::new(3, "gone");
const LAST: Outcome = Outcome::new(4, "last");
const COMPLETE: Outcome = Outcome::new(5, "complete");

impl ProtocolModule for Lines {
    const NAME: &'static str = "lines";
    const TABLE: &'static ControlTable<Lines> = &ControlTable::checked(
        DERIVE_RESPONSE,
        &[
            StateFunction {
                state: DERIVE_RESPONSE,
                run: derive_response,
                outcomes: &[INCOMPLETE, COMPLETE, DEFERRED, LAST],
            },
            StateFunction {
                state: DERIVE_DEFERRED_RESPONSE,
                run: derive_deferred_response,
                outcomes: &[PENDING, GONE],
            },
        ],
        &[
            row(DERIVE_RESPONSE, INCOMPLETE, Wait(DERIVE_RESPONSE)),
            row(DERIVE_RESPONSE, COMPLETE, Run(DERIVE_RESPONSE)),
            row(DERIVE_RESPONSE, DEFERRED, Run(DERIVE_DEFERRED_RESPONSE)),
            row(DERIVE_RESPONSE, LAST, Close),
            row(DERIVE_DEFERRED_RESPONSE, PENDING, Wait(DERIVE_DEFERRED_RESPONSE)),
            row(DERIVE_DEFERRED_RESPONSE, GONE, Close),
        ],
    );

    /// Where the local server listens.
    type Global = Arc<Path>;
    type Connection = ();
    type Request = ();

    fn connected(_: &mut Arc<Path>, _: ConnectionId, _: Origin, _: Time) {}
}

fn derive_response(cx: &mut Context<'_, Lines>) -> Outcome {
    if cx.wake == Wake::Draining {
        return LAST;
    }
    let unread = cx.input.unread();
    let Some(end) = unread.iter().position(|octet| *octet == b'\n') else {
        return if cx.finished() { LAST } else { INCOMPLETE };
    };
    let line = &unread[..=end];
    if line.starts_with(b"defer") {
        // It is not consumed: the local server reads it.
        return DEFERRED;
    }
    cx.output.send(line);
    cx.input.consume(line.len());
    COMPLETE
}

fn derive_deferred_response(cx: &mut Context<'_, Lines>) -> Outcome {
    match cx.wake {
        Wake::Continued => {
            if cx.release() {
                PENDING
            } else {
                GONE
            }
        }
        Wake::Completed => GONE,
        Wake::Released => {
            let Some(Released { socket, octets }) = cx.released() else { return GONE };
            let Ok(addresses) = Addresses::of(socket.as_fd()) else { return GONE };
            let hand_over = HandOver::new(socket, octets, addresses, (*b"nobody\n").into());
            let path = cx.global.clone();
            // If the workers are busy, the client is told as if nobody were there.
            if cx.spawn(move || hand_over.run(&path, PATIENCE).is_ok()).is_ok() { PENDING } else { GONE }
        }
        _ => PENDING,
    }
}

#[test]
fn a_line_is_answered_here_or_there() {
    for interface in [Interface::Epoll, Interface::Uring] {
        if let (Interface::Uring, Err(reason)) = (interface, afpa_platform::uring::probe()) {
            eprintln!("skipped: {reason}");
            continue;
        }
        let (_directory, path) = scratch();
        let mut listener = Listener::bind(&path).unwrap();
        let server = Server::start(interface, path.clone());
        let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
        for client in &mut clients {
            client.write_all(b"one\ntwo\ndefer\nthree").unwrap();
            let mut connection = listener.accept().unwrap();
            assert_eq!(connection.client(), client.local_addr().unwrap());
            client.write_all(b"four\n").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut lines = String::new();
            connection.read_to_string(&mut lines).unwrap();
            assert_eq!(lines, "defer\nthreefour\n");
            connection.write_all(b"from there\n").unwrap();
            drop(connection);
            let mut answers = String::new();
            client.read_to_string(&mut answers).unwrap();
            assert_eq!(answers, "one\ntwo\nfrom there\n");
        }
        drop(listener);
        let mut client = server.client();
        client.write_all(b"one\ndefer\nand the beginning of a body").unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(answers, "one\nnobody\n");
        server.stop();
    }
}

/// An engine with the module.
struct Server {
    address: std::net::SocketAddr,
    handle: afpa_engine::EngineHandle,
    thread: thread::JoinHandle<()>,
}

impl Server {
    fn start(interface: Interface, path: PathBuf) -> Server {
        let (started, start) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let workers = Workers::start(1, 16).unwrap();
            let mut engine = Engine::new(workers, || Time(clock::now())).unwrap();
            let (owner, _) = engine.install::<Lines>(path.into());
            let config = SocketsConfig { interface, respond: Respond::Inline, ..SocketsConfig::default() };
            let mut sockets = Sockets::new(config).unwrap();
            let any_port = Listen::Stream(Address::Inet("127.0.0.1:0".parse().unwrap()));
            let listener = sockets.listen(any_port, owner).unwrap();
            let Ok(Address::Inet(address)) = sockets.local_address(listener) else { panic!("no address") };
            engine.add_transport(Box::new(sockets)).unwrap();
            started.send((address, engine.handle())).unwrap();
            engine.run().unwrap();
        });
        let (address, handle) = start.recv().unwrap();
        Server { address, handle, thread }
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// It has nothing left to wait for.
    fn stop(self) {
        self.handle.stop(Duration::from_secs(3600));
        self.thread.join().unwrap();
        assert_eq!(self.handle.stats().open.get(), 0);
    }
}
