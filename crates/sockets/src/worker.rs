//! Sending in a thread context (AFPA §3.1): everything with `--respond thread`, files with `hybrid`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use afpa_platform::gather::SharedGather;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::event::{EventfdFlags, eventfd};

use crate::transmit::{Transmitted, transmit};

/// Threads that send. A connection has at most one job, so the queues are bounded by the connections.
pub(crate) struct SendWorkers {
    jobs: Option<Sender<Job>>,
    results: Receiver<Sent>,
    wake: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    token: u64,
    /// A duplicate: the connection's own descriptor may be closed meanwhile without harm.
    socket: OwnedFd,
    gather: SharedGather,
}

/// What became of a job.
pub(crate) struct Sent {
    pub(crate) token: u64,
    pub(crate) result: io::Result<Transmitted>,
}

impl SendWorkers {
    pub(crate) fn start(threads: usize) -> io::Result<SendWorkers> {
        let (jobs, queue) = unbounded::<Job>();
        let (sender, results) = unbounded();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let threads = (0..threads)
            .map(|i| {
                let (queue, sender, wake) = (queue.clone(), sender.clone(), wake.clone());
                Builder::new().name(format!("send-{i}")).spawn(move || run(&queue, &sender, &wake))
            })
            .collect::<io::Result<_>>()?;
        Ok(SendWorkers { jobs: Some(jobs), results, wake, threads })
    }

    /// Readable when there are results.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(crate) fn submit(&self, token: u64, socket: BorrowedFd<'_>, gather: SharedGather) -> io::Result<()> {
        let socket = socket.try_clone_to_owned()?;
        if let Some(jobs) = &self.jobs {
            // The threads live as long as `self`.
            let _ = jobs.send(Job { token, socket, gather });
        }
        Ok(())
    }

    /// Takes the results, after the descriptor was readable.
    pub(crate) fn results(&self) -> impl Iterator<Item = Sent> {
        let mut count = [0; 8];
        // Not readable any more: the results were taken with an earlier wake-up.
        let _ = rustix::io::read(&self.wake, &mut count);
        self.results.try_iter()
    }
}

fn run(queue: &Receiver<Job>, results: &Sender<Sent>, wake: &OwnedFd) {
    for Job { token, socket, mut gather } in queue {
        let result = send(socket.as_fd(), &mut gather);
        drop(socket);
        // The transport is gone when nobody receives.
        if results.send(Sent { token, result }).is_ok() {
            let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
        }
    }
}

fn send(socket: BorrowedFd<'_>, gather: &mut SharedGather) -> io::Result<Transmitted> {
    rustix::io::ioctl_fionbio(socket, true)?;
    transmit(socket, gather, false)
}

impl Drop for SendWorkers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
