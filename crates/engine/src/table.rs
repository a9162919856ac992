//! States, outcomes, and the control table that joins them (AFPA §3.2).
//!
//! A state function returns an outcome and never names the next state. The table, kept apart, says
//! what follows. [`ControlTable::checked`] runs at compile time when a table is a `const`: each
//! (state, outcome) has exactly one row, or the build fails and says why.
//!
//! ```
//! # use afpa_engine::{seam::Origin, ConnectionId, Context, ControlTable, Next, Outcome, ProtocolModule, State, StateFunction, Time, row};
//! # struct Discard;
//! # impl ProtocolModule for Discard {
//! #     const NAME: &'static str = "discard";
//! #     const TABLE: &'static ControlTable<Discard> = &TABLE;
//! #     type Global = ();
//! #     type Connection = ();
//! #     type Request = ();
//! #     fn connected(_: &mut (), _: ConnectionId, _: Origin, _: Time) {}
//! # }
//! # fn discard(cx: &mut Context<'_, Discard>) -> Outcome {
//! #     if cx.finished() { ENDED } else { READ }
//! # }
//! const DISCARD: State = State::new(0, "discard");
//! const READ: Outcome = Outcome::new(0, "read");
//! const ENDED: Outcome = Outcome::new(1, "ended");
//!
//! const TABLE: ControlTable<Discard> = ControlTable::checked(
//!     DISCARD,
//!     &[StateFunction { state: DISCARD, run: discard, outcomes: &[READ, ENDED] }],
//!     &[row(DISCARD, READ, Next::Wait(DISCARD)), row(DISCARD, ENDED, Next::Close)],
//! );
//! # fn main() { assert_eq!(TABLE.start(), DISCARD); }
//! ```
//!
//! Without the second row it does not compile:
//!
//! ```compile_fail
//! # use afpa_engine::{seam::Origin, ConnectionId, Context, ControlTable, Next, Outcome, ProtocolModule, State, StateFunction, Time, row};
//! # struct Discard;
//! # impl ProtocolModule for Discard {
//! #     const NAME: &'static str = "discard";
//! #     const TABLE: &'static ControlTable<Discard> = &TABLE;
//! #     type Global = ();
//! #     type Connection = ();
//! #     type Request = ();
//! #     fn connected(_: &mut (), _: ConnectionId, _: Origin, _: Time) {}
//! # }
//! # fn discard(cx: &mut Context<'_, Discard>) -> Outcome {
//! #     if cx.finished() { ENDED } else { READ }
//! # }
//! const DISCARD: State = State::new(0, "discard");
//! const READ: Outcome = Outcome::new(0, "read");
//! const ENDED: Outcome = Outcome::new(1, "ended");
//!
//! const TABLE: ControlTable<Discard> = ControlTable::checked(
//!     DISCARD,
//!     &[StateFunction { state: DISCARD, run: discard, outcomes: &[READ, ENDED] }],
//!     &[row(DISCARD, READ, Next::Wait(DISCARD))],
//! );
//! # fn main() { assert_eq!(TABLE.start(), DISCARD); }
//! ```

use crate::module::{Context, ProtocolModule};

/// The most states, and the most outcomes, that a module may have. Sizes the transition counters.
pub const MAX_STATES: usize = 24;
/// See [`MAX_STATES`].
pub const MAX_OUTCOMES: usize = 32;

/// A state of a module. Declare each as a `const`, numbered from zero without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Its number.
    pub index: u8,
    /// Its name in figures and metrics, in words.
    pub name: &'static str,
}

impl State {
    /// A state numbered `index` and named `name`.
    pub const fn new(index: u8, name: &'static str) -> State {
        State { index, name }
    }
}

/// What a state function found. Declare each as a `const`, numbered from zero without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Its number.
    pub index: u8,
    /// Its name in figures and metrics, in words.
    pub name: &'static str,
}

impl Outcome {
    /// An outcome numbered `index` and named `name`.
    pub const fn new(index: u8, name: &'static str) -> Outcome {
        Outcome { index, name }
    }
}

