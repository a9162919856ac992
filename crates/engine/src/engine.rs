//! The engine's loop.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::desk::{Desk, Notice, Open, Opening};
use crate::exchanges::EXCHANGES;
use crate::installed::{Installed, InstalledModule, Run};
use crate::mailbox::{Inbox, Mailbox, Message, Waker, mailbox};
use crate::module::{ProtocolModule, Rest};
use crate::seam::{Calls, ConnectionId, Disconnect, Events, ListenerId, Origin, Owner, Released, Time, Transport};
use crate::stats::{EngineStats, ModuleStats};
use crate::timers::{Entry, TimerWheel};
use crate::workers::{Busy, Workers};

/// Stands in for the name that a module gives to an exchange when it begins.
const NOBODY: ConnectionId = ConnectionId::new(EXCHANGES, ConnectionId::MAX_INDEX, 0);

/// One engine: runs on one thread, which the caller starts and pins.
///
/// A pass of the loop reads, top to bottom, as what an engine does: take messages, see what others have left in
/// shared memory, poll the transports, fire timers, give turns to connections that used theirs up, and see whether to
/// stop.
pub struct Engine {
    core: Core,
    transports: Vec<Box<dyn Transport>>,
    inbox: Inbox,
    stopping: Option<Time>,
    leaving: Option<Leaving>,
}

/// Reaches an engine from any thread.
#[derive(Clone)]
pub struct EngineHandle {
    mailbox: Mailbox,
    stats: Arc<EngineStats>,
}

/// What a command can do on the engine's thread.
pub struct Control<'a> {
    core: &'a mut Core,
    transports: &'a mut Vec<Box<dyn Transport>>,
    stopping: &'a mut Option<Time>,
    leaving: &'a mut Option<Leaving>,
}

/// When an engine that was retired stops, and what it grants then.
#[derive(Clone, Copy)]
struct Leaving {
    since: Time,
    grace: Duration,
}

/// The engine's services to its modules.
pub(crate) struct Services {
    pub(crate) now: Time,
    /// When this pass began; once its first wait is over, when that was.
    awoke: Time,
    is_awake: bool,
    /// The first transport did not wait, but worked.
    has_worked: bool,
    /// What the input of this pass may have waited for: see [`Context::delay`](crate::Context::delay).
    pub(crate) delay: Duration,
    pub(crate) draining: bool,
    /// Another server takes over: connections end with their next answer.
    pub(crate) leaving: bool,
    timers: TimerWheel,
    workers: Arc<Workers>,
    mailbox: Mailbox,
    stats: Arc<EngineStats>,
    again: Vec<(ConnectionId, Owner)>,
    notices: Vec<Notice>,
    openings: Vec<Opening>,
    /// Exchanges that wait.
    exchanges: usize,
}

/// Everything but the transports, which are lent to it one event at a time.
struct Core {
    modules: Vec<Box<dyn InstalledModule>>,
    /// Those of them that share memory with others.
    attending: Vec<Owner>,
    /// They have announced that the engine sleeps.
    resting: bool,
    services: Services,
    clock: Box<dyn Fn() -> Time>,
    /// The tags of what was opened and is not connected yet.
    opened: HashMap<ConnectionId, u64>,
}

impl Engine {
    /// An engine without transports and modules. `clock` is the monotonic clock; it is read a few times
    /// per pass, never behind a module's back.
    ///
    /// # Errors
    /// No descriptor is left for the engine's mailbox.
    pub fn new(workers: Arc<Workers>, clock: impl Fn() -> Time + 'static) -> io::Result<Engine> {
        let (mailbox, inbox) = mailbox()?;
        let now = clock();
        let services = Services {
            now,
            awoke: now,
            is_awake: true,
            has_worked: false,
            delay: Duration::ZERO,
            draining: false,
            leaving: false,
            timers: TimerWheel::new(now),
            workers,
            mailbox,
            stats: Arc::default(),
            again: Vec::new(),
            notices: Vec::new(),
            openings: Vec::new(),
            exchanges: 0,
        };
        let core = Core {
            modules: Vec::new(),
            attending: Vec::new(),
            resting: false,
            services,
            clock: Box::new(clock),
            opened: HashMap::new(),
        };
        Ok(Engine { core, transports: Vec::new(), inbox, stopping: None, leaving: None })
    }

