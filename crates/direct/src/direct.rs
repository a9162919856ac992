//! The transport: frames in, events up; calls down, frames out. Run to completion: a request is parsed
//! and answered while the frame that brought it is still where the device put it (AFPA §3.1, §3.3).

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::Transport;
use afpa_engine::seam::{Address, Calls, Events, Listen, ListenerId, Owner, Time};
use afpa_platform::netlink::Netlink;
use afpa_platform::steering::Assistance;
use afpa_tcp::{Integrity, ListenerIndex};
use afpa_wire::tcp::Integrity as Found;
use afpa_wire::{ip, udp};
use rustix::event::epoll;
use rustix::net::getsockname;
use rustix::net::sockopt::ipv6_v6only;

use crate::assistance::Driver;
use crate::config::DirectConfig;
use crate::connections::Connections;
use crate::frames::{Checksum, FrameDevice, FrameTransmitter};
use crate::link::Links;
use crate::observer::{Capture, Observer, Question};
use crate::outbound::Outbound;
use crate::stats::DirectStats;

/// Frames handled before what they came to is sent: the kernel's batch.
const BUDGET: usize = 64;
/// How long to wait for room on a device that takes no more: it drains at the speed of the network.
const BLOCKED: Duration = Duration::from_micros(200);
/// How long an engine that stays awake goes without asking the kernel: whether a driver wants a call in order to go on
/// receiving, and whether a thread of the kernel's waits for our core.
const UNASKED: Duration = Duration::from_micros(50);
/// How often TCP's counters are published.
const PUBLISH: Duration = Duration::from_millis(100);

/// What is ready, in the descriptor that the engine sleeps on.
const DEVICE: u64 = 0;
const KERNEL: u64 = 1;
const WATCHED: u64 = 2;

/// One engine's part of an interface. Make it on the thread that uses it.
pub struct Direct {
    device: Box<dyn FrameDevice>,
    traffic: Traffic,
    /// What the engine sleeps on: the device, and what it watches.
    epoll: OwnedFd,
    /// By the number under which its owner knows it.
    watched: HashMap<RawFd, OwnedFd>,
    listeners: u16,
    /// Sockets of listeners that others have bound: while they are open, nobody else gets their ports.
    adopted: HashMap<u16, Adopted>,
    /// Connections are accepted.
    listens: bool,
    /// The device had no room for everything.
    blocked: bool,
    /// Something was pushed since the last flush.
    unflushed: bool,
    /// The last pass found frames.
    busy: bool,
    published: Time,
    /// When the kernel was last asked what is ready.
    asked: Time,
    /// Answers SYNs for us.
    driver: Option<Arc<Driver>>,
}

/// A listener that others have bound.
struct Adopted {
    _socket: OwnedFd,
    /// That of IPv4, if it takes that as well as IPv6.
    also: Option<ListenerIndex>,
}

/// Everything that a frame passes through, apart from the device.
struct Traffic {
    connections: Connections,
    stats: Arc<DirectStats>,
    observer: Observer,
    captures: Vec<Capture>,
    partial_checksums: bool,
}

