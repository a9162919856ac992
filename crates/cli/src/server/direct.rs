//! The direct transport's part of a server: the interface, who steers its frames to us, and each
//! engine's part of it.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use afpa_direct::{Direct, DirectConfig};
use afpa_engine::TransportId;
use afpa_engine::seam::{Address, Listen};
use afpa_platform::interface::{Interface, Kind};
use afpa_platform::memory::Arena;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::{Answers, Protocol};
use afpa_tcp as tcp;
use afpa_wire::MacAddress;

use super::doors::{Door, Service};
use super::engine::Owners;
use super::frames::{FRAMES, Frames};
use super::observed::Observed;
use super::reach;
use crate::config::{self, Config, Transport};

/// Octets of a frame's memory, in both directions.
const FRAME_OCTETS: u64 = 2 * 4096;
/// The most queues of a TAP device, and sockets of a group.
const MAX_QUEUES: usize = 256;
/// Of a link address: it was given by nobody's factory (IEEE 802 §8.2).
const LOCALLY_ADMINISTERED: u8 = 2;

/// An interface whose frames go to engines. Dropping the last of it gives them back to the kernel.
pub(crate) struct Wire {
    frames: Frames,
    config: config::Direct,
    /// Engines that share the interface's queues.
    engines: u32,
    /// Whoever connects speaks first.
    clients_begin: bool,
    addresses: Vec<(Service, SocketAddr)>,
}

/// What the frames of `engines` engines take of the arena.
pub(super) fn frame_memory(config: &Config) -> u64 {
    match config.transport {
        Transport::Direct => memory_of(&config.direct),
        Transport::Sockets => 0,
    }
}

