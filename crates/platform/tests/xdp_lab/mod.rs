//! Two network namespaces joined by a pair, and what is needed to talk across it.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use afpa_platform::interface::Interface;
use afpa_platform::memory::Arena;
use afpa_platform::xdp::{Mode, XdpConfig, XdpSocket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The interface of either side.
pub(crate) const INTERFACE: &str = "pair";
/// The addresses of the two sides.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const HERE_6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

/// Octets in front of an IPv4 datagram's payload: Ethernet, IP, UDP.
pub(crate) const UDP_HEAD: usize = 14 + 20 + 8;

static LABS: AtomicU32 = AtomicU32::new(0);

/// The namespaces; they are deleted with it.
pub(crate) struct Lab {
    pub(crate) here: Side,
    pub(crate) there: Side,
}

/// One of the namespaces.
pub(crate) struct Side {
    pub(crate) namespace: String,
    address: Ipv4Addr,
}

impl Lab {
    /// `None`, with the reason on the standard error output, where there cannot be one.
    pub(crate) fn up(mtu: u32, queues: u32) -> Option<Lab> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        match Lab::make(mtu, queues) {
            Ok(lab) => Some(lab),
            Err(reason) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "no lab: {reason}");
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    fn make(mtu: u32, queues: u32) -> Result<Lab, String> {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let side =
            |side, address| Side { namespace: format!("afpa-xdp-{}-{number}-{side}", std::process::id()), address };
        // Dropped, and the namespaces with it, if a step fails.
        let lab = Lab { here: side("here", HERE), there: side("there", THERE) };
        let (here, there) = (&lab.here.namespace, &lab.there.namespace);
        ip(&format!("netns add {here}"))?;
        ip(&format!("netns add {there}"))?;
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        ip(&format!(
            "-n {here} link add {INTERFACE} mtu {mtu} {queues} type veth peer name {INTERFACE} mtu {mtu} {queues} \
             netns {there}"
        ))?;
        for side in [&lab.here, &lab.there] {
            let (name, address) = (&side.namespace, side.address);
            let last = address.octets()[3];
            ip(&format!("-n {name} address add {address}/24 dev {INTERFACE}"))?;
            ip(&format!("-n {name} address add fd77::{last}/64 dev {INTERFACE} nodad"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        // Both ends are up before anything is attached or sent.
        ip(&format!("-n {here} link set {INTERFACE} up"))?;
        ip(&format!("-n {there} link set {INTERFACE} up"))?;
        Ok(lab)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [&self.here, &self.there] {
            let _ = ip(&format!("netns delete {}", side.namespace));
        }
    }
}

impl Side {
    /// Runs `inside` on a thread within the namespace; what it opens there remains of the namespace.
    pub(crate) fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let run = scope.spawn(|| {
                enter(&self.namespace);
                inside()
            });
            run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn interface(&self) -> Interface {
        self.run(|| Interface::by_name(INTERFACE).unwrap())
    }
}

/// Moves the thread into a namespace.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// Runs ip(8).
pub(crate) fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip(8) cannot be run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Has the kernel of the current thread's namespace echo with another.
pub(crate) fn ping(address: Ipv4Addr) {
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(10))).unwrap();
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrV4::new(address, 0)).unwrap();
    loop {
        let mut packet = [0; 128];
        let (count, _) = recv(&socket, &mut packet, RecvFlags::empty()).unwrap();
        // Behind the IP header: an echo reply.
        if count == 28 && packet[20] == 0 {
            return;
        }
    }
}

/// A socket for queue 0 of the interface of the current thread's namespace.
pub(crate) fn config(arena: &Arc<Arena>) -> XdpConfig {
    XdpConfig {
        interface: Interface::by_name(INTERFACE).unwrap().index,
        queue: 0,
        arena: arena.clone(),
        frames: 256,
        mode: Mode::Auto,
        scatter: true,
        busy_poll: None,
    }
}

/// The next frame that `wanted` accepts. Others, such as neighbour discovery, are passed over.
pub(crate) fn receive(socket: &mut XdpSocket, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    loop {
        let mut found = None;
        socket.receiver.receive(1, &mut |frame| found = wanted(frame).then(|| frame.to_vec()));
        if let Some(frame) = found {
            return frame;
        }
        assert!(is_readable(socket), "no frame within ten seconds");
    }
}

/// Whether frames wait, or arrive within ten seconds.
fn is_readable(socket: &XdpSocket) -> bool {
    let descriptor = socket.descriptor();
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&patience)).unwrap() == 1
}

/// The headers of a UDP datagram from this side to the other, without a checksum, which IPv4 allows.
pub(crate) fn udp_head(from: &Interface, to: &Interface, ports: (u16, u16), payload: usize) -> [u8; UDP_HEAD] {
    let mut head = [0; UDP_HEAD];
    head[..6].copy_from_slice(&to.mac.unwrap());
    head[6..12].copy_from_slice(&from.mac.unwrap());
    head[12..14].copy_from_slice(&0x0800u16.to_be_bytes());
    let ip = &mut head[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&((20 + 8 + payload) as u16).to_be_bytes());
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&HERE.octets());
    ip[16..20].copy_from_slice(&THERE.octets());
    let sum: u32 = ip.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    head[34..36].copy_from_slice(&ports.0.to_be_bytes());
    head[36..38].copy_from_slice(&ports.1.to_be_bytes());
    head[38..40].copy_from_slice(&((8 + payload) as u16).to_be_bytes());
    head
}
