//! The only place that wires things together: from a configuration to running engines.

mod direct;
mod dns;
mod doors;
mod ejections;
mod engine;
mod frames;
pub mod health;
mod observed;
pub mod pools;
mod purging;
mod quality;
mod reach;
mod relay;
mod relayed;
pub mod resolve;
mod running;
mod serving;
#[cfg(test)]
mod until;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use afpa_dns::query_log;
use afpa_engine::workers::Workers;
use afpa_http::access_log;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::access_log::{AccessLog, Ring};
use crate::admin;
use crate::config::{self, Config, Interface, LogFormat};
use crate::process;
use crate::supervisor::EngineEnd;
use crate::systemd::Inherited;
use crate::units::ListenAddress;
use crate::upgrade::{Handed, Predecessor, Role};

pub(crate) use direct::{Wire, engines_for as direct_engines, memory_of as frame_memory_of};
use dns::DnsPlan;
use doors::{Door, Service};
use engine::{Held, HttpPlan, Plan, Prepared, Seat};
pub(crate) use engine::{Owners, interface, message as panic_message};
pub(crate) use observed::{Observed, Seated, capture, connections, counters};
use running::Entry;
pub use running::Running;
pub(crate) use running::transitions_of;
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
    /// Where the admin server listens, unless it is off.
    pub admin: Option<OwnedFd>,
    /// One line for the operator: what is served, where, on how much, through what.
    pub line: String,
}

/// What was there before this process.
#[derive(Default)]
pub struct Legacy {
    /// The service manager's sockets.
    pub inherited: Vec<Inherited>,
    /// A predecessor's.
    pub handed: Vec<Handed>,
    /// How a predecessor uses them, which holds for this server as well.
    pub io: Option<Interface>,
}

impl Legacy {
    /// What there is when the service manager passed `inherited`, and a predecessor handed over what it has.
    ///
    /// # Errors
    /// A socket cannot be asked where it listens.
    pub fn new(mut inherited: Vec<Inherited>, predecessor: Option<&mut Predecessor>) -> io::Result<Legacy> {
        let Some(predecessor) = predecessor else { return Ok(Legacy { inherited, ..Legacy::default() }) };
        let mut handed = std::mem::take(&mut predecessor.sockets);
        for Handed { socket, .. } in handed.extract_if(.., |handed| handed.role == Role::Passed) {
            inherited.push(Inherited::of(socket)?);
        }
        Ok(Legacy { inherited, handed, io: Some(predecessor.io) })
    }
}

/// Starts the engines and all that they need.
///
/// # Errors
/// Something of the machine is missing or in use: a sentence that says what helps.
pub fn start(config: &Config, sockets: Legacy) -> Result<Started, String> {
    let Legacy { inherited, mut handed, io } = sockets;
    let mut cpus = process::engine_cpus(&config.cores).map_err(|error| error.to_string())?;
    cpus.truncate(direct::engines(config, cpus.len())?);
    let mut wire = Wire::open(config, cpus.len())?;
    let doors = open_doors(config, wire.as_ref().is_some_and(Wire::is_host), inherited, &mut handed)?;
    let admin = config.admin.as_ref().map(|admin| open_admin(admin, &mut handed)).transpose()?;
    // Addresses that are served no more.
    drop(handed);
    let workers = Workers::start(config.workers.threads as usize, config.workers.queue as usize)
        .map_err(|error| format!("the worker threads cannot be started: {error}"))?;
    let serving = Serving::prepare(config, cpus.len(), None)?;
    let backends = serving.dns().map(|dns| dns.names().clone());
    if let Some(wire) = &mut wire {
        wire.expect(&doors)?;
    }
    let wire = wire.map(Arc::new);
    let logs = config.log.format != LogFormat::Off;
    let answers = match (&wire, serving.dns()) {
        (Some(wire), Some(dns)) => {
            let answers = wire.answers()?;
            answers.inspect(|answers| _ = dns.admit(answers, logs, wire.has_partial_checksums()))
        }
        _ => None,
    };
    let (sender, ends) = unbounded_channel();
    let (mut prepared, mut rings) = (Vec::new(), Vec::new());
    for (number, &cpu) in cpus.iter().enumerate() {
        let capacity = usize::try_from(config.log.buffer.0).unwrap_or(usize::MAX);
        let http = serving.http().map(|settings| {
            let recorder = logs.then(|| {
                let (recorder, records) = access_log::ring(capacity);
                rings.push(Ring::Http(records));
                recorder
            });
            HttpPlan { settings, relay: serving.relay(), recorder }
        });
        let dns = serving.dns().cloned().zip(backends.clone()).map(|(serving, backends)| {
            let recorder = logs.then(|| {
                let (recorder, records) = query_log::ring(capacity);
                rings.push(Ring::Dns(records, backends));
                recorder
            });
            DnsPlan { serving, recorder, engines: cpus.len(), answers: answers.clone() }
        });
        let plan = Plan {
            cpu,
            number: number as u32,
            wire: wire.clone(),
            io: io.unwrap_or(config.io),
            respond: config.respond,
            // Rounded up: a limit that is smaller than the number of engines still lets each answer.
            max_accepted: max_accepted(config).div_ceil(cpus.len() as u32),
            reserved: reserved(config).div_ceil(cpus.len() as u32),
            keep_alive: keep_alive(config),
            workers: workers.clone(),
            http,
            dns,
            entrances: engine::entrances(&doors, number, cpus.len())?,
        };
        prepared.push(engine::prepare(plan, sender.clone())?);
    }
    let log = match config.log.format {
        LogFormat::Off => None,
        _ => Some(AccessLog::start(&config.log, rings).map_err(|error| error.to_string())?),
    };
    let (seats, held) = open(prepared, wire.as_deref())?;
    let line = line(config, &cpus, &doors, &seats);
    let stats = log.as_ref().map(AccessLog::stats);
    let running = Running::new(seats, serving, Entry { doors, held }, wire, answers, stats, Instant::now());
    Ok(Started { engines: Arc::new(running), engine_count: cpus.len(), ends, log, admin, line })
}