impl Direct {
    /// A transport without listeners on `device`. `kernel` tells of routes and neighbours; without it, the
    /// link is taken to have two ends.
    ///
    /// # Errors
    /// No descriptor is left to sleep on, or the kernel does not tell its tables.
    pub fn new(config: &DirectConfig, device: Box<dyn FrameDevice>, kernel: Option<Netlink>) -> io::Result<Direct> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for descriptor in device.descriptors() {
            epoll::add(&epoll, descriptor, epoll::EventData::new_u64(DEVICE), epoll::EventFlags::IN)?;
        }
        let addresses = config.is_host.then_some(&config.addresses[..]);
        let links = Links::new(config.link_address, addresses, kernel)?;
        if let Some(kernel) = links.kernel() {
            epoll::add(&epoll, kernel.descriptor(), epoll::EventData::new_u64(KERNEL), epoll::EventFlags::IN)?;
        }
        let traffic = Traffic {
            connections: Connections::new(config, links),
            stats: Arc::default(),
            observer: Observer::default(),
            captures: Vec::new(),
            partial_checksums: config.tcp.partial_checksums,
        };
        let published = Time::default();
        Ok(Direct {
            device,
            traffic,
            epoll,
            watched: HashMap::new(),
            listeners: 0,
            adopted: HashMap::new(),
            listens: true,
            blocked: false,
            unflushed: false,
            busy: false,
            published,
            asked: Time::default(),
            driver: None,
        })
    }

    /// Has the driver do the stateless part of handshakes from the next [`Transport::poll`] on: answer SYNs with cookies,
    /// and drop acknowledgments that carry no news.
    pub fn assist(&mut self, assistance: Assistance) {
        let driver = Driver::new(assistance);
        self.traffic.connections.tcp.assisted_by(driver.clone());
        self.driver = Some(driver);
        self.published = Time::default();
    }

    /// Listens on an address of the interface, or on any. That packets for it reach the device and not
    /// the kernel is the business of whoever steers them.
    ///
    /// # Errors
    /// The address is a path, or is listened to already.
    pub fn listen(&mut self, to: &Listen, owner: Owner) -> io::Result<ListenerId> {
        let connections = &mut self.traffic.connections;
        match to {
            Listen::Stream(Address::Inet(address)) => {
                let index = connections.tcp.listen(*address, u32::from(owner.0)).map_err(io::Error::other)?;
                Ok(connections.listener(index.0))
            }
            Listen::Stream(Address::Unix(_)) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "direct has no Unix sockets"))
            }
            Listen::Datagram(address) => {
                // Behind TCP's own numbers, which grow from zero.
                self.listeners += 1;
                let id = connections.listener(u16::MAX - self.listeners);
                connections.datagrams.listen(*address, id, owner);
                Ok(id)
            }
        }
    }

    /// Listens to the same port of IPv4 for a listener of IPv6.
    fn listen_also(&mut self, listener: ListenerId, port: u16, owner: Owner) -> io::Result<ListenerIndex> {
        let connections = &mut self.traffic.connections;
        let address = (Ipv4Addr::UNSPECIFIED, port).into();
        match connections.tcp.listen(address, u32::from(owner.0)) {
            Ok(index) => {
                connections.aliases.insert(index, listener);
                Ok(index)
            }
            Err(error) => {
                connections.tcp.unlisten(ListenerIndex(listener.index));
                Err(io::Error::other(error))
            }
        }
    }

    /// The transport's counters.
    pub fn stats(&self) -> Arc<DirectStats> {
        self.traffic.stats.clone()
    }

    /// The way to look at it from other threads.
    pub fn observer(&self) -> Observer {
        self.traffic.observer.clone()
    }

    /// Where frames come from and go to.
    pub fn device(&self) -> &'static str {
        self.device.name()
    }

    /// Whether memory that others share leaves from where it lies, if it is of the device's.
    pub fn lends(&self) -> bool {
        self.device.lends()
    }

    /// Handles the frames that are there, at most [`BUDGET`].
    fn receive(&mut self, events: &mut dyn Events) -> io::Result<usize> {
        let Direct { device, traffic, blocked, unflushed, .. } = self;
        device.receive(BUDGET, &mut |frame, checksum, transmitter| {
            traffic.frame(frame, checksum, events);
            *unflushed = true;
            *blocked |= !traffic.dispatch(transmitter);
        })
    }

    /// Raises what time alone makes due.
    fn expire(&mut self, events: &mut dyn Events) {
        let connections = &mut self.traffic.connections;
        let now = connections.tcp_now();
        if connections.tcp.next_deadline().is_some_and(|deadline| deadline <= now) {
            connections.pending = true;
            while let Some(arrival) = connections.tcp.expire(now) {
                connections.raise(arrival, events);
            }
        }
    }

    /// Sends what calls have left, and makes the kernel take it.
    fn send(&mut self) -> io::Result<()> {
        let transmitter = self.device.transmitter();
        let connections = &mut self.traffic.connections;
        if connections.links.is_due(connections.tcp_now()) {
            connections.links.refresh(connections.tcp_now())?;
            connections.pending |= connections.links.notice().is_some();
        }
        if self.traffic.connections.pending {
            self.unflushed = true;
            self.blocked = !self.traffic.dispatch(transmitter);
        }
        if self.unflushed || self.blocked {
            transmitter.flush()?;
            self.unflushed = false;
            if self.blocked {
                self.blocked = !self.traffic.dispatch(transmitter);
                transmitter.flush()?;
            }
        }
        Ok(())
    }

    fn tell_time(&mut self, events: &mut dyn Events) {
        if let Some(now) = events.awake() {
            self.traffic.connections.now = now;
        }
    }

    /// How long nothing is due.
    fn wait(&self, wait: Option<Duration>) -> Option<Duration> {
        let connections = &self.traffic.connections;
        if connections.has_resumed() || connections.links.is_due(connections.tcp_now()) {
            return Some(Duration::ZERO);
        }
        let (now, link) = (connections.tcp_now(), connections.links.next_deadline());
        let link = (link != afpa_tcp::Time::NEVER).then_some(link);
        let timers = connections.tcp.next_deadline().into_iter().chain(link).map(|deadline| deadline.since(now));
        let blocked = self.blocked.then_some(BLOCKED);
        wait.into_iter().chain(timers).chain(blocked).min()
    }

    fn sleep(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let timeout = wait.map(|wait| rustix::event::Timespec {
            tv_sec: wait.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: wait.subsec_nanos().into(),
        });
        let mut ready = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 8];
        let count = match epoll::wait(&self.epoll, &mut ready[..], timeout.as_ref()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        if ready[..count].iter().any(|event| event.data.u64() == KERNEL) {
            let connections = &mut self.traffic.connections;
            connections.links.refresh(connections.tcp_now())?;
        }
        Ok(())
    }

    /// Does what other threads asked for.
    fn observe(&mut self) -> io::Result<()> {
        for question in self.traffic.observer.take().into_iter().flatten() {
            // Whoever asked may have given up.
            match question {
                Question::Counters { answer } => {
                    self.publish();
                    let _ = answer.try_send(*self.traffic.connections.tcp.stats());
                }
                Question::Connections { limit, answer } => {
                    let _ = answer.try_send(self.traffic.connections.describe(limit));
                }
                Question::Capture(capture) => self.traffic.captures.push(capture),
            }
        }
        let now = self.traffic.connections.now;
        if now.since(self.published) >= PUBLISH {
            self.published = now;
            self.publish();
            let connections = &mut self.traffic.connections;
            if let Some(driver) = &self.driver {
                // The keys of the next epoch, too: for as long we may sleep.
                driver.publish(connections.tcp.offload(connections.tcp_now()).filter(|_| self.listens));
            }
            connections.links.refresh(connections.tcp_now())?;
        }
        Ok(())
    }

    /// Brings the counters that others count up to date.
    fn publish(&mut self) {
        let (stats, connections) = (&self.traffic.stats, &self.traffic.connections);
        stats.publish(connections.tcp.stats());
        stats.connections.set(connections.tcp.connections() as u64);
        stats.datagrams_lost.set(connections.datagrams.lost);
        let losses = self.device.losses();
        stats.receive_ring_full.set(losses.receive_ring_full);
        stats.fill_ring_empty.set(losses.fill_ring_empty);
        stats.receive_dropped.set(losses.receive_dropped);
        stats.transmit_invalid.set(losses.transmit_invalid);
        if let Some(driver) = &self.driver {
            stats.driver_answered.set(driver.answered());
            stats.driver_absorbed.set(driver.absorbed());
        }
    }
}

