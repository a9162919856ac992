//! How a socket is made: its options, its filter, the interface that it is bound to, its group.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::net::sockopt;

use super::{PacketConfig, Shield, Spread};

/// Opens a socket and has it see what the shield lists; in `group`, or in a new one if frames are to be
/// spread.
pub(super) fn open(config: &PacketConfig, shield: &Shield, group: Option<u16>) -> io::Result<(OwnedFd, Option<u16>)> {
    let socket = new_socket()?;
    for (option, what) in [
        (libc::PACKET_VNET_HDR, "packet sockets of this kernel take no large segments"),
        (libc::PACKET_IGNORE_OUTGOING, "a packet socket that ignores what leaves needs Linux 4.20"),
    ] {
        // SAFETY: the kernel reads one integer.
        unsafe { set(&socket, libc::SOL_PACKET, option, &1i32) }.map_err(|error| explained(&error, what))?;
    }
    set_buffers(&socket, config);
    // Until it has joined its group the socket would see what the others have.
    see_nothing(&socket)?;
    bind(&socket, config.interface)?;
    let group = config.spread.map(|spread| join(&socket, spread, group)).transpose()?;
    // SAFETY: the kernel reads one integer, a program's descriptor.
    unsafe { set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &shield.select().as_raw_fd()) }
        .map_err(|error| explained(&error, "the packet socket's filter cannot be attached"))?;
    Ok((socket, group))
}

/// Frames that the kernel passed to the socket, and that it dropped in front of it, since it was last asked.
pub(super) fn counted(socket: &OwnedFd) -> io::Result<(u64, u64)> {
    // SAFETY: integers only; all zeros is a value of the structure.
    let counted: libc::tpacket_stats = unsafe { get(socket, libc::PACKET_STATISTICS)? };
    let lost = u64::from(counted.tp_drops);
    Ok((u64::from(counted.tp_packets).saturating_sub(lost), lost))
}

/// A socket without a protocol: it sees nothing until it is bound.
fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor and touches no memory.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                explained(&error, "a packet socket needs the capability CAP_NET_RAW: run it as root, or grant it")
            }
            Some(libc::EAFNOSUPPORT) => {
                explained(&error, "the kernel was built without packet sockets (CONFIG_PACKET)")
            }
            _ => explained(&error, "no packet socket can be made"),
        });
    }
    // SAFETY: just made, and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Beyond the administrator's limits only with privilege; without, they are what there is.
fn set_buffers(socket: &OwnedFd, config: &PacketConfig) {
    if sockopt::set_socket_recv_buffer_size_force(socket, config.receive_buffer).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, config.receive_buffer);
    }
    if sockopt::set_socket_send_buffer_size_force(socket, config.send_buffer).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(socket, config.send_buffer);
    }
}

/// Attaches a filter that lets nothing through.
fn see_nothing(socket: &OwnedFd) -> io::Result<()> {
    const RETURN: u16 = 6;
    let mut nothing = libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    // SAFETY: the kernel reads the structure, and one instruction where it points.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
}

fn bind(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    // SAFETY: integers only; all zeros is a value of the structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    // Sockets for all protocols see a frame before any program on the ingress drops it.
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads `size` octets of the address.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::ENODEV) => explained(&error, "there is no such interface in this network namespace"),
        Some(libc::ENETDOWN) => explained(&error, "the interface is down"),
        _ => explained(&error, "the packet socket cannot be bound to the interface"),
    })
}

/// Joins the group, or begins one; its number.
fn join(socket: &OwnedFd, spread: Spread, group: Option<u16>) -> io::Result<u16> {
    let spread = match spread {
        Spread::Flow => libc::PACKET_FANOUT_HASH,
        Spread::Processor => libc::PACKET_FANOUT_CPU,
    };
    let unique = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
    let wanted: u32 = (spread | unique) << 16 | u32::from(group.unwrap_or_default());
    // SAFETY: the kernel reads one integer.
    unsafe { set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &wanted) }
        .map_err(|error| explained(&error, "the packet socket cannot join its group"))?;
    // SAFETY: the kernel writes one integer.
    let joined: u32 = unsafe { get(socket, libc::PACKET_FANOUT)? };
    Ok(joined as u16)
}

/// # Safety
/// `T` must be what the kernel reads for the option.
unsafe fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads at most `size` octets of the value.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// `T` must be what the kernel writes for the option, and valid if all or some of it is zero.
unsafe fn get<T>(socket: &OwnedFd, option: libc::c_int) -> io::Result<T> {
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the caller says that zeros are a value.
    let mut value: T = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most `size` octets of the value.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, (&raw mut value).cast(), &raw mut size)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

fn explained(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
