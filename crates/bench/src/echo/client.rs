//! The client of an echo: keeps a number of frames under way, and counts those that come back.

use super::{BUDGET, EchoArgs, frame};
use crate::cpu::CoreTimes;
use crate::interrupt;
use crate::wire::{self, Wire};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long frames may be silent before they are lost, and others are sent.
const LOST: Duration = Duration::from_millis(20);
/// How long the echo may take to send the first frame back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The result, as JSON too.
#[derive(Serialize, Debug)]
struct Report {
    /// How long was counted.
    seconds: f64,
    /// Octets of a frame, with its headers.
    size: usize,
    /// Frames under way at once.
    window: u32,
    /// Frames that came back.
    frames: u64,
    /// Those per second.
    frames_per_second: f64,
    /// Times that nothing came back for 20 ms, the warm-up included.
    silences: u64,
    /// Frames that were lost here because this end was too slow, the warm-up included.
    lost: u64,
    /// Busy time of the watched core per frame; null if no core was watched.
    cpu_us_per_frame: Option<f64>,
    /// How much of the time the watched core was busy; null if no core was watched.
    core_busy_share: Option<f64>,
}

pub(super) fn run(args: &EchoArgs, to: IpAddr) -> Result<()> {
    let local = wire::local_address(SocketAddr::new(to, args.port))?;
    let wire = args.attach()?;
    let largest = wire.facts.mtu as usize + 14;
    if usize::from(args.size) > largest {
        bail!("--size {}: a frame of {} has at most {largest} octets", args.size, args.interface);
    }
    let link = wire.link_header(to)?;
    let frame = frame::build(link.as_bytes(), local, to, args.port, args.size.into());
    let mut client = Client { wire, frame, window: args.window, under_way: 0, back: 0, silences: 0 };
    client.wait_for_first()?;
    client.run_for(args.warmup)?;
    let watch = || args.watch_core.map(CoreTimes::read).transpose();
    let (begin, before, earlier) = (Instant::now(), watch()?, client.back);
    client.run_for(args.duration)?;
    let (seconds, after, frames) = (begin.elapsed().as_secs_f64(), watch()?, client.back - earlier);
    let busy = before.zip(after).map(|(before, after)| after.busy_since(before).as_secs_f64());
    let report = Report {
        seconds,
        size: client.frame.len(),
        window: args.window,
        frames,
        frames_per_second: frames as f64 / seconds,
        silences: client.silences,
        lost: client.wire.lost(),
        cpu_us_per_frame: busy.map(|busy| busy * 1e6 / frames.max(1) as f64),
        core_busy_share: busy.map(|busy| busy / seconds),
    };
    report.print(args.json)
}

struct Client {
    wire: Wire,
    frame: Vec<u8>,
    window: u32,
    under_way: u32,
    back: u64,
    silences: u64,
}

impl Client {
    /// Sends one frame after another until one comes back.
    fn wait_for_first(&mut self) -> Result<()> {
        let window = std::mem::replace(&mut self.window, 1);
        let first = interrupt::wait_for(PATIENCE, || {
            self.run_for(Duration::from_millis(50))?;
            Ok((self.back > 0).then_some(()))
        })?;
        (self.window, self.silences) = (window, 0);
        first.context("nobody echoes there")
    }

    fn run_for(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            interrupt::check()?;
            self.send()?;
            let (length, mut count) = (self.frame.len(), 0);
            // Errors that routers or the other kernel send (ICMP) come here, too.
            self.wire.exchange(BUDGET, |back, _| count += u32::from(frame::is_datagram(back, length)))?;
            self.under_way = self.under_way.saturating_sub(count);
            self.back += u64::from(count);
            if count > 0 {
                heard = now;
            } else if now.duration_since(heard) >= LOST {
                // Whatever was under way is lost.
                (self.under_way, heard) = (0, now);
                self.silences += 1;
            } else {
                self.wire.wait(LOST.min(end - now))?;
            }
        }
    }

    /// Sends frames up to the window, as far as there is room.
    fn send(&mut self) -> Result<()> {
        let Some(transmitter) = self.wire.transmitter() else { bail!("the interface has no queue") };
        while self.under_way < self.window && transmitter.push(&self.frame, &mut std::iter::empty()).is_ok() {
            self.under_way += 1;
        }
        transmitter.flush().context("the interface takes no frames")
    }
}

impl Report {
    fn print(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!(
            "frames      {} of {} octets in {:.2} s, {} under way",
            self.frames, self.size, self.seconds, self.window
        );
        println!("throughput  {:.0} frames/s", self.frames_per_second);
        if let (Some(cost), Some(share)) = (self.cpu_us_per_frame, self.core_busy_share) {
            println!("core        {cost:.2} us per frame, busy {:.0} %", share * 100.0);
        }
        println!("lost        {} here, {} silences", self.lost, self.silences);
        Ok(())
    }
}
