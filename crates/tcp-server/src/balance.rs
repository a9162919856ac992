//! How many engines are active, and which connections move between them: the load balance that TCP Servers (§5.2, §7)
//! leaves for later. It decides, and does nothing else: what engines have done comes in, and actions go out.
//!
//! Hysteresis keeps it quiet: an engine is added when those that there are have too much to do, and taken away when fewer
//! would have well below that; connections move when two engines differ by much, and only half of the difference does.
//! All of that has to hold for a while.

use std::time::Duration;

/// How often it is decided.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// What an operator decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The fewest engines that are active; at least one is.
    pub min: usize,
    /// The most engines that are active.
    pub max: usize,
    /// Whether connections can move. Where each engine has frames of its own, they stay where their frames arrive.
    pub moves: bool,
}

impl Default for Settings {
    /// All engines are active.
    fn default() -> Settings {
        Settings { min: usize::MAX, max: usize::MAX, moves: true }
    }
}

/// What one engine has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observation {
    /// Nanoseconds in which it had something to do.
    pub busy: u64,
    /// Connections that it has.
    pub connections: u64,
}

/// What is to be done. Engines are numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The engine accepts connections.
    Activate(usize),
    /// It accepts none any more.
    Retire(usize),
    /// All connections that can go leave an engine that is not active, for these.
    Evacuate {
        /// The engine.
        from: usize,
        /// Those that are active.
        to: Vec<usize>,
    },
    /// Some connections go from one engine to another.
    Move {
        /// The busier one.
        from: usize,
        /// The other.
        to: usize,
        /// How many thousandths of the work of `from` they shall be, at most.
        permille: u32,
    },
}

/// Mean load of the active engines above which one more is activated.
const HIGH: f64 = 0.75;
/// Mean load that fewer engines would have, below which one is retired.
const LOW: f64 = 0.4;
/// By how much two engines differ before connections move.
const SKEW: f64 = 0.25;
/// How long an engine is too busy before others help it.
const HASTE: Duration = Duration::from_millis(300);
/// How long engines have too little to do before one is retired.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often connections that could not leave a retired engine are asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a move is given to show in the loads.
const SETTLE: Duration = Duration::from_millis(500);

/// Decides.
#[derive(Debug)]
pub struct Balance {
    settings: Settings,
    active: Vec<bool>,
    /// By engine, from 0 to 1, of the last interval.
    loads: Vec<f64>,
    before: Vec<Observation>,
    /// When it was decided last.
    decided: Option<Duration>,
    /// Since when there has been too much to do, too little, and a skew between two.
    high_since: Option<Duration>,
    low_since: Option<Duration>,
    skew_since: Option<Duration>,
    /// When retired engines were last asked for what is left on them.
    evacuated: Duration,
}

impl Balance {
    /// At the beginning of so many engines, of which the first `min` are active.
    pub fn new(engines: usize, settings: Settings) -> Balance {
        let max = settings.max.clamp(1, engines.max(1));
        let settings = Settings { min: settings.min.clamp(1, max), max, ..settings };
        Balance {
            settings,
            active: (0..engines).map(|engine| engine < settings.min).collect(),
            loads: vec![0.0; engines],
            before: vec![Observation::default(); engines],
            decided: None,
            high_since: None,
            low_since: None,
            skew_since: None,
            evacuated: Duration::ZERO,
        }
    }

    /// Whether there is anything to decide.
    pub fn is_needed(&self) -> bool {
        let Settings { min, max, moves } = self.settings;
        self.active.len() > 1 && (moves || min < max)
    }

    /// Which engines are active.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    /// How busy engines were in the last interval, from 0 to 1.
    pub fn loads(&self) -> &[f64] {
        &self.loads
    }

    /// Whether nothing happens and nothing is on its way to be decided.
    pub fn is_settled(&self) -> bool {
        self.loads.iter().all(|load| *load < 0.01)
            && (self.count() == self.settings.min || self.low_since.is_none())
            && !self.has_left_behind()
    }

