//! Streams of the C library over sockets of the TCP server: it would make system calls of its own.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use libc::{FILE, off64_t, size_t, ssize_t};

use super::descriptors::close;
use super::next;
use super::transfer::{read, write};
use crate::application::Socket;

/// What fopencookie(3) calls.
#[repr(C)]
struct Functions {
    read: Option<unsafe extern "C" fn(*mut c_void, *mut c_char, size_t) -> ssize_t>,
    write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, size_t) -> ssize_t>,
    seek: Option<unsafe extern "C" fn(*mut c_void, *mut off64_t, c_int) -> c_int>,
    close: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
}

unsafe extern "C" {
    fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut FILE;
}

/// The cookie is the descriptor's number.
pub(super) unsafe extern "C" fn read_cookie(cookie: *mut c_void, into: *mut c_char, length: size_t) -> ssize_t {
    // SAFETY: the C library's buffer.
    unsafe { read(cookie as usize as c_int, into.cast(), length) }
}

pub(super) unsafe extern "C" fn write_cookie(cookie: *mut c_void, from: *const c_char, length: size_t) -> ssize_t {
    // Here an error is zero (fopencookie(3)).
    // SAFETY: the C library's buffer.
    unsafe { write(cookie as usize as c_int, from.cast(), length) }.max(0)
}

pub(super) unsafe extern "C" fn close_cookie(cookie: *mut c_void) -> c_int {
    // SAFETY: a number.
    unsafe { close(cookie as usize as c_int) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fdopen(descriptor: c_int, mode: *const c_char) -> *mut FILE {
    if Socket::get(descriptor).is_none() || mode.is_null() {
        return match next!(c"fdopen" as unsafe extern "C" fn(c_int, *const c_char) -> *mut FILE) {
            // SAFETY: the program's arguments.
            Some(fdopen) => unsafe { fdopen(descriptor, mode) },
            None => ptr::null_mut(),
        };
    }
    // SAFETY: the program's text.
    let mode_octets = unsafe { CStr::from_ptr(mode) }.to_bytes();
    let mode = match mode_octets {
        _ if mode_octets.contains(&b'+') => c"r+",
        [b'r', ..] => c"r",
        _ => c"w",
    };
    let functions =
        Functions { read: Some(read_cookie), write: Some(write_cookie), seek: None, close: Some(close_cookie) };
    // SAFETY: functions that take a number for a cookie.
    unsafe { fopencookie(descriptor as usize as *mut c_void, mode.as_ptr(), functions) }
}
