//! read, write and all that is like them.

use std::ffi::{c_int, c_uint, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::time::Instant;

use libc::{iovec, mmsghdr, msghdr, off64_t, size_t, sockaddr, socklen_t, ssize_t, timespec};
use rustix::io::Errno;

use super::{broken, pieces, readable, rights, with_pieces, writable};
use crate::application::Socket;
use crate::raw::{self, fail, pass, result};
use crate::splice;
use crate::stream::Manner;

fn manner(flags: c_int) -> Manner {
    Manner {
        impatient: flags & libc::MSG_DONTWAIT != 0,
        peek: flags & libc::MSG_PEEK != 0,
        all: flags & libc::MSG_WAITALL != 0,
        more: flags & libc::MSG_MORE != 0,
    }
}

/// Receives with recv(2)'s flags.
fn receive(socket: &Socket, into: &mut [IoSliceMut<'_>], flags: c_int) -> Result<usize, Errno> {
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::INVAL);
    }
    if flags & libc::MSG_ERRQUEUE != 0 {
        return Err(Errno::AGAIN);
    }
    if flags & libc::MSG_TRUNC == 0 {
        return socket.receive(into, manner(flags));
    }
    // The octets are thrown away (tcp(7)).
    let mut wanted = into.iter().map(|piece| piece.len()).sum::<usize>();
    let (mut scrap, mut got) = ([0; 4096], 0);
    loop {
        let count = wanted.min(scrap.len());
        let more = socket.receive(&mut [IoSliceMut::new(&mut scrap[..count])], manner(flags));
        match more {
            Ok(more) => {
                (got, wanted) = (got + more, wanted - more);
                if more == 0 || wanted == 0 || socket.channel().readable().unwrap_or(0) == 0 {
                    return Ok(got);
                }
            }
            Err(error) => return if got > 0 { Ok(got) } else { Err(error) },
        }
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn read(descriptor: c_int, into: *mut c_void, length: size_t) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_read, descriptor, into as usize, length) };
    };
    // SAFETY: the program's memory.
    let into = unsafe { writable(into, length) };
    result(socket.receive(&mut [IoSliceMut::new(into)], Manner::default()))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __read_chk(
    descriptor: c_int,
    into: *mut c_void,
    length: size_t,
    room: size_t,
) -> ssize_t {
    checked(length, room);
    // SAFETY: the program's arguments.
    unsafe { read(descriptor, into, length) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn readv(descriptor: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_readv, descriptor, vector as usize, count) };
    };
    // SAFETY: the program's memory.
    result(unsafe {
        with_pieces(vector, usize::try_from(count).unwrap_or(usize::MAX), |into| {
            socket.receive(into, Manner::default())
        })
    })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recv(descriptor: c_int, into: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_recvfrom, descriptor, into as usize, length, flags, 0, 0) };
    };
    // SAFETY: the program's memory.
    let into = unsafe { writable(into, length) };
    result(receive(&socket, &mut [IoSliceMut::new(into)], flags))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __recv_chk(
    descriptor: c_int,
    into: *mut c_void,
    length: size_t,
    room: size_t,
    flags: c_int,
) -> ssize_t {
    checked(length, room);
    // SAFETY: the program's arguments.
    unsafe { recv(descriptor, into, length, flags) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvfrom(
    descriptor: c_int,
    into: *mut c_void,
    length: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe {
            pass!(SYS_recvfrom, descriptor, into as usize, length, flags, from as usize, from_length as usize)
        };
    };
    // SAFETY: the program's memory.
    let into = unsafe { writable(into, length) };
    let received = receive(&socket, &mut [IoSliceMut::new(into)], flags);
    if received.is_ok() && !from.is_null() && !from_length.is_null() {
        // SAFETY: the program's; a stream says nothing of where octets are from.
        unsafe { *from_length = 0 };
    }
    result(received)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __recvfrom_chk(
    descriptor: c_int,
    into: *mut c_void,
    length: size_t,
    room: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> ssize_t {
    checked(length, room);
    // SAFETY: the program's arguments.
    unsafe { recvfrom(descriptor, into, length, flags, from, from_length) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvmsg(descriptor: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        let received = unsafe { pass!(SYS_recvmsg, descriptor, message as usize, flags) };
        if received >= 0 {
            // SAFETY: the message, as the kernel has filled it.
            unsafe { rights::received(message) };
        }
        return received;
    };
    // SAFETY: the program's message.
    result(unsafe { receive_message(&socket, message, flags) })
}

/// # Safety
/// The message is null or the program's.
unsafe fn receive_message(socket: &Socket, message: *mut msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's.
    let message = unsafe { message.as_mut() }.ok_or(Errno::FAULT)?;
    // SAFETY: the program's memory.
    let received = unsafe { with_pieces(message.msg_iov, message.msg_iovlen, |into| receive(socket, into, flags)) }?;
    (message.msg_namelen, message.msg_controllen, message.msg_flags) = (0, 0, 0);
    Ok(received)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn recvmmsg(
    descriptor: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_recvmmsg, descriptor, messages as usize, count, flags, timeout as usize) } as c_int;
    };
    // SAFETY: the program's time.
    let timeout = unsafe { timeout.as_ref() }.map(super::readiness::duration);
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut done = 0;
    while done < count.min(1024) {
        let late = done > 0 && (flags & libc::MSG_WAITFORONE != 0);
        let flags = flags & !libc::MSG_WAITFORONE | if late { libc::MSG_DONTWAIT } else { 0 };
        // SAFETY: the program's messages, of which there are more than `done`.
        let message = unsafe { &mut *messages.add(done as usize) };
        // SAFETY: one of them.
        match unsafe { receive_message(&socket, &mut message.msg_hdr, flags) } {
            Ok(octets) => message.msg_len = octets as c_uint,
            Err(error) if done == 0 => return fail(error) as c_int,
            Err(_) => break,
        }
        done += 1;
        // A stream's end comes as often as it is asked for.
        if message.msg_len == 0 || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
    }
    done as c_int
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn write(descriptor: c_int, from: *const c_void, length: size_t) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_write, descriptor, from as usize, length) };
    };
    // SAFETY: the program's memory.
    let from = unsafe { readable(from, length) };
    broken(socket.send(&[IoSlice::new(from)], Manner::default()), false)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn writev(descriptor: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_writev, descriptor, vector as usize, count) };
    };
    // SAFETY: the program's memory.
    let from = unsafe { pieces(vector, usize::try_from(count).unwrap_or(usize::MAX)) };
    broken(from.and_then(|from| socket.send(&from, Manner::default())), false)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn send(descriptor: c_int, from: *const c_void, length: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the program's arguments.
    unsafe { sendto(descriptor, from, length, flags, std::ptr::null(), 0) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendto(
    descriptor: c_int,
    from: *const c_void,
    length: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_length: socklen_t,
) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_sendto, descriptor, from as usize, length, flags, to as usize, to_length) };
    };
    if flags & libc::MSG_OOB != 0 {
        return fail(Errno::OPNOTSUPP);
    }
    // SAFETY: the program's memory.
    let from = unsafe { readable(from, length) };
    broken(socket.send(&[IoSlice::new(from)], manner(flags)), flags & libc::MSG_NOSIGNAL != 0)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendmsg(descriptor: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { rights::send(descriptor, message, flags) };
    };
    // SAFETY: the program's message.
    let sent = unsafe { send_message(&socket, message, flags) };
    broken(sent, flags & libc::MSG_NOSIGNAL != 0)
}

