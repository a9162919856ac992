//! How much more than what clients ask for is sent to backends.

/// Repetitions as a part of requests: a pool that is down is not sent several times what it could not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetConfig {
    /// So many for each hundred requests: 0 to 1,000; 20 by default.
    pub percent: u32,
    /// And so many each second, so that a pool with few requests has some; 10 by default.
    pub per_second: u32,
    /// The most that are saved up; 100 by default.
    pub burst: u32,
}

/// What is left of a budget, on one engine (a token bucket). In the beginning it is what a second brings.
#[derive(Clone, Debug)]
pub struct Budget {
    config: BudgetConfig,
    /// In billionths.
    tokens: u64,
    /// Until when time was turned into tokens.
    filled: u64,
}

const TOKEN: u64 = 1_000_000_000;

impl Default for BudgetConfig {
    fn default() -> BudgetConfig {
        BudgetConfig { percent: 20, per_second: 10, burst: 100 }
    }
}

impl Budget {
    /// A budget that begins at `now`.
    pub fn new(config: BudgetConfig, now: u64) -> Budget {
        let tokens = u64::from(config.per_second.min(config.burst)) * TOKEN;
        Budget { config, tokens, filled: now }
    }

    /// A client's request: it brings its part.
    pub fn request(&mut self, now: u64) {
        self.fill(now);
        self.add(u64::from(self.config.percent.min(1000)) * (TOKEN / 100));
    }

    /// Takes out one, if there is one.
    pub fn spend(&mut self, now: u64) -> bool {
        self.fill(now);
        match self.tokens.checked_sub(TOKEN) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    fn fill(&mut self, now: u64) {
        // Nanoseconds times tokens each second are billionths of a token.
        let elapsed = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        self.add(elapsed.saturating_mul(u64::from(self.config.per_second)));
    }

    fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens).min(u64::from(self.config.burst) * TOKEN);
    }
}
