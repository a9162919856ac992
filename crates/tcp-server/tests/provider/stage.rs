//! An engine on a network of memory, a control server, and applications that a test plays.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use afpa_channel::control::{self, Reply, Request};
use afpa_engine::memory::{MemoryConfig, Network, Peer, network};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Owner, Time, TransportId};
use afpa_platform::clock;
use afpa_platform::memory::Pool;
use afpa_tcp_server::{
    Control, ControlConfig, Limits, Objects, Port, Provider, ProviderStats, Settings, SocketProvider,
};
use tempfile::TempDir;

use crate::adopting::Adopting;
use crate::common::App;

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
    pub(crate) pool: Option<Arc<Pool>>,
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
            pool: None,
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
        let mut provider = Provider::new(0, engine.handle(), setting.provider, stats.clone());
        let objects = Objects::new(&setting.limits, 1).unwrap();
        if let Some(objects) = &objects {
            provider.send_objects(objects);
        }
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let (memory, network) = network(TransportId(0), setting.network);
        engine.add_transport(Box::new(Adopting::new(memory))).unwrap();
        let port = Port { handle: engine.handle(), owner, stats: stats.clone() };
        let config = ControlConfig {
            slots: setting.slots,
            ring: setting.ring,
            limits: setting.limits,
            pool: setting.pool,
            objects,
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
        for attempt in 0..10_000 {
            if is_so(self) {
                return;
            }
            self.pass();
            if attempt > 100 {
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
