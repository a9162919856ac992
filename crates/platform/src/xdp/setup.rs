//! How a socket is made: memory, queues, options, and the queue of the interface that it is bound to.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::epoll;

use super::link::{Link, Maps};
use super::ring::{Descriptor, RingMap};
use super::{BusyPoll, FRAMES, Mode, ONE_CHUNK_MTU, XdpConfig, XdpStatistics};
use crate::interface::Interface;
use crate::memory::{Arena, Frames};

/// Octets of the send buffer for each descriptor: a chunk and what the kernel adds. It doubles what it is
/// told.
const SEND_BUFFER: u32 = (4096 + 1024) / 2;
/// The most pieces that a system call sends in copy mode (XDP_MAX_TX_SKB_BUDGET).
const MAX_SEND_BUDGET: libc::c_int = 9;
/// How often a queue that is taken is asked for, and the time in between: the kernel frees a queue a little
/// after its socket was closed.
const BIND_ATTEMPTS: u32 = 100;
const BIND_WAIT: Duration = Duration::from_millis(10);

/// Opens a socket; over the memory of `other` if there is one.
pub(super) fn open(config: &XdpConfig, other: Option<&Link>) -> io::Result<Link> {
    let receive_entries = config.frames.clamp(*FRAMES.start(), *FRAMES.end()).next_power_of_two();
    let transmit_entries = 2 * receive_entries;
    let socket = new_socket()?;
    match other {
        Some(other) if !Arc::ptr_eq(&other.arena, &config.arena) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the sockets' arenas are not the same"));
        }
        Some(_) => {}
        None => config.arena.fix().map_err(|error| explained(&error, "the cache's memory cannot be registered"))?,
    }
    let (receive_frames, transmit_frames) = (frames(config, receive_entries)?, frames(config, receive_entries)?);
    if other.is_none() {
        register(&socket, &config.arena)?;
    }
    let maps = queues(&socket, receive_entries, transmit_entries)?;
    set_send_buffer(&socket, transmit_entries * SEND_BUFFER);
    // SAFETY: the kernel reads one integer. Before Linux 6.17 it has no such option, and sends 32 pieces.
    let _ = unsafe { set(&socket, MAX_SEND_BUDGET, &transmit_entries) };
    if let Some(busy_poll) = config.busy_poll {
        set_busy_poll(&socket, busy_poll)?;
    }
    let scatter = bind(&socket, config, other)?;
    let readiness = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&readiness, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let zero_copy = is_zero_copy(&socket)?;
    Ok(Link {
        socket: Some(socket),
        readiness,
        maps: Some(maps),
        arena: config.arena.clone(),
        receive_frames: Some(receive_frames),
        transmit_frames: Some(transmit_frames),
        unsent: RefCell::default(),
        is_sending: Cell::new(false),
        interface: config.interface,
        queue: config.queue,
        scatter,
        zero_copy,
        busy_poll: config.busy_poll.is_some(),
        receive_entries,
        transmit_entries,
    })
}

/// Whether this process can make a socket.
pub(super) fn probe() -> io::Result<()> {
    new_socket().map(drop)
}

/// What the kernel counted for a socket.
pub(super) fn statistics(socket: &OwnedFd) -> io::Result<XdpStatistics> {
    // SAFETY: the kernel fills integers in; all zeros is a value of the structure.
    let counted: libc::xdp_statistics = unsafe { option(socket, libc::XDP_STATISTICS)? };
    Ok(XdpStatistics {
        receive_dropped: counted.rx_dropped,
        receive_ring_full: counted.rx_ring_full,
        fill_ring_empty: counted.rx_fill_ring_empty_descs,
        fill_invalid: counted.rx_invalid_descs,
        transmit_invalid: counted.tx_invalid_descs,
        transmit_ring_empty: counted.tx_ring_empty_descs,
    })
}

fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor and touches no memory.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => explained(&error, "an AF_XDP socket needs the capability CAP_NET_RAW"),
            Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
                explained(&error, "the kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)")
            }
            _ => explained(&error, "no AF_XDP socket can be made"),
        });
    }
    // SAFETY: just made, and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn frames(config: &XdpConfig, count: u32) -> io::Result<Frames> {
    let octets = u64::from(count) * Frames::CHUNK as u64;
    let fits = octets <= config.arena.capacity() / 4;
    fits.then(|| Frames::allocate(&config.arena, count as usize)).flatten().ok_or_else(|| {
        let needed = 4 * octets / (1 << 20);
        let message = format!(
            "{count} frames do not fit into the cache's memory: a queue with that many needs {needed} MiB, \
             of which half is left to the cache"
        );
        io::Error::new(io::ErrorKind::OutOfMemory, message)
    })
}

