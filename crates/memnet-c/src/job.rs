//! `memnet_job_t`: a job lies in the program's memory.

use std::ffi::c_int;
use std::mem::{align_of, size_of};
use std::slice;

use memnet_rust::{Job, Object, ReceiveBuffer, ReceiveJob, Refused, SendJob, SentFile, Socket, wait_any};

use crate::error::negative;
use crate::memory::{File, Memory};
use crate::object::{deadline, look};

/// As the header has it.
#[repr(C)]
pub(crate) struct Place([u64; 32]);

/// What is in it.
enum Running {
    Send(SendJob<ReceiveBuffer>),
    File(SendJob<SentFile>),
    Object(SendJob<Object>),
    Receive(ReceiveJob),
    /// Its result was taken.
    Ended,
}

const _: () = assert!(size_of::<Running>() <= size_of::<Place>() && align_of::<Running>() <= align_of::<Place>());

impl Running {
    fn job(&mut self) -> Option<&mut dyn Job> {
        match self {
            Running::Send(job) => Some(job),
            Running::File(job) => Some(job),
            Running::Object(job) => Some(job),
            Running::Receive(job) => Some(job),
            Running::Ended => None,
        }
    }

    /// Its result, if it has one.
    fn end(self) -> i64 {
        let octets = |result: std::io::Result<u64>| {
            result.map_or_else(|error| negative(&error).into(), |octets| i64::try_from(octets).unwrap_or(i64::MAX))
        };
        let runs = -i64::from(libc::EINPROGRESS);
        match self {
            Running::Send(job) => job.finish().map_or(runs, |(result, _)| octets(result)),
            Running::File(job) => job.finish().map_or(runs, |(result, _)| octets(result)),
            Running::Object(job) => job.finish().map_or(runs, |(result, _)| octets(result)),
            Running::Receive(job) => job.finish().map_or(runs, |(result, _)| octets(result.map(|count| count as u64))),
            Running::Ended => -i64::from(libc::EINVAL),
        }
    }
}

/// # Safety
/// `place` can be written.
unsafe fn begin<T, B>(job: Result<T, Refused<B>>, to: fn(T) -> Running, place: *mut Place) -> c_int {
    match job {
        Ok(job) => {
            // SAFETY: the caller's promise; there is room, and nothing of value.
            unsafe { place.cast::<Running>().write(to(job)) };
            0
        }
        Err(refused) => negative(&refused.error),
    }
}

/// # Safety
/// `place` was filled when the job began, and is used by one thread.
unsafe fn running<'a>(place: *mut Place) -> &'a mut Running {
    assert!(!place.is_null(), "a null in place of a job");
    // SAFETY: the caller's promise.
    unsafe { &mut *place.cast::<Running>() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_async_send(
    socket: *const Socket,
    mem: *const Memory,
    offset: usize,
    length: usize,
    job: *mut Place,
) -> c_int {
    // SAFETY: the caller's objects.
    let (socket, memory) = unsafe { (look(socket), look(mem)) };
    match memory.part(offset, length) {
        // SAFETY: the caller passes where the job is to be put.
        Ok(part) => unsafe { begin(socket.async_send(part, 0..length), Running::Send, job) },
        Err(errno) => errno,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_async_recv(
    socket: *const Socket,
    mem: *const Memory,
    offset: usize,
    length: usize,
    job: *mut Place,
) -> c_int {
    // SAFETY: the caller's objects.
    let (socket, memory) = unsafe { (look(socket), look(mem)) };
    match memory.part(offset, length) {
        // SAFETY: the caller passes where the job is to be put.
        Ok(part) => unsafe { begin(socket.async_recv(part), Running::Receive, job) },
        Err(errno) => errno,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_send_file(
    socket: *const Socket,
    file: *const File,
    offset: u64,
    length: u64,
    job: *mut Place,
) -> c_int {
    // SAFETY: the caller's objects.
    let (socket, file) = unsafe { (look(socket), look(file)) };
    // SAFETY: the caller passes where the job is to be put.
    unsafe { begin(socket.send_file(&file.0, offset, length), Running::File, job) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_send_object(
    socket: *const Socket,
    object: *const Object,
    offset: u64,
    length: u64,
    job: *mut Place,
) -> c_int {
    // SAFETY: the caller's objects.
    let (socket, object) = unsafe { (look(socket), look(object)) };
    // SAFETY: the caller passes where the job is to be put.
    unsafe { begin(socket.send_object(object, offset, length), Running::Object, job) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_job_done(job: *mut Place) -> c_int {
    // SAFETY: the caller's job.
    unsafe { running(job) }.job().map_or(1, |job| c_int::from(job.job_done()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_job_wait(job: *mut Place, milliseconds: c_int) -> c_int {
    // SAFETY: the caller's job.
    let Some(job) = (unsafe { running(job) }).job() else { return 0 };
    wait_any(&mut [job], deadline(milliseconds)).map_or_else(|error| negative(&error), |_| 0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_wait_any(jobs: *const *mut Place, count: usize, milliseconds: c_int) -> c_int {
    if jobs.is_null() || count == 0 {
        return -libc::EINVAL;
    }
    // SAFETY: the caller passes so many jobs.
    let places = unsafe { slice::from_raw_parts(jobs, count) };
    let mut waiting: Vec<&mut dyn Job> = Vec::with_capacity(count);
    for (at, place) in places.iter().enumerate() {
        if places[..at].contains(place) {
            return -libc::EINVAL;
        }
        // SAFETY: the caller's job, and no other of them is the same.
        match unsafe { running(*place) }.job() {
            Some(job) => waiting.push(job),
            None => return -libc::EINVAL,
        }
    }
    let index = wait_any(&mut waiting, deadline(milliseconds));
    index.map_or_else(|error| negative(&error), |at| c_int::try_from(at).unwrap_or(c_int::MAX))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_job_cancel(job: *mut Place) -> c_int {
    // SAFETY: the caller's job.
    match unsafe { running(job) } {
        Running::Receive(job) => {
            job.cancel();
            0
        }
        _ => -libc::EINVAL,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_job_result(job: *mut Place) -> i64 {
    // SAFETY: the caller's job.
    std::mem::replace(unsafe { running(job) }, Running::Ended).end()
}
