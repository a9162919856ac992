//! The calling thread's id, without a system call each time.

use std::cell::Cell;

thread_local! {
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

/// The thread's id, as the kernel has it.
pub(crate) fn id() -> u32 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        }
        thread.get()
    })
}

/// The thread has come out of a fork: its id is another.
pub(crate) fn forget() {
    THREAD.with(|thread| thread.set(0));
}
