//! The control table of the HTTP module: AFPA's Figure 1, with what a real server needs beside it.

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::{ControlTable, Outcome, State, StateFunction, row};

use crate::module::Http;
use crate::states::{
    admit_request, answer_directly, await_turn, check_body, choose_route, complete_request, derive_cached_response,
    derive_deferred_response, derive_error_response, derive_miss_response, derive_remote_response, derive_request,
    derive_uncached_response, drain_request, linger, send_response, tunnel,
};

/// Reads a request head from the input.
pub const DERIVE_REQUEST: State = State::new(0, "derive request");
/// Looks the request up in this engine's view of the cache.
pub const DERIVE_CACHED_RESPONSE: State = State::new(1, "derive cached response");
/// Decides who answers what the cache does not hold.
pub const DERIVE_MISS_RESPONSE: State = State::new(2, "derive miss response");
/// Makes a cache object of a file, on a worker.
pub const DERIVE_UNCACHED_RESPONSE: State = State::new(3, "derive uncached response");
/// Answers what needs neither cache nor file.
pub const ANSWER_DIRECTLY: State = State::new(4, "answer directly");
/// Answers what cannot be served.
pub const DERIVE_ERROR_RESPONSE: State = State::new(5, "derive error response");
/// Sends what was derived.
pub const SEND_ENGINE: State = State::new(6, "send engine");
/// Counts and logs the request, and decides what the connection does next.
pub const COMPLETE_REQUEST: State = State::new(7, "complete request");
/// Reads and drops the rest of a request body.
pub const DRAIN_REQUEST: State = State::new(8, "drain request");
/// Waits for the peer's FIN, so that our last octets are not lost to a reset.
pub const LINGER: State = State::new(9, "linger");
/// Reads a chunked body, to see that it is one.
pub const CHECK_BODY: State = State::new(10, "check body");

/// Finds the route of a request, where there are routes.
pub const CHOOSE_ROUTE: State = State::new(11, "choose route");
/// Passes on what a backend answers.
pub const DERIVE_REMOTE_RESPONSE: State = State::new(12, "derive remote response");
/// Passes octets both ways, whatever they mean.
pub const TUNNEL: State = State::new(13, "tunnel");

/// Hands the connection to a local server.
pub const DERIVE_DEFERRED_RESPONSE: State = State::new(14, "derive deferred response");

/// Sees whether a request is answered, given its class and its client, where there are classes.
pub const ADMIT_REQUEST: State = State::new(15, "admit request");
/// Waits until a backend or a worker can be asked, where there are classes.
pub const AWAIT_TURN: State = State::new(16, "await turn");

/// A whole request head was read.
pub const COMPLETE: Outcome = Outcome::new(0, "complete");
/// More input is needed.
pub const INCOMPLETE: Outcome = Outcome::new(1, "incomplete");
/// The request cannot be served; the reason is kept with it.
pub const REFUSED: Outcome = Outcome::new(2, "refused");
/// The peer is done, or we are, and nothing is in flight.
pub const IDLE_END: Outcome = Outcome::new(3, "idle end");
/// The cache holds the answer.
pub const HIT: Outcome = Outcome::new(4, "hit");
/// The cache does not.
pub const MISS: Outcome = Outcome::new(5, "miss");
/// The answer is made on the spot.
pub const DIRECT: Outcome = Outcome::new(6, "direct");
/// A file may answer.
pub const FILE: Outcome = Outcome::new(7, "file");
/// A worker is at it.
pub const PENDING: Outcome = Outcome::new(8, "pending");
/// The response is derived.
pub const READY: Outcome = Outcome::new(9, "ready");
/// TCP has been given everything.
pub const SENT: Outcome = Outcome::new(10, "sent");
/// TCP has enough for now.
pub const BLOCKED: Outcome = Outcome::new(11, "blocked");
/// The rest of the response cannot be had, or the peer does not take it.
pub const CUT_OFF: Outcome = Outcome::new(12, "cut off");
/// The connection is ready for its next request.
pub const PERSISTENT: Outcome = Outcome::new(13, "persistent");
/// A request body lies between this request and the next.
pub const BODY_LEFT: Outcome = Outcome::new(14, "body left");
/// The connection ends, and the peer sends nothing more.
pub const LAST: Outcome = Outcome::new(15, "last");
/// The connection ends, but the peer may still be sending.
pub const LAST_UNREAD: Outcome = Outcome::new(16, "last, unread");
/// A whole request head was read, and what follows it has to be read before it is believed.
pub const CHUNKED: Outcome = Outcome::new(17, "chunked");

/// A whole request head was read, and there are routes.
pub const ROUTED: Outcome = Outcome::new(18, "routed");
/// Files answer on this route.
pub const FILES: Outcome = Outcome::new(19, "files");
/// Another server answers.
pub const REMOTE: Outcome = Outcome::new(20, "remote");
/// The protocol is another one from here on.
pub const SWITCHED: Outcome = Outcome::new(21, "switched");

