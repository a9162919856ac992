//! Datagrams of many peers on one socket: each with its peer's address and, where it was asked for, with the address
//! that it was sent to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Octets of an address, IPv6's being the longer one.
pub(crate) const NAME: usize = size_of::<libc::sockaddr_in6>();
/// Octets for the control message that tells the destination, and some to spare.
pub(crate) const CONTROL: usize = 64;

/// A datagram that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to, for sockets that tell it.
    pub to: Option<IpAddr>,
    /// The datagram.
    pub octets: &'a [u8],
    /// It was longer than the room for it; `octets` is its beginning.
    pub is_truncated: bool,
}

/// Has a socket tell with each datagram which of our addresses it was sent to (IP_PKTINFO, IPV6_RECVPKTINFO).
///
/// # Errors
/// Not an Internet datagram socket.
pub fn tell_destination(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = match is_ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads one int from the address of one.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives a datagram without waiting, into `buffer`. `None` if its peer has no address.
///
/// # Errors
/// `WouldBlock` if there is none.
pub fn receive_datagram<'a>(socket: BorrowedFd<'_>, buffer: &'a mut [u8]) -> io::Result<Option<Arrival<'a>>> {
    let (mut name, mut control) = (Aligned([0; NAME]), Aligned([0; CONTROL]));
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = empty_header();
    (header.msg_name, header.msg_namelen) = (name.0.as_mut_ptr().cast(), NAME as u32);
    (header.msg_iov, header.msg_iovlen) = (&raw mut piece, 1);
    (header.msg_control, header.msg_controllen) = (control.0.as_mut_ptr().cast(), CONTROL);
    // SAFETY: the kernel writes to the name, the control data and the buffer, each at most as long as said here.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let Some(from) = name.0.get(..header.msg_namelen as usize).and_then(socket_address) else { return Ok(None) };
    let to = control.0.get(..header.msg_controllen).and_then(destination);
    let is_truncated = header.msg_flags & libc::MSG_TRUNC != 0;
    Ok(Some(Arrival { from, to, octets: &buffer[..length], is_truncated }))
}

#[repr(C, align(8))]
struct Aligned<const LENGTH: usize>([u8; LENGTH]);

/// One datagram to be sent. Reused: clearing keeps its memory.
pub struct Datagram {
    /// What it says.
    pub octets: Vec<u8>,
    name: Name,
    control: Control,
    header: libc::msghdr,
    piece: libc::iovec,
}

/// The peer's address, in either form.
struct Name {
    four: libc::sockaddr_in,
    six: libc::sockaddr_in6,
    is_six: bool,
}

/// The address to send from, in either form.
enum Control {
    Any,
    Four(FromFour),
    Six(FromSix),
}

#[repr(C, align(8))]
struct FromFour {
    header: libc::cmsghdr,
    info: libc::in_pktinfo,
}

#[repr(C, align(8))]
struct FromSix {
    header: libc::cmsghdr,
    info: libc::in6_pktinfo,
}

impl Default for Datagram {
    fn default() -> Datagram {
        let four = name_of_four(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let six = name_of_six(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        let piece = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let name = Name { four, six, is_six: false };
        Datagram { octets: Vec::new(), name, control: Control::Any, header: empty_header(), piece }
    }
}

impl Datagram {
    /// Says where it goes, and which of our addresses it comes from; `None` leaves that to the kernel.
    pub fn address(&mut self, to: SocketAddr, from: Option<IpAddr>) {
        self.name.is_six = to.is_ipv6();
        let interface = match to {
            SocketAddr::V4(to) => {
                self.name.four = name_of_four(to);
                0
            }
            SocketAddr::V6(to) => {
                self.name.six = name_of_six(to);
                to.scope_id()
            }
        };
        self.control = match from {
            None => Control::Any,
            Some(IpAddr::V4(from)) => Control::Four(FromFour::new(from)),
            // An address that is valid on one link only is nothing without the link.
            Some(IpAddr::V6(from)) if from.is_unicast_link_local() => Control::Six(FromSix::new(from, interface)),
            Some(IpAddr::V6(from)) => Control::Six(FromSix::new(from, 0)),
        };
    }

    /// Sends it at once, unless that would have to wait.
    ///
    /// # Errors
    /// It is lost; `WouldBlock` if the socket's queue is full.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        let sent = if self.is_plain() {
            let (name, length) = self.name();
            // SAFETY: the kernel reads the octets and the name, each as long as said here.
            unsafe { libc::sendto(fd, self.octets.as_ptr().cast(), self.octets.len(), flags, name, length) }
        } else {
            let message = self.message();
            // SAFETY: the message and what it points to are this datagram's, and are not changed meanwhile.
            unsafe { libc::sendmsg(fd, message, flags) }
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether the kernel may choose the address that it leaves from.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.control, Control::Any)
    }

    /// The peer's address, as the kernel reads it while this is neither moved nor changed.
    pub(crate) fn name(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self.name.is_six {
            false => ((&raw const self.name.four).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t),
            true => ((&raw const self.name.six).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t),
        }
    }

    /// All of it, as SENDMSG reads it while this is neither moved nor changed.
    pub(crate) fn message(&mut self) -> *const libc::msghdr {
        let (name, name_length) = self.name();
        self.piece = libc::iovec { iov_base: self.octets.as_mut_ptr().cast(), iov_len: self.octets.len() };
        (self.header.msg_name, self.header.msg_namelen) = (name.cast_mut().cast(), name_length);
        (self.header.msg_iov, self.header.msg_iovlen) = (&raw mut self.piece, 1);
        (self.header.msg_control, self.header.msg_controllen) = match &mut self.control {
            Control::Any => (std::ptr::null_mut(), 0),
            Control::Four(from) => (std::ptr::from_mut(from).cast(), size_of::<FromFour>()),
            Control::Six(from) => (std::ptr::from_mut(from).cast(), size_of::<FromSix>()),
        };
        &raw const self.header
    }
}

impl FromFour {
    fn new(from: Ipv4Addr) -> FromFour {
        let source = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
        let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } };
        FromFour { header: control_header(libc::IPPROTO_IP, libc::IP_PKTINFO, size_of_val(&info)), info }
    }
}

