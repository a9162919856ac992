//! What the HTTP module counts on one engine.

use afpa_engine::stats::Counter;

use crate::access_log::CacheOutcome;

/// The lowest status that is counted on its own.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// One writer: the engine. Read by anyone.
#[derive(Debug)]
pub struct HttpStats {
    /// Connections that local servers took over.
    pub handed_over: Counter,
    by_status: Box<[Counter]>,
    by_outcome: [Counter; CacheOutcome::ALL.len()],
    /// Octets of payload given to TCP.
    pub payload_octets: Counter,
    /// Connections cut off because the peer read or wrote too slowly.
    pub too_slow: Counter,
    /// Pins alive: a gauge.
    pub pins: Counter,
}

impl Default for HttpStats {
    fn default() -> Self {
        HttpStats {
            handed_over: Counter::default(),
            by_status: (0..STATUSES).map(|_| Counter::default()).collect(),
            by_outcome: Default::default(),
            payload_octets: Counter::default(),
            too_slow: Counter::default(),
            pins: Counter::default(),
        }
    }
}

impl HttpStats {
    /// Counts one answered request.
    #[inline]
    pub fn answered(&self, status: u16, outcome: CacheOutcome, payload_octets: u64) {
        if let Some(counter) = self.by_status.get(status.wrapping_sub(FIRST_STATUS) as usize) {
            counter.increment();
        }
        self.by_outcome[outcome as usize].increment();
        self.payload_octets.add(payload_octets);
    }

    /// Requests answered with each status that occurred.
    pub fn by_status(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let counts = self.by_status.iter().enumerate().map(|(i, c)| (i as u16 + FIRST_STATUS, c.get()));
        counts.filter(|&(_, count)| count > 0)
    }

    /// Requests by the part that the cache took in them.
    pub fn by_outcome(&self) -> impl Iterator<Item = (CacheOutcome, u64)> + '_ {
        CacheOutcome::ALL.into_iter().map(|outcome| (outcome, self.by_outcome[outcome as usize].get()))
    }
}
