//! Who is admitted on one engine, who waits, and who is next.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use afpa_classes::{
    Bandwidth, ClassConfig, ClassIndex, Classes, Clients, Decision, Gate, Overload, Priority, Rates, Refusal, Slot,
    Turn as GateTurn,
};
use afpa_engine::Notice;
use afpa_routing::{Captures, RequestView, Route};

use super::stats::{down, up};
use super::{Admission, ClassPlan, ClassStats, QualityPlan, Rule, Seat, Turn, class_of};

/// Octets that one response is given at a time, where bandwidth is limited: large enough to be worth a wake-up.
const PIECE: u64 = 16 * 1024;

/// What is known of classes and clients.
pub(crate) struct Quality {
    rules: Vec<Rule>,
    /// Memory that rules are tried in.
    captures: Captures,
    classes: Vec<Rc<EngineClass>>,
    default: usize,
    rates: Rates,
    clients: Clients,
    connections: Clients,
    /// Of the engine itself: what input waits for.
    busy: Overload,
    /// Of what stands behind the gate: what requests wait for there that are at least as important, by class.
    crowded: Vec<Overload>,
    gate: Gate<Rc<Seat>>,
    bandwidth: Bandwidth,
    random: u64,
    /// Whose turn it is, or who is to arrive again, to be told of it.
    called: Vec<Notice>,
}

/// A class on an engine. What is held by requests outlives a reload.
pub(crate) struct EngineClass {
    index: ClassIndex,
    name: String,
    /// Octets that it sends at a time; 0: as many as there are.
    pub(super) piece: u64,
    queue_timeout: u64,
    stats: Arc<ClassStats>,
}

/// What becomes of a request that needs a backend or a worker.
pub(crate) enum Arrival {
    Go,
    /// Until this time at the latest, in nanoseconds.
    Wait(u64),
    Refuse(Refusal),
}

/// What has become of one that waited.
pub(crate) enum Called {
    Go,
    Refuse(Refusal),
    /// Classes have changed: it is to arrive again.
    Anew,
}

/// How much of an answer may be sent now.
pub(crate) enum Room {
    Any,
    Octets(u64),
    /// Nothing for so many nanoseconds.
    Later(u64),
}

impl Quality {
    pub(crate) fn new(plan: &QualityPlan, engine: u32) -> Quality {
        let classes = plan.classes();
        // The standard library's hasher is keyed from the system's randomness.
        let secret = || RandomState::new().hash_one(0);
        let key = || (u128::from(secret()) << 64 | u128::from(secret())).to_be_bytes();
        Quality {
            rules: plan.plans().iter().map(|class| class.rule.clone()).collect(),
            captures: Captures::new(),
            classes: engine_classes(plan, engine),
            default: plan.default(),
            rates: Rates::new(classes),
            clients: Clients::new(plan.clients, key()),
            connections: Clients::new(plan.connections, key()),
            busy: Overload::new(classes, plan.overload),
            crowded: vec![Overload::new(&Classes::default(), plan.overload); classes.len()],
            gate: Gate::new(classes, plan.capacity),
            bandwidth: Bandwidth::new(classes),
            random: secret() | 1,
            called: Vec::new(),
        }
    }

    /// Replaces what an operator says. Whoever waits arrives again; what is in progress goes on, and counts.
    pub(crate) fn reload(&mut self, plan: &QualityPlan, engine: u32) {
        let classes = plan.classes();
        self.rules = plan.plans().iter().map(|class| class.rule.clone()).collect();
        let before = std::mem::replace(&mut self.classes, engine_classes(plan, engine));
        self.crowded = self
            .classes
            .iter()
            .map(|class| {
                let known = before.iter().position(|other| other.name == class.name);
                let crowded = known.map(|place| self.crowded[place].clone());
                let mut crowded = crowded.unwrap_or_else(|| Overload::new(&Classes::default(), plan.overload));
                crowded.reload(&Classes::default(), plan.overload);
                crowded
            })
            .collect();
        self.default = plan.default();
        self.rates = Rates::new(classes);
        self.clients.reload(plan.clients);
        self.connections.reload(plan.connections);
        self.busy.reload(classes, plan.overload);
        self.bandwidth = Bandwidth::new(classes);
        self.gate.set_capacity(plan.capacity);
        for seat in self.gate.reload(classes) {
            self.turn(&seat, Turn::Anew);
        }
    }