impl Traffic {
    /// A frame's way up: link header, IP, TCP or UDP, the module.
    fn frame(&mut self, frame: &[u8], checksum: Checksum, events: &mut dyn Events) {
        self.stats.frames_in.increment();
        if !self.captures.is_empty() {
            let now = self.connections.now;
            self.captures.retain(|capture| capture.record(now, false, &mut std::iter::once(frame)));
        }
        let now = self.connections.tcp_now();
        let Some(packet) = self.connections.links.arrived(now, frame) else {
            // The link's own question may have got an answer.
            self.connections.pending |= self.connections.links.notice().is_some();
            return self.stats.frames_ignored.increment();
        };
        let integrity = match checksum {
            Checksum::Unverified => Integrity::Verify,
            Checksum::Verified => Integrity::Verified,
        };
        if may_be_datagram(packet) && self.datagram(packet, integrity, events) {
            return;
        }
        if let Some(arrival) = self.connections.tcp.process(now, packet, integrity) {
            if arrival.opened.is_some()
                && let Some(peer) = self.connections.tcp.peer(arrival.handle)
            {
                self.connections.links.opened(arrival.handle, peer.ip());
            }
            self.connections.raise(arrival, events);
        } else {
            // A reply that belongs to no connection, or an acknowledgment, may be due.
            self.connections.pending = true;
        }
    }