/// # Safety
/// The message is null or the program's.
unsafe fn send_message(socket: &Socket, message: *const msghdr, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's.
    let message = unsafe { message.as_ref() }.ok_or(Errno::FAULT)?;
    if flags & libc::MSG_OOB != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    // SAFETY: the program's memory.
    socket.send(&unsafe { pieces(message.msg_iov, message.msg_iovlen) }?, manner(flags))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendmmsg(
    descriptor: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_sendmmsg, descriptor, messages as usize, count, flags) } as c_int;
    };
    let mut done = 0;
    while done < count.min(1024) {
        // SAFETY: the program's messages, of which there are more than `done`.
        let message = unsafe { &mut *messages.add(done as usize) };
        // SAFETY: one of them.
        match unsafe { send_message(&socket, &message.msg_hdr, flags) } {
            Ok(octets) => message.msg_len = octets as c_uint,
            error if done == 0 => return broken(error, flags & libc::MSG_NOSIGNAL != 0) as c_int,
            Err(_) => break,
        }
        done += 1;
    }
    done as c_int
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendfile64(to: c_int, from: c_int, position: *mut off64_t, count: size_t) -> ssize_t {
    if Socket::get(from).is_some() {
        return fail(Errno::INVAL);
    }
    let Some(socket) = Socket::get(to) else {
        // SAFETY: the program's arguments.
        return unsafe { pass!(SYS_sendfile, to, from, position as usize, count) };
    };
    if socket.sends() {
        return by_itself(&socket, || {
            // SAFETY: the program's arguments.
            unsafe { pass!(SYS_sendfile, to, from, position as usize, count) }
        });
    }
    // SAFETY: null or the program's.
    broken(send_file(&socket, from, unsafe { position.as_mut() }, count), false)
}

