//! The socket provider of one engine: which applications are attached, and what is in their slots.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use afpa_cache::ResidentBody;
use afpa_channel::control::Sender;
use afpa_channel::slot::{command, state};
use afpa_engine::module::Output;
use afpa_engine::seam::{self, Address, Disconnect, ListenerId};
use afpa_engine::{Desk, EngineHandle, Notice, Open, Owner, Rest, Time, Transport};

use crate::application::{Application, Use};
use crate::channel::{Channel, Connection, Link, Origin, Trouble, errno};
use crate::listener::Listener;
use crate::module::SocketProvider;
use crate::moving::{Account, Arrival};
use crate::objects::{Object, Objects, View};
use crate::patience::{Notify, Patience};
use crate::stats::ProviderStats;

/// Slots that an engine keeps for itself, so that the list that all share is rarely touched.
const BATCH: usize = 16;

/// A bell that should be silent is looked at after so many sleeps.
const AUDIT: u32 = 16;

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How engines learn of work.
    pub notify: Notify,
    /// Who sends on connections. An application that does needs connections of a transport that
    /// [shares](afpa_engine::seam::Calls::share) their sockets.
    pub sender: Sender,
    /// Octets that are put into a receive ring ahead of somebody's waiting for them.
    pub eager_receive: u32,
    /// Connections that are accepted on each engine ahead of somebody's waiting for them, per listener.
    pub eager_accept: u32,
    /// How long the peer of a connection that its application has closed may take nothing of what is left.
    pub close_patience: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            notify: Notify::Adaptive,
            sender: Sender::Server,
            eager_receive: u32::MAX,
            eager_accept: 128,
            close_patience: Duration::from_secs(60),
        }
    }
}

/// The module's global data.
pub struct Provider {
    pub(crate) engine: u32,
    pub(crate) settings: Settings,
    pub(crate) stats: Arc<ProviderStats>,
    handle: EngineHandle,
    /// By place; a place is used again.
    pub(crate) attached: Vec<Option<Attached>>,
    /// By serial number.
    pub(crate) listeners: HashMap<u64, Listener>,
    /// Whose listener it is.
    by_id: HashMap<(u8, u16), u64>,
    /// By tag.
    openings: HashMap<u64, Opening>,
    /// The engines of the server, by their numbers.
    pub(crate) ports: Vec<Port>,
    /// Connections that are to go to another engine, by place and slot.
    pub(crate) leaving: HashMap<(usize, u32), u32>,
    /// Connections that have come from another engine and are not connected to this one's transport yet, by tag.
    pub(crate) arrivals: HashMap<u64, Arrival>,
    /// It accepts connections.
    pub(crate) is_active: bool,
    /// Serial numbers and tags given out.
    count: u64,
    /// What applications have published, as far as this engine has sent it.
    objects: Option<View>,
    patience: Patience,
    /// Something was done since it was last asked whether the engine may sleep.
    worked: bool,
    pub(crate) now: Time,
    /// Since when what is done counts.
    since: Time,
    /// Kept for its memory.
    due: Vec<u32>,
}

/// An application on this engine.
pub(crate) struct Attached {
    pub(crate) application: Arc<Application>,
    pub(crate) occupants: Vec<Occupant>,
    /// What connections have cost, by slot.
    pub(crate) accounts: Vec<Account>,
    /// Occupants that are not free.
    in_use: usize,
    batch: Vec<u32>,
    /// Connections wait for a slot.
    pub(crate) starves: bool,
    /// It has gone to sleep as far as this application knows.
    rests: bool,
    /// Rings of the bell that were decided on and have not been seen: they may come long after the engine woke.
    owed: u64,
    wakes: u32,
}

/// What a slot is used for on this engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Occupant {
    Free,
    Connection(Notice, Fate),
    Opening(u64),
    Arriving(u64),
    Listener(u64),
    /// Of a connection that is gone, until the application closes it.
    Ended,
}

/// What is to become of a connection, whatever its application says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// What the application says.
    Kept,
    /// Nobody refers to it any more: as if it had been closed.
    Abandoned,
    /// It is reset.
    Aborted,
}

/// A connection that is being opened.
struct Opening {
    place: usize,
    at: Use,
    is_closed: bool,
}

