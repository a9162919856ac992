//! Listeners on an interface of ours: frames for their addresses go to the engines' own TCP, for as long as a listener or
//! a connection of it is left.
//!
//! The order matters. Frames are steered only when every engine listens, or the others answer with resets; and the kernel
//! listens only when they are steered, or what it has accepted before is reset. They are steered until the last connection
//! is over, since the kernel knows none of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use afpa_channel::control::Sender;
use afpa_channel::slot::state;
use afpa_engine::{ConnectionId, Owner, Transport};
use rustix::io::Errno;
use rustix::net::sockopt::ipv6_v6only;
use rustix::net::{SocketAddrAny, getsockname, listen};

use crate::application::Use;
use crate::control::{Member, Refusal, Registry};
use crate::provider::Provider;

/// How long connections of a listener that is closed keep the kernel from the frames of its address. What is left then is
/// given up: the kernel resets it.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long engines may take to listen. They do between two passes.
const ANSWER: Duration = Duration::from_secs(5);

/// Decides which frames are ours. Implemented by whoever has the interface.
pub trait Steer: Send + Sync {
    /// Sends what is addressed to `address`, which may be unspecified, to the engines' first transports. Counts.
    ///
    /// # Errors
    /// There is no room: a sentence.
    fn steer(&self, address: SocketAddr) -> Result<(), String>;

    /// Undoes one of it: with the last, the kernel has these frames again.
    fn unsteer(&self, address: SocketAddr);
}

/// The frames of a listener's addresses, until it is dropped.
pub(crate) struct Lease {
    steer: Arc<dyn Steer>,
    addresses: Vec<SocketAddr>,
    is_steered: AtomicBool,
    /// Its socket is of IPv6 and takes IPv4, too.
    pub(crate) is_mapped: bool,
    /// Engines that listen.
    listening: AtomicUsize,
    /// Since when none does.
    closed: Mutex<Option<Instant>>,
}

impl Lease {
    fn new(steer: Arc<dyn Steer>, addresses: Vec<SocketAddr>, is_mapped: bool) -> Lease {
        let (is_steered, listening) = (AtomicBool::new(false), AtomicUsize::new(0));
        Lease { steer, addresses, is_steered, is_mapped, listening, closed: Mutex::new(None) }
    }

    fn begin(&self) -> Result<(), String> {
        for (count, address) in self.addresses.iter().enumerate() {
            if let Err(reason) = self.steer.steer(*address) {
                self.addresses[..count].iter().for_each(|address| self.steer.unsteer(*address));
                return Err(reason);
            }
        }
        self.is_steered.store(true, Ordering::Release);
        Ok(())
    }

    fn end(&self) {
        if self.is_steered.swap(false, Ordering::AcqRel) {
            self.addresses.iter().for_each(|address| self.steer.unsteer(*address));
        }
    }

    /// An engine listens no more.
    pub(crate) fn close(&self) {
        if self.listening.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Ends if it was closed long ago. Returns whether it was.
    fn expire(&self, now: Instant) -> bool {
        let closed = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = closed.is_some_and(|closed| now.saturating_duration_since(closed) >= PATIENCE);
        if is_late {
            self.end();
        }
        is_late
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end();
    }
}

/// All leases, for a thread that ends those whose time is over.
pub(crate) struct Leases {
    steer: Option<Arc<dyn Steer>>,
    begun: Vec<Weak<Lease>>,
}

impl Leases {
    pub(crate) fn new(steer: Option<Arc<dyn Steer>>) -> Leases {
        Leases { steer, begun: Vec::new() }
    }

    /// One for what the socket is bound to, if that is reached from outside.
    pub(crate) fn of(&self, socket: &OwnedFd) -> Option<Arc<Lease>> {
        let steer = self.steer.clone()?;
        let bound: SocketAddrAny = getsockname(socket).ok()?;
        let bound = SocketAddr::try_from(bound).ok()?;
        let address = SocketAddr::new(bound.ip().to_canonical(), bound.port());
        if address.ip().is_loopback() {
            return None;
        }
        let mut addresses = vec![address];
        if address.is_ipv6() && address.ip().is_unspecified() && ipv6_v6only(socket) == Ok(false) {
            addresses.push((Ipv4Addr::UNSPECIFIED, address.port()).into());
        }
        Some(Arc::new(Lease::new(steer, addresses, bound.is_ipv6())))
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.begun.retain(|lease| lease.upgrade().is_some_and(|lease| !lease.expire(now)));
    }

