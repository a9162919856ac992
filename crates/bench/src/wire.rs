//! An interface whose frames come to us, through AF_XDP: what the direct client and the echo stand on.

use crate::interrupt;
use afpa_direct::frames::xdp::XdpDevice;
use afpa_direct::neighbours::{LinkHeader, Neighbours, Next};
use afpa_platform::interface::{Interface, Kind};
use afpa_platform::memory::Arena;
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::{AttachMode, Steering};
use afpa_platform::xdp::{Mode, XdpConfig, XdpSocket};
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Frames that each queue holds, received and sent each. Few enough for a processor's caches, as each chunk
/// is used again only after all others.
pub(crate) const FRAMES: u32 = 4096;
/// Octets of a frame's chunk. At most a quarter of the memory may be taken by a queue's chunks of one direction.
const CHUNK: u64 = 4096;

/// How long the kernel may take to find the way to another host.
const PATIENCE: Duration = Duration::from_secs(5);

/// The address that packets to `remote` leave from. A datagram has the kernel learn the way there: a connection
/// might meet what a server remembers of one of ours (TIME-WAIT).
///
/// # Errors
/// There is no route.
pub(crate) fn local_address(remote: SocketAddr) -> Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let local = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(remote)?;
        socket.send(b"?")?;
        socket.local_addr()
    });
    Ok(local.with_context(|| format!("cannot reach {remote}"))?.ip())
}

/// Every queue of an interface. Dropping it gives the frames back to the kernel.
pub(crate) struct Wire {
    pub(crate) facts: Interface,
    // The sockets are closed before the program goes that fills them.
    sockets: Vec<XdpSocket>,
    pub(crate) steering: Steering,
}

impl Wire {
    /// Attaches to the interface `name`; nothing is steered here yet.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(crate) fn attach(name: &str) -> Result<Wire> {
        let facts = Interface::by_name(name).with_context(|| format!("no interface {name}"))?;
        if !facts.is_up {
            bail!("{name} is down; set it up: ip link set {name} up");
        }
        let steering = Steering::attach(facts.index, AttachMode::Auto).with_context(|| name.to_owned())?;
        let arena = Arena::new(u64::from(facts.receive_queues) * u64::from(FRAMES) * CHUNK * 4);
        let arena = arena.context("no memory for frames")?;
        let config = XdpConfig {
            interface: facts.index,
            queue: 0,
            arena,
            frames: FRAMES,
            mode: Mode::Auto,
            scatter: true,
            busy_poll: None,
        };
        let queues: Vec<u32> = (0..facts.receive_queues).collect();
        let sockets = XdpSocket::open_queues(&config, &queues).with_context(|| name.to_owned())?;
        steering.add_sockets(&sockets).with_context(|| name.to_owned())?;
        Ok(Wire { facts, sockets, steering })
    }

    /// The link header of frames to `remote`, as soon as the kernel knows it; see [`local_address`].
    ///
    /// # Errors
    /// It does not within five seconds, or does not tell.
    pub(crate) fn link_header(&self, remote: IpAddr) -> Result<LinkHeader> {
        let mut next = Next::NoRoute;
        let found = interrupt::wait_for(PATIENCE, || {
            let mut kernel = Netlink::subscribe(self.facts.index).context("the kernel tells no neighbours")?;
            let mut neighbours = Neighbours::new(None);
            kernel.snapshot(&mut |change| neighbours.apply(&change)).context("the kernel tells no neighbours")?;
            next = neighbours.link_header(remote, None);
            Ok(if let Next::Known(header) = next { Some(header) } else { None })
        })?;
        match (found, next) {
            (Some(header), _) => Ok(header),
            (None, Next::NoRoute) => bail!("no route to {remote} leaves through {}", self.facts.name),
            (None, _) => bail!("{remote} has no link address on {}: is it there?", self.facts.name),
        }
    }

    /// Whether nobody completes the checksums that the other end's kernel left to a device.
    pub(crate) fn has_partial_checksums(&self) -> bool {
        matches!(self.facts.kind, Kind::Pair | Kind::Tap)
    }

    /// Gives the queues to a transport. The steering must live as long as it.
    ///
    /// # Errors
    /// The interface has no queue.
    pub(crate) fn into_device(self) -> Result<(XdpDevice, Interface, Steering)> {
        let Wire { facts, sockets, steering } = self;
        let device = XdpDevice::new(sockets, true).with_context(|| format!("{} has no queue", facts.name))?;
        Ok((device, facts, steering))
    }

    /// Shows frames that are there to `each`, at most `budget` of each queue, with the half of their queue that
    /// sends, and has the kernel send what was pushed. Returns how many there were.
    ///
    /// # Errors
    /// The interface is gone.
    pub(crate) fn exchange(
        &mut self,
        budget: usize,
        mut each: impl FnMut(&[u8], &mut afpa_platform::xdp::Transmitter),
    ) -> Result<usize> {
        let mut count = 0;
        for XdpSocket { receiver, transmitter, .. } in &mut self.sockets {
            count += receiver.receive(budget, &mut |frame| each(frame, transmitter));
            transmitter.flush().context("the interface takes no frames")?;
        }
        Ok(count)
    }

    /// The half of the first queue that sends.
    pub(crate) fn transmitter(&mut self) -> Option<&mut afpa_platform::xdp::Transmitter> {
        self.sockets.first_mut().map(|socket| &mut socket.transmitter)
    }

    /// Waits until frames are there, at most for `limit`.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn wait(&self, limit: Duration) -> Result<()> {
        let mut ready: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::from_borrowed_fd(socket.descriptor(), PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut ready, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for frames"),
        }
    }

    /// Frames that were lost here because we were too slow.
    pub(crate) fn lost(&self) -> u64 {
        let statistics = self.sockets.iter().map(|socket| socket.statistics().unwrap_or_default());
        statistics.map(|lost| lost.receive_ring_full + lost.fill_ring_empty + lost.receive_dropped).sum()
    }
}
