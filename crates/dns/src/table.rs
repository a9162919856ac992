//! The control table of the DNS module: AFPA's Figure 1 for datagrams and streams alike.

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::{ControlTable, Outcome, State, StateFunction, row};

use crate::module::Dns;
use crate::states::{
    admit_request, choose_responder, complete_request, derive_cached_response, derive_error_response,
    derive_miss_response, derive_remote_response, derive_request, derive_zone_response, send_response, transfer_zone,
};

/// Reads a query: a datagram, or the next of a stream.
pub const DERIVE_REQUEST: State = State::new(0, "derive request");
/// Decides whether the client may ask, and how often.
pub const ADMIT_REQUEST: State = State::new(1, "admit request");
/// Decides who answers: a zone, the cache and the backends behind it, or the operator's word.
pub const CHOOSE_RESPONDER: State = State::new(2, "choose responder");
/// Answers from a zone.
pub const DERIVE_ZONE_RESPONSE: State = State::new(3, "derive zone response");
/// Answers from the cache.
pub const DERIVE_CACHED_RESPONSE: State = State::new(4, "derive cached response");
/// Joins those who wait for the same answer, or is the first of them.
pub const DERIVE_MISS_RESPONSE: State = State::new(5, "derive miss response");
/// Waits for a backend's answer.
pub const DERIVE_REMOTE_RESPONSE: State = State::new(6, "derive remote response");
/// Answers with a code alone.
pub const DERIVE_ERROR_RESPONSE: State = State::new(7, "derive error response");
/// Sends what was derived, unless the rate of such responses is used up.
pub const SEND_RESPONSE: State = State::new(8, "send response");
/// Sends a whole zone.
pub const TRANSFER_ZONE: State = State::new(9, "transfer zone");
/// Counts and logs the query.
pub const COMPLETE_REQUEST: State = State::new(10, "complete request");

/// A whole query was read.
pub const COMPLETE: Outcome = Outcome::new(0, "complete");
/// More input is needed.
pub const INCOMPLETE: Outcome = Outcome::new(1, "incomplete");
/// The query is answered with a code; which one is kept with it.
pub const REFUSED: Outcome = Outcome::new(2, "refused");
/// What came deserves no answer.
pub const SILENT: Outcome = Outcome::new(3, "silent");
/// The peer is done, or too slow, or the engine stops, and nothing is in flight.
pub const IDLE_END: Outcome = Outcome::new(4, "idle end");
/// The client may ask.
pub const ADMITTED: Outcome = Outcome::new(5, "admitted");
/// A zone answers.
pub const ZONE: Outcome = Outcome::new(6, "zone");
/// A pool of backends answers, or the cache in their place.
pub const FORWARD: Outcome = Outcome::new(7, "forward");
/// A zone is asked for as a whole.
pub const TRANSFER: Outcome = Outcome::new(8, "transfer");
/// A response is derived.
pub const READY: Outcome = Outcome::new(9, "ready");
/// The cache holds the answer.
pub const HIT: Outcome = Outcome::new(10, "hit");
/// The cache does not.
pub const MISS: Outcome = Outcome::new(11, "miss");
/// The request goes on by itself, and its stream reads the next one.
pub const DETACHED: Outcome = Outcome::new(12, "detached");
/// The answer is under way.
pub const PENDING: Outcome = Outcome::new(13, "pending");
/// It was handed to the transport, or held back.
pub const SENT: Outcome = Outcome::new(14, "sent");
/// The transport has enough for now.
pub const BLOCKED: Outcome = Outcome::new(15, "blocked");
/// The stream is ready for its next query.
pub const PERSISTENT: Outcome = Outcome::new(16, "persistent");
/// There is nothing after this request.
pub const LAST: Outcome = Outcome::new(17, "last");
/// The peer has taken nothing of what it was sent for too long.
pub const STALLED: Outcome = Outcome::new(18, "stalled");

