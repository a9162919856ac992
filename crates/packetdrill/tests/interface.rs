//! The C functions, called as packetdrill calls them.

use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use afpa_packetdrill::interface::{Interface, packetdrill_interface_init};
use afpa_wire::ip::{self, Ecn};
use afpa_wire::tcp::{self, Flags, Header, Options, Segment};
use std::net::{IpAddr, Ipv4Addr};

const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 8080;
const PEER_PORT: u16 = 50_000;

#[test]
fn a_connection_is_accepted_read_answered_and_closed() {
    let stack = Stack::new("delayed_ack=40");
    let listener = stack.listener();
    assert_eq!(stack.accept(listener), Err(libc::EAGAIN), "the script itself never blocks");
    let mut peer = Peer::open(&stack);
    let socket = stack.accept(listener).unwrap();

    peer.send(&stack, Flags::ACK | Flags::PSH, b"hello");
    assert_eq!(stack.inquire(socket, libc::FIONREAD), Ok(5));
    assert_eq!(stack.peek(socket).unwrap(), b"hello");
    assert_eq!(stack.read(socket).unwrap(), b"hello");
    assert_eq!(stack.read(socket), Err(libc::EAGAIN));
    assert_eq!(stack.write(socket, b"goodbye"), Ok(7));
    let answer = stack.sniff().unwrap();
    assert_eq!((answer.payload.as_slice(), answer.acknowledgment), (&b"goodbye"[..], peer.next));

    peer.acknowledgment = answer.sequence.wrapping_add(7);
    peer.send(&stack, Flags::ACK | Flags::FIN, b"");
    assert_eq!(stack.read(socket).unwrap(), b"", "the peer has finished");
    assert_eq!(stack.close(socket), Ok(0));
    assert_eq!(stack.close(socket), Err(libc::EBADF));
    let packets: Vec<_> = std::iter::from_fn(|| stack.sniff_soon()).collect();
    assert!(packets.iter().any(|packet| packet.flags.contains(Flags::FIN)));
    peer.acknowledgment = peer.acknowledgment.wrapping_add(1);
    peer.send(&stack, Flags::ACK, b"");
    assert_eq!(stack.close(listener), Ok(0));
}

#[test]
fn the_clock_moves_only_when_somebody_waits() {
    let stack = Stack::new("delayed_ack=40");
    let listener = stack.listener();
    let mut peer = Peer::open(&stack);
    let socket = stack.accept(listener).unwrap();
    let before = stack.microseconds();
    peer.send(&stack, Flags::ACK, b"one");
    let acknowledgment = stack.sniff().unwrap();
    let waited = acknowledgment.microseconds - before;
    assert!((39_000..45_000).contains(&waited), "delayed by {waited} µs");
    assert!(acknowledgment.payload.is_empty());
    stack.sleep(1_000_000);
    let slept = stack.microseconds() - acknowledgment.microseconds;
    assert!((1_000_000..1_000_100).contains(&slept), "slept for {slept} µs");
    assert!(stack.sniff().is_none(), "nothing is outstanding, so nothing ever leaves");
    stack.close(socket).unwrap();
}

#[test]
fn data_that_nobody_acknowledges_is_sent_again() {
    let stack = Stack::new("min_rto=200");
    let listener = stack.listener();
    Peer::open(&stack);
    let socket = stack.accept(listener).unwrap();
    stack.write(socket, b"lost").unwrap();
    let sent: Vec<_> = (0..4).map(|_| stack.sniff().unwrap()).collect();
    assert!(sent.iter().all(|packet| packet.payload == b"lost"));
    let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1].microseconds - pair[0].microseconds).collect();
    assert!(gaps[2] > gaps[1] && gaps[1] >= 199_000, "{gaps:?}");
    assert_eq!(stack.inquire(socket, libc::TIOCOUTQ), Ok(4));
}

