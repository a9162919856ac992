//! poll, select and epoll.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};
use rustix::io::Errno;

use super::int;
use crate::poll::{self, Set};
use crate::raw::{self, Mask, fail, pass, result};
use crate::table::{self, Kind};
use crate::{epoll, options};

/// A time as a program gives it.
pub(super) fn duration(time: &timespec) -> Duration {
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0)))
}

fn milliseconds(timeout: c_int) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// # Safety
/// There are so many at the address.
unsafe fn polled<'a>(descriptors: *mut pollfd, count: nfds_t) -> &'a mut [pollfd] {
    if count == 0 || descriptors.is_null() {
        return &mut [];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts_mut(descriptors, count as usize) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn poll(descriptors: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the program's array.
    let polled = unsafe { polled(descriptors, count) };
    if !poll::concerns(polled) {
        let mut time = timespec { tv_sec: (timeout / 1000).into(), tv_nsec: (timeout % 1000 * 1_000_000).into() };
        let time = if timeout < 0 { 0 } else { &raw mut time as usize };
        // SAFETY: the program's array, and a time.
        return int(unsafe { pass!(SYS_ppoll, descriptors as usize, count, time, 0, 8) });
    }
    int(result(poll::poll(polled, milliseconds(timeout), Mask::NONE)))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __poll_chk(
    descriptors: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
    room: usize,
) -> c_int {
    if room / size_of::<pollfd>() < count as usize {
        std::process::abort();
    }
    // SAFETY: the program's arguments.
    unsafe { poll(descriptors, count, timeout) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ppoll(
    descriptors: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the program's array and time.
    let (polled, time) = unsafe { (polled(descriptors, count), timeout.as_ref()) };
    if !poll::concerns(polled) {
        // The C library keeps what is left from the program.
        let mut time = time.copied();
        let time = time.as_mut().map_or(0, |time| std::ptr::from_mut(time) as usize);
        // SAFETY: the program's arguments, and a time.
        return int(unsafe { pass!(SYS_ppoll, descriptors as usize, count, time, mask as usize, 8) });
    }
    // SAFETY: the program's mask.
    int(result(poll::poll(polled, time.map(duration), unsafe { Mask::new(mask) })))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __ppoll_chk(
    descriptors: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    room: usize,
) -> c_int {
    if room / size_of::<pollfd>() < count as usize {
        std::process::abort();
    }
    // SAFETY: the program's arguments.
    unsafe { ppoll(descriptors, count, timeout, mask) }
}

/// The words of a set that matter for so many descriptors.
///
/// # Safety
/// It is null, or has them.
unsafe fn set<'a>(set: *mut fd_set, count: usize) -> Set<'a> {
    if set.is_null() || count == 0 {
        return Set::new(&mut []);
    }
    // SAFETY: the caller's.
    Set::new(unsafe { std::slice::from_raw_parts_mut(set.cast(), count.div_ceil(64)) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn select(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    let started = std::time::Instant::now();
    // SAFETY: null or the program's.
    let timeout = unsafe { timeout.as_mut() };
    let wanted = timeout.as_ref().map(|timeout| options::duration(timeout.tv_sec, timeout.tv_usec));
    let time = wanted.map(epoll::timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the program's sets.
    let selected = unsafe { pselect(count, read, write, except, time, std::ptr::null()) };
    // The kernel tells what is left of the time (select(2)).
    if let (Some(timeout), Some(wanted)) = (timeout, wanted) {
        let left = wanted.saturating_sub(started.elapsed());
        (timeout.tv_sec, timeout.tv_usec) = (left.as_secs() as i64, left.subsec_micros().into());
    }
    selected
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut fd_set,
    write: *mut fd_set,
    except: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let Ok(descriptors) = usize::try_from(count) else { return int(fail(Errno::INVAL)) };
    // SAFETY: the program's sets.
    let mut sets = unsafe { [set(read, descriptors), set(write, descriptors), set(except, descriptors)] };
    let concerned = !table::is_empty() && {
        let polled = poll::selected(descriptors, &sets);
        poll::concerns(&polled)
    };
    // SAFETY: null or the program's.
    let mut time = unsafe { timeout.as_ref() }.copied();
    if !concerned {
        let time = time.as_mut().map_or(0, |time| std::ptr::from_mut(time) as usize);
        // The kernel's way to have a sixth argument of two words (select(2)).
        let packed = [mask as usize, 8];
        // SAFETY: the program's arguments, a time and a mask.
        return int(unsafe {
            pass!(SYS_pselect6, count, read as usize, write as usize, except as usize, time, packed.as_ptr() as usize)
        });
    }
    let mut polled = poll::selected(descriptors, &sets);
    // SAFETY: the program's mask.
    let done = poll::poll(&mut polled, time.as_ref().map(duration), unsafe { Mask::new(mask) });
    int(result(done.and_then(|_| poll::select(&polled, &mut sets))))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_create(size: c_int) -> c_int {
    if size <= 0 {
        return int(fail(Errno::INVAL));
    }
    // SAFETY: a number.
    unsafe { epoll_create1(0) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    // SAFETY: a number.
    let created = int(unsafe { pass!(SYS_epoll_create1, flags) });
    if created >= 0 && crate::offload::is_wanted() {
        epoll::create(created);
    }
    created
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    descriptor: c_int,
    event: *mut epoll_event,
) -> c_int {
    let instance = epoll::get(epoll);
    // SAFETY: null or the program's.
    let wanted = unsafe { event.as_ref() }.map(|event| (event.events, event.u64));
    match (instance, table::get(descriptor)) {
        (Some(instance), Some(entry)) if entry.is_socket() => {
            int(result(instance.control(operation, descriptor, entry, wanted).map(|()| 0)))
        }
        (_, Some(entry)) if entry.kind == Kind::Own => int(fail(Errno::BADF)),
        (Some(instance), Some(entry)) if entry.kind == Kind::Epoll && epoll != descriptor => {
            int(result(instance.control(operation, descriptor, entry, wanted).map(|()| 0)))
        }
        (None, Some(entry)) if entry.is_socket() => {
            // What the kernel says of an instance that is none; it knows nothing of the descriptor.
            // SAFETY: a number.
            let done = int(unsafe { pass!(SYS_epoll_ctl, epoll, libc::EPOLL_CTL_DEL, descriptor, 0) });
            if raw::last() == Errno::NOENT { int(fail(Errno::PERM)) } else { done }
        }
        (instance, _) => {
            // SAFETY: the program's arguments.
            let done = int(unsafe { pass!(SYS_epoll_ctl, epoll, operation, descriptor, event as usize) });
            if let Some(instance) = instance.filter(|_| done == 0) {
                instance.controlled(operation, descriptor, wanted);
            }
            done
        }
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the program's array.
    unsafe { epoll_pwait(epoll, events, count, timeout, std::ptr::null()) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the program's arguments.
    let kernels = |events: *mut c_void| unsafe {
        pass!(SYS_epoll_pwait, epoll, events as usize, count, timeout, mask as usize, 8)
    };
    // SAFETY: the program's arguments.
    unsafe { wait(epoll, events, count, milliseconds(timeout), mask, kernels) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_pwait2(
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the program's arguments.
    let kernels = |events: *mut c_void| unsafe {
        pass!(SYS_epoll_pwait2, epoll, events as usize, count, timeout as usize, mask as usize, 8)
    };
    // SAFETY: null or the program's.
    let time = unsafe { timeout.as_ref() }.map(duration);
    // SAFETY: the program's arguments.
    unsafe { wait(epoll, events, count, time, mask, kernels) }
}

/// # Safety
/// There is room for so many events; the mask is null or the program's.
unsafe fn wait(
    epoll: c_int,
    events: *mut epoll_event,
    count: c_int,
    timeout: Option<Duration>,
    mask: *const sigset_t,
    kernels: impl Fn(*mut c_void) -> isize,
) -> c_int {
    let Some(instance) = epoll::get(epoll) else { return int(kernels(events.cast())) };
    let room = match usize::try_from(count) {
        Ok(room @ 1..) if !events.is_null() => room,
        _ => return int(fail(Errno::INVAL)),
    };
    // SAFETY: the caller's.
    let (into, mask) = unsafe { (std::slice::from_raw_parts_mut(events, room), Mask::new(mask)) };
    if instance.is_kernels() {
        let mut failed = 0;
        let told = instance.wait_in_kernel(epoll, into, |into| {
            let told = kernels(into.as_mut_ptr().cast());
            failed = told.min(0);
            Ok(told.max(0) as usize)
        });
        match told {
            _ if failed < 0 => return int(failed),
            Ok(Some(told)) => return told as c_int,
            Ok(None) => {}
            Err(error) => return int(fail(error)),
        }
    }
    int(result(instance.wait(epoll, into, timeout, mask)))
}
