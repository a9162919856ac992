//! What stays the kernel's while a server runs, and what is the kernel's again when it has ended, however it did.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::client::Client;
use crate::lab::{CLIENT, DEVICE, FRAMES, Lab, PORT, SERVER, SERVER_V6, has_ipv6};
use crate::pattern::{self, Comparison};
use crate::server::{Server, eventually};

#[test]
fn the_interface_is_as_before_however_the_server_ended() {
    let Some(lab) = Lab::cable("ended") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    // The kernels get to know each other.
    ping(&lab);
    let before = Interface::of(&lab);
    assert!(!before.has_program());
    // A crash leaves no file behind.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum }).unwrap();
    let signals = [Signal::KILL, Signal::TERM, Signal::ABORT, Signal::ILL];
    for (signal, frames) in signals.into_iter().flat_map(|signal| FRAMES.map(|frames| (signal, frames))) {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames, "--grace-period", "0s"]);
        assert_eq!(Interface::of(&lab).has_program(), frames == "xdp", "{}", Interface::of(&lab).link);
        let mut client = Client::connect(&lab.client, lab.address());
        assert_eq!(client.get("").body, b"<p>here");
        server.signal(signal);
        let (status, said) = server.end();
        assert_eq!(status.code(), (signal == Signal::TERM).then_some(0), "{said}");

        // The kernel takes a program away after the process has gone.
        eventually("leaving", || !Interface::of(&lab).has_program());
        let after = Interface::of(&lab);
        assert_eq!((&after.link, &after.addresses, &after.routes), (&before.link, &before.addresses, &before.routes));
        let is_known = |neighbour| after.neighbours.contains(neighbour);
        assert!(before.neighbours.iter().all(is_known), "{:?} {:?}", before.neighbours, after.neighbours);
        let connect = || lab.client.inside(|| TcpStream::connect(lab.address()));
        eventually("refusing", || connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));

        let server = Server::sockets(&lab, dir.path());
        for address in [lab.address()].into_iter().chain(lab.address_v6()) {
            assert_eq!(Client::connect(&lab.client, address).get("").body, b"<p>here", "by the kernel");
        }
        server.signal(Signal::TERM);
        assert_eq!(server.end().0.code(), Some(0));
    }
}

#[test]
fn a_server_follows_one_that_was_killed_at_once() {
    let Some(lab) = Lab::cable("follows") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    for frames in ["xdp", "xdp", "packet", "xdp"] {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames]);
        let mut client = Client::connect(&lab.client, lab.address());
        assert_eq!(client.get("").body, b"<p>here");
        server.signal(Signal::KILL);
        server.end();
        eventually("leaving", || !Interface::of(&lab).has_program());
        // The port is the process's until its ring has gone.
        eventually("a free port", || lab.server.inside(|| TcpListener::bind(lab.address())).is_ok());
    }
}

