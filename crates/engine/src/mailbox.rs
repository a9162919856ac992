//! How other threads reach an engine: a queue, and an eventfd that is written only while it sleeps.

use std::any::Any;
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
}

/// Wakes one engine from any thread. Cheap when the engine is awake.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// Makes the engine look at everything that others may have left for it.
    pub fn wake(&self) {
        if self.0.sleeping.swap(false, SeqCst) {
            // The only failure is a counter at its maximum, which is readable too.
            let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        }
    }
}

pub(crate) fn mailbox() -> io::Result<(Mailbox, Inbox)> {
    let (sender, receiver) = unbounded();
    let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let shared = Arc::new(Shared { sleeping: AtomicBool::new(false), wake });
    Ok((Mailbox { queue: sender, shared: shared.clone() }, Inbox { queue: receiver, shared }))
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

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Ends a sleep, and resets the eventfd if somebody wrote it.
    pub(crate) fn wake_up(&self) {
        if !self.shared.sleeping.swap(false, SeqCst) {
            let mut count = [0u8; 8];
            // Not yet written or already read: both mean that there is nothing to reset.
            let _ = rustix::io::read(&self.shared.wake, &mut count);
        }
    }
}
