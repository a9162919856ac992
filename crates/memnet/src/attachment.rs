//! A process's way to its TCP server.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afpa_channel::Region;
use afpa_channel::control::{self, Reply, Request, Sender, Token, VERSION};
use afpa_channel::slot::Slot;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::channel::Channel;
use crate::incoming::{Held, Incoming};
use crate::listener::Listener;
use crate::queue::Bare;
use crate::reactor::Reactor;
use crate::thread;

/// The memory of a region, as an application maps it.
pub(crate) type Memory = afpa_platform::foreign::ForeignMemory;

/// An application's attachment, as one of its processes has it. Kept for as long as something refers to it; when the last
/// process's is gone, the server closes what is left open.
#[derive(Debug)]
pub struct Attachment {
    path: PathBuf,
    region: Region,
    /// An eventfd for each engine.
    bells: Vec<OwnedFd>,
    token: Token,
    sender: Sender,
    /// Where sockets of accepted connections come, if the application sends.
    incoming: Incoming,
    /// This process's place among the application's.
    place: AtomicU32,
    /// The connection whose end is the process's end. Locked while something is asked.
    control: Mutex<OwnedFd>,
    /// Somebody has seen that the server is gone.
    lost: Arc<AtomicBool>,
    /// Queues of threads that wait now and then, while they do not.
    idle: Mutex<Vec<Bare>>,
    reactor: Mutex<Option<Arc<Reactor>>>,
    placing: Placing,
}

/// Gives a descriptor of the attachment's own another number: for a process whose descriptors' numbers matter to others.
pub type Placing = fn(OwnedFd) -> OwnedFd;

/// What a process that replaces this one by exec needs to go on: see [`Attachment::bequeath`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bequest {
    /// Proves that it belongs to the application.
    pub token: Token,
    /// Its place among the application's processes.
    pub place: u32,
}

/// A fork that is under way: nothing is asked until it is over, so that the child's copy is in order.
pub struct Fork<'a> {
    control: MutexGuard<'a, OwnedFd>,
    _incoming: Held<'a>,
    place: u32,
}

impl Attachment {
    /// Attaches to the server at `path`; `name` is for people who look at the server.
    ///
    /// # Errors
    /// Nobody listens there, the server refuses, or is of another version.
    pub fn attach(path: &Path, name: &str) -> io::Result<Arc<Attachment>> {
        Attachment::attach_placing(path, name, |descriptor| descriptor)
    }

    /// As [`Attachment::attach`]; each descriptor that is kept passes through `placing`.
    ///
    /// # Errors
    /// As there.
    pub fn attach_placing(path: &Path, name: &str, placing: Placing) -> io::Result<Arc<Attachment>> {
        let request = Request::Attach { version: VERSION, name: name.to_owned() };
        Attachment::enter(path, &request, placing)
    }

    /// Takes over what the process had before it replaced itself by exec.
    ///
    /// # Errors
    /// The server is gone, or has given the place up.
    pub fn inherit(path: &Path, bequest: Bequest, placing: Placing) -> io::Result<Arc<Attachment>> {
        let request = Request::Join { version: VERSION, token: bequest.token, process: bequest.place };
        Attachment::enter(path, &request, placing)
    }

    fn enter(path: &Path, request: &Request, placing: Placing) -> io::Result<Arc<Attachment>> {
        let socket = control::connect_to(path)?;
        let (welcome, mut descriptors) = control::ask(socket.as_fd(), request, &[])?;
        let Reply::Welcome { token, process: place, sender } = welcome else { return Err(strange()) };
        if descriptors.is_empty() {
            return Err(strange());
        }
        let region = Region::open(placing(descriptors.remove(0)))?;
        if descriptors.len() != region.geometry().engines() as usize || place >= region.geometry().processes() {
            return Err(strange());
        }
        Ok(Arc::new(Attachment {
            path: path.to_owned(),
            region,
            bells: descriptors.into_iter().map(placing).collect(),
            token,
            sender,
            incoming: Incoming::default(),
            place: AtomicU32::new(place),
            control: Mutex::new(placing(socket)),
            placing,
            lost: Arc::default(),
            idle: Mutex::default(),
            reactor: Mutex::default(),
        }))
    }

