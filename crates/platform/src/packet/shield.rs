//! Which packets are ours: a socket's filter lets only those through, and a program behind it keeps them
//! from the kernel.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::bpf::object::Object;
use crate::bpf::system::{self, Kind, Map};
pub use crate::steering::Protocol;

const OBJECT: &[u8] = include_bytes!("../../bpf/shield.bpf.o");
/// BPF_PROG_TYPE_SOCKET_FILTER.
const SELECT: Kind = Kind { program: 1, attach: 0, flags: 0 };
/// BPF_PROG_TYPE_SCHED_CLS at BPF_TCX_INGRESS.
const SHIELD: Kind = Kind { program: 3, attach: 46, flags: 0 };
/// Before the programs that are there: one of them might have the last word (BPF_F_BEFORE).
const FIRST: u32 = 1 << 3;
/// The programs' sections and names.
const SELECT_NAMES: (&str, &str) = ("socket", "afpa_select");
const SHIELD_NAMES: (&str, &str) = ("tcx.ingress", "afpa_shield");

/// Entries of the tables, as the program has them.
const SERVICES: u32 = 4_096;
const RANGES: u32 = 1_024;
/// Octets of a service's, or a host's, key.
const KEY: usize = 20;

/// Packets that the shield has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShieldCounters {
    /// Left to the kernel: not for us.
    pub passed: u64,
    /// Kept from the kernel: packet sockets have them.
    pub dropped: u64,
}

/// The lists of what is ours, and the program on an interface's ingress that keeps it from the kernel, which
/// would answer with resets (TCP) and errors (UDP).
///
/// It runs behind packet sockets, which see each frame first, before other programs that are attached there, and
/// before the kernel's firewall. It is attached by a link, which the kernel takes away when the process ends,
/// however it ends; dropping it takes it away as well. Shared by the engines.
///
/// What is bounded: 4,096 services, 1,024 ranges of ports; beyond them the answer is an error.
pub struct Shield {
    /// Holds the program where it is.
    _link: OwnedFd,
    /// The filter of the sockets.
    select: OwnedFd,
    services: Map,
    ranges: Map,
    counters: Map,
    /// How often each service is listed: engines come and go, and the last takes it away.
    listed: Mutex<HashMap<[u8; KEY], usize>>,
}

impl Shield {
    /// Attaches the program to an interface of this network namespace, by its index. Nothing is listed yet.
    ///
    /// # Errors
    /// What is missing, in one sentence: a privilege, Linux 6.6, the interface.
    pub fn attach(interface: u32) -> io::Result<Shield> {
        let mut object = parse(SHIELD_NAMES.0)?;
        let tables = object.tables.iter().map(Map::create).collect::<io::Result<Vec<_>>>();
        let tables = tables.map_err(|error| explained("a table for the shield cannot be made", error))?;
        let descriptors: Vec<i32> = tables.iter().map(|table| table.as_fd().as_raw_fd()).collect();
        let shield = load(&mut object, SHIELD, SHIELD_NAMES.1, &descriptors)?;
        let mut selecting = parse(SELECT_NAMES.0)?;
        let select = load(&mut selecting, SELECT, SELECT_NAMES.1, &descriptors)?;
        let link = system::link(SHIELD, shield.as_fd(), interface, FIRST).map_err(why_not_attached)?;
        let mut tables: HashMap<&str, Map> = object.tables.iter().map(|table| table.name).zip(tables).collect();
        let mut take = |name| tables.remove(name).ok_or(io::ErrorKind::InvalidData);
        Ok(Shield {
            _link: link,
            select,
            services: take("services")?,
            ranges: take("ranges")?,
            counters: take("counters")?,
            listed: Mutex::default(),
        })
    }

    /// Takes what is addressed to `local` from the kernel. An unspecified address is any address of its
    /// version. To be undone by as many [`Shield::unsteer`]. List it before the first packet comes, or the
    /// kernel answers that.
    ///
    /// # Errors
    /// The table is full.
    pub fn steer(&self, protocol: Protocol, local: SocketAddr) -> io::Result<()> {
        let key = key(local.ip(), local.port(), protocol);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = listed.entry(key).or_default();
        if *count == 0
            && let Err(error) = self.services.set(&key, &1u32.to_ne_bytes())
        {
            listed.remove(&key);
            return Err(explained(&format!("of {SERVICES} services none can be added"), error));
        }
        *count += 1;
        Ok(())
    }

