//! How an interface's frames come to engines: AF_XDP, packet sockets, or the other end of a TAP device.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use afpa_direct::frames::FrameDevice;
use afpa_direct::frames::packet::PacketDevice;
use afpa_direct::frames::tap::TapDevice;
use afpa_direct::frames::xdp::XdpDevice;
use afpa_platform::interface::{Interface, Kind};
use afpa_platform::memory::Arena;
use afpa_platform::packet::{PacketConfig, PacketSocket, Shield, Spread};
use afpa_platform::steering::{Answers, Assistance, AttachMode, Protocol, Room, Steering};
use afpa_platform::tap::Tap;
use afpa_platform::xdp::{BusyPoll, Mode, XdpConfig, XdpSocket};

use crate::config::{self, Direct};

/// Frames of each queue, received and sent each: 16 MiB in all.
pub(super) const FRAMES: u32 = 2048;
/// Answers that the driver has room for: 0.9 KiB of the kernel's memory each.
const ANSWERS: u32 = 32_768;
/// A call looks once; frames as many as an engine handles before it sends.
const BUSY_POLL: BusyPoll = BusyPoll { microseconds: 20, budget: 64 };

/// An interface, and the way in which its frames are ours. Dropping it gives them back to the kernel.
pub(super) struct Frames {
    pub(super) interface: Interface,
    way: Way,
}

enum Way {
    Xdp(Steering),
    Packet { shield: Shield, sockets: Seats<PacketSocket> },
    Tap(Seats<Tap>),
}

/// One thing for each engine, until it is fetched.
struct Seats<T>(Mutex<Vec<Option<T>>>);