    /// The way to reach this engine from other threads.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle { mailbox: self.core.services.mailbox.clone(), stats: self.core.services.stats.clone() }
    }

    /// Installs a module; the `Owner` that it returns goes to the listeners that it shall own.
    pub fn install<M: ProtocolModule>(&mut self, global: M::Global) -> (Owner, Arc<ModuleStats>) {
        let stats = Arc::new(ModuleStats::new(M::NAME));
        self.core.modules.push(Box::new(Installed::<M>::new(global, stats.clone())));
        let owner = Owner((self.core.modules.len() - 1) as u8);
        if M::ATTENDS {
            self.core.attending.push(owner);
        }
        (owner, stats)
    }

    /// Adds a transport. Its connections must carry [`crate::TransportId`] = its place: the first
    /// added is 0. The first is the one that sleeps, and wakes for all others.
    ///
    /// # Errors
    /// The first transport cannot watch the mailbox or the new transport.
    pub fn add_transport(&mut self, mut transport: Box<dyn Transport>) -> io::Result<()> {
        if let Some(first) = self.transports.first_mut() {
            if let Some(descriptor) = transport.descriptor() {
                first.watch(descriptor)?;
            }
        } else {
            transport.watch(self.inbox.descriptor())?;
        }
        self.transports.push(transport);
        Ok(())
    }

    /// As [`Context::open`](crate::Context::open), from outside; it is opened in the first pass.
    pub fn open(&mut self, what: Open, owner: Owner, tag: u64) {
        self.core.services.open(Opening { what, owner, tag });
    }

    /// Runs until stopped by [`EngineHandle::stop`].
    ///
    /// # Errors
    /// A transport's system interface failed.
    pub fn run(&mut self) -> io::Result<()> {
        while self.pass(true)? {}
        Ok(())
    }

    /// One pass of the loop; sleeps only if `may_sleep`. Returns whether there shall be another.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn pass(&mut self, may_sleep: bool) -> io::Result<bool> {
        self.start_pass();
        self.take_messages();
        self.leave();
        if self.core.attend() {
            // What it comes to leaves with this pass's poll.
            self.answer();
        }
        self.poll_transports(may_sleep)?;
        self.fire_timers();
        self.core.attend();
        self.give_turns();
        Ok(!self.is_over())
    }

    fn start_pass(&mut self) {
        self.core.services.stats.passes.increment();
        let now = self.core.tell_time();
        let services = &mut self.core.services;
        services.delay = now.since(services.awoke);
        (services.awoke, services.is_awake) = (now, false);
    }

    fn take_messages(&mut self) {
        while let Some(message) = self.inbox.take() {
            match message {
                Message::Command(command) => {
                    let Engine { core, transports, stopping, leaving, .. } = self;
                    command(&mut Control { core, transports, stopping, leaving });
                }
                Message::Completed { connection, owner, result } => {
                    self.core.services.stats.completions.increment();
                    self.core.with(&mut self.transports, connection, owner, |m, run| m.completed(run, result));
                }
            }
        }
    }

    fn poll_transports(&mut self, may_sleep: bool) -> io::Result<()> {
        let wait = self.wait(may_sleep);
        let Some((first, others)) = self.transports.split_first_mut() else { return Ok(()) };
        first.poll(self.core.services.now, wait, &mut self.core)?;
        self.core.woken();
        if may_sleep {
            self.inbox.wake_up();
        }
        for transport in others {
            if transport.is_due(self.core.services.now) != Some(false) {
                transport.poll(self.core.services.now, Some(Duration::ZERO), &mut self.core)?;
            }
        }
        Ok(())
    }

    /// How long the transports may sleep: until the next timer, or not at all if something came in
    /// after it was looked for.
    fn wait(&mut self, may_sleep: bool) -> Option<Duration> {
        if !may_sleep {
            return Some(Duration::ZERO);
        }
        self.inbox.prepare_sleep();
        let now = self.core.services.now;
        let pending = self.transports.iter().any(|transport| transport.is_pending());
        let due = self.transports.iter_mut().skip(1).any(|transport| transport.is_due(now) == Some(true));
        if pending || due || self.inbox.was_notified() || !self.inbox.is_empty() || self.core.services.has_turns() {
            return Some(Duration::ZERO);
        }
        let timers = self.core.services.timers.wait(now);
        let stopping = self.leaving.map(|leaving| leaving.since).or(self.stopping).map(|deadline| deadline.since(now));
        let others = self.transports.iter().skip(1).filter_map(|transport| transport.patience(now));
        let wait = timers.into_iter().chain(stopping).chain(others).min();
        if wait == Some(Duration::ZERO) { wait } else { self.core.rest(wait) }
    }

    fn fire_timers(&mut self) {
        let now = self.core.tell_time();
        if !self.core.services.timers.is_due(now) {
            return;
        }
        let mut due = Vec::new();
        self.core.services.timers.expired(now, &mut due);
        for entry in due {
            self.core.services.stats.timers.increment();
            let Entry { connection, owner, due } = entry;
            let later = self.core.with(&mut self.transports, connection, owner, |m, run| m.expired(run, due)).flatten();
            if let Some(due) = later {
                self.core.services.timers.insert(Entry { connection, owner, due });
            }
        }
    }

    /// Runs those whose turn it is, whatever event made it so. What they ask for in turn waits for the next pass.
    fn give_turns(&mut self) {
        self.answer();
        let mut turns = std::mem::take(&mut self.core.services.again);
        for (connection, owner) in turns.drain(..) {
            self.core.with(&mut self.transports, connection, owner, |m, run| m.again(run));
        }
        give_back(turns, &mut self.core.services.again);
    }

    /// Opens what was to be opened, and wakes those who were notified.
    fn answer(&mut self) {
        for opening in std::mem::take(&mut self.core.services.openings) {
            self.core.open(&mut self.transports, opening);
        }
        let mut notices = std::mem::take(&mut self.core.services.notices);
        for Notice { connection, owner } in notices.drain(..) {
            self.core.with(&mut self.transports, connection, owner, |m, run| m.notified(run));
        }
        give_back(notices, &mut self.core.services.notices);
    }

    /// Turns to those who are still there when an engine that was [retired](EngineHandle::retire) has waited.
    fn leave(&mut self) {
        let now = self.core.services.now;
        if let Some(leaving) = self.leaving.take_if(|leaving| now >= leaving.since) {
            let Engine { core, transports, stopping, leaving: none, .. } = self;
            Control { core, transports, stopping, leaving: none }.stop(leaving.grace);
        }
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some_and(|deadline| {
            let is_idle = self.core.services.exchanges == 0 && self.transports.iter().all(|t| t.connections() == 0);
            self.core.services.now >= deadline || is_idle
        })
    }
}