fn register(socket: &OwnedFd, arena: &Arena) -> io::Result<()> {
    // SAFETY: integers only.
    let mut memory: libc::xdp_umem_reg = unsafe { mem::zeroed() };
    memory.addr = arena.base().as_ptr().expose_provenance() as u64;
    memory.len = arena.span();
    memory.chunk_size = Frames::CHUNK as u32;
    // SAFETY: the arena is mapped, populated, and never punched or remapped (`Arena::fix`); the kernel
    // holds its pages on its own, and writes to chunks that are put into the fill queue only.
    unsafe { set(socket, libc::XDP_UMEM_REG, &memory) }.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOBUFS) => explained(
            &error,
            "the cache's memory exceeds what may be locked: raise the limit (LimitMEMLOCK=infinity, \
             ulimit -l) or grant CAP_IPC_LOCK",
        ),
        _ => explained(&error, "the kernel does not take the cache's memory"),
    })
}

/// Makes the queues and maps them.
fn queues(socket: &OwnedFd, receive: u32, transmit: u32) -> io::Result<Maps> {
    let sizes = [
        (libc::XDP_UMEM_FILL_RING, receive),
        (libc::XDP_RX_RING, receive),
        (libc::XDP_UMEM_COMPLETION_RING, transmit),
        (libc::XDP_TX_RING, transmit),
    ];
    for (name, entries) in sizes {
        // SAFETY: the kernel reads one integer.
        unsafe { set(socket, name, &entries) }.map_err(|error| explained(&error, "no room for a socket's queues"))?;
    }
    // SAFETY: integers only.
    let offsets: libc::xdp_mmap_offsets = unsafe { option(socket, libc::XDP_MMAP_OFFSETS)? };
    let socket = socket.as_fd();
    Ok(Maps {
        received: RingMap::map::<Descriptor>(socket, offsets.rx, receive, libc::XDP_PGOFF_RX_RING as u64)?,
        fill: RingMap::map::<u64>(socket, offsets.fr, receive, libc::XDP_UMEM_PGOFF_FILL_RING)?,
        transmit: RingMap::map::<Descriptor>(socket, offsets.tx, transmit, libc::XDP_PGOFF_TX_RING as u64)?,
        completed: RingMap::map::<u64>(socket, offsets.cr, transmit, libc::XDP_UMEM_PGOFF_COMPLETION_RING)?,
    })
}

/// Binds the socket to its queue; whether frames may consist of several pieces.
fn bind(socket: &OwnedFd, config: &XdpConfig, other: Option<&Link>) -> io::Result<bool> {
    let bound = match other {
        // The kernel takes the other flags from the first socket.
        Some(other) => {
            bind_with(socket, config, libc::XDP_SHARED_UMEM, other.socket().as_raw_fd()).map(|()| other.scatter)
        }
        None => bind_as_well_as_possible(socket, config),
    };
    bound.map_err(|error| {
        let queue = config.queue;
        let what = match error.raw_os_error() {
            Some(libc::ENODEV) => "there is no such interface".to_owned(),
            Some(libc::ENETDOWN) => "the interface is down: set it up (ip link set dev ... up)".to_owned(),
            Some(libc::EBUSY) => format!("queue {queue} of the interface belongs to another AF_XDP socket"),
            Some(libc::EINVAL) => {
                format!("the interface has no queue {queue}, or another program uses it: choose fewer queues")
            }
            Some(libc::EOPNOTSUPP) if config.mode == Mode::ZeroCopy => {
                "the interface's driver has no zero-copy mode: choose copy or auto".to_owned()
            }
            _ => format!("queue {queue} of the interface cannot be bound"),
        };
        explained(&error, &what)
    })
}

/// Tries one way after the other, as long as it is the driver or the kernel's age that stands against it.
fn bind_as_well_as_possible(socket: &OwnedFd, config: &XdpConfig) -> io::Result<bool> {
    let mut outcome = Err(io::ErrorKind::Unsupported.into());
    for (mode, scatter) in ways(config) {
        let scattering = if scatter { libc::XDP_USE_SG } else { 0 };
        outcome = bind_with(socket, config, mode | scattering | libc::XDP_USE_NEED_WAKEUP, 0).map(|()| scatter);
        let of_driver = |error: &io::Error| {
            !matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENETDOWN | libc::EBUSY | libc::EPERM))
        };
        if !outcome.as_ref().is_err_and(of_driver) {
            break;
        }
    }
    outcome
}

