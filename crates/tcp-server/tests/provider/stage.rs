//! An engine on a network of memory, a control server, and applications that a test plays.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_channel::Region;
use afpa_channel::control::{self, Reply, Request, VERSION};
use afpa_channel::layout::ACCEPTED;
use afpa_channel::slot::{Accepted, Slot};
use afpa_engine::memory::{Memory, MemoryConfig, Network, Peer, network};
use afpa_engine::seam::{Calls, Events, ListenerId};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Owner, Time, Transport, TransportId};
use afpa_platform::clock;
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp_server::{Control, ControlConfig, Limits, Port, Provider, ProviderStats, Settings, SocketProvider};
use tempfile::TempDir;

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) owner: Owner,
    pub(crate) stats: Arc<ProviderStats>,
    pub(crate) control: Control,
    _directory: TempDir,
}

/// How a stage is set up.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) provider: Settings,
    pub(crate) network: MemoryConfig,
    pub(crate) slots: u32,
    pub(crate) ring: u32,
    pub(crate) limits: Limits,
}

impl Default for Setting {
    fn default() -> Setting {
        let peer = Some("192.0.2.7:5000".parse().unwrap());
        let local = Some("192.0.2.1:80".parse().unwrap());
        Setting {
            provider: Settings::default(),
            network: MemoryConfig { peer, local, ..MemoryConfig::default() },
            slots: 64,
            ring: 4096,
            limits: Limits::default(),
        }
    }
}

pub(crate) fn stage() -> Stage {
    Stage::new(Setting::default())
}

