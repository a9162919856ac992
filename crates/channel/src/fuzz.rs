//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::{self, Reply, Request};
use crate::layout::{JOBS, RECEIVES, header, words};
use crate::slot::{Accepted, Slot};
use crate::{Geometry, Memory, Region, region};

/// `data` is a packet of the control socket. What is understood is said in the same way again.
///
/// # Panics
/// If not.
pub fn packet(data: &[u8]) {
    check_packet::<Request>(data);
    check_packet::<Reply>(data);
}

/// `data` is what the other side has written: into the header, into a slot, and into the bits and bells. Whatever it
/// is, each side reads an error, or what is within bounds.
///
/// # Panics
/// If not.
pub fn shared(data: &[u8]) {
    check_header(data);
    let geometry = Geometry::new(64, 2, 40, 2, 4096).expect("within the limits");
    // Of the rings, those of the first slot are enough.
    let region = Region::format(Heap::new(geometry.receive_ring(1)), geometry);
    let (slot, bits) = data.split_at(data.len().min(words::SLOT));
    region.memory().write(geometry.slot(0), slot);
    region.memory().write(geometry.engine_bell(0), &bits[..bits.len().min(geometry.slot(0) - geometry.engine_bell(0))]);
    check_slot(&region, region.slot(0));
    check_bits(&region);
}

fn check_packet<T: DeserializeOwned + Serialize + PartialEq + Debug>(packet: &[u8]) {
    let Ok(message) = control::decode::<T>(packet) else { return };
    let again = postcard::to_stdvec(&message).expect("what was read can be written");
    assert!(again.len() <= packet.len(), "the shortest form is not longer");
    assert_eq!(control::decode::<T>(&again).expect("what was written can be read"), message);
}

fn check_header(data: &[u8]) {
    let memory = Heap::new(128);
    memory.write(0, &data[..data.len().min(28)]);
    let word = |at| memory.word(at).load(Ordering::Relaxed);
    let geometry = Geometry::new(
        word(header::SLOTS),
        word(header::ENGINES),
        word(header::QUEUES),
        word(header::PROCESSES),
        word(header::RING),
    );
    let size = geometry.map_or(4096, |geometry| geometry.size());
    if let Ok(read) = region::read_header(&memory, size) {
        assert_eq!((Some(read), read.size()), (geometry, size));
        assert!(read.slots().is_multiple_of(32) && read.ring().is_power_of_two());
        assert!(read.receive_ring(read.slots() - 1) + 2 * read.ring() as usize <= size);
    }
    assert!(region::read_header(&memory, size + 1).is_err(), "of another length than it says");
}

fn check_slot(region: &Region<Heap>, slot: Slot<'_, Heap>) {
    let (geometry, ring) = (region.geometry(), region.geometry().ring() as usize);
    let own = [0, 1, 4095, 4096, u32::MAX, slot.taken(), slot.given(), slot.jobs_posted(), slot.receives_done()];
    for index in own {
        let starts = [geometry.receive_ring(slot.number()), geometry.send_ring(slot.number())];
        for (octets, start) in [slot.receive_ring(), slot.send_ring()].into_iter().zip(starts) {
            for count in octets.readable(index).into_iter().chain(octets.writable(index)) {
                let pieces = octets.pieces(index, count);
                assert!(pieces.iter().all(|(at, len)| *at >= start && at + len <= start + ring), "{pieces:?}");
                assert_eq!(pieces[0].1 + pieces[1].1, count as usize);
            }
        }
        assert!(slot.server_jobs(index).unwrap_or(0) <= JOBS);
        assert!(slot.server_receives(index).unwrap_or(0) <= RECEIVES);
        let _ = (slot.server_job(index), slot.server_receive(index), slot.received(index));
    }
    let _ = (slot.local(), slot.peer(), slot.state(), slot.error(), slot.commands(), slot.engine(), slot.generation());
    let _ = (slot.server_wanted(), slot.server_waited_for(), slot.is_stalled(), slot.sent(), slot.jobs_done());
    let accepted = Accepted { slot: slot.taken(), generation: slot.given() };
    assert_eq!(Accepted::decode(accepted.encode()), accepted);
    region.tell(slot, |queue| assert!(queue < region.geometry().queues()));
    assert!(region.attend(slot).is_none_or(|engine| engine < region.geometry().engines()));
}

fn check_bits(region: &Region<Heap>) {
    let geometry = region.geometry();
    let attend = (0..geometry.engines()).map(|engine| region.attend_bits(engine));
    for bits in attend.chain((0..geometry.queues()).map(|queue| region.happened_bits(queue))) {
        let mut last = None;
        bits.take(|slot| {
            assert!(region.has_slot(slot) && last < Some(slot), "in their order, each once");
            last = Some(slot);
        });
        assert!(!bits.any(), "taken");
    }
    for process in 0..geometry.processes() {
        let holds = region.holds(process);
        holds.each(|slot| assert!(region.has_slot(slot) && holds.has(slot)));
    }
}

/// Memory that is nobody else's.
struct Heap(Vec<AtomicU32>);

impl Heap {
    fn new(size: usize) -> Heap {
        Heap((0..size.div_ceil(4)).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Memory for Heap {
    type Word = AtomicU32;

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "a word is aligned");
        &self.0[offset / 4]
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        for (at, octet) in (offset..).zip(into) {
            *octet = self.0[at / 4].load(Ordering::Relaxed).to_le_bytes()[at % 4];
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (at, octet) in (offset..).zip(bytes) {
            let mut word = self.0[at / 4].load(Ordering::Relaxed).to_le_bytes();
            word[at % 4] = *octet;
            self.0[at / 4].store(u32::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    fn fence(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}
