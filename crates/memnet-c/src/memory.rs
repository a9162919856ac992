//! `memnet_mem_t` and `memnet_file_t`; `published.rs` has objects.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use memnet_rust::{ReceiveBuffer, SentFile};

use crate::attachment::Memnet;
use crate::error::{negative, zero};
use crate::object::{give, look, take};

/// Registered memory. Its octets are the program's and the server's: no reference to them is ever made here.
pub(crate) struct Memory(ReceiveBuffer);

pub(crate) struct File(pub(crate) SentFile);

impl Memory {
    pub(crate) fn buffer(&self) -> &ReceiveBuffer {
        &self.0
    }

    /// A part to lend to a job.
    pub(crate) fn part(&self, offset: usize, length: usize) -> Result<ReceiveBuffer, c_int> {
        let end = offset.checked_add(length).filter(|end| *end <= self.0.len()).ok_or(-libc::EINVAL)?;
        Ok(self.0.alias(Range { start: offset, end }))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_register_mem(attachment: *const Memnet, length: usize, mem: *mut *mut Memory) -> c_int {
    // SAFETY: the caller's object.
    match unsafe { look(attachment) }.register_receive_mem(length) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(buffer) => unsafe { give(Memory(buffer), mem) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_mem_data(mem: *const Memory) -> *mut c_void {
    // SAFETY: the caller's object.
    unsafe { look(mem) }.0.as_ptr().as_ptr().cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_mem_length(mem: *const Memory) -> usize {
    // SAFETY: the caller's object.
    unsafe { look(mem) }.0.len()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_deregister_mem(mem: *mut Memory) -> c_int {
    if mem.is_null() {
        return 0;
    }
    // SAFETY: the caller's object.
    if unsafe { look(mem) }.0.is_shared() {
        return -libc::EBUSY;
    }
    // SAFETY: no job has it, and the caller does not use it any more.
    let Some(memory) = (unsafe { take(mem) }) else { return 0 };
    let attachment = memory.0.attachment().clone();
    zero(attachment.deregister_mem(memory.0))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_open_file(attachment: *const Memnet, descriptor: c_int, file: *mut *mut File) -> c_int {
    if descriptor < 0 {
        return -libc::EBADF;
    }
    // SAFETY: the caller passes a descriptor that stays open meanwhile.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // SAFETY: the caller's object.
    match unsafe { look(attachment) }.open_file(descriptor) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(opened) => unsafe { give(File(opened), file) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_close_file(file: *mut File) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(file) });
}
