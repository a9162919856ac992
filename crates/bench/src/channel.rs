//! `afpa-bench channel`: what it costs to talk through a socket channel, with nothing behind it. Two threads stand for the
//! application and for an engine; a pair of pipes is the measure for sides that sleep.

use crate::affinity;
use crate::interrupt;
use afpa_channel::bell::Bell;
use afpa_channel::job_ring::{Job, Source};
use afpa_channel::layout::JOBS;
use afpa_channel::{Geometry, Region};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use rustix::pipe::pipe;
use serde::Serialize;
use std::hint::spin_loop;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The one slot in use.
const SLOT: u32 = 0;
/// The queue that the application waits on.
const QUEUE: u32 = 0;
/// The octets of a round trip.
const MESSAGE: usize = 64;
/// Round trips between two looks at the clock.
const BATCH: u32 = 100;

/// Measures socket channels: posting a job, and round trips of 64 octets with both sides polling and with both
/// sides sleeping, beside a pair of pipes
#[derive(Args, Clone, Debug)]
pub(crate) struct ChannelArgs {
    /// How often each is measured; medians are reported
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many operations a round has
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    operations: u32,
    /// The CPU of the application's thread
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    application_core: usize,
    /// The CPU of the engine's thread
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    engine_core: usize,
    /// Write the result as JSON to standard output
    #[arg(long)]
    json: bool,
}

/// Nanoseconds, medians.
#[derive(Serialize, Clone, Copy, Debug)]
struct Report {
    posting: f64,
    round_trip_polling: f64,
    round_trip_sleeping: f64,
    round_trip_pipes: f64,
}

/// How the two sides wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Polling,
    Sleeping,
}

impl ChannelArgs {
    /// Measures and reports.
    ///
    /// # Errors
    /// A CPU or the memory cannot be had, or a signal ended it.
    pub(crate) fn run(self) -> Result<()> {
        affinity::pin(None, self.application_core)?;
        let (mut posting, mut polling, mut sleeping, mut pipes) = (vec![], vec![], vec![], vec![]);
        for _ in 0..self.rounds {
            interrupt::check()?;
            posting.push(self.posting()?);
            polling.push(self.round_trips(Waiting::Polling)?);
            sleeping.push(self.round_trips(Waiting::Sleeping)?);
            pipes.push(self.pipes()?);
        }
        let report = Report {
            posting: median(posting),
            round_trip_polling: median(polling),
            round_trip_sleeping: median(sleeping),
            round_trip_pipes: median(pipes),
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(report);
        }
        Ok(())
    }

    /// Nanoseconds to post an asynchronous send to an engine that polls.
    fn posting(&self) -> Result<f64> {
        let engine = Engine::start(self.engine_core, Waiting::Polling)?;
        let (region, slot) = (&engine.region, engine.region.slot(SLOT));
        let job = Job { source: Source::Memory(0), offset: 0, length: 1, after: 0 };
        let (mut spent, mut posted) = (Duration::ZERO, 0u32);
        while posted < self.operations {
            let started = Instant::now();
            for _ in 0..JOBS {
                slot.post_job(job).context("a job is not done")?;
                region.attend(slot);
            }
            spent += started.elapsed();
            posted += JOBS;
            while slot.jobs_done() != posted {
                spin_loop();
            }
        }
        engine.stop()?;
        Ok(spent.as_nanos() as f64 / f64::from(posted))
    }

    /// Nanoseconds of a round trip.
    fn round_trips(&self, waiting: Waiting) -> Result<f64> {
        let engine = Engine::start(self.engine_core, waiting)?;
        let region = &engine.region;
        let slot = region.slot(SLOT);
        slot.subscribe(QUEUE, false);
        let (send, receive) = (slot.send_ring(), slot.receive_ring());
        let message = [7; MESSAGE];
        let mut answer = [0; MESSAGE];
        let mut spent = Duration::ZERO;
        let mut index = 0u32;
        for _ in 0..self.operations / BATCH {
            let started = Instant::now();
            for _ in 0..BATCH {
                send.write(index, &message);
                send.publish(index.wrapping_add(MESSAGE as u32));
                if region.attend(slot).is_some() {
                    write(&engine.bell, &1u64.to_ne_bytes())?;
                }
                while receive.readable(index)? < MESSAGE as u32 {
                    wait(waiting, region.queue_bell(QUEUE), || region.happened_bits(QUEUE).any(), &engine.doorbell)?;
                    region.happened_bits(QUEUE).take(|_| {});
                }
                receive.read(index, &mut answer);
                index = index.wrapping_add(MESSAGE as u32);
                receive.consume(index);
            }
            spent += started.elapsed();
        }
        engine.stop()?;
        Ok(spent.as_nanos() as f64 / f64::from(self.operations / BATCH * BATCH))
    }

