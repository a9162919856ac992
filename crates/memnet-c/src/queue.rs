//! `memnet_queue_t`.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::slice;
use std::sync::{Mutex, PoisonError};

use memnet_rust::{Listener, Queue, Socket, Wait};

use crate::attachment::Memnet;
use crate::error::negative;
use crate::object::{deadline, give, look, take};

pub(crate) struct CQueue {
    queue: Queue,
    /// What has been taken, and did not fit where it was to be told.
    told: Mutex<VecDeque<u32>>,
}

impl CQueue {
    fn tell(&self, numbers: &mut [u32]) -> usize {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.take(|slot| told.push_back(slot));
        let count = told.len().min(numbers.len());
        numbers.iter_mut().zip(told.drain(..count)).for_each(|(number, slot)| *number = slot);
        count
    }

    fn wait(&self, numbers: &mut [u32], milliseconds: c_int) -> io::Result<usize> {
        self.queue.wake();
        let deadline = deadline(milliseconds);
        loop {
            match self.tell(numbers) {
                0 if numbers.is_empty() => return Ok(0),
                0 => {}
                count => return Ok(count),
            }
            if milliseconds == 0 {
                // What has rung, if something has; or else it is the server's end.
                self.queue.drain()?;
                return Ok(self.tell(numbers));
            }
            if self.queue.wait(deadline)? == Wait::TimedOut {
                return Ok(self.tell(numbers));
            }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_open(attachment: *const Memnet, queue: *mut *mut CQueue) -> c_int {
    // SAFETY: the caller's object.
    match Queue::open(unsafe { look(attachment) }) {
        // SAFETY: the caller passes where the object is to be put.
        Ok(opened) => unsafe { give(CQueue { queue: opened, told: Mutex::default() }, queue) },
        Err(error) => negative(&error),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_close(queue: *mut CQueue) {
    // SAFETY: the caller does not use it any more.
    drop(unsafe { take(queue) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_subscribe(queue: *const CQueue, socket: *const Socket) {
    // SAFETY: the caller's objects.
    let (queue, socket) = unsafe { (look(queue), look(socket)) };
    queue.queue.subscribe(socket.channel(), false);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_subscribe_listener(
    queue: *const CQueue,
    listener: *const Listener,
    numbers: *mut u32,
    count: usize,
) -> c_int {
    // SAFETY: the caller's objects.
    let (queue, listener) = unsafe { (look(queue), look(listener)) };
    for (at, engine) in listener.engines().iter().enumerate() {
        queue.queue.subscribe(engine, true);
        if at < count && !numbers.is_null() {
            // SAFETY: the caller passes room for so many.
            unsafe { numbers.add(at).write(engine.number()) };
        }
    }
    listener.engines().len() as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_wait(
    queue: *const CQueue,
    numbers: *mut u32,
    count: usize,
    milliseconds: c_int,
) -> c_int {
    if numbers.is_null() || count > c_int::MAX as usize {
        return -libc::EINVAL;
    }
    // SAFETY: the caller passes room for so many. They are only written.
    let numbers = unsafe { slice::from_raw_parts_mut(numbers, count) };
    // SAFETY: the caller's object.
    let told = unsafe { look(queue) }.wait(numbers, milliseconds);
    told.map_or_else(|error| negative(&error), |count| count as c_int)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_descriptor(queue: *const CQueue) -> c_int {
    // SAFETY: the caller's object.
    unsafe { look(queue) }.queue.doorbell().as_raw_fd()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memnet_queue_sleep(queue: *const CQueue) -> c_int {
    // SAFETY: the caller's object.
    let queue = unsafe { look(queue) };
    let nothing_is_left = queue.told.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    c_int::from(queue.queue.sleep() && nothing_is_left)
}
