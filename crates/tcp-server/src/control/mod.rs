//! The Unix socket on which applications attach. One thread serves all of them, and waits for none: who does not read his
//! replies loses his connection.

mod balancer;
mod listener;
mod publisher;
mod registry;
mod requests;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use afpa_channel::Geometry;
use afpa_channel::control::{self, Reply, Request, Sender};
use afpa_platform::memory::Pool;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, UCred, accept_with};

use crate::balance;
use crate::limits::Limits;
use crate::objects::Objects;
use crate::provider::Port;
use crate::status::Receiving;
use crate::steering::{Leases, Steer};
use publisher::Answer;
pub(crate) use registry::{Member, Registry};
pub(crate) use requests::{Refusal, refuse};

/// What the control server is told.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Where it listens.
    pub path: PathBuf,
    /// Who may connect, as chmod(2) has it.
    pub mode: u32,
    /// The slots of each application's region.
    pub slots: u32,
    /// Octets of each ring.
    pub ring: u32,
    /// Event queues of each application.
    pub queues: u32,
    /// Processes of each application.
    pub processes: u32,
    /// What applications may use.
    pub limits: Limits,
    /// Who sends on connections: what the engines' [settings](crate::Settings) say.
    pub sender: Sender,
    /// How many engines are active, and whether connections move between them.
    pub balance: balance::Settings,
    /// Memory that leaves from where it lies, for applications to register. If absent, or when there is none left, they bring
    /// their own.
    pub pool: Option<Arc<Pool>>,
    /// Threads of the kernel that receive on the engines' cores, for the status.
    pub receiving: Receiving,
    /// Where what applications publish is kept. If absent, they publish nothing.
    pub objects: Option<Arc<Objects>>,
}

impl ControlConfig {
    /// The defaults, at a path.
    pub fn new(path: PathBuf) -> ControlConfig {
        ControlConfig {
            path,
            mode: 0o660,
            slots: 4096,
            ring: 64 * 1024,
            queues: 256,
            processes: 256,
            limits: Limits::default(),
            sender: Sender::Server,
            balance: balance::Settings::default(),
            pool: None,
            receiving: Receiving::default(),
            objects: None,
        }
    }

    fn geometry(&self, engines: usize) -> io::Result<Geometry> {
        let engines = u32::try_from(engines).unwrap_or(u32::MAX);
        Geometry::new(self.slots, engines, self.queues, self.processes, self.ring).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "no region can have so many slots, rings, queues, processes or engines",
            )
        })
    }
}

/// The control server, as long as it runs.
pub struct Control {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Control {
    /// Listens, and starts the thread that serves. `ports` are the engines, by their numbers.
    ///
    /// # Errors
    /// Another server is there, or the path cannot be listened to; the error says which.
    pub fn start(config: ControlConfig, ports: Vec<Port>) -> io::Result<Control> {
        Control::start_with(config, ports, None)
    }

    /// The same, with an interface that is the first transport of every engine; the kernel's sockets are the last.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn start_with(config: ControlConfig, ports: Vec<Port>, steer: Option<Arc<dyn Steer>>) -> io::Result<Control> {
        let geometry = config.geometry(ports.len())?;
        let listener = listener::bind(&config.path, config.mode)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let path = config.path.clone();
        let registry = Registry::new(geometry, &config, ports, Leases::new(steer));
        let mut server = Server::new(listener, stop.clone(), registry, config.limits)?;
        let thread = Builder::new().name("control".into()).spawn(move || server.run())?;
        Ok(Control { stop, thread: Some(thread), path })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    /// Ends all attachments.
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Of the epoll instance.
const LISTENER: u64 = 0;
const STOP: u64 = 1;
const FIRST_CLIENT: u64 = 2;

/// How long nobody is accepted when no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

struct Server {
    listener: OwnedFd,
    /// Kept open for as long as it is waited for.
    _stop: Arc<OwnedFd>,
    epoll: Arc<OwnedFd>,
    clients: HashMap<u64, Client>,
    next: u64,
    /// Connections by user.
    users: HashMap<u32, usize>,
    registry: Registry,
    limits: Limits,
    paused_until: Option<Instant>,
}

/// A connection of a process, or of somebody who wants to know.
pub(crate) struct Client {
    socket: Arc<OwnedFd>,
    credentials: UCred,
    member: Option<Member>,
}

impl Server {
    fn new(listener: OwnedFd, stop: Arc<OwnedFd>, registry: Registry, limits: Limits) -> io::Result<Server> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &*stop, EventData::new_u64(STOP), EventFlags::IN)?;
        Ok(Server {
            listener,
            _stop: stop,
            epoll,
            clients: HashMap::new(),
            next: FIRST_CLIENT,
            users: HashMap::new(),
            registry,
            limits,
            paused_until: None,
        })
    }

