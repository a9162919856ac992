//! A region: what one application shares with its TCP server.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use afpa_platform::foreign::ForeignMemory;

use crate::Forged;
use crate::bell::Bell;
use crate::bitmap::Bitmap;
use crate::holds::Holds;
use crate::layout::{Geometry, MAGIC, MAX_QUEUES, VERSION, header};
use crate::memory::{Memory, Word};
use crate::slot::Slot;

/// The region, as either side maps it.
pub struct Region<M = ForeignMemory> {
    memory: Arc<M>,
    geometry: Geometry,
}

impl<M> std::fmt::Debug for Region<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Region").field(&self.geometry).finish()
    }
}

impl<M> Clone for Region<M> {
    fn clone(&self) -> Self {
        Region { memory: self.memory.clone(), geometry: self.geometry }
    }
}

impl Region {
    /// For the server: a new region, sealed, zeroed.
    ///
    /// # Errors
    /// There is no memory for it, or no descriptor.
    pub fn create(geometry: Geometry) -> io::Result<Region> {
        Ok(Region::format(ForeignMemory::create(geometry.size())?, geometry))
    }

    /// For the application: maps what the server has passed.
    ///
    /// # Errors
    /// It is no region, or one of another version.
    pub fn open(memory: OwnedFd) -> io::Result<Region> {
        let size = usize::try_from(rustix::fs::fstat(&memory)?.st_size).unwrap_or(0);
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        if size < 4096 {
            return Err(invalid("the TCP server has passed no region"));
        }
        let memory = ForeignMemory::map(memory, size)?;
        if !memory.is_writable() {
            return Err(invalid("the TCP server's region cannot be written"));
        }
        let geometry = read_header(&memory, size).map_err(|Forged(what)| invalid(what))?;
        Ok(Region { memory: Arc::new(memory), geometry })
    }

    /// The descriptor to pass on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.memory.descriptor()
    }
}

impl<M: Memory> Region<M> {
    /// Makes a region of zeroed memory that is as long as the geometry says.
    pub fn format(memory: M, geometry: Geometry) -> Region<M> {
        let values = [
            (header::VERSION, VERSION),
            (header::SLOTS, geometry.slots()),
            (header::ENGINES, geometry.engines()),
            (header::QUEUES, geometry.queues()),
            (header::PROCESSES, geometry.processes()),
            (header::RING, geometry.ring()),
            (header::MAGIC, MAGIC),
        ];
        for (word, value) in values {
            memory.word(word).store(value, Ordering::Release);
        }
        Region { memory: Arc::new(memory), geometry }
    }

    /// How much it has of everything.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The memory itself.
    pub fn memory(&self) -> &Arc<M> {
        &self.memory
    }