    /// Takes a packet that carries a datagram, and returns whether it does.
    fn datagram(&mut self, packet: &[u8], integrity: Integrity, events: &mut dyn Events) -> bool {
        let Ok(parsed) = ip::Packet::parse(packet) else { return false };
        if parsed.protocol() != ip::UDP {
            return false;
        }
        let accepted = integrity == Integrity::Verified || self.is_intact(&parsed);
        let datagram = udp::Datagram::parse(parsed.payload()).ok().filter(|_| accepted && !parsed.is_fragment());
        let found = datagram.and_then(|datagram| {
            let to = SocketAddr::new(parsed.destination(), datagram.destination_port);
            Some((datagram, self.connections.datagrams.find(to)?))
        });
        match found {
            Some((datagram, (socket, owner))) => {
                let peer = SocketAddr::new(parsed.source(), datagram.source_port);
                events.datagram(&mut self.connections, socket, owner, peer, datagram.payload);
            }
            None => self.stats.frames_ignored.increment(),
        }
        true
    }

    /// Whether a datagram's checksum is right, or absent where RFC 768 allows that: IPv4.
    fn is_intact(&self, packet: &ip::Packet<'_>) -> bool {
        match udp::is_intact(packet.payload(), packet.pseudo_header()) {
            Found::Whole => true,
            Found::Partial => self.partial_checksums,
            Found::Broken => {
                let has_none = packet.payload().get(udp::CHECKSUM_OFFSET..udp::HEADER_LEN) == Some(&[0, 0]);
                has_none && packet.version() == ip::Version::V4
            }
        }
    }

    /// Sends what is due. Returns whether the device took everything.
    fn dispatch(&mut self, transmitter: &mut dyn FrameTransmitter) -> bool {
        let Traffic { connections, stats, captures, .. } = self;
        if !std::mem::take(&mut connections.pending) {
            return true;
        }
        let (now, tcp_now) = (connections.now, connections.tcp_now());
        let Connections { tcp, links, datagrams, .. } = connections;
        let mut outbound = Outbound { transmitter, links, stats, captures, now };
        let mut done = outbound.notices() && tcp.dispatch(tcp_now, &mut outbound);
        while done && let Some(outgoing) = datagrams.front() {
            done = outbound.datagram(outgoing.remote.ip(), &outgoing.packet);
            if done {
                datagrams.sent();
            }
        }
        connections.pending = !done;
        done
    }
}

