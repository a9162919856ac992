//! Which applications are attached, and with which processes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use afpa_channel::Geometry;
use afpa_channel::control::{Sender, Token};
use afpa_platform::memory::Pool;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::application::{Application, Identity, SlotCeiling};
use crate::control::ControlConfig;
use crate::control::balancer::Balancer;
use crate::control::publisher::Publisher;
use crate::limits::Limits;
use crate::objects::Objects;
use crate::provider::Port;
use crate::status::{Load, Receiving};
use crate::steering::Leases;

/// How long a place waits for the process that was forked for it.
const FORK_PATIENCE: Duration = Duration::from_secs(10);

/// The applications, and what they share.
pub(crate) struct Registry {
    pub(crate) geometry: Geometry,
    pub(crate) limits: Limits,
    pub(crate) ports: Vec<Port>,
    pub(crate) ceiling: SlotCeiling,
    pub(crate) entries: HashMap<u64, Entry>,
    pub(crate) load: Load,
    pub(crate) balancer: Balancer,
    count: u64,
    /// Where the next look for the least loaded engine starts.
    pub(crate) next_engine: usize,
    pub(crate) leases: Leases,
    pub(crate) pool: Option<Arc<Pool>>,
    pub(crate) sender: Sender,
    pub(crate) receiving: Receiving,
    pub(crate) objects: Option<Arc<Objects>>,
    pub(crate) publisher: Option<Publisher>,
}

/// An application.
pub(crate) struct Entry {
    pub(crate) application: Arc<Application>,
    /// The processes' ids as the kernel has them, by place.
    pub(crate) processes: HashMap<u32, i32>,
    /// Places of processes that were forked and have not come yet, and until when they are kept.
    forks: Vec<(u32, Instant)>,
}

/// A process of an application.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) application: Arc<Application>,
    pub(crate) place: u32,
}

impl Member {
    pub(crate) fn number(&self) -> u64 {
        self.application.identity().number
    }
}

impl Registry {
    pub(crate) fn new(geometry: Geometry, config: &ControlConfig, ports: Vec<Port>, leases: Leases) -> Registry {
        let (limits, balance, objects) = (config.limits.clone(), config.balance, config.objects.clone());
        Registry {
            geometry,
            ceiling: SlotCeiling::new(&limits, geometry),
            limits,
            load: Load::new(ports.len()),
            balancer: Balancer::start(balance, &ports),
            ports,
            entries: HashMap::new(),
            count: 0,
            next_engine: 0,
            leases,
            pool: config.pool.clone(),
            sender: config.sender,
            receiving: config.receiving.clone(),
            publisher: objects.clone().map(Publisher::new),
            objects,
        }
    }

    /// Whether one more application may attach for this user.
    pub(crate) fn has_room(&self, uid: u32) -> bool {
        let of_user = self.entries.values().filter(|entry| entry.application.identity().uid == uid).count();
        self.entries.len() < self.limits.applications && of_user < self.limits.applications_per_user
    }

    /// A new application and its first process.
    pub(crate) fn attach(&mut self, name: String, uid: u32, pid: i32) -> std::io::Result<Member> {
        self.count += 1;
        let identity = Identity { number: self.count, token: random()?, uid, name };
        let wakers = self.ports.iter().map(|port| port.handle.waker()).collect();
        let application = Application::new(identity, self.geometry, wakers, &self.limits, &self.ceiling)?;
        let place = application.admit_process().ok_or(std::io::ErrorKind::QuotaExceeded)?;
        for port in &self.ports {
            let application = application.clone();
            port.command(move |provider, _, transports| provider.attach(application, transports));
        }
        let processes = HashMap::from([(place, pid)]);
        self.entries.insert(self.count, Entry { application: application.clone(), processes, forks: Vec::new() });
        Ok(Member { application, place })
    }

    /// A place for a process that is about to be forked.
    pub(crate) fn fork(&mut self, member: &Member, now: Instant) -> Option<u32> {
        let entry = self.entries.get_mut(&member.number())?;
        let place = entry.application.admit_process()?;
        entry.forks.push((place, now + FORK_PATIENCE));
        Some(place)
    }

    /// The process that was forked for the place.
    pub(crate) fn join(&mut self, token: &Token, place: u32, pid: i32) -> Option<Member> {
        let entry = self.entries.values_mut().find(|entry| entry.application.identity().token == *token)?;
        let fork = entry.forks.iter().position(|(waiting, _)| *waiting == place)?;
        entry.forks.swap_remove(fork);
        entry.processes.insert(place, pid);
        Some(Member { application: entry.application.clone(), place })
    }

    /// A process is gone.
    pub(crate) fn leave(&mut self, member: Member, now: Instant) {
        let Some(entry) = self.entries.get_mut(&member.number()) else { return };
        entry.processes.remove(&member.place);
        self.free_place(member.number(), member.place);
        self.tick(now);
    }

    fn free_place(&mut self, number: u64, place: u32) {
        let Some(entry) = self.entries.get(&number) else { return };
        entry.application.forget_process(place);
        if entry.processes.is_empty() && entry.forks.is_empty() {
            return self.end(number);
        }
        for port in &self.ports {
            port.command(move |provider, desk, _| provider.abandon_orphans(number, desk));
        }
    }

    fn end(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        entry.application.finish();
        for port in &self.ports {
            port.command(move |provider, desk, _| provider.finish(number, desk));
        }
    }

    /// The server stops.
    pub(crate) fn end_all(&mut self) {
        let numbers: Vec<u64> = self.entries.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.end(number));
    }

    /// Gives up places whose processes have not come, and looks at how busy engines are.
    pub(crate) fn tick(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (number, entry) in &mut self.entries {
            late.extend(entry.forks.extract_if(.., |(_, until)| *until <= now).map(|(place, _)| (*number, place)));
        }
        late.into_iter().for_each(|(number, place)| self.free_place(number, place));
        self.leases.tick(now);
        if !self.entries.is_empty() {
            self.load.sample(now, &self.ports);
            self.balancer.tick(now, &self.ports);
        }
    }

    /// How long there is nothing to do unless somebody asks.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        let forks = self.entries.values().flat_map(|entry| &entry.forks).map(|(_, until)| *until);
        let sample = (!self.entries.is_empty()).then(|| self.load.next());
        let decision = self.balancer.next().filter(|_| !self.entries.is_empty());
        let next = forks.chain(sample).chain(decision).min();
        let next = next.map(|next| next.saturating_duration_since(now) + Duration::from_millis(1));
        next.into_iter().chain(self.leases.patience()).min()
    }
}

fn random() -> rustix::io::Result<Token> {
    let mut token = Token::default();
    getrandom(&mut token, GetRandomFlags::empty())?;
    Ok(token)
}
