//! A lock between threads of an application's processes, which may be killed while they hold it.
//!
//! The word holds the owner's thread id. What it guards is committed by one store each time, so what a dead owner
//! leaves is whole, and its lock can be taken from it. Held for a copy, never while somebody waits for the network.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use rustix::thread::sched_yield;

use crate::memory::Word;

/// Looks at the owner after so many attempts.
const PATIENCE: u32 = 64;

/// A lock that is held.
pub struct Guard<'a, W: Word> {
    word: &'a W,
}

/// Takes the lock for the thread `thread`. `None` if the thread has it: then this is the handler of a signal that came
/// meanwhile, and to wait would be to wait for ever.
pub fn lock<W: Word>(word: &W, thread: u32) -> Option<Guard<'_, W>> {
    let mut attempts = 0u32;
    loop {
        let owner = match word.compare_exchange(0, thread) {
            Ok(_) => return Some(Guard { word }),
            Err(owner) if owner == thread => return None,
            Err(owner) => owner,
        };
        attempts += 1;
        if attempts.is_multiple_of(PATIENCE) && !is_alive(owner) && word.compare_exchange(owner, thread).is_ok() {
            return Some(Guard { word });
        }
        sched_yield();
    }
}

/// Takes the lock if nobody holds it.
pub fn try_lock<W: Word>(word: &W, thread: u32) -> Option<Guard<'_, W>> {
    // Not `then_some`: a guard that is made is dropped, and lets go of what another thread holds.
    word.compare_exchange(0, thread).is_ok().then(|| Guard { word })
}

impl<W: Word> Drop for Guard<'_, W> {
    fn drop(&mut self) {
        self.word.store(0, std::sync::atomic::Ordering::Release);
    }
}

fn is_alive(thread: u32) -> bool {
    let Some(pid) = i32::try_from(thread).ok().and_then(Pid::from_raw) else { return false };
    // EPERM is an answer of somebody who lives.
    test_kill_process(pid) != Err(Errno::SRCH) && !is_zombie(pid)
}

/// Whether it is a process that has ended and that its parent has not waited for: it may be the parent that asks. A
/// thread that is not its process's first is none of that kind, and has no such descriptor.
fn is_zombie(pid: Pid) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec::default())).is_ok() && ended[0].revents().contains(PollFlags::IN)
}