impl FromSix {
    fn new(from: Ipv6Addr, interface: u32) -> FromSix {
        let ipi6_addr = libc::in6_addr { s6_addr: from.octets() };
        let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: interface };
        FromSix { header: control_header(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of_val(&info)), info }
    }
}

pub(crate) fn empty_header() -> libc::msghdr {
    // SAFETY: all zeroes is a message without name, pieces and control data.
    unsafe { std::mem::zeroed() }
}

fn control_header(level: libc::c_int, kind: libc::c_int, length: usize) -> libc::cmsghdr {
    libc::cmsghdr { cmsg_len: size_of::<libc::cmsghdr>() + length, cmsg_level: level, cmsg_type: kind }
}

fn name_of_four(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn name_of_six(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
        sin6_scope_id: address.scope_id(),
    }
}

/// Reads a `sockaddr_in` or a `sockaddr_in6`.
pub(crate) fn socket_address(name: &[u8]) -> Option<SocketAddr> {
    let family = libc::c_int::from(u16::from_ne_bytes(*name.first_chunk()?));
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    match family {
        libc::AF_INET => {
            let address: [u8; 4] = *name.get(4..)?.first_chunk()?;
            Some(SocketAddr::V4(SocketAddrV4::new(address.into(), port)))
        }
        libc::AF_INET6 => {
            let flow = u32::from_ne_bytes(*name.get(4..)?.first_chunk()?);
            let address: [u8; 16] = *name.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
            Some(SocketAddr::V6(SocketAddrV6::new(address.into(), port, flow, scope)))
        }
        _ => None,
    }
}

/// The address that a datagram was sent to, if it is one that an answer can be sent from.
pub(crate) fn destination(mut control: &[u8]) -> Option<IpAddr> {
    const START: usize = size_of::<libc::cmsghdr>();
    const WORD: usize = size_of::<usize>();
    loop {
        let length = usize::from_ne_bytes(*control.first_chunk()?);
        let level = i32::from_ne_bytes(*control.get(START - 8..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*control.get(START - 4..)?.first_chunk()?);
        let data = control.get(START..length)?;
        match (level, kind) {
            // The interface's index comes first, then the local address, which is not a broadcast's.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let address: [u8; 4] = *data.get(4..)?.first_chunk()?;
                return Some(Ipv4Addr::from(address).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let address = Ipv6Addr::from(*data.first_chunk::<16>()?);
                return Some(address.into()).filter(|_| !address.is_multicast());
            }
            _ => control = control.get(length.next_multiple_of(WORD)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_kernel_writes_is_survived(octets in vec(any::<u8>(), 0..200)) {
            let _ = (socket_address(&octets), destination(&octets));
        }

        #[test]
        fn control_data_of_any_length_ends(lengths in vec(0u64..100, 1..8)) {
            let octets: Vec<u8> = lengths.iter().flat_map(|length| length.to_ne_bytes()).collect();
            let _ = destination(&octets);
        }
    }
}