    /// Leaves what is addressed to `local` to the kernel again, if nobody else lists it. What is not listed is
    /// no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn unsteer(&self, protocol: Protocol, local: SocketAddr) -> io::Result<()> {
        let key = key(local.ip(), local.port(), protocol);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        match listed.get_mut(&key) {
            None => Ok(()),
            Some(count) if *count > 1 => {
                *count -= 1;
                Ok(())
            }
            Some(_) => {
                listed.remove(&key);
                forgive_absence(self.services.remove(&key))
            }
        }
    }

    /// Takes TCP segments to these ports of `local`, our own connections', from the kernel. An address has
    /// one range: another takes its place.
    ///
    /// The kernel's own connections must leave from other ports (ip_local_port_range).
    ///
    /// # Errors
    /// The range is empty, or the table is full.
    pub fn steer_range(&self, local: IpAddr, ports: RangeInclusive<u16>) -> io::Result<()> {
        if ports.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the range of ports is empty"));
        }
        let [first, last] = [ports.start().to_ne_bytes(), ports.end().to_ne_bytes()];
        let added = self.ranges.set(&host(local), &[first[0], first[1], last[0], last[1]]);
        added.map_err(|error| explained(&format!("of {RANGES} ranges of ports none can be added"), error))
    }

    /// Leaves the ports of `local` that [`Shield::steer_range`] listed to the kernel again.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn unsteer_range(&self, local: IpAddr) -> io::Result<()> {
        forgive_absence(self.ranges.remove(&host(local)))
    }

    /// What the shield has seen so far.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn counters(&self) -> io::Result<ShieldCounters> {
        Ok(ShieldCounters { passed: self.counters.sum(0)?, dropped: self.counters.sum(1)? })
    }

    /// The program that lets a socket have what is listed, and ICMP errors about it.
    pub(super) fn select(&self) -> BorrowedFd<'_> {
        self.select.as_fd()
    }
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").finish_non_exhaustive()
    }
}

fn parse(section: &str) -> io::Result<Object<'static>> {
    Object::parse(OBJECT, section).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn load(object: &mut Object<'_>, kind: Kind, name: &str, tables: &[i32]) -> io::Result<OwnedFd> {
    object.relocate(tables);
    system::load(kind, &object.instructions, object.license, name).map_err(|(error, reason)| {
        if reason.is_empty() {
            return explained("a program for the shield cannot be loaded", error);
        }
        explained(&format!("the kernel refused the program {name} ({reason})"), error)
    })
}

fn why_not_attached(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EINVAL) => {
            explained("frames from a packet socket need Linux 6.6 (programs on an interface's ingress, TCX)", error)
        }
        Some(libc::ENODEV) => explained("there is no such interface in this network namespace", error),
        _ => explained("the shield cannot be attached to the interface", error),
    }
}

/// A service's key, as the program has it.
fn key(address: IpAddr, port: u16, protocol: Protocol) -> [u8; KEY] {
    let mut key = [0; KEY];
    let version = match address.to_canonical() {
        IpAddr::V4(address) => {
            key[..4].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            key[..16].copy_from_slice(&address.octets());
            6
        }
    };
    key[16..18].copy_from_slice(&port.to_be_bytes());
    key[18..].copy_from_slice(&[protocol as u8, version]);
    key
}

/// The key of a host that our own connections leave from, as the program has it.
fn host(address: IpAddr) -> [u8; KEY] {
    let mut key = key(address, 0, Protocol::Tcp);
    key.copy_within(18.., 16);
    key[18..].fill(0);
    key
}

fn forgive_absence(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.raw_os_error() == Some(libc::ENOENT) { Ok(()) } else { Err(error) })
}

fn explained(what: &str, error: io::Error) -> io::Error {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ": run it as root, or grant it CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW",
        Some(libc::ENOSYS) => ": the kernel has no bpf(2), or a seccomp filter hides it",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{what}{remedy}: {error}"))
}
