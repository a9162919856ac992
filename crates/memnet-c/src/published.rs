//! `memnet_object_t`, and what is published.

use std::ffi::{c_int, c_void};
use std::slice;

use memnet_rust::Object;

use crate::attachment::Memnet;
use crate::error::{negative, zero};
use crate::memory::{File, Memory};
use crate::object::{give, look, take};

/// The octets that a program passes.
///
/// # Safety
/// There are so many at `octets`, which are not written meanwhile.
unsafe fn octets<'a>(octets: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 || octets.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(octets.cast(), length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_publish(
    attachment: *const Memnet,
    key: *const c_void,
    key_length: usize,
    data: *const c_void,
    length: usize,
) -> c_int {
    // SAFETY: the caller's octets.
    let (key, data) = unsafe { (octets(key, key_length), octets(data, length)) };
    // SAFETY: the caller's object.
    zero(unsafe { look(attachment) }.publish(key, data))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_publish_mem(
    attachment: *const Memnet,
    key: *const c_void,
    key_length: usize,
    mem: *const Memory,
    offset: usize,
    length: usize,
) -> c_int {
    // SAFETY: the caller's objects.
    let (attachment, memory) = unsafe { (look(attachment), look(mem)) };
    // SAFETY: the caller's octets.
    let key = unsafe { octets(key, key_length) };
    match offset.checked_add(length).filter(|end| *end <= memory.buffer().len()) {
        Some(end) => zero(attachment.publish_mem(key, memory.buffer(), offset..end)),
        None => -libc::EINVAL,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_publish_file(
    attachment: *const Memnet,
    key: *const c_void,
    key_length: usize,
    file: *const File,
    offset: u64,
    length: u64,
) -> c_int {
    // SAFETY: the caller's objects.
    let (attachment, file) = unsafe { (look(attachment), look(file)) };
    // SAFETY: the caller's octets.
    let key = unsafe { octets(key, key_length) };
    zero(attachment.publish_file(key, &file.0, offset, length))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_object(
    attachment: *const Memnet,
    key: *const c_void,
    key_length: usize,
    object: *mut *mut Object,
) -> c_int {
    // SAFETY: the caller's octets.
    let key = unsafe { octets(key, key_length) };
    // SAFETY: the caller's object.
    match unsafe { look(attachment) }.object(key) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(Some(found)) => unsafe { give(found, object) },
        Ok(None) => -libc::ENOENT,
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_object_length(object: *const Object) -> u64 {
    // SAFETY: the caller's object.
    unsafe { look(object) }.len()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_close_object(object: *mut Object) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(object) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_purge(attachment: *const Memnet, key: *const c_void, key_length: usize) -> c_int {
    // SAFETY: the caller's octets.
    let key = unsafe { octets(key, key_length) };
    // SAFETY: the caller's object.
    unsafe { look(attachment) }.purge(key).map_or_else(|error| negative(&error), c_int::from)
}
