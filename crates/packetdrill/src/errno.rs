//! The system's error numbers.

/// What a failed call leaves in `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const ADDRESS_FAMILY: Errno = Errno(libc::EAFNOSUPPORT);
    pub(crate) const ADDRESS_IN_USE: Errno = Errno(libc::EADDRINUSE);
    pub(crate) const ADDRESS_NOT_AVAILABLE: Errno = Errno(libc::EADDRNOTAVAIL);
    pub(crate) const AGAIN: Errno = Errno(libc::EAGAIN);
    pub(crate) const ALREADY: Errno = Errno(libc::EALREADY);
    pub(crate) const BAD_DESCRIPTOR: Errno = Errno(libc::EBADF);
    pub(crate) const FAULT: Errno = Errno(libc::EFAULT);
    pub(crate) const INVALID: Errno = Errno(libc::EINVAL);
    pub(crate) const IN_PROGRESS: Errno = Errno(libc::EINPROGRESS);
    pub(crate) const IS_CONNECTED: Errno = Errno(libc::EISCONN);
    pub(crate) const NOT_CONNECTED: Errno = Errno(libc::ENOTCONN);
    pub(crate) const NOT_SUPPORTED: Errno = Errno(libc::EOPNOTSUPP);
    pub(crate) const NO_OPTION: Errno = Errno(libc::ENOPROTOOPT);
    pub(crate) const NO_SUCH_CALL: Errno = Errno(libc::ENOSYS);
    pub(crate) const PIPE: Errno = Errno(libc::EPIPE);
    pub(crate) const PROTOCOL: Errno = Errno(libc::EPROTONOSUPPORT);
    pub(crate) const REFUSED: Errno = Errno(libc::ECONNREFUSED);
    pub(crate) const RESET: Errno = Errno(libc::ECONNRESET);
    pub(crate) const TIMED_OUT: Errno = Errno(libc::ETIMEDOUT);
    pub(crate) const TOO_MANY: Errno = Errno(libc::EMFILE);
}
