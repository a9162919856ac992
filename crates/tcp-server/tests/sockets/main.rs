//! A TCP server on the kernel's sockets, with engines on threads of their own.

#[path = "../common/mod.rs"]
mod common;
mod sending;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use afpa_channel::control::{Reply, Request, Sender};
use afpa_channel::job_ring::{Job, Source};
use afpa_channel::slot::{command, state};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Time};
use afpa_platform::foreign::ForeignMemory;
use afpa_sockets::{Interface, Sockets, SocketsConfig};
use afpa_tcp_server::{Control, ControlConfig, Notify, Port, Provider, ProviderStats, Settings, SocketProvider};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use tempfile::TempDir;

use crate::common::{App, pattern};

struct Server {
    control: Option<Control>,
    ports: Vec<Port>,
    threads: Vec<JoinHandle<()>>,
    _directory: TempDir,
}

impl Server {
    fn start(engines: u32, interface: Interface, settings: Settings) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let workers = Workers::start(1, 16).unwrap();
        let (ports, threads) = (0..engines).map(|number| engine(number, interface, &settings, workers.clone())).unzip();
        let ports: Vec<Port> = ports;
        let sender = settings.sender;
        let config = ControlConfig { slots: 256, sender, ..ControlConfig::new(directory.path().join("server.sock")) };
        let control = Some(Control::start(config, ports.clone()).unwrap());
        Server { control, ports, threads, _directory: directory }
    }

    fn attach(&self) -> App {
        App::attach(self.control.as_ref().unwrap(), "test")
    }

    fn sum(&self, of: impl Fn(&ProviderStats) -> u64) -> u64 {
        self.ports.iter().map(|port| of(&port.stats)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control = None;
        self.ports.iter().for_each(|port| port.handle.stop(Duration::from_secs(5)));
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn engine(number: u32, interface: Interface, settings: &Settings, workers: Arc<Workers>) -> (Port, JoinHandle<()>) {
    let (sender, port) = sync_channel(1);
    let settings = settings.clone();
    let thread = std::thread::spawn(move || {
        let mut engine = Engine::new(workers, || Time(afpa_platform::clock::now())).unwrap();
        let stats = Arc::new(ProviderStats::default());
        let provider = Provider::new(number, engine.handle(), settings, stats.clone());
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let sockets = Sockets::new(SocketsConfig { interface, ..SocketsConfig::default() }).unwrap();
        engine.add_transport(Box::new(sockets)).unwrap();
        sender.send(Port { handle: engine.handle(), owner, stats }).unwrap();
        engine.run().unwrap();
    });
    (port.recv().unwrap(), thread)
}

/// Waits until something is so, and fails after a long time.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    panic!("not within many seconds: {what}");
}

/// Listens: the slots, and where.
fn listen(app: &App) -> (Vec<u32>, SocketAddr) {
    let (_, slots, address) = listen_with(app);
    (slots, address)
}

/// As [`listen`], with the socket.
fn listen_with(app: &App) -> (OwnedFd, Vec<u32>, SocketAddr) {
    let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    match app.ask(&Request::Listen { backlog: 64 }, &[socket.as_fd()]).unwrap() {
        Reply::Listening { slots } => (socket, slots, address),
        other => panic!("{other:?}"),
    }
}

fn accept(app: &App, listeners: &[u32]) -> u32 {
    let mut accepted = None;
    until("a connection waits", || {
        accepted = listeners.iter().find_map(|listener| app.accept(*listener));
        accepted.is_some()
    });
    accepted.unwrap()
}

/// A peer hears "request" to its end, answers, and ends; the application hears that.
fn is_answered(app: &App, slot: u32, mut peer: TcpStream) {
    let mut request = Vec::new();
    peer.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"request");
    peer.write_all(b"answer").unwrap();
    let mut answer = Vec::new();
    until("the answer", || {
        answer.extend(app.take(slot, 100));
        answer.len() == 6
    });
    drop(peer);
    until("both are finished", || app.has(slot, state::PEER_FINISHED | state::FINISHED));
}

fn on_each(test: impl Fn(&Server)) {
    on_each_with(Sender::Server, test);
}

fn on_each_with(sender: Sender, test: impl Fn(&Server)) {
    for interface in [Interface::Epoll, Interface::Uring] {
        if interface == Interface::Uring
            && let Err(reason) = afpa_platform::uring::probe()
        {
            println!("skipped with io_uring: {reason}");
            continue;
        }
        for (engines, notify) in [(1, Notify::Interrupt), (2, Notify::Adaptive)] {
            test(&Server::start(engines, interface, Settings { notify, sender, ..Settings::default() }));
        }
    }
}

#[test]
fn clients_of_an_application_are_served() {
    on_each(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let octets = pattern(500_000);
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            let slot = accept(&app, &listeners);
            assert_eq!(app.slot(slot).peer().unwrap(), client.local_addr().unwrap());
            assert_eq!(app.slot(slot).local().unwrap(), address);
            let mut writer = client.try_clone().unwrap();
            let sent = octets.clone();
            let writer = std::thread::spawn(move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            // An echo.
            let (mut back, mut received) = (Vec::new(), 0);
            until("everything was echoed", || {
                let part = app.take(slot, 1 << 20);
                received += part.len();
                back.extend(part);
                let given = app.give(slot, &back);
                back.drain(..given);
                received == octets.len() && back.is_empty()
            });
            until("the end", || app.has(slot, state::PEER_FINISHED));
            app.region.holds(app.place).release(slot);
            app.command(slot, command::CLOSE);
            let mut echo = Vec::new();
            client.read_to_end(&mut echo).unwrap();
            writer.join().unwrap();
            assert!(echo == octets);
        }
        until("all are closed", || server.sum(|stats| stats.open.get()) == 0);
        assert_eq!(server.sum(|stats| stats.closed.get()), 3);
    });
}

