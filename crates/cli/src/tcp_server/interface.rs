//! The interface. With the provider direct, whose frames are our own TCP's, and from when to when; with the provider kernel,
//! on which cores its packets are received.

use std::net::SocketAddr;
use std::sync::Arc;

use afpa_platform::memory::{Arena, Pool};
use afpa_tcp_server::{Objects, Steer};

use super::napi::Threads;
use crate::config::tcp_server::{Notify, Provider, REGISTERED};
use crate::config::{self, TcpServer};
use crate::server::{Wire, direct_engines, frame_memory_of};

/// Octets of a piece of the memory that applications register: the most that they have of it in one piece.
const PIECE: usize = 4 << 20;

/// An interface, the memory of its frames, and behind that what applications register.
pub(super) struct Interface {
    pub(super) wire: Wire,
    pub(super) arena: Arc<Arena>,
    pub(super) pool: Arc<Pool>,
}

/// What engines work with.
pub(super) struct Ground {
    /// How many there shall be.
    pub(super) engines: usize,
    /// What applications publish, if they may.
    pub(super) objects: Option<Arc<Objects>>,
    /// The interface, if the provider has one.
    pub(super) wire: Option<Arc<Interface>>,
}

/// How many engines there shall be, and what they share.
///
/// # Errors
/// What is missing, in a sentence with the remedy.
pub(super) fn open(args: &TcpServer, wanted: usize) -> Result<Ground, String> {
    let Some(direct) = settings(args)? else {
        let objects = Objects::new(&args.limits, wanted);
        let objects = objects.map_err(|error| format!("no memory for objects: {error}"))?;
        return Ok(Ground { engines: wanted, objects, wire: None });
    };
    let engines = direct_engines(&direct, wanted)?;
    // Objects lie in the device's memory, to be sent from there.
    let octets = frame_memory_of(&direct).saturating_add(args.limits.objects);
    let pieces = args.registered_memory.unwrap_or(REGISTERED).0.div_ceil(PIECE as u64) as usize;
    let (arena, pool) = Pool::behind_arena(octets, pieces, PIECE)
        .map_err(|error| format!("no memory for frames and for what applications register: {error}"))?;
    let objects = Objects::within(&args.limits, engines, arena.clone());
    // Of the applications' protocols nothing is known: either end may begin.
    let Some(wire) = Wire::of(&direct, engines, false)? else {
        return Ok(Ground { engines: wanted, objects, wire: None });
    };
    if wire.is_host() {
        return Err(format!(
            "on the TAP device {0} afpa would be a host of its own, whose addresses no program of this machine can be \
             bound to; use the kernel's end: --frames packet, or --provider kernel",
            wire.name()
        ));
    }
    Ok(Ground { engines, objects, wire: Some(Arc::new(Interface { wire, arena, pool })) })
}

/// Has the kernel receive what comes through the interface on these cores, if there is an interface and TCP is the kernel's.
///
/// # Errors
/// What is missing, in a sentence with the remedy.
pub(super) fn receive_on(args: &TcpServer, cores: &[usize]) -> Result<Option<Threads>, String> {
    let Some(name) = args.interface.as_ref().filter(|_| args.provider == Provider::Kernel) else { return Ok(None) };
    if args.notify == Notify::Poll {
        tracing::warn!(
            "engines that never sleep share their cores with what receives for {name}; --notify adaptive lets it run"
        );
    }
    Threads::start(name, cores).map(Some)
}

fn settings(args: &TcpServer) -> Result<Option<config::Direct>, String> {
    let is_told = args.queues.is_some() || args.registered_memory.is_some() || args.frames != config::Frames::Auto;
    match (args.provider, &args.interface) {
        (Provider::Kernel, _) if is_told => {
            Err("--frames, --queues and --registered-memory are of --provider direct; write that, too".into())
        }
        (Provider::Kernel, _) => Ok(None),
        (Provider::Direct, None) => Err("--provider direct needs an interface: --interface eth0".into()),
        (Provider::Direct, Some(name)) => Ok(Some(config::Direct {
            interface: Some(name.clone()),
            frames: args.frames,
            queues: args.queues,
            // Where the server speaks first, a client whose acknowledgment was lost waits for it: with a cookie nobody would know.
            handshake: config::Handshake::Queue,
            ..config::Direct::default()
        })),
    }
}

impl Steer for Interface {
    fn steer(&self, address: SocketAddr) -> Result<(), String> {
        self.wire.take(address)
    }

    fn unsteer(&self, address: SocketAddr) {
        if let Err(error) = self.wire.leave(address) {
            tracing::warn!("frames for {address} stay ours: {error}");
        }
    }
}