    /// How long none can be over.
    pub(crate) fn patience(&self) -> Option<Duration> {
        (!self.begun.is_empty()).then_some(Duration::from_secs(1))
    }
}

/// Why a listener is not had from an interface of ours.
pub(crate) enum Obstacle {
    /// It can be had from the kernel.
    Unsteered(String),
    /// It cannot be had at all.
    Refused(Refusal),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Obstacle {
        Obstacle::Refused(refusal)
    }
}

impl Registry {
    /// A listening slot on each engine, for connections through the interface and through the kernel. Returns the slots.
    pub(crate) fn listen_steered(
        &mut self,
        member: &Member,
        (socket, backlog): (&OwnedFd, u16),
        lease: Arc<Lease>,
    ) -> Result<Vec<u32>, Obstacle> {
        let prepared = self.prepare(member, socket)?;
        let slots: Vec<u32> = prepared.iter().map(|(slot, _)| *slot).collect();
        let serials = self.listen_directly(member, (prepared, backlog), &lease);
        if let Some(reason) = serials.iter().find_map(|serial| serial.as_ref().err()).cloned() {
            self.retract(member, &slots, &serials);
            return Err(Obstacle::Unsteered(reason));
        }
        if let Err(reason) = lease.begin() {
            self.retract(member, &slots, &serials);
            return Err(Obstacle::Unsteered(reason));
        }
        if let Err(errno) = listen(socket, backlog.into()) {
            self.retract(member, &slots, &serials);
            return Err(Refusal { errno, reason: "the socket cannot be listened to" }.into());
        }
        self.leases.begun.push(Arc::downgrade(&lease));
        for (port, serial) in self.ports.iter().zip(serials.into_iter().flatten()) {
            let owner = port.owner;
            let Ok(duplicate) = socket.try_clone() else {
                tracing::warn!("an engine does not listen on the kernel's sockets: no descriptor is left");
                continue;
            };
            port.command(move |provider, desk, transports| {
                provider.listen_beside(serial, (duplicate, backlog), owner, transports);
                // The application may have closed it meanwhile.
                provider.attend_listener(serial, desk);
            });
        }
        Ok(slots)
    }

    /// Has every engine listen on the interface, and waits until all do. Returns the listeners' serial numbers.
    fn listen_directly(
        &self,
        member: &Member,
        (prepared, backlog): (Vec<(u32, OwnedFd)>, u16),
        lease: &Arc<Lease>,
    ) -> Vec<Result<u64, String>> {
        let (answer, answers) = channel();
        let count = prepared.len();
        for (engine, (port, (slot, duplicate))) in self.ports.iter().zip(prepared).enumerate() {
            let (number, owner) = (member.number(), port.owner);
            let (lease, answer) = (lease.clone(), answer.clone());
            port.command(move |provider, _, transports| {
                let serial = provider.listen_directly((number, slot), (duplicate, backlog), owner, lease, transports);
                // Nobody waits for one that comes too late.
                let _ = answer.send((engine, serial.map_err(|error| error.to_string())));
            });
        }
        let mut serials = vec![Err("an engine does not answer".to_owned()); count];
        let deadline = Instant::now() + ANSWER;
        for _ in 0..count {
            match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((engine, serial)) => serials[engine] = serial,
                Err(_) => break,
            }
        }
        serials
    }

    fn retract(&self, member: &Member, slots: &[u32], serials: &[Result<u64, String>]) {
        for ((port, slot), serial) in self.ports.iter().zip(slots).zip(serials) {
            match *serial {
                Ok(serial) => port.command(move |provider, desk, _| provider.close_listener(serial, desk)),
                Err(_) => member.application.give_back(*slot),
            }
        }
    }