/// What the frames of an interface take of an arena.
pub(crate) fn memory_of(direct: &config::Direct) -> u64 {
    let is_in_arena = matches!(direct.frames, config::Frames::Auto | config::Frames::Xdp);
    match &direct.interface {
        Some(name) if is_in_arena => {
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
    match config.transport {
        Transport::Sockets => Ok(wanted),
        Transport::Direct => engines_for(&config.direct, wanted),
    }
}

/// How many engines the interface has work for.
///
/// # Errors
/// There is no such interface.
pub(crate) fn engines_for(direct: &config::Direct, wanted: usize) -> Result<usize, String> {
    if matches!(direct.frames, config::Frames::Packet | config::Frames::Tap) {
        // Frames are spread over as many sockets or queues as there are engines.
        let queues = direct.queues.map_or(MAX_QUEUES, |queues| queues.max(1) as usize);
        return Ok(wanted.min(queues).min(MAX_QUEUES));
    }
    let name = direct.interface.as_deref().unwrap_or_default();
    let facts = Interface::by_name(name).map_err(|error| format!("there is no interface {name}: {error}"))?;
    let queues = direct.queues.unwrap_or(facts.receive_queues).min(facts.receive_queues);
    Ok(wanted.min(queues.max(1) as usize))
}

impl Wire {
    /// Opens the interface; `None` with the sockets transport. The kernel keeps all frames that it had.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(super) fn open(config: &Config, engines: usize) -> Result<Option<Wire>, String> {
        match config.transport {
            Transport::Sockets => Ok(None),
            // RFC 9112 §9: HTTP's client speaks first.
            Transport::Direct => Wire::of(&config.direct, engines, true),
        }
    }

    /// Opens the interface that is named, if one is. Whether whoever connects speaks first decides when a connection is one.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(crate) fn of(config: &config::Direct, engines: usize, clients_begin: bool) -> Result<Option<Wire>, String> {
        let Some(name) = &config.interface else { return Ok(None) };
        let engines = engines as u32;
        let frames = Frames::open(config, name, engines)?;
        Ok(Some(Wire { frames, config: config.clone(), engines, clients_begin, addresses: Vec::new() }))
    }

    /// The interface's name.
    pub(crate) fn name(&self) -> &str {
        &self.frames.interface.name
    }

    /// Takes the frames of TCP for an address away from the kernel, until it is left to it as often.
    ///
    /// # Errors
    /// The table is full: a sentence with the remedy.
    pub(crate) fn take(&self, address: SocketAddr) -> Result<(), String> {
        self.frames.steer(Protocol::Tcp, address).map_err(|error| format!("{}: {error}", self.name()))
    }

    /// Leaves them to the kernel.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn leave(&self, address: SocketAddr) -> Result<(), String> {
        self.frames.unsteer(Protocol::Tcp, address).map_err(|error| format!("{}: {error}", self.name()))
    }

    /// Whether the listeners' addresses are those of a host of our own, which the kernel does not have.
    pub(crate) fn is_host(&self) -> bool {
        self.frames.is_host()
    }

    /// Takes note of the doors. The kernel keeps their frames.
    ///
    /// # Errors
    /// A door gets no frame of this interface: a sentence with the remedy.
    pub(super) fn expect(&mut self, doors: &[Door]) -> Result<(), String> {
        let Interface { name, index, is_up, .. } = &self.frames.interface;
        self.addresses = doors.iter().filter_map(|door| Some((door.service, door.inet()?))).collect();
        let addresses: Vec<SocketAddr> = self.addresses.iter().map(|(_, address)| *address).collect();
        if self.is_host() {
            reach::check_host(name, &addresses)?;
        } else {
            reach::check(name, *index, &addresses)?;
        }
        if !is_up {
            tracing::info!("{name} is down: give the kernel's end an address, and set it up: ip link set {name} up");
        }
        Ok(())
    }

    /// Takes the frames of every door's address away from the kernel, for the transports that there are by now.
    ///
    /// # Errors
    /// The table is full: a sentence with the remedy.
    pub(super) fn steer(&self) -> Result<(), String> {
        let name = &self.frames.interface.name;
        for (service, address) in &self.addresses {
            self.frames.steer(Protocol::Tcp, *address).map_err(|error| format!("{name}: {error}"))?;
            if *service == Service::Dns {
                self.frames.steer(Protocol::Udp, *address).map_err(|error| format!("{name}: {error}"))?;
                if self.config.driver_answers {
                    self.frames.answer_at(*address).map_err(|error| format!("{name}: {error}"))?;
                }
            }
        }
        Ok(())
    }

    /// The transport of engine `number`, listening for `owners`.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(crate) fn transport(
        &self,
        number: u32,
        id: TransportId,
        max_connections: u32,
        arena: &Arc<Arena>,
        owners: Owners,
    ) -> Result<Direct, String> {
        let Interface { name, index, mac, mtu, .. } = &self.frames.interface;
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{name} cannot {what}: {error}");
        let device = self.frames.device(number, self.engines, arena, &self.config)?;
        let kernel = Netlink::subscribe(*index).map_err(|error| failed("tell its neighbours", &error))?;
        let link_address = mac.ok_or_else(|| format!("{name} has no Ethernet frames; choose another"))?;
        let is_host = self.is_host();
        let config = DirectConfig {
            transport: id,
            link_address: MacAddress(if is_host { other_end(link_address) } else { link_address }),
            addresses: if is_host { self.hosts() } else { Vec::new() },
            is_host,
            mtu: u16::try_from(*mtu).unwrap_or(u16::MAX),
            tcp: self.tcp(max_connections),
            seed: random().map_err(|error| failed("be given random numbers", &error))?,
        };
        let mut direct = Direct::new(&config, device, Some(kernel)).map_err(|error| failed("be slept on", &error))?;
        if self.config.driver_handshake {
            self.assist(&mut direct, number)?;
        }
        for (service, address) in &self.addresses {
            let mut listen = |to: Listen| {
                let listener = direct.listen(&to, owners.of(*service));
                listener.map(drop).map_err(|error| format!("{name} cannot listen to {address}: {error}"))
            };
            listen(Listen::Stream(Address::Inet(*address)))?;
            if *service == Service::Dns {
                listen(Listen::Datagram(*address))?;
            }
        }
        Ok(direct)
    }

    /// What the driver may be left answers by, if it is to have any; else why not is said. It answers nothing until it is
    /// turned on.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(super) fn answers(&self) -> Result<Option<Answers>, String> {
        if !self.config.driver_answers {
            return Ok(None);
        }
        let name = &self.frames.interface.name;
        let Some(answers) = self.frames.answers().map_err(|error| format!("{name}: {error}"))? else {
            tracing::warn!("the driver of {name} answers nothing: that takes frames = \"xdp\"");
            return Ok(None);
        };
        if self.frames.interface.kind == Kind::Pair {
            tracing::warn!("the driver's answers wait in {name} unless the other end has an XDP program, too");
        }
        Ok(Some(answers))
    }

    /// On a cable that is none, nobody completes the checksums that the peer's kernel left to a device.
    pub(super) fn has_partial_checksums(&self) -> bool {
        matches!(self.frames.interface.kind, Kind::Pair | Kind::Tap)
    }

    /// Has the driver do the stateless part of the engine's handshakes, if it can.
    fn assist(&self, direct: &mut Direct, number: u32) -> Result<(), String> {
        let name = &self.frames.interface.name;
        if self.config.handshake != config::Handshake::Cookies {
            tracing::warn!("the driver of {name} answers no SYN: that takes handshake = \"cookies\"");
            return Ok(());
        }
        match self.frames.assistance(number, self.engines)? {
            Some(assistance) => direct.assist(assistance),
            None => tracing::warn!("the driver of {name} answers no SYN: that takes frames = \"xdp\""),
        }
        Ok(())
    }

    /// The transport, for other threads.
    pub(crate) fn observe(&self, direct: &Direct) -> Observed {
        Observed {
            stats: direct.stats(),
            observer: direct.observer(),
            frames: direct.device(),
            interface: self.frames.interface.name.clone(),
            congestion: match self.config.congestion {
                config::Congestion::Reno => "reno",
                config::Congestion::Cubic => "cubic",
            },
        }
    }

    /// The addresses of our own host.
    fn hosts(&self) -> Vec<IpAddr> {
        let mut hosts: Vec<IpAddr> = self.addresses.iter().map(|(_, address)| address.ip()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
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
            accept_on_data: self.clients_begin && config.handshake == config::Handshake::Cookies,
            receive_window: u32::try_from(config.receive_window.0).unwrap_or(u32::MAX),
            send_buffer: u32::try_from(config.send_buffer.0).unwrap_or(u32::MAX),
            receive_memory: shares(config.memory.0),
            time_wait_entries: shares(u64::from(config.time_wait_entries)) as u32,
            keep_alive,
            congestion_control: match config.congestion {
                config::Congestion::Reno => tcp::CongestionControl::NewReno,
                config::Congestion::Cubic => tcp::CongestionControl::Cubic,
            },
            mtu: u16::try_from(self.frames.interface.mtu).unwrap_or(u16::MAX),
            partial_checksums: self.has_partial_checksums(),
            checksum: match config.checksum {
                config::Checksum::Stored => tcp::Checksum::Stored,
                config::Checksum::Computed => tcp::Checksum::Computed,
            },
            ..tcp::Config::default()
        }
    }
}

/// The link address of our end of a TAP device, by that of the kernel's end: the same at every start, so that
/// nobody's knowledge of it becomes wrong.
fn other_end(mut kernels: [u8; 6]) -> [u8; 6] {
    kernels[0] |= LOCALLY_ADMINISTERED;
    kernels[5] ^= 1;
    kernels
}

/// What peers must not guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut random = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random)
}