    /// A slot.
    ///
    /// # Panics
    /// There is none of that number: what the other side says is checked first ([`Region::has_slot`]).
    #[inline]
    pub fn slot(&self, number: u32) -> Slot<'_, M> {
        let geometry = &self.geometry;
        Slot::new(&self.memory, number, geometry.slot(number), geometry.receive_ring(number), geometry.ring())
    }

    /// Whether there is a slot of that number.
    pub fn has_slot(&self, number: u32) -> bool {
        number < self.geometry.slots()
    }

    /// The bits of slots that an engine is to attend to.
    #[inline]
    pub fn attend_bits(&self, engine: u32) -> Bitmap<'_, M> {
        Bitmap::new(&self.memory, self.geometry.attend_bits(engine), self.geometry.slots())
    }

    /// The bits of slots of which a queue is told.
    #[inline]
    pub fn happened_bits(&self, queue: u32) -> Bitmap<'_, M> {
        Bitmap::new(&self.memory, self.geometry.happened_bits(queue), self.geometry.slots())
    }

    /// An engine's bell.
    #[inline]
    pub fn engine_bell(&self, engine: u32) -> Bell<'_, M> {
        Bell::new(&self.memory, self.geometry.engine_bell(engine))
    }

    /// A queue's bell.
    #[inline]
    pub fn queue_bell(&self, queue: u32) -> Bell<'_, M> {
        Bell::new(&self.memory, self.geometry.queue_bell(queue))
    }

    /// What a process holds.
    pub fn holds(&self, process: u32) -> Holds<'_, M> {
        Holds::new(&self.memory, self.geometry.holds(process), self.geometry.slots())
    }

    /// For the application: tells the slot's engine of it. Returns the engine if it has to be rung.
    #[inline]
    pub fn attend(&self, slot: Slot<'_, M>) -> Option<u32> {
        // A server that lies here harms nobody but those who attached to it.
        let engine = slot.engine().min(self.geometry.engines() - 1);
        self.attend_bits(engine).set(slot.number());
        self.engine_bell(engine).is_asleep().then_some(engine)
    }

    /// For the server: a process has this place, before its holds are written.
    pub fn server_place(&self, process: u32) {
        let word = self.memory.word(header::PLACES);
        if word.load(Ordering::Relaxed) <= process {
            word.store(process + 1, Ordering::Release);
        }
    }

    /// Whether some process refers to the slot.
    pub fn is_held(&self, slot: u32) -> bool {
        let all = self.geometry.processes();
        let places = match self.memory.word(header::PLACES).load(Ordering::Acquire) {
            0 => all,
            places => places.min(all),
        };
        (0..places).any(|process| self.holds(process).has(slot))
    }

    /// For the server: tells the queues that want to know that something happened on a slot; `ring` is called with
    /// those that sleep. Of exclusive ones, one that sleeps is told, or all if none does: they look by themselves.
    pub fn tell(&self, slot: Slot<'_, M>, mut ring: impl FnMut(u32)) {
        // What was published before is seen by who subscribes just now, or its subscription is seen here.
        self.memory.fence();
        let mut exclusive_told = false;
        let mut awake = [0; (MAX_QUEUES / 32) as usize];
        let words = self.geometry.queues().div_ceil(32) as usize;
        for (word, awake) in awake.iter_mut().enumerate().take(words) {
            let (all, exclusive) = slot.server_subscribers(word);
            for queue in bits(all, word).filter(|queue| *queue < self.geometry.queues()) {
                self.tell_queue(queue, slot.number(), &mut ring);
            }
            for queue in bits(exclusive & !all, word).filter(|queue| *queue < self.geometry.queues()) {
                if exclusive_told {
                    break;
                }
                if self.queue_bell(queue).must_ring() {
                    self.happened_bits(queue).set(slot.number());
                    ring(queue);
                    exclusive_told = true;
                } else {
                    *awake |= 1 << (queue % 32);
                }
            }
        }
        if !exclusive_told {
            for queue in awake.into_iter().enumerate().flat_map(|(word, awake)| bits(awake, word)) {
                self.tell_queue(queue, slot.number(), &mut ring);
            }
        }
    }

    /// For the server: tells one queue.
    #[inline]
    pub fn tell_queue(&self, queue: u32, slot: u32, ring: &mut impl FnMut(u32)) {
        self.happened_bits(queue).set(slot);
        if self.queue_bell(queue).must_ring() {
            ring(queue);
        }
    }

    /// For the server: nothing moves in this region any more.
    pub fn end(&self) {
        self.memory.word(header::ENDED).store(1, Ordering::Release);
    }

    /// Whether the server has ended it.
    pub fn has_ended(&self) -> bool {
        self.memory.word(header::ENDED).load(Ordering::Acquire) != 0
    }
}

/// The geometry of a region of `size` octets, as its header has it.
pub(crate) fn read_header<M: Memory>(memory: &M, size: usize) -> Result<Geometry, Forged> {
    let word = |at| memory.word(at).load(Ordering::Acquire);
    if word(header::MAGIC) != MAGIC || word(header::VERSION) != VERSION {
        return Err(Forged("the TCP server's region is of another version"));
    }
    let [slots, engines, queues, processes, ring] =
        [header::SLOTS, header::ENGINES, header::QUEUES, header::PROCESSES, header::RING].map(word);
    Geometry::new(slots, engines, queues, processes, ring)
        .filter(|geometry| geometry.size() == size && geometry.slots() == slots && geometry.ring() == ring)
        .ok_or(Forged("the TCP server's region is malformed"))
}

fn bits(mut word: u32, at: usize) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(at as u32 * 32 + bit)
    })
}