impl Transport for Direct {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.traffic.connections.now = now;
        self.observe()?;
        self.send()?;
        // Frames that are there need no system call to be found.
        let mut count = self.receive(events)?;
        // Who was told that we are awake tells us nothing more by waking us: then this poll waits for nobody.
        let is_awake = count == 0 && self.busy;
        if is_awake {
            // The kernel's thread that receives for us may share our core, and be waiting for it: to let it
            // run costs less than to be woken by it.
            rustix::thread::sched_yield();
            self.tell_time(events);
            count = self.receive(events)?;
        }
        if count == 0 && !is_awake {
            let wait = self.wait(wait);
            let now = self.traffic.connections.now;
            // What is ready is found without the kernel: frames in memory, what is watched by those who have it watched.
            if wait != Some(Duration::ZERO) || now.since(self.asked) >= UNASKED {
                self.sleep(wait)?;
                self.tell_time(events);
                self.asked = self.traffic.connections.now;
                count = self.receive(events)?;
            }
        }
        self.busy = count > 0;
        self.traffic.connections.raise_resumed(events);
        self.expire(events);
        self.send()
    }

    fn calls(&mut self) -> &mut dyn Calls {
        &mut self.traffic.connections
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let copy = descriptor.try_clone_to_owned()?;
        // Once for each signal: whoever is woken looks for what it was about, and need not reset anything.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &copy, epoll::EventData::new_u64(WATCHED), flags)?;
        self.watched.insert(descriptor.as_raw_fd(), copy);
        Ok(())
    }

    fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        if let Some(copy) = self.watched.remove(&descriptor.as_raw_fd()) {
            // It would go on while its owner has it open. This fails only if it is not registered.
            let _ = epoll::delete(&self.epoll, &copy);
        }
    }

    /// Listens where the socket is bound, and keeps it; one that takes IPv4 as well as IPv6 listens to both, under one name. As with [`Direct::listen`], who steers packets for that address
    /// begins when every engine has adopted it, and ends before the first unlistens or when the last connection is over.
    fn adopt(&mut self, socket: OwnedFd, owner: Owner, _backlog: u16) -> io::Result<ListenerId> {
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        let address = SocketAddr::new(bound.ip().to_canonical(), bound.port());
        let listener = self.listen(&Listen::Stream(Address::Inet(address)), owner)?;
        let both = address.is_ipv6() && address.ip().is_unspecified() && !ipv6_v6only(&socket)?;
        let also = both.then(|| self.listen_also(listener, address.port(), owner)).transpose()?;
        self.adopted.insert(listener.index, Adopted { _socket: socket, also });
        Ok(listener)
    }

    fn unlisten(&mut self, listener: ListenerId) -> io::Result<()> {
        let connections = &mut self.traffic.connections;
        let is_ours = listener == connections.listener(listener.index);
        if !is_ours || !connections.tcp.unlisten(ListenerIndex(listener.index)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no stream is listened to"));
        }
        if let Some(also) = self.adopted.remove(&listener.index).and_then(|adopted| adopted.also) {
            connections.tcp.unlisten(also);
            connections.aliases.remove(&also);
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    fn is_pending(&self) -> bool {
        let connections = &self.traffic.connections;
        connections.pending || connections.has_resumed() || connections.links.is_due(connections.tcp_now())
    }

    fn patience(&self, now: Time) -> Option<Duration> {
        let elapsed = now.since(self.traffic.connections.now);
        self.wait(None).map(|wait| wait.saturating_sub(elapsed))
    }

    fn stop_listening(&mut self) {
        self.listens = false;
        if let Some(driver) = &self.driver {
            driver.publish(None);
        }
        self.traffic.connections.tcp.stop_listening();
        self.traffic.connections.datagrams.stop();
    }

    fn connections(&self) -> usize {
        self.traffic.connections.tcp.connections()
    }
}

/// Whether an IP packet can carry a datagram: nearly all others need not be looked at twice.
#[inline]
fn may_be_datagram(packet: &[u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9) == Some(&ip::UDP),
        // Extension headers may stand before it.
        Some(6) => !matches!(packet.get(6), Some(&ip::TCP | &ip::ICMPV6)),
        _ => false,
    }
}