/// A call on the kernel's socket that takes no flags: the kernel raises the signal that goes with `EPIPE`.
fn by_itself(socket: &Socket, call: impl FnOnce() -> ssize_t) -> ssize_t {
    if let Some(error) = socket.cannot_send() {
        return broken(Err(error), false);
    }
    socket.settle_mode();
    call()
}

fn send_file(socket: &Socket, from: c_int, position: Option<&mut off64_t>, count: usize) -> Result<usize, Errno> {
    let file = raw::borrow(from)?;
    let count = count.min(0x7fff_f000);
    match position {
        Some(position) => {
            let start = u64::try_from(*position).map_err(|_| Errno::INVAL)?;
            let sent = socket.send_file(file, start, count, Manner::default())?;
            *position += sent as off64_t;
            Ok(sent)
        }
        None => {
            let start = rustix::fs::tell(file).map_err(|_| Errno::INVAL)?;
            let sent = socket.send_file(file, start, count, Manner::default())?;
            rustix::fs::seek(file, rustix::fs::SeekFrom::Start(start + sent as u64))?;
            Ok(sent)
        }
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sendfile(to: c_int, from: c_int, position: *mut off64_t, count: size_t) -> ssize_t {
    // SAFETY: the program's arguments.
    unsafe { sendfile64(to, from, position, count) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn splice(
    from: c_int,
    from_position: *mut off64_t,
    to: c_int,
    to_position: *mut off64_t,
    count: size_t,
    flags: c_uint,
) -> ssize_t {
    let impatient = flags & libc::SPLICE_F_NONBLOCK != 0;
    match (Socket::get(from), Socket::get(to)) {
        (None, None) => {}
        // A socket has no position.
        (Some(_), _) if !from_position.is_null() => return fail(Errno::SPIPE),
        (_, Some(_)) if !to_position.is_null() => return fail(Errno::SPIPE),
        (Some(socket), None) => return result(splice::into_pipe(&socket, to, count, impatient)),
        (None, Some(socket)) if socket.sends() => {
            return by_itself(&socket, || {
                let positions = (from_position as usize, to_position as usize);
                // SAFETY: the program's arguments.
                unsafe { pass!(SYS_splice, from, positions.0, to, positions.1, count, flags) }
            });
        }
        (None, Some(socket)) => return broken(splice::from_pipe(&socket, from, count, impatient), false),
        (Some(_), Some(_)) => return fail(Errno::INVAL),
    }
    // SAFETY: the program's arguments.
    unsafe { pass!(SYS_splice, from, from_position as usize, to, to_position as usize, count, flags) }
}

/// What the C library does for functions that know how much room there is.
fn checked(length: usize, room: usize) {
    if length > room {
        std::process::abort();
    }
}
