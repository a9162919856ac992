//! How other threads look at a transport without slowing it down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afpa_engine::seam::Time;
use afpa_engine::stats::Counter;
use afpa_tcp::ConnectionInfo;

/// Frames that a capture holds before it drops some.
const CAPTURE_QUEUE: usize = 4096;

/// Reaches a transport from any thread. After asking, wake its engine: it answers at its next poll.
#[derive(Clone, Default)]
pub struct Observer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Looked at once a poll; the lock is only taken when it is set.
    asked: AtomicBool,
    questions: Mutex<Vec<Question>>,
}

/// What the transport is asked.
pub(crate) enum Question {
    /// TCP's counters, and to bring the others up to date.
    Counters { answer: SyncSender<afpa_tcp::Stats> },
    /// The connections, at most so many.
    Connections { limit: usize, answer: SyncSender<Vec<ConnectionInfo>> },
    /// Copies of the frames from now on.
    Capture(Capture),
}

/// A captured frame.
#[derive(Clone, Debug)]
pub struct CapturedFrame {
    /// When the transport handled it, on the engine's clock.
    pub time: Time,
    /// Whether we sent it.
    pub outgoing: bool,
    /// Its length on the wire.
    pub length: usize,
    /// Its first octets.
    pub octets: Vec<u8>,
}

/// Where a transport puts copies of frames.
pub(crate) struct Capture {
    snap: usize,
    frames: SyncSender<CapturedFrame>,
    dropped: Arc<Counter>,
}

impl Observer {
    /// Asks for TCP's counters. When they come, all of [`DirectStats`](crate::DirectStats) is up to date.
    pub fn counters(&self) -> Receiver<afpa_tcp::Stats> {
        let (answer, receiver) = sync_channel(1);
        self.ask(Question::Counters { answer });
        receiver
    }

    /// Asks for at most `limit` connections.
    pub fn connections(&self, limit: usize) -> Receiver<Vec<ConnectionInfo>> {
        let (answer, receiver) = sync_channel(1);
        self.ask(Question::Connections { limit, answer });
        receiver
    }

    /// Asks for copies of the first `snap` octets of all frames from now on, until the receiver is
    /// dropped. Those that it does not take in time are counted in the second value and lost.
    pub fn capture(&self, snap: usize) -> (Receiver<CapturedFrame>, Arc<Counter>) {
        let (frames, receiver) = sync_channel(CAPTURE_QUEUE);
        let dropped = Arc::new(Counter::default());
        self.ask(Question::Capture(Capture { snap, frames, dropped: dropped.clone() }));
        (receiver, dropped)
    }

    fn ask(&self, question: Question) {
        self.questions().push(question);
        self.shared.asked.store(true, Ordering::Release);
    }

    /// What was asked since the last call; nearly always nothing.
    pub(crate) fn take(&self) -> Option<Vec<Question>> {
        if !self.shared.asked.load(Ordering::Acquire) {
            return None;
        }
        self.shared.asked.store(false, Ordering::Release);
        Some(std::mem::take(&mut *self.questions()))
    }

    fn questions(&self) -> MutexGuard<'_, Vec<Question>> {
        self.shared.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    /// Copies a frame that is put together from `pieces`. Returns whether anybody still wants more.
    pub(crate) fn record(&self, time: Time, outgoing: bool, pieces: &mut dyn Iterator<Item = &[u8]>) -> bool {
        let (mut octets, mut length) = (Vec::new(), 0);
        for piece in pieces {
            let room = self.snap.saturating_sub(octets.len()).min(piece.len());
            octets.extend_from_slice(&piece[..room]);
            length += piece.len();
        }
        match self.frames.try_send(CapturedFrame { time, outgoing, length, octets }) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.increment();
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
