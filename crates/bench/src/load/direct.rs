//! The client on our own TCP: frames through AF_XDP, past the kernel's stack. The client on sockets
//! saturates long before a server on frames does.

use super::LoadArgs;
use super::report::Losses;
use crate::wire::{self, FRAMES, Wire};
use afpa_direct::{Direct, DirectConfig, DirectStats};
use afpa_engine::TransportId;
use afpa_platform::interface::Interface;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::Steering;
use afpa_tcp as tcp;
use afpa_wire::MacAddress;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The same for every run: nobody attacks this client, and with one seed and the machine's clock the numbers of
/// a run lie above those of the run before. What servers remember of that one (TIME-WAIT) is no obstacle.
const SEED: [u8; 32] = *b"afpa-bench load: nothing secret.";
/// The least and the most that a server may send ahead, in octets.
const WINDOW: RangeInclusive<usize> = 32 * 1024..=1024 * 1024;
/// Octets of the headers of a TCP segment, at most.
const HEADERS: usize = 100;

/// The transport, and what it stands on.
pub(super) struct Client {
    pub(super) transport: Direct,
    stats: Arc<DirectStats>,
    /// Holds the program that sends the answers to the transport. Dropped last.
    _steering: Steering,
}

impl Client {
    /// A transport that opens connections to `server` from the ports that `args` name.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(super) fn open(args: &LoadArgs, server: SocketAddr) -> Result<Client> {
        let Some(name) = &args.interface else { bail!("--transport direct needs --interface") };
        let local = wire::local_address(server)?;
        let wire = Wire::attach(name)?;
        // Else the first packets would be lost, and sent again after a second.
        wire.link_header(server.ip())?;
        wire.steering.steer_range(local, args.local_ports.clone()).with_context(|| name.clone())?;
        let tcp = config(args, &wire.facts, wire.has_partial_checksums());
        let (device, facts, steering) = wire.into_device()?;
        let kernel = Netlink::subscribe(facts.index).context("the kernel tells no neighbours")?;
        let link_address = facts.mac.with_context(|| format!("{name} has no Ethernet frames; choose another"))?;
        let config = DirectConfig {
            transport: TransportId(0),
            link_address: MacAddress(link_address),
            addresses: vec![local],
            is_host: false,
            mtu: tcp.mtu,
            tcp,
            seed: SEED,
        };
        let transport = Direct::new(&config, Box::new(device), Some(kernel)).context("cannot open the transport")?;
        Ok(Client { stats: transport.stats(), transport, _steering: steering })
    }

    /// What was lost so far, up to a tenth of a second ago.
    pub(super) fn losses(&self) -> Losses {
        let DirectStats { receive_ring_full, fill_ring_empty, receive_dropped, .. } = &*self.stats;
        let frames = [receive_ring_full, fill_ring_empty, receive_dropped].map(|counter| counter.get());
        Losses { frames: frames.iter().sum(), retransmissions: self.stats.tcp().retransmitted_segments }
    }
}

fn config(args: &LoadArgs, facts: &Interface, partial_checksums: bool) -> tcp::Config {
    let mtu = facts.mtu.min(args.mtu.map_or(u32::MAX, u32::from));
    // What all servers may have under way fits the ring of received frames, of which a large one takes several.
    let per_frame = (mtu as usize).saturating_sub(HEADERS).max(1) / (mtu as usize).div_ceil(4096).max(1);
    let share = FRAMES as usize * per_frame / args.connections.max(1) as usize;
    tcp::Config {
        max_connections: args.places(),
        receive_window: share.clamp(*WINDOW.start(), *WINDOW.end()) as u32,
        congestion_control: tcp::CongestionControl::NewReno,
        mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
        ephemeral_ports: args.local_ports.clone(),
        partial_checksums,
        ..tcp::Config::default()
    }
}