    /// The class of a request.
    pub(crate) fn class_of(&mut self, route: &Route, request: &RequestView<'_>, client: IpAddr) -> Rc<EngineClass> {
        let number = class_of(&self.rules, Some(route), request, Some(client), &mut self.captures);
        let number = number.filter(|&number| number < self.classes.len()).unwrap_or(self.default);
        self.classes[number].clone()
    }

    /// A connection has a request; with the first it counts as one of its client's.
    ///
    /// # Errors
    /// Its client has too many.
    pub(crate) fn connect(
        &mut self,
        admission: &Admission,
        slot: &mut Option<Slot>,
        peer: IpAddr,
        now: u64,
    ) -> Result<(), Refusal> {
        if slot.is_some() {
            return Ok(());
        }
        let granted = self.connections.arrive(peer, now);
        if let (Err(_), Some(class)) = (&granted, &admission.class) {
            class.stats.requests.increment();
            class.stats.refused.increment();
        }
        *slot = Some(granted?);
        Ok(())
    }

    /// A request has come, and the pass before has taken `delay` nanoseconds.
    ///
    /// # Errors
    /// It gets this answer.
    pub(crate) fn admit(
        &mut self,
        admission: &mut Admission,
        client: IpAddr,
        delay: u64,
        now: u64,
    ) -> Result<(), Refusal> {
        let Some(class) = admission.class.clone() else { return Ok(()) };
        class.stats.requests.increment();
        self.busy.observe(delay, now);
        let admitted = shed(&self.busy, &mut self.random, class.index)
            .and_then(|()| self.clients.arrive(client, now))
            .and_then(|slot| {
                admission.slot = Some(slot);
                self.rates.arrive(class.index, now)
            });
        match admitted {
            Ok(()) => {
                admission.is_counted = true;
                up(&class.stats.running);
            }
            Err(_) => class.stats.refused.increment(),
        }
        admitted
    }

    /// It needs a backend or a worker. `key`: what it looks up in the cache.
    pub(crate) fn arrive(
        &mut self,
        admission: &mut Admission,
        notice: Notice,
        key: &[u8],
        priority: Priority,
        now: u64,
    ) -> Arrival {
        let Some(class) = self.current(admission) else { return Arrival::Go };
        let crowded = &mut self.crowded[class.index.get()];
        crowded.observe(self.gate.delay(class.index, now), now);
        if let Err(refusal) = shed(crowded, &mut self.random, ClassIndex::default()) {
            class.stats.refused.increment();
            return Arrival::Refuse(refusal);
        }
        let (ticket, turn, key) = (Cell::new(None), Cell::new(None), key.to_vec());
        let seat = Rc::new(Seat { notice, class: class.clone(), ticket, turn, key });
        match self.gate.arrive(class.index, now, seat.clone(), priority) {
            Decision::Go { permit, .. } => {
                admission.permit = Some(permit);
                Arrival::Go
            }
            Decision::Wait(ticket) => {
                seat.ticket.set(Some(ticket));
                up(&class.stats.waiting);
                admission.seat = Some(seat);
                Arrival::Wait(now.saturating_add(class.queue_timeout))
            }
            Decision::Refuse { refusal, .. } => {
                class.stats.refused.increment();
                Arrival::Refuse(refusal)
            }
        }
    }

    /// What has become of a request that waited, and where it did; `None` if it waits.
    pub(crate) fn called(&mut self, admission: &mut Admission) -> Option<(Called, Rc<Seat>)> {
        let turn = admission.seat.as_ref()?.turn.take()?;
        let seat = admission.seat.take()?;
        let called = match turn {
            Turn::Go(permit) => {
                admission.permit = Some(permit);
                Called::Go
            }
            Turn::Refuse(refusal) => {
                seat.class.stats.refused.increment();
                Called::Refuse(refusal)
            }
            Turn::Anew => Called::Anew,
        };
        Some((called, seat))
    }

    /// A request needs no backend of its own any more.
    pub(crate) fn give_back_permit(&mut self, admission: &mut Admission, now: u64) {
        if let Some(permit) = admission.permit.take() {
            self.gate.ended(permit);
            self.call(now);
        }
    }

