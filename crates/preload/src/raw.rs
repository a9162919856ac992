//! System calls without the C library: its functions of the same names are this library's by now.

use std::ffi::{c_int, c_long};
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::Errno;

/// Makes a system call; a result from -4095 to -1 is an errno.
///
/// # Safety
/// As the call's: the kernel reads and writes what the arguments point to.
#[inline]
pub(crate) unsafe fn enter(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers are those of the kernel's interface, and what it overwrites is said; the rest is the caller's.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number as isize,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// Makes a system call with fewer arguments, each of which is cast.
macro_rules! call {
    ($number:ident $(, $argument:expr)* $(,)?) => {{
        let mut arguments = [0usize; 6];
        let mut _count = 0;
        $(
            arguments[_count] = $argument as usize;
            _count += 1;
        )*
        $crate::raw::enter(libc::$number, arguments)
    }};
}
pub(crate) use call;

/// Makes a system call for a program: the result as the C library has it.
macro_rules! pass {
    ($($tokens:tt)*) => {
        $crate::raw::answer($crate::raw::call!($($tokens)*))
    };
}
pub(crate) use pass;

/// A system call's result as a C function's: -1 and errno.
#[inline]
pub(crate) fn answer(result: isize) -> isize {
    if (-4095..0).contains(&result) { fail(Errno::from_raw_os_error(-result as i32)) } else { result }
}

/// What a C function returns that has failed.
#[inline]
pub(crate) fn fail(error: Errno) -> isize {
    // SAFETY: the C library's word for the calling thread.
    unsafe { *libc::__errno_location() = error.raw_os_error() };
    -1
}

/// The errno of the last call that has failed.
pub(crate) fn last() -> Errno {
    // SAFETY: the C library's word for the calling thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// A result as a C function's.
#[inline]
pub(crate) fn result(result: Result<usize, Errno>) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(error) => fail(error),
    }
}

fn checked(result: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&result) { Err(Errno::from_raw_os_error(-result as i32)) } else { Ok(result as usize) }
}

/// shutdown(2) of both ways. A socket that is not connected is left as it is.
pub(crate) fn shut_down(descriptor: RawFd) {
    // SAFETY: numbers.
    unsafe { call!(SYS_shutdown, descriptor, libc::SHUT_RDWR) };
}

/// shutdown(2) of what is sent.
pub(crate) fn finish(descriptor: RawFd) {
    // SAFETY: numbers.
    unsafe { call!(SYS_shutdown, descriptor, libc::SHUT_WR) };
}

/// Resets a connection that other processes may have as well.
pub(crate) fn reset(descriptor: RawFd) {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let (address, length) = (&raw const nowhere as usize, size_of_val(&nowhere));
    // SAFETY: an address of that length, which lives through the call.
    if checked(unsafe { call!(SYS_connect, descriptor, address, length) }).is_err() {
        shut_down(descriptor);
    }
}

/// sendmsg(2), or sendto(2), of the program's memory.
pub(crate) fn send(descriptor: RawFd, pieces: &[IoSlice<'_>], flags: c_int) -> Result<usize, Errno> {
    if let [piece] = pieces {
        // SAFETY: the piece lives through the call.
        return checked(unsafe { call!(SYS_sendto, descriptor, piece.as_ptr() as usize, piece.len(), flags) });
    }
    // SAFETY: a message of no name, no control part and no memory; all its octets may be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // A piece is an iovec (std::io::IoSlice), which sending does not write.
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len();
    // SAFETY: the message and its pieces live through the call.
    checked(unsafe { call!(SYS_sendmsg, descriptor, &raw const message as usize, flags) })
}

/// Whether a socket has room to send, as poll(2) has it.
pub(crate) fn has_room(descriptor: RawFd) -> bool {
    let mut polled = [libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 }];
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    ppoll(&mut polled, Some(now), Mask::NONE).is_ok() && polled[0].revents & libc::POLLOUT != 0
}

/// dup3(2).
pub(crate) fn duplicate_over(descriptor: RawFd, onto: RawFd, flags: c_int) -> Result<usize, Errno> {
    // SAFETY: numbers; what `onto` was is nobody's any more.
    checked(unsafe { call!(SYS_dup3, descriptor, onto, flags) })
}