/// Opens all doors, when every engine has what it needs. Only then are frames steered: whichever queue one comes to, an
/// engine is there. And only then may the kernel accept: what it accepted before frames are steered would be reset.
fn open(mut prepared: Vec<Prepared>, wire: Option<&Wire>) -> Result<(Vec<Seat>, Vec<Held>), String> {
    if let Some(wire) = wire {
        wire.steer()?;
    }
    let held: Result<Vec<_>, _> = prepared.iter_mut().map(Prepared::open).collect();
    let held = held?.into_iter().flatten().collect();
    Ok((prepared.into_iter().map(Prepared::into_seat).collect(), held))
}

/// Every way in: to the site, if there is one, and to DNS, if that is served.
fn open_doors(
    config: &Config,
    is_host: bool,
    inherited: Vec<Inherited>,
    handed: &mut Vec<Handed>,
) -> Result<Vec<Door>, String> {
    let mut doors = Vec::new();
    if config.serves_http() {
        doors = if is_host {
            doors::of_host(Service::Http, &config.listen)?
        } else {
            doors::open(&config.listen, inherited, handed)?
        };
    }
    if let Some(dns) = &config.dns {
        let listen: Vec<_> = dns.listen.iter().copied().map(ListenAddress::Inet).collect();
        doors.extend(if is_host {
            doors::of_host(Service::Dns, &listen)?
        } else {
            doors::open_dns(&dns.listen, handed)?
        });
    }
    Ok(doors)
}

/// The admin server's socket.
fn open_admin(admin: &config::Admin, handed: &mut Vec<Handed>) -> Result<OwnedFd, String> {
    let known = doors::claim(handed, Role::Admin, &ListenAddress::Inet(admin.listen));
    admin::listen(admin, known.into_iter().next()).map_err(|error| error.to_string())
}

/// The clients' connections of all services together.
fn max_accepted(config: &Config) -> u32 {
    let site = if config.serves_http() { config.limits.connections } else { 0 };
    let dns = config.dns.as_ref().map_or(0, |dns| dns.limits.connections);
    site.saturating_add(dns)
}

/// Places for questions to backends, which clients must not take: one for each that waits, and another, because a
/// conversation ends when its answer is kept, a moment after it was passed on.
fn reserved(config: &Config) -> u32 {
    let of_dns = config.dns.as_ref().map_or(0, |dns| dns.limits.flights.saturating_mul(2));
    let of_http = config.pools.iter().map(|pool| pool.connections.saturating_mul(pool.backends.len() as u32));
    // A tunnel is no pool's connection, and each client may have one.
    let has_tunnels = config.sites.iter().flat_map(|site| &site.routes).any(|route| route.upgrade || route.connect);
    let of_tunnels = if has_tunnels { config.limits.connections } else { 0 };
    of_http.fold(of_dns.saturating_add(of_tunnels), u32::saturating_add)
}

/// The shortest that a pool wants: it costs the others a packet now and then.
fn keep_alive(config: &Config) -> Duration {
    config.pools.iter().map(|pool| pool.tcp_keep_alive.0).filter(|span| !span.is_zero()).min().unwrap_or_default()
}

fn line(config: &Config, cpus: &[usize], doors: &[Door], seats: &[Seat]) -> String {
    let urls: Vec<_> = doors.iter().map(Door::url).collect();
    let (engines, cores) = if cpus.len() == 1 { ("engine", "core") } else { ("engines", "cores") };
    format!(
        "serving {} on {} with {} {engines} ({cores} {}) through {}, cache {}",
        what(config),
        urls.join(" and "),
        cpus.len(),
        process::show_cpus(cpus),
        seats.first().map_or("nothing", |seat| seat.interface),
        match &config.dns {
            Some(dns) if !config.serves_http() => dns.cache.size,
            _ => config.cache.size,
        },
    )
}

/// Sites with routes, in a few words: the backend, where there is but one.
fn routed(config: &Config) -> String {
    match (config.sites.as_slice(), config.pools.as_slice()) {
        ([site], [pool]) if site.routes.len() == 1 && pool.backends.len() == 1 => pool.backends[0].address.to_string(),
        (sites, _) => format!("{} site{}", sites.len(), if sites.len() == 1 { "" } else { "s" }),
    }
}

/// What is served, in a few words.
fn what(config: &Config) -> String {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let site = config.has_site().then(|| config.site.root.display().to_string());
    let sites = (!config.sites.is_empty()).then(|| routed(config));
    let dns = config.dns.as_ref();
    let zones = dns.filter(|dns| !dns.zones.is_empty()).map(|dns| plural(dns.zones.len(), "zone"));
    let backends = dns.filter(|dns| !dns.backends.is_empty()).map(|dns| plural(dns.backends.len(), "backend"));
    [site, sites, zones, backends].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}