#[test]
fn a_server_that_is_stopped_finishes_what_is_in_flight() {
    const LENGTH: u64 = 32 << 20;
    let Some(lab) = Lab::cable("stopped") else { return };
    let dir = tempfile::tempdir().unwrap();
    pattern::write(&dir.path().join("big"), LENGTH);
    for frames in FRAMES {
        let server = Server::direct(&lab, dir.path(), &["--frames", frames, "--grace-period", "1m"]);
        let mut client = Client::connect(&lab.client, lab.address());
        let mut idle = Client::connect(&lab.client, lab.address());
        assert_eq!(idle.get("none").status, 404);
        client.ask(Path::new("big"), "");
        assert_eq!(client.head().length(), LENGTH);
        server.signal(Signal::TERM);
        assert!(idle.is_finished());
        let connect = || lab.client.inside(|| TcpStream::connect(lab.address()));
        eventually("refusing", || connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
        client.compare(&mut Comparison::default(), LENGTH);
        assert!(client.is_finished());
        let (status, said) = server.end();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn everything_else_stays_the_kernels() {
    let Some(lab) = Lab::cable("others") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>here").unwrap();
    for frames in FRAMES {
        everything_else_with(&lab, &Server::direct(&lab, dir.path(), &["--frames", frames]));
    }
}

fn everything_else_with(lab: &Lab, server: &Server<'_>) {
    let mut client = Client::connect(&lab.client, lab.address());
    for address in [lab.address()].into_iter().chain(lab.address_v6()) {
        let port = |port| SocketAddr::new(address.ip(), port);
        // Another service, by the kernel's TCP.
        let listener = lab.server.inside(|| TcpListener::bind(port(22))).unwrap();
        let mut there = lab.client.inside(|| TcpStream::connect(port(22))).unwrap();
        let (mut here, _) = listener.accept().unwrap();
        let text = vec![7; 100_000];
        std::thread::scope(|scope| {
            scope.spawn(|| here.write_all(&text).unwrap());
            let mut read = vec![0; text.len()];
            there.read_exact(&mut read).unwrap();
            assert!(read == text);
        });
        let closed = lab.client.inside(|| TcpStream::connect(port(23)));
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // Datagrams, also to a port of the same number.
        for number in [53, PORT] {
            let here = lab.server.inside(|| UdpSocket::bind(port(number))).unwrap();
            let any: SocketAddr = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let there = lab.client.inside(|| UdpSocket::bind(any)).unwrap();
            for socket in [&here, &there] {
                socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            }
            there.send_to(b"question", port(number)).unwrap();
            let mut datagram = [0; 100];
            let (length, from) = here.recv_from(&mut datagram).unwrap();
            here.send_to(&datagram[..length], from).unwrap();
            assert_eq!(there.recv(&mut datagram).unwrap(), length);
        }
        assert_eq!(client.get("").body, b"<p>here");
    }
    ping(lab);
    // From the server's own machine the kernel's TCP answers.
    assert_eq!(Client::connect(&lab.server, lab.address()).get("").body, b"<p>here");
    assert_eq!(server.engine("resets"), 0);
}

/// What `ip` says of the server's interface.
struct Interface {
    link: String,
    addresses: String,
    routes: String,
    /// Address and link address; what else is known of them changes.
    neighbours: Vec<String>,
}

impl Interface {
    fn of(lab: &Lab) -> Interface {
        let neighbours = lab.server.ip(&["neighbour", "show", "dev", DEVICE]);
        // The client alone: what the kernel tried of its own accord it forgets again.
        let neighbours = neighbours.lines().filter(|line| line.starts_with(CLIENT) || line.starts_with("fd77::2"));
        Interface {
            link: lab.server.ip(&["-d", "link", "show", DEVICE]),
            // The kernel looks for others with an address of its own choice in its own time.
            addresses: lab.server.ip(&["address", "show", DEVICE]).replace(" tentative", ""),
            routes: lab.server.ip(&["route", "show"]),
            neighbours: neighbours.map(|line| line.split_whitespace().take(3).collect()).collect(),
        }
    }

    fn has_program(&self) -> bool {
        self.link.contains("xdp")
    }
}

/// Has the server's kernel answer an echo request of each version.
fn ping(lab: &Lab) {
    // Type, code, checksum, identifier, sequence number.
    let v4 = lab.client.inside(|| socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))).unwrap();
    let address: Ipv4Addr = SERVER.parse().unwrap();
    let mut request = [8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum = !afpa_wire::checksum::sum(&request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    sendto(&v4, &request, SendFlags::empty(), &SocketAddrV4::new(address, 0)).unwrap();
    // The IP header comes along.
    wait_for(&v4, |packet| packet.get(20..28).is_some_and(|reply| reply[0] == 0 && reply[4..] == request[4..]));
    if has_ipv6() {
        let v6 = lab.client.inside(|| socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6))).unwrap();
        let address: Ipv6Addr = SERVER_V6.parse().unwrap();
        let request = [128, 0, 0, 0, 0x12, 0x34, 0, 1];
        sendto(&v6, &request, SendFlags::empty(), &SocketAddrV6::new(address, 0, 0, 0)).unwrap();
        wait_for(&v6, |reply| reply.len() >= 8 && reply[0] == 129 && reply[4..8] == request[4..]);
    }
}

fn wait_for(socket: &OwnedFd, is_it: impl Fn(&[u8]) -> bool) {
    set_socket_timeout(socket, Timeout::Recv, Some(Duration::from_secs(30))).unwrap();
    let mut packet = [0; 2048];
    loop {
        let received = retry_on_intr(|| recv(socket, &mut packet[..], RecvFlags::empty()));
        let (length, _) = received.expect("an echo");
        if is_it(&packet[..length]) {
            return;
        }
    }
}
