//! Connections that are accepted ahead of the application: they wait in the ring of the listener's slot, up to a bound.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use afpa_channel::Forged;
use afpa_channel::handing;
use afpa_channel::layout::ACCEPTED;
use afpa_channel::slot::{Accepted, Slot, command, state};
use afpa_engine::module::Output;
use afpa_engine::seam::ListenerId;
use afpa_engine::{Desk, Notice, Owner, Transport};
use rustix::io::Errno;

use crate::application::Memory;
use crate::channel::Origin;
use crate::handing::Handing;
use crate::provider::{Admission, Fate, Provider};
use crate::steering::Lease;

/// A listening slot on this engine.
pub(crate) struct Listener {
    pub(crate) place: usize,
    pub(crate) slot: u32,
    /// What the transport calls it; `None` while the engine accepts no connections.
    pub(crate) id: Option<ListenerId>,
    /// Kept to listen to again, with its backlog.
    socket: (OwnedFd, u16),
    /// The kernel's, if `id` is an interface's.
    pub(crate) beside: Option<ListenerId>,
    /// The interface's frames for it.
    pub(crate) lease: Option<Arc<Lease>>,
    /// Where connections' sockets go, if the application sends itself.
    handing: Option<Arc<Handing>>,
    /// Octets put into the ring.
    produced: u32,
    /// Connections that are in the ring, the oldest first.
    entries: VecDeque<Accepted>,
    /// Connections that wait until there is credit for them, by their turn.
    waiting: BTreeMap<u64, Notice>,
    /// How many of them there may be.
    most: usize,
    turns: u64,
    /// The application knows that they wait.
    is_stalled: bool,
}

impl Listener {
    /// As many connections as the socket's backlog says may wait for credit.
    pub(crate) fn new(place: usize, slot: u32, socket: (OwnedFd, u16), handing: Option<Arc<Handing>>) -> Listener {
        Listener {
            place,
            slot,
            id: None,
            most: socket.1.into(),
            socket,
            beside: None,
            lease: None,
            handing,
            produced: 0,
            entries: VecDeque::new(),
            waiting: BTreeMap::new(),
            turns: 0,
            is_stalled: false,
        }
    }

    /// Has a connection wait until its turn comes, unless too many do.
    fn wait(&mut self, notice: Notice) -> Admission {
        if self.waiting.len() >= self.most {
            return Admission::Unwanted;
        }
        self.turns += 1;
        self.waiting.insert(self.turns, notice);
        Admission::Wait(self.turns)
    }

    /// Forgets entries that the application has taken out of the ring. Returns how many more are wanted in it.
    fn look(&mut self, slot: Slot<'_, Memory>, eager: u32) -> Result<usize, Forged> {
        let ring = slot.receive_ring();
        let left = (ring.size() - ring.writable(self.produced)?) as usize;
        if !left.is_multiple_of(ACCEPTED) || left / ACCEPTED > self.entries.len() {
            return Err(Forged("half a connection taken"));
        }
        while self.entries.len() > left / ACCEPTED {
            self.entries.pop_front();
        }
        let most = eager.max(slot.server_wanted()).min(ring.size() / ACCEPTED as u32) as usize;
        let most = if self.handing.is_some() { most.min(handing::MOST) } else { most };
        Ok(most.saturating_sub(self.entries.len()))
    }

    fn publish(&mut self, slot: Slot<'_, Memory>, accepted: Accepted) {
        let ring = slot.receive_ring();
        ring.write(self.produced, &accepted.encode());
        self.produced = self.produced.wrapping_add(ACCEPTED as u32);
        ring.publish(self.produced);
        self.entries.push_back(accepted);
    }

    /// Says whether connections wait. Returns whether it has only just been said.
    fn stall(&mut self, slot: Slot<'_, Memory>) -> bool {
        let stalls = !self.waiting.is_empty();
        if stalls == self.is_stalled {
            return false;
        }
        self.is_stalled = stalls;
        if stalls {
            slot.server_stall(state::LISTENING)
        } else {
            slot.server_state(state::LISTENING)
        }
        stalls
    }
}