/// Whether a connection gets a slot.
pub(crate) enum Admission {
    Admitted(Link),
    /// Not yet: its turn.
    Wait(u64),
    /// Likewise, and nobody tells when.
    Retry(u64),
    Unwanted,
}

impl Provider {
    /// The provider of the `engine`th engine.
    pub fn new(engine: u32, handle: EngineHandle, settings: Settings, stats: Arc<ProviderStats>) -> Provider {
        stats.active.set(1);
        Provider {
            engine,
            patience: Patience::new(settings.notify),
            settings,
            stats,
            handle,
            attached: Vec::new(),
            listeners: HashMap::new(),
            by_id: HashMap::new(),
            openings: HashMap::new(),
            ports: Vec::new(),
            leaving: HashMap::new(),
            arrivals: HashMap::new(),
            is_active: true,
            count: 0,
            objects: None,
            worked: false,
            now: Time::default(),
            since: Time::default(),
            due: Vec::new(),
        }
    }

    /// Has it send what applications publish there.
    pub fn send_objects(&mut self, objects: &Objects) {
        self.objects = Some(objects.view(self.handle.waker()));
    }

    // What the engine asks.

    pub(crate) fn pass(&mut self, now: Time) {
        self.now = now;
        if let Some(view) = &mut self.objects {
            view.apply();
        }
        // An engine that never rests is busy as well.
        if self.worked && now.since(self.since) > Duration::from_millis(10) {
            self.stats.busy.add(now.since(self.since).as_nanos() as u64);
            self.since = now;
        }
    }

    /// Looks at what applications have told of.
    pub(crate) fn attend(&mut self, desk: &mut Desk<'_>) {
        for place in 0..self.attached.len() {
            let Some(attached) = &self.attached[place] else { continue };
            let mut due = std::mem::take(&mut self.due);
            attached.application.region().attend_bits(self.engine).take(|slot| due.push(slot));
            if attached.starves {
                self.feed(place, desk);
            }
            for slot in due.drain(..) {
                self.worked = true;
                self.stats.attended.increment();
                self.attend_slot(place, slot, desk);
            }
            self.due = due;
        }
    }

    pub(crate) fn rest(&mut self, now: Time) -> Rest {
        if std::mem::take(&mut self.worked) {
            self.patience.worked(now);
            self.stats.busy.add(now.since(self.since).as_nanos() as u64);
        }
        self.since = now;
        if self.patience.rest(now) != Rest::Sleep {
            self.stats.polls.increment();
            if self.patience.offers(now) {
                rustix::thread::sched_yield();
            }
            return Rest::Stay;
        }
        let mut may_sleep = true;
        for attached in self.attached.iter_mut().flatten() {
            let region = attached.application.region();
            region.engine_bell(self.engine).sleep();
            attached.rests = true;
            may_sleep &= !region.attend_bits(self.engine).any();
        }
        if !may_sleep {
            return Rest::Stay;
        }
        self.stats.sleeps.increment();
        self.stats.sleeping.set(1);
        Rest::Sleep
    }

    pub(crate) fn woken(&mut self) {
        self.stats.sleeping.set(0);
        self.since = self.now;
        for attached in self.attached.iter_mut().flatten() {
            if std::mem::take(&mut attached.rests) {
                attached.wake(self.engine);
            }
        }
    }

    /// An object as this engine holds it. Counts as a use of it.
    pub(crate) fn resident(&mut self, object: &Arc<Object>) -> Rc<ResidentBody> {
        let Some(view) = &mut self.objects else { return ResidentBody::new(object.body().clone(), &Arc::default()) };
        if let Some(resident) = view.get(object.key())
            && Arc::ptr_eq(&resident.object, object)
        {
            return resident.body.clone();
        }
        view.admit(object.clone()).body.clone()
    }

    pub(crate) fn note_work(&mut self) {
        self.worked = true;
    }

    // Connections.

    pub(crate) fn origin_of(&mut self, origin: seam::Origin) -> Origin {
        match origin {
            seam::Origin::Accepted(listener) => {
                self.by_id.get(&key(listener)).map_or(Origin::Nobody, |serial| Origin::Listener(*serial))
            }
            seam::Origin::Opened(tag) => Origin::Opening(tag),
            _ => Origin::Nobody,
        }
    }

