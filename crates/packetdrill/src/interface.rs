//! The C entry points: packetdrill's `struct packetdrill_interface`, and the function that fills it in.
//!
//! Each turns pointers into references, calls safe code, and turns the result into a number and `errno`.

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_ulong, c_void};
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval, useconds_t,
};

use crate::adapter::Adapter;
use crate::errno::Errno;
use crate::poll::{self, Interest};
use crate::settings::Settings;
use crate::socket::{Role, Socket};
use crate::stack::Stack;
use crate::{address, options};

/// The most parts of a scattered read or a gathered write.
const PARTS: usize = 1024;
/// The most entries of `poll`.
const POLLED: usize = 1024;
/// Flags of receiving and sending that are understood; of these only peeking changes anything.
const RECEIVE_FLAGS: c_int = libc::MSG_PEEK | libc::MSG_DONTWAIT;
const SEND_FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// packetdrill's table of functions, in its order. Every function is given `userdata`, and but for `free` returns -1
/// with `errno` if it fails.
#[repr(C)]
#[allow(missing_docs)]
#[derive(Debug)]
pub struct Interface {
    pub userdata: *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void),
    pub socket: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(*mut c_void, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, size_t) -> ssize_t,
    pub readv: unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t,
    pub recv: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    pub recvfrom:
        unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    pub recvmsg: unsafe extern "C" fn(*mut c_void, c_int, *mut msghdr, c_int) -> ssize_t,
    pub write: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, size_t) -> ssize_t,
    pub writev: unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t,
    pub send: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, size_t, c_int) -> ssize_t,
    pub sendto:
        unsafe extern "C" fn(*mut c_void, c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    pub sendmsg: unsafe extern "C" fn(*mut c_void, c_int, *const msghdr, c_int) -> ssize_t,
    pub fcntl: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_long) -> c_int,
    pub ioctl: unsafe extern "C" fn(*mut c_void, c_int, c_ulong, *mut c_int) -> c_int,
    pub close: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub setsockopt: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(*mut c_void, *mut pollfd, nfds_t, c_int) -> c_int,
    pub netdev_send: unsafe extern "C" fn(*mut c_void, *const c_void, size_t) -> c_int,
    pub netdev_receive: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    pub usleep: unsafe extern "C" fn(*mut c_void, useconds_t) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(*mut c_void, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(*mut c_void, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(*mut c_void, *mut c_int) -> c_int,
    pub splice:
        unsafe extern "C" fn(*mut c_void, c_int, *mut loff_t, c_int, *mut loff_t, size_t, std::ffi::c_uint) -> ssize_t,
}

/// Fills in `interface` with a new stack. `flags` is what follows `--so_flags`, or null; the README says what it may hold,
/// and what is not understood is reported on standard error.
///
/// # Safety
/// `interface` can be written. `flags` is null or a C string. The functions may be called, by two threads at most, until
/// `free`, and each with pointers that are valid as the system's call of that name wants them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let flags = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: not null, so a C string, as the caller promises.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let (settings, unknown) = Settings::parse(&flags);
    for pair in unknown {
        eprintln!("so_flags: {pair:?} is not understood");
    }
    let userdata = Box::into_raw(Box::new(Adapter::new(settings))).cast();
    let table = Interface {
        userdata,
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the caller promises that it can be written.
    unsafe { interface.write(table) };
}

unsafe extern "C" fn free(userdata: *mut c_void) {
    // SAFETY: made by `packetdrill_interface_init`, and given back once.
    drop(unsafe { Box::from_raw(userdata.cast::<Adapter>()) });
}

unsafe extern "C" fn socket(userdata: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    let is_v6 = match domain {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return number(Err(Errno::ADDRESS_FAMILY)),
    };
    if kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM
        || ![0, libc::IPPROTO_TCP].contains(&protocol)
    {
        return number(Err(Errno::PROTOCOL));
    }
    let socket = Socket::new(is_v6, kind & libc::SOCK_NONBLOCK != 0);
    number(new_descriptor(|descriptor| adapter.with(|stack| stack.open(descriptor, socket))))
}

unsafe extern "C" fn bind(userdata: *mut c_void, socket: c_int, name: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: `userdata` is ours, and `name` holds `length` octets.
    let (adapter, name) = unsafe { (adapter(userdata), octets(name.cast(), length as usize)) };
    number(name.and_then(address::decode).and_then(|name| {
        adapter.with(|stack| {
            let socket = stack.socket_mut(socket)?;
            if socket.bound.is_some() || !matches!(socket.role, Role::Fresh) {
                return Err(Errno::INVALID);
            }
            socket.bound = Some(name);
            Ok(0)
        })
    }))
}

unsafe extern "C" fn listen(userdata: *mut c_void, socket: c_int, backlog: c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    number(adapter.with(|stack| stack.listen(socket, backlog)).map(|()| 0))
}

unsafe extern "C" fn accept(
    userdata: *mut c_void,
    listener: c_int,
    name: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    let accepted = adapter.with(|stack| stack.socket(listener).map(|socket| (socket.is_nonblocking, socket.is_v6)));
    let accepted = accepted.and_then(|(is_nonblocking, is_v6)| {
        adapter.until(is_nonblocking, |stack| Ok(stack.has_accepted(listener)?.then_some(())))?;
        let mut peer = None;
        let descriptor = new_descriptor(|descriptor| {
            peer = adapter.with(|stack| stack.accept(listener, descriptor))?;
            if peer.is_some() { Ok(()) } else { Err(Errno::AGAIN) }
        })?;
        Ok((descriptor, peer, is_v6))
    });
    if let Ok((_, Some(peer), is_v6)) = accepted {
        // SAFETY: both are null, or `name` has room for `length` octets.
        unsafe { put_name(peer, is_v6, name, length) };
    }
    number(accepted.map(|(descriptor, ..)| descriptor))
}

unsafe extern "C" fn connect(userdata: *mut c_void, socket: c_int, name: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: `userdata` is ours, and `name` holds `length` octets.
    let (adapter, name) = unsafe { (adapter(userdata), octets(name.cast(), length as usize)) };
    let connected = name.and_then(address::decode).and_then(|remote| {
        let is_nonblocking = adapter.with(|stack| {
            let is_nonblocking = stack.socket(socket)?.is_nonblocking;
            stack.connect(socket, remote).map(|()| is_nonblocking)
        })?;
        let opened = |stack: &mut Stack| {
            let connection = stack.socket_mut(socket)?.connection_mut().ok_or(Errno::INVALID)?;
            match connection.error.take() {
                Some(error) => Err(error),
                None => Ok(connection.is_established.then_some(0)),
            }
        };
        adapter.until(is_nonblocking, opened).map_err(|error| match error {
            Errno::AGAIN => Errno::IN_PROGRESS,
            error => error,
        })
    });
    number(connected)
}

unsafe extern "C" fn read(userdata: *mut c_void, socket: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: `userdata` is ours, and `buffer` has room for `count` octets.
    let (adapter, buffer) = unsafe { (adapter(userdata), octets_mut(buffer, count)) };
    size(buffer.and_then(|buffer| receive(adapter, socket, &mut [buffer], 0)))
}

unsafe extern "C" fn readv(userdata: *mut c_void, socket: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: `userdata` is ours, and `parts` are `count` valid ones.
    let (adapter, parts) = unsafe { (adapter(userdata), scattered(parts, count as usize)) };
    size(parts.and_then(|mut parts| receive(adapter, socket, &mut parts, 0)))
}

unsafe extern "C" fn recv(
    userdata: *mut c_void,
    socket: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: `userdata` is ours, and `buffer` has room for `count` octets.
    let (adapter, buffer) = unsafe { (adapter(userdata), octets_mut(buffer, count)) };
    size(buffer.and_then(|buffer| receive(adapter, socket, &mut [buffer], flags)))
}

unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    socket: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
    _name: *mut sockaddr,
    length: *mut socklen_t,
) -> ssize_t {
    // SAFETY: as for `recv`. A connected socket names no sender.
    unsafe {
        if let Some(length) = length.as_mut() {
            *length = 0;
        }
        recv(userdata, socket, buffer, count, flags)
    }
}

