//! What happened between two samples.

use std::collections::{BTreeMap, HashMap};

use super::sample::{Backend, Class, Engine, Sample};

/// Outcomes of the cache for which nobody had to be asked.
const FROM_MEMORY: [&str; 4] = ["hit", "revalidated", "collapsed", "stale"];

/// Two samples, and the time between them.
#[derive(Debug, Clone, Copy)]
pub struct Rates<'a> {
    before: &'a Sample,
    after: &'a Sample,
    seconds: f64,
}

impl<'a> Rates<'a> {
    /// From `before` to `after`, which was taken `seconds` later.
    pub fn between(before: &'a Sample, after: &'a Sample, seconds: f64) -> Rates<'a> {
        Rates { before, after, seconds }
    }

    /// What counted from `was` to `is`, for each second. A counter that went back counts nothing.
    pub(super) fn rate(&self, was: u64, is: u64) -> f64 {
        if self.seconds > 0.0 { is.saturating_sub(was) as f64 / self.seconds } else { 0.0 }
    }

    /// A counter of engines, all together.
    pub(super) fn of_engines(&self, field: fn(&Engine) -> u64) -> f64 {
        self.rate(sum(self.before, field), sum(self.after, field))
    }

    /// Requests and queries, which are what latencies are counted of.
    pub(super) fn requests(&self) -> f64 {
        let total = |sample| latency(sample).values().fold(0u64, |sum, count| sum.saturating_add(*count));
        self.rate(total(self.before), total(self.after))
    }

    /// Answers for which nobody had to be asked, of those in which the cache had a part; none without any.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        let count = |is_meant: fn(&str) -> bool| {
            let of = |sample: &Sample| {
                let outcomes = sample.engines.iter().flat_map(|engine| &engine.cache);
                outcomes.filter(|o| is_meant(&o.outcome)).fold(0u64, |sum, o| sum.saturating_add(o.count))
            };
            of(self.after).saturating_sub(of(self.before))
        };
        let (hits, all) = (count(|outcome| FROM_MEMORY.contains(&outcome)), count(|outcome| outcome != "none"));
        (all > 0).then(|| hits as f64 / all as f64)
    }

    /// The smallest bucket, in nanoseconds, below which this share of the requests lies; none without any.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let before = latency(self.before);
        let mut buckets = latency(self.after);
        for (largest, count) in &mut buckets {
            *count = count.saturating_sub(before.get(largest).copied().unwrap_or(0));
        }
        let total = buckets.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        let mut left = total as f64 * share;
        buckets.into_iter().filter(|(_, count)| *count > 0).find_map(|(largest, count)| {
            left -= count as f64;
            (left <= 0.0).then_some(largest)
        })
    }

    /// The backend of these names as it was before; one that is new began at 0.
    pub(super) fn backend_before(&self, pool: &str, name: &str) -> Backend {
        let pool = self.before.pools.iter().find(|known| known.name == pool);
        let backend = pool.and_then(|pool| pool.backends.iter().find(|backend| backend.name == name));
        backend.cloned().unwrap_or_default()
    }

    /// The class of this name as it was before; one that is new began at 0.
    pub(super) fn class_before(&self, name: &str) -> Class {
        self.before.classes.iter().find(|class| class.name == name).cloned().unwrap_or_default()
    }

    /// How often the key was asked for, for each second. A key that was not among the most wanted before has an
    /// unknown rate.
    pub(super) fn of_key(&self, key: &str, is: u64) -> Option<f64> {
        let before = self.before.top_keys.iter().find(|known| known.key == key)?;
        Some(self.rate(before.requests, is))
    }

    /// Rows of the control tables that were taken, the most frequent first: module, state, outcome, rate.
    pub(super) fn transitions(&self) -> Vec<(&'a str, &'a str, &'a str, f64)> {
        let before = counts(self.before);
        let rows = counts(self.after).into_iter().map(|(row, count)| {
            let (module, state, outcome) = row;
            (module, state, outcome, self.rate(before.get(&row).copied().unwrap_or(0), count))
        });
        let mut rows: Vec<_> = rows.filter(|(.., rate)| *rate > 0.0).collect();
        rows.sort_by(|one, other| other.3.total_cmp(&one.3).then_with(|| (one.1, one.2).cmp(&(other.1, other.2))));
        rows
    }
}

/// A number of engines, all together.
pub(super) fn sum(sample: &Sample, field: fn(&Engine) -> u64) -> u64 {
    sample.engines.iter().map(field).fold(0, u64::saturating_add)
}

/// By the largest value of each bucket, how many requests and queries.
fn latency(sample: &Sample) -> BTreeMap<u64, u64> {
    let of_http = sample.engines.iter().map(|engine| &engine.latency);
    let of_dns = sample.engines.iter().filter_map(|engine| engine.dns.as_ref()).map(|dns| &dns.latency);
    let mut buckets = BTreeMap::<u64, u64>::new();
    for (largest, count) in of_http.chain(of_dns).flat_map(|latency| &latency.buckets) {
        let bucket = buckets.entry(*largest).or_default();
        *bucket = bucket.saturating_add(*count);
    }
    buckets
}

type Row<'a> = (&'a str, &'a str, &'a str);

fn counts(sample: &Sample) -> HashMap<Row<'_>, u64> {
    let mut counts = HashMap::<Row<'_>, u64>::new();
    for row in sample.engines.iter().flat_map(|engine| &engine.transitions) {
        let count = counts.entry((&row.module, &row.state, &row.outcome)).or_default();
        *count = count.saturating_add(row.count);
    }
    counts
}
