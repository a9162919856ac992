//! How sockets of the kernel become the TCP server's, and the other way at their end: listen, accept, connect, close.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use memnet::Attachment;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::application::{Application, Socket};
use crate::description::{Description, Half, flag};
use crate::errors::errno;
use crate::filter::{Filter, UNBOUND};
use crate::queues::persist;
use crate::raw::{self, Undisturbed};
use crate::table::{self, Entry, Kind};
use crate::{epoll, inheritance, notice};

/// What the environment says.
struct Settings {
    server: PathBuf,
    filter: Filter,
    required: bool,
}

/// How long an address is waited for that may just become free.
const PATIENCE: Duration = Duration::from_millis(100);

/// `None` if nothing is to be offloaded.
static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();
/// Locked while the process attaches.
static ATTACHING: Mutex<()> = Mutex::new(());
/// What placeholders are duplicates of.
static PLACEHOLDER: OnceLock<OwnedFd> = OnceLock::new();

fn settings() -> Option<&'static Settings> {
    let read = || {
        let text = |name| std::env::var(name).unwrap_or_default();
        let server = PathBuf::from(std::env::var_os("AFPA_TCP_SERVER").filter(|path| !path.is_empty())?);
        match Filter::parse(&text("AFPA_OFFLOAD_PORTS"), &text("AFPA_OFFLOAD_ADDRESSES")) {
            Ok(filter) => {
                let required = !matches!(text("AFPA_OFFLOAD_REQUIRED").as_str(), "" | "0");
                Some(Settings { server, filter, required })
            }
            Err(problem) => {
                notice(format_args!("nothing is offloaded: {problem}"));
                None
            }
        }
    };
    SETTINGS.get_or_init(read).as_ref()
}

/// The server's path.
pub(crate) fn server() -> Option<&'static std::path::Path> {
    settings().map(|settings| settings.server.as_path())
}

/// The application whose server takes new sockets. `Ok(None)`: the kernel does.
fn application() -> Result<Option<&'static Application>, Errno> {
    let Some(settings) = settings() else { return Ok(None) };
    if let Some(application) = Application::current() {
        // One whose server has died meanwhile has a successor, perhaps.
        if application.check() {
            return Ok(Some(application));
        }
    }
    let _attaching = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(application) = Application::current() {
        return Ok(Some(application));
    }
    let name = name();
    let attached = Attachment::attach_placing(&settings.server, &name, set_aside).map_err(|error| {
        notice(format_args!("no TCP server at {}: {error}", settings.server.display()));
        error
    });
    match attached {
        Ok(attachment) => {
            // While there are descriptors.
            drop(placeholder(true)?);
            Application::add(attachment).map(Some)
        }
        Err(_) if settings.required => Err(Errno::NETDOWN),
        Err(_) => Ok(None),
    }
}

fn name() -> String {
    std::fs::read_to_string("/proc/self/comm").map(|name| name.trim_end().to_owned()).unwrap_or_default()
}

/// Gives a descriptor of this library a number where it disturbs no program, and marks it as not the program's.
pub(crate) fn set_aside(descriptor: OwnedFd) -> OwnedFd {
    // Above what most programs use, and below where the kernel has to make their tables larger.
    const LEAST: u64 = 210;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    let least = LEAST.min(limit / 2) as RawFd;
    let aside = match rustix::io::fcntl_dupfd_cloexec(&descriptor, least) {
        Ok(aside) => aside,
        Err(_) => descriptor,
    };
    table::put(aside.as_raw_fd(), Some(Entry::OWN));
    aside
}

