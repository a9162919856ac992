//! Which seeds run.

use std::env;

/// The first seed, and how many. `AFPA_SIM_SEEDS` says another number than the default; `AFPA_SIM_SEED` runs just one: the
/// one that a failure printed.
pub(crate) fn seeds(default: u64) -> (u64, u64) {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("AFPA_SIM_SEED");
    (first.unwrap_or(0), number("AFPA_SIM_SEEDS").unwrap_or(if first.is_some() { 1 } else { default }))
}
