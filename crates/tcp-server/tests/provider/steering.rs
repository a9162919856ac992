//! Listeners on an interface of ours: what is done in which order, and for how long.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afpa_channel::control::{Reply, Request};
use afpa_channel::slot::command;
use afpa_engine::memory::{Memory, MemoryConfig, Network, network};
use afpa_engine::seam::{Calls, Events, ListenerId};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Owner, Time, Transport, TransportId};
use afpa_platform::clock;
use afpa_tcp_server::{Control, ControlConfig, Port, Provider, ProviderStats, Settings, SocketProvider, Steer};
use rustix::net::{AddressFamily, SocketType, bind, socket};
use tempfile::TempDir;

use crate::common::App;

/// What was done, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Interface {
    log: Log,
    is_full: bool,
}

impl Steer for Interface {
    fn steer(&self, _: SocketAddr) -> Result<(), String> {
        if self.is_full {
            return Err("the table is full".into());
        }
        self.log.note("steer");
        Ok(())
    }

    fn unsteer(&self, _: SocketAddr) {
        self.log.note("unsteer");
    }
}

/// An engine with an interface's transport and one of sockets.
struct Bench {
    engine: Engine,
    network: Network,
    owner: Owner,
    log: Log,
    control: Control,
    _directory: TempDir,
}

impl Bench {
    fn new(is_full: bool) -> Bench {
        let (directory, log) = (tempfile::tempdir().unwrap(), Log::default());
        let mut engine = Engine::new(Workers::start(1, 16).unwrap(), || Time(clock::now())).unwrap();
        let stats = Arc::new(ProviderStats::default());
        let provider = Provider::new(0, engine.handle(), Settings::default(), stats.clone());
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let mut networks = Vec::new();
        for (id, names) in [(0, ["interface", "no interface"]), (1, ["sockets", "no sockets"])] {
            let (memory, network) = network(TransportId(id), MemoryConfig::default());
            networks.push(network);
            engine.add_transport(Box::new(Noting { memory, id, names, log: log.clone() })).unwrap();
        }
        let config =
            ControlConfig { slots: 64, ring: 4096, ..ControlConfig::new(directory.path().join("server.sock")) };
        let port = Port { handle: engine.handle(), owner, stats };
        let steer = Arc::new(Interface { log: log.clone(), is_full });
        let control = Control::start_with(config, vec![port], Some(steer)).unwrap();
        Bench { engine, network: networks.remove(0), owner, log, control, _directory: directory }
    }

    /// An application that listens: the engine has to run meanwhile.
    fn listener(&mut self, address: SocketAddr) -> (App, Vec<u32>) {
        let app = App::attach(&self.control, "test");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &address).unwrap();
        let slots = std::thread::scope(|scope| {
            let asking = scope.spawn(|| app.ask(&Request::Listen { backlog: 5 }, &[socket.as_fd()]).unwrap());
            while !asking.is_finished() {
                self.pass();
            }
            match asking.join().unwrap() {
                Reply::Listening { slots } => slots,
                other => panic!("{other:?}"),
            }
        });
        self.pass();
        (app, slots)
    }

    fn pass(&mut self) {
        for _ in 0..5 {
            self.engine.pass(false).unwrap();
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

const ANY: ([u8; 4], u16) = ([0, 0, 0, 0], 0);

#[test]
fn frames_are_steered_while_somebody_listens_or_is_connected() {
    let mut bench = Bench::new(false);
    let (app, slots) = bench.listener(ANY.into());
    assert_eq!(bench.log.take(), ["interface", "steer", "sockets"]);
    let peer = bench.network.connect(bench.owner);
    bench.pass();
    let slot = app.accept(slots[0]).expect("a connection");
    for closed in [slots[0], slot] {
        let words = app.slot(closed);
        words.command(words.generation(), command::CLOSE);
        app.attend(closed);
        bench.pass();
        if closed == slots[0] {
            assert_eq!(bench.log.take(), ["no interface", "no sockets"], "its connection is still there");
        }
    }
    peer.finish();
    bench.pass();
    assert_eq!(bench.log.take(), ["unsteer"]);
}

#[test]
fn an_application_s_end_is_the_end_of_it() {
    let mut bench = Bench::new(false);
    let (app, _) = bench.listener(ANY.into());
    assert_eq!(bench.log.take(), ["interface", "steer", "sockets"]);
    drop(app);
    let mut done = Vec::new();
    for _ in 0..10_000 {
        bench.pass();
        done.extend(bench.log.take());
        if done.len() == 3 {
            break;
        }
    }
    assert_eq!(done, ["no interface", "no sockets", "unsteer"]);
}

#[test]
fn what_cannot_be_steered_is_the_kernel_s_alone() {
    let mut bench = Bench::new(true);
    let (_app, slots) = bench.listener(ANY.into());
    bench.pass();
    let mut done = bench.log.take();
    done.sort_unstable();
    assert_eq!((slots.len(), done), (1, vec!["interface", "no interface", "sockets"]));
    let mut bench = Bench::new(false);
    let (_app, _) = bench.listener(([127, 0, 0, 1], 0).into());
    assert_eq!(bench.log.take(), ["sockets"], "the loopback is no interface of ours");
}

/// Notes what is listened to.
struct Noting {
    memory: Memory,
    id: u8,
    names: [&'static str; 2],
    log: Log,
}

impl Transport for Noting {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.memory.poll(now, wait, events)
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self.memory.calls()
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.watch(descriptor)
    }

    fn adopt(&mut self, _: OwnedFd, _: Owner, _: u16) -> io::Result<ListenerId> {
        self.log.note(self.names[0]);
        Ok(ListenerId { transport: TransportId(self.id), index: 0 })
    }

    fn unlisten(&mut self, _: ListenerId) -> io::Result<()> {
        self.log.note(self.names[1]);
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        self.memory.connections()
    }
}
