//! Frames through a packet socket, in namespaces that the tests make: we are at the far end, the kernel is at
//! the near one.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use afpa_platform::netlink::interface_index;
use afpa_platform::packet::{Checksum, PacketConfig, PacketSocket, Protocol, Segmentation, Shield, Spread};
use rustix::net::sockopt;

mod link;

use link::{Pair, frames, privileged};

const OURS: [u8; 4] = [10, 77, 0, 2];
const KERNELS: [u8; 4] = [10, 77, 0, 1];

/// A shield over `end`, and a socket that sees what is listed.
fn open(pair: &Pair, end: &str, listed: &[(Protocol, &str)]) -> (Shield, PacketSocket) {
    pair.inside(end, || {
        let interface = interface_index(end).unwrap();
        let shield = Shield::attach(interface).unwrap();
        for (protocol, local) in listed {
            shield.steer(*protocol, local.parse().unwrap()).unwrap();
        }
        let socket = PacketSocket::open(&PacketConfig::new(interface), &shield).unwrap();
        (shield, socket)
    })
}

/// Frames that arrive until `until` says that it is enough.
fn receive(socket: &mut PacketSocket, mut until: impl FnMut(&[u8], Checksum) -> bool) {
    let mut is_over = false;
    while !is_over {
        link::readable(socket.descriptor());
        let each = &mut |frame: &[u8], checksum| {
            is_over |= until(frame, checksum);
            Ok(())
        };
        socket.receiver.receive(100, each).unwrap();
    }
}

/// A kernel's socket at the near end that has sent `octets` to `remote`.
fn ask(pair: &Pair, remote: &str, octets: &[u8]) -> UdpSocket {
    pair.inside_near(|| {
        let remote: SocketAddr = remote.parse().unwrap();
        let local: SocketAddr = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(local).unwrap();
        socket.connect(remote).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        socket.send(octets).unwrap();
        socket
    })
}

