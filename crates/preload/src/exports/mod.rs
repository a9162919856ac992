//! The C functions. Each converts what it is given once, and calls what is safe; for descriptors that are the kernel's
//! it makes the system call.
//!
//! An address that the program may not use ends it here, where the kernel would have said `EFAULT`.

mod descriptors;
mod listed;
mod process;
mod readiness;
mod rights;
mod sockets;
mod spawn;
mod stdio;
mod syscall;
mod transfer;

use std::ffi::{CStr, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use crate::raw;

/// Octets that a program lends to be written.
///
/// # Safety
/// There are so many at the address, and nobody else uses them during the call.
unsafe fn writable<'a>(address: *mut c_void, length: usize) -> &'a mut [u8] {
    if length == 0 || address.is_null() {
        return &mut [];
    }
    // SAFETY: the caller's; more than `isize::MAX` octets are nowhere.
    unsafe { std::slice::from_raw_parts_mut(address.cast(), length.min(isize::MAX as usize)) }
}

/// Octets that a program lends to be read.
///
/// # Safety
/// As above.
unsafe fn readable<'a>(address: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 || address.is_null() {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(address.cast(), length.min(isize::MAX as usize)) }
}

/// The pieces of an `iovec` array that are read from. `IoSlice` has its layout.
///
/// # Safety
/// As above, of the array and of its pieces.
unsafe fn pieces<'a>(vector: *const libc::iovec, count: usize) -> Result<&'a [IoSlice<'a>], Errno> {
    match count {
        0 => Ok(&[]),
        _ if vector.is_null() => Err(Errno::FAULT),
        // SAFETY: the caller's.
        1..=1024 => Ok(unsafe { std::slice::from_raw_parts(vector.cast(), count) }),
        _ => Err(Errno::INVAL),
    }
}

/// The pieces of an `iovec` array that are written to.
///
/// # Safety
/// As above.
unsafe fn pieces_mut<'a>(vector: *const libc::iovec, count: usize) -> Result<&'a mut [IoSliceMut<'a>], Errno> {
    match count {
        0 => Ok(&mut []),
        _ if vector.is_null() => Err(Errno::FAULT),
        // SAFETY: the caller's; the array itself is not written to.
        1..=1024 => Ok(unsafe { std::slice::from_raw_parts_mut(vector.cast_mut().cast(), count) }),
        _ => Err(Errno::INVAL),
    }
}

/// A function of the C library that this library has taken the place of.
struct Next {
    name: &'static CStr,
    address: AtomicUsize,
}

impl Next {
    const fn new(name: &'static CStr) -> Next {
        Next { name, address: AtomicUsize::new(0) }
    }

    /// Its address; zero if there is none.
    fn address(&self) -> usize {
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // SAFETY: the name ends with a zero.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) } as usize;
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

/// The function of that name and type that comes next.
macro_rules! next {
    ($name:literal as $type:ty) => {{
        static NEXT: $crate::exports::Next = $crate::exports::Next::new($name);
        match NEXT.address() {
            0 => None,
            // SAFETY: the C library's function of that name has that type.
            address => Some(unsafe { std::mem::transmute::<usize, $type>(address) }),
        }
    }};
}
use next;

/// Run when the library is loaded, before the program.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = {
    extern "C" fn begin() {
        crate::offload::begin();
        // SAFETY: the program has not begun, and has no threads.
        unsafe { libc::unsetenv(c"AFPA_OFFLOAD_TABLE".as_ptr()) };
    }
    begin
};

/// For functions that C declares with `int`.
fn int(result: isize) -> i32 {
    result as i32
}

/// What a send that failed with `EPIPE` does besides, unless it was told not to (send(2)).
fn broken(result: Result<usize, Errno>, silent: bool) -> isize {
    if result == Err(Errno::PIPE) && !silent {
        let (process, thread) = (rustix::process::getpid(), rustix::thread::gettid());
        // SAFETY: a signal to the calling thread.
        unsafe { raw::call!(SYS_tgkill, process.as_raw_nonzero().get(), thread.as_raw_nonzero().get(), libc::SIGPIPE) };
    }
    raw::result(result)
}
