//! A limit on challenge acknowledgments (RFC 5961 §7).

use std::time::Duration;

use crate::connection::Connection;
use crate::time::Time;

const PERIOD: Duration = Duration::from_secs(1);
/// Between two answers of one connection to segments without data that are out of its window: two peers that find each
/// other's acknowledgments unacceptable would otherwise never stop.
const PAUSE: Duration = Duration::from_millis(500);

/// Counts challenge acknowledgments over all connections. The limit of each second is drawn anew between half and all of
/// what is configured: an attacker who could count up to a constant limit would learn from its exhaustion whether a
/// connection exists.
pub(crate) struct Challenges {
    limit: u32,
    left: u32,
    period_ends: Time,
    random: u64,
}

impl Challenges {
    pub(crate) fn new(limit: u32, seed: &[u8; 32]) -> Challenges {
        let (words, _) = seed.as_chunks::<8>();
        let random = words.iter().fold(0x9e37_79b9_7f4a_7c15, |all, word| {
            (all ^ u64::from_le_bytes(*word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
        });
        Challenges { limit, left: 0, period_ends: Time(0), random: random | 1 }
    }

    /// Whether one may be sent now; counts it.
    pub(crate) fn admit(&mut self, now: Time) -> bool {
        if now >= self.period_ends {
            self.period_ends = now.after(PERIOD);
            let half = self.limit / 2;
            self.left = half + (self.draw() % u64::from(self.limit - half + 1)) as u32;
        }
        let is_admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_admitted
    }

    fn draw(&mut self) -> u64 {
        // xorshift64*: not for secrets, and the output says little about the state.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }
}

/// Whether a connection may answer a segment without data that is out of its window; remembers that it did.
pub(crate) fn may_answer<P>(connection: &mut Connection<P>, now: Time) -> bool {
    let is_due = connection.cold.challenged == Time(0) || now.since(connection.cold.challenged) >= PAUSE;
    if is_due {
        connection.cold.challenged = now;
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sees_between_half_and_all_of_the_limit() {
        for limit in [0, 1, 7, 1000] {
            let mut challenges = Challenges::new(limit, &[7; 32]);
            for second in 0..20 {
                let now = Time(0).after(PERIOD * second);
                let admitted = (0..2000).filter(|_| challenges.admit(now)).count() as u32;
                assert!((limit / 2..=limit).contains(&admitted), "{admitted} of {limit}");
            }
        }
    }

    #[test]
    fn the_limit_varies() {
        let mut challenges = Challenges::new(1000, &[7; 32]);
        let mut seen = std::collections::BTreeSet::new();
        for second in 0..20 {
            let now = Time(0).after(PERIOD * second);
            seen.insert((0..2000).filter(|_| challenges.admit(now)).count());
        }
        assert!(seen.len() > 10);
    }
}
