//! Objects that the program has pointers to.

use std::ffi::c_int;
use std::time::{Duration, Instant};

/// Hands an object over to the program.
///
/// # Safety
/// `to` is null or can be written.
pub(crate) unsafe fn give<T>(object: T, to: *mut *mut T) -> c_int {
    if to.is_null() {
        return -libc::EINVAL;
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { to.write(Box::into_raw(Box::new(object))) };
    0
}

/// The object that a program's pointer is to.
///
/// # Safety
/// It came from [`give`] and was not [taken back](take).
pub(crate) unsafe fn look<'a, T>(object: *const T) -> &'a T {
    assert!(!object.is_null(), "a null in place of an object");
    // SAFETY: the caller's promise; objects are shared between threads, and only ever borrowed so.
    unsafe { &*object }
}

/// Takes an object back.
///
/// # Safety
/// It came from [`give`], or is null, and nobody uses it any more.
pub(crate) unsafe fn take<T>(object: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise; it came out of a box.
    (!object.is_null()).then(|| unsafe { Box::from_raw(object) })
}

/// When a wait of so many milliseconds ends.
pub(crate) fn deadline(milliseconds: c_int) -> Option<Instant> {
    let milliseconds = u64::try_from(milliseconds).ok()?;
    Some(Instant::now() + Duration::from_millis(milliseconds))
}
