//! `afpa-bench load`: an HTTP load generator over the platform's own transport.

mod access_log;
mod arrivals;
mod client;
mod direct;
mod process;
mod report;
mod response;
mod tally;
mod targets;

pub(crate) use process::Process;
pub(crate) use report::{Latency, LoadReport};
pub(crate) use response::ResponseReader;

use crate::cpu::CoreTimes;
use crate::fileset::SpecWeb96;
use crate::interrupt;
use crate::units;
use afpa_engine::seam::{Address, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::{Interface, Respond, Sockets, SocketsConfig};
use anyhow::{Context, Result, bail};
use arrivals::Arrivals;
use clap::{Args, ValueEnum};
use client::{Client, Plan, Reuse};
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use targets::{Style, Targets};

/// Asks a server for documents and reports how it answered.
///
/// Without --rate the loop is closed: each connection sends the next request when it has the answer
/// to the one before. With --rate it is open: requests are due on a fixed schedule, and latency
/// counts from when a request was due, whether or not a connection was free to carry it.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// The server: `http://HOST[:PORT][/PATH]`
    pub(crate) url: String,
    /// Use N connections at once
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Requests per second of an open loop
    #[arg(long, value_name = "R", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Open a connection for each request
    #[arg(long, conflicts_with_all = ["pipeline", "idle"])]
    pub(crate) per_request: bool,
    /// Send one request on each connection, then only hold it open
    #[arg(long, conflicts_with_all = ["pipeline", "rate"])]
    pub(crate) idle: bool,
    /// Send N requests on each connection, then close it
    #[arg(long, value_name = "N", conflicts_with_all = ["per_request", "idle", "pipeline"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) per_connection: Option<u32>,
    /// Send those N at a time, the next ones when all of them are answered. An open loop then has its connections, not
    /// each request, on schedule
    #[arg(long, value_name = "N", requires = "per_connection", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) burst: u32,
    /// Ask in HTTP/1.0, which has a connection for each request
    #[arg(long, requires = "per_request")]
    pub(crate) http10: bool,
    /// Keep up to N requests outstanding on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline: u32,
    /// Ask for WebStone's file of this size (64B to 1MiB)
    #[arg(long, value_name = "SIZE", group = "what", value_parser = units::size)]
    pub(crate) size: Option<u64>,
    /// Ask for the SPECweb96 file set in its proportions
    #[arg(long, group = "what")]
    pub(crate) specweb96: bool,
    /// Ask for the TCP Servers paper's 128 files of 16 KiB, one after another
    #[arg(long, group = "what")]
    pub(crate) synthetic: bool,
    /// How many directories the file set has [default: 10 x sqrt(rate / 5), or 20 without --rate]
    #[arg(long, value_name = "N", requires = "specweb96", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) directories: Option<u32>,
    /// Ask for what this access log (Common or Combined) says was asked for
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) replay: Option<PathBuf>,
    /// Count an answer as wrong unless its body has this length
    #[arg(long, value_name = "SIZE", conflicts_with = "what", value_parser = units::size)]
    pub(crate) expect: Option<u64>,
    /// Let it be no failure if not a single request is answered
    #[arg(long)]
    pub(crate) hopeless: bool,
    /// Send this header line with each request; can be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header_line)]
    pub(crate) header: Vec<String>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Measure for this long
    #[arg(long, short, value_name = "DURATION", default_value = "10s", value_parser = units::positive_span)]
    pub(crate) duration: Duration,
    /// Run this long before measuring
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::span)]
    pub(crate) warmup: Duration,
    /// Give up on a connection that is silent this long while an answer is due
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::positive_span)]
    pub(crate) timeout: Duration,
    /// Whose TCP the client uses
    #[arg(long, value_enum, default_value_t = Stack::Sockets)]
    pub(crate) transport: Stack,
    /// The kernel's interface, with sockets
    #[arg(long, value_enum, default_value_t = Io::Auto)]
    pub(crate) io: Io,
    /// The network interface that leads to the server, with direct
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,
    /// The local ports that direct takes away from the kernel. While it runs, the kernel can use none of them:
    /// run it in a network namespace of its own, or name ports outside of net.ipv4.ip_local_port_range
    #[arg(long, value_name = "A-B", default_value = "1024-65535", value_parser = ports)]
    pub(crate) local_ports: RangeInclusive<u16>,
    /// The largest packet of direct, in octets [default: the interface's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1280..))]
    pub(crate) mtu: Option<u16>,
    /// Run on this CPU
    #[arg(long, value_name = "CPU")]
    pub(crate) core: Option<usize>,
    /// Report the busy time of this CPU of the same machine, per request
    #[arg(long, value_name = "CPU")]
    pub(crate) watch_core: Option<usize>,
    /// Write the result as JSON to FILE (- for standard output)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Whose TCP a load uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Stack {
    /// The kernel's
    Sockets,
    /// Our own, on the frames of --interface (AF_XDP): needs root
    Direct,
}