#[test]
fn an_application_connects_and_learns_why_it_cannot() {
    on_each(|server| {
        let app = server.attach();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let slot = app.connect(address);
        let (peer, from) = listener.accept().unwrap();
        until("it is connected", || app.has(slot, state::CONNECTED));
        assert_eq!((app.slot(slot).peer().unwrap(), app.slot(slot).local().unwrap()), (address, from));
        app.give(slot, b"request");
        app.command(slot, command::FINISH);
        is_answered(&app, slot, peer);
        drop(listener);
        let refused = app.connect(address);
        until("it has failed", || app.has(refused, state::FAILED));
        assert_eq!(app.slot(refused).error(), rustix::io::Errno::CONNREFUSED.raw_os_error() as u32);
        app.command(refused, command::CLOSE);
        until("its slot is free", || app.slot(refused).generation().is_multiple_of(2));
    });
}

#[test]
fn an_engine_that_sleeps_is_rung() {
    on_each(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let mut client = TcpStream::connect(address).unwrap();
        let slot = accept(&app, &listeners);
        for round in 0..20u8 {
            until("all engines sleep", || server.ports.iter().all(|port| port.stats.sleeping.get() == 1));
            app.give(slot, &[round; 3]);
            let mut octets = [0; 3];
            client.read_exact(&mut octets).unwrap();
            assert_eq!(octets, [round; 3]);
        }
    });
}

#[test]
fn memory_and_files_are_sent_by_jobs() {
    on_each(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let mut client = TcpStream::connect(address).unwrap();
        let slot = accept(&app, &listeners);
        let octets = pattern(3_000_000);
        let memory = ForeignMemory::create(octets.len()).unwrap();
        memory.write(0, &octets);
        let memory = app.register(&memory);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&octets).unwrap();
        let Reply::File { file } = app.ask(&Request::OpenFile, &[file.as_fd()]).unwrap() else { panic!("no file") };
        app.give(slot, b"head");
        for source in [Source::Memory(memory), Source::File(file)] {
            let after = app.slot(slot).given();
            app.slot(slot).post_job(Job { source, offset: 0, length: octets.len() as u64, after }).unwrap();
            app.give(slot, b"between");
        }
        app.command(slot, command::CLOSE);
        let mut arrived = Vec::new();
        client.read_to_end(&mut arrived).unwrap();
        assert!(arrived == [b"head", &octets[..], b"between", &octets, b"between"].concat());
    });
}

#[test]
fn a_process_that_dies_leaves_what_the_kernel_would_leave() {
    on_each(|server| {
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let (mut answered, mut unread) = (TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap());
        let first = accept(&app, &listeners);
        let second = accept(&app, &listeners);
        let is_first = app.slot(first).peer().unwrap() == answered.local_addr().unwrap();
        let (first, second) = if is_first { (first, second) } else { (second, first) };
        unread.write_all(b"nobody reads this").unwrap();
        until("it has arrived", || app.slot(second).receive_ring().readable(0) == Ok(17));
        app.give(first, &pattern(50_000));
        let region = app.region.clone();
        drop(app);
        let mut octets = Vec::new();
        answered.read_to_end(&mut octets).unwrap();
        assert!(octets == pattern(50_000));
        let error = unread.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        until("all slots are free", || {
            (0..region.geometry().slots()).all(|slot| region.slot(slot).generation().is_multiple_of(2))
        });
        until("nobody listens", || TcpStream::connect(address).is_err());
        assert!(region.has_ended());
    });
}

#[test]
fn small_parts_do_not_wait_for_the_peers_acknowledgment() {
    let server = Server::start(1, Interface::Epoll, Settings::default());
    let (socket, ..) = listen_with(&server.attach());
    // Accepted connections inherit it (Nagle's algorithm, RFC 9293 §3.7.4).
    assert_eq!(rustix::net::sockopt::tcp_nodelay(&socket), Ok(true));
}

#[test]
fn an_application_that_changes_its_sockets_mode_holds_nobody_up() {
    on_each(|server| {
        for is_nonblocking in [true, false] {
            let app = server.attach();
            let (socket, listeners, address) = listen_with(&app);
            until("the engines have it", || {
                server.attach().ask(&Request::Status, &[]).is_ok_and(|reply| match reply {
                    Reply::Status(json) => json.contains(&format!("\"listening\":{}", listeners.len())),
                    other => panic!("{other:?}"),
                })
            });
            rustix::io::ioctl_fionbio(&socket, is_nonblocking).unwrap();
            for _ in 0..5 {
                let mut client = TcpStream::connect(address).unwrap();
                let slot = accept(&app, &listeners);
                app.give(slot, b"hello");
                app.command(slot, command::CLOSE);
                let mut octets = Vec::new();
                client.read_to_end(&mut octets).unwrap();
                assert_eq!(octets, b"hello");
                until("all engines sleep", || server.ports.iter().all(|port| port.stats.sleeping.get() == 1));
            }
        }
    });
}
