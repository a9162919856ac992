//! The control table of the module that owns connections to backends.

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::{ControlTable, Outcome, State, StateFunction, row};

use super::Fetch;
use super::states::{
    await_request, begin, keep_watch, read_head, relay_body, release, send_request, store_response, tunnel,
};

/// Finds out what the connection was opened for.
pub const BEGIN: State = State::new(0, "begin");
/// An idle connection waits for its next request.
pub const AWAIT_REQUEST: State = State::new(1, "await request");
/// Sends the request's head, and what there is of its body.
pub const SEND_REQUEST: State = State::new(2, "send request");
/// Reads the response's head; the rest of the request's body goes meanwhile.
pub const READ_HEAD: State = State::new(3, "read head");
/// Hands the body to those who wait for it.
pub const RELAY_BODY: State = State::new(4, "relay body");
/// Has a worker put the response into the cache.
pub const STORE_RESPONSE: State = State::new(5, "store response");
/// Gives the connection back.
pub const RELEASE: State = State::new(6, "release");
/// Passes octets both ways, whatever they mean.
pub const TUNNEL: State = State::new(7, "tunnel");
/// Gives up what takes too long.
pub const KEEP_WATCH: State = State::new(8, "keep watch");

/// There is a request to send.
pub const REQUEST: Outcome = Outcome::new(0, "request");
/// This is the watch.
pub const WATCH: Outcome = Outcome::new(1, "watch");
/// Nobody wants it any more.
pub const STALE: Outcome = Outcome::new(2, "stale");
/// Nothing is to be done now.
pub const IDLE: Outcome = Outcome::new(3, "idle");
/// The connection is at its end.
pub const ENDED: Outcome = Outcome::new(4, "ended");
/// The head is on its way.
pub const SENT: Outcome = Outcome::new(5, "sent");
/// More is to come.
pub const PENDING: Outcome = Outcome::new(6, "pending");
/// The response's head is there.
pub const HEAD: Outcome = Outcome::new(7, "head");
/// The protocol is another one from here on.
pub const SWITCHED: Outcome = Outcome::new(8, "switched");
/// There will be no whole response.
pub const FAILED: Outcome = Outcome::new(9, "failed");
/// The body has ended as it should.
pub const COMPLETE: Outcome = Outcome::new(10, "complete");
/// The cache has it, or is not to have it.
pub const STORED: Outcome = Outcome::new(11, "stored");
/// The connection is used no more.
pub const LAST: Outcome = Outcome::new(12, "last");

const FUNCTIONS: &[StateFunction<Fetch>] = &[
    StateFunction { state: BEGIN, run: begin::begin, outcomes: &[REQUEST, WATCH, STALE] },
    StateFunction { state: AWAIT_REQUEST, run: await_request::await_request, outcomes: &[REQUEST, IDLE, ENDED] },
    StateFunction { state: SEND_REQUEST, run: send_request::send_request, outcomes: &[SENT, STALE, FAILED] },
    StateFunction { state: READ_HEAD, run: read_head::read_head, outcomes: &[PENDING, HEAD, SWITCHED, FAILED] },
    StateFunction { state: RELAY_BODY, run: relay_body::relay_body, outcomes: &[PENDING, COMPLETE, FAILED] },
    StateFunction { state: STORE_RESPONSE, run: store_response::store_response, outcomes: &[PENDING, STORED] },
    StateFunction { state: RELEASE, run: release::release, outcomes: &[IDLE, REQUEST, LAST] },
    StateFunction { state: TUNNEL, run: tunnel::tunnel, outcomes: &[PENDING, ENDED, FAILED] },
    StateFunction { state: KEEP_WATCH, run: keep_watch::keep_watch, outcomes: &[PENDING, ENDED] },
];

/// Checked at compile time: exactly one row for each (state, outcome) declared above.
pub const TABLE: ControlTable<Fetch> = ControlTable::checked(
    BEGIN,
    FUNCTIONS,
    &[
        row(BEGIN, REQUEST, Run(SEND_REQUEST)),
        row(BEGIN, WATCH, Run(KEEP_WATCH)),
        row(BEGIN, STALE, Close),
        row(AWAIT_REQUEST, REQUEST, Run(SEND_REQUEST)),
        row(AWAIT_REQUEST, IDLE, Wait(AWAIT_REQUEST)),
        row(AWAIT_REQUEST, ENDED, Close),
        row(SEND_REQUEST, SENT, Wait(READ_HEAD)),
        row(SEND_REQUEST, STALE, Run(RELEASE)),
        row(SEND_REQUEST, FAILED, Abort),
        row(READ_HEAD, PENDING, Wait(READ_HEAD)),
        row(READ_HEAD, HEAD, Run(RELAY_BODY)),
        row(READ_HEAD, SWITCHED, Run(TUNNEL)),
        row(READ_HEAD, FAILED, Abort),
        row(RELAY_BODY, PENDING, Wait(RELAY_BODY)),
        row(RELAY_BODY, COMPLETE, Run(STORE_RESPONSE)),
        row(RELAY_BODY, FAILED, Abort),
        row(STORE_RESPONSE, PENDING, Wait(STORE_RESPONSE)),
        row(STORE_RESPONSE, STORED, Run(RELEASE)),
        row(RELEASE, IDLE, Wait(AWAIT_REQUEST)),
        row(RELEASE, REQUEST, Run(SEND_REQUEST)),
        row(RELEASE, LAST, Close),
        row(TUNNEL, PENDING, Wait(TUNNEL)),
        row(TUNNEL, ENDED, Close),
        row(TUNNEL, FAILED, Abort),
        row(KEEP_WATCH, PENDING, Wait(KEEP_WATCH)),
        row(KEEP_WATCH, ENDED, Close),
    ],
);