    /// Whether a connection gets a slot now. `output` is its own.
    pub(crate) fn admit(&mut self, origin: Origin, notice: Notice, output: &mut Output<'_>) -> Admission {
        self.worked = true;
        let (local, peer) = (inet(output.local()), inet(output.peer()));
        match origin {
            Origin::Listener(serial) => {
                let addresses = (self.as_bound(serial, local), self.as_bound(serial, peer));
                self.accept(serial, notice, addresses, output)
            }
            Origin::Opening(tag) => {
                if self.settings.sender == Sender::Application && output.share().is_none() {
                    return Admission::Unwanted;
                }
                self.establish(tag, notice, (local, peer))
            }
            Origin::Nobody => Admission::Unwanted,
        }
    }

    /// A connection that was being opened is established.
    fn establish(
        &mut self,
        tag: u64,
        notice: Notice,
        addresses: (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Admission {
        let Some(Opening { place, at, is_closed }) = self.openings.remove(&tag) else { return Admission::Unwanted };
        if is_closed {
            self.free(place, at.slot);
            return Admission::Unwanted;
        }
        let Some(attached) = &mut self.attached[place] else { return Admission::Unwanted };
        attached.occupy(at.slot, Occupant::Connection(notice, Fate::Kept));
        let link = Link { application: attached.application.clone(), place, at };
        let slot = link.slot();
        if let (Some(local), Some(peer)) = addresses {
            slot.server_addresses(local, peer);
        }
        slot.server_state(state::CONNECTED);
        link.application.tell(slot, &self.stats);
        self.stats.connected.increment();
        self.stats.open.add(1);
        Admission::Admitted(link)
    }

    /// Gives an accepted connection a slot. `None`: there is none.
    pub(crate) fn occupy(
        &mut self,
        place: usize,
        notice: Notice,
        (local, peer): (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Option<Link> {
        let engine = self.engine;
        let attached = self.attached[place].as_mut()?;
        let at = attached.allocate(engine)?;
        attached.occupy(at.slot, Occupant::Connection(notice, Fate::Kept));
        let link = Link { application: attached.application.clone(), place, at };
        if let (Some(local), Some(peer)) = (local, peer) {
            link.slot().server_addresses(local, peer);
        }
        self.stats.accepted.increment();
        self.stats.open.add(1);
        Some(link)
    }

    /// Takes the slot back from a connection that nobody has seen.
    pub(crate) fn vacate(&mut self, link: Link) {
        self.stats.open.set(self.stats.open.get().saturating_sub(1));
        self.free(link.place, link.at.slot);
    }

    /// What is to become of a connection, as far as the server is concerned.
    pub(crate) fn fate(&self, link: &Link) -> Fate {
        let attached = self.attached.get(link.place).and_then(Option::as_ref);
        match attached.and_then(|attached| attached.occupants.get(link.at.slot as usize)) {
            Some(Occupant::Connection(_, fate)) => *fate,
            _ => Fate::Aborted,
        }
    }

    /// A connection is reset because of what its application has written.
    pub(crate) fn blame(&self, link: &Link, trouble: &Trouble) {
        let name = &link.application.identity().name;
        match trouble {
            Trouble::Forged(forged) => {
                self.stats.forged.increment();
                tracing::debug!("{name}, slot {}: {forged}", link.at.slot);
            }
            Trouble::Unreadable(error) => tracing::debug!("{name}, slot {}: a job's file: {error}", link.at.slot),
        }
    }

    /// The connection is as good as gone.
    pub(crate) fn retire(&mut self, connection: &mut Connection) {
        if let Some(channel) = connection.channel.take() {
            self.stats.closed.increment();
            self.end(*channel, connection.reason);
        }
    }

    pub(crate) fn disconnected(&mut self, desk: &mut Desk<'_>, connection: &mut Connection) {
        self.worked = true;
        if let Some(channel) = connection.channel.take() {
            self.stats.resets.increment();
            return self.end(*channel, connection.reason);
        }
        if let (Origin::Listener(serial), Some(turn)) = (connection.origin, connection.waits) {
            self.wait_no_more(serial, turn, desk);
        }
    }

    fn end(&mut self, channel: Channel, reason: Option<Disconnect>) {
        let fate = self.fate(&channel.link);
        self.end_as(fate, channel, reason);
    }

    pub(crate) fn end_as(&mut self, fate: Fate, mut channel: Channel, reason: Option<Disconnect>) {
        self.stats.open.set(self.stats.open.get().saturating_sub(1));
        let (place, slot) = (channel.link.place, channel.link.at.slot);
        self.leaving.remove(&(place, slot));
        let is_free = channel.end(reason, &self.stats);
        // What was told of it meanwhile was told to a connection that is gone.
        if is_free || fate != Fate::Kept || channel.link.slot().commands() & command::CLOSE != 0 {
            return self.free(place, slot);
        }
        if let Some(attached) = &mut self.attached[place] {
            attached.occupy(slot, Occupant::Ended);
        }
    }

    /// What was to be opened came to nothing.
    pub(crate) fn unreachable(&mut self, tag: u64, reason: Disconnect) {
        let Some(Opening { place, at, is_closed }) = self.openings.remove(&tag) else { return self.lose(tag) };
        self.stats.unreachable.increment();
        self.worked = true;
        if is_closed {
            return self.free(place, at.slot);
        }
        self.fail(place, at.slot, errno(Some(reason)));
    }

    /// A slot without a connection has failed.
    pub(crate) fn fail(&mut self, place: usize, slot: u32, errno: rustix::io::Errno) {
        let Some(attached) = &mut self.attached[place] else { return };
        attached.occupy(slot, Occupant::Ended);
        let words = attached.application.region().slot(slot);
        words.server_fail(errno.raw_os_error().unsigned_abs(), 0);
        attached.application.tell(words, &self.stats);
        if words.commands() & command::CLOSE != 0 {
            self.free(place, slot);
        }
    }

    // Slots.

    /// An application has told of a slot.
    fn attend_slot(&mut self, place: usize, slot: u32, desk: &mut Desk<'_>) {
        let Some(attached) = &self.attached[place] else { return };
        let occupant = attached.occupants.get(slot as usize).copied().unwrap_or(Occupant::Free);
        match occupant {
            // Told by somebody who has not seen yet that it has moved.
            Occupant::Free if attached.application.slots.engine(slot) != self.engine => {
                attached.application.forward(slot);
            }
            Occupant::Free | Occupant::Arriving(_) => {}
            Occupant::Connection(notice, _) => desk.notify(notice),
            Occupant::Listener(serial) => self.attend_listener(serial, desk),
            Occupant::Opening(_) | Occupant::Ended => {
                let commands = attached.application.region().slot(slot).commands();
                if commands & command::CLOSE != 0 {
                    self.abandon(place, slot, Fate::Abandoned, desk);
                }
            }
        }
    }

    /// Nobody refers to the slot any more.
    pub(crate) fn abandon(&mut self, place: usize, slot: u32, fate: Fate, desk: &mut Desk<'_>) {
        let Some(attached) = &mut self.attached[place] else { return };
        match attached.occupants.get_mut(slot as usize) {
            Some(Occupant::Connection(notice, known)) => {
                if *known == Fate::Kept {
                    *known = fate;
                }
                desk.notify(*notice);
            }
            Some(Occupant::Arriving(tag)) => {
                if let Some(arrival) = self.arrivals.get_mut(tag) {
                    arrival.fate = fate;
                }
            }
            Some(Occupant::Opening(tag)) => {
                if let Some(opening) = self.openings.get_mut(tag) {
                    opening.is_closed = true;
                }
            }
            Some(Occupant::Listener(serial)) => {
                let serial = *serial;
                self.close_listener(serial, desk);
            }
            Some(Occupant::Ended) => self.free(place, slot),
            Some(Occupant::Free) | None => {}
        }
    }

    /// The slot can be given to another connection.
    pub(crate) fn free(&mut self, place: usize, slot: u32) {
        let Some(attached) = &mut self.attached[place] else { return };
        attached.occupy(slot, Occupant::Free);
        attached.application.end(slot);
        attached.batch.push(slot);
        let most = attached.batch_size();
        if attached.batch.len() > most {
            attached.application.slots.put_back(attached.batch.drain(most..));
        }
        attached.application.feed_starving();
        self.let_go(place);
    }

    /// Detaches an application that is gone, when the last of its slots is free.
    pub(crate) fn let_go(&mut self, place: usize) {
        let is_over = |attached: &mut Attached| attached.in_use == 0 && attached.application.has_ended();
        let Some(attached) = self.attached[place].take_if(is_over) else { return };
        let Attached { application, batch, .. } = attached;
        application.slots.put_back(batch.into_iter());
        let engine = self.engine;
        // Transports are not at hand here.
        self.handle.command(move |control| {
            if let Some(transport) = control.transports().first_mut() {
                transport.unwatch(application.bell(engine).as_fd());
            }
        });
    }

    pub(crate) fn place_of(&self, application: u64) -> Option<usize> {
        let is_it = |attached: &Option<Attached>| {
            attached.as_ref().is_some_and(|attached| attached.application.identity().number == application)
        };
        self.attached.iter().position(is_it)
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    // What the control server asks.

    /// Attaches an application.
    pub fn attach(&mut self, application: Arc<Application>, transports: &mut [Box<dyn Transport>]) {
        if let Some(transport) = transports.first_mut()
            && let Err(error) = transport.watch(application.bell(self.engine).as_fd())
        {
            tracing::error!("an application's bell cannot be watched: {error}");
        }
        let attached = Attached {
            application,
            occupants: Vec::new(),
            accounts: Vec::new(),
            in_use: 0,
            batch: Vec::new(),
            starves: false,
            rests: false,
            owed: 0,
            wakes: 0,
        };
        match self.attached.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(attached),
            None => self.attached.push(Some(attached)),
        }
    }

    /// Listens for an application; `at` has been begun for it.
    pub fn listen(
        &mut self,
        application: u64,
        slot: u32,
        (socket, backlog): (OwnedFd, u16),
        owner: Owner,
        desk: &mut Desk<'_>,
        transports: &mut [Box<dyn Transport>],
    ) {
        let Some(place) = self.place_of(application) else { return };
        let serial = self.listen_on(place, slot, (socket, backlog));
        match if self.is_active { self.adopt(serial, owner, transports) } else { Ok(()) } {
            Ok(()) => {
                // It may have been closed meanwhile.
                self.attend_slot(place, slot, desk);
            }
            Err(error) => {
                tracing::warn!("a listener cannot be adopted: {error}");
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::OPNOTSUPP);
                self.fail_listener(serial, errno, desk);
            }
        }
    }

    /// A slot has a listener from now on. Its serial number.
    pub(crate) fn listen_on(&mut self, place: usize, slot: u32, socket: (OwnedFd, u16)) -> u64 {
        let serial = self.next_serial();
        if let Some(attached) = &mut self.attached[place] {
            attached.occupy(slot, Occupant::Listener(serial));
            let handing = attached.application.handings.of(slot);
            self.listeners.insert(serial, Listener::new(place, slot, socket, handing));
            attached.application.listening.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        serial
    }

    /// Runs something when what was commanded before is done.
    pub(crate) fn later(&self, f: impl FnOnce() + Send + 'static) {
        self.handle.command(move |_| f());
    }

    /// A transport listens under this name.
    pub(crate) fn listens_as(&mut self, serial: u64, id: ListenerId) {
        self.by_id.insert(key(id), serial);
    }

    /// The listener is gone from the tables; the transports have to stop, where they listen.
    pub(crate) fn stop_listening(&mut self, serial: u64, ids: [Option<ListenerId>; 2]) {
        self.by_id.retain(|_, known| *known != serial);
        for id in ids.into_iter().flatten() {
            self.handle.command(move |control| {
                if let Some(transport) = control.transports().get_mut(usize::from(id.transport.0)) {
                    // One that listens no more needs not be told.
                    let _ = transport.unlisten(id);
                }
            });
        }
    }

    /// Connects for an application; `at` has been begun for it.
    pub fn connect(&mut self, application: u64, at: (u32, u32), socket: OwnedFd, to: SocketAddr, desk: &mut Desk<'_>) {
        let Some(place) = self.place_of(application) else { return };
        let tag = self.next_serial();
        let Some(attached) = &mut self.attached[place] else { return };
        attached.occupy(at.0, Occupant::Opening(tag));
        let at = Use { slot: at.0, generation: at.1 };
        // Where it is closed meanwhile, its bit was seen before it was known.
        let commands = attached.application.region().slot(at.slot).commands();
        self.openings.insert(tag, Opening { place, at, is_closed: commands & command::CLOSE != 0 });
        desk.open(Open::With { socket, to: Address::Inet(to) }, desk.owner(), tag);
    }

    /// A process of the application is gone: abandons what nobody holds.
    pub fn abandon_orphans(&mut self, application: u64, desk: &mut Desk<'_>) {
        let Some(place) = self.place_of(application) else { return };
        // First what has been taken out of rings, then who holds it: whoever takes holds before.
        let waiting = self.look_at_listeners(place, desk);
        let Some(attached) = &self.attached[place] else { return };
        let used = attached.occupants.iter().enumerate().filter(|(_, occupant)| **occupant != Occupant::Free);
        let is_orphan = |slot: &u32| !waiting.contains(slot) && !attached.application.is_held(*slot);
        let orphans: Vec<u32> = used.map(|(slot, _)| slot as u32).filter(is_orphan).collect();
        for slot in orphans {
            self.abandon(place, slot, Fate::Abandoned, desk);
        }
    }

    /// The application is gone: abandons everything of it.
    pub fn finish(&mut self, application: u64, desk: &mut Desk<'_>) {
        let Some(place) = self.place_of(application) else { return };
        // First, for what nobody has accepted is reset.
        self.close_listeners(place, desk);
        let slots = self.attached[place].as_ref().map_or(0, |attached| attached.occupants.len());
        for slot in 0..slots as u32 {
            self.abandon(place, slot, Fate::Abandoned, desk);
        }
        self.let_go(place);
    }
}

impl Attached {
    /// The application has to ring no more.
    fn wake(&mut self, engine: u32) {
        let is_rung = !self.application.region().engine_bell(engine).must_ring();
        self.owed += u64::from(is_rung);
        self.wakes = self.wakes.wrapping_add(1);
        // An application may ring without saying so.
        if self.owed > 0 || self.wakes.is_multiple_of(AUDIT) {
            self.owed = self.owed.saturating_sub(self.application.bell(engine).silence());
        }
    }

    fn batch_size(&self) -> usize {
        let geometry = self.application.region().geometry();
        (geometry.slots() as usize / (16 * geometry.engines() as usize)).clamp(1, BATCH)
    }

    fn allocate(&mut self, engine: u32) -> Option<Use> {
        if self.batch.is_empty() {
            let count = self.batch_size();
            self.application.slots.refill(&mut self.batch, count);
        }
        let slot = self.batch.pop()?;
        match self.application.begin(slot, engine, state::CONNECTED) {
            Some(generation) => Some(Use { slot, generation }),
            None => {
                self.batch.push(slot);
                None
            }
        }
    }

    pub(crate) fn occupy(&mut self, slot: u32, occupant: Occupant) {
        let slot = slot as usize;
        if self.occupants.len() <= slot {
            self.occupants.resize(slot + 1, Occupant::Free);
            self.accounts.resize(slot + 1, Account::default());
        }
        let was_free = std::mem::replace(&mut self.occupants[slot], occupant) == Occupant::Free;
        self.in_use += usize::from(was_free);
        self.in_use -= usize::from(occupant == Occupant::Free);
    }

    /// Whether there is a slot for a connection.
    pub(crate) fn has_free(&mut self) -> bool {
        if self.batch.is_empty() {
            let count = self.batch_size();
            self.application.slots.refill(&mut self.batch, count);
        }
        !self.batch.is_empty() && self.application.slots.has_room()
    }
}

fn inet(address: Option<Address>) -> Option<SocketAddr> {
    match address? {
        Address::Inet(address) => Some(address),
        Address::Unix(_) => None,
    }
}

fn key(id: ListenerId) -> (u8, u16) {
    (id.transport.0, id.index)
}

/// Reaches the provider of an engine from other threads.
#[derive(Clone)]
pub struct Port {
    /// The engine.
    pub handle: EngineHandle,
    /// The provider's name there.
    pub owner: Owner,
    /// Its counters.
    pub stats: Arc<ProviderStats>,
}

impl Port {
    /// Runs `f` on the engine's thread, with the provider, its desk and the engine's transports.
    pub fn command(&self, f: impl FnOnce(&mut Provider, &mut Desk<'_>, &mut [Box<dyn Transport>]) + Send + 'static) {
        let owner = self.owner;
        self.handle.command(move |control| {
            control.with_module::<SocketProvider, _>(owner, f);
        });
    }
}
