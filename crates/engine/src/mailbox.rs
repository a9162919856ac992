//! How other threads reach an engine: a queue, and an eventfd that is written only while it sleeps.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::event::{EventfdFlags, eventfd};

use crate::engine::Control;
use crate::seam::{ConnectionId, Owner};

/// What can be posted.
pub(crate) enum Message {
    /// A worker finished a connection's job. `None`: the job panicked.
    Completed { connection: ConnectionId, owner: Owner, result: Option<Box<dyn Any + Send>> },
    /// Something to do on the engine's thread.
    Command(Box<dyn FnOnce(&mut Control<'_>) + Send>),
}

struct Shared {
    sleeping: AtomicBool,
    /// Somebody called while the engine was awake: it looks again before it sleeps.
    notified: AtomicBool,
    wake: OwnedFd,
}

/// The posting end. Cheap to clone.
///
/// The queue itself has no bound; what is posted has: one completion for each job that the bounded
/// workers accepted, and commands of the control plane.
#[derive(Clone)]
pub(crate) struct Mailbox {
    queue: Sender<Message>,
    shared: Arc<Shared>,
}

/// The engine's end.
pub(crate) struct Inbox {
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    /// Wake-ups that were decided on, whose write of the eventfd has not been seen yet: it may come
    /// long after the engine woke for another reason.
    owed: Cell<u64>,
}

/// Wakes one engine from any thread. Cheap when the engine is awake.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// Makes the engine look at everything that others may have left for it.
    pub fn wake(&self) {
        self.0.notified.store(true, SeqCst);
        if self.0.sleeping.swap(false, SeqCst) {
            // The only failure is a counter at its maximum, which is readable too.
            let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        }
    }
}

pub(crate) fn mailbox() -> io::Result<(Mailbox, Inbox)> {
    let (sender, receiver) = unbounded();
    let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let shared = Arc::new(Shared { sleeping: AtomicBool::new(false), notified: AtomicBool::new(false), wake });
    Ok((Mailbox { queue: sender, shared: shared.clone() }, Inbox { queue: receiver, shared, owed: Cell::new(0) }))
}

impl Mailbox {
    /// Posts a message. An engine that has ended drops it.
    pub(crate) fn post(&self, message: Message) {
        if self.queue.send(message).is_ok() {
            self.waker().wake();
        }
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.shared.clone())
    }
}

impl Inbox {
    /// The descriptor that a sleeping transport must watch.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    pub(crate) fn take(&self) -> Option<Message> {
        self.queue.try_recv().ok()
    }

    /// Announces that the engine is about to sleep. Whoever posts from now on writes the eventfd, so
    /// the caller looks once more at everything before it sleeps.
    pub(crate) fn prepare_sleep(&self) {
        self.shared.sleeping.store(true, SeqCst);
    }

    /// Whether somebody called since this was last asked. Asked after [`Inbox::prepare_sleep`], it
    /// leaves no moment in which a call goes unheard.
    pub(crate) fn was_notified(&self) -> bool {
        self.shared.notified.swap(false, SeqCst)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Ends a sleep, and resets the eventfd if somebody wrote it.
    pub(crate) fn wake_up(&self) {
        if !self.shared.sleeping.swap(false, SeqCst) {
            self.owed.set(self.owed.get() + 1);
        }
        let mut count = [0u8; 8];
        if self.owed.get() > 0 && rustix::io::read(&self.shared.wake, &mut count).is_ok() {
            self.owed.set(self.owed.get().saturating_sub(u64::from_ne_bytes(count)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_comes_late_is_taken_at_the_next_sleep() {
        let (mailbox, inbox) = mailbox().expect("a descriptor");
        inbox.prepare_sleep();
        // Another thread has decided to write, and is interrupted.
        assert!(mailbox.shared.sleeping.swap(false, SeqCst));
        inbox.wake_up();
        let _ = rustix::io::write(&mailbox.shared.wake, &1u64.to_ne_bytes());
        inbox.prepare_sleep();
        inbox.wake_up();
        assert!(rustix::io::read(inbox.descriptor(), &mut [0u8; 8]).is_err(), "still readable");
    }

    #[test]
    fn a_call_while_awake_is_heard_before_the_sleep() {
        let (mailbox, inbox) = mailbox().expect("a descriptor");
        mailbox.waker().wake();
        inbox.prepare_sleep();
        assert!(inbox.was_notified() && !inbox.was_notified());
    }
}
