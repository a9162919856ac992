//! The control table of the module that asks backends.

use afpa_engine::Next::{Close, Run, Wait};
use afpa_engine::{ControlTable, Outcome, State, StateFunction, row};

use super::Fetch;
use super::states::{
    ask_backend, await_answer, await_connection, begin, keep_watch, look_up, next_attempt, store_answer,
};

/// Finds out what it was opened for.
pub const BEGIN: State = State::new(0, "begin");
/// Looks whether another engine has the answer.
pub const LOOK_UP: State = State::new(1, "look up");
/// Sends a question.
pub const ASK_BACKEND: State = State::new(2, "ask backend");
/// Waits for its answer.
pub const AWAIT_ANSWER: State = State::new(3, "await answer");
/// Chooses whom to ask next.
pub const NEXT_ATTEMPT: State = State::new(4, "next attempt");
/// Hands an answer to those who wait, and keeps it.
pub const STORE_ANSWER: State = State::new(5, "store answer");
/// Checks backends from time to time.
pub const KEEP_WATCH: State = State::new(6, "keep watch");
/// Waits for a connection to a backend.
pub const AWAIT_CONNECTION: State = State::new(7, "await connection");

/// A question is to be asked here.
pub const ASK: Outcome = Outcome::new(0, "ask");
/// A question that others may have the answer to.
pub const MISSED: Outcome = Outcome::new(1, "missed");
/// A question is to be asked somewhere.
pub const CHOOSE: Outcome = Outcome::new(2, "choose");
/// This is the watch.
pub const WATCH: Outcome = Outcome::new(3, "watch");
/// Nobody wants it any more.
pub const STALE: Outcome = Outcome::new(4, "stale");
/// What is needed is under way.
pub const PENDING: Outcome = Outcome::new(5, "pending");
/// Another engine had the answer.
pub const FOUND: Outcome = Outcome::new(6, "found");
/// It was sent.
pub const SENT: Outcome = Outcome::new(7, "sent");
/// It is answered.
pub const ANSWERED: Outcome = Outcome::new(8, "answered");
/// It is not answered by this backend in this way.
pub const SET_BACK: Outcome = Outcome::new(9, "set back");
/// A check was passed, or not.
pub const CHECKED: Outcome = Outcome::new(10, "checked");
/// It goes on elsewhere.
pub const HANDED_ON: Outcome = Outcome::new(11, "handed on");
/// There will be no answer.
pub const GAVE_UP: Outcome = Outcome::new(12, "gave up");
/// The answer is kept, or is not to be.
pub const STORED: Outcome = Outcome::new(13, "stored");
/// The engine stops.
pub const ENDED: Outcome = Outcome::new(14, "ended");
/// A connection is to be opened.
pub const CONNECTING: Outcome = Outcome::new(15, "connecting");

const FUNCTIONS: &[StateFunction<Fetch>] = &[
    StateFunction { state: BEGIN, run: begin::begin, outcomes: &[ASK, MISSED, CHOOSE, WATCH, STALE] },
    StateFunction { state: LOOK_UP, run: look_up::look_up, outcomes: &[PENDING, FOUND, CHOOSE] },
    StateFunction { state: ASK_BACKEND, run: ask_backend::ask_backend, outcomes: &[SENT, SET_BACK, STALE] },
    StateFunction {
        state: AWAIT_ANSWER,
        run: await_answer::await_answer,
        outcomes: &[PENDING, ANSWERED, SET_BACK, CHECKED],
    },
    StateFunction { state: NEXT_ATTEMPT, run: next_attempt::next_attempt, outcomes: &[HANDED_ON, CONNECTING, GAVE_UP] },
    StateFunction { state: STORE_ANSWER, run: store_answer::store_answer, outcomes: &[PENDING, STORED] },
    StateFunction { state: KEEP_WATCH, run: keep_watch::keep_watch, outcomes: &[PENDING, ENDED] },
    StateFunction {
        state: AWAIT_CONNECTION,
        run: await_connection::await_connection,
        outcomes: &[PENDING, HANDED_ON, SET_BACK],
    },
];

/// Checked at compile time: exactly one row for each (state, outcome) declared above.
pub const TABLE: ControlTable<Fetch> = ControlTable::checked(
    BEGIN,
    FUNCTIONS,
    &[
        row(BEGIN, ASK, Run(ASK_BACKEND)),
        row(BEGIN, MISSED, Run(LOOK_UP)),
        row(BEGIN, CHOOSE, Run(NEXT_ATTEMPT)),
        row(BEGIN, WATCH, Run(KEEP_WATCH)),
        row(BEGIN, STALE, Close),
        row(LOOK_UP, PENDING, Wait(LOOK_UP)),
        row(LOOK_UP, FOUND, Close),
        row(LOOK_UP, CHOOSE, Run(NEXT_ATTEMPT)),
        row(ASK_BACKEND, SENT, Wait(AWAIT_ANSWER)),
        row(ASK_BACKEND, SET_BACK, Run(NEXT_ATTEMPT)),
        row(ASK_BACKEND, STALE, Close),
        row(AWAIT_ANSWER, PENDING, Wait(AWAIT_ANSWER)),
        row(AWAIT_ANSWER, ANSWERED, Run(STORE_ANSWER)),
        row(AWAIT_ANSWER, SET_BACK, Run(NEXT_ATTEMPT)),
        row(AWAIT_ANSWER, CHECKED, Close),
        row(NEXT_ATTEMPT, HANDED_ON, Close),
        row(NEXT_ATTEMPT, GAVE_UP, Run(STORE_ANSWER)),
        row(NEXT_ATTEMPT, CONNECTING, Wait(AWAIT_CONNECTION)),
        row(AWAIT_CONNECTION, PENDING, Wait(AWAIT_CONNECTION)),
        row(AWAIT_CONNECTION, HANDED_ON, Close),
        row(AWAIT_CONNECTION, SET_BACK, Run(NEXT_ATTEMPT)),
        row(STORE_ANSWER, PENDING, Wait(STORE_ANSWER)),
        row(STORE_ANSWER, STORED, Close),
        row(KEEP_WATCH, PENDING, Wait(KEEP_WATCH)),
        row(KEEP_WATCH, ENDED, Close),
    ],
);
