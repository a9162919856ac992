//! The interface of the provider direct: whose frames are our own TCP's, and from when to when.

use std::net::SocketAddr;
use std::sync::Arc;

use afpa_platform::memory::{Arena, Pool};
use afpa_tcp_server::Steer;

use crate::config::tcp_server::{Provider, REGISTERED};
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

/// How many engines there shall be, and the interface if the provider has one.
///
/// # Errors
/// What is missing, in a sentence with the remedy.
pub(super) fn open(args: &TcpServer, wanted: usize) -> Result<(usize, Option<Arc<Interface>>), String> {
    let Some(direct) = settings(args)? else { return Ok((wanted, None)) };
    let engines = direct_engines(&direct, wanted)?;
    let pieces = args.registered_memory.unwrap_or(REGISTERED).0.div_ceil(PIECE as u64) as usize;
    let (arena, pool) = Pool::behind_arena(frame_memory_of(&direct), pieces, PIECE)
        .map_err(|error| format!("no memory for frames and for what applications register: {error}"))?;
    // Of the applications' protocols nothing is known: either end may begin.
    let Some(wire) = Wire::of(&direct, engines, false)? else { return Ok((wanted, None)) };
    if wire.is_host() {
        return Err(format!(
            "on the TAP device {0} afpa would be a host of its own, whose addresses no program of this machine can be \
             bound to; use the kernel's end: --frames packet, or --provider kernel",
            wire.name()
        ));
    }
    Ok((engines, Some(Arc::new(Interface { wire, arena, pool }))))
}

fn settings(args: &TcpServer) -> Result<Option<config::Direct>, String> {
    let is_told = args.interface.is_some()
        || args.queues.is_some()
        || args.registered_memory.is_some()
        || args.frames != config::Frames::Auto;
    match (args.provider, &args.interface) {
        (Provider::Kernel, _) if is_told => {
            Err("--interface, --frames, --queues and --registered-memory are of --provider direct; write that, too"
                .into())
        }
        (Provider::Kernel, _) => Ok(None),
        (Provider::Direct, None) => Err("--provider direct needs an interface: --interface eth0".into()),
        (Provider::Direct, Some(name)) => Ok(Some(config::Direct {
            interface: Some(name.clone()),
            frames: args.frames,
            queues: args.queues,
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
