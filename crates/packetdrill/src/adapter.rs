//! Calls that block, and the simulated clock that they wait by.
//!
//! packetdrill runs a script on one thread, and calls that may block on a second. The clock stands still while anything
//! runs; it moves only when the first thread sleeps or waits for a packet, step by step, and at each step the second
//! thread gets to see whether its call has ended. So a script takes no longer than its work, and always goes the same way.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use afpa_tcp::Time;

use crate::errno::Errno;
use crate::settings::Settings;
use crate::stack::Stack;

/// How long a script waits for a packet: simulated time, beyond every retransmission timeout.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long the first thread waits for the second one to come to rest: real time, and only if that is stuck.
const STUCK: Duration = Duration::from_secs(1);
const MICROSECOND: Duration = Duration::from_micros(1);

/// The stack, shared by packetdrill's two threads.
pub(crate) struct Adapter {
    state: Mutex<State>,
    changed: Condvar,
    main: ThreadId,
}

const _: () = {
    const fn is_shared<T: Sync>() {}
    is_shared::<Adapter>();
};

struct State {
    stack: Stack,
    /// The call that blocks; there is one at most.
    wait: Option<Wait>,
    /// The thread whose call has ended and that has not yet looked at the clock.
    returning: Option<ThreadId>,
    /// Counts what a blocked call may have waited for.
    epoch: u64,
}

struct Wait {
    deadline: Option<Time>,
    /// The epoch in which the call last found that it has to wait.
    seen: u64,
}

impl Adapter {
    /// To be called on the thread that runs the script.
    pub(crate) fn new(settings: Settings) -> Adapter {
        let state = State { stack: Stack::new(settings), wait: None, returning: None, epoch: 0 };
        Adapter { state: Mutex::new(state), changed: Condvar::new(), main: thread::current().id() }
    }

    /// Does something that does not block.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Stack) -> T) -> T {
        let mut state = self.enter();
        let result = call(&mut state.stack);
        drop(self.settle(state));
        result
    }

    /// Repeats `attempt` until it has a result. A call that may not block, or that would block the script itself, fails
    /// with `EAGAIN` instead.
    pub(crate) fn until<T>(
        &self,
        is_nonblocking: bool,
        mut attempt: impl FnMut(&mut Stack) -> Result<Option<T>, Errno>,
    ) -> Result<T, Errno> {
        let may_block = !is_nonblocking && thread::current().id() != self.main;
        self.wait(may_block, None, |stack| attempt(stack).transpose()).unwrap_or(Err(Errno::AGAIN))
    }

    /// Repeats `attempt` until it has a result, or simulated time has passed (`None`: it never does). `None` if it has
    /// passed, or if this thread may not block forever.
    pub(crate) fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Stack) -> Option<T>,
    ) -> Option<T> {
        let is_main = thread::current().id() == self.main;
        let Some(timeout) = timeout else { return self.wait(!is_main, None, attempt) };
        let mut state = self.enter();
        let deadline = state.stack.now().after(timeout);
        if !is_main {
            drop(state);
            return self.wait(true, Some(deadline), attempt);
        }
        loop {
            let result = attempt(&mut state.stack);
            if result.is_some() || state.stack.now() >= deadline {
                return result;
            }
            state = self.step(state, deadline);
        }
    }

    /// Lets simulated time pass.
    pub(crate) fn sleep(&self, time: Duration) {
        let mut state = self.enter();
        let until = state.stack.now().after(time);
        while state.stack.now() < until {
            state = self.step(state, until);
        }
    }

    /// The simulated time. Looking at it takes a microsecond, so that whoever only looks gets on, too.
    pub(crate) fn look(&self) -> Time {
        let mut state = self.enter();
        let until = state.stack.now().after(MICROSECOND);
        state = self.step(state, until);
        state.stack.now()
    }

    /// The next packet that leaves, and when it left; `None` if none does while simulated time passes.
    pub(crate) fn sniff(&self) -> Option<(Time, Vec<u8>)> {
        let mut state = self.enter();
        let until = state.stack.now().after(PATIENCE);
        loop {
            if let Some(packet) = state.stack.sniff() {
                return Some(packet);
            }
            let waits = state.wait.as_ref().is_some_and(|wait| wait.deadline.is_some());
            if state.stack.now() >= until || (state.stack.next_deadline().is_none() && !waits) {
                return None;
            }
            state = self.step(state, until);
        }
    }

    fn wait<T>(
        &self,
        may_block: bool,
        deadline: Option<Time>,
        mut attempt: impl FnMut(&mut Stack) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.enter();
        let mut has_waited = false;
        let result = loop {
            let result = attempt(&mut state.stack);
            let is_late = deadline.is_some_and(|deadline| state.stack.now() >= deadline);
            let is_alone = has_waited || state.wait.is_none();
            if result.is_some() || is_late || !may_block || !is_alone {
                break result;
            }
            state.wait = Some(Wait { deadline, seen: state.epoch });
            has_waited = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        if has_waited {
            state.wait = None;
            state.returning = Some(thread::current().id());
            self.changed.notify_all();
        }
        result
    }

    fn enter(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.returning == Some(thread::current().id()) {
            state.returning = None;
            self.changed.notify_all();
        }
        state
    }

    /// Moves the clock to the next thing that happens, at most to `until`.
    fn step<'a>(&'a self, state: MutexGuard<'a, State>, until: Time) -> MutexGuard<'a, State> {
        let mut state = self.settle(state);
        let now = state.stack.now();
        let waits = state.wait.as_ref().and_then(|wait| wait.deadline).filter(|&deadline| deadline > now);
        let next = [Some(until), state.stack.next_deadline(), waits].into_iter().flatten().min().unwrap_or(until);
        state.stack.advance(next);
        self.settle(state)
    }

    /// Waits until the other thread has seen what changed: it waits again, or its call has ended and it has
    /// looked at the clock.
    fn settle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if thread::current().id() != self.main {
            return state;
        }
        state.epoch = state.epoch.wrapping_add(1);
        self.changed.notify_all();
        while state.returning.is_some() || state.wait.as_ref().is_some_and(|wait| wait.seen != state.epoch) {
            let waited = self.changed.wait_timeout(state, STUCK).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() {
                state.returning = None;
                break;
            }
        }
        state
    }
}
