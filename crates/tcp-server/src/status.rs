//! What there is, for people and programs.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use afpa_channel::control::Sender;
use serde::{Deserialize, Serialize};

use crate::control::Registry;
use crate::provider::Port;

/// Applications that are listed; a reply is one packet.
const MOST: usize = 200;
/// How often it is looked at how busy engines are.
const INTERVAL: Duration = Duration::from_secs(1);

/// A TCP server at one moment.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Status {
    /// Applications that are attached, at most 200 of them.
    pub applications: Vec<ApplicationStatus>,
    /// Applications that are not listed.
    pub more: usize,
    /// Its engines, by their numbers.
    pub engines: Vec<EngineStatus>,
    /// Who sends on connections: as the option `--offload` has it.
    #[serde(rename = "offload")]
    pub sender: Sender,
    /// Threads of the kernel that receive for an interface on the engines' cores.
    #[serde(default)]
    pub receiving: Vec<ReceivingThread>,
    /// What applications have published, if they may.
    #[serde(default)]
    pub objects: Option<ObjectsStatus>,
}

/// What applications have published.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ObjectsStatus {
    /// How many objects are found by their keys.
    pub objects: u64,
    /// Octets of memory that they take, and what is still sent of others.
    pub used: u64,
    /// The most that they may take.
    pub capacity: u64,
    /// Objects that others have pushed out so far.
    pub evictions: u64,
}

/// A thread of the kernel that receives for an interface (threaded NAPI).
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ReceivingThread {
    /// As the kernel calls it.
    pub name: String,
    /// Its id.
    pub thread: i32,
    /// The core on which it runs.
    pub core: usize,
}

/// The threads that receive at present: told by who looks after them, shown by the control server.
#[derive(Clone, Default, Debug)]
pub struct Receiving(Arc<Mutex<Vec<ReceivingThread>>>);

impl Receiving {
    /// These are they.
    pub fn set(&self, threads: Vec<ReceivingThread>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = threads;
    }

    /// All of them.
    pub fn get(&self) -> Vec<ReceivingThread> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An application.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct ApplicationStatus {
    /// What it calls itself.
    pub name: String,
    /// The user of its first process.
    pub uid: u32,
    /// Its processes' ids, ascending.
    pub processes: Vec<i32>,
    /// Slots of listeners.
    pub listening: usize,
    /// Slots of connections, those included that are being opened or are gone and not closed yet.
    pub connections: usize,
    /// Slots that there are.
    pub slots: u32,
    /// Octets of registered memory.
    pub registered: u64,
}

/// An engine.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct EngineStatus {
    /// Connections of applications.
    pub connections: u64,
    /// The share of the last second in which it had something to do.
    pub load: f64,
    /// Whether it sleeps now.
    pub sleeping: bool,
    /// Whether it accepts connections: the balance decides by load.
    pub active: bool,
    /// Connections that have come from another engine so far.
    pub moved_in: u64,
    /// Connections that have gone to another engine so far.
    pub moved_out: u64,
}

/// Processes that are listed of one application.
const MOST_PROCESSES: usize = 8;
/// Threads of the kernel that are listed.
const MOST_THREADS: usize = 200;

impl Registry {
    /// What there is, as JSON.
    pub(crate) fn status(&mut self, now: Instant) -> String {
        self.load.sample(now, &self.ports);
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(number, _)| **number);
        let applications = entries.iter().take(MOST).map(|(_, entry)| {
            let application = &entry.application;
            let mut processes: Vec<i32> = entry.processes.values().copied().collect();
            processes.sort_unstable();
            processes.truncate(MOST_PROCESSES);
            let listening = application.listening.load(Ordering::Relaxed);
            ApplicationStatus {
                name: application.identity().name.clone(),
                uid: application.identity().uid,
                processes,
                listening,
                connections: application.slots.used().saturating_sub(listening),
                slots: application.region().geometry().slots(),
                registered: application.registered(),
            }
        });
        let engines = self.ports.iter().zip(&self.load.shares).map(|(port, load)| EngineStatus {
            connections: port.stats.open.get(),
            load: *load,
            sleeping: port.stats.sleeping.get() != 0,
            active: port.stats.active.get() != 0,
            moved_in: port.stats.moved_in.get(),
            moved_out: port.stats.moved_out.get(),
        });
        let status = Status {
            applications: applications.collect(),
            more: entries.len().saturating_sub(MOST),
            engines: engines.collect(),
            sender: self.sender,
            receiving: self.receiving.get().into_iter().take(MOST_THREADS).collect(),
            objects: self.objects.as_ref().map(|objects| objects.status()),
        };
        serde_json::to_string(&status).unwrap_or_default()
    }
}

/// How busy engines are.
pub(crate) struct Load {
    /// By engine, from 0 to 1.
    shares: Vec<f64>,
    /// What the counters were.
    before: Vec<u64>,
    since: Instant,
}

impl Load {
    pub(crate) fn new(engines: usize) -> Load {
        Load { shares: vec![0.0; engines], before: vec![0; engines], since: Instant::now() }
    }

    /// When it has to be looked at next.
    pub(crate) fn next(&self) -> Instant {
        self.since + INTERVAL
    }

    /// Looks at the counters, if it is time.
    pub(crate) fn sample(&mut self, now: Instant, ports: &[Port]) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < INTERVAL {
            return;
        }
        for (engine, port) in ports.iter().enumerate() {
            let busy = port.stats.busy.get();
            let share = busy.saturating_sub(self.before[engine]) as f64 / elapsed.as_nanos() as f64;
            self.shares[engine] = share.min(1.0);
            self.before[engine] = busy;
        }
        self.since = now;
    }
}
