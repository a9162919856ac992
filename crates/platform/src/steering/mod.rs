//! Which frames leave the kernel's hands: an XDP program on the interface sends those of listed services to
//! AF_XDP sockets. Everything else reaches the kernel as ever.
//!
//! The program is `bpf/steer.bpf.c`, and what the compiler made of it is part of this crate. It is attached
//! by a link, which the kernel takes away when the process ends, however it ends.
//!
//! Where an engine lends it an [`Assistance`], the program also does the stateless part of the handshake. Where engines
//! leave it [`Answers`], it also gives those to datagrams that ask for them.
//!
//! What is bounded: 4,096 services, 1,024 ranges of ports, 256 queues; beyond them the answer is an error.

mod answers;
mod assistance;
mod error;
mod rehearsal;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bpf::object::{Object, Table, Unreadable};
use crate::bpf::system::{self, Kind, Map};
use crate::interface::Interface;
use crate::xdp::XdpSocket;
use answers::Tables;
pub use answers::{Admission, Answer, Answers, AnswersCounters, Asks, Subject, Unsuitable};
pub use assistance::{Assistance, CookieKey, Parameters};
pub use error::SteeringError;
pub use rehearsal::{Rehearsal, Verdict};

const OBJECT: &[u8] = include_bytes!("../../bpf/steer.bpf.o");
/// The section of the program: of XDP, for frames of several pieces.
const SECTION: &str = "xdp.frags";
const NAME: &str = "afpa_steer";
/// BPF_PROG_TYPE_XDP at BPF_XDP; the program knows that a frame may have several pieces (BPF_F_XDP_HAS_FRAGS).
const STEER: Kind = Kind { program: 6, attach: 37, flags: 1 << 5 };

/// Entries of the tables, as the program has them.
const SERVICES: u32 = 4096;
const RANGES: u32 = 1024;
const QUEUES: u32 = 256;

/// Bits of a listed service's value.
const STEERED: u32 = 1;
const HAS_ANSWERS: u32 = 2;

/// Flags of a link.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// Octets of a service's, or a host's, key.
const KEY: usize = 20;

/// What carries a service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// Where the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AttachMode {
    /// In the driver if it can, else in the kernel's receive path.
    #[default]
    Auto,
    /// In the driver, before the kernel makes a packet of the frame.
    Native,
    /// In the kernel's receive path: works with every driver, and costs more.
    Generic,
}

/// Frames that the program has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SteeringCounters {
    /// Left to the kernel: not for us.
    pub passed: u64,
    /// Sent to a socket.
    pub steered: u64,
    /// For us, but their queue had no socket: left to the kernel.
    pub no_socket: u64,
    /// SYNs answered by the program itself.
    pub answered: u64,
    /// Acknowledgments without news that were dropped.
    pub absorbed: u64,
}

/// What the program has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Engines that are assisted, 1 to 256: each takes 320 KiB of the kernel's memory.
    pub engines: u32,
    /// Answers that are left to it, of 0.9 KiB of the kernel's memory each; 0: none can be.
    pub answers: u32,
}

/// A program on an interface; dropping it takes the program away. Shared by the engines.
pub struct Steering {
    /// Holds the program where it is.
    _link: OwnedFd,
    interface: u32,
    mode: AttachMode,
    services: Map,
    ranges: Map,
    sockets: Map,
    counters: Map,
    areas: Map,
    homes: Map,
    /// `None` without room for any.
    answers: Option<Answers>,
    /// Areas for engines.
    engines: u32,
    /// How many areas were lent.
    lent: AtomicU32,
    listed: Mutex<Listed>,
}

/// What services are listed as.
#[derive(Default)]
struct Listed {
    /// How often each: engines come and go, and the last takes it away.
    counts: HashMap<[u8; KEY], usize>,
    /// Those that answers are left for, listed or not.
    answered: HashSet<[u8; KEY]>,
}

impl Listed {
    /// The value of a service in the program's table.
    fn value(&self, key: &[u8; KEY]) -> [u8; 4] {
        (STEERED | if self.answered.contains(key) { HAS_ANSWERS } else { 0 }).to_ne_bytes()
    }
}

