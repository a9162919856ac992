//! The threads that send in the contexts `thread` and `hybrid` (AFPA §3.1).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use afpa_engine::ConnectionId;
use afpa_platform::gather::Gather;
use afpa_platform::memory::SharedSlice;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::event::{EventfdFlags, eventfd};

use crate::transmit::{Progress, pipe, transmit};

/// A gather for a thread to send. `socket` is a duplicate: the connection stays open until the
/// thread has dropped it.
pub(crate) struct Job {
    pub(crate) connection: ConnectionId,
    pub(crate) socket: OwnedFd,
    pub(crate) gather: Gather<SharedSlice>,
    pub(crate) lend_from: usize,
}

/// How far a job went. A blocked one is given to a thread again when there is room.
pub(crate) struct Done {
    pub(crate) connection: ConnectionId,
    pub(crate) sent: u64,
    pub(crate) result: io::Result<Progress>,
}

/// A transport's sending threads. Each connection has at most one job, which bounds the queues.
pub(crate) struct Senders {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    wake: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(threads: usize) -> io::Result<Senders> {
        let (jobs, queue) = unbounded::<Job>();
        let (results, done) = unbounded();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let spawn = |i| {
            let (queue, results, wake) = (queue.clone(), results.clone(), wake.clone());
            Builder::new().name(format!("sender-{i}")).spawn(move || send_all(&queue, &results, &wake))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Senders { jobs: Some(jobs), done, wake, threads })
    }

    pub(crate) fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The threads hold the other end until `jobs` is dropped.
            let _ = jobs.send(job);
        }
    }

    /// Readable when a job is done.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Resets the descriptor: call it before [`Senders::done`].
    pub(crate) fn acknowledge(&self) {
        let mut count = [0u8; 8];
        // Nothing to read means that nothing was written.
        let _ = rustix::io::read(&self.wake, &mut count);
    }

    pub(crate) fn done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

fn send_all(queue: &Receiver<Job>, results: &Sender<Done>, wake: &OwnedFd) {
    let mut pipe = pipe();
    for Job { connection, socket, mut gather, lend_from } in queue {
        let (sent, result) = transmit(socket.as_fd(), &mut gather, pipe.as_mut(), lend_from);
        drop((socket, gather));
        if results.send(Done { connection, sent, result }).is_err() {
            return;
        }
        // The only failure is a counter at its maximum, which is readable too.
        let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Senders {
    /// Jobs never wait for a peer: the threads end soon.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