/// listen(2). `Ok(false)`: the socket is the kernel's.
pub(crate) fn listen(descriptor: RawFd, backlog: i32) -> Result<bool, Errno> {
    if let Some(socket) = Socket::get(descriptor) {
        return if socket.is_listener() { Ok(true) } else { Err(Errno::INVAL) };
    }
    let Some((v6, address)) = tcp_socket(descriptor) else { return Ok(false) };
    if raw::option(descriptor, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == Ok(1) {
        return Ok(false);
    }
    let Some(settings) = settings().filter(|settings| settings.filter.takes(address)) else { return Ok(false) };
    let _undisturbed = Undisturbed::new();
    let Some(application) = application()? else { return Ok(false) };
    let socket = raw::borrow(descriptor)?;
    if address.port() == 0 {
        let any = SocketAddr::new(if v6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { UNBOUND.ip() }, 0);
        rustix::net::bind(socket, &any)?;
    }
    let settled = Settled::on(descriptor, v6)?;
    let backlog = u32::try_from(backlog).unwrap_or(0).min(65535);
    // The server closes connections in its own order: what would wait at the client's end may wait at this one, and must
    // not keep the address from a successor (RFC 9293 §3.6.1).
    let _ = rustix::net::sockopt::set_socket_reuseaddr(socket, true);
    let mut listened = application.attachment().listen(socket, backlog);
    for _ in 0..PATIENCE.as_millis() {
        if listened.as_ref().err().map(errno) != Some(Errno::ADDRINUSE) {
            break;
        }
        pause();
        listened = application.attachment().listen(socket, backlog);
    }
    let listener = match listened {
        Ok(listener) => listener,
        Err(error) => return refused(&error, settings),
    };
    let mut slots = listener.into_engines().into_iter();
    let first = slots.next().ok_or(Errno::IO)?;
    let mut last = first.number();
    for channel in slots {
        application.description(last).set_next_listening(channel.number());
        last = channel.number();
        application.description(last).set_first_listening(first.number());
        channel.slot().want(u32::MAX);
        channel.forget();
    }
    let entry = application.adopt(Kind::Listener, first);
    let description = application.description(entry.number.into());
    settled.describe(description);
    table::put(descriptor, Some(entry));
    epoll::migrate(descriptor, entry);
    Ok(true)
}

/// connect(2). `Ok(false)`: the socket is the kernel's.
pub(crate) fn connect(descriptor: RawFd, to: SocketAddr) -> Result<bool, Errno> {
    let mut blocks = None;
    if let Some(socket) = Socket::get(descriptor) {
        if socket.connect_again()? {
            return Ok(true);
        }
        // What the kernel says of that is by now the server's affair.
        blocks = Some(!socket.description().has(flag::NONBLOCKING));
        let entry = table::put(descriptor, None);
        drop(socket);
        release(entry);
    }
    let Some(settings) = settings().filter(|settings| settings.filter.takes(to)) else { return Ok(false) };
    let Some((v6, _)) = tcp_socket(descriptor) else { return Ok(false) };
    let undisturbed = Undisturbed::new();
    let Some(application) = application()? else { return Ok(false) };
    let socket = raw::borrow(descriptor)?;
    if rustix::net::getpeername(socket).is_ok() {
        // The kernel's already, by a call that did not pass through here.
        return Ok(false);
    }
    let settled = Settled::on(descriptor, v6)?;
    if blocks.is_some() {
        // The kernel's socket may still be in the attempt that has failed.
        let _ = rustix::net::connect_unspec(socket);
    }
    let channel = match application.attachment().connect(socket, to) {
        Ok(channel) => channel,
        Err(error) => return refused(&error, settings),
    };
    let entry = application.adopt(Kind::Stream, channel);
    let description = application.description(entry.number.into());
    settled.describe(description);
    if let Some(blocks) = blocks {
        description.set(flag::NONBLOCKING, !blocks);
    }
    table::put(descriptor, Some(entry));
    epoll::migrate(descriptor, entry);
    drop(undisturbed);
    let socket = Socket::get(descriptor).ok_or(Errno::BADF)?;
    if description.has(flag::NONBLOCKING) {
        return Err(Errno::INPROGRESS);
    }
    socket.connected().map(|()| true)
}

/// What the server does not take, the kernel does, unless that is ruled out; all else is an error of the call.
fn refused(error: &std::io::Error, settings: &Settings) -> Result<bool, Errno> {
    match errno(error) {
        Errno::OPNOTSUPP if !settings.required => Ok(false),
        Errno::CONNRESET => Err(Errno::NETDOWN),
        error => Err(error),
    }
}

/// Whether a TCP socket is one of IPv6, and where it is bound. `None`: it is no TCP socket.
fn tcp_socket(descriptor: RawFd) -> Option<(bool, SocketAddr)> {
    if raw::option(descriptor, libc::SOL_SOCKET, libc::SO_PROTOCOL) != Ok(libc::IPPROTO_TCP) {
        return None;
    }
    let v6 = raw::option(descriptor, libc::SOL_SOCKET, libc::SO_DOMAIN).ok()? == libc::AF_INET6;
    let address = rustix::net::getsockname(raw::borrow(descriptor).ok()?).ok()?;
    Some((v6, SocketAddr::try_from(address).unwrap_or(UNBOUND)))
}

/// What was set on the kernel's socket before the server has it, and sets what it wants.
struct Settled {
    flags: u32,
    timeouts: [Duration; 2],
    linger: libc::linger,
    halves: [(Half, u16); 4],
}

impl Settled {
    fn on(descriptor: RawFd, v6: bool) -> Result<Settled, Errno> {
        use libc::{IPPROTO_TCP, SO_KEEPALIVE, SO_LINGER, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDTIMEO, SOL_SOCKET};
        let is_on = |level, name| raw::option(descriptor, level, name).is_ok_and(|value| value != 0);
        let status = raw::fcntl(descriptor, libc::F_GETFL, 0)?;
        let flags = [
            (flag::V6, v6),
            (flag::NONBLOCKING, status & libc::O_NONBLOCK as usize != 0),
            (flag::NO_DELAY, is_on(IPPROTO_TCP, libc::TCP_NODELAY)),
            (flag::CORK, is_on(IPPROTO_TCP, libc::TCP_CORK)),
            (flag::KEEP_ALIVE, is_on(SOL_SOCKET, SO_KEEPALIVE)),
            (flag::REUSE_ADDRESS, is_on(SOL_SOCKET, SO_REUSEADDR)),
        ];
        let nothing = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let off = libc::linger { l_onoff: 0, l_linger: 0 };
        let half = |half, level, name| (half, raw::option(descriptor, level, name).unwrap_or(0) as u16);
        Ok(Settled {
            flags: flags.into_iter().filter(|(_, on)| *on).fold(0, |flags, (flag, _)| flags | flag),
            timeouts: [SO_RCVTIMEO, SO_SNDTIMEO].map(|name| {
                let value = raw::option_of(descriptor, SOL_SOCKET, name, nothing).unwrap_or(nothing);
                crate::options::duration(value.tv_sec, value.tv_usec)
            }),
            linger: raw::option_of(descriptor, SOL_SOCKET, SO_LINGER, off).unwrap_or(off),
            halves: [
                half(Half::KeepIdle, IPPROTO_TCP, libc::TCP_KEEPIDLE),
                half(Half::KeepInterval, IPPROTO_TCP, libc::TCP_KEEPINTVL),
                half(Half::KeepCount, IPPROTO_TCP, libc::TCP_KEEPCNT),
                half(Half::Service, libc::IPPROTO_IP, libc::IP_TOS),
            ],
        })
    }

    fn describe(&self, description: Description<'_>) {
        description.set(self.flags, true);
        description.set_receive_timeout(self.timeouts[0]);
        description.set_send_timeout(self.timeouts[1]);
        description.set_linger(self.linger.l_onoff != 0, self.linger.l_linger.max(0) as u32);
        self.halves.iter().for_each(|(half, value)| description.set_half(*half, *value));
    }
}

/// accept4(2) of a listener.
pub(crate) fn accept(listener: &Socket, flags: i32) -> Result<(RawFd, Option<SocketAddr>), Errno> {
    if !listener.is_listener() || flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
        return Err(Errno::INVAL);
    }
    let description = listener.description();
    let impatient = description.has(flag::NONBLOCKING);
    let deadline = if impatient { None } else { description.receive_deadline() };
    let channels = |each: &mut dyn FnMut(&memnet::Channel)| {
        listener.application.each_slot(listener.entry, |channel| each(channel))
    };
    persist(listener.application, channels, true, (impatient, deadline), || accept_now(listener, flags))
}

