//! What is done for each request.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use afpa_channel::control::{Content, MAX_KEY, Reply, Request, Sender, VERSION};
use afpa_channel::slot::state;
use afpa_platform::foreign::ForeignMemory;
use afpa_platform::memory::Owner;
use afpa_platform::source::SourceFile;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_domain, socket_protocol, socket_type};
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, getsockname, ipproto, listen};

use crate::bell::Doorbell;

use super::Client;
use super::publisher::Answer;
use super::registry::{Member, Registry};
use crate::objects::{From, Objects, Publication};
use crate::steering::Obstacle;

/// Why something is not done.
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) reason: &'static str,
}

/// The longest name of an application, in octets.
const MAX_NAME: usize = 64;
/// Of a server without memory for them.
const NO_OBJECTS: &str = "nothing can be published at this server";
/// The longest queue of a listener.
const MAX_BACKLOG: u32 = 65_535;

impl Refusal {
    pub(crate) fn into_reply(self) -> Reply {
        Reply::Refused { errno: self.errno.raw_os_error(), reason: self.reason.into() }
    }
}

pub(crate) fn refuse<T>(errno: Errno, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { errno, reason })
}

impl Registry {
    /// Does what a client asks for.
    pub(crate) fn serve(
        &mut self,
        client: &mut Client,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Reply, Refusal> {
        match request {
            Request::Status => return Ok(Reply::Status(self.status(Instant::now()))),
            Request::Attach { version, name } => return self.welcome(client, version, name),
            Request::Join { version, token, process } => {
                let member = self.join_as(client, version, &token, process)?;
                client.member = Some(member);
                return Ok(Reply::Welcome { token, process, sender: self.sender });
            }
            _ => {}
        }
        let Some(member) = client.member.clone() else { return refuse(Errno::NOTCONN, "attach first") };
        match request {
            Request::Fork => match self.fork(&member, Instant::now()) {
                Some(process) => Ok(Reply::Forked { process }),
                None => refuse(Errno::AGAIN, "the application has as many processes as it may"),
            },
            Request::OpenQueue => open_queue(&member, one(descriptors)?),
            Request::CloseQueue { queue } => match member.application.close_queue(queue, member.place) {
                true => Ok(Reply::Done),
                false => refuse(Errno::NOENT, "there is no such queue of this process"),
            },
            Request::Listen { backlog } => self.listen(&member, one(descriptors)?, backlog),
            Request::Connect { to } => self.connect(&member, one(descriptors)?, to),
            Request::Register { length } => self.register(&member, one(descriptors)?, length),
            Request::Grant { length } => self.grant(&member, client.credentials.uid.as_raw(), length),
            Request::Deregister { memory } => match member.application.memories.remove(memory) {
                Some(_) => Ok(Reply::Done),
                None => refuse(Errno::NOENT, "there is no such memory"),
            },
            Request::Incoming { slot } => match member.application.handings.of(slot) {
                Some(_) => Ok(Reply::Incoming),
                None => refuse(Errno::NOENT, "no sockets of connections come there"),
            },
            Request::OpenFile => open_file(&member, one(descriptors)?),
            Request::CloseFile { file } => match member.application.files.remove(file) {
                Some(_) => Ok(Reply::Done),
                None => refuse(Errno::NOENT, "there is no such file"),
            },
            Request::FindObject { key } => self.find_object(&member, &key),
            Request::CloseObject { object } => match member.application.objects.remove(object) {
                Some(_) => Ok(Reply::Done),
                None => refuse(Errno::NOENT, "there is no such object"),
            },
            Request::Purge { key } => match self.objects()?.purge(member.application.identity().uid, &key) {
                true => Ok(Reply::Done),
                false => refuse(Errno::NOENT, "nothing is published under this key"),
            },
            Request::Attach { .. } | Request::Join { .. } | Request::Status | Request::Publish { .. } => {
                refuse(Errno::INVAL, "that has been answered")
            }
        }
    }

    fn welcome(&mut self, client: &mut Client, version: u32, name: String) -> Result<Reply, Refusal> {
        check(client, version)?;
        let uid = client.credentials.uid.as_raw();
        if !self.has_room(uid) {
            return refuse(Errno::USERS, "as many applications are attached as may be");
        }
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME / 4).collect();
        match self.attach(name, uid, client.credentials.pid.as_raw_nonzero().get()) {
            Ok(member) => {
                let token = member.application.identity().token;
                let welcome = Reply::Welcome { token, process: member.place, sender: self.sender };
                client.member = Some(member);
                Ok(welcome)
            }
            Err(error) => {
                tracing::warn!("no region can be made: {error}");
                refuse(Errno::from_io_error(&error).unwrap_or(Errno::NOMEM), "no region can be made")
            }
        }
    }

