//! Frames between a TAP device and the kernel, in namespaces that the tests make.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use afpa_platform::tap::{Checksum, Segmentation, Tap};

mod link;

use link::{frames, privileged};

/// A TAP device in a namespace of its own: the kernel has 10.78.0.1 and takes 10.78.0.2 for a neighbour with
/// the address of [`frames::FAR`].
fn tap(name: &str, test: impl FnOnce(Tap) + Send) {
    let Some(pair) = privileged(|| link::Pair::new(name)) else { return };
    pair.inside_near(|| {
        let tap = Tap::open("afpa%d", false).unwrap();
        let name = tap.name();
        for command in [
            format!("ip link set {name} address 02:00:00:00:00:01 up"),
            format!("ip addr add 10.78.0.1/24 dev {name}"),
            format!("ip neigh add 10.78.0.2 lladdr 02:00:00:00:00:02 dev {name} nud permanent"),
        ] {
            pair.near(&command);
        }
        test(tap);
    });
}

/// The next frame that is IPv4.
fn next(tap: &mut Tap) -> (Vec<u8>, Checksum) {
    loop {
        let mut found = None;
        let each = &mut |frame: &[u8], checksum| {
            found = frames::is_ipv4(frame).then(|| (frame.to_vec(), checksum));
            Ok(())
        };
        if tap.receiver.receive(1, each).unwrap() == 0 {
            link::readable(tap.descriptor());
        }
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn frames_go_both_ways() {
    tap("both", |mut tap| {
        let socket = UdpSocket::bind("10.78.0.1:4000").unwrap();
        socket.send_to(b"out", "10.78.0.2:5000").unwrap();
        let (frame, checksum) = next(&mut tap);
        assert_eq!((&frame[42..], checksum), (&b"out"[..], Checksum::Partial));
        assert_eq!(&frame[..12], [frames::FAR, frames::NEAR].concat());
        let datagram = frames::udp([10, 78, 0, 2], 5000, [10, 78, 0, 1], 4000, b"and back");
        let (head, rest) = datagram.split_at(40);
        // More pieces than a system call is given.
        tap.transmitter.push(head, &mut rest.chunks(1).chain([&[][..]; 100]), None).unwrap();
        let mut octets = [0; 100];
        let (count, from) = socket.recv_from(&mut octets).unwrap();
        assert_eq!((&octets[..count], from), (&b"and back"[..], "10.78.0.2:5000".parse().unwrap()));
        tap.transmitter.push(&datagram[..13], &mut [].into_iter(), None).unwrap();
        assert_eq!(tap.statistics().transmit_dropped, 1, "no frame is that short");
        assert!(tap.transmitter.flush().is_ok());
    });
}

#[test]
fn a_large_segment_is_taken_whole_and_counted_by_the_kernel() {
    tap("large", |mut tap| {
        // Nobody listens: the kernel answers with a reset that acknowledges every octet.
        let payload = vec![7; 60_000];
        let head = frames::tcp_head([10, 78, 0, 2], 5000, [10, 78, 0, 1], 4000, payload.len());
        let segmentation = Segmentation { is_ipv4: true, segment_size: 1460, transport_offset: 34, head_len: 54 };
        tap.transmitter.push(&head, &mut payload.chunks(20_000), Some(segmentation)).unwrap();
        let (frame, _) = next(&mut tap);
        assert_eq!(frame[47] & 4, 4, "a reset");
        let acknowledged = u32::from_be_bytes(frame[42..46].try_into().unwrap());
        assert_eq!(acknowledged, frames::SEQUENCE + 60_000);
    });
}

#[test]
fn the_kernel_hands_over_several_segments_as_one_frame() {
    tap("several", |mut tap| {
        let listener = TcpListener::bind("10.78.0.1:4000").unwrap();
        let head = frames::tcp_head([10, 78, 0, 2], 5000, [10, 78, 0, 1], 4000, 0);
        let (syn, ack, syn_ack) = (2, 16, 18);
        let send = |tap: &mut Tap, flags, sequence, acknowledgment| {
            let frame = frames::tcp(5000, 4000, flags, sequence, acknowledgment, &head);
            tap.transmitter.push(&frame, &mut [].into_iter(), None).unwrap();
        };
        send(&mut tap, syn, frames::SEQUENCE, 0);
        let (answer, _) = next(&mut tap);
        assert_eq!(answer[47], syn_ack);
        let begin = frames::sequence(&answer) + 1;
        send(&mut tap, ack, frames::SEQUENCE + 1, begin);
        let (mut stream, _) = listener.accept().unwrap();
        let payload: Vec<u8> = (0..4000u32).map(|number| (number / 9) as u8).collect();
        stream.write_all(&payload).unwrap();
        let (mut arrived, mut longest) = (Vec::new(), 0);
        while arrived.len() < payload.len() {
            let (frame, checksum) = next(&mut tap);
            assert_eq!((frames::sequence(&frame), checksum), (begin + arrived.len() as u32, Checksum::Partial));
            // A SYN without options asks for segments of 536 octets.
            longest = longest.max(frame.len() - 54);
            arrived.extend_from_slice(&frame[54..]);
        }
        assert!(arrived == payload && longest > 536, "the longest frame has {longest} octets");
    });
}

#[test]
fn a_device_is_gone_when_it_is_dropped_and_says_so_when_it_is_removed() {
    tap("gone", |tap| {
        let (name, taken) = (tap.name().to_owned(), Tap::open(tap.name(), false));
        assert!(taken.is_err_and(|error| error.to_string().contains("in use")));
        drop(tap);
        // A program that another test is just starting holds every descriptor until it is executed.
        let until = Instant::now() + Duration::from_secs(30);
        while afpa_platform::netlink::interface_index(&name).is_ok() {
            assert!(Instant::now() < until, "{name} is still there");
            std::thread::yield_now();
        }
        let queues = [true; 2].map(|multi_queue| Tap::open("afpa-many", multi_queue).unwrap());
        link::shell("ip link del afpa-many");
        for mut tap in queues {
            tap.transmitter.push(&[0; 60], &mut [].into_iter(), None).unwrap();
            assert!(tap.transmitter.flush().is_err() && tap.descriptor().as_fd().try_clone_to_owned().is_ok());
        }
        assert!(Tap::open("a-name-of-seventeen", false).is_err());
    });
}
