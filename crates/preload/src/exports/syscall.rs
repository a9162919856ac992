//! syscall(2): programs that make system calls by their numbers mean the same descriptors.

use std::ffi::{c_int, c_long, c_uint, c_void};

use rustix::io::Errno;

use super::descriptors::{close, close_range, dup, dup2, dup3, fcntl, ioctl};
use super::process::{execve, fork};
use super::readiness::{epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2, ppoll};
use super::sockets::{accept, accept4, connect, getpeername, getsockname, getsockopt, listen, setsockopt, shutdown};
use super::transfer::{
    read, readv, recvfrom, recvmmsg, recvmsg, sendfile64, sendmmsg, sendmsg, sendto, splice, write, writev,
};
use crate::raw;

/// A C function takes its variable arguments in the same places as these.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let (int, pointer) = (|word: usize| word as c_int, |word: usize| word as *mut c_void);
    // SAFETY: each is the system call of that number, with its arguments as they are.
    unsafe {
        match number {
            libc::SYS_read => read(int(a), pointer(b), c) as c_long,
            libc::SYS_write => write(int(a), pointer(b), c) as c_long,
            libc::SYS_readv => readv(int(a), b as _, int(c)) as c_long,
            libc::SYS_writev => writev(int(a), b as _, int(c)) as c_long,
            libc::SYS_recvfrom => recvfrom(int(a), pointer(b), c, int(d), e as _, f as _) as c_long,
            libc::SYS_recvmsg => recvmsg(int(a), b as _, int(c)) as c_long,
            libc::SYS_recvmmsg => recvmmsg(int(a), b as _, c as c_uint, int(d), e as _).into(),
            libc::SYS_sendto => sendto(int(a), pointer(b), c, int(d), e as _, f as _) as c_long,
            libc::SYS_sendmsg => sendmsg(int(a), b as _, int(c)) as c_long,
            libc::SYS_sendmmsg => sendmmsg(int(a), b as _, c as c_uint, int(d)).into(),
            libc::SYS_sendfile => sendfile64(int(a), int(b), c as _, d) as c_long,
            libc::SYS_splice => splice(int(a), b as _, int(c), d as _, e, f as c_uint) as c_long,
            libc::SYS_listen => listen(int(a), int(b)).into(),
            libc::SYS_accept => accept(int(a), b as _, c as _).into(),
            libc::SYS_accept4 => accept4(int(a), b as _, c as _, int(d)).into(),
            libc::SYS_connect => connect(int(a), b as _, c as _).into(),
            libc::SYS_shutdown => shutdown(int(a), int(b)).into(),
            libc::SYS_getsockopt => getsockopt(int(a), int(b), int(c), d as _, e as _).into(),
            libc::SYS_setsockopt => setsockopt(int(a), int(b), int(c), d as _, e as _).into(),
            libc::SYS_getsockname => getsockname(int(a), b as _, c as _).into(),
            libc::SYS_getpeername => getpeername(int(a), b as _, c as _).into(),
            libc::SYS_close => close(int(a)).into(),
            libc::SYS_close_range => close_range(a as c_uint, b as c_uint, int(c)).into(),
            libc::SYS_dup => dup(int(a)).into(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => dup2(int(a), int(b)).into(),
            libc::SYS_dup3 => dup3(int(a), int(b), int(c)).into(),
            libc::SYS_fcntl => fcntl(int(a), int(b), c).into(),
            libc::SYS_ioctl => ioctl(int(a), b as _, pointer(c)).into(),
            libc::SYS_ppoll => ppoll(a as _, b as _, c as _, d as _).into(),
            libc::SYS_epoll_create1 => epoll_create1(int(a)).into(),
            libc::SYS_epoll_ctl => epoll_ctl(int(a), int(b), int(c), d as _).into(),
            libc::SYS_epoll_pwait => epoll_pwait(int(a), b as _, int(c), int(d), e as _).into(),
            libc::SYS_epoll_pwait2 => epoll_pwait2(int(a), b as _, int(c), d as _, e as _).into(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => super::readiness::epoll_wait(int(a), b as _, int(c), int(d)).into(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => super::readiness::poll(a as _, b as _, int(c)).into(),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork => fork().into(),
            libc::SYS_execve => execve(a as _, b as _, c as _).into(),
            // A ring of requests passes by everything that is here: programs that can do without it do.
            libc::SYS_io_uring_setup if crate::offload::is_wanted() => raw::fail(Errno::NOSYS) as c_long,
            _ => raw::answer(raw::enter(number, [a, b, c, d, e, f])) as c_long,
        }
    }
}
