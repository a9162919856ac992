//! Jobs: asynchronous sends of memory that the server can reach itself, and receives into it (MemNet API).
//!
//! A send is a descriptor. It goes out when the octets have gone out that were in the send ring before it, and the
//! counter of jobs that are done passes it when all of it has been sent and TCP needs its memory no longer. What a
//! connection that fails has not sent is not counted: its failure ends it. A receive is a descriptor, and has a result.

use std::sync::atomic::Ordering;

use crate::Forged;
use crate::layout::{JOB, JOBS, RECEIVE, RECEIVES, RESULT};
use crate::memory::{Memory, Word};

/// What a job sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Registered memory, by the number it was given.
    Memory(u32),
    /// A file that was passed, by the number it was given (TCP Servers §3: direct communication with a file server).
    File(u32),
    /// An object of the server's cache, by the number under which it was found.
    Object(u32),
}

/// An asynchronous send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// What is sent.
    pub source: Source,
    /// Its first octet.
    pub offset: u64,
    /// How many octets.
    pub length: u64,
    /// The octet of the send ring in front of which it is sent.
    pub after: u32,
}

/// A posted receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receive {
    /// Registered memory.
    pub memory: u32,
    /// Where the octets go.
    pub offset: u64,
    /// How many there is room for.
    pub length: u32,
}

/// What came of a receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// So many octets are in the memory; none at the end of the stream.
    Octets(u32),
    /// Octets are in the receive ring, and come first.
    InRing,
    /// The connection has failed: see its error.
    Failed,
    /// The memory is not registered, not so long, or not for the server to write.
    Invalid,
    /// It was [not wanted any more](crate::slot::Slot::cancel_receives), and nothing has come.
    Cancelled,
}

/// A ring of descriptors, of whatever size: where the `index`th lies.
fn place(ring: usize, index: u32, count: u32, size: usize) -> usize {
    ring + (index & (count - 1)) as usize * size
}

/// How many descriptors were posted beyond those that the consumer knows.
///
/// # Errors
/// More than fit.
pub fn posted<M: Memory>(memory: &M, word: usize, known: u32, count: u32) -> Result<u32, Forged> {
    let posted = memory.word(word).load(Ordering::Acquire).wrapping_sub(known);
    if posted > count { Err(Forged("more posted than the ring holds")) } else { Ok(posted) }
}

/// Writes the `index`th job of the ring at `ring`, without publishing it.
pub fn write_job<M: Memory>(memory: &M, ring: usize, index: u32, job: Job) {
    let (kind, number) = match job.source {
        Source::Memory(number) => (1u32, number),
        Source::File(number) => (2, number),
        Source::Object(number) => (3, number),
    };
    let mut octets = [0; JOB];
    octets[..4].copy_from_slice(&kind.to_le_bytes());
    octets[4..8].copy_from_slice(&number.to_le_bytes());
    octets[8..16].copy_from_slice(&job.offset.to_le_bytes());
    octets[16..24].copy_from_slice(&job.length.to_le_bytes());
    octets[24..28].copy_from_slice(&job.after.to_le_bytes());
    memory.write(place(ring, index, JOBS, JOB), &octets);
}

/// Copies the `index`th job out. Its numbers are still the other side's.
///
/// # Errors
/// It is none.
pub fn read_job<M: Memory>(memory: &M, ring: usize, index: u32) -> Result<Job, Forged> {
    let mut octets = [0; JOB];
    memory.read(place(ring, index, JOBS, JOB), &mut octets);
    let number = u32_at(&octets, 4);
    let source = match u32_at(&octets, 0) {
        1 => Source::Memory(number),
        2 => Source::File(number),
        3 => Source::Object(number),
        _ => return Err(Forged("a job of no kind")),
    };
    Ok(Job { source, offset: u64_at(&octets, 8), length: u64_at(&octets, 16), after: u32_at(&octets, 24) })
}

/// Writes the `index`th posted receive of the ring at `ring`.
pub fn write_receive<M: Memory>(memory: &M, ring: usize, index: u32, receive: Receive) {
    let mut octets = [0; RECEIVE];
    octets[..4].copy_from_slice(&receive.memory.to_le_bytes());
    octets[4..8].copy_from_slice(&receive.length.to_le_bytes());
    octets[8..].copy_from_slice(&receive.offset.to_le_bytes());
    memory.write(place(ring, index, RECEIVES, RECEIVE), &octets);
}

/// Copies the `index`th posted receive out.
pub fn read_receive<M: Memory>(memory: &M, ring: usize, index: u32) -> Receive {
    let mut octets = [0; RECEIVE];
    memory.read(place(ring, index, RECEIVES, RECEIVE), &mut octets);
    Receive { memory: u32_at(&octets, 0), length: u32_at(&octets, 4), offset: u64_at(&octets, 8) }
}

/// Writes the result of the `index`th receive into the ring at `ring`.
pub fn write_result<M: Memory>(memory: &M, ring: usize, index: u32, result: Received) {
    let (kind, count) = match result {
        Received::Octets(count) => (1u32, count),
        Received::InRing => (2, 0),
        Received::Failed => (3, 0),
        Received::Invalid => (4, 0),
        Received::Cancelled => (5, 0),
    };
    let mut octets = [0; RESULT];
    octets[..4].copy_from_slice(&kind.to_le_bytes());
    octets[4..].copy_from_slice(&count.to_le_bytes());
    memory.write(place(ring, index, RECEIVES, RESULT), &octets);
}

/// Copies the `index`th result out.
///
/// # Errors
/// It is none.
pub fn read_result<M: Memory>(memory: &M, ring: usize, index: u32) -> Result<Received, Forged> {
    let mut octets = [0; RESULT];
    memory.read(place(ring, index, RECEIVES, RESULT), &mut octets);
    Ok(match u32_at(&octets, 0) {
        1 => Received::Octets(u32_at(&octets, 4)),
        2 => Received::InRing,
        3 => Received::Failed,
        4 => Received::Invalid,
        5 => Received::Cancelled,
        _ => return Err(Forged("a result of no kind")),
    })
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(octets[at..at + 4].try_into().expect("four octets"))
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(octets[at..at + 8].try_into().expect("eight octets"))
}