impl Frames {
    /// Takes the configured way, or the best that works. No frame is ours yet, but on a TAP device.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(super) fn open(config: &Direct, name: &str, engines: u32) -> Result<Frames, String> {
        let ways = candidates(config.frames, Interface::by_name(name).ok().map(|facts| facts.kind));
        let mut refused: Vec<String> = Vec::new();
        for way in ways {
            match Frames::open_as(*way, name, engines, config) {
                Ok(frames) => {
                    if let Some(reason) = refused.first() {
                        tracing::info!("{name} is reached through {way}, because {}: {reason}", ways[0]);
                    }
                    return Ok(frames);
                }
                Err(reason) => refused.push(reason),
            }
        }
        if refused.iter().all(|reason| *reason == refused[0]) {
            return Err(format!("{name} gives no frames: {}", refused[0]));
        }
        let told: Vec<String> = ways.iter().zip(&refused).map(|(way, reason)| format!("{way}: {reason}")).collect();
        Err(format!("{name} gives no frames ({})", told.join("; ")))
    }

    /// Sends what is addressed to `address` to the engines.
    ///
    /// # Errors
    /// The table is full.
    pub(super) fn steer(&self, protocol: Protocol, address: SocketAddr) -> Result<(), String> {
        match &self.way {
            Way::Xdp(steering) => steering.steer(protocol, address).map_err(|error| error.to_string()),
            Way::Packet { shield, .. } => shield.steer(protocol, address).map_err(|error| error.to_string()),
            // All frames are ours.
            Way::Tap(_) => Ok(()),
        }
    }

    /// Leaves it to the kernel again, if nobody else has it steered.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn unsteer(&self, protocol: Protocol, address: SocketAddr) -> Result<(), String> {
        match &self.way {
            Way::Xdp(steering) => steering.unsteer(protocol, address).map_err(|error| error.to_string()),
            Way::Packet { shield, .. } => shield.unsteer(protocol, address).map_err(|error| error.to_string()),
            Way::Tap(_) => Ok(()),
        }
    }

    /// Whether our end is a host of its own, with addresses that the kernel does not have.
    pub(super) fn is_host(&self) -> bool {
        matches!(self.way, Way::Tap(_))
    }

    /// What engine `number` of `engines` reads and writes.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy.
    pub(super) fn device(
        &self,
        number: u32,
        engines: u32,
        arena: &Arc<Arena>,
        config: &Direct,
    ) -> Result<Box<dyn FrameDevice>, String> {
        let name = &self.interface.name;
        let gone = || format!("{name} has no queue for engine {number}");
        if config.busy_poll && !matches!(self.way, Way::Xdp(_)) {
            tracing::warn!("{name} is not polled busily: that takes frames = \"xdp\"");
        }
        match &self.way {
            Way::Xdp(steering) => self.xdp_device(steering, (number, engines), arena, config),
            Way::Packet { sockets, .. } => Ok(Box::new(PacketDevice::new(sockets.take(number).ok_or_else(gone)?))),
            Way::Tap(queues) => Ok(Box::new(TapDevice::new(queues.take(number).ok_or_else(gone)?))),
        }
    }

    /// Has the driver do the stateless part of engine `number`'s handshakes; `None` if frames come another way.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn assistance(&self, number: u32, engines: u32) -> Result<Option<Assistance>, String> {
        let Way::Xdp(steering) = &self.way else { return Ok(None) };
        let queues: Vec<u32> = self.queues(number, engines).collect();
        let Interface { name, .. } = &self.interface;
        steering.assist(&queues).map(Some).map_err(|error| format!("{name} cannot answer for engine {number}: {error}"))
    }

    /// What the driver may be left answers by; `None` if frames come another way.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn answers(&self) -> Result<Option<Answers>, String> {
        let Way::Xdp(steering) = &self.way else { return Ok(None) };
        steering.answers().map(Some).map_err(|error| error.to_string())
    }

    /// Lets the driver answer datagrams to `address`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn answer_at(&self, address: SocketAddr) -> Result<(), String> {
        let Way::Xdp(steering) = &self.way else { return Ok(()) };
        steering.answer_at(address, true).map_err(|error| error.to_string())
    }

    /// The queues of engine `number`.
    fn queues(&self, number: u32, engines: u32) -> impl Iterator<Item = u32> + use<> {
        (0..self.interface.receive_queues).filter(move |queue| queue % engines == number)
    }

    fn open_as(way: config::Frames, name: &str, engines: u32, wanted: &Direct) -> Result<Frames, String> {
        if way == config::Frames::Tap {
            let queues = open_tap(name, engines)?;
            let interface = Interface::by_name(name).map_err(|error| error.to_string())?;
            return Ok(Frames { interface, way: Way::Tap(Seats::new(queues)) });
        }
        let interface = Interface::by_name(name).map_err(|error| error.to_string())?;
        if !interface.is_up {
            return Err(format!("it is down; set it up: ip link set {name} up"));
        }
        if interface.mac.is_none() {
            return Err("it has no Ethernet frames; choose another".to_owned());
        }
        let way = match way {
            config::Frames::Packet => open_packet(interface.index, engines).map_err(|error| error.to_string())?,
            _ => {
                let room = Room {
                    engines: if wanted.driver_handshake { engines } else { 1 },
                    answers: if wanted.driver_answers { ANSWERS } else { 0 },
                };
                let steering = Steering::attach_with(interface.index, AttachMode::Auto, room);
                Way::Xdp(steering.map_err(|error| error.to_string())?)
            }
        };
        Ok(Frames { interface, way })
    }

    fn xdp_device(
        &self,
        steering: &Steering,
        (number, engines): (u32, u32),
        arena: &Arc<Arena>,
        wanted: &Direct,
    ) -> Result<Box<dyn FrameDevice>, String> {
        let Interface { name, index, .. } = &self.interface;
        let failed =
            |error: &dyn std::fmt::Display| format!("{name}: {error}; or take its frames another way: --frames packet");
        let queues: Vec<u32> = self.queues(number, engines).collect();
        let config = XdpConfig {
            interface: *index,
            queue: 0,
            arena: arena.clone(),
            frames: FRAMES,
            mode: Mode::Auto,
            scatter: true,
            busy_poll: wanted.busy_poll.then_some(BUSY_POLL),
        };
        let sockets = XdpSocket::open_queues(&config, &queues).map_err(|error| failed(&error))?;
        steering.add_sockets(&sockets).map_err(|error| failed(&error))?;
        sockets.first().map_or(Ok(()), |first| self.check_mtu(first))?;
        let device = XdpDevice::new(sockets, wanted.zero_copy);
        let device =
            device.ok_or_else(|| format!("{name} has fewer queues than there are engines; choose fewer --cores"))?;
        Ok(Box::new(device))
    }

    fn check_mtu(&self, socket: &XdpSocket) -> Result<(), String> {
        let Interface { name, mtu, .. } = &self.interface;
        let most = socket.max_mtu();
        if *mtu <= most {
            return Ok(());
        }
        let kernel = if socket.is_scattering() { "" } else { " before Linux 6.6" };
        Err(format!(
            "the MTU of {name} is {mtu}, and AF_XDP takes at most {most}{kernel}; lower it (ip link set {name} mtu \
             {most}), or take its frames another way: --frames packet"
        ))
    }
}