unsafe extern "C" fn recvmsg(userdata: *mut c_void, socket: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: `userdata` is ours, and `message` is null or valid with its parts.
    let (adapter, parts) = unsafe {
        let Some(message) = message.as_mut() else { return size(Err(Errno::FAULT)) };
        (message.msg_namelen, message.msg_controllen, message.msg_flags) = (0, 0, 0);
        (adapter(userdata), scattered(message.msg_iov, message.msg_iovlen))
    };
    size(parts.and_then(|mut parts| receive(adapter, socket, &mut parts, flags)))
}

unsafe extern "C" fn write(userdata: *mut c_void, socket: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: `userdata` is ours, and `buffer` holds `count` octets.
    let (adapter, buffer) = unsafe { (adapter(userdata), octets(buffer, count)) };
    size(buffer.and_then(|buffer| transmit(adapter, socket, buffer, 0)))
}

unsafe extern "C" fn writev(userdata: *mut c_void, socket: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: `userdata` is ours, and `parts` are `count` valid ones.
    let (adapter, gathered) = unsafe { (adapter(userdata), gathered(parts, count as usize)) };
    size(gathered.and_then(|octets| transmit(adapter, socket, &octets, 0)))
}

unsafe extern "C" fn send(
    userdata: *mut c_void,
    socket: c_int,
    buffer: *const c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: `userdata` is ours, and `buffer` holds `count` octets.
    let (adapter, buffer) = unsafe { (adapter(userdata), octets(buffer, count)) };
    size(buffer.and_then(|buffer| transmit(adapter, socket, buffer, flags)))
}

unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    socket: c_int,
    buffer: *const c_void,
    count: size_t,
    flags: c_int,
    _name: *const sockaddr,
    _length: socklen_t,
) -> ssize_t {
    // SAFETY: as for `send`. A connected socket needs no name.
    unsafe { send(userdata, socket, buffer, count, flags) }
}

unsafe extern "C" fn sendmsg(userdata: *mut c_void, socket: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: `userdata` is ours, and `message` is null or valid with its parts.
    let (adapter, gathered) = unsafe {
        let Some(message) = message.as_ref() else { return size(Err(Errno::FAULT)) };
        (adapter(userdata), gathered(message.msg_iov, message.msg_iovlen))
    };
    size(gathered.and_then(|octets| transmit(adapter, socket, &octets, flags)))
}

/// Variadic in C. On the platforms of this project the third argument is passed as if it were not, and commands that have
/// none do not look at it.
unsafe extern "C" fn fcntl(userdata: *mut c_void, socket: c_int, command: c_int, argument: c_long) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    number(adapter.with(|stack| options::control(stack, socket, command, argument as c_int)))
}

/// Variadic in C, as [`fcntl`].
unsafe extern "C" fn ioctl(userdata: *mut c_void, socket: c_int, request: c_ulong, answer: *mut c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    // packetdrill widens an `int`: only the lower half is the request.
    let count = adapter.with(|stack| options::inquire(stack, socket, request & 0xffff_ffff));
    number(count.and_then(|count| {
        if answer.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: the requests that are answered have a pointer to an `int`, and it is not null.
        unsafe { answer.write(count) };
        Ok(0)
    }))
}

unsafe extern "C" fn close(userdata: *mut c_void, socket: c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    let closed = adapter.with(|stack| stack.close(socket)).map(|()| {
        // SAFETY: it was a socket's, so `new_descriptor` opened it, and nobody else has closed it.
        drop(unsafe { OwnedFd::from_raw_fd(socket) });
        0
    });
    number(closed)
}

unsafe extern "C" fn shutdown(userdata: *mut c_void, socket: c_int, how: c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    let (receiving, sending) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return number(Err(Errno::INVALID)),
    };
    number(adapter.with(|stack| stack.shut_down(socket, receiving, sending)).map(|()| 0))
}

unsafe extern "C" fn getsockopt(
    userdata: *mut c_void,
    socket: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    // SAFETY: `userdata` is ours, and `length` is null or valid.
    let (adapter, length) = unsafe { (adapter(userdata), length.as_mut()) };
    let Some(length) = length else { return number(Err(Errno::FAULT)) };
    // SAFETY: `value` has room for `length` octets.
    let value = unsafe { octets_mut(value, *length as usize) };
    let found = value.and_then(|value| {
        let found = adapter.with(|stack| options::get(stack, socket, level, name))?;
        let count = found.len().min(value.len());
        value[..count].copy_from_slice(&found[..count]);
        *length = count as socklen_t;
        Ok(0)
    });
    number(found)
}

unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    socket: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    // SAFETY: `userdata` is ours, and `value` holds `length` octets.
    let (adapter, value) = unsafe { (adapter(userdata), octets(value, length as usize)) };
    let set = value.and_then(|value| adapter.with(|stack| options::set(stack, socket, level, name, value)));
    number(set.map(|()| 0))
}

unsafe extern "C" fn poll(userdata: *mut c_void, entries: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: `userdata` is ours.
    let adapter = unsafe { adapter(userdata) };
    let count = count as usize;
    if count > POLLED || (entries.is_null() && count > 0) {
        return number(Err(Errno::INVALID));
    }
    // SAFETY: `entries` are `count` valid ones; the slice of none does not use the pointer.
    let entries = if count == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(entries, count) } };
    let asked = |entry: &pollfd| Interest { descriptor: entry.fd, asked: entry.events, found: 0 };
    let mut interests: Vec<_> = entries.iter().map(asked).collect();
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    let ready = adapter.wait_for(timeout, |stack| Some(poll::check(stack, &mut interests)).filter(|&ready| ready > 0));
    for (entry, interest) in entries.iter_mut().zip(&interests) {
        entry.revents = interest.found;
    }
    number(Ok(ready.map_or(0, |ready| ready as c_int)))
}

