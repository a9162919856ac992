//! *Derive miss response*: decides who answers what the cache does not hold (AFPA §3.2).

use afpa_engine::{Context, Outcome};

use crate::module::{Http, Request};
use crate::table::{CLASSED, FILE, REMOTE};

/// Files, or a backend; where there are classes, not before it is the request's turn. The third row of AFPA's Figure 1,
/// a local server that takes the connection over, is chosen with the route.
pub fn derive_miss_response(cx: &mut Context<'_, Http>) -> Outcome {
    let admission = &cx.request.admission;
    if admission.class.is_some() && !admission.has_permit() { CLASSED } else { miss(cx.request) }
}

/// Who answers.
pub(super) fn miss(request: &Request) -> Outcome {
    if request.is_for_others() { REMOTE } else { FILE }
}
