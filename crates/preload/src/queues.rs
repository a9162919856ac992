//! The event queues on which calls wait: borrowed for a wait, and kept for the next one. So as many are needed as threads
//! wait at the same time, and nothing has to be done when a thread ends.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use afpa_channel::layout::MAX_QUEUES;
use memnet::{Channel, Queue, Wait};
use rustix::io::Errno;

use crate::application::Application;
use crate::errors::errno;
use crate::raw::Undisturbed;
use crate::table::Closing;

/// How often who got no queue looks.
const PATIENCE: Duration = Duration::from_millis(1);

thread_local! {
    /// The place of the queue that the thread had last.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// Queues of one application. A locked one is in use.
pub(crate) struct Queues {
    places: Box<[Mutex<Option<Queue>>]>,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        Queues { places: (0..MAX_QUEUES).map(|_| Mutex::new(None)).collect() }
    }

    /// A queue to wait on. `None`: as many wait as can.
    pub(crate) fn borrow(&self, application: &Application) -> Option<Borrowed<'_>> {
        let last = LAST.get();
        for at in 0..self.places.len() {
            // From the last one on, so that a thread finds its own again.
            let at = (last + at) % self.places.len();
            let Ok(mut place) = self.places[at].try_lock() else { continue };
            if place.is_none() {
                let _undisturbed = Undisturbed::new();
                *place = Some(Queue::open(application.attachment()).ok()?);
            }
            LAST.set(at);
            return Some(Borrowed { place });
        }
        None
    }

    /// In the child of a fork: they are its parent's. Those that were in use stay so here, and are never used.
    pub(crate) fn abandon(&self) {
        let _ours = Closing::new();
        for place in &self.places {
            if let Some(queue) = place.try_lock().ok().and_then(|mut place| place.take()) {
                queue.abandon();
            }
        }
    }
}

/// A queue, until it is dropped.
pub(crate) struct Borrowed<'a> {
    place: MutexGuard<'a, Option<Queue>>,
}

impl Borrowed<'_> {
    pub(crate) fn queue(&self) -> &Queue {
        self.place.as_ref().expect("it was opened before it was lent")
    }
}

/// Waits until `look` finds something; `None` if it has not by the deadline. `channels` calls what it is given with
/// each channel on which that can happen.
pub(crate) fn wait<T>(
    application: &Application,
    channels: impl Fn(&mut dyn FnMut(&Channel)),
    exclusive: bool,
    deadline: Option<Instant>,
    mut look: impl FnMut() -> Option<T>,
) -> Result<Option<T>, Errno> {
    let Some(borrowed) = application.queues().borrow(application) else {
        return look_often(application, deadline, look);
    };
    let queue = borrowed.queue();
    channels(&mut |channel| queue.subscribe(channel, exclusive));
    let result = loop {
        queue.take(|_| {});
        if let Some(found) = look() {
            break Ok(Some(found));
        }
        match queue.wait(deadline) {
            Ok(Wait::Told) => {}
            Ok(Wait::TimedOut) => break Ok(None),
            Err(error) => {
                let error = errno(&error);
                if error == Errno::CONNRESET {
                    application.lose();
                }
                break Err(error);
            }
        }
    };
    channels(&mut |channel| queue.unsubscribe(channel));
    drop(borrowed);
    match result {
        Ok(Some(found)) => Ok(Some(found)),
        // Who is told alone, and goes, would leave what he was told of to nobody.
        other if exclusive => look().map_or(other, |found| Ok(Some(found))),
        other => other,
    }
}

/// Does what `now` does, and waits for as long as that says `EAGAIN`, at the longest until the deadline; not at all if
/// `impatient`. As [`wait`] otherwise.
pub(crate) fn persist<T>(
    application: &Application,
    channels: impl Fn(&mut dyn FnMut(&Channel)),
    exclusive: bool,
    (impatient, deadline): (bool, Option<Instant>),
    mut now: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match now() {
        Err(Errno::AGAIN) if !impatient => {}
        other => return other,
    }
    let look = || match now() {
        Err(Errno::AGAIN) => None,
        other => Some(other),
    };
    wait(application, channels, exclusive, deadline, look)?.unwrap_or(Err(Errno::AGAIN))
}

fn look_often<T>(
    application: &Application,
    deadline: Option<Instant>,
    mut look: impl FnMut() -> Option<T>,
) -> Result<Option<T>, Errno> {
    loop {
        if let Some(found) = look() {
            return Ok(Some(found));
        }
        if !application.check() {
            return Err(Errno::CONNRESET);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: PATIENCE.subsec_nanos().into() };
        rustix::event::poll(&mut [], Some(&pause))?;
    }
}
