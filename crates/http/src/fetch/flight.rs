//! One response on its way from a backend to those who asked for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afpa_cache::Object;
use afpa_engine::{Desk, EngineHandle, Notice};
use smallvec::{SmallVec, smallvec};

use super::error::FetchError;
use crate::kept::Kept;
use crate::remote::RemoteHead;

/// Octets that a flight which keeps nothing holds for its slowest reader, until its backend is read no further.
const WINDOW: usize = 256 * 1024;
/// Interim responses of one flight. A backend that sends more of them is at fault.
const MOST_INTERIM: usize = 32;

/// What a backend sends, as far as it has come, and those who read it: any number of clients, on any engine.
///
/// As long as it *keeps* what came, whoever joins late reads from the start, and nobody holds up the backend. When it
/// turns out not to be kept (it is too long, or not for all), nobody joins any more, octets go once all have read them,
/// and the backend is read as fast as the slowest reads.
pub(crate) struct Flight {
    state: Mutex<State>,
    /// Octets that all flights hold together.
    held: Arc<AtomicU64>,
    /// How many purges there were when it began.
    pub(super) purges: u64,
}

struct State {
    /// The connections of all attempts, until one answers.
    fetchers: SmallVec<[Seat; 1]>,
    readers: SmallVec<[Reader; 1]>,
    /// What came is kept, for those who come late and for the cache.
    keeps: bool,
    /// Others may still join.
    is_open: bool,
    interim: Vec<Arc<[u8]>>,
    head: Option<Arc<RemoteHead>>,
    chunks: VecDeque<Arc<[u8]>>,
    /// Chunks that are gone, which came before those.
    gone: usize,
    /// Octets of `chunks`.
    buffered: usize,
    /// Octets that ever came.
    received: u64,
    end: Option<End>,
    /// Attempts that were begun, and those of them that have not failed.
    attempts: u32,
    running: u32,
    /// The attempt that answered.
    winner: Option<u32>,
}

struct Reader {
    seat: Seat,
    interim: usize,
    has_head: bool,
    chunk: usize,
    /// It has seen all that there is, and is to be woken.
    waits: bool,
    has_left: bool,
}

/// Names a reader of one flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReaderId(u32);

/// Where somebody can be woken.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) notice: Notice,
    /// Tells engines apart.
    pub(crate) engine: u32,
    pub(crate) handle: EngineHandle,
}

/// How a flight ended.
#[derive(Clone)]
pub(crate) enum End {
    /// All of it has come; trailer fields as they are sent on, if there are any.
    Complete(Option<Arc<[u8]>>),
    /// The backend says that this object is still good, or it is by now in the cache.
    Object(Arc<Object<Kept>>),
    /// The rest will not come.
    Failed(FetchError),
}

/// What a reader is to do next.
pub(crate) enum Next {
    /// Wait to be woken.
    Wait,
    /// Pass on an interim response.
    Interim(Arc<[u8]>),
    /// The head is there.
    Head(Arc<RemoteHead>),
    /// The next octets of the body.
    Chunk(Arc<[u8]>),
    /// That was all.
    End(End),
}

impl Seat {
    /// Wakes whoever sits there.
    pub(crate) fn wake(&self, desk: &mut Desk<'_>, engine: u32) {
        if self.engine == engine { desk.notify(self.notice) } else { self.handle.notify(self.notice) }
    }
}

impl Flight {
    /// A flight with its first reader, whose name is the default. If it `keeps` nothing, he stays the only one.
    pub(crate) fn new(reader: Option<Seat>, keeps: bool, held: Arc<AtomicU64>, purges: u64) -> Arc<Flight> {
        let state = State {
            fetchers: SmallVec::new(),
            readers: reader.map(Reader::new).into_iter().collect(),
            keeps,
            is_open: keeps,
            interim: Vec::new(),
            head: None,
            chunks: VecDeque::new(),
            gone: 0,
            buffered: 0,
            received: 0,
            end: None,
            attempts: 0,
            running: 0,
            winner: None,
        };
        Arc::new(Flight { state: Mutex::new(state), held, purges })
    }