    fn join_as(&mut self, client: &Client, version: u32, token: &[u8; 16], place: u32) -> Result<Member, Refusal> {
        check(client, version)?;
        match self.join(token, place, client.credentials.pid.as_raw_nonzero().get()) {
            Some(member) => Ok(member),
            None => refuse(Errno::ACCESS, "nobody waits for this process"),
        }
    }

    /// A listening slot on each engine.
    fn listen(&mut self, member: &Member, socket: OwnedFd, backlog: u32) -> Result<Reply, Refusal> {
        check_tcp(&socket)?;
        self.leave_at_once(&socket);
        if !is_bound(&socket) {
            return refuse(Errno::INVAL, "the socket is not bound");
        }
        let backlog = backlog.clamp(1, MAX_BACKLOG) as u16;
        if let Some(lease) = self.leases.of(&socket) {
            match self.listen_steered(member, (&socket, backlog), lease) {
                Ok(slots) => return Ok(Reply::Listening { slots }),
                Err(Obstacle::Refused(refusal)) => return Err(refusal),
                Err(Obstacle::Unsteered(reason)) => {
                    tracing::warn!("a listener is served by the kernel's sockets alone: {reason}");
                }
            }
        }
        if let Err(errno) = listen(&socket, backlog.into()) {
            return refuse(errno, "the socket cannot be listened to");
        }
        let prepared = self.prepare(member, &socket)?;
        let slots = prepared.iter().map(|(slot, _)| *slot).collect();
        for (port, (slot, duplicate)) in self.ports.iter().zip(prepared) {
            let (number, owner) = (member.number(), port.owner);
            port.command(move |provider, desk, transports| {
                provider.listen(number, slot, (duplicate, backlog), owner, desk, transports);
            });
        }
        Ok(Reply::Listening { slots })
    }

    /// A slot on the active engine with the fewest connections.
    fn connect(&mut self, member: &Member, socket: OwnedFd, to: std::net::SocketAddr) -> Result<Reply, Refusal> {
        check_tcp(&socket)?;
        self.leave_at_once(&socket);
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        if socket_domain(&socket) != Ok(family) {
            return refuse(Errno::AFNOSUPPORT, "the socket is of another address family");
        }
        let count = self.ports.len();
        self.next_engine = (self.next_engine + 1) % count;
        let order = (0..count).map(|at| (self.next_engine + at) % count);
        let active = order.filter(|engine| self.balancer.is_active(*engine));
        let Some(engine) = active.min_by_key(|engine| self.ports[*engine].stats.open.get()) else {
            return refuse(Errno::NODEV, "there is no engine");
        };
        let Some(at) = member.application.allocate(engine as u32, state::CONNECTING, member.place) else {
            return refuse(Errno::NFILE, "no slot is left");
        };
        let number = member.number();
        self.ports[engine].command(move |provider, desk, _| {
            provider.connect(number, (at.slot, at.generation), socket, to, desk);
        });
        Ok(Reply::Connecting { slot: at.slot })
    }

