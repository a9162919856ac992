//! The TCP server itself, on the kernel's sockets, in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use afpa_engine::workers::Workers;
use afpa_engine::{Engine, EngineHandle, Time};
use afpa_platform::clock;
use afpa_sockets::{Sockets, SocketsConfig};
use afpa_tcp_server::{
    Control, ControlConfig, Limits, Notify, Objects, Port, Provider, ProviderStats, Sender, Settings, SocketProvider,
};

pub(crate) struct Real {
    directory: tempfile::TempDir,
    control: Option<Control>,
    handle: EngineHandle,
    engine: Option<JoinHandle<()>>,
}

impl Real {
    #[allow(dead_code, reason = "not all tests have the default settings")]
    pub(crate) fn start() -> Real {
        // The engine shares the machine with those who wait for it.
        Real::with(Settings { notify: Notify::Interrupt, ..Settings::default() })
    }

    /// One whose applications send by themselves.
    #[allow(dead_code, reason = "only some tests need one")]
    pub(crate) fn receiving() -> Real {
        Real::with(Settings { notify: Notify::Interrupt, sender: Sender::Application, ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Real {
        let (tell, told) = channel();
        let sender = settings.sender;
        let limits = Limits { objects: 16 << 20, objects_per_user: 12 << 20, ..Limits::default() };
        let objects = Objects::new(&limits, 1).unwrap().unwrap();
        let kept = objects.clone();
        let engine = thread::spawn(move || {
            let mut engine = Engine::new(Workers::start(1, 16).unwrap(), || Time(clock::now())).unwrap();
            let stats = Arc::new(ProviderStats::default());
            let mut provider = Provider::new(0, engine.handle(), settings, stats.clone());
            provider.send_objects(&kept);
            let (owner, _) = engine.install::<SocketProvider>(provider);
            engine.add_transport(Box::new(Sockets::new(SocketsConfig::default()).unwrap())).unwrap();
            let handle = engine.handle();
            tell.send(Port { handle, owner, stats }).unwrap();
            engine.run().unwrap();
        });
        let port = told.recv().unwrap();
        let handle = port.handle.clone();
        let directory = tempfile::tempdir().unwrap();
        let config = ControlConfig::new(directory.path().join("control"));
        let config = ControlConfig { limits, sender, objects: Some(objects), ..config };
        let control = Control::start(config, vec![port]).unwrap();
        Real { directory, control: Some(control), handle, engine: Some(engine) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    pub(crate) fn stop(&mut self) {
        self.control = None;
        self.handle.stop(std::time::Duration::ZERO);
        if let Some(engine) = self.engine.take() {
            engine.join().unwrap();
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.stop();
    }
}