impl EngineHandle {
    /// Runs `command` on the engine's thread, soon.
    pub fn command(&self, command: impl FnOnce(&mut Control<'_>) + Send + 'static) {
        self.mailbox.post(Message::Command(Box::new(command)));
    }

    /// Wakes a connection or exchange of this engine, from any thread, as [`Context::notify`](crate::Context::notify)
    /// does from within.
    pub fn notify(&self, notice: Notice) {
        self.command(move |control| control.core.services.notify(notice));
    }

    /// Stops: no more connections are accepted, idle ones are closed, requests in flight are
    /// finished within `grace`; then [`Engine::run`] returns.
    pub fn stop(&self, grace: Duration) {
        self.command(move |control| control.stop(grace));
    }

    /// Stops, but slowly, because another server takes over the listeners: no more connections are accepted and no
    /// datagrams received, and modules see that the engine is [leaving](crate::Context::leaving). For as long as
    /// `patience`, who is connected may ask once more; then it is as after [`EngineHandle::stop`] with what is left
    /// of `grace`.
    pub fn retire(&self, patience: Duration, grace: Duration) {
        self.command(move |control| control.retire(patience, grace));
    }

    /// Wakes the engine: for queues that a module shares with other threads.
    pub fn waker(&self) -> Waker {
        self.mailbox.waker()
    }

    /// The engine's counters.
    pub fn stats(&self) -> &Arc<EngineStats> {
        &self.stats
    }
}

impl Control<'_> {
    /// A module's global data, if `owner` is an `M`.
    pub fn global<M: ProtocolModule>(&mut self, owner: Owner) -> Option<&mut M::Global> {
        self.core.modules.get_mut(owner.0 as usize)?.global().downcast_mut()
    }