impl Provider {
    /// Has the transport accept connections for a listener.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn adopt(&mut self, serial: u64, owner: Owner, transports: &mut [Box<dyn Transport>]) -> io::Result<()> {
        let Some(listener) = self.listeners.get_mut(&serial) else { return Ok(()) };
        // The kernel's sockets, behind an interface's transport if there is one.
        let Some(transport) = transports.last_mut() else { return Err(io::ErrorKind::Unsupported.into()) };
        let (socket, backlog) = &listener.socket;
        let id = transport.adopt(socket.try_clone()?, owner, *backlog)?;
        listener.id = Some(id);
        self.listens_as(serial, id);
        Ok(())
    }

    /// The engine accepts connections from now on, as others of the server do.
    pub fn activate(&mut self, owner: Owner, desk: &mut Desk<'_>, transports: &mut [Box<dyn Transport>]) {
        if std::mem::replace(&mut self.is_active, true) {
            return;
        }
        self.stats.activations.increment();
        self.stats.active.set(1);
        let idle: Vec<u64> = self.listeners.iter().filter(|(_, l)| l.id.is_none()).map(|(serial, _)| *serial).collect();
        for serial in idle {
            if let Err(error) = self.adopt(serial, owner, transports) {
                // Other engines have the listener as well.
                tracing::warn!("a listener cannot be listened to again: {error}");
            }
            self.wake_waiting(serial, desk);
        }
    }

    /// The engine accepts no connections from now on. Slots of listeners stay, for the day when it does again.
    pub fn deactivate(&mut self, transports: &mut [Box<dyn Transport>]) {
        if !std::mem::replace(&mut self.is_active, false) {
            return;
        }
        self.stats.retirements.increment();
        self.stats.active.set(0);
        for listener in self.listeners.values_mut() {
            // What was accepted already may still come under this name, and finds its listener.
            if let (Some(id), Some(transport)) = (listener.id.take(), transports.last_mut()) {
                let _ = transport.unlisten(id);
            }
        }
    }

    /// A connection wants to be accepted.
    pub(crate) fn accept(
        &mut self,
        serial: u64,
        notice: Notice,
        addresses: (Option<SocketAddr>, Option<SocketAddr>),
        output: &mut Output<'_>,
    ) -> Admission {
        let eager = self.settings.eager_accept;
        let Some(listener) = self.listeners.get_mut(&serial) else { return Admission::Unwanted };
        let (place, number) = (listener.place, listener.slot);
        let Some(attached) = &self.attached[place] else { return Admission::Unwanted };
        let application = attached.application.clone();
        let slot = application.region().slot(number);
        loop {
            match listener.look(slot, eager) {
                // A listener that is forged is closed the next time it is looked at from outside of a connection.
                Err(_) => {
                    application.region().attend_bits(self.engine).set(number);
                    return listener.wait(notice);
                }
                Ok(0) => {
                    let admission = listener.wait(notice);
                    let Admission::Wait(turn) = admission else {
                        self.stats.overflowed.increment();
                        return admission;
                    };
                    self.stats.awaited_credit.increment();
                    if !listener.stall(slot) || listener.look(slot, eager) == Ok(0) {
                        return admission;
                    }
                    listener.waiting.remove(&turn);
                }
                Ok(_) => break,
            }
        }
        let Some(link) = self.occupy(place, notice, addresses) else {
            return self.starve(serial, notice);
        };
        let Some(listener) = self.listeners.get_mut(&serial) else { return Admission::Unwanted };
        let accepted = Accepted { slot: link.at.slot, generation: link.at.generation };
        if let Some(handing) = &listener.handing {
            let Some(Ok(())) = output.share().map(|socket| handing.put(accepted, socket)) else {
                // As many are on their way to all applications of the user as may be (unix(7), ETOOMANYREFS).
                let admission = listener.wait(notice);
                self.vacate(link);
                return match admission {
                    Admission::Wait(turn) => Admission::Retry(turn),
                    other => other,
                };
            };
        }
        listener.publish(slot, accepted);
        listener.stall(slot);
        application.tell(slot, &self.stats);
        Admission::Admitted(link)
    }

    /// There is no slot for a connection.
    fn starve(&mut self, serial: u64, notice: Notice) -> Admission {
        let engine = self.engine;
        let Some(listener) = self.listeners.get_mut(&serial) else { return Admission::Unwanted };
        self.stats.awaited_credit.increment();
        if let Some(attached) = &mut self.attached[listener.place] {
            attached.starves = true;
            attached.application.slots.starve(engine);
        }
        listener.wait(notice)
    }

    /// A connection waits no more, for now.
    pub(crate) fn end_turn(&mut self, origin: Origin, turn: u64) {
        if let Origin::Listener(serial) = origin
            && let Some(listener) = self.listeners.get_mut(&serial)
        {
            listener.waiting.remove(&turn);
        }
    }

    /// Whether connections of this listener's application wait for slots.
    pub(crate) fn starves(&self, origin: Origin) -> bool {
        let Origin::Listener(serial) = origin else { return false };
        let place = self.listeners.get(&serial).map(|listener| listener.place);
        place.and_then(|place| self.attached[place].as_ref()).is_some_and(|attached| attached.starves)
    }

    /// Slots may have been freed.
    pub(crate) fn feed(&mut self, place: usize, desk: &mut Desk<'_>) {
        let Some(attached) = &mut self.attached[place] else { return };
        if !attached.has_free() {
            return;
        }
        attached.starves = false;
        self.listeners_of(place).into_iter().for_each(|serial| self.wake_waiting(serial, desk));
    }

    fn listeners_of(&self, place: usize) -> Vec<u64> {
        self.listeners.iter().filter(|(_, listener)| listener.place == place).map(|(serial, _)| *serial).collect()
    }

    /// An application has told of a listener.
    pub(crate) fn attend_listener(&mut self, serial: u64, desk: &mut Desk<'_>) {
        let Some(listener) = self.listeners.get(&serial) else { return };
        let Some(attached) = &self.attached[listener.place] else { return };
        let commands = attached.application.region().slot(listener.slot).commands();
        if commands & command::CLOSE != 0 {
            self.close_listener(serial, desk);
        } else if commands & command::DISCARD != 0 {
            // As shutdown(2) does to a listener of the kernel: whoever waits learns that nobody will come.
            self.fail_listener(serial, Errno::CONNABORTED, desk);
        } else {
            self.wake_waiting(serial, desk);
        }
    }

    /// Lets as many connections go on as there is credit for.
    pub(crate) fn wake_waiting(&mut self, serial: u64, desk: &mut Desk<'_>) {
        let eager = self.settings.eager_accept;
        let Some(listener) = self.listeners.get_mut(&serial) else { return };
        let Some(attached) = &self.attached[listener.place] else { return };
        let slot = attached.application.region().slot(listener.slot);
        match listener.look(slot, eager) {
            Ok(credit) => {
                for _ in 0..credit {
                    let Some((_, notice)) = listener.waiting.pop_first() else { break };
                    desk.notify(notice);
                }
                // Who finds no credit after all says so again.
                listener.stall(slot);
            }
            Err(forged) => {
                self.stats.forged.increment();
                tracing::debug!("{}: a listener: {forged}", attached.application.identity().name);
                self.fail_listener(serial, Errno::CONNABORTED, desk);
            }
        }
    }

    /// A connection that waited is gone. It may have been its turn.
    pub(crate) fn wait_no_more(&mut self, serial: u64, turn: u64, desk: &mut Desk<'_>) {
        if let Some(listener) = self.listeners.get_mut(&serial) {
            listener.waiting.remove(&turn);
        }
        self.wake_waiting(serial, desk);
    }

    /// Looks at what was taken out of the rings of an application's listeners. Returns the slots that are still in them.
    pub(crate) fn look_at_listeners(&mut self, place: usize, desk: &mut Desk<'_>) -> HashSet<u32> {
        let eager = self.settings.eager_accept;
        let (mut waiting, mut forged) = (HashSet::new(), Vec::new());
        let Some(attached) = &self.attached[place] else { return waiting };
        for (serial, listener) in self.listeners.iter_mut().filter(|(_, listener)| listener.place == place) {
            match listener.look(attached.application.region().slot(listener.slot), eager) {
                Ok(_) => waiting.extend(listener.entries.iter().map(|entry| entry.slot)),
                Err(_) => forged.push(*serial),
            }
        }
        forged.into_iter().for_each(|serial| self.fail_listener(serial, Errno::CONNABORTED, desk));
        waiting
    }

    /// Closes a listener: what waits in its ring, and for credit, is reset.
    pub(crate) fn close_listener(&mut self, serial: u64, desk: &mut Desk<'_>) {
        if let Some((place, slot)) = self.end_listener(serial, desk) {
            self.free(place, slot);
        }
    }

    /// Closes all of an application.
    pub(crate) fn close_listeners(&mut self, place: usize, desk: &mut Desk<'_>) {
        self.listeners_of(place).into_iter().for_each(|serial| self.close_listener(serial, desk));
    }

    pub(crate) fn fail_listener(&mut self, serial: u64, errno: Errno, desk: &mut Desk<'_>) {
        if let Some((place, slot)) = self.end_listener(serial, desk) {
            self.fail(place, slot, errno);
        }
    }

    fn end_listener(&mut self, serial: u64, desk: &mut Desk<'_>) -> Option<(usize, u32)> {
        let eager = self.settings.eager_accept;
        let mut listener = self.listeners.remove(&serial)?;
        self.stop_listening(serial, [listener.id, listener.beside]);
        self.stop_steered(listener.lease.take());
        let attached = self.attached[listener.place].as_ref()?;
        let application = attached.application.clone();
        application.listening.fetch_sub(1, Ordering::Relaxed);
        application.handings.end(listener.slot);
        // What was taken meanwhile stays; of a ring that is forged, nothing counts as taken.
        let _ = listener.look(application.region().slot(listener.slot), eager);
        for entry in listener.entries {
            if application.slots.generation(entry.slot) == entry.generation {
                self.abandon(listener.place, entry.slot, Fate::Aborted, desk);
            }
        }
        // They find nobody who wants them.
        listener.waiting.into_values().for_each(|notice| desk.notify(notice));
        Some((listener.place, listener.slot))
    }
}
