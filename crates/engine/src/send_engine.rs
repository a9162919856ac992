//! The send engine (AFPA §3.2): the state function that sends what other state functions derived.
//!
//! It keeps the order of pipelined responses, cuts bodies into fragments of at most 64 KiB, stops
//! when TCP has enough and goes on when TCP has taken it over.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use afpa_cache::{Piece, ResidentBody};
use afpa_platform::source::SourceFile;

use crate::module::{Context, ProtocolModule};
use crate::seam::{Calls, ConnectionId, FileRange, Segment};
use crate::table::Outcome;

/// What a run of the send engine came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// TCP has been given everything.
    Sent,
    /// TCP has enough, or a file is being read; run again at the next event.
    Blocked,
    /// The rest cannot be had (a file that shrank or failed): the response is cut off.
    Failed,
}

/// The octets read from a file at a time when the transport cannot send files itself.
const STAGE: u64 = 64 * 1024;
/// The octets of a file handed over at a time when it can: enough to amortise a worker's wake-up.
const FILE_CHUNK: u64 = 1024 * 1024;

/// What is still to be sent on a connection.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The only part of nearly every response; kept out of the queue, which then never allocates.
    first: Option<Part>,
    rest: VecDeque<Part>,
    /// A worker is reading the next octets of `first`.
    staging: bool,
}

enum Part {
    Body { body: Rc<ResidentBody>, position: u64, end: u64 },
    Bytes { bytes: Vec<u8>, position: usize },
    Shared { bytes: Arc<[u8]>, position: usize },
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push_body(&mut self, body: Rc<ResidentBody>, start: u64, end: u64) {
        debug_assert!(start <= end && end <= body.len());
        self.push(Part::Body { body, position: start, end });
    }

    pub(crate) fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.push(Part::Bytes { bytes, position: 0 });
    }

    pub(crate) fn push_shared(&mut self, bytes: Arc<[u8]>) {
        self.push(Part::Shared { bytes, position: 0 });
    }

    fn push(&mut self, part: Part) {
        if self.first.is_none() {
            self.first = Some(part);
        } else {
            self.rest.push_back(part);
        }
    }

    fn pop(&mut self) {
        self.first = self.rest.pop_front();
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
    }
}

/// Runs the send engine with a module's own outcomes: call it as the body of the module's state.
pub fn send_engine<M: ProtocolModule>(
    cx: &mut Context<'_, M>,
    sent: Outcome,
    blocked: Outcome,
    failed: Outcome,
) -> Outcome {
    match pump(cx, u64::MAX).0 {
        Progress::Sent => sent,
        Progress::Blocked => blocked,
        Progress::Failed => failed,
    }
}

/// As [`send_engine`], but gives TCP at most `most` octets, and what a worker had been asked to read before; how many it
/// gave. It is up to the module to run it again when TCP has room and that alone held it up.
pub fn send_up_to<M: ProtocolModule>(cx: &mut Context<'_, M>, most: u64) -> (Progress, u64) {
    pump(cx, most)
}

fn pump<M: ProtocolModule>(cx: &mut Context<'_, M>, most: u64) -> (Progress, u64) {
    let mut given = 0;
    match take_staged(cx, &mut given) {
        Progress::Sent => {}
        other => return (other, given),
    }
    loop {
        let id = cx.output.id;
        let Some(part) = &mut cx.output.outbox.first else { return (Progress::Sent, given) };
        let left = most.saturating_sub(given);
        if left == 0 || cx.output.calls.send_space(id) == 0 {
            return (Progress::Blocked, given);
        }
        match part {
            Part::Bytes { bytes, position } => {
                if send_copy(cx.output.calls, id, bytes, position, left, &mut given) {
                    cx.output.outbox.pop();
                }
            }
            Part::Shared { bytes, position } => {
                if send_copy(cx.output.calls, id, bytes, position, left, &mut given) {
                    cx.output.outbox.pop();
                }
            }
            Part::Body { position, end, .. } if position == end => cx.output.outbox.pop(),
            Part::Body { body, position, end } => {
                match body.piece_at(*position, position.saturating_add(left).min(*end)) {
                    Piece::Pinned(pin) => {
                        *position += pin.len() as u64;
                        given += pin.len() as u64;
                        cx.output.calls.send(id, Segment::Pinned(pin));
                    }
                    Piece::File { file, offset, length } if cx.output.calls.sends_files() => {
                        let length = length.min(FILE_CHUNK);
                        *position += length;
                        given += length;
                        cx.output.calls.send(id, Segment::File(FileRange { file, offset, length }));
                    }
                    Piece::File { file, offset, length } => {
                        let length = length.min(STAGE) as usize;
                        if cx.spawn(move || read_range(&file, offset, length)).is_err() {
                            return (Progress::Failed, given);
                        }
                        cx.output.outbox.staging = true;
                        return (Progress::Blocked, given);
                    }
                }
            }
        }
    }
}

/// Sends the next of `bytes`, at most `most`; whether they are all sent.
fn send_copy(
    calls: &mut dyn Calls,
    id: ConnectionId,
    bytes: &[u8],
    position: &mut usize,
    most: u64,
    given: &mut u64,
) -> bool {
    let end = bytes.len().min(*position + most.min(STAGE) as usize);
    calls.send(id, Segment::Copy(&bytes[*position..end]));
    *given += (end - *position) as u64;
    *position = end;
    end == bytes.len()
}

/// Sends what a worker read for the part in front.
fn take_staged<M: ProtocolModule>(cx: &mut Context<'_, M>, given: &mut u64) -> Progress {
    if !cx.output.outbox.staging {
        return Progress::Sent;
    }
    let Some(result) = cx.completion::<io::Result<Vec<u8>>>() else { return Progress::Blocked };
    cx.output.outbox.staging = false;
    let Some(Ok(bytes)) = result else { return Progress::Failed };
    if let Some(Part::Body { position, .. }) = &mut cx.output.outbox.first {
        *position += bytes.len() as u64;
    }
    *given += bytes.len() as u64;
    cx.output.calls.send(cx.output.id, Segment::Copy(&bytes));
    Progress::Sent
}

/// Reads exactly `length` octets: a file that became shorter, or changed, is an error.
fn read_range(file: &SourceFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, offset)?;
    Ok(bytes)
}