/// Whether the kernel takes the program from this process. It is attached to nothing.
///
/// # Errors
/// Who is at fault, and what helps.
pub fn probe() -> Result<(), SteeringError> {
    load(Room::ONE).map(drop)
}

impl Steering {
    /// Attaches the program to an interface of this network namespace, by its index. It steers nothing yet.
    ///
    /// # Errors
    /// Who is at fault, and what helps.
    pub fn attach(interface: u32, mode: AttachMode) -> Result<Steering, SteeringError> {
        Steering::attach_with(interface, mode, Room::ONE)
    }

    /// The same, with room for so many engines (1 to 256) to be assisted: each takes 320 KiB of the kernel's memory.
    ///
    /// # Errors
    /// Who is at fault, and what helps.
    pub fn attach_for(interface: u32, mode: AttachMode, engines: u32) -> Result<Steering, SteeringError> {
        Steering::attach_with(interface, mode, Room { engines, ..Room::ONE })
    }

    /// The same, with room for engines and answers.
    ///
    /// # Errors
    /// Who is at fault, and what helps.
    pub fn attach_with(interface: u32, mode: AttachMode, room: Room) -> Result<Steering, SteeringError> {
        let room = Room { engines: room.engines.clamp(1, QUEUES), ..room };
        let (program, mut maps) = load(room)?;
        // The kernel's answer would be the same as for a driver that does not suit.
        Interface::by_index(interface).map_err(|_| SteeringError::NoInterface)?;
        let (link, mode) = attach(&program, interface, mode)?;
        let answers = if room.answers > 0 { Some(share(&maps)?) } else { None };
        let mut take = |name| maps.remove(name).ok_or_else(|| unreadable(Unreadable));
        Ok(Steering {
            _link: link,
            interface,
            mode,
            services: take("services")?,
            ranges: take("ranges")?,
            sockets: take("sockets")?,
            counters: take("counters")?,
            areas: take("areas")?,
            homes: take("homes")?,
            answers,
            engines: room.engines,
            lent: AtomicU32::new(0),
            listed: Mutex::default(),
        })
    }

    /// Where the program runs: never [`AttachMode::Auto`].
    pub fn mode(&self) -> AttachMode {
        self.mode
    }

    /// Sends frames that arrive on `queue` to `socket`, which is of that queue. The kernel forgets the socket
    /// when it is closed.
    ///
    /// # Errors
    /// The socket is of another interface or queue, the queue is beyond the table, or the kernel refused.
    pub fn add_socket(&self, queue: u32, socket: &XdpSocket) -> Result<(), SteeringError> {
        if (socket.interface(), socket.queue()) != (self.interface, queue) {
            return Err(SteeringError::WrongSocket);
        }
        let descriptor = socket.socket().as_raw_fd();
        self.sockets.set(&queue.to_ne_bytes(), &descriptor.to_ne_bytes()).map_err(|error| match error.raw_os_error() {
            Some(libc::E2BIG) => SteeringError::NoSuchQueue { queue },
            _ => SteeringError::System { step: "adding a socket to the XDP program", error },
        })
    }

    /// The same for sockets of several queues.
    ///
    /// # Errors
    /// As [`Steering::add_socket`].
    pub fn add_sockets(&self, sockets: &[XdpSocket]) -> Result<(), SteeringError> {
        sockets.iter().try_for_each(|socket| self.add_socket(socket.queue(), socket))
    }

    /// Sends what is addressed to `local` to the sockets. An unspecified address is any address of its
    /// version. To be undone by as many [`Steering::unsteer`].
    ///
    /// # Errors
    /// The table is full.
    pub fn steer(&self, protocol: Protocol, local: SocketAddr) -> Result<(), SteeringError> {
        let key = key(local.ip(), local.port().to_be_bytes(), protocol);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if !listed.counts.contains_key(&key) {
            self.services.set(&key, &listed.value(&key)).map_err(|error| full(error, SERVICES))?;
        }
        *listed.counts.entry(key).or_default() += 1;
        Ok(())
    }

