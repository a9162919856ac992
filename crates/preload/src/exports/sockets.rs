//! listen, accept, connect, shutdown, options and addresses.

use std::ffi::{c_int, c_void};
use std::net::SocketAddr;

use libc::{sockaddr, socklen_t};
use rustix::io::Errno;

use super::{int, readable, writable};
use crate::application::Socket;
use crate::options::{self, Answer};
use crate::raw::{fail, pass, result};
use crate::{address, offload};

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn listen(descriptor: c_int, backlog: c_int) -> c_int {
    match offload::listen(descriptor, backlog) {
        // SAFETY: numbers only.
        Ok(false) => int(unsafe { pass!(SYS_listen, descriptor, backlog) }),
        Ok(true) => 0,
        Err(error) => int(fail(error)),
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn connect(descriptor: c_int, to: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the program's address, of that length.
    let offloaded = match address::parse(unsafe { readable(to.cast(), length as usize) }) {
        Some(to) => offload::connect(descriptor, to),
        None if Socket::get(descriptor).is_some() => Err(Errno::AFNOSUPPORT),
        None => Ok(false),
    };
    match offloaded {
        // SAFETY: the program's arguments.
        Ok(false) => int(unsafe { pass!(SYS_connect, descriptor, to as usize, length) }),
        Ok(true) => 0,
        Err(error) => int(fail(error)),
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn accept(descriptor: c_int, from: *mut sockaddr, length: *mut socklen_t) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { accept4(descriptor, from, length, 0) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn accept4(
    descriptor: c_int,
    from: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let Some(listener) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return int(unsafe { pass!(SYS_accept4, descriptor, from as usize, length as usize, flags) });
    };
    match offload::accept(&listener, flags) {
        Ok((accepted, peer)) => {
            if let Some(peer) = peer {
                // SAFETY: the program's arguments.
                unsafe { write_address(peer, from, length) };
            }
            accepted
        }
        Err(error) => int(fail(error)),
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn shutdown(descriptor: c_int, how: c_int) -> c_int {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: numbers only.
        return int(unsafe { pass!(SYS_shutdown, descriptor, how) });
    };
    let done = match how {
        libc::SHUT_RD => socket.shut_down(true, false),
        libc::SHUT_WR => socket.shut_down(false, true),
        libc::SHUT_RDWR => socket.shut_down(true, true),
        _ => Err(Errno::INVAL),
    };
    int(result(done.map(|()| 0)))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    if let Some(socket) = Socket::get(descriptor) {
        if length.is_null() {
            return int(fail(Errno::FAULT));
        }
        // SAFETY: the program's value, of the length that it gives.
        let (into, length) = unsafe { (writable(value, *length as usize), &mut *length) };
        match options::get(&socket, level, name, into) {
            Ok(Answer::Octets(octets)) => {
                *length = octets as socklen_t;
                return 0;
            }
            Ok(Answer::Kernel) => {}
            Err(error) => return int(fail(error)),
        }
    }
    // SAFETY: the program's arguments.
    int(unsafe { pass!(SYS_getsockopt, descriptor, level, name, value as usize, length as usize) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    if let Some(socket) = Socket::get(descriptor) {
        if value.is_null() && length > 0 {
            return int(fail(Errno::FAULT));
        }
        // SAFETY: the program's value.
        match options::set(&socket, level, name, unsafe { readable(value, length as usize) }) {
            Ok(true) => return 0,
            Ok(false) => {}
            Err(error) => return int(fail(error)),
        }
    }
    // SAFETY: the program's arguments.
    int(unsafe { pass!(SYS_setsockopt, descriptor, level, name, value as usize, length) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getsockname(descriptor: c_int, name: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if let Some(socket) = Socket::get(descriptor).filter(|socket| !socket.is_listener()) {
        // Before it is connected, the kernel's socket knows what it was bound to.
        if let Some(local) = socket.address(false).ok().filter(|local| local.port() != 0) {
            // SAFETY: the program's arguments.
            return unsafe { write_address(local, name, length) };
        }
    }
    // SAFETY: the program's arguments.
    int(unsafe { pass!(SYS_getsockname, descriptor, name as usize, length as usize) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getpeername(descriptor: c_int, name: *mut sockaddr, length: *mut socklen_t) -> c_int {
    let Some(socket) = Socket::get(descriptor) else {
        // SAFETY: the program's arguments.
        return int(unsafe { pass!(SYS_getpeername, descriptor, name as usize, length as usize) });
    };
    let connected = !socket.is_listener() && socket.channel().is_decided() && socket.channel().error().is_none();
    match socket.address(true) {
        // SAFETY: the program's arguments.
        Ok(peer) if connected => unsafe { write_address(peer, name, length) },
        _ => int(fail(Errno::NOTCONN)),
    }
}

/// Writes as much of an address as there is room for, and how long it is.
///
/// # Safety
/// Both are null, or the first has as much room as the second says.
unsafe fn write_address(address: SocketAddr, into: *mut sockaddr, length: *mut socklen_t) -> c_int {
    if into.is_null() || length.is_null() {
        return 0;
    }
    let (octets, count) = address::octets(address);
    // SAFETY: the caller's.
    let (into, length) = unsafe { (writable(into.cast(), *length as usize), &mut *length) };
    let room = count.min(into.len());
    into[..room].copy_from_slice(&octets[..room]);
    *length = count as socklen_t;
    0
}
