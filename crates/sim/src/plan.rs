//! What a network does to the packets, as data.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// A chance in ten thousand.
pub type Chance = u32;

/// What happens in one direction.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkPlan {
    /// The time that a packet takes.
    pub latency: Duration,
    /// The most time that is added at random, for each packet anew.
    pub jitter: Duration,
    /// Whether jitter leaves the order as it is.
    pub ordered: bool,
    /// Packets that vanish.
    pub loss: Chance,
    /// Packets that arrive twice.
    pub duplication: Chance,
    /// Packets of which one or two bits are flipped.
    pub corruption: Chance,
    /// Packets that are late by `lateness`.
    pub lateness_chance: Chance,
    /// See `lateness_chance`.
    pub lateness: Duration,
    /// Packets that a router marks instead of dropping them, if their sender understands it (RFC 3168 §5).
    pub marking: Chance,
    /// The MTU from this moment on; before the first one nothing is too large.
    pub mtu: Vec<(Duration, u32)>,
    /// Whether the sender of a packet that is too large is told so.
    pub complains: bool,
    /// Octets per second; zero: no limit.
    pub rate: u64,
    /// The most octets that wait for the rate. Beyond it packets are dropped.
    pub queue: u64,
    /// Spans in which nothing passes.
    pub outages: Vec<Range<Duration>>,
}

impl LinkPlan {
    /// A link without faults.
    pub fn perfect(latency: Duration) -> LinkPlan {
        LinkPlan {
            latency,
            jitter: Duration::ZERO,
            ordered: true,
            loss: 0,
            duplication: 0,
            corruption: 0,
            lateness_chance: 0,
            lateness: Duration::ZERO,
            marking: 0,
            mtu: Vec::new(),
            complains: true,
            rate: 0,
            queue: 0,
            outages: Vec::new(),
        }
    }

    fn random(random: &mut Rng) -> LinkPlan {
        let mut plan = LinkPlan::perfect(Duration::from_micros(random.u64(10..=80_000)));
        if random.u8(0..3) > 0 {
            plan.jitter = plan.latency.mul_f64(random.f64() / 2.0);
            plan.ordered = random.bool();
        }
        // Half of the links lose nothing; few lose what makes a network useless.
        plan.loss = [0, 0, 0, 50, 200, 500, 1000, 3000][random.usize(0..8)];
        plan.duplication = [0, 0, 100, 1000][random.usize(0..4)];
        plan.corruption = [0, 0, 50, 500][random.usize(0..4)];
        plan.lateness_chance = [0, 0, 100, 1500][random.usize(0..4)];
        plan.lateness = Duration::from_micros(random.u64(100..=150_000));
        plan.marking = [0, 0, 0, 300][random.usize(0..4)];
        if random.u8(0..4) == 0 {
            plan.mtu = (0..random.u64(1..=3))
                .map(|place| (Duration::from_millis(place * random.u64(1..2000)), random.u32(1280..=1500)))
                .collect();
            plan.complains = random.u8(0..4) > 0;
        }
        if random.u8(0..3) == 0 {
            plan.rate = 1 << random.u32(14..=25);
            plan.queue = random.u64(4_000..=200_000);
        }
        if random.u8(0..5) == 0 {
            let start = random.u64(0..3_000);
            let end = start + [50, 500, 4_000, 20_000][random.usize(0..4)];
            plan.outages.push(Duration::from_millis(start)..Duration::from_millis(end));
        }
        plan
    }

    /// The MTU after so much time.
    pub fn mtu_at(&self, elapsed: Duration) -> Option<u32> {
        self.mtu.iter().rev().find(|(from, _)| *from <= elapsed).map(|(_, mtu)| *mtu)
    }

    /// Whether a packet passes at all after so much time.
    pub fn is_out_at(&self, elapsed: Duration) -> bool {
        self.outages.iter().any(|outage| outage.contains(&elapsed))
    }
}