/// A local server takes the connection over on this route.
pub const DEFERRED: Outcome = Outcome::new(22, "deferred");
/// The connection is another's.
pub const GONE: Outcome = Outcome::new(23, "gone");
/// There are classes of requests.
pub const CLASSED: Outcome = Outcome::new(24, "classed");
/// Others go first.
pub const WAITS: Outcome = Outcome::new(25, "waits");
/// It is the turn of a request that waited.
pub const TURN: Outcome = Outcome::new(26, "turn");

const FUNCTIONS: &[StateFunction<Http>] = &[
    StateFunction {
        state: DERIVE_REQUEST,
        run: derive_request::derive_request,
        outcomes: &[COMPLETE, CHUNKED, ROUTED, INCOMPLETE, REFUSED, IDLE_END],
    },
    StateFunction {
        state: DERIVE_CACHED_RESPONSE,
        run: derive_cached_response::derive_cached_response,
        outcomes: &[HIT, MISS, DIRECT, PENDING, REFUSED],
    },
    StateFunction {
        state: DERIVE_MISS_RESPONSE,
        run: derive_miss_response::derive_miss_response,
        outcomes: &[FILE, REMOTE, CLASSED],
    },
    StateFunction {
        state: DERIVE_UNCACHED_RESPONSE,
        run: derive_uncached_response::derive_uncached_response,
        outcomes: &[PENDING, READY, DIRECT, REFUSED],
    },
    StateFunction { state: ANSWER_DIRECTLY, run: answer_directly::answer_directly, outcomes: &[READY] },
    StateFunction {
        state: DERIVE_ERROR_RESPONSE,
        run: derive_error_response::derive_error_response,
        outcomes: &[READY],
    },
    StateFunction { state: SEND_ENGINE, run: send_response::send_response, outcomes: &[SENT, BLOCKED, CUT_OFF] },
    StateFunction {
        state: COMPLETE_REQUEST,
        run: complete_request::complete_request,
        outcomes: &[PERSISTENT, BODY_LEFT, LAST, LAST_UNREAD],
    },
    StateFunction {
        state: DRAIN_REQUEST,
        run: drain_request::drain_request,
        outcomes: &[COMPLETE, INCOMPLETE, LAST, LAST_UNREAD],
    },
    StateFunction { state: LINGER, run: linger::linger, outcomes: &[INCOMPLETE, LAST] },
    StateFunction {
        state: CHECK_BODY,
        run: check_body::check_body,
        outcomes: &[COMPLETE, INCOMPLETE, REFUSED, IDLE_END],
    },
    StateFunction {
        state: CHOOSE_ROUTE,
        run: choose_route::choose_route,
        outcomes: &[FILES, CHUNKED, REMOTE, DEFERRED, DIRECT, CLASSED, REFUSED],
    },
    StateFunction {
        state: DERIVE_REMOTE_RESPONSE,
        run: derive_remote_response::derive_remote_response,
        outcomes: &[PENDING, READY, SENT, SWITCHED, REFUSED, CUT_OFF],
    },
    StateFunction { state: TUNNEL, run: tunnel::tunnel, outcomes: &[PENDING, LAST, CUT_OFF] },
    StateFunction {
        state: DERIVE_DEFERRED_RESPONSE,
        run: derive_deferred_response::derive_deferred_response,
        outcomes: &[PENDING, GONE, REFUSED],
    },
    StateFunction {
        state: ADMIT_REQUEST,
        run: admit_request::admit_request,
        outcomes: &[FILES, CHUNKED, REMOTE, DEFERRED, DIRECT, REFUSED],
    },
    StateFunction { state: AWAIT_TURN, run: await_turn::await_turn, outcomes: &[FILE, REMOTE, TURN, WAITS, REFUSED] },
];

