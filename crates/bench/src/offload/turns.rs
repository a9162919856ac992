//! The turns of configurations: roles are started, loaded, accounted for and stopped.

use super::accounts::Costs;
use super::bed::{Bed, Load, RunDirectory};
use super::configuration::{BASELINE, Configuration};
use super::program::{Program, Setting};
use super::summary::{DISTURBED, Evaluation, Pace, Sample, Settings};
use super::workload::{self, Protocol, Trace, Workload};
use super::{MOMENT, OffloadArgs};
use crate::compare::unless_interrupted;
use crate::cpu;
use crate::load::LoadReport;
use crate::topology::Topology;
use anyhow::Result;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// The share of what kernel sockets on one core can answer that is asked for to see what a request costs: low enough
/// for a TCP server that shares its core with the client.
const PACE: f64 = 0.33;

/// The rate at which costs are measured.
pub(super) type Rates = HashMap<(Program, Workload), f64>;

/// What every turn needs.
pub(super) struct Turns<'a> {
    pub(super) args: &'a OffloadArgs,
    pub(super) topology: &'a Topology,
    pub(super) documents: &'a Path,
    pub(super) afpa: &'a Path,
    /// How many CPUs the machine has, which this program, once pinned, cannot see any more.
    pub(super) cores: usize,
}

impl Turns<'_> {
    /// The rates that were asked for, or a share of what kernel sockets on one core answer.
    ///
    /// # Errors
    /// A signal came. A program that fails has no rate, and the failure is noted.
    pub(super) fn rates(&self, evaluation: &mut Evaluation) -> Result<Rates> {
        let Settings { programs, workloads, duration, .. } = evaluation.settings.clone();
        let mut rates = Rates::new();
        if let Some(rate) = self.args.rate {
            let all = programs.iter().flat_map(|program| workloads.iter().map(|workload| (*program, *workload)));
            rates.extend(all.map(|key| (key, rate)));
            return Ok(rates);
        }
        for program in programs {
            eprintln!("finding rates: {}", workload::name_of(program));
            let found = self.with_bed(BASELINE, program, |bed| {
                let mut found = Vec::new();
                for workload in &workloads {
                    let report = bed.measure(self.load(*workload, None, duration.min(MOMENT)))?.0;
                    found.push((*workload, round_down(report.requests_per_second * PACE)));
                }
                Ok(found)
            });
            match found {
                Ok(found) => rates.extend(found.into_iter().map(|(workload, rate)| ((program, workload), rate))),
                Err(error) => {
                    unless_interrupted(&error)?;
                    workloads.iter().for_each(|workload| evaluation.failed(BASELINE, program, *workload, None, &error));
                }
            }
        }
        Ok(rates)
    }

    /// Starts the roles, and loads them as fast as they can and at the fixed rate, with every workload.
    ///
    /// # Errors
    /// A signal came. What fails is noted.
    pub(super) fn take(
        &self,
        configuration: Configuration,
        program: Program,
        round: u32,
        rates: &Rates,
        evaluation: &mut Evaluation,
    ) -> Result<()> {
        let Settings { workloads, duration, .. } = evaluation.settings.clone();
        let taken = self.with_bed(configuration, program, |bed| {
            for workload in &workloads {
                let rate = rates.get(&(program, *workload)).copied();
                for (pace, rate) in [(Pace::Saturating, None), (Pace::Fixed, rate)] {
                    if pace == Pace::Fixed && rate.is_none() {
                        continue;
                    }
                    let quiet = self.wait_until_quiet(bed)?;
                    match self.measure(bed, self.load(*workload, rate, duration)) {
                        Ok((load, costs)) => {
                            evaluation.add(Sample {
                                configuration,
                                program,
                                workload: *workload,
                                pace,
                                rate,
                                round,
                                quiet,
                                load,
                                costs,
                            });
                        }
                        Err(error) => {
                            unless_interrupted(&error)?;
                            evaluation.failed(configuration, program, *workload, Some(round), &error);
                        }
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = taken {
            unless_interrupted(&error)?;
            workloads
                .iter()
                .for_each(|workload| evaluation.failed(configuration, program, *workload, Some(round), &error));
        }
        Ok(())
    }

    /// Measures until nobody disturbs, but not for ever; the least disturbed measurement counts. Disturbed ones do not
    /// only wait: what has piled up meanwhile is cheaper to do.
    fn measure(&self, bed: &mut Bed<'_>, load: Load) -> Result<(LoadReport, Costs)> {
        let mut best = bed.measure(load)?;
        for _ in 0..self.args.retries.unwrap_or(if self.args.quick { 0 } else { 2 }) {
            if best.1.others_share <= DISTURBED {
                break;
            }
            let another = bed.measure(load)?;
            if another.1.others_share < best.1.others_share {
                best = another;
            }
        }
        Ok(best)
    }

    fn with_bed<T>(
        &self,
        configuration: Configuration,
        program: Program,
        act: impl FnOnce(&mut Bed<'_>) -> Result<T>,
    ) -> Result<T> {
        let run = RunDirectory::create(self.topology.directory().join("run"))?;
        let Turns { topology, documents, afpa, .. } = *self;
        let setting = Setting { topology, configuration, documents, afpa, run: run.path() };
        let placement = configuration.place(self.cores).map_err(anyhow::Error::msg)?;
        let probe = self.load(Workload { trace: Trace::Synthetic, protocol: Protocol::Http11 }, None, MOMENT);
        let mut bed = Bed::start(setting, placement, program, probe)?;
        act(&mut bed)
    }

    /// A TCP server that polls is never quiet; what others did is seen in the sample.
    fn wait_until_quiet(&self, bed: &Bed<'_>) -> Result<bool> {
        let patience = self.args.patience;
        Ok(!patience.is_zero() && cpu::wait_until_quiet(&bed.idle_cores(), patience)?)
    }

    fn load(&self, workload: Workload, rate: Option<f64>, duration: Duration) -> Load {
        let OffloadArgs { client, connections, directories, request_size, .. } = *self.args;
        Load { workload, client, connections, directories, request_size, rate, duration }
    }
}

/// To two digits, as a rate that is fixed need not be exact but should be readable.
fn round_down(rate: f64) -> f64 {
    let unit = 10f64.powf(rate.max(10.0).log10().floor() - 1.0);
    (rate / unit).floor().max(1.0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        assert_eq!([1234.5, 99.9, 10_567.0, 3.0].map(round_down), [1200.0, 99.0, 10_000.0, 3.0]);
    }
}