    /// Another reader, unless it is too late for that.
    pub(crate) fn join(&self, seat: Seat) -> Option<ReaderId> {
        let mut state = self.state();
        if !state.is_open || !state.keeps || matches!(state.end, Some(End::Failed(_))) {
            return None;
        }
        state.readers.push(Reader::new(seat));
        Some(ReaderId(state.readers.len() as u32 - 1))
    }

    /// A reader reads no more. Whoever fetches is woken, if there is nobody else or he was the slowest.
    pub(crate) fn leave(&self, reader: ReaderId, desk: &mut Desk<'_>, engine: u32) {
        let mut state = self.state();
        if let Some(reader) = state.readers.get_mut(reader.0 as usize) {
            (reader.has_left, reader.waits, reader.chunk) = (true, false, usize::MAX);
        }
        self.forget_read(&mut state);
        if state.end.is_none() {
            state.fetchers.iter().for_each(|fetcher| fetcher.wake(desk, engine));
        }
    }

    /// What a reader has next.
    pub(crate) fn next(&self, reader: ReaderId, desk: &mut Desk<'_>, engine: u32) -> Next {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(reader) = state.readers.get_mut(reader.0 as usize).filter(|reader| !reader.has_left) else {
            return Next::End(End::Failed(FetchError::Abandoned));
        };
        reader.waits = false;
        if let Some(interim) = state.interim.get(reader.interim) {
            reader.interim += 1;
            return Next::Interim(interim.clone());
        }
        if let Some(head) = state.head.as_ref().filter(|_| !reader.has_head) {
            reader.has_head = true;
            return Next::Head(head.clone());
        }
        if let Some(chunk) = state.chunks.get(reader.chunk - state.gone) {
            reader.chunk += 1;
            let chunk = chunk.clone();
            let was_full = state.is_full();
            self.forget_read(state);
            if was_full && !state.is_full() {
                state.fetchers.iter().for_each(|fetcher| fetcher.wake(desk, engine));
            }
            return Next::Chunk(chunk);
        }
        if let Some(end) = &state.end {
            return Next::End(end.clone());
        }
        reader.waits = true;
        Next::Wait
    }

    /// Another attempt to fetch it begins; its number.
    pub(crate) fn new_attempt(&self) -> u32 {
        let mut state = self.state();
        state.attempts += 1;
        state.running += 1;
        state.attempts
    }

    /// How many attempts there were.
    pub(crate) fn attempts(&self) -> u32 {
        self.state().attempts
    }

    /// An attempt answers; whether it is the first, and the others are for nothing.
    pub(crate) fn claim(&self, attempt: u32, seat: Seat, desk: &mut Desk<'_>, engine: u32) -> bool {
        let mut state = self.state();
        let wins = state.end.is_none() && *state.winner.get_or_insert(attempt) == attempt;
        if wins {
            let others = std::mem::replace(&mut state.fetchers, smallvec![seat]);
            others.iter().for_each(|other| other.wake(desk, engine));
        }
        wins
    }

    /// Whether an attempt may still answer.
    pub(crate) fn wants(&self, attempt: u32) -> bool {
        let state = self.state();
        let is_read = state.keeps && state.head.is_some() || state.readers.iter().any(|reader| !reader.has_left);
        // What nobody reads is of use as long as the cache may have it.
        let is_refresh = state.readers.is_empty() && (state.keeps || state.head.is_none());
        state.end.is_none() && state.winner.is_none_or(|winner| winner == attempt) && (is_read || is_refresh)
    }

    /// An attempt came to nothing; whether no other is under way or has answered.
    pub(crate) fn attempt_failed(&self, attempt: u32) -> bool {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        match state.winner {
            Some(winner) => winner == attempt,
            None => state.running == 0,
        }
    }

    /// Whether nobody has seen anything of it: it can still be had from elsewhere.
    pub(crate) fn is_untouched(&self) -> bool {
        let state = self.state();
        state.head.is_none() && state.interim.is_empty() && state.end.is_none()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state().end.is_some()
    }

    /// How many read it.
    pub(crate) fn readers(&self) -> usize {
        self.state().readers.iter().filter(|reader| !reader.has_left).count()
    }

    /// Another one who fetches it, until somebody answers.
    pub(crate) fn fetched_by(&self, seat: Seat) {
        self.state().fetchers.push(seat);
    }

    /// Whether whoever fetches may read on.
    pub(crate) fn has_room(&self) -> bool {
        !self.state().is_full()
    }

    /// Whether it is still kept for those who come late, and for the cache.
    pub(crate) fn keeps(&self) -> bool {
        self.state().keeps
    }

    /// Octets of the body so far.
    pub(crate) fn received(&self) -> u64 {
        self.state().received
    }

    /// Everything that came of the body, if it was kept.
    pub(crate) fn chunks(&self) -> Vec<Arc<[u8]>> {
        self.state().chunks.iter().cloned().collect()
    }

    /// An interim response came, to be sent on as it is here; `false` if that is one too many.
    pub(crate) fn interim(&self, octets: &[u8], desk: &mut Desk<'_>, engine: u32) -> bool {
        let mut state = self.state();
        if state.interim.len() == MOST_INTERIM {
            return false;
        }
        state.interim.push(octets.into());
        state.wake(desk, engine);
        true
    }

    /// The head came, and says whether what follows is kept and who may read it.
    pub(crate) fn begin(&self, head: Arc<RemoteHead>, desk: &mut Desk<'_>, engine: u32) {
        let mut state = self.state();
        state.keeps &= head.stored().is_some();
        state.is_open &= head.may_be_shared();
        state.head = Some(head);
        state.wake(desk, engine);
    }

    /// Octets of the body came.
    pub(crate) fn push(&self, octets: Arc<[u8]>, desk: &mut Desk<'_>, engine: u32) {
        let mut state = self.state();
        state.buffered += octets.len();
        state.received += octets.len() as u64;
        self.held.fetch_add(octets.len() as u64, Relaxed);
        state.chunks.push_back(octets);
        state.wake(desk, engine);
    }

    /// Its only reader has the head, and nobody will ask for it any more.
    pub(crate) fn forget_head(&self) {
        let mut state = self.state();
        (state.head, state.interim, state.is_open) = (None, Vec::new(), false);
    }

    /// It is longer than what may be kept: from now on it is passed on and forgotten.
    pub(crate) fn keep_no_more(&self) {
        let mut state = self.state();
        state.keeps = false;
        self.forget_read(&mut state);
    }

    /// It has ended.
    pub(crate) fn end(&self, end: End, desk: &mut Desk<'_>, engine: u32) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(end);
        }
        state.wake(desk, engine);
    }

    /// Lets go of what everybody has read, unless it is kept.
    fn forget_read(&self, state: &mut State) {
        if state.keeps {
            return;
        }
        let read = state.readers.iter().map(|reader| reader.chunk).min().unwrap_or(usize::MAX);
        while state.gone < read {
            let Some(chunk) = state.chunks.pop_front() else { return };
            state.gone += 1;
            state.buffered -= chunk.len();
            self.held.fetch_sub(chunk.len() as u64, Relaxed);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let buffered = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).buffered;
        self.held.fetch_sub(buffered as u64, Relaxed);
    }
}

impl State {
    fn is_full(&self) -> bool {
        !self.keeps && self.buffered >= WINDOW
    }

    fn wake(&mut self, desk: &mut Desk<'_>, engine: u32) {
        for reader in self.readers.iter_mut().filter(|reader| reader.waits) {
            reader.waits = false;
            reader.seat.wake(desk, engine);
        }
    }
}

impl Reader {
    fn new(seat: Seat) -> Reader {
        Reader { seat, interim: 0, has_head: false, chunk: 0, waits: false, has_left: false }
    }
}
