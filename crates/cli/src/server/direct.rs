//! The direct transport's part of a server: the interface, who steers its frames to us, and each
//! engine's queues.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use afpa_direct::frames::FrameDevice;
use afpa_direct::frames::xdp::XdpDevice;
use afpa_direct::{Direct, DirectConfig};
use afpa_engine::TransportId;
use afpa_engine::seam::{Address, Listen, Owner};
use afpa_platform::interface::{Interface, Kind};
use afpa_platform::memory::Arena;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::{AttachMode, Protocol, Steering};
use afpa_platform::xdp::{Mode, XdpConfig, XdpSocket};
use afpa_tcp as tcp;
use afpa_wire::MacAddress;

use super::doors::Door;
use super::observed::Observed;
use crate::config::{self, Config, Transport};

/// Frames of each queue, received and sent each: 16 MiB in all.
const FRAMES: u32 = 2048;
/// Octets of a frame's memory, in both directions.
const FRAME_OCTETS: u64 = 2 * 4096;

/// An interface whose frames go to engines. Dropping the last of it gives them back to the kernel.
pub(super) struct Wire {
    facts: Interface,
    config: config::Direct,
    steering: Steering,
    /// Engines that share the interface's queues.
    engines: u32,
    addresses: Vec<SocketAddr>,
}

/// What the frames of `engines` engines take of the arena.
pub(super) fn frame_memory(config: &Config) -> u64 {
    match (config.transport, &config.direct.interface) {
        (Transport::Direct, Some(name)) => {
            let queues = Interface::by_name(name).map_or(1, |facts| facts.receive_queues);
            u64::from(queues) * u64::from(FRAMES) * FRAME_OCTETS * 2
        }
        _ => 0,
    }
}

/// How many engines the interface has work for; as many as wanted with the sockets transport.
///
/// # Errors
/// There is no such interface.
pub(super) fn engines(config: &Config, wanted: usize) -> Result<usize, String> {
    if config.transport == Transport::Sockets {
        return Ok(wanted);
    }
    let name = config.direct.interface.as_deref().unwrap_or_default();
    let facts = Interface::by_name(name).map_err(|error| error.to_string())?;
    let queues = config.direct.queues.unwrap_or(facts.receive_queues).min(facts.receive_queues);
    Ok(wanted.min(queues.max(1) as usize))
}

