//! A request's body on its way to a backend.

use std::cell::RefCell;
use std::rc::Rc;

use afpa_engine::{Desk, Notice};

/// Octets that wait for the backend until the client is read no further.
const WINDOW: usize = 128 * 1024;
/// Octets up to which a body is kept, so that it can be sent again.
const REPLAYED: usize = 64 * 1024;

/// What the client's connection hands to the backend's, on the same engine.
#[derive(Default)]
pub(crate) struct Upload {
    chunks: Vec<Rc<[u8]>>,
    /// The first chunk that was not taken.
    next: usize,
    /// Octets that were not taken.
    buffered: usize,
    total: usize,
    /// Something is gone: it cannot be sent again.
    is_spent: bool,
    is_finished: bool,
    is_cut_off: bool,
    /// Both wait for the other at times.
    client: Option<Notice>,
    backend: Option<Notice>,
}

/// What the backend's connection is to do next.
pub(crate) enum Piece {
    /// Send this.
    Chunk(Rc<[u8]>),
    /// Wait to be woken.
    Wait,
    /// That was all.
    End,
    /// The client gave up.
    CutOff,
}

impl Upload {
    /// An empty one, filled by `client`.
    pub(crate) fn new(client: Notice) -> Rc<RefCell<Upload>> {
        Rc::new(RefCell::new(Upload { client: Some(client), ..Upload::default() }))
    }

    /// Whether the client may be read on.
    pub(crate) fn has_room(&self) -> bool {
        self.buffered < WINDOW
    }

    /// The client sent octets.
    pub(crate) fn push(&mut self, octets: &[u8], desk: &mut Desk<'_>) {
        if octets.is_empty() {
            return;
        }
        self.chunks.push(octets.into());
        self.buffered += octets.len();
        self.total += octets.len();
        self.wake_backend(desk);
    }

    /// The client sent all of it.
    pub(crate) fn finish(&mut self, desk: &mut Desk<'_>) {
        self.is_finished = true;
        self.wake_backend(desk);
    }

    /// Whether the client sent all of it.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The client will not send the rest.
    pub(crate) fn cut_off(&mut self, desk: &mut Desk<'_>) {
        self.is_cut_off |= !self.is_finished;
        self.client = None;
        self.wake_backend(desk);
    }

    /// Whether everything that the client has sent was taken, and it has not sent all.
    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.chunks.len() && !self.is_finished
    }

    /// Whether it can be sent from its start, perhaps again.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_spent
    }

    /// From now on it is never sent again, and nothing of it is kept.
    pub(crate) fn keep_nothing(&mut self) {
        self.is_spent = true;
        self.chunks.drain(..self.next);
        self.next = 0;
        self.chunks.shrink_to_fit();
    }

    /// Starts over, for `backend`.
    pub(crate) fn restart(&mut self, backend: Notice) {
        self.next = 0;
        self.buffered = self.chunks.iter().map(|chunk| chunk.len()).sum();
        self.backend = Some(backend);
    }

    /// What is to be sent next.
    pub(crate) fn take(&mut self, desk: &mut Desk<'_>) -> Piece {
        if self.is_cut_off {
            return Piece::CutOff;
        }
        let Some(chunk) = self.chunks.get(self.next).cloned() else {
            return if self.is_finished { Piece::End } else { Piece::Wait };
        };
        let was_full = !self.has_room();
        self.buffered -= chunk.len();
        self.next += 1;
        self.is_spent |= self.total > REPLAYED;
        if self.is_spent {
            self.chunks.drain(..self.next);
            self.next = 0;
        }
        if was_full
            && self.has_room()
            && let Some(client) = self.client
        {
            desk.notify(client);
        }
        Piece::Chunk(chunk)
    }

    fn wake_backend(&mut self, desk: &mut Desk<'_>) {
        if let Some(backend) = self.backend {
            desk.notify(backend);
        }
    }
}
