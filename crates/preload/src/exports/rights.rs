//! Descriptors in the messages of Unix sockets.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, RawFd};

use libc::{CMSG_DATA, CMSG_FIRSTHDR, CMSG_NXTHDR, cmsghdr, msghdr, ssize_t};

use crate::inheritance::Will;
use crate::passing;
use crate::raw::pass;
use crate::table;

/// Calls `each` with the place of every descriptor in a message.
///
/// # Safety
/// It is a message, whose control part is as it says.
unsafe fn each(message: *const msghdr, mut each: impl FnMut(*mut RawFd)) {
    // SAFETY: the caller's; each header lies within the control part, and says how long it is.
    unsafe {
        let mut header: *mut cmsghdr = CMSG_FIRSTHDR(message);
        while let Some(found) = header.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                let data = CMSG_DATA(header);
                let octets = (found.cmsg_len as usize).saturating_sub(data.offset_from(header.cast()) as usize);
                (0..octets / size_of::<RawFd>()).for_each(|at| each(data.cast::<RawFd>().add(at)));
            }
            header = CMSG_NXTHDR(message, header);
        }
    }
}

/// Takes what stands for sockets out of a message that has come.
///
/// # Safety
/// It is null or a message.
pub(super) unsafe fn received(message: *mut msghdr) {
    // SAFETY: the caller's; places are within the message.
    unsafe {
        if message.as_ref().is_some_and(|message| message.msg_controllen > 0) {
            each(message, |place| passing::received(place.read_unaligned()));
        }
    }
}

/// sendmsg(2) over a socket of the kernel, in which other descriptors go in place of those that mean nothing elsewhere.
///
/// # Safety
/// As the call's.
pub(super) unsafe fn send(descriptor: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's.
    unsafe {
        let kernels = || pass!(SYS_sendmsg, descriptor, message as usize, flags);
        let Some(original) = message.as_ref().filter(|message| message.msg_controllen > 0 && !table::is_empty()) else {
            return kernels();
        };
        let mut is_ours = false;
        each(original, |place| is_ours |= table::get(place.read_unaligned()).is_some_and(table::Entry::is_socket));
        if !is_ours {
            return kernels();
        }
        // The program's message stays as it is.
        let mut control = vec![0u64; (original.msg_controllen as usize).div_ceil(8)];
        std::ptr::copy_nonoverlapping(
            original.msg_control.cast::<u8>(),
            control.as_mut_ptr().cast(),
            original.msg_controllen as usize,
        );
        let mut copy = *original;
        copy.msg_control = control.as_mut_ptr().cast();
        let mut wills: Vec<Will> = Vec::new();
        each(&copy, |place| {
            if let Some(will) = passing::instead_of(place.read_unaligned()) {
                place.write_unaligned(will.table.as_raw_fd());
                wills.push(will);
            }
        });
        let sent = pass!(SYS_sendmsg, descriptor, &raw const copy as usize, flags);
        if sent < 0 {
            let error = crate::raw::last();
            wills.into_iter().for_each(Will::revoke);
            return crate::raw::fail(error);
        }
        sent
    }
}