fn accept_now(listener: &Socket, flags: i32) -> Result<(RawFd, Option<SocketAddr>), Errno> {
    if !listener.is_ready() {
        return Err(Errno::AGAIN);
    }
    if listener.application.is_gone() || listener.is_shut_down() {
        return Err(Errno::INVAL);
    }
    let application = listener.application;
    // First, for a connection that was taken out has to go somewhere.
    let mut placeholder = Some(placeholder(flags & libc::SOCK_CLOEXEC != 0)?);
    let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
    if application.sends() {
        // There is one left: the connection's own socket takes its place.
        drop(placeholder);
        placeholder = None;
    }
    let mut found = Err(Errno::AGAIN);
    let (mut at, mut count) = (0, 0);
    application.each_slot(listener.entry, |_| count += 1);
    let start = listener.description().turn() % count;
    // Twice around, from whose turn it is on, and once at most from each.
    for _ in 0..2 {
        application.each_slot(listener.entry, |engine| {
            if found.is_err() && (start..start + count).contains(&at) {
                match engine.accept_with(close_on_exec) {
                    Ok(Some(channel)) => found = Ok(channel),
                    Ok(None) => {}
                    Err(error) => found = Err(errno(&error)),
                }
            }
            at += 1;
        });
    }
    let mut channel = found?;
    let own = channel.take_socket();
    let entry = application.adopt(Kind::Stream, channel);
    let description = application.description(entry.number.into());
    description.inherit(listener.description());
    description.set(flag::CONNECT_TOLD | if own.is_some() { 0 } else { flag::PLACEHOLDER }, true);
    if flags & libc::SOCK_NONBLOCK != 0 {
        description.set(flag::NONBLOCKING, true);
    }
    let channel = application.channel(entry.number.into());
    let peer = channel.peer().ok().map(|peer| crate::address::in_family(peer, description.has(flag::V6)));
    let descriptor = own.or(placeholder).ok_or(Errno::IO)?.into_raw_fd();
    table::put(descriptor, Some(entry));
    Ok((descriptor, peer))
}

