//! A TCP server on the kernel's sockets, with engines on threads of their own, whose connections a test moves.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use afpa_channel::control::{self, Reply, Request};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Time};
use afpa_sockets::{Interface, Sockets, SocketsConfig};
use afpa_tcp_server::status::Status;
use afpa_tcp_server::{
    Control, ControlConfig, Port, Provider, ProviderStats, Settings, Share, SocketProvider, balance,
};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use tempfile::TempDir;

use crate::common::App;

pub(crate) struct Server {
    control: Option<Control>,
    pub(crate) ports: Vec<Port>,
    threads: Vec<JoinHandle<()>>,
    _directory: TempDir,
}

/// How a server is set up.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) engines: u32,
    pub(crate) interface: Interface,
    pub(crate) provider: Settings,
    pub(crate) balance: balance::Settings,
    /// Every engine is on this CPU, if it is told.
    pub(crate) cpu: Option<usize>,
}

/// Connections move when the test says so, and not otherwise.
pub(crate) const BY_HAND: balance::Settings = balance::Settings { min: usize::MAX, max: usize::MAX, moves: false };

impl Server {
    pub(crate) fn start(setting: &Setting) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let workers = Workers::start(1, 16).unwrap();
        let (ports, threads) = (0..setting.engines).map(|number| engine(number, setting, workers.clone())).unzip();
        let ports: Vec<Port> = ports;
        let config = ControlConfig {
            slots: 128,
            ring: 4096,
            balance: setting.balance,
            ..ControlConfig::new(directory.path().join("server.sock"))
        };
        let control = Some(Control::start(config, ports.clone()).unwrap());
        Server { control, ports, threads, _directory: directory }
    }

    pub(crate) fn attach(&self) -> App {
        App::attach(self.control.as_ref().unwrap(), "test")
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.control.as_ref().unwrap().path().to_owned()
    }

    pub(crate) fn sum(&self, of: impl Fn(&ProviderStats) -> u64) -> u64 {
        self.ports.iter().map(|port| of(&port.stats)).sum()
    }

    /// Sends all connections of an engine that can go to another.
    pub(crate) fn relieve(&self, from: usize, to: usize) {
        let to = [to as u32];
        self.ports[from].command(move |provider, desk, _| provider.relieve(&to, Share::All, desk));
    }

    pub(crate) fn status(&self) -> Status {
        let socket = control::connect_to(self.control.as_ref().unwrap().path()).unwrap();
        match control::ask(socket.as_fd(), &Request::Status, &[]).unwrap() {
            (Reply::Status(json), _) => serde_json::from_str(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control = None;
        self.ports.iter().for_each(|port| port.handle.stop(Duration::from_secs(5)));
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn engine(number: u32, setting: &Setting, workers: Arc<Workers>) -> (Port, JoinHandle<()>) {
    let (sender, port) = sync_channel(1);
    let setting = setting.clone();
    let thread = std::thread::spawn(move || {
        if let Some(cpu) = setting.cpu {
            pin(cpu);
        }
        let mut engine = Engine::new(workers, || Time(afpa_platform::clock::now())).unwrap();
        let stats = Arc::new(ProviderStats::default());
        let provider = Provider::new(number, engine.handle(), setting.provider, stats.clone());
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let config = SocketsConfig { interface: setting.interface, peer_speaks_first: false, ..Default::default() };
        engine.add_transport(Box::new(Sockets::new(config).unwrap())).unwrap();
        sender.send(Port { handle: engine.handle(), owner, stats }).unwrap();
        engine.run().unwrap();
    });
    (port.recv().unwrap(), thread)
}

/// The calling thread runs on this CPU only.
pub(crate) fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

/// Waits until something is so, and fails after a long time.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    panic!("not within many seconds: {what}");
}

/// Listens: the slots, and where.
pub(crate) fn listen(app: &App) -> (Vec<u32>, SocketAddr) {
    let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    match app.ask(&Request::Listen { backlog: 128 }, &[socket.as_fd()]).unwrap() {
        Reply::Listening { slots } => (slots, address),
        other => panic!("{other:?}"),
    }
}

/// The interfaces that there are here.
pub(crate) fn interfaces() -> Vec<Interface> {
    match afpa_platform::uring::probe() {
        Ok(()) => vec![Interface::Epoll, Interface::Uring],
        Err(reason) => {
            println!("skipped with io_uring: {reason}");
            vec![Interface::Epoll]
        }
    }
}