    /// A request has ended, however it did.
    pub(crate) fn end(&mut self, admission: &mut Admission, now: u64) {
        if let Some(slot) = admission.slot.take() {
            self.clients.ended(slot);
        }
        if let Some(seat) = admission.seat.take() {
            if let Some(ticket) = seat.ticket.take()
                && self.gate.leave(ticket).is_some()
            {
                down(&seat.class.stats.waiting);
            }
            if let Some(Turn::Go(permit)) = seat.turn.take() {
                admission.permit = Some(permit);
            }
        }
        if let Some(class) = admission.class.take()
            && admission.is_counted
        {
            down(&class.stats.running);
        }
        self.give_back_permit(admission, now);
    }

    /// A connection has ended.
    pub(crate) fn disconnect(&mut self, slot: &mut Option<Slot>) {
        if let Some(slot) = slot.take() {
            self.connections.ended(slot);
        }
    }

    /// Calls those whose turn it is, and those who have waited too long.
    pub(crate) fn call(&mut self, now: u64) {
        while let Some(turn) = self.gate.next(now) {
            match turn {
                GateTurn::Go { item, permit } => self.turn(&item, Turn::Go(permit)),
                GateTurn::Refuse { item, refusal } => self.turn(&item, Turn::Refuse(refusal)),
            }
        }
    }

    /// Those who are to be told that they were called.
    pub(crate) fn take_called(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.called)
    }

    /// How much of its answer a request may send now.
    pub(crate) fn room(&mut self, admission: &mut Admission, now: u64) -> Room {
        let Some(class) = self.current(admission).filter(|class| class.piece > 0) else { return Room::Any };
        match self.bandwidth.wait(class.index, now, class.piece) {
            0 => Room::Octets(class.piece),
            wait => Room::Later(wait),
        }
    }

    /// So much of its answer was sent.
    pub(crate) fn sent(&mut self, admission: &Admission, octets: u64, now: u64) {
        if let Some(class) = &admission.class {
            // There was room for them, or for most.
            let _ = self.bandwidth.send(class.index, now, octets);
        }
    }

    fn turn(&mut self, seat: &Seat, turn: Turn) {
        down(&seat.class.stats.waiting);
        seat.ticket.set(None);
        seat.turn.set(Some(turn));
        self.called.push(seat.notice);
    }

    /// The request's class, as it is now. One that is no more is the one that requests without a class have.
    fn current(&self, admission: &mut Admission) -> Option<Rc<EngineClass>> {
        let class = admission.class.as_ref()?;
        let same = self.classes.get(class.index.get()).filter(|same| Rc::ptr_eq(same, class));
        let current = same.or_else(|| self.classes.iter().find(|other| other.name == class.name));
        let current = current.unwrap_or(&self.classes[self.default]).clone();
        if !Rc::ptr_eq(&current, class) {
            if admission.is_counted {
                down(&class.stats.running);
                up(&current.stats.running);
            }
            admission.class = Some(current.clone());
        }
        Some(current)
    }
}

fn engine_classes(plan: &QualityPlan, engine: u32) -> Vec<Rc<EngineClass>> {
    let classes = plan.classes().iter().zip(plan.plans());
    let class = |((index, config), plan): ((ClassIndex, &ClassConfig), &ClassPlan)| {
        Rc::new(EngineClass {
            index,
            name: config.name.clone(),
            // Less than a burst: a timer that is late must not lose what has come meanwhile.
            piece: config.bandwidth.map_or(0, |limit| (limit.burst() / 2).clamp(1, PIECE)),
            queue_timeout: config.queue_timeout,
            stats: plan.stats.get(engine as usize).cloned().unwrap_or_default(),
        })
    };
    classes.map(class).collect()
}

/// Whether a request of `class` is answered in spite of all there is to do.
fn shed(overload: &Overload, random: &mut u64, class: ClassIndex) -> Result<(), Refusal> {
    // Xorshift: it has to be even, not secret.
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let draw = (*random >> 32) as u32;
    if overload.admits(class, draw) { Ok(()) } else { Err(overload.refusal(class, draw)) }
}
