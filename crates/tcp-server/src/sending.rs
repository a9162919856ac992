//! From the application to TCP: what lies in its send ring, with its jobs in between, from where it lies.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use afpa_cache::Piece;
use afpa_channel::Forged;
use afpa_channel::job_ring::{Job, Source};
use afpa_channel::slot::Slot;
use afpa_engine::seam::FileRange;
use afpa_platform::source::SourceFile;

use crate::application::{Application, Memory};
use crate::channel::{Link, Trouble};
use crate::module::Cx;
use crate::objects::Object;
use crate::stats::ProviderStats;

/// The least that is given at once, however little TCP asks for.
const LEAST: usize = 4096;
/// The most of a job's memory that is given at once.
const PIECE: u64 = 256 * 1024;
/// The most of a file that is given at once.
const FILE_CHUNK: u64 = 1024 * 1024;
/// The most of a file that is read at once where the transport cannot send files.
const STAGE: u64 = 64 * 1024;
/// How long it waits for a worker's queue to have room.
const BUSY: std::time::Duration = std::time::Duration::from_millis(5);

/// Where sending is.
#[derive(Default)]
pub(crate) struct Sending {
    /// Octets of the send ring that TCP has been given.
    lent: u32,
    /// Octets of the send ring that TCP has taken over, as published.
    sent: u32,
    /// Jobs that were begun.
    begun: u32,
    /// Jobs that are done, as published.
    done: u32,
    /// The job at hand.
    job: Option<Current>,
    /// A worker reads the next octets of the job at hand.
    staging: bool,
    /// Octets that TCP has been given, of ring and jobs.
    position: u64,
    /// Octets that TCP has taken over.
    taken: u64,
    /// What TCP has been given and not taken over, in order.
    marks: VecDeque<Mark>,
    /// Nothing is left to be given.
    is_given: bool,
}

/// A job that is being sent.
struct Current {
    from: From,
    offset: u64,
    left: u64,
}

enum From {
    Memory(Arc<Memory>),
    File(Arc<SourceFile>),
    Object(Arc<Object>),
}

/// What ends at `end` of the stream.
struct Mark {
    end: u64,
    what: What,
}

enum What {
    /// The octets of the send ring up to this index.
    Ring(u32),
    Job,
}

impl Sending {
    /// Gives TCP what it wants of what there is.
    pub(crate) fn give(&mut self, cx: &mut Cx<'_>, link: &Link) -> Result<(), Trouble> {
        let slot = link.slot();
        self.is_given = false;
        loop {
            if self.job.is_some() {
                if !self.give_job(cx)? {
                    return Ok(());
                }
                continue;
            }
            let Some(available) = self.next(link)? else { continue };
            if available == 0 {
                self.is_given = true;
                return Ok(());
            }
            let space = cx.output.space();
            if space == 0 {
                return Ok(());
            }
            let count = available.min(u32::try_from(space.max(LEAST)).unwrap_or(u32::MAX));
            for (start, length) in slot.send_ring().pieces(self.lent, count) {
                if length > 0 {
                    cx.output.lend(link.application.region().memory().slice(start..start + length));
                }
            }
            self.lent = self.lent.wrapping_add(count);
            self.position += u64::from(count);
            self.mark_ring();
        }
    }

