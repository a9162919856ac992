//! *Admit request*: whether a request is answered at all, given what its class and its client may and what there is to
//! do (AFPA §3.1).

use afpa_engine::{Context, Outcome};

use super::choose_route::way;
use super::client::{client, peer};
use crate::module::Http;
use crate::table::REFUSED;

/// Rates, connections and overload are every request's concern, and looked at before the cache is. What only a miss
/// needs is asked for in [`await_turn`](super::await_turn).
pub fn admit_request(cx: &mut Context<'_, Http>) -> Outcome {
    let (peer, client) = (peer(cx).ip(), client(cx));
    let (now, delay) = (cx.now().0, cx.delay().as_nanos() as u64);
    let Some(quality) = cx.global.quality() else { return way(cx.request) };
    if let Err(refusal) = quality.connect(&cx.request.admission, &mut cx.connection.slot, peer, now) {
        cx.request.turn_away(&refusal);
        cx.request.close_after_refusal();
        return REFUSED;
    }
    match quality.admit(&mut cx.request.admission, client, delay, now) {
        Ok(()) => way(cx.request),
        Err(refusal) => {
            cx.request.turn_away(&refusal);
            REFUSED
        }
    }
}