const FUNCTIONS: &[StateFunction<Dns>] = &[
    StateFunction {
        state: DERIVE_REQUEST,
        run: derive_request::derive_request,
        outcomes: &[COMPLETE, INCOMPLETE, REFUSED, SILENT, IDLE_END, STALLED],
    },
    StateFunction { state: ADMIT_REQUEST, run: admit_request::admit_request, outcomes: &[ADMITTED, REFUSED, SILENT] },
    StateFunction {
        state: CHOOSE_RESPONDER,
        run: choose_responder::choose_responder,
        outcomes: &[ZONE, FORWARD, TRANSFER, REFUSED, SILENT],
    },
    StateFunction { state: DERIVE_ZONE_RESPONSE, run: derive_zone_response::derive_zone_response, outcomes: &[READY] },
    StateFunction {
        state: DERIVE_CACHED_RESPONSE,
        run: derive_cached_response::derive_cached_response,
        outcomes: &[HIT, MISS],
    },
    StateFunction {
        state: DERIVE_MISS_RESPONSE,
        run: derive_miss_response::derive_miss_response,
        outcomes: &[PENDING, DETACHED, REFUSED],
    },
    StateFunction {
        state: DERIVE_REMOTE_RESPONSE,
        run: derive_remote_response::derive_remote_response,
        outcomes: &[PENDING, READY, REFUSED],
    },
    StateFunction {
        state: DERIVE_ERROR_RESPONSE,
        run: derive_error_response::derive_error_response,
        outcomes: &[READY],
    },
    StateFunction { state: SEND_RESPONSE, run: send_response::send_response, outcomes: &[SENT] },
    StateFunction {
        state: TRANSFER_ZONE,
        run: transfer_zone::transfer_zone,
        outcomes: &[SENT, BLOCKED, REFUSED, STALLED],
    },
    StateFunction { state: COMPLETE_REQUEST, run: complete_request::complete_request, outcomes: &[PERSISTENT, LAST] },
];

/// Checked at compile time: exactly one row for each (state, outcome) declared above.
pub const TABLE: ControlTable<Dns> = ControlTable::checked(
    DERIVE_REQUEST,
    FUNCTIONS,
    &[
        row(DERIVE_REQUEST, COMPLETE, Run(ADMIT_REQUEST)),
        row(DERIVE_REQUEST, INCOMPLETE, Wait(DERIVE_REQUEST)),
        row(DERIVE_REQUEST, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REQUEST, SILENT, Close),
        row(DERIVE_REQUEST, IDLE_END, Close),
        row(DERIVE_REQUEST, STALLED, Abort),
        row(ADMIT_REQUEST, ADMITTED, Run(CHOOSE_RESPONDER)),
        row(ADMIT_REQUEST, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(ADMIT_REQUEST, SILENT, Run(COMPLETE_REQUEST)),
        row(CHOOSE_RESPONDER, ZONE, Run(DERIVE_ZONE_RESPONSE)),
        row(CHOOSE_RESPONDER, FORWARD, Run(DERIVE_CACHED_RESPONSE)),
        row(CHOOSE_RESPONDER, TRANSFER, Run(TRANSFER_ZONE)),
        row(CHOOSE_RESPONDER, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(CHOOSE_RESPONDER, SILENT, Run(COMPLETE_REQUEST)),
        row(DERIVE_ZONE_RESPONSE, READY, Run(SEND_RESPONSE)),
        row(DERIVE_CACHED_RESPONSE, HIT, Run(SEND_RESPONSE)),
        row(DERIVE_CACHED_RESPONSE, MISS, Run(DERIVE_MISS_RESPONSE)),
        row(DERIVE_MISS_RESPONSE, PENDING, Wait(DERIVE_REMOTE_RESPONSE)),
        row(DERIVE_MISS_RESPONSE, DETACHED, Run(DERIVE_REQUEST)),
        row(DERIVE_MISS_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, PENDING, Wait(DERIVE_REMOTE_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, READY, Run(SEND_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_ERROR_RESPONSE, READY, Run(SEND_RESPONSE)),
        row(SEND_RESPONSE, SENT, Run(COMPLETE_REQUEST)),
        row(TRANSFER_ZONE, SENT, Run(COMPLETE_REQUEST)),
        row(TRANSFER_ZONE, BLOCKED, Wait(TRANSFER_ZONE)),
        row(TRANSFER_ZONE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(TRANSFER_ZONE, STALLED, Abort),
        row(COMPLETE_REQUEST, PERSISTENT, Run(DERIVE_REQUEST)),
        row(COMPLETE_REQUEST, LAST, Close),
    ],
);