/// Waits until the kernel at the far end says that nobody takes what this socket sent.
fn assert_refused(socket: &UdpSocket) {
    let answer = socket.recv(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(answer, Err(std::io::ErrorKind::ConnectionRefused));
}

#[test]
fn frames_go_both_ways() {
    let Some(pair) = privileged(|| Pair::new("packet")) else { return };
    let listed = [(Protocol::Udp, "10.77.0.2:5000"), (Protocol::Udp, "[::]:5000")];
    let (_shield, mut socket) = open(&pair, "far", &listed);
    for (remote, payload_at) in [("10.77.0.2:5000", 42), ("[fd77::2]:5000", 62)] {
        let _asking = ask(&pair, remote, b"a question");
        receive(&mut socket, |frame, checksum| {
            assert_eq!((&frame[payload_at..], checksum), (&b"a question"[..], Checksum::Partial));
            true
        });
    }
    let kernels = pair.inside_near(|| UdpSocket::bind("10.77.0.1:4000").unwrap());
    for length in [0, 1, 1472] {
        let payload = vec![9; length];
        let datagram = frames::udp(OURS, 5000, KERNELS, 4000, &payload);
        let (head, rest) = datagram.split_at(14);
        // More pieces than a system call is given.
        socket.transmitter.push(head, &mut rest.chunks(7), None).unwrap();
        socket.transmitter.flush().unwrap();
        let mut octets = [0; 2000];
        let (count, from) = kernels.recv_from(&mut octets).unwrap();
        assert_eq!((&octets[..count], from), (&payload[..], "10.77.0.2:5000".parse().unwrap()));
    }
    // An error about what we sent reaches us.
    let lost = frames::udp(OURS, 5000, KERNELS, 4001, b"to nobody");
    socket.transmitter.push(&lost, &mut [].into_iter(), None).unwrap();
    socket.transmitter.flush().unwrap();
    receive(&mut socket, |frame, _| {
        assert_eq!((frame[23], frame[34], frame[35]), (1, 3, 3), "ICMP, unreachable, port");
        true
    });
    let statistics = socket.statistics().unwrap();
    assert_eq!((statistics.received, statistics.transmit_dropped), (3, 0));
}

#[test]
fn short_frames_leave_in_order_together_with_long_ones() {
    let Some(pair) = privileged(|| Pair::new("order")) else { return };
    for end in ["near", "far"] {
        pair.run(end, &format!("ip link set {end} mtu 9000"));
    }
    let (_shield, mut socket) = open(&pair, "far", &[]);
    let kernels = pair.inside_near(|| UdpSocket::bind("10.77.0.1:4000").unwrap());
    for number in 0..200u16 {
        let payload = vec![number as u8; if number % 70 == 0 { 5000 } else { 50 }];
        let datagram = frames::udp(OURS, 5000, KERNELS, 4000, &payload);
        socket.transmitter.push(&datagram[..42], &mut datagram[42..].chunks(1000), None).unwrap();
    }
    assert_eq!((socket.transmitter.unsent(), socket.transmitter.room()), (59, 5));
    socket.transmitter.flush().unwrap();
    assert_eq!((socket.transmitter.unsent(), socket.transmitter.room()), (0, 64));
    let mut octets = [0; 9000];
    for number in 0..200u16 {
        kernels.recv(&mut octets).unwrap();
        assert_eq!(octets[0], number as u8);
    }
    // What the interface does not carry is dropped and counted, and what is behind it still leaves.
    for length in [20_000, 100] {
        let datagram = frames::udp(OURS, 5000, KERNELS, 4000, &vec![1; length]);
        socket.transmitter.push(&datagram, &mut [].into_iter(), None).unwrap();
    }
    socket.transmitter.flush().unwrap();
    assert_eq!(kernels.recv(&mut octets).unwrap(), 100);
    assert_eq!(socket.statistics().unwrap().transmit_dropped, 1);
}

#[test]
fn a_large_segment_arrives_whole_or_cut_with_right_checksums() {
    let Some(pair) = privileged(|| Pair::new("gso")) else { return };
    let (_ours, mut sender) = open(&pair, "far", &[]);
    let (_theirs, mut receiver) = open(&pair, "near", &[(Protocol::Tcp, "10.77.0.1:4000")]);
    let payload: Vec<u8> = (0..60_000u32).map(|number| (number / 7) as u8).collect();
    let head = frames::tcp_head(OURS, 5000, KERNELS, 4000, payload.len());
    let segmentation = Segmentation { is_ipv4: true, segment_size: 1460, transport_offset: 34, head_len: 54 };
    // The peer of a veth pair takes it whole, with checksums left undone, unless the operator minds.
    let mut ways = vec![("true", 1..42)];
    if link::is_there("ethtool") {
        ways.push(("ethtool -K far tso off >/dev/null", 42..43));
        ways.push(("ethtool -K far tx off >/dev/null", 42..43));
    }
    for (command, expected) in ways {
        pair.run("far", command);
        sender.transmitter.push(&head, &mut payload.chunks(20_000), Some(segmentation)).unwrap();
        let (mut arrived, mut segments) = (Vec::new(), 0);
        receive(&mut receiver, |frame, checksum| {
            segments += 1;
            assert_eq!(frames::sequence(frame), frames::SEQUENCE + arrived.len() as u32);
            assert_eq!(checksum == Checksum::Partial, !frames::is_intact(frame), "{checksum:?}");
            arrived.extend_from_slice(&frame[54..]);
            arrived.len() >= payload.len()
        });
        assert_eq!(arrived, payload);
        assert!(expected.contains(&segments), "{command}: {segments} segments");
    }
    assert_eq!(sender.statistics().unwrap().transmit_dropped, 0);
}

#[test]
fn a_shield_keeps_from_the_kernel_what_is_listed_and_nothing_else() {
    let Some(pair) = privileged(|| Pair::new("shield")) else { return };
    let shield = pair.inside("far", || Shield::attach(interface_index("far").unwrap()).unwrap());
    let large = [0; 4000];
    for (protocol, local) in
        [(Protocol::Udp, "0.0.0.0:5000"), (Protocol::Udp, "[fd77::2]:5000"), (Protocol::Tcp, "10.77.0.2:5001")]
    {
        shield.steer(protocol, local.parse().unwrap()).unwrap();
    }
    for (version, host) in [(4, "10.77.0.2"), (6, "[fd77::2]")] {
        let asked = [ask(&pair, &format!("{host}:5000"), b"small"), ask(&pair, &format!("{host}:5000"), &large)];
        // TCP's 5001 is listed, UDP's is not; a datagram of several fragments is as good as another.
        for (port, octets) in [(5001, &b"small"[..]), (5002, &large[..]), (4999, b"small")] {
            assert_refused(&ask(&pair, &format!("{host}:{port}"), octets));
        }
        // Answers come in order: these would have been refused by now.
        for socket in asked {
            assert!(socket.take_error().unwrap().is_none(), "version {version}");
        }
    }
    let counters = shield.counters().unwrap();
    assert!(counters.dropped == 4 && counters.passed >= 7, "{counters:?}");
    // Listed twice, it has to be taken off twice.
    let local = "0.0.0.0:5000".parse().unwrap();
    shield.steer(Protocol::Udp, local).unwrap();
    shield.unsteer(Protocol::Udp, local).unwrap();
    let asked = ask(&pair, "10.77.0.2:5000", b"again");
    assert_refused(&ask(&pair, "10.77.0.2:5002", b"again"));
    assert!(asked.take_error().unwrap().is_none());
    shield.unsteer(Protocol::Udp, local).unwrap();
    shield.unsteer(Protocol::Udp, local).unwrap();
    assert_refused(&ask(&pair, "10.77.0.2:5000", b"and again"));
}

#[test]
fn segments_to_a_range_of_ports_are_ours_without_a_reset() {
    let Some(pair) = privileged(|| Pair::new("range")) else { return };
    let (shield, mut socket) = open(&pair, "far", &[(Protocol::Tcp, "10.77.0.2:80")]);
    shield.steer_range("10.77.0.2".parse().unwrap(), 40_000..=40_010).unwrap();
    let empty = std::ops::RangeInclusive::new(2, 1);
    assert!(shield.steer_range("10.77.0.2".parse().unwrap(), empty).is_err());
    let asking = [80, 40_000, 40_010].map(|port| {
        let asking = pair.inside_near(|| link::begin_to_connect((OURS, port).into()));
        receive(&mut socket, |frame, _| frame[36..38] == port.to_be_bytes() && frame[47] == 2);
        asking
    });
    for port in [81, 39_999, 40_011] {
        let asked = pair.inside_near(|| std::net::TcpStream::connect(SocketAddr::from((OURS, port))));
        let error = asked.map(drop).map_err(|error| error.kind());
        assert_eq!(error, Err(std::io::ErrorKind::ConnectionRefused), "port {port}");
    }
    // Answers come in order: these would have been refused by now.
    assert!(asking.iter().all(|socket| matches!(sockopt::socket_error(socket), Ok(Ok(())))));
}

#[test]
fn sockets_of_a_group_share_the_frames_by_flow() {
    let Some(pair) = privileged(|| Pair::new("group")) else { return };
    let (_shield, mut sockets) = pair.inside("far", || {
        let interface = interface_index("far").unwrap();
        let shield = Shield::attach(interface).unwrap();
        shield.steer(Protocol::Udp, "10.77.0.2:5000".parse().unwrap()).unwrap();
        let config = PacketConfig { spread: Some(Spread::Flow), ..PacketConfig::new(interface) };
        let alone = PacketSocket::open(&PacketConfig::new(interface), &shield).unwrap();
        assert!(PacketSocket::open_beside(&config, &shield, &alone).is_err());
        let first = PacketSocket::open(&config, &shield).unwrap();
        let second = PacketSocket::open_beside(&config, &shield, &first).unwrap();
        (shield, [first, second])
    });
    let asked: Vec<_> = (0..64u8).map(|number| ask(&pair, "10.77.0.2:5000", &[number])).collect();
    for (number, socket) in asked.iter().enumerate() {
        socket.send(&[number as u8]).unwrap();
    }
    let mut by_flow = vec![Vec::new(); 64];
    for _ in 0..2 * asked.len() {
        link::any_readable(&sockets.each_ref().map(PacketSocket::descriptor));
        for (number, socket) in sockets.iter_mut().enumerate() {
            let each = &mut |frame: &[u8], _| {
                by_flow[usize::from(frame[42])].push(number);
                Ok(())
            };
            socket.receiver.receive(1, each).unwrap();
        }
        if by_flow.iter().map(Vec::len).sum::<usize>() == 2 * asked.len() {
            break;
        }
    }
    assert!([0, 1].iter().all(|number| by_flow.iter().flatten().any(|seen| seen == number)), "each has its part");
    for (flow, seen) in by_flow.iter().enumerate() {
        assert!(seen == &[0, 0] || seen == &[1, 1], "flow {flow}: {seen:?}");
    }
}

#[test]
fn an_interface_that_goes_down_and_up_again_goes_on() {
    let Some(pair) = privileged(|| Pair::new("updown")) else { return };
    let (_shield, mut socket) = open(&pair, "far", &[(Protocol::Udp, "10.77.0.2:5000")]);
    pair.run("far", "ip link set far down");
    assert_eq!(socket.receiver.receive(10, &mut |_, _| Ok(())).unwrap(), 0);
    let datagram = frames::udp(OURS, 5000, KERNELS, 4000, b"lost");
    socket.transmitter.push(&datagram, &mut [].into_iter(), None).unwrap();
    socket.transmitter.flush().unwrap();
    assert_eq!(socket.statistics().unwrap().transmit_dropped, 1);
    pair.run("far", "ip link set far up");
    let _asking = ask(&pair, "10.77.0.2:5000", b"up again");
    receive(&mut socket, |frame, _| frame[42..] == b"up again"[..]);
    pair.run("far", "ip link del far");
    socket.transmitter.push(&datagram, &mut [].into_iter(), None).unwrap();
    assert!(socket.transmitter.flush().is_err());
}

/// Names the pair of namespaces to the process that is killed.
const HOLD: &str = "AFPA_TEST_HOLD_SHIELD";

#[test]
fn a_shield_is_gone_when_its_process_is_killed() {
    let Some(pair) = privileged(|| Pair::new("killed")) else { return };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_shield_until_it_is_killed", "--nocapture"])
        .env(HOLD, pair.name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holding")), "the process has attached its shield");
    let asked = ask(&pair, "10.77.0.2:5000", b"shielded");
    assert_refused(&ask(&pair, "10.77.0.2:5001", b"not shielded"));
    assert!(asked.take_error().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_refused(&ask(&pair, "10.77.0.2:5000", b"no longer"));
}

#[test]
fn holds_a_shield_until_it_is_killed() {
    let Ok(name) = std::env::var(HOLD) else { return };
    let pair = Pair::of_another(&name);
    let _shield = pair.inside("far", || {
        let shield = Shield::attach(interface_index("far").unwrap()).unwrap();
        shield.steer(Protocol::Udp, "10.77.0.2:5000".parse().unwrap()).unwrap();
        shield
    });
    println!("holding");
    // Until the other process kills this one, or ends.
    let _ = std::io::stdin().read(&mut [0]);
}