    /// A slot on each engine, and a duplicate of the socket for it.
    pub(crate) fn prepare(&self, member: &Member, socket: &OwnedFd) -> Result<Vec<(u32, OwnedFd)>, Refusal> {
        let mut prepared = Vec::with_capacity(self.ports.len());
        for engine in 0..self.ports.len() as u32 {
            let slot = member.application.allocate(engine, state::LISTENING, member.place);
            let duplicate = socket.try_clone();
            let is_ready =
                |at: &Use| self.sender == Sender::Server || member.application.handings.begin(at.slot).is_ok();
            match (slot, duplicate) {
                (Some(at), Ok(duplicate)) if is_ready(&at) => prepared.push((at.slot, duplicate)),
                (slot, _) => {
                    let taken = prepared.iter().map(|(slot, _)| *slot).chain(slot.map(|at| at.slot));
                    taken.for_each(|slot| member.application.give_back(slot));
                    return Err(Refusal { errno: Errno::NFILE, reason: "no slot or descriptor is left" });
                }
            }
        }
        Ok(prepared)
    }
}

impl Provider {
    /// Listens on the first transport, an interface's, whose frames are not steered yet; the slot has been begun for it.
    fn listen_directly(
        &mut self,
        (application, slot): (u64, u32),
        (socket, backlog): (OwnedFd, u16),
        owner: Owner,
        lease: Arc<Lease>,
        transports: &mut [Box<dyn Transport>],
    ) -> std::io::Result<u64> {
        let place = self.place_of(application).ok_or(std::io::ErrorKind::NotFound)?;
        let transport = transports.first_mut().ok_or(std::io::ErrorKind::Unsupported)?;
        let id = transport.adopt(socket.try_clone()?, owner, backlog)?;
        let serial = self.listen_on(place, slot, (socket, backlog));
        self.listens_as(serial, id);
        lease.listening.fetch_add(1, Ordering::AcqRel);
        if let Some(listener) = self.listeners.get_mut(&serial) {
            (listener.id, listener.lease) = (Some(id), Some(lease));
        }
        Ok(serial)
    }

    /// Listens on the kernel's sockets, too.
    fn listen_beside(
        &mut self,
        serial: u64,
        (socket, backlog): (OwnedFd, u16),
        owner: Owner,
        transports: &mut [Box<dyn Transport>],
    ) {
        let Some(listener) = self.listeners.get_mut(&serial) else { return };
        let Some(transport) = transports.last_mut() else { return };
        match transport.adopt(socket, owner, backlog) {
            Ok(id) => {
                listener.beside = Some(id);
                self.listens_as(serial, id);
            }
            Err(error) => tracing::warn!("a listener cannot be adopted from the kernel: {error}"),
        }
    }

    /// The engine's part of the frames of a listener that is gone from the tables.
    pub(crate) fn stop_steered(&mut self, lease: Option<Arc<Lease>>) {
        if let Some(lease) = lease {
            lease.close();
            // After what was commanded before: as long as the interface's transport listens, it has to be steered to.
            self.later(move || drop(lease));
        }
    }

    /// A connection's address as a socket of the listener's family has it (RFC 4291 §2.5.5.2).
    pub(crate) fn as_bound(&self, serial: u64, address: Option<SocketAddr>) -> Option<SocketAddr> {
        let lease = self.listeners.get(&serial).and_then(|listener| listener.lease.as_ref());
        match address? {
            SocketAddr::V4(v4) if lease.is_some_and(|lease| lease.is_mapped) => {
                Some((v4.ip().to_ipv6_mapped(), v4.port()).into())
            }
            address => Some(address),
        }
    }

    /// What a connection of the listener with this serial number has to keep.
    pub(crate) fn lease_of(&self, serial: u64, connection: ConnectionId) -> Option<Arc<Lease>> {
        let listener = self.listeners.get(&serial)?;
        // Those of the kernel's sockets come from the last transport.
        listener.lease.clone().filter(|_| listener.id.is_some_and(|id| id.transport == connection.transport()))
    }
}