    /// Leaves what is addressed to `local` to the kernel again, if nobody else steers it. What is not steered
    /// is no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn unsteer(&self, protocol: Protocol, local: SocketAddr) -> Result<(), SteeringError> {
        let key = key(local.ip(), local.port().to_be_bytes(), protocol);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        match listed.counts.get_mut(&key) {
            None => Ok(()),
            Some(count) if *count > 1 => {
                *count -= 1;
                Ok(())
            }
            Some(_) => {
                listed.counts.remove(&key);
                forgive_absence(self.services.remove(&key))
            }
        }
    }

    /// Sends TCP segments to these ports of `local`, our own connections', to the sockets. An address has
    /// one range: another takes its place.
    ///
    /// The kernel's own connections must leave from other ports (ip_local_port_range).
    ///
    /// # Errors
    /// The range is empty, or the table is full.
    pub fn steer_range(&self, local: IpAddr, ports: RangeInclusive<u16>) -> Result<(), SteeringError> {
        if ports.is_empty() {
            return Err(SteeringError::EmptyRange);
        }
        let [first, last] = [ports.start().to_ne_bytes(), ports.end().to_ne_bytes()];
        let range = [first[0], first[1], last[0], last[1]];
        self.ranges.set(&host(local), &range).map_err(|error| full(error, RANGES))
    }

    /// Leaves the ports of `local` that [`Steering::steer_range`] listed to the kernel again.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn unsteer_range(&self, local: IpAddr) -> Result<(), SteeringError> {
        forgive_absence(self.ranges.remove(&host(local)))
    }

    /// Lends an engine what it needs to have the stateless part of its handshakes done by the program, for the
    /// frames of these queues.
    ///
    /// # Errors
    /// There is no room for another engine, a queue is beyond the table, or the kernel refused.
    pub fn assist(&self, queues: &[u32]) -> Result<Assistance, SteeringError> {
        let place = self.lent.fetch_add(1, Ordering::Relaxed);
        if place >= self.engines {
            return Err(SteeringError::TableFull { entries: self.engines });
        }
        lend(&self.areas, &self.homes, place, queues)
    }

    /// The answers that are left to the program. Nothing is answered before [`Answers::turn_on`], nor for a service
    /// without [`Steering::answer_at`].
    ///
    /// # Errors
    /// The program was attached without room for answers.
    pub fn answers(&self) -> Result<Answers, SteeringError> {
        self.answers.clone().ok_or(SteeringError::NoAnswers)
    }

    /// Has the program answer datagrams to `local`, whenever that is steered, or leave them all to engines.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn answer_at(&self, local: SocketAddr, is_answered: bool) -> Result<(), SteeringError> {
        let key = key(local.ip(), local.port().to_be_bytes(), Protocol::Udp);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if is_answered {
            listed.answered.insert(key);
        } else {
            listed.answered.remove(&key);
        }
        if listed.counts.contains_key(&key) {
            self.services.set(&key, &listed.value(&key)).map_err(|error| full(error, SERVICES))?;
        }
        Ok(())
    }

    /// What the program has seen so far.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn counters(&self) -> Result<SteeringCounters, SteeringError> {
        let read = |index| {
            let step = "reading the XDP program's counters";
            self.counters.sum(index).map_err(|error| SteeringError::System { step, error })
        };
        Ok(SteeringCounters {
            passed: read(0)?,
            steered: read(1)?,
            no_socket: read(2)?,
            answered: read(3)?,
            absorbed: read(4)?,
        })
    }
}

impl Room {
    const ONE: Room = Room { engines: 1, answers: 0 };
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("mode", &self.mode).finish_non_exhaustive()
    }
}

fn create(table: &Table<'_>) -> Result<Map, SteeringError> {
    Map::create(table).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) if table.name == "sockets" => SteeringError::NoXdpSockets,
        _ => SteeringError::of_loading("making a table for the XDP program", error),
    })
}

