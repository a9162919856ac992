//! `afpa tcp-server`: engines that run TCP for other processes, and where these attach.

mod engine;
mod interface;
mod napi;
mod running;
mod status;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use afpa_channel::layout::MAX_ENGINES;
use afpa_engine::workers::Workers;
use afpa_tcp_server::{Control, ControlConfig, Steer, balance};
use rustix::process::getuid;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::admin::{self, AdminServer};
use crate::config::tcp_server::{Active, Directions, Provider};
use crate::config::{Admin, TcpServer};
use crate::process;
use crate::signals::{Request, Signals};
use crate::supervisor::EngineEnd;
use crate::systemd;
use engine::Seat;
use interface::Ground;
use running::Running;

pub use status::{ask_status, status};

/// Where applications attach to root's server.
const OF_ROOT: &str = "/run/afpa/tcp-server.sock";
/// Threads that read files, and jobs that may wait for them.
const WORKERS: (usize, usize) = (4, 1024);
/// How often it is looked for threads of the kernel that have come since.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until told to stop. `announce` is called with a line when applications can attach.
///
/// # Errors
/// Something of the machine is missing or in use, or an engine failed: a sentence.
pub fn run(args: &TcpServer, admin: Option<Admin>, announce: impl FnOnce(&str)) -> Result<(), String> {
    refuse_what_is_not_offered(args)?;
    let path = socket_path(args.socket.as_deref())?;
    prepare_directory(&path)?;
    let runtime = process::main_runtime()?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(|error| format!("signals cannot be received: {error}"))?;
        let Started { running, control, mut ends, admin, mut napi, line } = start(args, admin, path)?;
        announce(&line);
        systemd::ready(&line);
        let admin = admin.map(|admin| tokio::spawn(admin.serve()));
        let outcome = serve(&mut signals, &mut ends, napi.as_mut()).await;
        if outcome.is_ok() {
            let grace = args.grace_period;
            tracing::info!("stopping: what is queued has {grace} to be sent");
            systemd::stopping("sending what is queued");
        }
        running.drain();
        drop(control);
        running.stop(args.grace_period.0);
        let outcome = match outcome {
            Ok(()) => finish(&mut signals, &mut ends, running.count(), args.grace_period.0).await,
            failure => failure,
        };
        admin.inspect(tokio::task::JoinHandle::abort);
        // An exit drops nothing.
        drop(napi);
        match outcome {
            Ok(()) => Ok(()),
            Err(failure) => {
                // An engine that is stuck cannot be taken apart.
                tracing::error!("{failure}");
                std::process::exit(1)
            }
        }
    })
}

struct Started {
    running: Arc<Running>,
    control: Control,
    ends: UnboundedReceiver<EngineEnd>,
    admin: Option<AdminServer>,
    napi: Option<napi::Threads>,
    line: String,
}

fn start(args: &TcpServer, admin: Option<Admin>, path: PathBuf) -> Result<Started, String> {
    let mut cpus = process::engine_cpus(&args.cores).map_err(|error| error.to_string())?;
    if cpus.len() > MAX_ENGINES as usize {
        return Err(format!("a TCP server has at most {MAX_ENGINES} engines; name fewer with --cores"));
    }
    let Ground { engines, objects, wire } = interface::open(args, cpus.len())?;
    cpus.truncate(engines);
    let balance = balance_of(args, engines)?;
    let napi = interface::receive_on(args, &cpus)?;
    let socket = admin.map(|admin| admin::listen(&admin, None)).transpose().map_err(|error| error.to_string())?;
    let workers = Workers::start(WORKERS.0, WORKERS.1)
        .map_err(|error| format!("the worker threads cannot be started: {error}"))?;
    let (sender, ends) = unbounded_channel();
    let seats = cpus.iter().enumerate().map(|(number, cpu)| {
        let place = (number as u32, wire.clone(), objects.clone());
        engine::start(engine::Plan::new(args, *cpu, place, workers.clone()), sender.clone())
    });
    let seats: Vec<Seat> = seats.collect::<Result<_, _>>()?;
    // Other memory than the interface's the kernel could not send from.
    let lends = seats.iter().all(|seat| seat.lends);
    let pool = wire.as_ref().filter(|_| lends).map(|wire| wire.pool.clone());
    let config = ControlConfig {
        mode: args.mode.0,
        slots: args.slots,
        ring: args.ring.0 as u32,
        balance,
        limits: args.limits.clone(),
        pool,
        sender: args.offload.sender(),
        objects,
        receiving: napi.as_ref().map(napi::Threads::receiving).unwrap_or_default(),
        ..ControlConfig::new(path.clone())
    };
    let interface = seats.first().map_or("nothing", |seat| seat.interface);
    let ports = seats.iter().map(|seat| seat.port.clone()).collect();
    let steer = wire.map(|wire| wire as Arc<dyn Steer>);
    let control =
        Control::start_with(config, ports, steer).map_err(|error| format!("applications cannot attach: {error}"))?;
    let (engines, cores) = if cpus.len() == 1 { ("engine", "core") } else { ("engines", "cores") };
    let mut line = format!(
        "applications attach at {}; TCP runs on {} {engines} ({cores} {}) through {interface}",
        path.display(),
        cpus.len(),
        process::show_cpus(&cpus),
    );
    if let Some(threads) = &napi {
        line = format!("{line}; {}", threads.line());
    }
    let running = Arc::new(Running::new(seats, Instant::now()));
    let admin = socket.map(|socket| AdminServer::new(socket, running.clone())).transpose();
    let admin = admin.map_err(|error| format!("the admin server cannot start: {error}"))?;
    Ok(Started { running, control, ends, admin, napi, line })
}