    /// Who sends on its connections: the server, or the application through the kernel's sockets, which it has as well.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    pub(crate) fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// What is shared with the server.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whether the server is there: its connection has not ended. A system call; see [`Attachment::is_lost`].
    pub fn is_alive(&self) -> bool {
        let control = self.control();
        let mut ended = [PollFd::new(&*control, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let alive = !self.region.has_ended() && matches!(poll(&mut ended, Some(&now)), Ok(0) | Err(Errno::INTR));
        if !alive {
            self.lost.store(true, Ordering::Relaxed);
        }
        alive
    }

    /// Whether it is known that the server is gone: [`Attachment::is_alive`] or a queue has seen it, or it has said so.
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || self.region.has_ended()
    }

    pub(crate) fn lost(&self) -> &Arc<AtomicBool> {
        &self.lost
    }

    /// Listens on a TCP socket that is bound; the server has a duplicate of it.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub fn listen(self: &Arc<Self>, socket: BorrowedFd<'_>, backlog: u32) -> io::Result<Listener> {
        match self.ask(&Request::Listen { backlog }, &[socket])? {
            (Reply::Listening { slots }, _)
                if !slots.is_empty() && slots.iter().all(|slot| self.region.has_slot(*slot)) =>
            {
                let engines: Vec<Channel> = slots.into_iter().map(|slot| self.hold(slot)).collect();
                if self.sender == Sender::Application {
                    engines.iter().try_for_each(|engine| self.incoming.of(engine).map(drop))?;
                }
                Ok(Listener::new(engines))
            }
            _ => Err(strange()),
        }
    }

