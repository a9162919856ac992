//! `memnet_t`.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use libc::pid_t;
use memnet_rust::Attachment;

use crate::error::negative;
use crate::object::{give, look, take};

pub(crate) type Memnet = Arc<Attachment>;

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_attach(path: *const c_char, name: *const c_char, attachment: *mut *mut Memnet) -> c_int {
    if path.is_null() || name.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: the caller passes strings that end with a zero.
    let (path, name) = unsafe { (CStr::from_ptr(path), CStr::from_ptr(name)) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    match Attachment::attach(path, &name.to_string_lossy()) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(attached) => unsafe { give(attached, attachment) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_detach(attachment: *mut Memnet) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(attachment) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_is_alive(attachment: *const Memnet) -> c_int {
    // SAFETY: the caller's object.
    c_int::from(unsafe { look(attachment) }.is_alive())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_fork(attachment: *const Memnet) -> pid_t {
    // SAFETY: the caller's object.
    let attachment = unsafe { look(attachment) };
    let fork = match attachment.before_fork() {
        Ok(fork) => fork,
        Err(error) => return negative(&error),
    };
    // SAFETY: what fork(2) asks of a program with threads, the caller keeps to, as if he had called it himself.
    match unsafe { libc::fork() } {
        0 => attachment.after_fork(fork).map_or_else(|error| negative(&error), |()| 0),
        child @ 1.. => child,
        _ => negative(&std::io::Error::last_os_error()),
    }
}