/// The program's descriptor, for as long as a call of the program is under way that names it.
pub(crate) fn borrow<'a>(descriptor: RawFd) -> Result<BorrowedFd<'a>, Errno> {
    if descriptor < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1; that it stays open meanwhile is the program's affair, as with every system call.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor) })
}

/// fcntl(2) with a number as its argument.
pub(crate) fn fcntl(descriptor: RawFd, command: c_int, argument: usize) -> Result<usize, Errno> {
    // SAFETY: used with commands only that take no address.
    checked(unsafe { call!(SYS_fcntl, descriptor, command, argument) })
}

/// A socket option that is a number.
pub(crate) fn option(descriptor: RawFd, level: c_int, name: c_int) -> Result<c_int, Errno> {
    option_of(descriptor, level, name, 0)
}

/// A socket option that is a `timeval` or a `linger`.
pub(crate) fn option_of<T: Copy + Plain>(
    descriptor: RawFd,
    level: c_int,
    name: c_int,
    mut value: T,
) -> Result<T, Errno> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: both addresses are those of values of that size, and any octets make one (`Plain`).
    checked(unsafe {
        call!(SYS_getsockopt, descriptor, level, name, &raw mut value as usize, &raw mut length as usize)
    })?;
    Ok(value)
}

/// Values that any octets make one of.
pub(crate) trait Plain {}
impl Plain for c_int {}
impl Plain for libc::timeval {}
impl Plain for libc::linger {}

/// ppoll(2); `mask` is what the program has passed.
pub(crate) fn ppoll(
    descriptors: &mut [libc::pollfd],
    mut timeout: Option<libc::timespec>,
    mask: Mask,
) -> Result<usize, Errno> {
    // The kernel writes there what is left of it.
    let timeout = timeout.as_mut().map_or(0, |timeout| std::ptr::from_mut(timeout) as usize);
    // SAFETY: the slice and the timeout live through the call; the mask is vouched for by who made it.
    checked(unsafe { call!(SYS_ppoll, descriptors.as_mut_ptr() as usize, descriptors.len(), timeout, mask.0, 8) })
}

/// epoll_pwait(2) into the program's events.
pub(crate) fn epoll_wait(epoll: RawFd, events: &mut [libc::epoll_event], timeout: c_int) -> Result<usize, Errno> {
    if events.is_empty() {
        return Ok(0);
    }
    // SAFETY: the kernel writes at most as many events as the slice has.
    checked(unsafe {
        call!(SYS_epoll_pwait, epoll, events.as_mut_ptr() as usize, events.len().min(1 << 20), timeout, 0, 8)
    })
}

/// epoll_ctl(2).
pub(crate) fn epoll_ctl(
    epoll: RawFd,
    operation: c_int,
    descriptor: RawFd,
    mut event: libc::epoll_event,
) -> Result<(), Errno> {
    // SAFETY: the event lives through the call.
    checked(unsafe { call!(SYS_epoll_ctl, epoll, operation, descriptor, &raw mut event as usize) }).map(drop)
}

/// A signal mask that a program has passed, to be in force while a call waits; as an address, or zero.
#[derive(Clone, Copy)]
pub(crate) struct Mask(usize);

impl Mask {
    /// The thread's own stays.
    pub(crate) const NONE: Mask = Mask(0);

    /// # Safety
    /// It is null, or points to a signal set that lives for as long as this is used.
    pub(crate) unsafe fn new(mask: *const libc::sigset_t) -> Mask {
        Mask(mask as usize)
    }
}

/// While it lives, the calling thread runs no handlers: for what must not be interrupted by a handler that does the same.
pub(crate) struct Undisturbed {
    before: u64,
}

impl Undisturbed {
    pub(crate) fn new() -> Undisturbed {
        let (all, mut before) = (u64::MAX, 0u64);
        // SAFETY: two signal sets of the kernel's size.
        unsafe { call!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all as usize, &raw mut before as usize, 8) };
        Undisturbed { before }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { call!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const self.before as usize, 0, 8) };
    }
}
