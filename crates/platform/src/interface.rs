//! Facts about a network interface, asked of the kernel in the caller's network namespace.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

/// The most octets of a name, the closing zero not included.
const NAME: usize = libc::IFNAMSIZ - 1;

/// Requests of ethtool.
const DRIVER_INFO: u32 = 0x03;
const CHANNELS: u32 = 0x3c;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// An interface, as it was when it was asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name, of 1 to 15 octets.
    pub name: String,
    /// Its index, by which the kernel knows it.
    pub index: u32,
    /// Its Ethernet address; `None` if it has no Ethernet frames.
    pub mac: Option<[u8; 6]>,
    /// Octets of the largest packet, without the link's header.
    pub mtu: u32,
    /// What it is.
    pub kind: Kind,
    /// Its driver, as ethtool knows it; empty if it does not.
    pub driver: String,
    /// Whether it was set up.
    pub is_up: bool,
    /// Queues for receiving that are in use, at least one.
    pub receive_queues: u32,
    /// Queues for sending that are in use, at least one.
    pub transmit_queues: u32,
}

/// What an interface is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The loopback.
    Loopback,
    /// One end of a pair (veth).
    Pair,
    /// Frames of a process (TAP).
    Tap,
    /// Packets of a process (TUN).
    Tun,
    /// A bridge, a bond, a VLAN, or another that stands on others.
    Stacked,
    /// A device, of hardware or of a hypervisor.
    Device,
    /// Something else without a device.
    Virtual,
}

impl Interface {
    /// The interface of that name.
    ///
    /// # Errors
    /// There is none, or the name is none.
    pub fn by_name(name: &str) -> io::Result<Interface> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "an interface's name has 1 to 15 octets");
        let text = CString::new(name).map_err(|_| invalid())?;
        if name.is_empty() || name.len() > NAME {
            return Err(invalid());
        }
        let query = Query::new(text.as_bytes())?;
        let index = query.integer(libc::SIOCGIFINDEX as libc::Ioctl)?.unsigned_abs();
        let (family, address) = query.hardware_address()?;
        let flags = query.flags()?;
        let (driver, bus) = query.driver();
        let (receive_queues, transmit_queues) = query.queues(name, index);
        Ok(Interface {
            name: name.to_owned(),
            index,
            mac: (family == libc::ARPHRD_ETHER).then_some(address),
            mtu: query.integer(libc::SIOCGIFMTU as libc::Ioctl)?.unsigned_abs(),
            kind: kind(family, &driver, &bus),
            driver,
            is_up: flags & libc::IFF_UP as i16 != 0,
            receive_queues,
            transmit_queues,
        })
    }

    /// The interface of that index.
    ///
    /// # Errors
    /// There is none.
    pub fn by_index(index: u32) -> io::Result<Interface> {
        Interface::by_name(&netdevice::index_to_name(control_socket()?, index)?)
    }
}

/// A socket to ask through, and the name to ask about.
struct Query {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rest: [u8; 64],
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    most: [u32; 4],
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

impl Query {
    /// `name` has at most [`NAME`] octets.
    fn new(name: &[u8]) -> io::Result<Query> {
        let mut text = [0; libc::IFNAMSIZ];
        for (target, octet) in text.iter_mut().zip(name.iter().take(NAME)) {
            *target = *octet as libc::c_char;
        }
        Ok(Query { socket: control_socket()?, name: text })
    }

    /// A fact that is one integer.
    fn integer(&self, request: libc::Ioctl) -> io::Result<i32> {
        // SAFETY: the requests for an index and for an MTU write one integer.
        unsafe { self.ask(request).map(|answer| answer.ifr_ifru.ifru_ifindex) }
    }

    fn flags(&self) -> io::Result<i16> {
        // SAFETY: the request writes the flags.
        unsafe { self.ask(libc::SIOCGIFFLAGS as libc::Ioctl).map(|answer| answer.ifr_ifru.ifru_flags) }
    }

    /// The kind of its frames, and its address if they are Ethernet's.
    fn hardware_address(&self) -> io::Result<(u16, [u8; 6])> {
        // SAFETY: the request writes a socket address of 14 octets.
        let address =
            unsafe { self.ask(libc::SIOCGIFHWADDR as libc::Ioctl).map(|answer| answer.ifr_ifru.ifru_hwaddr) }?;
        let mut octets = [0; 6];
        for (target, octet) in octets.iter_mut().zip(address.sa_data) {
            *target = octet as u8;
        }
        Ok((address.sa_family, octets))
    }

    /// The driver's name, and what it says its bus is.
    fn driver(&self) -> (String, String) {
        // SAFETY: integers only.
        let mut info: DriverInfo = unsafe { mem::zeroed() };
        info.command = DRIVER_INFO;
        // SAFETY: the command writes a `struct ethtool_drvinfo`, which this is.
        if unsafe { self.ethtool((&raw mut info).cast()) }.is_err() {
            return (String::new(), String::new());
        }
        (text(&info.driver), text(&info.bus))
    }