unsafe extern "C" fn netdev_send(userdata: *mut c_void, packet: *const c_void, count: size_t) -> c_int {
    // SAFETY: `userdata` is ours, and `packet` holds `count` octets.
    let (adapter, packet) = unsafe { (adapter(userdata), octets(packet, count)) };
    number(packet.map(|packet| {
        adapter.with(|stack| stack.receive(packet));
        0
    }))
}

unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    buffer: *mut c_void,
    count: *mut size_t,
    time: *mut c_longlong,
) -> c_int {
    // SAFETY: `userdata` is ours, and the others are null or valid.
    let (adapter, count, time) = unsafe { (adapter(userdata), count.as_mut(), time.as_mut()) };
    let (Some(count), Some(time)) = (count, time) else { return number(Err(Errno::FAULT)) };
    // SAFETY: `buffer` has room for `count` octets.
    let Ok(buffer) = (unsafe { octets_mut(buffer, *count) }) else { return number(Err(Errno::FAULT)) };
    *count = 0;
    if let Some((sent, packet)) = adapter.sniff() {
        *count = packet.len().min(buffer.len());
        buffer[..*count].copy_from_slice(&packet[..*count]);
        *time = c_longlong::try_from(sent.0 / 1000).unwrap_or(c_longlong::MAX);
    }
    0
}

unsafe extern "C" fn usleep(userdata: *mut c_void, microseconds: useconds_t) -> c_int {
    // SAFETY: `userdata` is ours.
    unsafe { adapter(userdata) }.sleep(Duration::from_micros(u64::from(microseconds)));
    0
}

unsafe extern "C" fn gettimeofday(userdata: *mut c_void, time: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: `userdata` is ours, and `time` is null or valid.
    let (adapter, time) = unsafe { (adapter(userdata), time.as_mut()) };
    let now = adapter.look().0 / 1000;
    if let Some(time) = time {
        *time = timeval { tv_sec: (now / 1_000_000) as _, tv_usec: (now % 1_000_000) as _ };
    }
    0
}

unsafe extern "C" fn epoll_create(_userdata: *mut c_void, _size: c_int) -> c_int {
    number(Err(Errno::NO_SUCH_CALL))
}

unsafe extern "C" fn epoll_ctl(
    _userdata: *mut c_void,
    _epoll: c_int,
    _operation: c_int,
    _socket: c_int,
    _event: *mut epoll_event,
) -> c_int {
    number(Err(Errno::NO_SUCH_CALL))
}

unsafe extern "C" fn epoll_wait(
    _userdata: *mut c_void,
    _epoll: c_int,
    _events: *mut epoll_event,
    _count: c_int,
    _timeout: c_int,
) -> c_int {
    number(Err(Errno::NO_SUCH_CALL))
}

unsafe extern "C" fn pipe(_userdata: *mut c_void, _ends: *mut c_int) -> c_int {
    number(Err(Errno::NO_SUCH_CALL))
}

unsafe extern "C" fn splice(
    _userdata: *mut c_void,
    _from: c_int,
    _from_offset: *mut loff_t,
    _to: c_int,
    _to_offset: *mut loff_t,
    _count: size_t,
    _flags: std::ffi::c_uint,
) -> ssize_t {
    size(Err(Errno::NO_SUCH_CALL))
}

fn receive(adapter: &Adapter, socket: c_int, parts: &mut [&mut [u8]], flags: c_int) -> Result<usize, Errno> {
    if flags & !RECEIVE_FLAGS != 0 {
        return Err(Errno::NOT_SUPPORTED);
    }
    let is_nonblocking = adapter.with(|stack| stack.socket(socket).map(|socket| socket.is_nonblocking))?;
    let is_nonblocking = is_nonblocking || flags & libc::MSG_DONTWAIT != 0;
    adapter.until(is_nonblocking, |stack| stack.read(socket, parts, flags & libc::MSG_PEEK != 0))
}

