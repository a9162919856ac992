//! Locks of owners that live, that have died, and that nobody has waited for.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use afpa_channel::lock::{lock, try_lock};
use rustix::thread::gettid;

fn thread_id() -> u32 {
    gettid().as_raw_nonzero().get().cast_unsigned()
}

/// A process that does nothing until it is killed.
fn idle() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_lock_that_is_tried_in_vain_is_still_held() {
    let word = AtomicU32::new(0);
    let guard = lock(&word, 1).unwrap();
    assert!(try_lock(&word, 2).is_none());
    assert!(try_lock(&word, 3).is_none(), "the attempt has let go of it");
    drop(guard);
    drop(try_lock(&word, 2).unwrap());
    assert!(try_lock(&word, 3).is_some());
}

#[test]
fn what_is_guarded_is_one_threads_at_a_time() {
    let (word, count) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let _guard = lock(&word, thread_id()).unwrap();
                    let before = count.load(Ordering::Relaxed);
                    thread::yield_now();
                    count.store(before + 1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 4000);
}

#[test]
fn a_dead_owners_lock_goes_to_one_of_those_who_wait() {
    let mut process = idle();
    process.kill().unwrap();
    process.wait().unwrap();
    for owner in [process.id(), u32::MAX, i32::MAX.cast_unsigned()] {
        let (word, count) = (AtomicU32::new(owner), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _guard = lock(&word, thread_id()).unwrap();
                    let before = count.load(Ordering::Relaxed);
                    thread::yield_now();
                    count.store(before + 1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!((count.into_inner(), word.into_inner()), (4, 0));
    }
}

/// A parent of one thread that waits for its child's lock cannot wait for the child.
#[test]
fn a_lock_is_taken_from_a_child_that_nobody_has_waited_for() {
    let mut process = idle();
    process.kill().unwrap();
    let word = AtomicU32::new(process.id());
    drop(lock(&word, thread_id()).unwrap());
    process.wait().unwrap();
}

#[test]
fn a_lock_is_not_taken_from_who_lives() {
    let mut process = idle();
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    // A thread that is not its process's first, and a process.
    let other = thread::spawn(move || {
        tell.send(thread_id()).unwrap();
        released.recv().unwrap_err();
    });
    let owners = [told.recv().unwrap(), process.id()];
    let words = owners.map(AtomicU32::new);
    let freed = AtomicU32::new(0);
    thread::scope(|scope| {
        for word in &words {
            let freed = &freed;
            scope.spawn(move || {
                drop(lock(word, thread_id()).unwrap());
                assert_eq!(freed.load(Ordering::Acquire), 1, "taken from who lives");
            });
        }
        // More often than it takes to look at the owner.
        (0..2000).for_each(|_| thread::yield_now());
        freed.store(1, Ordering::Release);
        words.iter().for_each(|word| word.store(0, Ordering::Release));
    });
    drop(release);
    other.join().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
}
