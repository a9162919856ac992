//! Where blocking work runs: opening, reading, compressing, page faults.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Sender, TrySendError, bounded};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed set of threads with one bounded queue, shared by all engines.
///
/// At the bound a job is refused, and whoever offered it answers its client with 503: a queue of
/// blocking work that grows serves nobody.
pub struct Workers {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Workers {
    /// Starts `threads` threads that share a queue of `capacity` jobs.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(threads: usize, capacity: usize) -> std::io::Result<Arc<Workers>> {
        let (sender, receiver) = bounded::<Job>(capacity);
        let threads = (0..threads.max(1))
            .map(|i| {
                let receiver = receiver.clone();
                Builder::new().name(format!("worker-{i}")).spawn(move || {
                    for job in receiver {
                        // A job that panics fails its own connection; the thread serves the next.
                        let _ = catch_unwind(AssertUnwindSafe(job));
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Arc::new(Workers { queue: Some(sender), threads }))
    }

    /// Queues a job.
    ///
    /// # Errors
    /// [`Busy`] when the queue is at its bound.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let Some(queue) = &self.queue else { return Err(Busy) };
        queue.try_send(Box::new(job)).map_err(|_: TrySendError<Job>| Busy)
    }

    /// Jobs waiting for a thread.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // The last owner may be a worker itself, which cannot wait for its own end.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_queue_is_bounded_and_a_panic_costs_one_job() {
        let workers = Workers::start(1, 2).unwrap();
        let (release, gate) = channel::<()>();
        let (done, finished) = channel();
        let (started, running) = channel();
        workers
            .submit(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
            })
            .unwrap();
        running.recv().unwrap();
        workers.submit(|| std::panic::resume_unwind(Box::new("job"))).unwrap();
        workers.submit(move || done.send(7).unwrap()).unwrap();
        assert_eq!(workers.submit(|| ()), Err(Busy));
        release.send(()).unwrap();
        assert_eq!(finished.recv().unwrap(), 7);
    }
}
