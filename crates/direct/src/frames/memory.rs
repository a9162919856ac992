//! A cable in memory between two devices, for tests and for the simulated network.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use afpa_tcp::{Payload, Piece};

use super::{Checksum, FrameDevice, FrameHandler, FrameTransmitter, Full, Segmentation};
use crate::pinned::Pinned;

/// Frames on their way in one direction.
type Lane = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a cable.
pub struct MemoryDevice {
    incoming: Lane,
    transmitter: Transmitter,
}

struct Transmitter {
    lane: Lane,
    /// Whether memory that others share is read when the frame leaves, and not before.
    lends: bool,
    /// Frames that the cable holds before it is full.
    capacity: usize,
    /// A payload that was written here.
    staged: Vec<u8>,
}

/// Both ends of a cable that holds `capacity` frames in each direction.
pub fn cable(capacity: usize) -> (MemoryDevice, MemoryDevice) {
    ends(capacity, false)
}

/// The same, whose ends read memory that others share when a frame leaves, as a device does that knows it.
pub fn lending_cable(capacity: usize) -> (MemoryDevice, MemoryDevice) {
    ends(capacity, true)
}

fn ends(capacity: usize, lends: bool) -> (MemoryDevice, MemoryDevice) {
    let (one, other) = (Lane::default(), Lane::default());
    let end = |from: &Lane, to: &Lane| MemoryDevice {
        incoming: from.clone(),
        transmitter: Transmitter { lane: to.clone(), lends, capacity, staged: Vec::new() },
    };
    (end(&one, &other), end(&other, &one))
}

impl FrameDevice for MemoryDevice {
    fn receive(&mut self, budget: usize, each: &mut FrameHandler<'_>) -> io::Result<usize> {
        for count in 0..budget {
            let Some(frame) = self.incoming.borrow_mut().pop_front() else { return Ok(count) };
            each(&frame, Checksum::Unverified, &mut self.transmitter);
        }
        Ok(budget)
    }

    fn transmitter(&mut self) -> &mut dyn FrameTransmitter {
        &mut self.transmitter
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

impl FrameTransmitter for Transmitter {
    fn stage(&mut self, len: usize) -> Option<&mut [u8]> {
        self.staged.resize(len, 0);
        Some(&mut self.staged)
    }

    fn lends(&self, _: &[Piece<'_, Pinned>]) -> bool {
        self.lends
    }

    fn push(&mut self, head: &[u8], pieces: &[Piece<'_, Pinned>], _: Option<Segmentation>) -> Result<(), Full> {
        let mut lane = self.lane.borrow_mut();
        if lane.len() >= self.capacity {
            return Err(Full);
        }
        let mut frame = head.to_vec();
        for piece in pieces {
            match piece {
                Piece::Staged(len) => frame.extend_from_slice(&self.staged[..*len]),
                Piece::Pinned { payload, range } if payload.is_volatile() => {
                    let before = frame.len();
                    frame.resize(before + range.len(), 0);
                    payload.copy(range.clone(), &mut frame[before..]);
                }
                piece => frame.extend_from_slice(piece.bytes()),
            }
        }
        lane.push_back(frame);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