    /// What lies in a ring together leaves together anyway, and what has to wait for room there must not wait for the peer's
    /// acknowledgment as well (RFC 9293 §3.7.4). Accepted connections inherit it. Who sends himself decides himself.
    fn leave_at_once(&self, socket: &OwnedFd) {
        if self.sender == Sender::Server {
            // It fails only for what is no TCP socket.
            let _ = set_tcp_nodelay(socket, true);
        }
    }

    /// Memory of the server's own, if it has any for this application. Whoever is refused may bring his own.
    fn grant(&self, member: &Member, user: u32, length: u64) -> Result<Reply, Refusal> {
        let identity = member.application.identity();
        // A process of another user, to which the application has told its token, has no part in what its user had.
        let Some(pool) = self.pool.as_ref().filter(|_| user == identity.uid) else {
            return refuse(Errno::OPNOTSUPP, "there is no memory that leaves from where it lies");
        };
        let length = self.registrable(member, length)?;
        let owner = Owner { user, application: identity.number };
        match pool.grant(owner, length) {
            Ok(Some((memory, offset))) => match member.application.memories.add(Arc::new(memory)) {
                Some(memory) => Ok(Reply::Granted { memory, offset: offset as u64 }),
                None => refuse(Errno::NOSPC, "no more memory may be registered"),
            },
            Ok(None) => refuse(Errno::NOSPC, "no more memory leaves from where it lies"),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::NOMEM);
                refuse(errno, "the memory cannot be mapped")
            }
        }
    }

    /// So many octets, if the application may register as many.
    fn registrable(&self, member: &Member, length: u64) -> Result<usize, Refusal> {
        let registered = member.application.registered();
        let is_allowed = registered.checked_add(length).is_some_and(|octets| octets <= self.limits.registered);
        match usize::try_from(length) {
            Ok(length) if is_allowed => Ok(length),
            _ => refuse(Errno::NOMEM, "so much memory may not be registered"),
        }
    }

    fn register(&self, member: &Member, memory: OwnedFd, length: u64) -> Result<Reply, Refusal> {
        let length = self.registrable(member, length)?;
        let memory = map(memory, length)?;
        match member.application.memories.add(memory) {
            Some(memory) => Ok(Reply::Registered { memory }),
            None => refuse(Errno::NOSPC, "no more memory may be registered"),
        }
    }

    /// Has something copied, and answers when that is done.
    pub(crate) fn publish(
        &self,
        client: &Client,
        (key, from): (Vec<u8>, Content),
        descriptors: Vec<OwnedFd>,
        promise: impl FnOnce() -> std::io::Result<Answer>,
    ) -> Result<(), Refusal> {
        let Some(member) = &client.member else { return refuse(Errno::NOTCONN, "attach first") };
        let Some(publisher) = &self.publisher else { return refuse(Errno::OPNOTSUPP, NO_OBJECTS) };
        if key.len() > MAX_KEY {
            return refuse(Errno::NAMETOOLONG, "no key is so long");
        }
        let application = &member.application;
        let (from, offset, length) = match from {
            Content::Passed { length } => {
                let of_user = usize::try_from(length).ok().filter(|_| length <= self.limits.objects_per_user);
                let Some(octets) = of_user else { return refuse(Errno::FBIG, "no object may be so large") };
                (From::Memory(map(one(descriptors)?, octets)?), 0, length)
            }
            Content::Memory { memory, offset, length } => match application.memories.get(memory) {
                Some(memory) => (From::Memory(memory), offset, length),
                None => return refuse(Errno::NOENT, "there is no such memory"),
            },
            Content::File { file, offset, length } => match application.files.get(file) {
                Some(file) => (From::File(file), offset, length),
                None => return refuse(Errno::NOENT, "there is no such file"),
            },
        };
        let size = match &from {
            From::Memory(memory) => memory.len() as u64,
            From::File(file) => file.size(),
        };
        if length == 0 || offset.checked_add(length).is_none_or(|end| end > size) {
            return refuse(Errno::INVAL, "an object has octets, and what it is copied from has these");
        }
        let publication = Publication { uid: application.identity().uid, key, from, offset, length };
        match promise() {
            Ok(answer) => publisher.publish(publication, answer),
            Err(error) => {
                return refuse(Errno::from_io_error(&error).unwrap_or(Errno::IO), "it cannot be waited for");
            }
        }
        Ok(())
    }

    fn find_object(&self, member: &Member, key: &[u8]) -> Result<Reply, Refusal> {
        let Some(object) = self.objects()?.find(member.application.identity().uid, key) else {
            return refuse(Errno::NOENT, "nothing is published under this key");
        };
        let length = object.body().len();
        match member.application.objects.add(object) {
            Some(object) => Ok(Reply::Object { object, length }),
            None => refuse(Errno::NOSPC, "no more objects may be found; close one"),
        }
    }

    fn objects(&self) -> Result<&Objects, Refusal> {
        self.objects.as_deref().ok_or(Refusal { errno: Errno::OPNOTSUPP, reason: NO_OBJECTS })
    }
}

