//! What an operator says about classes of requests.

use std::sync::Arc;

use afpa_classes::{ClassConfig, ClassError, Classes, ClientLimits, OverloadConfig};

use super::{ClassStats, ClassTotals, Rule};

/// The most important priority that an operator can give.
const HIGHEST: u8 = 7;

/// Classes, and what holds for all of them. Limits are those of one engine. Shared by the engines, and replaced as a
/// whole at a reload.
pub struct QualityPlan {
    classes: Classes,
    plans: Vec<ClassPlan>,
    /// The place of the class that requests have for which no rule holds.
    default: usize,
    /// What each client may ask for on one engine: requests.
    pub clients: ClientLimits,
    /// How many connections each client may have on one engine.
    pub connections: ClientLimits,
    /// When an engine, or what stands behind it, is overloaded; absent: never.
    pub overload: Option<OverloadConfig>,
    /// Requests that backends and workers may be at on one engine; others wait for their turn.
    pub capacity: u32,
}

/// A class, and which requests it has.
#[derive(Clone)]
pub struct ClassPlan {
    /// Of one engine. The priority is 0 for the most important.
    pub config: ClassConfig,
    /// Which requests.
    pub rule: Rule,
    /// What becomes of them, by engine.
    pub stats: Vec<Arc<ClassStats>>,
}

impl QualityPlan {
    /// The name of the class that has all requests for which no rule holds.
    pub const DEFAULT: &'static str = "default";

    /// `plans` by the numbers that routes call them by, on `engines` engines. If none of them is called
    /// [`QualityPlan::DEFAULT`], there is one more, which has no limits. Classes of the same name as in `previous` go on
    /// counting. Nothing else is limited.
    ///
    /// # Errors
    /// The first thing that is wrong with the classes.
    pub fn new(
        mut plans: Vec<ClassPlan>,
        engines: usize,
        previous: Option<&QualityPlan>,
    ) -> Result<QualityPlan, ClassError> {
        let is_default = |plan: &ClassPlan| plan.config.name == QualityPlan::DEFAULT;
        let default = plans.iter().position(is_default).unwrap_or_else(|| {
            plans.push(ClassPlan::unlimited());
            plans.len() - 1
        });
        for plan in &mut plans {
            let before =
                previous.and_then(|previous| previous.plans.iter().find(|it| it.config.name == plan.config.name));
            plan.stats = before.map(|before| before.stats.clone()).unwrap_or_default();
            plan.stats.resize_with(engines.max(plan.stats.len()), Arc::default);
        }
        let classes = Classes::new(plans.iter().map(|plan| plan.config.clone()).collect())?;
        Ok(QualityPlan {
            classes,
            plans,
            default,
            clients: ClientLimits::default(),
            connections: ClientLimits::default(),
            overload: None,
            capacity: u32::MAX,
        })
    }

    /// Without classes and limits.
    pub(crate) fn unlimited() -> QualityPlan {
        QualityPlan {
            classes: Classes::default(),
            plans: vec![ClassPlan::unlimited()],
            default: 0,
            clients: ClientLimits::default(),
            connections: ClientLimits::default(),
            overload: None,
            capacity: u32::MAX,
        }
    }

    /// What became of each class, over all engines.
    pub fn totals(&self) -> impl Iterator<Item = ClassTotals> + '_ {
        self.plans.iter().map(ClassPlan::totals)
    }

    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    pub(crate) fn plans(&self) -> &[ClassPlan] {
        &self.plans
    }

    pub(crate) fn default(&self) -> usize {
        self.default
    }
}

impl ClassPlan {
    /// The class of all requests of which nothing is said.
    fn unlimited() -> ClassPlan {
        let config = ClassConfig { priority: priority(3), ..ClassConfig::default() };
        ClassPlan { config, rule: Rule::default(), stats: Vec::new() }
    }

    fn totals(&self) -> ClassTotals {
        let sum = |count: fn(&ClassStats) -> u64| self.stats.iter().map(|stats| count(stats)).sum();
        ClassTotals {
            name: self.config.name.clone(),
            priority: priority(self.config.priority),
            weight: self.config.weight,
            requests: sum(|stats| stats.requests.get()),
            refused: sum(|stats| stats.refused.get()),
            waiting: sum(|stats| stats.waiting.get()),
            running: sum(|stats| stats.running.get()),
        }
    }
}

/// An operator's priority, of which higher ones go first, as one of which lower ones do; and back.
pub(crate) fn priority(of: u8) -> u8 {
    HIGHEST.saturating_sub(of)
}