impl Wire {
    /// Takes the frames of every door's address away from the kernel; `None` with the sockets transport.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(super) fn open(config: &Config, doors: &[Door], engines: usize) -> Result<Option<Arc<Wire>>, String> {
        let (Transport::Direct, Some(name)) = (config.transport, &config.direct.interface) else { return Ok(None) };
        let facts = Interface::by_name(name).map_err(|error| error.to_string())?;
        if !facts.is_up {
            return Err(format!("{name} is down; set it up: ip link set {name} up"));
        }
        let steering = Steering::attach(facts.index, AttachMode::Auto).map_err(|error| format!("{name}: {error}"))?;
        let addresses: Vec<SocketAddr> = doors.iter().filter_map(Door::inet).collect();
        for address in &addresses {
            steering.steer(Protocol::Tcp, *address).map_err(|error| format!("{name}: {error}"))?;
        }
        let config = config.direct.clone();
        Ok(Some(Arc::new(Wire { facts, config, steering, engines: engines as u32, addresses })))
    }

    /// The transport of engine `number`, listening for `owner`.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(super) fn transport(
        &self,
        number: u32,
        id: TransportId,
        max_connections: u32,
        arena: &Arc<Arena>,
        owner: Owner,
    ) -> Result<Direct, String> {
        let name = &self.facts.name;
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{name} cannot {what}: {error}");
        let device = self.device(number, arena)?;
        let kernel = Netlink::subscribe(self.facts.index).map_err(|error| failed("tell its neighbours", &error))?;
        let link_address = self.facts.mac.ok_or_else(|| format!("{name} has no Ethernet frames; choose another"))?;
        let config = DirectConfig {
            transport: id,
            link_address: MacAddress(link_address),
            addresses: Vec::new(),
            mtu: u16::try_from(self.facts.mtu).unwrap_or(u16::MAX),
            tcp: self.tcp(max_connections),
            seed: seed().map_err(|error| failed("be given random numbers", &error))?,
        };
        let mut direct = Direct::new(&config, device, Some(kernel)).map_err(|error| failed("be slept on", &error))?;
        for address in &self.addresses {
            let listen = Listen::Stream(Address::Inet(*address));
            direct.listen(&listen, owner).map_err(|error| format!("{name} cannot listen to {address}: {error}"))?;
        }
        Ok(direct)
    }

    /// The transport, for other threads.
    pub(super) fn observe(&self, direct: &Direct) -> Observed {
        Observed {
            stats: direct.stats(),
            observer: direct.observer(),
            frames: direct.device(),
            interface: self.facts.name.clone(),
            congestion: match self.config.congestion {
                config::Congestion::Reno => "reno",
                config::Congestion::Cubic => "cubic",
            },
        }
    }

    fn device(&self, number: u32, arena: &Arc<Arena>) -> Result<Box<dyn FrameDevice>, String> {
        let name = &self.facts.name;
        let failed = |queue: u32, error: &dyn std::fmt::Display| format!("queue {queue} of {name}: {error}");
        let mut sockets = Vec::new();
        for queue in (0..self.facts.receive_queues).filter(|queue| queue % self.engines == number) {
            let config = XdpConfig {
                interface: self.facts.index,
                queue,
                arena: arena.clone(),
                frames: FRAMES,
                mode: Mode::Auto,
                scatter: true,
                busy_poll: None,
            };
            let socket = match sockets.first() {
                None => XdpSocket::open(&config),
                Some(first) => XdpSocket::open_beside(&config, first),
            };
            let socket = socket.map_err(|error| failed(queue, &error))?;
            self.steering.add_socket(queue, &socket).map_err(|error| failed(queue, &error))?;
            sockets.push(socket);
        }
        let first = match sockets.is_empty() {
            true => return Err(format!("{name} has fewer queues than there are engines; choose fewer --cores")),
            false => sockets.remove(0),
        };
        Ok(Box::new(XdpDevice::new(first, sockets, self.config.zero_copy)))
    }

    fn tcp(&self, max_connections: u32) -> tcp::Config {
        let config = &self.config;
        let shares = |whole: u64| whole / u64::from(self.engines);
        let keep_alive = (config.keep_alive.0 > Duration::ZERO).then(|| tcp::KeepAlive {
            idle: config.keep_alive.0,
            interval: Duration::from_secs(75),
            probes: 9,
        });
        tcp::Config {
            max_connections,
            handshake: match config.handshake {
                config::Handshake::Cookies => tcp::Handshake::Cookies,
                config::Handshake::Queue => tcp::Handshake::Queue { entries: 1024 },
            },
            // RFC 9112 §9: HTTP's client speaks first.
            accept_on_data: config.handshake == config::Handshake::Cookies,
            receive_window: u32::try_from(config.receive_window.0).unwrap_or(u32::MAX),
            send_buffer: u32::try_from(config.send_buffer.0).unwrap_or(u32::MAX),
            receive_memory: shares(config.memory.0),
            time_wait_entries: shares(u64::from(config.time_wait_entries)) as u32,
            keep_alive,
            congestion_control: match config.congestion {
                config::Congestion::Reno => tcp::CongestionControl::NewReno,
                config::Congestion::Cubic => tcp::CongestionControl::Cubic,
            },
            mtu: u16::try_from(self.facts.mtu).unwrap_or(u16::MAX),
            // On a cable that is none, nobody completes the checksums that the peer's kernel left to a device.
            partial_checksums: matches!(self.facts.kind, Kind::Pair | Kind::Tap),
            checksum: match config.checksum {
                config::Checksum::Stored => tcp::Checksum::Stored,
                config::Checksum::Computed => tcp::Checksum::Computed,
            },
            ..tcp::Config::default()
        }
    }
}

/// What peers must not guess.
fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
