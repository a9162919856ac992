//! The control table of the socket provider.

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::{ControlTable, Outcome, State, StateFunction, row};

use crate::module::{SocketProvider, admit, admit_late, drain, hand_over, leave, linger, relay};

/// Finds the application that listened or connected, and gives the connection a slot of it.
pub const BEGIN: State = State::new(0, "begin");
/// Waits, unread, until the application accepts connections that came before.
pub const AWAIT_CREDIT: State = State::new(1, "await credit");
/// Moves octets between TCP and the rings of the slot.
pub const RELAY: State = State::new(2, "relay");
/// The application is done with the connection: sends what it left.
pub const DRAIN: State = State::new(3, "drain");
/// Waits until TCP needs the memory of the slot no more.
pub const LINGER: State = State::new(4, "linger");

/// It is to go on on another engine: gives TCP nothing more, and waits until TCP has taken over what it was given.
pub const LEAVE: State = State::new(5, "leave");
/// Waits for the socket itself, and hands it to the other engine, with everything that is known of the connection.
pub const HAND_OVER: State = State::new(6, "hand over");

/// It has a slot.
pub const ADMITTED: Outcome = Outcome::new(0, "admitted");
/// The application has as many connections waiting as it may, or no slot left.
pub const NO_CREDIT: Outcome = Outcome::new(1, "no credit");
/// Nobody wants it any more.
pub const UNWANTED: Outcome = Outcome::new(2, "unwanted");
/// There is nothing more to move for now.
pub const IDLE: Outcome = Outcome::new(3, "idle");
/// The application has closed it.
pub const CLOSED: Outcome = Outcome::new(4, "closed");
/// Both sides have sent FIN.
pub const OVER: Outcome = Outcome::new(5, "over");
/// The application wants it reset, or has left octets unread, or has written what cannot be; or the peer takes nothing.
pub const RESET: Outcome = Outcome::new(6, "reset");
/// TCP has been given everything, and FIN.
pub const GIVEN: Outcome = Outcome::new(7, "given");
/// TCP has taken it all over.
pub const TAKEN: Outcome = Outcome::new(8, "taken");

/// It has come from another engine, in the middle of what it was about.
pub const ARRIVED: Outcome = Outcome::new(9, "arrived");
/// Another engine shall have it.
pub const LEAVING: Outcome = Outcome::new(10, "leaving");
/// It is better left where it is.
pub const STAYS: Outcome = Outcome::new(11, "stays");
/// TCP needs nothing more of what it was given, and gives the socket away.
pub const LET_GO: Outcome = Outcome::new(12, "let go");
/// It is the other engine's.
pub const GONE: Outcome = Outcome::new(13, "gone");

const FUNCTIONS: &[StateFunction<SocketProvider>] = &[
    StateFunction { state: BEGIN, run: admit, outcomes: &[ADMITTED, NO_CREDIT, UNWANTED, ARRIVED] },
    StateFunction { state: AWAIT_CREDIT, run: admit_late, outcomes: &[ADMITTED, NO_CREDIT, UNWANTED] },
    StateFunction { state: RELAY, run: relay, outcomes: &[IDLE, CLOSED, OVER, RESET, LEAVING] },
    StateFunction { state: DRAIN, run: drain, outcomes: &[IDLE, GIVEN, RESET] },
    StateFunction { state: LINGER, run: linger, outcomes: &[IDLE, TAKEN, RESET] },
    StateFunction { state: LEAVE, run: leave, outcomes: &[IDLE, STAYS, LET_GO, RESET] },
    StateFunction { state: HAND_OVER, run: hand_over, outcomes: &[IDLE, GONE, RESET] },
];

/// Checked at compile time: exactly one row for each (state, outcome) declared above.
pub const TABLE: ControlTable<SocketProvider> = ControlTable::checked(
    BEGIN,
    FUNCTIONS,
    &[
        row(BEGIN, ADMITTED, Run(RELAY)),
        row(BEGIN, NO_CREDIT, Wait(AWAIT_CREDIT)),
        row(BEGIN, UNWANTED, Abort),
        // What there is was not shown to this engine yet.
        row(BEGIN, ARRIVED, Wait(RELAY)),
        row(AWAIT_CREDIT, ADMITTED, Run(RELAY)),
        row(AWAIT_CREDIT, NO_CREDIT, Wait(AWAIT_CREDIT)),
        row(AWAIT_CREDIT, UNWANTED, Abort),
        row(RELAY, IDLE, Wait(RELAY)),
        row(RELAY, CLOSED, Run(DRAIN)),
        row(RELAY, OVER, Close),
        row(RELAY, RESET, Abort),
        row(RELAY, LEAVING, Run(LEAVE)),
        row(DRAIN, IDLE, Wait(DRAIN)),
        row(DRAIN, GIVEN, Run(LINGER)),
        row(DRAIN, RESET, Abort),
        row(LINGER, IDLE, Wait(LINGER)),
        row(LINGER, TAKEN, Close),
        row(LINGER, RESET, Abort),
        row(LEAVE, IDLE, Wait(LEAVE)),
        row(LEAVE, STAYS, Run(RELAY)),
        row(LEAVE, LET_GO, Wait(HAND_OVER)),
        row(LEAVE, RESET, Abort),
        row(HAND_OVER, IDLE, Wait(HAND_OVER)),
        row(HAND_OVER, GONE, Close),
        row(HAND_OVER, RESET, Abort),
    ],
);