/// What follows an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Run this state's function now.
    Run(State),
    /// Run this state's function at the connection's next event.
    Wait(State),
    /// Send what is queued, then close the connection.
    Close,
    /// Reset the connection.
    Abort,
}

/// One row of the table: in `state`, on `outcome`, `next`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The state whose function returned.
    pub state: State,
    /// What it returned.
    pub outcome: Outcome,
    /// What follows.
    pub next: Next,
}

/// In `state`, on `outcome`, `next`.
pub const fn row(state: State, outcome: Outcome, next: Next) -> Row {
    Row { state, outcome, next }
}

/// A state with its function and every outcome that the function may return.
pub struct StateFunction<M: ProtocolModule> {
    /// The state.
    pub state: State,
    /// Does one step.
    pub run: fn(&mut Context<'_, M>) -> Outcome,
    /// Every outcome that `run` may return.
    pub outcomes: &'static [Outcome],
}

/// A module's control table, checked.
pub struct ControlTable<M: ProtocolModule> {
    start: State,
    functions: &'static [StateFunction<M>],
    rows: &'static [Row],
    /// `rows` again, by number, so that a transition costs one load.
    lookup: [[Option<Next>; MAX_OUTCOMES]; MAX_STATES],
}

impl<M: ProtocolModule> ControlTable<M> {
    /// Checks the table; in a `const`, at compile time.
    ///
    /// # Panics
    /// Unless states are numbered by their place in `functions`, each (state, outcome) that a
    /// function declares has exactly one row, each row is declared, and every row leads to a state
    /// that has a function.
    pub const fn checked(
        start: State,
        functions: &'static [StateFunction<M>],
        rows: &'static [Row],
    ) -> ControlTable<M> {
        assert!(functions.len() <= MAX_STATES, "too many states");
        assert!((start.index as usize) < functions.len(), "the start state has no function");
        let mut lookup = [[None; MAX_OUTCOMES]; MAX_STATES];
        let mut i = 0;
        while i < rows.len() {
            let Row { state, outcome, next } = rows[i];
            assert!((state.index as usize) < functions.len(), "a row starts from a state without a function");
            assert!((outcome.index as usize) < MAX_OUTCOMES, "too many outcomes");
            assert!(
                declares(functions[state.index as usize].outcomes, outcome),
                "a row's outcome is not declared by its state"
            );
            if let Next::Run(to) | Next::Wait(to) = next {
                assert!((to.index as usize) < functions.len(), "a row leads to a state without a function");
            }
            let cell = &mut lookup[state.index as usize][outcome.index as usize];
            assert!(cell.is_none(), "two rows for one (state, outcome)");
            *cell = Some(next);
            i += 1;
        }
        let mut i = 0;
        while i < functions.len() {
            assert!(functions[i].state.index as usize == i, "a state's number is not its place in the list");
            let mut k = 0;
            while k < functions[i].outcomes.len() {
                let outcome = functions[i].outcomes[k].index as usize;
                assert!(lookup[i][outcome].is_some(), "a (state, outcome) without a row");
                k += 1;
            }
            i += 1;
        }
        ControlTable { start, functions, rows, lookup }
    }

    /// Where a new connection starts.
    pub const fn start(&self) -> State {
        self.start
    }

    /// The states with their functions, by number.
    pub const fn functions(&self) -> &'static [StateFunction<M>] {
        self.functions
    }

    /// The rows as the module wrote them.
    pub const fn rows(&self) -> &'static [Row] {
        self.rows
    }

    /// What follows `outcome` in `state`; `None` if the function returned what it did not declare.
    pub const fn next(&self, state: State, outcome: Outcome) -> Option<Next> {
        self.lookup[state.index as usize][outcome.index as usize]
    }
}

const fn declares(outcomes: &[Outcome], outcome: Outcome) -> bool {
    let mut i = 0;
    while i < outcomes.len() {
        if outcomes[i].index == outcome.index {
            return true;
        }
        i += 1;
    }
    false
}