/// Where it may block, it takes everything before it returns.
fn transmit(adapter: &Adapter, socket: c_int, octets: &[u8], flags: c_int) -> Result<usize, Errno> {
    if flags & !SEND_FLAGS != 0 {
        return Err(Errno::NOT_SUPPORTED);
    }
    let is_nonblocking = adapter.with(|stack| stack.socket(socket).map(|socket| socket.is_nonblocking))?;
    let is_nonblocking = is_nonblocking || flags & libc::MSG_DONTWAIT != 0;
    let mut taken = 0;
    let result = adapter.until(is_nonblocking, |stack| {
        if let Some(count) = stack.write(socket, &octets[taken..])? {
            taken += count;
        } else if taken == 0 && octets.is_empty() {
            return Ok(Some(()));
        }
        Ok((taken == octets.len()).then_some(()))
    });
    match result {
        Err(error) if taken == 0 => Err(error),
        _ => Ok(taken),
    }
}

/// Opens a descriptor that can stand for a socket: it has a number of its own, and packetdrill may close it.
fn new_descriptor(name: impl FnOnce(c_int) -> Result<(), Errno>) -> Result<c_int, Errno> {
    let descriptor = File::open("/dev/null").map_err(|_| Errno::TOO_MANY)?.into_raw_fd();
    name(descriptor).map(|()| descriptor).inspect_err(|_| {
        // SAFETY: opened above, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    })
}

/// # Safety
/// `userdata` is what `packetdrill_interface_init` made, and `free` was not called.
unsafe fn adapter<'a>(userdata: *mut c_void) -> &'a Adapter {
    // SAFETY: as the caller promises. Only shared references are made, and `Adapter` locks what changes.
    unsafe { &*userdata.cast::<Adapter>() }
}

/// # Safety
/// `start` is null or holds `count` octets.
unsafe fn octets<'a>(start: *const c_void, count: usize) -> Result<&'a [u8], Errno> {
    match (start.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: not null, so as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(start.cast(), count) }),
    }
}

/// # Safety
/// `start` is null or has initialized room for `count` octets, which nobody else looks at.
unsafe fn octets_mut<'a>(start: *mut c_void, count: usize) -> Result<&'a mut [u8], Errno> {
    match (start.is_null(), count) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno::FAULT),
        // SAFETY: not null, so as the caller promises.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), count) }),
    }
}

/// # Safety
/// `parts` is null or `count` parts, each as for [`octets_mut`].
unsafe fn scattered<'a>(parts: *const iovec, count: usize) -> Result<Vec<&'a mut [u8]>, Errno> {
    if count > PARTS {
        return Err(Errno::INVALID);
    }
    if parts.is_null() {
        return if count == 0 { Ok(Vec::new()) } else { Err(Errno::FAULT) };
    }
    // SAFETY: not null, so as the caller promises.
    unsafe { std::slice::from_raw_parts(parts, count) }
        .iter()
        // SAFETY: the same.
        .map(|part| unsafe { octets_mut(part.iov_base, part.iov_len) })
        .collect()
}

/// # Safety
/// `parts` is null or `count` parts, each as for [`octets`].
unsafe fn gathered(parts: *const iovec, count: usize) -> Result<Vec<u8>, Errno> {
    if count > PARTS {
        return Err(Errno::INVALID);
    }
    if parts.is_null() {
        return if count == 0 { Ok(Vec::new()) } else { Err(Errno::FAULT) };
    }
    let mut all = Vec::new();
    // SAFETY: not null, so as the caller promises.
    for part in unsafe { std::slice::from_raw_parts(parts, count) } {
        // SAFETY: the same.
        all.extend_from_slice(unsafe { octets(part.iov_base, part.iov_len) }?);
    }
    Ok(all)
}

/// # Safety
/// Either is null, or `name` has room for `length` octets.
unsafe fn put_name(peer: SocketAddr, is_v6: bool, name: *mut sockaddr, length: *mut socklen_t) {
    let (encoded, count) = address::encode(peer, is_v6);
    // SAFETY: as the caller promises.
    let Some(length) = (unsafe { length.as_mut() }) else { return };
    // SAFETY: the same.
    if let Ok(room) = unsafe { octets_mut(name.cast(), *length as usize) } {
        let copied = count.min(room.len());
        room[..copied].copy_from_slice(&encoded[..copied]);
    }
    *length = count as socklen_t;
}

fn number(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|error| {
        set_errno(error);
        -1
    })
}

fn size(result: Result<usize, Errno>) -> ssize_t {
    match result {
        Ok(count) => ssize_t::try_from(count).unwrap_or(ssize_t::MAX),
        Err(error) => {
            set_errno(error);
            -1
        }
    }
}

fn set_errno(Errno(value): Errno) {
    // SAFETY: the system gives this thread's `errno`, which is always valid.
    unsafe { *libc::__errno_location() = value };
}