/// Modes, and whether frames may consist of several pieces: the best first. Where a driver cannot do it with several
/// pieces, one copy of ours is less than the kernel's. Before Linux 6.6 several pieces were unknown.
fn ways(config: &XdpConfig) -> impl Iterator<Item = (u16, bool)> {
    let modes: &[u16] = match config.mode {
        Mode::Auto => &[libc::XDP_ZEROCOPY, libc::XDP_COPY],
        Mode::Copy => &[libc::XDP_COPY],
        Mode::ZeroCopy => &[libc::XDP_ZEROCOPY],
    };
    let scattering: &[bool] = if config.scatter { &[true, false] } else { &[false] };
    let is_choice = config.mode == Mode::Auto && config.scatter;
    let one_will_do = !is_choice || Interface::by_index(config.interface).is_ok_and(|facts| facts.mtu <= ONE_CHUNK_MTU);
    let all = modes.iter().flat_map(|mode| scattering.iter().map(|scatter| (*mode, *scatter)));
    all.filter(move |(mode, scatter)| one_will_do || *scatter || *mode == libc::XDP_COPY)
}

fn bind_with(socket: &OwnedFd, config: &XdpConfig, flags: u16, other: i32) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: config.interface,
        sxdp_queue_id: config.queue,
        sxdp_shared_umem_fd: other.unsigned_abs(),
    };
    let length = size_of_val(&address) as libc::socklen_t;
    for attempt in 1.. {
        // SAFETY: the kernel reads an address of that length.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) || attempt == BIND_ATTEMPTS {
            return Err(error);
        }
        thread::sleep(BIND_WAIT);
    }
    Ok(())
}

fn is_zero_copy(socket: &OwnedFd) -> io::Result<bool> {
    // SAFETY: integers only.
    let options: libc::xdp_options = unsafe { option(socket, libc::XDP_OPTIONS)? };
    Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
}

/// Lets the kernel hold as much for the device as fits into the queue. A smaller buffer is no error: then
/// less is under way at a time.
fn set_send_buffer(socket: &OwnedFd, octets: u32) {
    let octets = octets as libc::c_int;
    // SAFETY: the kernel reads one integer.
    let forced = unsafe { set_at(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &octets) };
    if forced.is_err() {
        // SAFETY: as above.
        let _ = unsafe { set_at(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &octets) };
    }
}

fn set_busy_poll(socket: &OwnedFd, busy_poll: BusyPoll) -> io::Result<()> {
    let settings = [
        (libc::SO_PREFER_BUSY_POLL, 1),
        (libc::SO_BUSY_POLL, busy_poll.microseconds),
        (libc::SO_BUSY_POLL_BUDGET, busy_poll.budget),
    ];
    for (name, value) in settings {
        // SAFETY: the kernel reads one integer.
        unsafe { set_at(socket, libc::SOL_SOCKET, name, &value) }.map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => explained(&error, "busy polling needs the capability CAP_NET_ADMIN"),
            Some(libc::ENOPROTOOPT) => {
                explained(&error, "the kernel was built without busy polling (CONFIG_NET_RX_BUSY_POLL)")
            }
            _ => explained(&error, "busy polling takes at most 2147483647 µs, and a budget of at most 65535 frames"),
        })?;
    }
    Ok(())
}

/// # Safety
/// The option must be one of AF_XDP that the kernel reads a `T` for.
unsafe fn set<T>(socket: &OwnedFd, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: passed on to the caller.
    unsafe { set_at(socket, libc::SOL_XDP, name, value) }
}

/// # Safety
/// The option must be one that the kernel reads a `T` for.
unsafe fn set_at<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` octets at the address of a value of that size.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// The option must be one of AF_XDP that the kernel fills a `T` of integers in for; an older kernel may
/// leave the end of it zero.
unsafe fn option<T>(socket: &OwnedFd, name: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` octets at the address of a value of that size.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    // SAFETY: zeros are a value of `T`, and so is what the kernel wrote over them.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { value.assume_init() }) }
}

/// The error with a sentence that says what it means here.
fn explained(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what} ({error})"))
}
