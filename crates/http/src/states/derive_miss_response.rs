//! *Derive miss response*: decides who answers what the cache does not hold (AFPA §3.2).

use afpa_engine::{Context, Outcome};

use crate::module::Http;
use crate::table::FILE;

/// Files answer. A backend (*derive remote response*) and a local server that takes the connection
/// over (*derive deferred response*) are the other rows of AFPA's Figure 1.
pub fn derive_miss_response(_cx: &mut Context<'_, Http>) -> Outcome {
    FILE
}