    /// Decides at `now`, a monotonic time, by what engines have done so far.
    pub fn decide(&mut self, observations: &[Observation], now: Duration) -> Vec<Action> {
        debug_assert_eq!(observations.len(), self.active.len());
        let is_first = self.look(observations, now);
        if is_first {
            return Vec::new();
        }
        let mut actions = Vec::new();
        let mean = self.total() / self.count() as f64;
        let low = self.count() > 1 && self.total() / (self.count() - 1) as f64 <= LOW;
        let is_high = lasts(&mut self.high_since, mean >= HIGH, HASTE, now);
        let is_low = lasts(&mut self.low_since, low, PATIENCE, now);
        if is_high && self.count() < self.settings.max {
            actions.extend(self.activate());
        } else if is_low && self.count() > self.settings.min {
            actions.extend(self.retire(now));
        } else if self.settings.moves {
            actions.extend(self.even_out(now));
        }
        if self.settings.moves && now.saturating_sub(self.evacuated) >= AGAIN && self.has_left_behind() {
            self.evacuated = now;
            let idle: Vec<usize> = self.engines(false).filter(|from| self.before[*from].connections > 0).collect();
            actions.extend(idle.into_iter().map(|from| Action::Evacuate { from, to: self.engines(true).collect() }));
        }
        actions
    }

    /// Computes the loads of the last interval. Returns whether it is the first, of which nothing is known.
    fn look(&mut self, observations: &[Observation], now: Duration) -> bool {
        let elapsed = self.decided.map(|decided| now.saturating_sub(decided));
        for (engine, observation) in observations.iter().enumerate() {
            let busy = observation.busy.saturating_sub(self.before[engine].busy) as f64;
            let share = elapsed.map_or(0.0, |elapsed| busy / (elapsed.as_nanos() as f64).max(1.0));
            self.loads[engine] = share.min(1.0);
        }
        self.before.copy_from_slice(observations);
        self.decided = Some(now);
        elapsed.is_none()
    }

    fn activate(&mut self) -> Option<Action> {
        let engine = self.engines(false).next()?;
        self.active[engine] = true;
        // Connections follow by the skew that there is now.
        (self.high_since, self.low_since, self.skew_since) = (None, None, None);
        Some(Action::Activate(engine))
    }

    /// Retires the engine that has the least to do.
    fn retire(&mut self, now: Duration) -> Vec<Action> {
        let mut engines: Vec<usize> = self.engines(true).collect();
        // Of two alike, the one with the higher number.
        engines.sort_by(|a, b| self.loads[*a].total_cmp(&self.loads[*b]).then(b.cmp(a)));
        let Some(&engine) = engines.first() else { return Vec::new() };
        self.active[engine] = false;
        (self.high_since, self.low_since, self.skew_since) = (None, None, None);
        let mut actions = vec![Action::Retire(engine)];
        if self.settings.moves {
            self.evacuated = now;
            actions.push(Action::Evacuate { from: engine, to: self.engines(true).collect() });
        }
        actions
    }

    /// Moves connections from the busiest engine to the one with the least to do, if they differ by much.
    fn even_out(&mut self, now: Duration) -> Option<Action> {
        let by_load = |a: &usize, b: &usize| self.loads[*a].total_cmp(&self.loads[*b]);
        let (from, to) = (self.engines(true).max_by(by_load)?, self.engines(true).min_by(by_load)?);
        let skew = self.loads[from] - self.loads[to];
        // One connection alone has nobody to leave it to.
        let is_skewed = skew > SKEW && self.before[from].connections > 1;
        if !lasts(&mut self.skew_since, is_skewed, HASTE, now) {
            return None;
        }
        self.skew_since = Some(now + SETTLE);
        let permille = (skew / 2.0 / self.loads[from] * 1000.0) as u32;
        Some(Action::Move { from, to, permille: permille.min(1000) })
    }

    fn engines(&self, active: bool) -> impl Iterator<Item = usize> {
        let engines = self.active.iter().enumerate().filter(move |(_, is)| **is == active);
        engines.map(|(engine, _)| engine)
    }

    fn count(&self) -> usize {
        self.engines(true).count()
    }

    /// What all engines together have to do, those included that are on their way out.
    fn total(&self) -> f64 {
        self.loads.iter().sum()
    }

    fn has_left_behind(&self) -> bool {
        self.engines(false).any(|engine| self.before[engine].connections > 0)
    }
}

/// Whether something has been so for long enough. `since` may lie ahead: then it does not count yet.
fn lasts(since: &mut Option<Duration>, is_so: bool, long: Duration, now: Duration) -> bool {
    if !is_so {
        *since = None;
        return false;
    }
    let began = *since.get_or_insert(now);
    now >= began && now - began >= long
}

#[cfg(test)]
mod tests;