/// The area at `place`, for these queues.
fn lend(areas: &Map, homes: &Map, place: u32, queues: &[u32]) -> Result<Assistance, SteeringError> {
    let failed = |error| SteeringError::System { step: "mapping a table of the XDP program", error };
    let assistance = Assistance::map(areas.as_fd(), place).map_err(failed)?;
    for queue in queues {
        let home = (place + 1).to_ne_bytes();
        homes.set(&queue.to_ne_bytes(), &home).map_err(|error| match error.raw_os_error() {
            Some(libc::E2BIG) => SteeringError::NoSuchQueue { queue: *queue },
            _ => SteeringError::System { step: "naming a queue's engine to the XDP program", error },
        })?;
    }
    Ok(assistance)
}

/// The answers in these tables, which are a program's.
fn share(maps: &HashMap<&'static str, Map>) -> Result<Answers, SteeringError> {
    let failed = |error| SteeringError::System { step: "sharing the XDP program's tables of answers", error };
    let table = |name| maps.get(name).ok_or_else(|| unreadable(Unreadable));
    let clone = |name| table(name)?.try_clone().map_err(failed);
    let tables = Tables { answers: clone("answers")?, networks: clone("networks")?, counters: clone("counters")? };
    Answers::new(tables, table("answering")?.as_fd()).map_err(failed)
}

/// Loads the program with new tables, by name, that have this room.
fn load(room: Room) -> Result<(OwnedFd, HashMap<&'static str, Map>), SteeringError> {
    let mut object = Object::parse(OBJECT, SECTION).map_err(unreadable)?;
    for table in &mut object.tables {
        match table.name {
            "areas" => table.entries = room.engines,
            "answers" => table.entries = room.answers.max(1),
            _ => {}
        }
    }
    let maps = object.tables.iter().map(create).collect::<Result<Vec<_>, _>>()?;
    let descriptors: Vec<i32> = maps.iter().map(|map| map.as_fd().as_raw_fd()).collect();
    object.relocate(&descriptors);
    let program = system::load(STEER, &object.instructions, object.license, NAME).map_err(|(error, reason)| {
        if reason.is_empty() {
            SteeringError::of_loading("loading the XDP program", error)
        } else {
            SteeringError::Refused { reason }
        }
    })?;
    Ok((program, object.tables.iter().map(|table| table.name).zip(maps).collect()))
}

fn unreadable(error: Unreadable) -> SteeringError {
    SteeringError::Refused { reason: error.to_string() }
}

fn attach(program: &OwnedFd, interface: u32, mode: AttachMode) -> Result<(OwnedFd, AttachMode), SteeringError> {
    let link = |flags, mode| {
        let linked = system::link(STEER, program.as_fd(), interface, flags);
        linked.map(|link| (link, mode)).map_err(|error| SteeringError::of_attaching(error, mode))
    };
    match mode {
        AttachMode::Native => link(NATIVE, mode),
        AttachMode::Generic => link(GENERIC, mode),
        AttachMode::Auto => match link(NATIVE, AttachMode::Native) {
            Err(error) if error.is_of_driver() => link(GENERIC, AttachMode::Generic),
            linked => linked,
        },
    }
}

/// A service's key, as the program has it.
fn key(address: IpAddr, port: [u8; 2], protocol: Protocol) -> [u8; KEY] {
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
    key[16..18].copy_from_slice(&port);
    key[18] = protocol as u8;
    key[19] = version;
    key
}

/// The key of a host that our own connections leave from, as the program has it.
fn host(address: IpAddr) -> [u8; KEY] {
    let service = key(address, [0; 2], Protocol::Tcp);
    let mut host = [0; KEY];
    host[..16].copy_from_slice(&service[..16]);
    host[16..18].copy_from_slice(&service[18..]);
    host
}

fn full(error: io::Error, entries: u32) -> SteeringError {
    match error.raw_os_error() {
        Some(libc::E2BIG) => SteeringError::TableFull { entries },
        _ => SteeringError::System { step: "adding an entry to a table of the XDP program", error },
    }
}

fn forgive_absence(removed: io::Result<()>) -> Result<(), SteeringError> {
    match removed {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
            Err(SteeringError::System { step: "removing an entry from a table of the XDP program", error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