    fn run(&mut self) {
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!("the control socket is served no more: {error}");
                    break;
                }
            }
        }
        self.registry.end_all();
    }

    /// Waits for something, and does it. Returns whether to go on.
    fn turn(&mut self) -> io::Result<bool> {
        let wait = self.registry.patience(Instant::now()).into_iter().chain(self.pause()).min();
        let wait = wait.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() });
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.registry.tick(Instant::now());
        if self.paused_until.is_some_and(|until| Instant::now() >= until) {
            self.paused_until = None;
            epoll::modify(&self.epoll, &self.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                STOP => return Ok(false),
                client => self.hear(client),
            }
        }
        Ok(true)
    }

    fn pause(&self) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn accept(&mut self) -> io::Result<()> {
        let socket = match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => socket,
            Err(error) => {
                use rustix::io::Errno;
                if [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error) {
                    self.paused_until = Some(Instant::now() + PAUSE);
                    epoll::modify(&self.epoll, &self.listener, EventData::new_u64(LISTENER), EventFlags::empty())?;
                }
                return Ok(());
            }
        };
        let Ok(credentials) = socket_peercred(&socket) else { return Ok(()) };
        let user = self.users.entry(credentials.uid.as_raw()).or_default();
        if *user >= self.limits.clients_per_user {
            return Ok(());
        }
        let name = self.next;
        if epoll::add(&self.epoll, &socket, EventData::new_u64(name), EventFlags::IN).is_ok() {
            *user += 1;
            self.next += 1;
            self.clients.insert(name, Client { socket: Arc::new(socket), credentials, member: None });
        }
        Ok(())
    }

    /// Serves one request, or notes a client's end.
    fn hear(&mut self, name: u64) {
        let Some(client) = self.clients.get_mut(&name) else { return };
        let request = match control::receive::<Request>(client.socket.as_fd()) {
            Ok(Some(request)) => request,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(None) | Err(_) => return self.forget(name),
        };
        let incoming = if let Request::Incoming { slot } = &request.0 { Some(*slot) } else { None };
        let promise = || Answer::promise(client.socket.clone(), self.epoll.clone(), name);
        let reply = match request {
            (Request::Publish { key, from }, descriptors) => {
                match self.registry.publish(client, (key, from), descriptors, promise) {
                    Ok(()) => return,
                    Err(refusal) => refusal.into_reply(),
                }
            }
            (request, descriptors) => {
                self.registry.serve(client, request, descriptors).unwrap_or_else(Refusal::into_reply)
            }
        };
        let application = client.member.as_ref().map(|member| member.application.clone());
        let handing = match (incoming, &application) {
            (Some(slot), Some(application)) => application.handings.of(slot),
            _ => None,
        };
        let granted = match (&reply, &application) {
            (Reply::Granted { memory, .. }, Some(application)) => application.memories.get(*memory),
            _ => None,
        };
        let descriptors = match (&reply, &application) {
            (Reply::Welcome { .. }, Some(application)) => application.descriptors(),
            (Reply::Granted { .. }, _) => granted.iter().map(|granted| granted.descriptor()).collect(),
            (Reply::Incoming, _) => handing.iter().map(|handing| handing.theirs()).collect(),
            _ => Vec::new(),
        };
        if control::send(client.socket.as_fd(), &reply, &descriptors).is_err() {
            self.forget(name);
        }
    }

    fn forget(&mut self, name: u64) {
        let Some(client) = self.clients.remove(&name) else { return };
        // Who is gone while something of his is published is heard no more.
        let _ = epoll::delete(&self.epoll, &client.socket);
        if let Some(user) = self.users.get_mut(&client.credentials.uid.as_raw()) {
            *user -= 1;
            if *user == 0 {
                self.users.remove(&client.credentials.uid.as_raw());
            }
        }
        if let Some(member) = client.member {
            self.registry.leave(member, Instant::now());
        }
    }
}
