//! What came of the cases.

use std::collections::{BTreeMap, HashMap};

use crate::case::{Case, Kind};
use crate::judge::Failure;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// It did not come to its point.
    Unprepared(String),
    /// It says nothing, because another case did not pass.
    Moot(String),
}

/// The outcome of each case, by its id.
pub(crate) struct Report<'a> {
    outcomes: BTreeMap<&'a str, (Kind, Outcome)>,
}

impl<'a> Report<'a> {
    pub(crate) fn of(cases: &'a [Case], results: &[Result<(), Failure>]) -> Report<'a> {
        let alone: HashMap<_, _> =
            cases.iter().zip(results).map(|(case, result)| (case.id.as_str(), (case, result))).collect();
        let outcome = |case: &'a Case| (case.id.as_str(), (case.kind, outcome(&alone, &case.id)));
        Report { outcomes: cases.iter().map(outcome).collect() }
    }

    pub(crate) fn count(&self, kind: Kind, passed: bool) -> usize {
        let matches = |(other, outcome): &&(Kind, Outcome)| *other == kind && (*outcome == Outcome::Passed) == passed;
        self.outcomes.values().filter(matches).count()
    }

    /// The required and optimal cases that did not pass, and why.
    pub(crate) fn failures(&self) -> BTreeMap<&'a str, &Outcome> {
        let counts = |kind| kind == Kind::Required || kind == Kind::Optimal;
        let failed = self.outcomes.iter().filter(|(_, (kind, outcome))| counts(*kind) && *outcome != Outcome::Passed);
        failed.map(|(id, (_, outcome))| (*id, outcome)).collect()
    }

    /// All cases, one a line.
    pub(crate) fn print(&self) {
        for (id, (kind, outcome)) in &self.outcomes {
            println!("{kind:?} {id}: {outcome:?}");
        }
        for kind in [Kind::Required, Kind::Optimal, Kind::Check] {
            let (passed, failed) = (self.count(kind, true), self.count(kind, false));
            println!("{kind:?}: {passed} of {} passed", passed + failed);
        }
    }
}

fn outcome(alone: &HashMap<&str, (&Case, &Result<(), Failure>)>, id: &str) -> Outcome {
    let (case, result) = alone[id];
    if let Some(needed) = case.needs.iter().find(|needed| outcome(alone, needed) != Outcome::Passed) {
        return Outcome::Moot(needed.clone());
    }
    match result {
        Ok(()) => Outcome::Passed,
        Err(Failure { is_in_preparation: false, reason }) => Outcome::Failed(reason.clone()),
        Err(Failure { is_in_preparation: true, reason }) => Outcome::Unprepared(reason.clone()),
    }
}