impl Stack {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stack::Sockets => "sockets",
            Stack::Direct => "direct",
        }
    }
}

/// The kernel's interface that a load uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Io {
    /// io_uring where the kernel allows it, else epoll
    Auto,
    /// io_uring
    Uring,
    /// epoll
    Epoll,
}

impl Io {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Io::Auto => "auto",
            Io::Uring => "uring",
            Io::Epoll => "epoll",
        }
    }
}

impl From<Io> for Interface {
    fn from(io: Io) -> Interface {
        match io {
            Io::Auto => Interface::Auto,
            Io::Uring => Interface::Uring,
            Io::Epoll => Interface::Epoll,
        }
    }
}

/// Connections that are aborted at once, and how long their resets may take: a virtual cable's ring has 256 places.
const LEAVING: usize = 128;
const LEAVING_TIME: Duration = Duration::from_millis(1);

/// How many directories the SPECweb96 file set has when no rate says so: about 100 MB.
pub(crate) const DEFAULT_DIRECTORIES: u32 = 20;

impl LoadArgs {
    /// Runs the load and prints what came of it.
    ///
    /// # Errors
    /// The arguments make no sense, the system refuses, or not a single request was answered.
    pub(crate) fn run(&self) -> Result<()> {
        let (report, distribution) = self.measure()?;
        match &self.json {
            Some(path) if path.as_os_str() == "-" => println!("{}", serde_json::to_string(&report)?),
            json => {
                println!("{report}\n{}", distribution.trim_end());
                if let Some(path) = json {
                    let text = serde_json::to_string_pretty(&report)?;
                    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
                }
            }
        }
        if report.requests == 0 && !self.idle && !self.hopeless {
            bail!("{} answered no request as it should", self.url);
        }
        Ok(())
    }

    /// Runs the load; returns the report, and the latencies as text.
    ///
    /// # Errors
    /// As for [`LoadArgs::run`], except that a server that answers nothing is no error.
    pub(crate) fn measure(&self) -> Result<(LoadReport, String)> {
        let url = Url::parse(&self.url)?;
        let targets = self.targets(&url)?;
        if let Some(core) = self.core {
            crate::affinity::pin(None, core)?;
        }
        // Since the machine's start: see `direct::SEED`.
        let clock = || Time(clock::now());
        // Made last: the schedule begins when everything is ready.
        let client = || {
            let plan = self.plan();
            let arrivals = self.rate.map(|rate| Arrivals::new(clock(), rate / plan.reuse.per_arrival() as f64));
            Client::new(Address::Inet(url.address), plan, targets, arrivals, clock)
        };
        match self.transport {
            Stack::Sockets => {
                let config = SocketsConfig {
                    interface: self.io.into(),
                    respond: Respond::Inline,
                    max_connections: self.places(),
                    ..SocketsConfig::default()
                };
                let mut transport = Sockets::new(config).context("cannot open the transport")?;
                self.drive(&mut transport, client(), clock)
            }
            Stack::Direct => {
                let mut wire = direct::Client::open(self, url.address)?;
                let (mut report, distribution) = self.drive(&mut wire.transport, client(), clock)?;
                report.losses = Some(wire.losses());
                Ok((report, distribution))
            }
        }
    }

    /// The most connections of the transport: those that are closing still hold a place for a moment.
    fn places(&self) -> u32 {
        self.connections + self.connections / 2 + 64
    }

    fn plan(&self) -> Plan {
        let reuse = match (self.per_request, self.idle, self.per_connection) {
            (true, ..) => Reuse::PER_REQUEST,
            (_, true, _) => Reuse::Idle,
            (.., Some(requests)) => Reuse::Limited { requests: requests as usize, burst: self.burst as usize },
            _ => Reuse::Persistent,
        };
        Plan { connections: self.connections as usize, pipeline: self.pipeline as usize, reuse, timeout: self.timeout }
    }

    fn targets(&self, url: &Url) -> Result<Targets> {
        let (headers, http10) = (self.header.concat(), self.http10);
        let style = Style { host: &url.host, close: self.per_request && !http10, headers: &headers, http10 };
        if self.synthetic {
            return Ok(Targets::synthetic(style));
        }
        match (self.size, self.specweb96, &self.replay) {
            (Some(size), ..) => Targets::webstone(style, size),
            (_, true, _) => {
                let set = match (self.directories, self.rate) {
                    (Some(directories), _) => SpecWeb96 { directories },
                    (None, Some(rate)) => SpecWeb96::for_rate(rate),
                    (None, None) => SpecWeb96 { directories: DEFAULT_DIRECTORIES },
                };
                Ok(Targets::specweb96(style, set, self.seed))
            }
            (_, _, Some(log)) => Targets::replay(style, log),
            _ => Ok(Targets::one(style, &url.path, self.expect)),
        }
    }

