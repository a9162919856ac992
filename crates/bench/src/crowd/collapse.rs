//! `afpa-bench collapse`: many clients ask for one document that is not in the cache, at once.

use super::{Crowd, Heard, all_or, print};
use crate::load::{Latency, ResponseReader, Url};
use crate::origin::Counts;
use crate::units;
use afpa_platform::clock;
use anyhow::{Context, Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the answers may take, besides what they are told to.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time that is told apart, in nanoseconds.
const LONGEST: u64 = 100_000_000_000;

/// Asks a proxy, as many clients at once, for one slow document of an `afpa-bench origin`: how many requests the
/// origin saw, and how long after its first body octet each client got its own.
#[derive(Args, Clone, Debug)]
pub(crate) struct CollapseArgs {
    /// The proxy: `http://HOST[:PORT]`
    #[arg(long, value_name = "URL")]
    proxy: String,
    /// The origin behind it, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    origin: SocketAddr,
    /// How many clients ask
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: u32,
    /// How long the origin takes before it answers
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::span)]
    delay: Duration,
    /// The document's size
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::size)]
    size: u64,
    /// Over which time the origin sends the document: long, and what is counted is whether clients wait for its end
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::span)]
    spread: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it. As JSON, the fields have these names.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Report {
    clients: u32,
    /// Clients that got the whole document.
    answered: usize,
    /// Requests for it that the origin saw.
    origin_requests: u64,
    /// From the origin's first octet of a body to each client's first, in microseconds.
    first_octet_us: Latency,
    /// From there to each client's last octet, in microseconds.
    last_octet_us: Latency,
}

/// A client's view of its answer.
#[derive(Default)]
struct Answer {
    reader: ResponseReader,
    /// A head that is not complete.
    input: Vec<u8>,
    first: Option<u64>,
    last: Option<u64>,
}

impl CollapseArgs {
    /// Runs it.
    ///
    /// # Errors
    /// The proxy or the origin cannot be reached, a client was not answered as it should be, or the clients did not ask
    /// in time.
    pub(crate) fn run(&self) -> Result<()> {
        let report = self.measure()?;
        print(&report, self.json)?;
        all_or("clients got the document", report.answered, self.clients as usize)
    }

    fn measure(&self) -> Result<Report> {
        let url = Url::parse(&self.proxy)?;
        // Nobody has asked for it before.
        let name = format!("run={}-{}", std::process::id(), clock::now());
        let (delay, spread) = (self.delay.as_millis(), self.spread.as_millis());
        let target = format!("/slow/{delay}/{}?spread={spread}&{name}", self.size);
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: afpa-bench\r\n\r\n", url.host);
        let mut crowd = Crowd::gather(url.address, self.clients as usize)?;
        crowd.say(request.as_bytes())?;
        let asked = clock::now();
        let mut answers: Vec<_> = crowd.members.iter().map(|_| Answer::default()).collect();
        let answered = crowd.hear(self.delay + self.spread + PATIENCE, |client, now, octets| {
            answers[client].hear(now, octets, self.size).with_context(|| format!("client {client}"))
        })?;
        let counted = Counts::ask(self.origin)?.targets.get(&target).copied();
        let counted = counted.context("the origin was never asked: is it the one behind the proxy?")?;
        let begun = counted.first_octet.context("the origin has sent nothing of the document")?;
        if begun < asked {
            bail!("the origin answered before all clients had asked: give it a longer --delay");
        }
        Ok(Report {
            clients: self.clients,
            answered,
            origin_requests: counted.requests,
            first_octet_us: since(begun, answers.iter().filter_map(|answer| answer.first))?,
            last_octet_us: since(begun, answers.iter().filter_map(|answer| answer.last))?,
        })
    }
}

impl Answer {
    fn hear(&mut self, now: u64, octets: &[u8], size: u64) -> Result<Heard> {
        self.input.extend_from_slice(octets);
        let progress = self.reader.read(&self.input).map_err(|malformed| anyhow::anyhow!("{malformed}"))?;
        self.input.drain(..progress.consumed);
        if self.reader.is_within_body() || progress.response.is_some() {
            self.first.get_or_insert(now);
        }
        match progress.response {
            None => Ok(Heard::Part),
            Some(response) if response.status == 200 && response.length == size => {
                self.last = Some(now);
                Ok(Heard::All)
            }
            Some(response) => bail!("was answered with status {} and {} octets", response.status, response.length),
        }
    }
}

fn since(begun: u64, moments: impl Iterator<Item = u64>) -> Result<Latency> {
    let mut times = Histogram::<u64>::new_with_bounds(1_000, LONGEST, 3).context("a histogram")?;
    moments.for_each(|moment| times.saturating_record(moment.saturating_sub(begun)));
    Ok(Latency::of(&times))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "clients      {}, of which {} got the document", self.clients, self.answered)?;
        writeln!(f, "origin       {} requests", self.origin_requests)?;
        for (name, latency) in [("first octet ", self.first_octet_us), ("last octet  ", self.last_octet_us)] {
            let Latency { min, p50, p90, p99, max, .. } = latency;
            writeln!(f, "{name} us: min {min:.0}, 50% {p50:.0}, 90% {p90:.0}, 99% {p99:.0}, max {max:.0}")?;
        }
        write!(f, "             after the first octet of the body that the origin sent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Server;
    use std::thread;

    #[test]
    fn without_a_proxy_the_origin_sees_every_request() {
        let server = Server::listen("127.0.0.1:0".parse().unwrap(), None, Duration::ZERO).unwrap();
        let origin = server.address().unwrap();
        // It ends with the tests.
        thread::spawn(move || server.run());
        let arguments = CollapseArgs {
            proxy: format!("http://{origin}"),
            origin,
            clients: 20,
            delay: Duration::from_secs(1),
            size: 1000,
            spread: Duration::from_millis(16),
            json: false,
        };
        let report = arguments.measure().unwrap();
        assert_eq!((report.answered, report.origin_requests), (20, 20));
        assert!(report.first_octet_us.max <= report.last_octet_us.max);
        let text = report.to_string();
        assert!(text.contains("20 requests") && text.contains("first octet  us: min"), "{text}");
    }

    #[test]
    fn an_answer_begins_with_its_body_and_must_be_the_document() {
        let mut answer = Answer::default();
        for (now, octets, first) in
            [(1, "HTTP/1.1 200 OK\r\nContent-Le", None), (2, "ngth: 2\r\n\r\n", None), (3, "a", Some(3))]
        {
            assert_eq!(answer.hear(now, octets.as_bytes(), 2).unwrap(), Heard::Part);
            assert_eq!(answer.first, first);
        }
        assert_eq!(answer.hear(4, b"b", 2).unwrap(), Heard::All);
        assert_eq!((answer.first, answer.last), (Some(3), Some(4)));
        let error = Answer::default().hear(1, b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", 2).unwrap_err();
        assert!(error.to_string().contains("503"));
    }
}
