//! What is done to descriptors of any kind.

use std::ffi::{c_int, c_uint, c_ulong, c_void};

use rustix::io::Errno;

use super::int;
use crate::application::Socket;
use crate::description::flag;
use crate::offload::{release, release_closing, retain};
use crate::raw::{self, fail, pass};
use crate::table::{self, Closing, Entry, Kind};

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    if let Some(entry) = table::get(descriptor) {
        if entry.kind == Kind::Own && !Closing::is_going_on() {
            return int(fail(Errno::BADF));
        }
        // Before the number is free: whoever gets it next has an entry of his own.
        if let Some(entry) = table::put(descriptor, None) {
            release_closing(descriptor, entry);
        }
    }
    // SAFETY: a number.
    int(unsafe { pass!(SYS_close, descriptor) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    const CLOSE_ON_EXEC: c_int = 4;
    if flags & CLOSE_ON_EXEC != 0 || table::is_empty() || first > last {
        // SAFETY: numbers.
        return int(unsafe { pass!(SYS_close_range, first, last, flags) });
    }
    let mut start = first;
    for (descriptor, entry) in table::all() {
        let number = descriptor as c_uint;
        if number < first || number > last {
            continue;
        }
        if entry.kind == Kind::Own {
            if start < number {
                // SAFETY: numbers.
                unsafe { pass!(SYS_close_range, start, number - 1, flags) };
            }
            start = number + 1;
        } else {
            // SAFETY: a number.
            unsafe { close(descriptor) };
        }
    }
    if start > last {
        return 0;
    }
    // SAFETY: numbers.
    int(unsafe { pass!(SYS_close_range, start, last, flags) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn closefrom(first: c_int) {
    // SAFETY: numbers.
    unsafe { close_range(first.max(0) as c_uint, c_uint::MAX, 0) };
}

/// The new descriptor is a duplicate of what `entry` says; it may have been something else.
fn duplicated(descriptor: c_int, entry: Option<Entry>) -> c_int {
    if descriptor < 0 || (entry.is_some() && !table::has_place(descriptor)) {
        release(entry);
        return descriptor;
    }
    release(table::put(descriptor, entry));
    descriptor
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup(descriptor: c_int) -> c_int {
    let entry = retain(descriptor);
    // SAFETY: a number.
    duplicated(int(unsafe { pass!(SYS_dup, descriptor) }), entry)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup2(descriptor: c_int, onto: c_int) -> c_int {
    if descriptor == onto {
        // SAFETY: a number.
        return if unsafe { pass!(SYS_fcntl, descriptor, libc::F_GETFD, 0) } < 0 { -1 } else { onto };
    }
    // SAFETY: numbers.
    unsafe { dup3(descriptor, onto, 0) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dup3(descriptor: c_int, onto: c_int, flags: c_int) -> c_int {
    if table::get(onto).is_some_and(|entry| entry.kind == Kind::Own) {
        return int(fail(Errno::BUSY));
    }
    let entry = retain(descriptor);
    // SAFETY: numbers.
    duplicated(int(unsafe { pass!(SYS_dup3, descriptor, onto, flags) }), entry)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
            let entry = retain(descriptor);
            // SAFETY: numbers.
            return duplicated(int(unsafe { pass!(SYS_fcntl, descriptor, command, argument) }), entry);
        }
        libc::F_GETFL => {
            if let Some(socket) = Socket::get(descriptor) {
                // SAFETY: numbers.
                let flags = int(unsafe { pass!(SYS_fcntl, descriptor, command, 0) });
                let own = if socket.description().has(flag::NONBLOCKING) { libc::O_NONBLOCK } else { 0 };
                return if flags < 0 { flags } else { flags & !libc::O_NONBLOCK | own };
            }
        }
        libc::F_SETFL => {
            if let Some(socket) = Socket::get(descriptor) {
                // The kernel's socket, if there is one, is the server's as well, and stays as the server wants it.
                socket.description().set(flag::NONBLOCKING, argument as c_int & libc::O_NONBLOCK != 0);
                return 0;
            }
        }
        _ => {}
    }
    // SAFETY: the program's arguments.
    int(unsafe { pass!(SYS_fcntl, descriptor, command, argument) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fcntl64(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { fcntl(descriptor, command, argument) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    const SIOCATMARK: c_ulong = 0x8905;
    let concerned = matches!(request, libc::FIONBIO | libc::FIONREAD | libc::TIOCOUTQ | SIOCATMARK);
    if let Some(socket) = Socket::get(descriptor).filter(|_| concerned) {
        // SAFETY: these take an `int`, the program's.
        let Some(argument) = (unsafe { argument.cast::<c_int>().as_mut() }) else { return int(fail(Errno::FAULT)) };
        match request {
            libc::FIONBIO => drop(socket.description().set(flag::NONBLOCKING, *argument != 0)),
            libc::TIOCOUTQ if socket.sends() => {
                // SAFETY: an `int`, the program's.
                return int(unsafe {
                    raw::pass!(SYS_ioctl, descriptor, request, std::ptr::from_mut(argument) as usize)
                });
            }
            _ if socket.is_listener() => return int(fail(Errno::INVAL)),
            libc::FIONREAD => *argument = socket.channel().readable().unwrap_or(0) as c_int,
            libc::TIOCOUTQ => {
                let slot = socket.channel().slot();
                *argument = slot.given().wrapping_sub(slot.sent()) as c_int;
            }
            _ => *argument = 0,
        }
        return 0;
    }
    // SAFETY: the program's arguments.
    int(unsafe { raw::pass!(SYS_ioctl, descriptor, request, argument as usize) })
}