impl Stage {
    pub(crate) fn new(setting: Setting) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = Engine::new(Workers::start(1, 16).unwrap(), || Time(clock::now())).unwrap();
        let stats = Arc::new(ProviderStats::default());
        let provider = Provider::new(0, engine.handle(), setting.provider, stats.clone());
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let (memory, network) = network(TransportId(0), setting.network);
        engine.add_transport(Box::new(Adopting { memory, listener: None })).unwrap();
        let port = Port { handle: engine.handle(), owner, stats: stats.clone() };
        let config = ControlConfig {
            slots: setting.slots,
            ring: setting.ring,
            limits: setting.limits,
            ..ControlConfig::new(directory.path().join("server.sock"))
        };
        let control = Control::start(config, vec![port]).unwrap();
        Stage { engine, network, owner, stats, control, _directory: directory }
    }

    pub(crate) fn pass(&mut self) {
        self.engine.pass(false).unwrap();
    }

    pub(crate) fn passes(&mut self, count: usize) {
        (0..count).for_each(|_| self.pass());
    }

    /// Passes until something is so.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Stage) -> bool) {
        for _ in 0..5000 {
            if is_so(self) {
                return;
            }
            self.pass();
            if !is_so(self) {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        panic!("not within thousands of passes: {what}");
    }

    pub(crate) fn attach(&mut self) -> App {
        let app = App::attach(&self.control, "test");
        self.passes(2);
        app
    }

    /// An application that listens.
    pub(crate) fn listener(&mut self) -> (App, u32) {
        let app = self.attach();
        let slot = app.listen();
        self.passes(2);
        (app, slot)
    }

    /// An application with a connection, and the connection's peer.
    pub(crate) fn connected(&mut self) -> (App, u32, Peer) {
        let (app, listener) = self.listener();
        let peer = self.network.connect(self.owner);
        self.passes(2);
        let slot = app.accept(listener).expect("a connection waits");
        (app, slot, peer)
    }

    /// A connection of another application, which opens it. `_` is there before.
    pub(crate) fn another(&mut self, _: &App) -> (App, u32, Peer) {
        let app = self.attach();
        let slot = app.connect("192.0.2.9:443".parse().unwrap());
        self.until("the connection is there", |_| app.has(slot, afpa_channel::slot::state::CONNECTED));
        let (peer, _) = self.network.accept().expect("a connection");
        (app, slot, peer)
    }

    pub(crate) fn status(&self) -> afpa_tcp_server::status::Status {
        let socket = control::connect_to(self.control.path()).unwrap();
        match control::ask(socket.as_fd(), &Request::Status, &[]).unwrap() {
            (Reply::Status(json), _) => serde_json::from_str(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// A process of an application.
pub(crate) struct App {
    pub(crate) control: OwnedFd,
    pub(crate) region: Region,
    pub(crate) token: control::Token,
    pub(crate) place: u32,
    pub(crate) bells: Vec<OwnedFd>,
}

impl App {
    pub(crate) fn attach(control: &Control, name: &str) -> App {
        App::meet(control, &Request::Attach { version: VERSION, name: name.into() }).unwrap()
    }

    pub(crate) fn meet(control: &Control, request: &Request) -> io::Result<App> {
        let socket = control::connect_to(control.path())?;
        let (reply, mut descriptors) = control::ask(socket.as_fd(), request, &[])?;
        let Reply::Welcome { token, process } = reply else { panic!("{reply:?}") };
        let region = Region::open(descriptors.remove(0)).unwrap();
        Ok(App { control: socket, region, token, place: process, bells: descriptors })
    }

    pub(crate) fn ask(&self, request: &Request, with: &[BorrowedFd<'_>]) -> io::Result<Reply> {
        control::ask(self.control.as_fd(), request, with).map(|(reply, _)| reply)
    }

    pub(crate) fn slot(&self, slot: u32) -> Slot<'_, ForeignMemory> {
        self.region.slot(slot)
    }

    pub(crate) fn attend(&self, slot: u32) {
        if let Some(engine) = self.region.attend(self.slot(slot)) {
            let _ = rustix::io::write(&self.bells[engine as usize], &1u64.to_ne_bytes());
        }
    }

    pub(crate) fn listen(&self) -> u32 {
        self.try_listen().unwrap()
    }

    pub(crate) fn try_listen(&self) -> io::Result<u32> {
        match self.ask(&Request::Listen { backlog: 128 }, &[bound().as_fd()])? {
            Reply::Listening { slots } => Ok(slots[0]),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> u32 {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        match self.ask(&Request::Connect { to }, &[socket.as_fd()]).unwrap() {
            Reply::Connecting { slot } => slot,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the next connection out of a listener's ring, and holds it.
    pub(crate) fn accept(&self, listener: u32) -> Option<u32> {
        let slot = self.slot(listener);
        let (ring, taken) = (slot.receive_ring(), slot.taken());
        if ring.readable(taken).unwrap() < ACCEPTED as u32 {
            return None;
        }
        let mut octets = [0; ACCEPTED];
        ring.read(taken, &mut octets);
        let accepted = Accepted::decode(octets);
        self.region.holds(self.place).hold(accepted.slot);
        ring.consume(taken.wrapping_add(ACCEPTED as u32));
        if slot.is_stalled() {
            self.attend(listener);
        }
        Some(accepted.slot)
    }

    /// Puts as many octets into the send ring as there is room for.
    pub(crate) fn give(&self, slot: u32, octets: &[u8]) -> usize {
        let words = self.slot(slot);
        let ring = words.send_ring();
        let given = words.given();
        let count = octets.len().min(ring.writable(given).unwrap() as usize);
        ring.write(given, &octets[..count]);
        ring.publish(given.wrapping_add(count as u32));
        self.attend(slot);
        count
    }

    /// Takes what is in the receive ring.
    pub(crate) fn take(&self, slot: u32, most: usize) -> Vec<u8> {
        let words = self.slot(slot);
        let (ring, taken) = (words.receive_ring(), words.taken());
        let mut octets = vec![0; most.min(ring.readable(taken).unwrap() as usize)];
        ring.read(taken, &mut octets);
        ring.consume(taken.wrapping_add(octets.len() as u32));
        if words.is_stalled() {
            self.attend(slot);
        }
        octets
    }

    pub(crate) fn command(&self, slot: u32, bits: u32) {
        self.slot(slot).command(self.slot(slot).generation(), bits);
        self.attend(slot);
    }

    pub(crate) fn has(&self, slot: u32, bits: u32) -> bool {
        self.slot(slot).state() & bits == bits
    }

    pub(crate) fn register(&self, memory: &ForeignMemory) -> u32 {
        let request = Request::Register { length: memory.len() as u64 };
        match self.ask(&request, &[memory.descriptor()]).unwrap() {
            Reply::Registered { memory } => memory,
            other => panic!("{other:?}"),
        }
    }
}

/// A TCP socket that is bound and does not listen.
pub(crate) fn bound() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    socket
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// The network of memory, which adopts any listener.
struct Adopting {
    memory: Memory,
    /// The one that there is, kept as a transport keeps it.
    listener: Option<OwnedFd>,
}

impl Transport for Adopting {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.memory.poll(now, wait, events)
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self.memory.calls()
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.watch(descriptor)
    }

    fn adopt(&mut self, socket: OwnedFd, _: Owner, _: u16) -> io::Result<ListenerId> {
        self.listener = Some(socket);
        Ok(ListenerId { transport: TransportId(0), index: 0 })
    }

    fn unlisten(&mut self, _: ListenerId) -> io::Result<()> {
        self.listener = None;
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
