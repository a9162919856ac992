//! Sockets that are passed over Unix sockets (unix(7), SCM_RIGHTS). In place of the descriptor, which means nothing to
//! another process, a memfd goes that says what it is, as for a program that is executed.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::SealFlags;

use crate::inheritance::{self, Will};
use crate::offload;
use crate::raw;
use crate::table;

/// What is sent for a descriptor. `None`: itself.
pub(crate) fn instead_of(descriptor: RawFd) -> Option<Will> {
    let entry = table::get(descriptor).filter(|entry| entry.is_socket())?;
    let will = Will::of(vec![(0, entry)])?;
    // So it can be told from other files.
    rustix::fs::fcntl_add_seals(&will.table, SEALS).ok()?;
    Some(will)
}

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// A descriptor has come. If it stands for a socket, it becomes that.
pub(crate) fn received(descriptor: RawFd) {
    let Ok(file) = raw::borrow(descriptor) else { return };
    if rustix::fs::fcntl_get_seals(file) != Ok(SEALS) || !offload::is_wanted() {
        return;
    }
    let mut octets = [0; 256];
    let Ok(count) = rustix::io::pread(file, &mut octets, 0) else { return };
    let Some((bequest, entries)) = std::str::from_utf8(&octets[..count]).ok().and_then(inheritance::decode) else {
        return;
    };
    let ([(_, entry)], Ok(flags)) = (&entries[..], raw::fcntl(descriptor, libc::F_GETFD, 0)) else { return };
    let Some(entry) = inheritance::claim(bequest, *entry) else { return };
    let placed = offload::placeholder(true).ok().filter(|placeholder| over(placeholder, descriptor, flags));
    if placed.is_some() {
        table::put(descriptor, Some(entry));
    } else {
        offload::release(Some(entry));
    }
}

/// The placeholder takes the number of what has come.
fn over(placeholder: &OwnedFd, descriptor: RawFd, flags: usize) -> bool {
    let flags = if flags & libc::FD_CLOEXEC as usize != 0 { libc::O_CLOEXEC } else { 0 };
    raw::duplicate_over(placeholder.as_raw_fd(), descriptor, flags).is_ok()
}
