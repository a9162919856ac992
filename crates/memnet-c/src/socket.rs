//! `memnet_listener_t` and `memnet_socket_t`.

use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::slice;

use libc::{sockaddr, sockaddr_storage, socklen_t};
use memnet_rust::{Listener, Options, Socket};

use crate::address;
use crate::attachment::Memnet;
use crate::error::{count, negative};
use crate::object::{deadline, give, look, take};

const REUSE_PORT: c_uint = 1;
const ONLY_V6: c_uint = 2;
const KEEP_ALIVE: c_uint = 4;
const DELAY: c_uint = 8;

fn options(bits: c_uint) -> io::Result<Options> {
    if bits & !(REUSE_PORT | ONLY_V6 | KEEP_ALIVE | DELAY) != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(Options {
        reuse_port: bits & REUSE_PORT != 0,
        only_v6: bits & ONLY_V6 != 0,
        keep_alive: bits & KEEP_ALIVE != 0,
        no_delay: bits & DELAY == 0,
        ..Options::default()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_listen(
    attachment: *const Memnet,
    address: *const sockaddr,
    length: socklen_t,
    bits: c_uint,
    listener: *mut *mut Listener,
) -> c_int {
    // SAFETY: the caller passes an address of that length.
    let address = unsafe { address::read(address, length) };
    // SAFETY: the caller's object.
    let attachment = unsafe { look(attachment) };
    match address.and_then(|address| Listener::bind(attachment, address, &options(bits)?)) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(listening) => unsafe { give(listening, listener) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_listener_address(listener: *const Listener, address: *mut sockaddr_storage) -> c_int {
    // SAFETY: the caller's object, and where the address is to be put.
    unsafe { put_address(look(listener).local_addr(), address) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_accept(listener: *const Listener, milliseconds: c_int, socket: *mut *mut Socket) -> c_int {
    // SAFETY: the caller's object.
    let listener = unsafe { look(listener) };
    let accepted = match milliseconds {
        0 => listener.try_accept(),
        _ => listener.sync_accept(deadline(milliseconds)),
    };
    match accepted {
        // SAFETY: the caller passes where the object is to be put.
        Ok(accepted) => unsafe { give(accepted, socket) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_close_listener(listener: *mut Listener) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(listener) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_connect(
    attachment: *const Memnet,
    address: *const sockaddr,
    length: socklen_t,
    bits: c_uint,
    milliseconds: c_int,
    socket: *mut *mut Socket,
) -> c_int {
    // SAFETY: the caller passes an address of that length.
    let address = unsafe { address::read(address, length) };
    // SAFETY: the caller's object.
    let attachment = unsafe { look(attachment) };
    let connect = |address| Socket::connect(attachment, address, &options(bits)?, deadline(milliseconds));
    match address.and_then(connect) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(connected) => unsafe { give(connected, socket) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_local_address(socket: *const Socket, address: *mut sockaddr_storage) -> c_int {
    // SAFETY: the caller's object, and where the address is to be put.
    unsafe { put_address(look(socket).local_addr(), address) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_peer_address(socket: *const Socket, address: *mut sockaddr_storage) -> c_int {
    // SAFETY: the caller's object, and where the address is to be put.
    unsafe { put_address(look(socket).peer_addr(), address) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_shutdown(socket: *const Socket, how: c_int) -> c_int {
    let how = match how {
        libc::SHUT_RD => Shutdown::Read,
        libc::SHUT_WR => Shutdown::Write,
        libc::SHUT_RDWR => Shutdown::Both,
        _ => return -libc::EINVAL,
    };
    // SAFETY: the caller's object.
    unsafe { look(socket) }.shutdown(how);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_abort(socket: *const Socket) {
    // SAFETY: the caller's object.
    unsafe { look(socket) }.abort();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_close(socket: *mut Socket) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(socket) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_sync_send(
    socket: *const Socket,
    data: *const c_void,
    length: usize,
    milliseconds: c_int,
) -> isize {
    if data.is_null() || isize::try_from(length).is_err() {
        return -libc::EINVAL as isize;
    }
    // SAFETY: the caller passes so many octets, and leaves them alone during the call.
    let octets = unsafe { slice::from_raw_parts(data.cast(), length) };
    // SAFETY: the caller's object.
    let socket = unsafe { look(socket) };
    count(match milliseconds {
        0 => socket.try_send(octets),
        _ => socket.sync_send(octets, deadline(milliseconds)),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_sync_recv(
    socket: *const Socket,
    data: *mut c_void,
    length: usize,
    milliseconds: c_int,
) -> isize {
    if data.is_null() || isize::try_from(length).is_err() {
        return -libc::EINVAL as isize;
    }
    // SAFETY: the caller passes so many octets that can be written, and leaves them alone during the call. They are only
    // written here, so that it does not matter what they are.
    let octets = unsafe { slice::from_raw_parts_mut(data.cast(), length) };
    // SAFETY: the caller's object.
    let socket = unsafe { look(socket) };
    count(match milliseconds {
        0 => socket.try_recv(octets),
        _ => socket.sync_recv(octets, deadline(milliseconds)),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_socket_number(socket: *const Socket) -> u32 {
    // SAFETY: the caller's object.
    unsafe { look(socket) }.channel().number()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_socket_waits(socket: *const Socket, waits: c_int) {
    // SAFETY: the caller's object.
    let socket = unsafe { look(socket) };
    if waits == 0 { socket.stop_waiting() } else { socket.start_waiting() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_socket_descriptor(socket: *const Socket) -> c_int {
    // SAFETY: the caller's object.
    let own = unsafe { look(socket) }.channel().socket();
    own.map_or(-libc::EOPNOTSUPP, |own| own.as_raw_fd())
}

/// # Safety
/// `to` is null or can be written.
unsafe fn put_address(address: io::Result<SocketAddr>, to: *mut sockaddr_storage) -> c_int {
    match address {
        Ok(_) if to.is_null() => -libc::EINVAL,
        Ok(address) => {
            // SAFETY: not null, and the caller's promise.
            unsafe { address::write(address, to) };
            0
        }
        Err(error) => negative(&error),
    }
}