    /// Runs `f` with a module's global data, its desk, and the transports in the order in which they were added, if
    /// `owner` is an `M`.
    pub fn with_module<M: ProtocolModule, R>(
        &mut self,
        owner: Owner,
        f: impl FnOnce(&mut M::Global, &mut Desk<'_>, &mut [Box<dyn Transport>]) -> R,
    ) -> Option<R> {
        let Core { modules, services, .. } = &mut *self.core;
        let global = modules.get_mut(owner.0 as usize)?.global().downcast_mut()?;
        Some(f(global, &mut Desk { services, owner }, self.transports))
    }

    /// As [`Context::notify`](crate::Context::notify).
    pub fn notify(&mut self, notice: Notice) {
        self.core.services.notify(notice);
    }

    /// The transports in the order in which they were added.
    pub fn transports(&mut self) -> &mut [Box<dyn Transport>] {
        self.transports
    }

    fn retire(&mut self, patience: Duration, grace: Duration) {
        if self.core.services.draining {
            return;
        }
        self.core.services.leaving = true;
        for transport in self.transports.iter_mut() {
            transport.stop_listening();
            transport.stop_datagrams();
        }
        let since = self.core.services.now.after(patience.min(grace));
        *self.leaving = Some(Leaving { since, grace: grace.saturating_sub(patience) });
    }

    fn stop(&mut self, grace: Duration) {
        *self.stopping = Some(self.core.services.now.after(grace));
        *self.leaving = None;
        (self.core.services.draining, self.core.services.leaving) = (true, true);
        for transport in self.transports.iter_mut() {
            transport.stop_listening();
        }
        for owner in 0..self.core.modules.len() {
            for id in self.core.modules[owner].live() {
                self.core.with(self.transports, id, Owner(owner as u8), |m, run| m.drain(run));
            }
        }
    }
}

impl Core {
    /// Reads the clock, and lets the modules go by it.
    fn tell_time(&mut self) -> Time {
        let now = (self.clock)();
        self.services.now = now;
        for module in &mut self.modules {
            module.pass(now);
        }
        now
    }

    /// Lets modules see what others have left for them. Returns whether there are such modules.
    #[inline]
    fn attend(&mut self) -> bool {
        for &owner in &self.attending {
            self.modules[owner.0 as usize].attend(&mut self.services, owner);
        }
        !self.attending.is_empty()
    }

    /// Lets modules announce that the engine sleeps for `wait`, and returns for how long it may.
    fn rest(&mut self, mut wait: Option<Duration>) -> Option<Duration> {
        let now = self.services.now;
        for &owner in &self.attending {
            self.resting = true;
            let bound = match self.modules[owner.0 as usize].rest(now) {
                Rest::Sleep => continue,
                Rest::Until(time) => time.since(now),
                Rest::Stay => Duration::ZERO,
            };
            wait = Some(wait.map_or(bound, |wait| wait.min(bound)));
        }
        wait
    }

    /// Lets modules take back what they announced, if they did.
    fn woken(&mut self) {
        if std::mem::take(&mut self.resting) {
            for &owner in &self.attending {
                self.modules[owner.0 as usize].woken();
            }
        }
    }

