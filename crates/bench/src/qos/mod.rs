//! `afpa-bench qos`: what becomes of three classes of requests when they ask for more than the origin can do.

mod report;

use crate::load::{Process, Url, positive};
use crate::origin::Counts;
use crate::units;
use anyhow::{Context, Result, bail};
use clap::Args;
use report::{Class, Report};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The classes, the best first; the headers of a request and its path say which.
const CLASSES: [&str; 3] = ["gold", "silver", "bronze"];
/// What a load may take longer than it was told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks a proxy for documents in three classes (gold, silver, bronze), on a fixed schedule, whatever comes back: first
/// gold alone, then all, in sum more than the origin's capacity.
///
/// Requests are for /class/NAME/fixed/SIZE?cc=no-store with the header `X-Class: NAME`. The origin is one with a
/// capacity: `afpa-bench origin --concurrency 16 --delay 10ms` serves 1,600 requests a second.
#[derive(Args, Clone, Debug)]
pub(crate) struct QosArgs {
    /// The proxy: `http://HOST[:PORT]`
    #[arg(long, value_name = "URL")]
    proxy: String,
    /// The origin behind it, asked for what it has counted
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    origin: SocketAddr,
    /// The origin's capacity: requests per second
    #[arg(long, value_name = "R", default_value = "1600", value_parser = positive)]
    capacity: f64,
    /// What gold, silver and bronze ask for, as multiples of the capacity
    #[arg(long, value_name = "G,S,B", value_delimiter = ',', default_values_t = [0.4, 0.8, 0.8], value_parser = positive)]
    offered: Vec<f64>,
    /// Connections of each class
    #[arg(long, short, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: u32,
    /// The documents' size
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = units::size)]
    size: u64,
    /// Measure for this long, each time
    #[arg(long, short, value_name = "DURATION", default_value = "10s", value_parser = units::positive_span)]
    duration: Duration,
    /// Run this long before measuring
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = units::span)]
    warmup: Duration,
    /// Run the load generators on this CPU
    #[arg(long, value_name = "CPU")]
    core: Option<usize>,
    /// Write the result as JSON to FILE (- for standard output, and nothing else)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw bar charts to FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl QosArgs {
    /// Runs it.
    ///
    /// # Errors
    /// A load failed, the origin cannot be asked, or an output not be written.
    pub(crate) fn run(&self) -> Result<()> {
        let url = Url::parse(&self.proxy)?;
        let offered: Vec<_> = self.offered.iter().map(|multiple| multiple * self.capacity).collect();
        let [gold, _, _] = offered[..] else { bail!("--offered wants three numbers") };
        let before = Counts::ask(self.origin)?;
        eprintln!("{} alone", CLASSES[0]);
        let alone = self.load(&url, &[(CLASSES[0], gold)])?;
        eprintln!("{} at once", CLASSES.join(", "));
        let offers: Vec<_> = CLASSES.into_iter().zip(offered).collect();
        let together = self.load(&url, &offers)?;
        let origin = Counts::ask(self.origin)?.since(&before);
        if origin.requests == 0 {
            bail!("the origin was never asked: is it the one behind the proxy?");
        }
        let report = Report { capacity: self.capacity, alone, together, origin };
        self.publish(&report)
    }

    fn publish(&self, report: &Report) -> Result<()> {
        let json = || Ok::<_, serde_json::Error>(serde_json::to_string_pretty(&report.to_json())? + "\n");
        match &self.json {
            Some(path) if path.as_os_str() == "-" => print!("{}", json()?),
            Some(path) => {
                print!("{report}");
                fs::write(path, json()?).with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => print!("{report}"),
        }
        if let Some(path) = &self.svg {
            fs::write(path, report.draw()?).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Loads in these classes at once, at these rates.
    fn load(&self, url: &Url, classes: &[(&'static str, f64)]) -> Result<Vec<Class>> {
        let started: Vec<_> =
            classes.iter().map(|(class, rate)| self.start(url, class, *rate)).collect::<Result<_>>()?;
        let finish = |(process, (name, offered)): (Process, &(&'static str, f64))| {
            let load = process.finish().with_context(|| format!("the load of {name}"))?;
            Ok(Class { name, offered: *offered, load })
        };
        started.into_iter().zip(classes).map(finish).collect()
    }

    fn start(&self, url: &Url, class: &str, rate: f64) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        let seconds = |span: Duration| span.as_secs_f64().to_string();
        command.arg("load").arg(format!("http://{}/class/{class}/fixed/{}?cc=no-store", url.host, self.size));
        command.args(["--expect", &self.size.to_string(), "--header", &format!("X-Class: {class}")]);
        // A class may be starved: that is a result.
        command.arg("--hopeless");
        command.args(["--rate", &rate.to_string(), "--connections", &self.connections.to_string()]);
        command.args(["--warmup", &seconds(self.warmup), "--duration", &seconds(self.duration), "--json", "-"]);
        if let Some(core) = self.core {
            command.args(["--core", &core.to_string()]);
        }
        Process::start(&mut command, self.warmup + self.duration + PATIENCE)
    }
}