    /// Starts to connect a TCP socket, bound or not. What comes of it, the channel's [readiness](Channel::readiness) tells.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub fn connect(self: &Arc<Self>, socket: BorrowedFd<'_>, to: SocketAddr) -> io::Result<Channel> {
        match self.ask(&Request::Connect { to }, &[socket])? {
            (Reply::Connecting { slot }, _) if self.region.has_slot(slot) => Ok(self.hold(slot)),
            _ => Err(strange()),
        }
    }

    /// Asks the server for something that has a reply of its own.
    ///
    /// # Errors
    /// It refuses, with its errno; or it is gone.
    pub fn ask(&self, request: &Request, with: &[BorrowedFd<'_>]) -> io::Result<(Reply, Vec<OwnedFd>)> {
        control::ask(self.control().as_fd(), request, with)
    }

    /// This process's place among the application's processes.
    pub fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }

    /// Before the process forks: a place for the child, which holds what its parent holds.
    ///
    /// # Errors
    /// The server refuses, or is gone: the child then has no sockets of it.
    pub fn before_fork(&self) -> io::Result<Fork<'_>> {
        let control = self.control();
        match control::ask(control.as_fd(), &Request::Fork, &[])? {
            (Reply::Forked { process: place }, _) if place < self.region.geometry().processes() => {
                self.region.holds(self.place()).copy_to(&self.region.holds(place));
                Ok(Fork { control, _incoming: self.incoming.hold(), place })
            }
            _ => Err(strange()),
        }
    }

    /// A place for the program that this process is about to run in its stead, which then holds `slots`.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub fn bequeath(&self, slots: impl Iterator<Item = u32>) -> io::Result<Bequest> {
        match self.ask(&Request::Fork, &[])? {
            (Reply::Forked { process: place }, _) if place < self.region.geometry().processes() => {
                let holds = self.region.holds(place);
                slots.for_each(|slot| holds.hold(slot));
                Ok(Bequest { token: self.token, place })
            }
            _ => Err(strange()),
        }
    }

    /// Whether it is of the application that a bequest is of.
    pub fn is_of(&self, bequest: Bequest) -> bool {
        self.token == bequest.token
    }

    /// The process has not replaced itself: nobody needs that place.
    pub fn take_back(&self, bequest: Bequest) {
        // A process that comes and goes leaves nothing.
        let join = Request::Join { version: VERSION, token: bequest.token, process: bequest.place };
        if let Ok(socket) = control::connect_to(&self.path) {
            let _ = control::ask(socket.as_fd(), &join, &[]);
        }
    }

    /// After a fork, in the child, with what its parent has prepared: a connection of its own.
    ///
    /// # Errors
    /// The server is gone, or has given the place up.
    pub fn after_fork(&self, fork: Fork<'_>) -> io::Result<()> {
        thread::forget();
        let Fork { mut control, place, .. } = fork;
        let socket = control::connect_to(&self.path)?;
        let request = Request::Join { version: VERSION, token: self.token, process: place };
        let (Reply::Welcome { .. }, _) = control::ask(socket.as_fd(), &request, &[])? else { return Err(strange()) };
        self.place.store(place, Ordering::Relaxed);
        *control = (self.placing)(socket);
        self.forget_the_parents();
        Ok(())
    }

    /// After a fork for which there is no place, in the child: it asks nothing over its parent's connection.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn orphan(&self) -> io::Result<()> {
        thread::forget();
        let (ours, _) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )?;
        // Locked for good if another thread of the parent was about to ask: what comes of it then is lost as well.
        if let Ok(mut control) = self.control.try_lock() {
            *control = (self.placing)(ours);
        }
        self.forget_the_parents();
        Ok(())
    }

    /// The reactor of the attachment's futures, to be driven by the caller from now on. Who does not ask for it before
    /// the first future is polled has a thread that drives it.
    ///
    /// # Errors
    /// There is no queue for it.
    pub fn reactor(&self) -> io::Result<Arc<Reactor>> {
        let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
        match &*reactor {
            Some(reactor) => Ok(reactor.clone()),
            None => Ok(reactor.insert(Reactor::new(self, Bare::open(self)?)?).clone()),
        }
    }

    /// The reactor, with a thread unless the caller drives it.
    pub(crate) fn driven_reactor(&self) -> io::Result<Arc<Reactor>> {
        let mut reactor = self.reactor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reactor) = &*reactor {
            return Ok(reactor.clone());
        }
        let started = Reactor::new(self, Bare::open(self)?)?;
        started.spawn()?;
        Ok(reactor.insert(started).clone())
    }

    /// A queue for a thread that waits.
    pub(crate) fn borrow_queue(&self) -> io::Result<Bare> {
        let idle = self.idle().pop();
        idle.map_or_else(|| Bare::open(self), Ok)
    }

    /// Takes it back.
    pub(crate) fn return_queue(&self, queue: Bare) {
        self.idle().push(queue);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Bare>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a child, whose queues are not those of its parent. What another thread of the parent was using is lost.
    fn forget_the_parents(&self) {
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.clear();
        }
        if let Ok(mut reactor) = self.reactor.try_lock() {
            *reactor = None;
        }
    }

    /// The channel of a slot that this process holds already. Dropping it closes it as any other.
    pub fn channel(self: &Arc<Self>, slot: u32) -> Channel {
        Channel::new(self.clone(), slot)
    }

    /// A descriptor where descriptors of the attachment go.
    pub(crate) fn placed(&self, descriptor: OwnedFd) -> OwnedFd {
        (self.placing)(descriptor)
    }

    /// Tells a slot's engine of it.
    #[inline]
    pub(crate) fn attend(&self, slot: Slot<'_, Memory>) {
        if let Some(engine) = self.region.attend(slot) {
            // An eventfd that is full wakes as well as one that is not.
            let _ = rustix::io::write(&self.bells[engine as usize], &1u64.to_ne_bytes());
        }
    }

    /// The channel of a slot that this process holds from now on.
    pub(crate) fn hold(self: &Arc<Self>, slot: u32) -> Channel {
        self.region.holds(self.place()).hold(slot);
        Channel::new(self.clone(), slot)
    }

    /// This process holds the slot no more. Returns whether nobody does.
    pub(crate) fn release(&self, slot: u32) -> bool {
        self.region.holds(self.place()).release(slot);
        !self.region.is_held(slot)
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, OwnedFd> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(reactor) = self.reactor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reactor.stop();
        }
    }
}

/// The server has answered something else.
pub(crate) fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the TCP server has answered something else than was asked")
}