/// Until told to stop.
async fn serve(
    signals: &mut Signals,
    ends: &mut UnboundedReceiver<EngineEnd>,
    mut napi: Option<&mut napi::Threads>,
) -> Result<(), String> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick(), if napi.is_some() => napi.iter_mut().for_each(|threads| threads.look()),
            request = signals.next() => match request {
                Request::Stop => return Ok(()),
                Request::Reload | Request::Reopen | Request::Upgrade => {
                    tracing::warn!("a TCP server does not read its configuration again, and has no log to open and no successor");
                }
            },
            Some(EngineEnd { cpu, outcome }) = ends.recv() => {
                let reason = outcome.err().unwrap_or_else(|| "it stopped by itself".into());
                return Err(format!("the engine on CPU {cpu} failed: {reason}"));
            }
        }
    }
}

/// Until the last engine's end.
async fn finish(
    signals: &mut Signals,
    ends: &mut UnboundedReceiver<EngineEnd>,
    mut running: usize,
    grace: Duration,
) -> Result<(), String> {
    // Engines keep their own deadline; beyond this one they are stuck.
    let deadline = tokio::time::sleep(grace + Duration::from_secs(2));
    tokio::pin!(deadline);
    while running > 0 {
        tokio::select! {
            Some(EngineEnd { cpu, outcome }) = ends.recv() => match outcome {
                Ok(()) => running -= 1,
                Err(reason) => return Err(format!("the engine on CPU {cpu} failed: {reason}")),
            },
            request = signals.next() => if request == Request::Stop {
                return Err("ended at once by a second signal; what was queued was cut off".into());
            },
            () = &mut deadline => return Err(format!("{running} engines did not end within the grace period")),
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn refuse_what_is_not_offered(args: &TcpServer) -> Result<(), String> {
    if args.offload == Directions::Receive && args.provider == Provider::Direct {
        return Err(
            "--offload receive goes with --provider kernel: with direct, the kernel has no connection on which an \
             application could send"
                .into(),
        );
    }
    Ok(())
}

/// How many of these engines are active.
fn balance_of(args: &TcpServer, engines: usize) -> Result<balance::Settings, String> {
    // Our own TCP serves whoever comes in the frames of an engine's queues: all engines have to be there, and stay.
    let is_kernels = args.provider == Provider::Kernel;
    // A socket that an application sends on as well, and whose mode it sets, is not taken from its ring.
    let moves = is_kernels && args.offload == Directions::Both;
    match args.active {
        None => Ok(balance::Settings { moves, ..balance::Settings::default() }),
        Some(_) if !is_kernels => {
            Err("--active goes with --provider kernel: with direct, all engines are active".into())
        }
        Some(Active { min, max }) if max <= engines => Ok(balance::Settings { min, max, moves }),
        Some(Active { max, .. }) => {
            Err(format!("--active: {max} engines cannot be active of {engines}; name more CPUs with --cores"))
        }
    }
}

/// Where applications attach.
///
/// # Errors
/// It cannot be told: a sentence.
pub fn socket_path(told: Option<&Path>) -> Result<PathBuf, String> {
    match told {
        Some(path) => std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display())),
        None if getuid().is_root() => Ok(OF_ROOT.into()),
        None => match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(directory) => Ok(Path::new(&directory).join("afpa-tcp-server.sock")),
            None => Err("XDG_RUNTIME_DIR is not set; say where with --socket".into()),
        },
    }
}

/// The directory of root's server, if it is not there. Others make their own.
fn prepare_directory(path: &Path) -> Result<(), String> {
    if path != Path::new(OF_ROOT) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(path);
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(format!("{} cannot be made: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