impl<T> Seats<T> {
    fn new(all: Vec<T>) -> Seats<T> {
        Seats(Mutex::new(all.into_iter().map(Some).collect()))
    }

    fn take(&self, number: u32) -> Option<T> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.get_mut(number as usize).and_then(Option::take)
    }
}

/// The ways to try, the best first.
fn candidates(wanted: config::Frames, kind: Option<Kind>) -> &'static [config::Frames] {
    use config::Frames::{Auto, Packet, Tap, Xdp};
    match wanted {
        Xdp => &[Xdp],
        Packet => &[Packet],
        Tap => &[Tap],
        // Another process may have its end, as a virtual machine has: then it is an interface like others.
        Auto if kind == Some(Kind::Tap) => &[Tap, Xdp, Packet],
        Auto => &[Xdp, Packet],
    }
}

fn open_packet(interface: u32, engines: u32) -> std::io::Result<Way> {
    let shield = Shield::attach(interface)?;
    let spread = (engines > 1).then_some(Spread::Flow);
    let config = PacketConfig { spread, ..PacketConfig::new(interface) };
    let mut sockets = vec![PacketSocket::open(&config, &shield)?];
    for _ in 1..engines {
        sockets.push(PacketSocket::open_beside(&config, &shield, &sockets[0])?);
    }
    Ok(Way::Packet { shield, sockets: Seats::new(sockets) })
}

/// Our end of a TAP device, a queue for each engine. One that the operator made has one queue or several, and
/// is opened as it was made.
fn open_tap(name: &str, engines: u32) -> Result<Vec<Tap>, String> {
    let open = |several| Tap::open(name, several);
    let as_asked = open(engines > 1);
    let first = match as_asked {
        Err(_) if engines > 1 && open(false).is_ok() => {
            return Err("it was made with one queue: choose one core (--cores 0), or make it with several (ip tuntap \
                        add … mode tap multi_queue)"
                .to_owned());
        }
        Err(error) if engines == 1 => open(true).map_err(|_| error),
        outcome => outcome,
    };
    let first = first.map_err(|error| error.to_string())?;
    let others = (1..engines).map(|_| open(true).map_err(|error| error.to_string()));
    std::iter::once(Ok(first)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_is_named_is_the_only_one_and_a_tap_is_one_first() {
        use config::Frames::{Auto, Packet, Tap, Xdp};
        let cases: [(config::Frames, Option<Kind>, &[config::Frames]); 5] = [
            (Xdp, Some(Kind::Tap), &[Xdp]),
            (Packet, Some(Kind::Pair), &[Packet]),
            (Tap, None, &[Tap]),
            (Auto, Some(Kind::Tap), &[Tap, Xdp, Packet]),
            (Auto, Some(Kind::Device), &[Xdp, Packet]),
        ];
        for (wanted, kind, expected) in cases {
            assert_eq!(candidates(wanted, kind), expected, "{wanted}");
        }
    }
}