impl Socket {
    /// Of a listener: whether an accept would return at once.
    pub(crate) fn is_ready(&self) -> bool {
        let mut ready = self.application.is_gone() || self.is_shut_down();
        self.application.each_slot(self.entry, |engine| {
            ready = ready || engine.readable().map_or(true, |octets| octets > 0) || engine.error().is_some();
        });
        ready
    }

    /// Of a listener: whether shutdown(2) has ended it.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.channel().slot().commands() & afpa_channel::slot::command::DISCARD != 0
    }
}

/// A descriptor whose number stands for a connection.
pub(crate) fn placeholder(close_on_exec: bool) -> Result<OwnedFd, Errno> {
    let original = match PLACEHOLDER.get() {
        Some(original) => original,
        None => {
            let _undisturbed = Undisturbed::new();
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            PLACEHOLDER.get_or_init(|| set_aside(socket))
        }
    };
    let placeholder =
        if close_on_exec { rustix::io::fcntl_dupfd_cloexec(original, 0)? } else { rustix::io::dup(original)? };
    if table::has_place(placeholder.as_raw_fd()) { Ok(placeholder) } else { Err(Errno::MFILE) }
}

/// As [`release`], of a descriptor that is about to be closed. If it was a listener's last one, nobody connects to it
/// from now on, although the server has the kernel's socket for a moment longer.
pub(crate) fn release_closing(descriptor: RawFd, entry: Entry) {
    let application = Application::of(entry.application).filter(|_| entry.kind == Kind::Listener);
    match application {
        Some(application) if application.release(entry) => raw::shut_down(descriptor),
        Some(_) => {}
        None => release(Some(entry)),
    }
}

/// bind(2): an address that a listener has just had is free when its server has closed it as well.
pub(crate) fn bind(now: impl Fn() -> isize) -> isize {
    for _ in 0..PATIENCE.as_millis() {
        let result = now();
        if result >= 0 || raw::last() != Errno::ADDRINUSE || !is_wanted() {
            return result;
        }
        pause();
    }
    now()
}

fn pause() {
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let _ = rustix::event::poll(&mut [], Some(&pause));
}

/// The descriptor does not refer to the entry any more.
pub(crate) fn release(entry: Option<Entry>) {
    match entry {
        Some(entry) if entry.is_socket() => {
            if let Some(application) = Application::of(entry.application) {
                application.release(entry);
            }
        }
        Some(entry) if entry.kind == Kind::Epoll => epoll::release(entry),
        _ => {}
    }
}

/// One reference more to what a descriptor is, for a duplicate of it.
pub(crate) fn retain(descriptor: RawFd) -> Option<Entry> {
    match table::get(descriptor)? {
        entry if entry.is_socket() => Socket::get(descriptor).map(Socket::keep),
        entry if entry.kind == Kind::Epoll => epoll::retain(entry).then_some(entry),
        _ => None,
    }
}

/// Whether the environment wants anything offloaded.
pub(crate) fn is_wanted() -> bool {
    settings().is_some()
}

/// Before a fork: no other thread is about to attach.
pub(crate) fn hold() -> impl Sized {
    ATTACHING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At the start of the process: what it has inherited by exec.
pub(crate) fn begin() {
    if std::env::var_os(inheritance::VARIABLE).is_some() {
        inheritance::receive();
    }
}
