//! One engine on its thread, with the sockets of other processes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

use afpa_engine::mailbox::Waker;
use afpa_engine::stats::ModuleStats;
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Time, TransportId};
use afpa_platform::clock;
use afpa_sockets::{Sockets, SocketsConfig, SocketsStats};
use afpa_tcp_server::{Notify, Objects, Port, ProviderStats, Settings, SocketProvider};
use tokio::sync::mpsc::UnboundedSender;

use super::interface::Interface;
use crate::config::{TcpServer, tcp_server};
use crate::process;
use crate::server::{Observed, Owners, Seated, interface, panic_message};
use crate::supervisor::EngineEnd;

/// The most connections through an interface, on each engine.
const CONNECTIONS: u32 = 65_536;

/// What an engine is made of.
pub(super) struct Plan {
    cpu: usize,
    number: u32,
    settings: Settings,
    sockets: SocketsConfig,
    workers: Arc<Workers>,
    wire: Option<Arc<Interface>>,
    objects: Option<Arc<Objects>>,
}

/// What other threads know of it.
pub(super) struct Seat {
    pub(super) cpu: usize,
    pub(super) port: Port,
    pub(super) module: Arc<ModuleStats>,
    pub(super) sockets: Arc<SocketsStats>,
    pub(super) interface: &'static str,
    pub(super) direct: Option<Observed>,
    /// Whether its interface sends registered memory from where it lies.
    pub(super) lends: bool,
}

impl Seated for Seat {
    fn cpu(&self) -> usize {
        self.cpu
    }

    fn waker(&self) -> Waker {
        self.port.handle.waker()
    }

    fn direct(&self) -> Option<&Observed> {
        self.direct.as_ref()
    }
}

impl Plan {
    pub(super) fn new(
        args: &TcpServer,
        cpu: usize,
        (number, wire, objects): (u32, Option<Arc<Interface>>, Option<Arc<Objects>>),
        workers: Arc<Workers>,
    ) -> Plan {
        let settings = Settings {
            notify: match args.notify {
                tcp_server::Notify::Poll => Notify::Poll,
                tcp_server::Notify::Interrupt => Notify::Interrupt,
                tcp_server::Notify::Adaptive => Notify::Adaptive,
            },
            sender: args.offload.sender(),
            eager_accept: args.eager_accept,
            eager_receive: args.eager_receive.map_or(u32::MAX, |size| u32::try_from(size.0).unwrap_or(u32::MAX)),
            ..Settings::default()
        };
        // Applications decide what is sent when.
        let sockets =
            SocketsConfig { interface: interface(args.io), peer_speaks_first: false, ..SocketsConfig::default() };
        Plan { cpu, number, settings, sockets, workers, wire, objects }
    }
}

/// Starts an engine. Its end, for whatever reason, is reported to `ends`.
///
/// # Errors
/// It cannot be made: a sentence that says why.
pub(super) fn start(plan: Plan, ends: UnboundedSender<EngineEnd>) -> Result<Seat, String> {
    let cpu = plan.cpu;
    let (made, seat) = sync_channel(1);
    let live = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| live(plan, made)))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_message(&*panic))));
        // Nobody listens any more only when the process is ending.
        let _ = ends.send(EngineEnd { cpu, outcome });
    };
    Builder::new()
        .name(format!("engine-{cpu}"))
        .spawn(live)
        .map_err(|error| format!("the thread of the engine on CPU {cpu} cannot be started: {error}"))?;
    seat.recv().unwrap_or_else(|_| Err(format!("the engine on CPU {cpu} ended while it started")))
}

/// The engine's life. It is built on its own thread: what it owns never leaves it.
fn live(plan: Plan, made: SyncSender<Result<Seat, String>>) -> Result<(), String> {
    match build(plan) {
        Ok((mut engine, seat)) => {
            let _ = made.send(Ok(seat));
            engine.run().map_err(|error| error.to_string())
        }
        Err(reason) => {
            let _ = made.send(Err(reason));
            Ok(())
        }
    }
}

fn build(plan: Plan) -> Result<(Engine, Seat), String> {
    let Plan { cpu, number, settings, sockets, workers, wire, objects } = plan;
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("the engine on CPU {cpu} cannot {what}: {error}");
    process::pin_thread(cpu).map_err(|error| failed("be pinned", &error))?;
    // Behind the interface's transport, which sleeps, if there is one.
    let transport = TransportId(u8::from(wire.is_some()));
    let sockets =
        Sockets::new(SocketsConfig { transport, ..sockets }).map_err(|error| failed("reach the network", &error))?;
    let mut engine = Engine::new(workers, || Time(clock::now())).map_err(|error| failed("be woken", &error))?;
    let stats = Arc::new(ProviderStats::default());
    let mut provider = afpa_tcp_server::Provider::new(number, engine.handle(), settings, stats.clone());
    if let Some(objects) = objects {
        provider.send_objects(&objects);
    }
    let (owner, module) = engine.install::<SocketProvider>(provider);
    let port = Port { handle: engine.handle(), owner, stats };
    let (mut interface, mut observed, mut lends) = (sockets.interface().name(), None, false);
    if let Some(Interface { wire, arena, .. }) = wire.as_deref() {
        let direct = wire.transport(number, TransportId(0), CONNECTIONS, arena, Owners::default())?;
        (interface, lends) = (direct.device(), direct.lends());
        observed = Some(wire.observe(&direct));
        engine.add_transport(Box::new(direct)).map_err(|error| failed("watch its mailbox", &error))?;
    }
    let seat = Seat { cpu, port, module, sockets: sockets.stats(), interface, direct: observed, lends };
    engine.add_transport(Box::new(sockets)).map_err(|error| failed("watch its mailbox", &error))?;
    Ok((engine, seat))
}
