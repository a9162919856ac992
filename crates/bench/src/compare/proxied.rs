//! An accelerator's turn: whether its origin was asked as the scenario says is a part of the measurement.

use super::scenario::Scenario;
use super::{Turn, WARM_UP};
use crate::load::LoadReport;
use crate::origin::Counts;
use crate::server::Server;
use anyhow::{Result, bail};
use std::time::Duration;

/// How often a cache that has a document may ask for it again.
const HANDFUL: u64 = 8;
/// Requests that a connection to the origin should carry at least, on average.
const PERSISTENT: u64 = 10;

/// Loads the accelerator, once what it may keep is in its cache, and looks at what its origin saw.
///
/// # Errors
/// The load failed, or the origin was asked more often than a hit allows, or less often than a miss needs.
pub(super) fn measure(turn: &Turn<'_>, server: &Server<'_>, scenario: Scenario) -> Result<(LoadReport, u64)> {
    turn.start_load(scenario, Duration::ZERO, WARM_UP / 2)?.finish()?;
    let before = server.counts()?;
    let (load, memory) = turn.measure(server, scenario)?;
    judge(scenario, &load, &server.counts()?.since(&before))?;
    Ok((load, memory))
}

/// Whether an origin that saw this was asked as the scenario says.
///
/// # Errors
/// It was not: how, in words.
pub(crate) fn judge(scenario: Scenario, load: &LoadReport, origin: &Counts) -> Result<()> {
    let Counts { requests, connections, .. } = origin;
    if scenario != Scenario::ProxyMiss1K {
        if *requests > HANDFUL {
            bail!("the origin was asked {requests} times for what the cache should have had");
        }
    } else if *requests < load.requests {
        bail!("the origin saw {requests} of {} requests that must not be answered from a cache", load.requests);
    } else if connections.saturating_mul(PERSISTENT) > *requests {
        bail!("{connections} connections to the origin for {requests} requests: they are not persistent");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::report;
    use super::*;

    #[test]
    fn hits_leave_the_origin_alone_and_misses_reach_it_over_few_connections() {
        for (scenario, requests, connections, complaint) in [
            (Scenario::ProxyHit1K, 8, 8, None),
            (Scenario::ProxyHit64K, 9, 1, Some("9 times")),
            (Scenario::ProxyMiss1K, 400, 40, None),
            (Scenario::ProxyMiss1K, 399, 40, Some("399 of 400")),
            (Scenario::ProxyMiss1K, 400, 41, Some("not persistent")),
        ] {
            let counts = Counts { requests, connections, ..Counts::default() };
            let error = judge(scenario, &report(100.0, 10.0), &counts).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), complaint.is_some());
            assert!(error.unwrap_or_default().contains(complaint.unwrap_or_default()));
        }
    }
}