    /// Gives what a worker has read, and nothing else. Returns whether TCP has taken over all that it was given, and
    /// nobody reads for it.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>) -> Result<bool, Trouble> {
        if !self.take_staged(cx)? {
            return Ok(false);
        }
        if self.job.as_ref().is_some_and(|job| job.left == 0) {
            self.end_job();
        }
        Ok(self.is_taken())
    }

    /// The connection goes on with another transport, which counts what it takes over from nothing on.
    pub(crate) fn go_on(&mut self) {
        debug_assert!(self.is_taken() && self.marks.is_empty() && !self.staging);
        (self.position, self.taken, self.is_given) = (0, 0, false);
    }

    /// How many octets of the ring come next. `None`: a job does, which is begun.
    fn next(&mut self, link: &Link) -> Result<Option<u32>, Trouble> {
        let slot = link.slot();
        // The ring before the jobs: a job that was posted before these octets were given is seen then.
        let available = self.available(slot)?;
        let posted = slot.server_jobs(self.done)?;
        match posted.checked_sub(self.begun.wrapping_sub(self.done)) {
            None => return Err(Forged("jobs taken back").into()),
            Some(0) => return Ok(Some(available)),
            Some(_) => {}
        }
        let job = slot.server_job(self.begun)?;
        let distance = job.after.wrapping_sub(self.lent);
        if distance == 0 {
            self.job = Some(Current::new(&link.application, job)?);
            self.begun = self.begun.wrapping_add(1);
            return Ok(None);
        }
        // Posted since the ring was looked at, perhaps.
        if distance > available && distance > self.available(slot)? {
            return Err(Forged("a job behind octets that were not given").into());
        }
        Ok(Some(distance))
    }

    /// Octets of the ring that TCP has not been given.
    fn available(&self, slot: Slot<'_, Memory>) -> Result<u32, Forged> {
        let lent = self.lent.wrapping_sub(self.sent);
        slot.send_ring().readable(self.sent)?.checked_sub(lent).ok_or(Forged("octets taken back"))
    }

    /// Gives TCP what it wants of the job at hand. Returns whether to go on.
    fn give_job(&mut self, cx: &mut Cx<'_>) -> Result<bool, Trouble> {
        if !self.take_staged(cx)? {
            return Ok(false);
        }
        let Some(job) = &self.job else { return Ok(true) };
        if job.left == 0 {
            self.end_job();
            return Ok(true);
        }
        let space = cx.output.space();
        if space == 0 {
            return Ok(false);
        }
        let count = match &job.from {
            From::Memory(memory) => {
                let count = job.left.min(PIECE).min(space.max(LEAST) as u64);
                let start = job.offset as usize;
                cx.output.lend(memory.slice(start..start + count as usize));
                count
            }
            From::Object(object) => {
                let body = cx.global.resident(object);
                // Whole fragments, however little TCP asks for: their checksums are known.
                match body.piece_at(job.offset, job.offset + job.left) {
                    Piece::Pinned(pin) => {
                        let count = pin.len() as u64;
                        cx.output.pin(pin);
                        count
                    }
                    Piece::File { .. } => return Err(Trouble::Unreadable(io::ErrorKind::Unsupported.into())),
                }
            }
            From::File(file) if cx.output.sends_files() => {
                let count = job.left.min(FILE_CHUNK);
                cx.output.send_file(FileRange { file: file.clone(), offset: job.offset, length: count });
                count
            }
            From::File(file) => {
                let (file, offset, count) = (file.clone(), job.offset, job.left.min(STAGE) as usize);
                let read = move || {
                    let mut octets = vec![0; count];
                    file.read_at(&mut octets, offset).map(|()| octets)
                };
                match cx.spawn(read) {
                    Ok(()) => self.staging = true,
                    Err(_) => cx.arm_after(BUSY),
                }
                return Ok(false);
            }
        };
        self.advance(count);
        Ok(true)
    }

    /// Gives TCP what a worker has read of the job at hand. Returns whether none is at it any more.
    fn take_staged(&mut self, cx: &mut Cx<'_>) -> Result<bool, Trouble> {
        if self.staging {
            let Some(result) = cx.completion::<io::Result<Vec<u8>>>() else { return Ok(false) };
            self.staging = false;
            let octets = result.unwrap_or_else(|| Err(io::ErrorKind::Other.into())).map_err(Trouble::Unreadable)?;
            cx.output.send(&octets);
            self.advance(octets.len() as u64);
        }
        Ok(true)
    }

    /// The job at hand was given to its end.
    fn end_job(&mut self) {
        self.job = None;
        self.marks.push_back(Mark { end: self.position, what: What::Job });
    }

    /// So many octets of the job at hand were given.
    fn advance(&mut self, count: u64) {
        self.position += count;
        if let Some(job) = &mut self.job {
            job.offset += count;
            job.left -= count;
        }
    }

    fn mark_ring(&mut self) {
        match self.marks.back_mut() {
            Some(Mark { end, what: What::Ring(index) }) => (*end, *index) = (self.position, self.lent),
            _ => self.marks.push_back(Mark { end: self.position, what: What::Ring(self.lent) }),
        }
    }

    /// TCP has taken over `total` octets in all: publishes what is free. Returns whether something is.
    pub(crate) fn taken(&mut self, total: u64, slot: Slot<'_, Memory>, stats: &ProviderStats) -> bool {
        let (sent, done) = (self.sent, self.done);
        stats.sent_octets.add(total - self.taken);
        self.taken = total;
        while let Some(mark) = self.marks.front() {
            match mark.what {
                // What comes before it has been taken over, so what is left is of it.
                What::Ring(index) => self.sent = index.wrapping_sub(mark.end.saturating_sub(total) as u32),
                What::Job if mark.end <= total => self.done = self.done.wrapping_add(1),
                What::Job => {}
            }
            if mark.end > total {
                break;
            }
            self.marks.pop_front();
        }
        if self.sent != sent {
            slot.send_ring().consume(self.sent);
        }
        if self.done != done {
            slot.server_jobs_done(self.done);
        }
        self.sent != sent || self.done != done
    }

    /// Whether everything that there was has been given.
    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Whether TCP has taken over all that it was given.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken == self.position
    }

    /// The connection is gone: nothing of what was given is needed any more. Jobs that were not sent are not done, though:
    /// that it failed is said next.
    pub(crate) fn let_go(&mut self, slot: Slot<'_, Memory>) {
        slot.send_ring().consume(self.lent);
    }
}

impl Current {
    /// A job with everything about it looked at.
    fn new(application: &Application, job: Job) -> Result<Current, Forged> {
        let end = job.offset.checked_add(job.length).ok_or(Forged("a job that ends beyond everything"))?;
        let (from, size) = match job.source {
            Source::Memory(number) => {
                let memory =
                    application.memories.get(number).ok_or(Forged("a job of memory that is not registered"))?;
                let size = memory.len() as u64;
                (From::Memory(memory), size)
            }
            Source::File(number) => {
                let file = application.files.get(number).ok_or(Forged("a job of a file that was not passed"))?;
                let size = file.size();
                (From::File(file), size)
            }
            Source::Object(number) => {
                let object = application.objects.get(number).ok_or(Forged("a job of an object that was not found"))?;
                let size = object.body().len();
                (From::Object(object), size)
            }
        };
        if end > size {
            Err(Forged("a job beyond the end"))
        } else {
            Ok(Current { from, offset: job.offset, left: job.length })
        }
    }
}