    /// Runs `f` with the connection's module, in the calls of its transport.
    fn with<R>(
        &mut self,
        transports: &mut [Box<dyn Transport>],
        id: ConnectionId,
        owner: Owner,
        f: impl FnOnce(&mut dyn InstalledModule, &mut Run<'_>) -> R,
    ) -> Option<R> {
        let module = self.modules.get_mut(owner.0 as usize)?;
        let transport = if id.transport() == EXCHANGES { module.transport_of(id)? } else { id.transport() };
        let calls = transports.get_mut(transport.0 as usize)?.calls();
        Some(f(module.as_mut(), &mut Run { calls, services: &mut self.services, id, owner }))
    }

    /// Opens on the last transport, which is the host's own.
    fn open(&mut self, transports: &mut [Box<dyn Transport>], Opening { what, owner, tag }: Opening) {
        let Some(calls) = transports.last_mut().map(|transport| transport.calls()) else { return };
        let opened = match what {
            Open::Stream(address) => calls.connect(&address, owner),
            Open::With { socket, to } => calls.connect_with(socket, &to, owner),
            Open::TakeOver { socket, octets } => calls.take_over(socket, owner, octets),
            Open::Conversation(peer) => calls.converse(peer, owner),
            Open::Work => {
                self.event(calls, NOBODY, owner, |m, run| m.begin(run, tag));
                return;
            }
        };
        match opened {
            Ok(id) => {
                self.opened.insert(id, tag);
            }
            Err(_) => self.unreachable(owner, tag, Disconnect::Unavailable),
        }
    }

    fn unreachable(&mut self, owner: Owner, tag: u64, reason: Disconnect) {
        if let Some(module) = self.modules.get_mut(owner.0 as usize) {
            module.unreachable(&mut self.services, owner, tag, reason);
        }
    }

    #[inline]
    fn event<R>(
        &mut self,
        calls: &mut dyn Calls,
        id: ConnectionId,
        owner: Owner,
        f: impl FnOnce(&mut dyn InstalledModule, &mut Run<'_>) -> R,
    ) -> Option<R> {
        let module = self.modules.get_mut(owner.0 as usize)?;
        Some(f(module.as_mut(), &mut Run { calls, services: &mut self.services, id, owner }))
    }
}

impl Events for Core {
    fn worked(&mut self) {
        self.services.has_worked = true;
    }

    fn awake(&mut self) -> Option<Time> {
        let now = self.tell_time();
        self.services.awake();
        self.woken();
        Some(now)
    }

    fn connected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, origin: Origin) {
        self.services.stats.connected.increment();
        self.services.stats.open.add(1);
        let origin = match origin {
            Origin::Connected => self.opened.remove(&id).map_or(Origin::Connected, Origin::Opened),
            origin => origin,
        };
        if self.event(calls, id, owner, |m, run| m.connected(run, origin)).is_none() {
            calls.abort(id);
        }
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, bytes: &[u8]) -> usize {
        let consumed = self.event(calls, id, owner, |m, run| m.received(run, bytes)).unwrap_or(bytes.len());
        self.services.stats.received_octets.add(consumed as u64);
        consumed
    }

    fn sent(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, count: u64) {
        self.services.stats.sent_octets.add(count);
        self.event(calls, id, owner, |m, run| m.sent(run, count));
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, reason: Disconnect) {
        match reason {
            Disconnect::Reset => self.services.stats.resets.increment(),
            Disconnect::TimedOut => self.services.stats.timeouts.increment(),
            Disconnect::Finished
            | Disconnect::Closed
            | Disconnect::Refused
            | Disconnect::Unreachable
            | Disconnect::Unavailable => {}
        }
        // One that was never connected is nobody's connection.
        if reason != Disconnect::Finished
            && !self.opened.is_empty()
            && let Some(tag) = self.opened.remove(&id)
        {
            return self.unreachable(owner, tag, reason);
        }
        self.event(calls, id, owner, |m, run| m.disconnected(run, reason));
    }

    fn released(&mut self, calls: &mut dyn Calls, id: ConnectionId, owner: Owner, released: Released) {
        self.event(calls, id, owner, |m, run| m.released(run, released));
    }

    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, owner: Owner, peer: SocketAddr, bytes: &[u8]) {
        self.event(calls, NOBODY, owner, |m, run| m.datagram(run, socket, peer, bytes));
    }
}

impl Services {
    /// The first wait of a pass is over; what follows in it is work.
    fn awake(&mut self) {
        if std::mem::replace(&mut self.is_awake, true) {
            return;
        }
        let waited = self.now.since(self.awoke);
        if std::mem::take(&mut self.has_worked) {
            self.delay += waited;
        } else if waited > self.delay {
            // It slept, so nothing was there before; what ended the wait has not waited itself.
            self.delay = Duration::ZERO;
        }
        self.awoke = self.now;
    }

    pub(crate) fn schedule(&mut self, connection: ConnectionId, owner: Owner, due: Time) {
        self.timers.insert(Entry { connection, owner, due });
    }

    pub(crate) fn run_again(&mut self, connection: ConnectionId, owner: Owner) {
        self.again.push((connection, owner));
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    pub(crate) fn open(&mut self, opening: Opening) {
        self.openings.push(opening);
    }

    pub(crate) fn exchange_waits(&mut self) {
        self.exchanges += 1;
    }

    pub(crate) fn exchange_ended(&mut self) {
        self.exchanges -= 1;
    }

    /// Whether somebody's turn is due.
    fn has_turns(&self) -> bool {
        !(self.again.is_empty() && self.notices.is_empty() && self.openings.is_empty())
    }

    pub(crate) fn forgotten(&mut self) {
        let open = &self.stats.open;
        open.set(open.get().saturating_sub(1));
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &mut self,
        connection: ConnectionId,
        owner: Owner,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), Busy> {
        let mailbox = self.mailbox.clone();
        let submitted = self.workers.submit(move || {
            let result = catch_unwind(AssertUnwindSafe(job)).ok().map(|value| Box::new(value) as Box<dyn Any + Send>);
            mailbox.post(Message::Completed { connection, owner, result });
        });
        if submitted.is_err() {
            self.stats.refused_jobs.increment();
        }
        submitted
    }
}

/// A list that was worked off lends its memory to the next one, unless that has begun already.
fn give_back<T>(worked_off: Vec<T>, next: &mut Vec<T>) {
    if next.capacity() == 0 {
        *next = worked_off;
    }
}
