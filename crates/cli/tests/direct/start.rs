//! How several engines start: for a client all at once, or not at all.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use afpa_cli::config::{Config, Frames, Transport};
use afpa_cli::supervisor::Engines;
use afpa_cli::units::ListenAddress;
use afpa_platform::interface::Interface;
use afpa_platform::memory::Arena;
use afpa_platform::xdp::{Mode, XdpConfig, XdpSocket};

use crate::client::Client;
use crate::lab::{DEVICE, Lab, skip};
use crate::server::{Server, allowed_cpus, eventually};

const QUEUES: &str = "2";
/// Connections that come, at least and at most: enough that each queue gets one.
const CLIENTS: [usize; 2] = [64, 1000];

/// Held by a test that starts engines in this process, so that it finds none but its own.
static ENGINES_HERE: Mutex<()> = Mutex::new(());

/// Set when it goes, whatever happened.
struct Signal<'a>(&'a AtomicBool);

impl Drop for Signal<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A cable of two queues, and CPUs for as many engines or more.
fn two_queues(test: &str) -> Option<(Lab, String)> {
    if thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        skip("two engines need two CPUs");
        return None;
    }
    Some((Lab::cable_of(test, QUEUES)?, allowed_cpus()))
}

#[test]
fn who_comes_while_the_engines_start_is_refused_or_served_for_good() {
    let Some((lab, cpus)) = two_queues("start") else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    // What the client's kernel sends again goes to the queue of the first time.
    let setting = "/proc/sys/net/core/txrehash";
    lab.client.shell(&format!("test ! -e {setting} || echo 0 > {setting}"));
    let has_started = AtomicBool::new(false);
    let (server, mut clients) = thread::scope(|scope| {
        let early = scope.spawn(|| come(&lab, &has_started));
        let signal = Signal(&has_started);
        let server = Server::direct(&lab, dir.path(), &["--cores", &cpus]);
        drop(signal);
        (server, early.join().unwrap())
    });
    clients.iter_mut().for_each(ask);
    let connections = server.connections();
    assert_eq!(connections.len(), clients.len(), "our own TCP has them all");
    let cores: BTreeSet<_> = connections.iter().map(|connection| connection["core"].as_u64().unwrap()).collect();
    assert_eq!(cores.len(), 2, "{cores:?}");
}

#[test]
fn an_engine_that_cannot_start_leaves_nothing_of_the_others() {
    let Some((lab, cpus)) = two_queues("half") else { return };
    let _alone = ENGINES_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(&lab, dir.path(), &cpus);
    let has_program = || lab.server.ip(&["link", "show", DEVICE]).contains("xdp");
    lab.server.inside(|| {
        let taken = queue(1).unwrap();
        let reason = afpa_cli::server::start(&config, afpa_cli::server::Legacy::default())
            .err()
            .expect("no start without queue 1");
        assert!(reason.contains("queue 1 of the interface belongs to another AF_XDP socket"), "{reason}");
        // Here, and not when the process ends.
        assert!(!has_program());
        queue(0).expect("the other queue is free");
        TcpListener::bind(lab.address()).expect("the port is free");
        assert!(!are_engines_here(), "no engine is there");
        drop(taken);
    });
}

#[test]
fn an_interface_may_be_polled_busily() {
    let Some((lab, cpus)) = two_queues("busy") else { return };
    let _alone = ENGINES_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    let mut config = configuration(&lab, dir.path(), &cpus);
    config.direct.busy_poll = true;
    let mut started =
        lab.server.inside(|| afpa_cli::server::start(&config, afpa_cli::server::Legacy::default())).unwrap();
    let mut clients = come(&lab, &AtomicBool::new(true));
    clients.iter_mut().for_each(ask);
    drop(clients);
    started.engines.stop(Duration::ZERO);
    for _ in 0..started.engine_count {
        assert_eq!(started.ends.blocking_recv().unwrap().outcome, Ok(()));
    }
    // A thread that has reported its end is there for a moment more.
    eventually("the threads' end", || !are_engines_here());
}

/// Whether this process has a thread of an engine.
fn are_engines_here() -> bool {
    let mut tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.any(|task| {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
        name.starts_with("engine-")
    })
}

/// A server of this process.
fn configuration(lab: &Lab, site: &Path, cpus: &str) -> Config {
    let mut config = Config::default();
    (config.transport, config.direct.interface) = (Transport::Direct, Some(DEVICE.into()));
    config.direct.frames = Frames::Xdp;
    config.listen = vec![ListenAddress::Inet(lab.address())];
    config.cores = cpus.parse().unwrap();
    config.site.root = site.to_owned();
    config
}

/// A socket for one of the server's queues, without a program that sends it frames.
fn queue(queue: u32) -> std::io::Result<XdpSocket> {
    XdpSocket::open(&XdpConfig {
        interface: Interface::by_name(DEVICE)?.index,
        queue,
        arena: Arena::new(64 << 20)?,
        frames: 64,
        mode: Mode::Auto,
        scatter: true,
        busy_poll: None,
    })
}

/// Clients that come until the server has started, each served once.
fn come(lab: &Lab, has_started: &AtomicBool) -> Vec<Client> {
    let [least, most] = CLIENTS;
    lab.client.inside(|| {
        let mut clients = Vec::new();
        while clients.len() < least || (clients.len() < most && !has_started.load(Ordering::Relaxed)) {
            match TcpStream::connect(lab.address()) {
                Ok(stream) => {
                    let mut client = Client::on(stream);
                    ask(&mut client);
                    clients.push(client);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "after {}", clients.len()),
            }
        }
        clients
    })
}

fn ask(client: &mut Client) {
    assert_eq!(client.get("").body, b"<p>here");
}