impl fmt::Display for LinkPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "latency {:?} + {:?}{}", self.latency, self.jitter, if self.ordered { " in order" } else { "" })?;
        let chances = [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("corruption", self.corruption),
            ("late", self.lateness_chance),
            ("marked", self.marking),
        ];
        for (name, chance) in chances.into_iter().filter(|(_, chance)| *chance > 0) {
            write!(f, ", {name} {}.{:02} %", chance / 100, chance % 100)?;
        }
        if self.lateness_chance > 0 {
            write!(f, " by {:?}", self.lateness)?;
        }
        for (from, mtu) in &self.mtu {
            write!(f, ", MTU {mtu} from {from:?}{}", if self.complains { "" } else { " without a word" })?;
        }
        if self.rate > 0 {
            write!(f, ", {} octets/s with a queue of {}", self.rate, self.queue)?;
        }
        self.outages.iter().try_for_each(|outage| write!(f, ", out {outage:?}"))
    }
}

/// A clock that leaps forward, as that of a machine which was suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jump {
    /// When.
    pub at: Duration,
    /// Which end's clock: 0 is the client's.
    pub end: usize,
    /// How far.
    pub by: Duration,
}

/// Everything that befalls two ends.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultPlan {
    /// Where it came from, and what the network's own chances are drawn from.
    pub seed: u64,
    /// From the client to the server, and back.
    pub links: [LinkPlan; 2],
    /// In order of time.
    pub jumps: Vec<Jump>,
    /// Packets that arrive within so much time are processed together.
    pub batch: Duration,
}

impl FaultPlan {
    /// Two links without faults.
    pub fn perfect(seed: u64, latency: Duration) -> FaultPlan {
        let links = [LinkPlan::perfect(latency), LinkPlan::perfect(latency)];
        FaultPlan { seed, links, jumps: Vec::new(), batch: Duration::ZERO }
    }

    /// The plan of a seed: from no fault at all to nearly useless.
    pub fn random(seed: u64) -> FaultPlan {
        let mut random = Rng::with_seed(seed ^ 0x706c_616e);
        let mut links = [LinkPlan::random(&mut random), LinkPlan::random(&mut random)];
        if random.bool() {
            // Most paths are about as long in both directions.
            links[1].latency = links[0].latency;
        }
        let mut jumps: Vec<Jump> = (0..[0, 0, 0, 0, 1, 2][random.usize(0..6)])
            .map(|_| Jump {
                at: Duration::from_millis(random.u64(0..4_000)),
                end: random.usize(0..2),
                by: Duration::from_millis([1, 300, 5_000, 100_000][random.usize(0..4)]),
            })
            .collect();
        jumps.sort_by_key(|jump| jump.at);
        let batch = Duration::from_micros([0, 0, 20, 1_000][random.usize(0..4)]);
        FaultPlan { seed, links, jumps, batch }
    }

    /// Whether a connection has to live through it: no loss that is likely to hit one segment often enough to
    /// give up, no long silence, and no clock that leaps over a timeout.
    pub fn is_survivable(&self) -> bool {
        let links = self.links.iter().all(|link| {
            let silence = link.outages.iter().map(|outage| outage.end - outage.start).max().unwrap_or_default();
            let useless = link.loss + link.corruption > 600 || (link.rate > 0 && link.queue < 16_000);
            !useless && silence <= Duration::from_secs(4) && (link.complains || link.mtu.is_empty())
        });
        links && self.jumps.iter().all(|jump| jump.by <= Duration::from_millis(300))
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "  to the server: {}", self.links[0])?;
        writeln!(f, "  to the client: {}", self.links[1])?;
        for jump in &self.jumps {
            let end = ["client", "server"][jump.end];
            writeln!(f, "  the {end}'s clock leaps by {:?} after {:?}", jump.by, jump.at)?;
        }
        write!(f, "  packets within {:?} are processed together", self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_many_plans_are_survivable() {
        let mut survivable = 0;
        for seed in 0..1000 {
            let plan = FaultPlan::random(seed);
            assert_eq!(plan, FaultPlan::random(seed));
            assert!(plan.to_string().contains(&format!("seed {seed}")));
            survivable += usize::from(plan.is_survivable());
        }
        assert!((200..800).contains(&survivable), "{survivable} of 1000");
    }
}
