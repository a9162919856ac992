//! *Derive miss response*: decides who answers what the cache does not hold (AFPA §3.2).

use afpa_engine::{Context, Outcome};

use crate::module::Http;
use crate::table::{FILE, REMOTE};

/// Files, or a backend. The third row of AFPA's Figure 1, a local server that takes the connection over, is chosen with
/// the route.
pub fn derive_miss_response(cx: &mut Context<'_, Http>) -> Outcome {
    if cx.request.is_for_others() { REMOTE } else { FILE }
}