    /// Nanoseconds of a round trip through two pipes.
    fn pipes(&self) -> Result<f64> {
        let (there, back) = (pipe()?, pipe()?);
        let core = self.engine_core;
        let echo = thread::spawn(move || -> Result<()> {
            affinity::pin(None, core)?;
            let mut octets = [0u8; MESSAGE];
            loop {
                match read(&there.0, &mut octets)? {
                    0 => return Ok(()),
                    count => write(&back.1, &octets[..count])?,
                };
            }
        });
        let mut octets = [7u8; MESSAGE];
        let started = Instant::now();
        for _ in 0..self.operations {
            write(&there.1, &octets)?;
            read(&back.0, &mut octets)?;
        }
        let spent = started.elapsed();
        drop(there.1);
        join(echo)?;
        Ok(spent.as_nanos() as f64 / f64::from(self.operations))
    }
}

/// A thread that does what an engine does with a slot, and sends back what it is sent.
struct Engine {
    region: Region,
    bell: Arc<OwnedFd>,
    doorbell: OwnedFd,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Engine {
    fn start(core: usize, waiting: Waiting) -> Result<Engine> {
        let geometry = Geometry::new(64, 1, 1, 1, 64 << 10).context("a geometry within its limits")?;
        let region = Region::create(geometry)?;
        region.slot(SLOT).server_begin(1, 0, afpa_channel::slot::state::CONNECTED);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let (doorbell, ring) = pipe()?;
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let (region, bell, stopping) = (region.clone(), bell.clone(), stopping.clone());
            thread::spawn(move || serve(&region, core, waiting, &bell, &ring, &stopping))
        };
        Ok(Engine { region, bell, doorbell, stopping, thread })
    }

    fn stop(self) -> Result<()> {
        self.stopping.store(true, Ordering::Release);
        write(&*self.bell, &1u64.to_ne_bytes())?;
        join(self.thread)
    }
}

fn serve(
    region: &Region,
    core: usize,
    waiting: Waiting,
    bell: &OwnedFd,
    ring: &OwnedFd,
    stopping: &AtomicBool,
) -> Result<()> {
    affinity::pin(None, core)?;
    let slot = region.slot(SLOT);
    let (send, receive) = (slot.send_ring(), slot.receive_ring());
    let (mut jobs, mut index) = (0u32, 0u32);
    let mut octets = [0; 4096];
    while !stopping.load(Ordering::Acquire) {
        let mut attended = false;
        region.attend_bits(0).take(|_| attended = true);
        if !attended {
            wait(waiting, region.engine_bell(0), || region.attend_bits(0).any(), bell)?;
            continue;
        }
        let posted = slot.server_jobs(jobs)?;
        if posted > 0 {
            slot.server_job(jobs)?;
            jobs = jobs.wrapping_add(posted);
            slot.server_jobs_done(jobs);
        }
        let count = send.readable(index)?.min(octets.len() as u32);
        if count > 0 {
            let octets = &mut octets[..count as usize];
            send.read(index, octets);
            receive.write(index, octets);
            index = index.wrapping_add(count);
            send.consume(index);
            receive.publish(index);
            let mut rung = Ok(0);
            region.tell(slot, |_| rung = write(ring, &[1]));
            rung?;
        }
    }
    Ok(())
}

/// Waits as the mode has it, until there may be something.
fn wait<M: afpa_channel::Memory>(
    waiting: Waiting,
    bell: Bell<'_, M>,
    any: impl Fn() -> bool,
    descriptor: &OwnedFd,
) -> Result<()> {
    match waiting {
        Waiting::Polling => spin_loop(),
        Waiting::Sleeping => {
            bell.sleep();
            if !any() {
                read(descriptor, &mut [0u8; 8])?;
            }
            bell.wake();
        }
    }
    Ok(())
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread has failed"))?
}

fn print(report: Report) {
    let Report { posting, round_trip_polling, round_trip_sleeping, round_trip_pipes } = report;
    println!("posting an asynchronous send         {posting:8.0} ns");
    println!("round trip of 64 octets, polling     {round_trip_polling:8.0} ns");
    println!("round trip of 64 octets, sleeping    {round_trip_sleeping:8.0} ns");
    println!("round trip of 64 octets, two pipes   {round_trip_pipes:8.0} ns");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_comes_to_something() {
        let args = ChannelArgs { rounds: 1, operations: 1000, application_core: 0, engine_core: 0, json: false };
        assert!(args.round_trips(Waiting::Sleeping).unwrap() > 0.0);
        assert!(args.pipes().unwrap() > 0.0);
    }
}