/// Checked at compile time: exactly one row for each (state, outcome) declared above.
pub const TABLE: ControlTable<Http> = ControlTable::checked(
    DERIVE_REQUEST,
    FUNCTIONS,
    &[
        row(DERIVE_REQUEST, COMPLETE, Run(DERIVE_CACHED_RESPONSE)),
        row(DERIVE_REQUEST, CHUNKED, Run(CHECK_BODY)),
        row(DERIVE_REQUEST, ROUTED, Run(CHOOSE_ROUTE)),
        row(DERIVE_REQUEST, INCOMPLETE, Wait(DERIVE_REQUEST)),
        row(DERIVE_REQUEST, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REQUEST, IDLE_END, Close),
        row(CHECK_BODY, COMPLETE, Run(DERIVE_CACHED_RESPONSE)),
        row(CHECK_BODY, INCOMPLETE, Wait(CHECK_BODY)),
        row(CHECK_BODY, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(CHECK_BODY, IDLE_END, Close),
        row(CHOOSE_ROUTE, FILES, Run(DERIVE_CACHED_RESPONSE)),
        row(CHOOSE_ROUTE, CHUNKED, Run(CHECK_BODY)),
        row(CHOOSE_ROUTE, REMOTE, Run(DERIVE_CACHED_RESPONSE)),
        row(CHOOSE_ROUTE, DEFERRED, Run(DERIVE_DEFERRED_RESPONSE)),
        row(DERIVE_DEFERRED_RESPONSE, PENDING, Wait(DERIVE_DEFERRED_RESPONSE)),
        row(DERIVE_DEFERRED_RESPONSE, GONE, Close),
        row(DERIVE_DEFERRED_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(CHOOSE_ROUTE, DIRECT, Run(ANSWER_DIRECTLY)),
        row(CHOOSE_ROUTE, CLASSED, Run(ADMIT_REQUEST)),
        row(CHOOSE_ROUTE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(ADMIT_REQUEST, FILES, Run(DERIVE_CACHED_RESPONSE)),
        row(ADMIT_REQUEST, CHUNKED, Run(CHECK_BODY)),
        row(ADMIT_REQUEST, REMOTE, Run(DERIVE_CACHED_RESPONSE)),
        row(ADMIT_REQUEST, DEFERRED, Run(DERIVE_DEFERRED_RESPONSE)),
        row(ADMIT_REQUEST, DIRECT, Run(ANSWER_DIRECTLY)),
        row(ADMIT_REQUEST, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_CACHED_RESPONSE, PENDING, Wait(DERIVE_CACHED_RESPONSE)),
        row(DERIVE_CACHED_RESPONSE, HIT, Run(SEND_ENGINE)),
        row(DERIVE_CACHED_RESPONSE, MISS, Run(DERIVE_MISS_RESPONSE)),
        row(DERIVE_CACHED_RESPONSE, DIRECT, Run(ANSWER_DIRECTLY)),
        row(DERIVE_CACHED_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_MISS_RESPONSE, FILE, Run(DERIVE_UNCACHED_RESPONSE)),
        row(DERIVE_MISS_RESPONSE, REMOTE, Run(DERIVE_REMOTE_RESPONSE)),
        row(DERIVE_MISS_RESPONSE, CLASSED, Run(AWAIT_TURN)),
        row(AWAIT_TURN, FILE, Run(DERIVE_UNCACHED_RESPONSE)),
        row(AWAIT_TURN, REMOTE, Run(DERIVE_REMOTE_RESPONSE)),
        row(AWAIT_TURN, TURN, Run(DERIVE_CACHED_RESPONSE)),
        row(AWAIT_TURN, WAITS, Wait(AWAIT_TURN)),
        row(AWAIT_TURN, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, PENDING, Wait(DERIVE_REMOTE_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, READY, Run(SEND_ENGINE)),
        row(DERIVE_REMOTE_RESPONSE, SENT, Run(COMPLETE_REQUEST)),
        row(DERIVE_REMOTE_RESPONSE, SWITCHED, Run(TUNNEL)),
        row(DERIVE_REMOTE_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REMOTE_RESPONSE, CUT_OFF, Abort),
        row(TUNNEL, PENDING, Wait(TUNNEL)),
        row(TUNNEL, LAST, Close),
        row(TUNNEL, CUT_OFF, Abort),
        row(DERIVE_UNCACHED_RESPONSE, PENDING, Wait(DERIVE_UNCACHED_RESPONSE)),
        row(DERIVE_UNCACHED_RESPONSE, READY, Run(SEND_ENGINE)),
        row(DERIVE_UNCACHED_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_UNCACHED_RESPONSE, DIRECT, Run(ANSWER_DIRECTLY)),
        row(ANSWER_DIRECTLY, READY, Run(SEND_ENGINE)),
        row(DERIVE_ERROR_RESPONSE, READY, Run(SEND_ENGINE)),
        row(SEND_ENGINE, SENT, Run(COMPLETE_REQUEST)),
        row(SEND_ENGINE, BLOCKED, Wait(SEND_ENGINE)),
        row(SEND_ENGINE, CUT_OFF, Abort),
        row(COMPLETE_REQUEST, PERSISTENT, Run(DERIVE_REQUEST)),
        row(COMPLETE_REQUEST, BODY_LEFT, Run(DRAIN_REQUEST)),
        row(COMPLETE_REQUEST, LAST, Close),
        row(COMPLETE_REQUEST, LAST_UNREAD, Run(LINGER)),
        row(DRAIN_REQUEST, COMPLETE, Run(DERIVE_REQUEST)),
        row(DRAIN_REQUEST, INCOMPLETE, Wait(DRAIN_REQUEST)),
        row(DRAIN_REQUEST, LAST, Close),
        row(DRAIN_REQUEST, LAST_UNREAD, Run(LINGER)),
        row(LINGER, INCOMPLETE, Wait(LINGER)),
        row(LINGER, LAST, Close),
    ],
);