fn map(memory: OwnedFd, length: usize) -> Result<Arc<ForeignMemory>, Refusal> {
    ForeignMemory::map(memory, length).map(Arc::new).map_err(|error| Refusal {
        errno: Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
        reason: "that is no memfd of this length that is sealed against shrinking",
    })
}

fn check(client: &Client, version: u32) -> Result<(), Refusal> {
    if client.member.is_some() {
        return refuse(Errno::ISCONN, "this connection is attached already");
    }
    if version != VERSION {
        return refuse(Errno::PROTO, "the TCP server is of another version");
    }
    Ok(())
}

/// The one descriptor that goes with a request.
fn one(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Refusal> {
    let mut descriptors = descriptors.into_iter();
    match (descriptors.next(), descriptors.next()) {
        (Some(descriptor), None) => Ok(descriptor),
        _ => refuse(Errno::BADF, "one descriptor goes with this request"),
    }
}

fn check_tcp(socket: &OwnedFd) -> Result<(), Refusal> {
    let inet = [AddressFamily::INET, AddressFamily::INET6];
    let is_inet = socket_domain(socket).is_ok_and(|family| inet.contains(&family));
    let is_stream = socket_type(socket) == Ok(SocketType::STREAM);
    match socket_protocol(socket) {
        Err(Errno::NOTSOCK) => refuse(Errno::NOTSOCK, "that is no socket"),
        Ok(protocol) if is_inet && is_stream && protocol.is_none_or(|protocol| protocol == ipproto::TCP) => Ok(()),
        _ => refuse(Errno::OPNOTSUPP, "that is no TCP socket"),
    }
}

fn is_bound(socket: &OwnedFd) -> bool {
    let address: Option<SocketAddrAny> = getsockname(socket).ok();
    let address = address.and_then(|address| std::net::SocketAddr::try_from(address).ok());
    address.is_some_and(|address| address.port() != 0)
}

fn open_queue(member: &Member, doorbell: OwnedFd) -> Result<Reply, Refusal> {
    let Ok(doorbell) = Doorbell::new(doorbell) else {
        return refuse(Errno::OPNOTSUPP, "that is no writing end of a pipe");
    };
    match member.application.open_queue(doorbell, member.place) {
        Some(queue) => Ok(Reply::Queue { queue }),
        None => refuse(Errno::NOSPC, "there are as many queues as there can be"),
    }
}

fn open_file(member: &Member, file: OwnedFd) -> Result<Reply, Refusal> {
    let is_readable = fcntl_getfl(file.as_fd())
        .is_ok_and(|flags| !flags.contains(OFlags::PATH) && flags & OFlags::RWMODE != OFlags::WRONLY);
    let file = File::from(file);
    if !is_readable || !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return refuse(Errno::BADF, "that is no file that can be read");
    }
    let source = SourceFile::new(file).map_err(|error| Refusal {
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        reason: "the file cannot be looked at",
    })?;
    match member.application.files.add(Arc::new(source)) {
        Some(file) => Ok(Reply::File { file }),
        None => refuse(Errno::NOSPC, "no more files may be passed"),
    }
}