    /// Warms up, measures, stops.
    fn drive<C: FnMut() -> Time>(
        &self,
        transport: &mut impl Transport,
        mut client: Client<C>,
        clock: impl Fn() -> Time,
    ) -> Result<(LoadReport, String)> {
        run_until(transport, &mut client, &clock, clock().after(self.warmup))?;
        let watch = || self.watch_core.map(CoreTimes::read).transpose();
        let (begin, before) = (clock(), watch()?);
        client.tally.begin(begin);
        run_until(transport, &mut client, &clock, begin.after(self.duration))?;
        let (end, after) = (clock(), watch()?);
        client.finish(end);
        let busy = before.zip(after).map(|(before, after)| after.busy_since(before));
        let report = LoadReport::new(&client.tally, end.since(begin), client.open_connections(), busy);
        if self.transport == Stack::Direct {
            // Nobody else tells the server that this client is gone.
            while client.leave(transport.calls(), LEAVING) {
                transport.poll(clock(), Some(LEAVING_TIME), &mut client).context("the transport failed")?;
            }
        }
        Ok((report, report::distribution(&client.tally.latencies)))
    }
}

fn run_until<C: FnMut() -> Time>(
    transport: &mut impl Transport,
    client: &mut Client<C>,
    clock: impl Fn() -> Time,
    end: Time,
) -> Result<()> {
    loop {
        let now = clock();
        if now >= end {
            return Ok(());
        }
        interrupt::check()?;
        let wait = client.advance(transport.calls(), now).min(end.since(now));
        transport.poll(now, Some(wait), client).context("the transport failed")?;
    }
}

/// A server and a path on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    /// The Host header's value.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

impl Url {
    /// Reads `http://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// It is something else, or the host has no address.
    pub(crate) fn parse(text: &str) -> Result<Url> {
        let rest = text.strip_prefix("http://").with_context(|| format!("{text}: a URL starts with http://"))?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        if host.is_empty() || !rest.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("{text}: a URL is http://HOST[:PORT][/PATH] in visible ASCII");
        }
        // The colon of a port stands behind the bracket of an IPv6 address.
        let has_port = host.rfind(':') > host.rfind(']') || (host.contains(':') && !host.contains(']'));
        let lookup = if has_port { host.to_owned() } else { format!("{host}:80") };
        let address = lookup.to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        Ok(Url { host: host.to_owned(), address, path: path.to_owned() })
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    match range {
        Some(range) if *range.start() > 0 && !range.is_empty() => Ok(range),
        _ => Err("expected two ports, the lower first, such as 1024-65535".into()),
    }
}

/// The line with its CRLF.
fn header_line(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((name, _)) if !name.is_empty() && !text.bytes().any(|b| b.is_ascii_control()) => Ok(format!("{text}\r\n")),
        _ => Err("expected NAME: VALUE in one line".into()),
    }
}

/// A number above zero.
///
/// # Errors
/// It is none.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number),
        Ok(_) => Err("not above 0 and at most 1e9".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_server_and_a_path() {
        for (text, host, address, path) in [
            ("http://127.0.0.1", "127.0.0.1", "127.0.0.1:80", "/"),
            ("http://127.0.0.1:81/a?b", "127.0.0.1:81", "127.0.0.1:81", "/a?b"),
            ("http://[::1]:81/", "[::1]:81", "[::1]:81", "/"),
            ("http://[::1]", "[::1]", "[::1]:80", "/"),
        ] {
            let expected = Url { host: host.into(), address: address.parse().unwrap(), path: path.into() };
            assert_eq!(Url::parse(text).unwrap(), expected);
        }
        for text in ["127.0.0.1", "https://a/", "http://", "http:///x", "http://127.0.0.1/a b", "http://127.0.0.1:x/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn header_lines_have_a_name_and_one_line() {
        assert_eq!(header_line("a: b").as_deref(), Ok("a: b\r\n"));
        for text in ["", "a", ": b", "a: b\r\nc: d"] {
            assert!(header_line(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ports_are_a_range_above_zero() {
        assert_eq!((ports("1024-65535"), ports("7-7")), (Ok(1024..=65535), Ok(7..=7)));
        for text in ["", "7", "7-", "8-7", "0-7", "7-65536", "a-b", "1-2-3"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
