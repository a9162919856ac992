//! The only place that wires things together: from a configuration to running engines.

mod direct;
mod doors;
mod engine;
mod frames;
mod observed;
mod reach;
mod running;
mod serving;

use std::sync::Arc;
use std::time::Instant;

use afpa_engine::workers::Workers;
use afpa_http::access_log::{Recorder, Records, ring};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::access_log::AccessLog;
use crate::config::{Config, LogFormat};
use crate::process;
use crate::supervisor::EngineEnd;
use crate::systemd::Inherited;

use direct::Wire;
use doors::Door;
use engine::{Plan, Prepared, Seat};
pub use running::Running;
use serving::Serving;

/// A server that answers.
pub struct Started {
    /// Its engines.
    pub engines: Arc<Running>,
    /// How many they are.
    pub engine_count: usize,
    /// Where each reports its end.
    pub ends: UnboundedReceiver<EngineEnd>,
    /// The access log, unless it is off.
    pub log: Option<AccessLog>,
    /// One line for the operator: what is served, where, on how much, through what.
    pub line: String,
}

/// Starts the engines and all that they need.
///
/// # Errors
/// Something of the machine is missing or in use: a sentence that says what helps.
pub fn start(config: &Config, inherited: Vec<Inherited>) -> Result<Started, String> {
    if config.dns.is_some() {
        return Err("DNS is not wired yet".into());
    }
    let mut cpus = process::engine_cpus(&config.cores).map_err(|error| error.to_string())?;
    cpus.truncate(direct::engines(config, cpus.len())?);
    let mut wire = Wire::open(config, cpus.len())?;
    let doors = match &wire {
        Some(wire) if wire.is_host() => doors::of_host(&config.listen)?,
        _ => doors::open(&config.listen, inherited)?,
    };
    let workers = Workers::start(config.workers.threads as usize, config.workers.queue as usize)
        .map_err(|error| format!("the worker threads cannot be started: {error}"))?;
    let serving = Serving::prepare(config, cpus.len(), None)?;
    if let Some(wire) = &mut wire {
        wire.expect(&doors)?;
    }
    let wire = wire.map(Arc::new);
    let (sender, ends) = unbounded_channel();
    let (mut prepared, mut rings) = (Vec::new(), Vec::new());
    for (number, &cpu) in cpus.iter().enumerate() {
        let recorder = recorder(config, &mut rings);
        let plan = Plan {
            cpu,
            number: number as u32,
            wire: wire.clone(),
            io: config.io,
            respond: config.respond,
            // Rounded up: a limit that is smaller than the number of engines still lets each answer.
            max_connections: config.limits.connections.div_ceil(cpus.len() as u32),
            workers: workers.clone(),
            settings: serving.settings(),
            recorder,
            entrances: engine::entrances(&doors)?,
        };
        prepared.push(engine::prepare(plan, sender.clone())?);
    }
    let log = match config.log.format {
        LogFormat::Off => None,
        _ => Some(AccessLog::start(&config.log, rings).map_err(|error| error.to_string())?),
    };
    let seats = open(prepared, wire.as_deref())?;
    let line = line(config, &cpus, &doors, &seats);
    let running = Running::new(seats, serving, doors, wire, log.as_ref().map(AccessLog::stats), Instant::now());
    Ok(Started { engines: Arc::new(running), engine_count: cpus.len(), ends, log, line })
}

/// Opens all doors, when every engine has what it needs. Only then are frames steered: whichever queue one comes to, an
/// engine is there. And only then may the kernel accept: what it accepted before frames are steered would be reset.
fn open(mut prepared: Vec<Prepared>, wire: Option<&Wire>) -> Result<Vec<Seat>, String> {
    if let Some(wire) = wire {
        wire.steer()?;
    }
    prepared.iter_mut().try_for_each(Prepared::open)?;
    Ok(prepared.into_iter().map(Prepared::into_seat).collect())
}

fn recorder(config: &Config, rings: &mut Vec<Records>) -> Option<Recorder> {
    if config.log.format == LogFormat::Off {
        return None;
    }
    let (recorder, records) = ring(usize::try_from(config.log.buffer.0).unwrap_or(usize::MAX));
    rings.push(records);
    Some(recorder)
}

fn line(config: &Config, cpus: &[usize], doors: &[Door], seats: &[Seat]) -> String {
    let urls: Vec<_> = doors.iter().map(Door::url).collect();
    let (engines, cores) = if cpus.len() == 1 { ("engine", "core") } else { ("engines", "cores") };
    format!(
        "serving {} on {} with {} {engines} ({cores} {}) through {}, cache {}",
        config.site.root.display(),
        urls.join(" and "),
        cpus.len(),
        process::show_cpus(cpus),
        seats.first().map_or("nothing", |seat| seat.interface),
        config.cache.size,
    )
}