#[test]
fn a_reset_is_reported_once() {
    let stack = Stack::new("");
    let listener = stack.listener();
    let mut peer = Peer::open(&stack);
    let socket = stack.accept(listener).unwrap();
    peer.send(&stack, Flags::RST, b"");
    let ready = stack.poll(socket, libc::POLLIN | libc::POLLOUT, 0);
    assert!(ready & libc::POLLERR != 0 && ready & libc::POLLHUP != 0, "{ready:#x}");
    assert_eq!(stack.read(socket), Err(libc::ECONNRESET));
    assert_eq!(stack.read(socket).unwrap(), b"");
    assert_eq!(stack.write(socket, b"late"), Err(libc::EPIPE));
}

#[test]
fn connections_are_opened_and_refused() {
    let stack = Stack::new("local=192.168.0.1");
    let socket = stack.socket();
    assert_eq!(stack.write(socket, b"early"), Err(libc::EPIPE));
    assert_eq!(stack.connect(socket), Err(libc::EINPROGRESS));
    assert_eq!(stack.connect(socket), Err(libc::EALREADY));
    let synchronize = stack.sniff().unwrap();
    assert!(synchronize.flags == Flags::SYN && synchronize.destination_port == PORT);
    let refusal = Header {
        source_port: PORT,
        destination_port: synchronize.source_port,
        sequence: 0,
        acknowledgment: synchronize.sequence.wrapping_add(1),
        flags: Flags::RST | Flags::ACK,
        window: 0,
        options: Options::default(),
    };
    stack.inject(&refusal, b"");
    assert_eq!(stack.option(socket, libc::SOL_SOCKET, libc::SO_ERROR), Ok(libc::ECONNREFUSED));
    assert_eq!(stack.option(socket, libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
}

#[test]
fn a_call_of_the_second_thread_waits_for_what_the_first_does() {
    let stack = Stack::new("");
    let listener = stack.listener();
    let shared = &stack;
    std::thread::scope(|threads| {
        let blocked = threads.spawn(move || {
            let socket = shared.accept(listener).unwrap();
            shared.microseconds();
            let request = shared.read(socket).unwrap();
            shared.microseconds();
            request
        });
        let mut peer = Peer::open(shared);
        shared.sleep(1000);
        peer.send(shared, Flags::ACK, b"request");
        shared.sleep(1000);
        assert_eq!(blocked.join().unwrap(), b"request");
    });
}

#[test]
fn polling_takes_as_long_as_it_is_told_or_until_something_is_so() {
    let stack = Stack::new("");
    let listener = stack.listener();
    let before = stack.microseconds();
    assert_eq!(stack.poll(listener, libc::POLLIN, 250), 0);
    let waited = stack.microseconds() - before;
    assert!((250_000..250_100).contains(&waited), "{waited} µs");
    Peer::open(&stack);
    assert_eq!(stack.poll(listener, libc::POLLIN, 250), libc::POLLIN);
    assert!(stack.microseconds() - before < 251_000);
    assert_eq!(stack.poll(-1, libc::POLLIN, 0), 0);
    assert_eq!(stack.poll(7777, libc::POLLIN, 0), libc::POLLNVAL);
}

#[test]
fn what_makes_no_sense_fails_with_the_error_of_the_system() {
    let stack = Stack::new("nonsense=1");
    let table = &stack.0;
    let failed = |result: c_int| errno_of(result as isize).unwrap_err();
    // SAFETY: the table's own `userdata`, and pointers that are null or live on this stack.
    unsafe {
        assert_eq!(failed((table.socket)(table.userdata, libc::AF_UNIX, libc::SOCK_STREAM, 0)), libc::EAFNOSUPPORT);
        assert_eq!(failed((table.socket)(table.userdata, libc::AF_INET, libc::SOCK_DGRAM, 0)), libc::EPROTONOSUPPORT);
        assert_eq!(failed((table.listen)(table.userdata, 7777, 1)), libc::EBADF);
        let socket = stack.socket();
        assert_eq!(failed((table.listen)(table.userdata, socket, 1)), libc::EINVAL, "not bound");
        assert_eq!(failed((table.bind)(table.userdata, socket, ptr::null(), 16)), libc::EFAULT);
        assert_eq!(errno_of((table.read)(table.userdata, socket, ptr::null_mut(), 10)), Err(libc::EFAULT));
        assert_eq!(errno_of((table.readv)(table.userdata, socket, ptr::null(), -1)), Err(libc::EINVAL));
        let mut octet = 0u8;
        let octet: *mut c_void = (&raw mut octet).cast();
        assert_eq!(errno_of((table.recv)(table.userdata, socket, octet, 1, libc::MSG_OOB)), Err(libc::EOPNOTSUPP));
        assert_eq!(errno_of((table.send)(table.userdata, socket, octet, 1, libc::MSG_OOB)), Err(libc::EOPNOTSUPP));
        assert_eq!(errno_of((table.sendmsg)(table.userdata, socket, ptr::null(), 0)), Err(libc::EFAULT));
        assert_eq!(failed((table.shutdown)(table.userdata, socket, 9)), libc::EINVAL);
        assert_eq!(failed((table.epoll_create)(table.userdata, 1)), libc::ENOSYS);
        assert_eq!(stack.option(socket, libc::IPPROTO_TCP, 999), Err(libc::ENOPROTOOPT));
        assert_eq!((table.netdev_send)(table.userdata, octet, 1), 0, "a packet that is none is dropped");
    }
}

#[test]
fn options_are_final_once_the_stack_is_in_use() {
    let stack = Stack::new("");
    let first = stack.socket();
    assert_eq!(stack.set_option(first, libc::SOL_SOCKET, libc::SO_RCVBUF, 8192), Ok(0));
    assert_eq!(stack.option(first, libc::SOL_SOCKET, libc::SO_RCVBUF), Ok(8192));
    let listener = stack.listener();
    assert_eq!(stack.set_option(listener, libc::SOL_SOCKET, libc::SO_RCVBUF, 16_384), Err(libc::ENOPROTOOPT));
    assert_eq!(stack.set_option(listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1), Ok(0));
    assert_eq!(stack.option(listener, libc::SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
}

/// A stack behind its table of functions.
struct Stack(Interface);

// SAFETY: `packetdrill_interface_init` allows two threads, and the tests have no more.
unsafe impl Sync for Stack {}

impl Stack {
    fn new(flags: &str) -> Stack {
        let flags = CString::new(flags).unwrap();
        let mut table = MaybeUninit::uninit();
        // SAFETY: a C string, and room for the table, which is then filled in.
        unsafe {
            packetdrill_interface_init(flags.as_ptr(), table.as_mut_ptr());
            Stack(table.assume_init())
        }
    }

    fn socket(&self) -> c_int {
        // SAFETY: the table's own `userdata`.
        unsafe { (self.0.socket)(self.0.userdata, libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP) }
    }

    fn listener(&self) -> c_int {
        let (socket, name) = (self.socket(), address(Ipv4Addr::UNSPECIFIED));
        // SAFETY: the table's own `userdata`, and an address of that length.
        unsafe {
            assert_eq!((self.0.bind)(self.0.userdata, socket, (&raw const name).cast(), 16), 0);
            assert_eq!((self.0.listen)(self.0.userdata, socket, 4), 0);
        }
        socket
    }

    fn accept(&self, listener: c_int) -> Result<c_int, i32> {
        let (mut name, mut length) = (address(Ipv4Addr::UNSPECIFIED), 16);
        // SAFETY: the table's own `userdata`, and room for an address of that length.
        let socket = unsafe { (self.0.accept)(self.0.userdata, listener, (&raw mut name).cast(), &raw mut length) };
        let socket = errno_of(socket as isize)?;
        assert_eq!((name.sin_port, name.sin_addr.s_addr), (PEER_PORT.to_be(), u32::from(REMOTE).to_be()));
        Ok(socket as c_int)
    }

    fn connect(&self, socket: c_int) -> Result<isize, i32> {
        let name = address(REMOTE);
        // SAFETY: the table's own `userdata`, and an address of that length.
        errno_of(unsafe { (self.0.connect)(self.0.userdata, socket, (&raw const name).cast(), 16) } as isize)
    }

    fn read(&self, socket: c_int) -> Result<Vec<u8>, i32> {
        self.receive(socket, 0)
    }

    fn peek(&self, socket: c_int) -> Result<Vec<u8>, i32> {
        self.receive(socket, libc::MSG_PEEK)
    }

    fn receive(&self, socket: c_int, flags: c_int) -> Result<Vec<u8>, i32> {
        let mut room = vec![0; 4096];
        // SAFETY: the table's own `userdata`, and room of that length.
        let count = unsafe { (self.0.recv)(self.0.userdata, socket, room.as_mut_ptr().cast(), room.len(), flags) };
        room.truncate(errno_of(count)? as usize);
        Ok(room)
    }

    fn write(&self, socket: c_int, octets: &[u8]) -> Result<isize, i32> {
        // SAFETY: the table's own `userdata`, and octets of that length.
        errno_of(unsafe { (self.0.write)(self.0.userdata, socket, octets.as_ptr().cast(), octets.len()) })
    }

    fn close(&self, socket: c_int) -> Result<isize, i32> {
        // SAFETY: the table's own `userdata`.
        errno_of(unsafe { (self.0.close)(self.0.userdata, socket) } as isize)
    }

    fn inquire(&self, socket: c_int, request: libc::c_ulong) -> Result<c_int, i32> {
        let mut answer = 0;
        // SAFETY: the table's own `userdata`, and room for the answer.
        let result = unsafe { (self.0.ioctl)(self.0.userdata, socket, request, &raw mut answer) };
        errno_of(result as isize).map(|_| answer)
    }

    fn option(&self, socket: c_int, level: c_int, name: c_int) -> Result<c_int, i32> {
        let (mut value, mut length) = (0, 4);
        let room: *mut c_int = &raw mut value;
        // SAFETY: the table's own `userdata`, and room for that length.
        let result = unsafe { (self.0.getsockopt)(self.0.userdata, socket, level, name, room.cast(), &raw mut length) };
        errno_of(result as isize).map(|_| value)
    }

    fn set_option(&self, socket: c_int, level: c_int, name: c_int, value: c_int) -> Result<isize, i32> {
        // SAFETY: the table's own `userdata`, and a value of that length.
        let result = unsafe { (self.0.setsockopt)(self.0.userdata, socket, level, name, (&raw const value).cast(), 4) };
        errno_of(result as isize)
    }

    fn poll(&self, socket: c_int, events: i16, timeout: c_int) -> i16 {
        let mut entry = libc::pollfd { fd: socket, events, revents: 0 };
        // SAFETY: the table's own `userdata`, and one entry.
        unsafe { (self.0.poll)(self.0.userdata, &raw mut entry, 1, timeout) };
        entry.revents
    }

    fn inject(&self, header: &Header, payload: &[u8]) {
        let packet = packet(header, payload);
        // SAFETY: the table's own `userdata`, and a packet of that length.
        assert_eq!(unsafe { (self.0.netdev_send)(self.0.userdata, packet.as_ptr().cast(), packet.len()) }, 0);
    }

    /// The next packet, however long it takes.
    fn sniff(&self) -> Option<Sniffed> {
        let (mut room, mut count, mut time) = (vec![0u8; 65_536], 65_536, 0);
        // SAFETY: the table's own `userdata`, and room of that length.
        let result = unsafe {
            let room = room.as_mut_ptr().cast();
            (self.0.netdev_receive)(self.0.userdata, room, &raw mut count, &raw mut time)
        };
        assert_eq!(result, 0);
        room.truncate(count);
        (count > 0).then(|| Sniffed::parse(&room, time))
    }

    /// The next packet of the next second.
    fn sniff_soon(&self) -> Option<Sniffed> {
        let before = self.microseconds();
        self.sniff().filter(|packet| packet.microseconds < before + 1_000_000)
    }

    fn sleep(&self, microseconds: u32) {
        // SAFETY: the table's own `userdata`.
        unsafe { (self.0.usleep)(self.0.userdata, microseconds) };
    }

    fn microseconds(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: the table's own `userdata`, and room for the time.
        unsafe { (self.0.gettimeofday)(self.0.userdata, &raw mut time, ptr::null_mut()) };
        time.tv_sec * 1_000_000 + time.tv_usec
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the table's own `userdata`, for the last time.
        unsafe { (self.0.free)(self.0.userdata) };
    }
}

/// The script's side of a connection.
struct Peer {
    next: u32,
    acknowledgment: u32,
}

impl Peer {
    fn open(stack: &Stack) -> Peer {
        let mut peer = Peer { next: 1000, acknowledgment: 0 };
        peer.send(stack, Flags::SYN, b"");
        let answer = stack.sniff().unwrap();
        assert!(answer.flags == Flags::SYN | Flags::ACK && answer.acknowledgment == 1001);
        peer.acknowledgment = answer.sequence.wrapping_add(1);
        peer.send(stack, Flags::ACK, b"");
        peer
    }

    fn send(&mut self, stack: &Stack, flags: Flags, payload: &[u8]) {
        let header = Header {
            source_port: PEER_PORT,
            destination_port: PORT,
            sequence: self.next,
            acknowledgment: self.acknowledgment,
            flags,
            window: 65_535,
            options: Options::default(),
        };
        stack.inject(&header, payload);
        let takes_a_number = flags.contains(Flags::SYN) || flags.contains(Flags::FIN);
        self.next = self.next.wrapping_add(payload.len() as u32 + u32::from(takes_a_number));
    }
}

/// What left.
struct Sniffed {
    microseconds: i64,
    source_port: u16,
    destination_port: u16,
    sequence: u32,
    acknowledgment: u32,
    flags: Flags,
    payload: Vec<u8>,
}

impl Sniffed {
    fn parse(octets: &[u8], microseconds: i64) -> Sniffed {
        let packet = ip::Packet::parse(octets).unwrap();
        assert_eq!((packet.source(), packet.destination()), (IpAddr::V4(LOCAL), IpAddr::V4(REMOTE)));
        assert_eq!(tcp::is_intact(packet.payload(), packet.pseudo_header()), tcp::Integrity::Whole);
        let segment = Segment::parse(packet.payload()).unwrap();
        Sniffed {
            microseconds,
            source_port: segment.source_port,
            destination_port: segment.destination_port,
            sequence: segment.sequence,
            acknowledgment: segment.acknowledgment,
            flags: segment.flags,
            payload: segment.payload.to_vec(),
        }
    }
}

fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 60];
    let length = header.write(&mut segment);
    segment.truncate(length);
    segment.extend_from_slice(payload);
    let (source, destination) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));
    let pseudo = afpa_wire::checksum::pseudo_header(source, destination, ip::TCP, segment.len() as u32);
    let checksum = tcp::checksum(&segment, pseudo);
    segment[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
    let header = ip::Header {
        source,
        destination,
        protocol: ip::TCP,
        ecn: Ecn::NotCapable,
        payload_len: segment.len(),
        identification: 0,
    };
    let mut packet = vec![0; 40];
    let length = header.write(&mut packet);
    packet.truncate(length);
    packet.extend_from_slice(&segment);
    packet
}

fn address(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    }
}

fn errno_of(result: isize) -> Result<isize, i32> {
    if result >= 0 { Ok(result) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) }
}