    /// The queues in use, for receiving and for sending.
    fn queues(&self, name: &str, index: u32) -> (u32, u32) {
        let mut channels = Channels { command: CHANNELS, ..Channels::default() };
        // SAFETY: the command writes a `struct ethtool_channels`, which this is.
        if unsafe { self.ethtool((&raw mut channels).cast()) }.is_ok() {
            let (receive, transmit) = (
                channels.receive.saturating_add(channels.combined),
                channels.transmit.saturating_add(channels.combined),
            );
            if receive > 0 && transmit > 0 {
                return (receive, transmit);
            }
        }
        listed_queues(name, index)
    }

    /// # Safety
    /// The request must be one that writes into a `struct ifreq`.
    unsafe fn ask(&self, request: libc::Ioctl) -> io::Result<libc::ifreq> {
        // SAFETY: integers only.
        let mut answer: libc::ifreq = unsafe { mem::zeroed() };
        answer.ifr_name = self.name;
        // SAFETY: the kernel reads the name and writes the answer, within the structure.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), request, &raw mut answer) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
    }

    /// # Safety
    /// `data` must point at what its command, its first integer, reads and writes.
    unsafe fn ethtool(&self, data: *mut libc::c_char) -> io::Result<()> {
        // SAFETY: integers only.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        request.ifr_name = self.name;
        request.ifr_ifru.ifru_data = data;
        // SAFETY: passed on to the caller.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The queues that sysfs lists, if it shows this network namespace's interface; else one of each.
fn listed_queues(name: &str, index: u32) -> (u32, u32) {
    let directory = format!("/sys/class/net/{name}");
    let shown = fs::read_to_string(format!("{directory}/ifindex")).ok().and_then(|text| text.trim().parse().ok());
    if shown != Some(index) {
        return (1, 1);
    }
    let names =
        fs::read_dir(format!("{directory}/queues")).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let (mut receive, mut transmit) = (0, 0);
    for name in names {
        let name = name.as_encoded_bytes();
        receive += u32::from(name.starts_with(b"rx-"));
        transmit += u32::from(name.starts_with(b"tx-"));
    }
    (receive.max(1), transmit.max(1))
}

fn kind(family: u16, driver: &str, bus: &str) -> Kind {
    match (driver, bus) {
        _ if family == libc::ARPHRD_LOOPBACK => Kind::Loopback,
        ("veth", _) => Kind::Pair,
        ("tun", "tap") => Kind::Tap,
        ("tun", _) => Kind::Tun,
        ("bridge" | "bonding" | "team" | "802.1Q VLAN Support" | "macvlan" | "ipvlan" | "openvswitch", _) => {
            Kind::Stacked
        }
        ("dummy" | "ifb" | "vxlan" | "geneve" | "wireguard", _) => Kind::Virtual,
        ("", _) => Kind::Virtual,
        _ => Kind::Device,
    }
}

fn control_socket() -> io::Result<OwnedFd> {
    let family = [AddressFamily::INET, AddressFamily::INET6];
    let open = |family| socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    // A kernel without IPv4 has no sockets of it.
    open(family[0]).or_else(|_| open(family[1])).map_err(Into::into)
}

/// The text in front of the first zero.
fn text(octets: &[u8]) -> String {
    let text = octets.split(|&octet| octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_known_by_name_and_index() {
        let loopback = Interface::by_name("lo").unwrap();
        assert_eq!((loopback.kind, loopback.mac), (Kind::Loopback, None));
        assert!(loopback.mtu >= 1280);
        assert_eq!(Interface::by_index(loopback.index).unwrap(), loopback);
    }

    #[test]
    fn what_is_no_interface_is_an_error() {
        for name in ["", "no-such-if", "a name of more than fifteen octets", "nul\0"] {
            assert!(Interface::by_name(name).is_err(), "{name:?}");
        }
        assert!(Interface::by_index(u32::MAX).is_err());
    }

    #[test]
    fn drivers_tell_what_an_interface_is() {
        let cases = [
            (libc::ARPHRD_ETHER, "veth", "", Kind::Pair),
            (libc::ARPHRD_ETHER, "tun", "tap", Kind::Tap),
            (libc::ARPHRD_NONE, "tun", "tun", Kind::Tun),
            (libc::ARPHRD_ETHER, "bridge", "N/A", Kind::Stacked),
            (libc::ARPHRD_ETHER, "virtio_net", "0000:00:03.0", Kind::Device),
            (libc::ARPHRD_ETHER, "", "", Kind::Virtual),
        ];
        for (family, driver, bus, expected) in cases {
            assert_eq!(kind(family, driver, bus), expected, "{driver}");
        }
    }
}
