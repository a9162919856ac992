//! What is asked for: requests built once, and the order in which they are sent.

use super::access_log;
use crate::fileset::{self, SpecWeb96};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The most requests of a log that are replayed before it starts over.
const MAX_REPLAY: usize = 10_000_000;
/// The longest log line that is read, in octets.
const MAX_LINE: u64 = 64 * 1024;

/// A request, ready to send.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its octets.
    pub(crate) bytes: Box<[u8]>,
    /// The body's length that the answer must have; `None` if it is not known.
    pub(crate) expected: Option<u64>,
}

/// How a request is addressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    /// The Host header's value.
    pub(crate) host: &'a str,
    /// Whether each request asks for its connection to be closed.
    pub(crate) close: bool,
    /// Further header lines, each with its CRLF.
    pub(crate) headers: &'a str,
    /// Whether requests are of HTTP/1.0, whose answers end with their connections.
    pub(crate) http10: bool,
}

/// The requests and their order.
#[derive(Debug)]
pub(crate) struct Targets {
    requests: Vec<Request>,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// One after another, then from the start again.
    Cycle { next: usize },
    /// As in this list of requests, then from the start again.
    Replay { sequence: Vec<u32>, next: usize },
    /// At random: SPECweb96's classes and files, in a random one of its directories.
    SpecWeb96 { directories: u32, cumulative: Vec<f64>, random: fastrand::Rng },
}

impl Targets {
    /// One path, over and over.
    pub(crate) fn one(style: Style<'_>, path: &str, expected: Option<u64>) -> Targets {
        Targets { requests: vec![request(style, path, expected)], order: Order::Cycle { next: 0 } }
    }

    /// WebStone's file of `size` octets, which must be one of its sizes.
    ///
    /// # Errors
    /// There is no file of that size.
    pub(crate) fn webstone(style: Style<'_>, size: u64) -> Result<Targets> {
        if !fileset::webstone_sizes().any(|there| there == size) {
            bail!("--size {size}: WebStone's sizes are the powers of two from 64 to 1048576");
        }
        Ok(Targets::one(style, &fileset::webstone_path(size), Some(size)))
    }

    /// The synthetic trace of the TCP Servers paper (Table 1): its files in turn, so that between two requests for a
    /// file all others have passed through the caches.
    pub(crate) fn synthetic(style: Style<'_>) -> Targets {
        let paths = (0..fileset::SYNTHETIC_FILES).map(fileset::synthetic_path);
        let requests = paths.map(|path| request(style, &path, Some(fileset::SYNTHETIC_SIZE))).collect();
        Targets { requests, order: Order::Cycle { next: 0 } }
    }

    /// SPECweb96's mix over its file set. The same `seed` asks for the same files in the same order.
    pub(crate) fn specweb96(style: Style<'_>, set: SpecWeb96, seed: u64) -> Targets {
        let requests = set
            .files()
            .map(|(directory, class, index)| {
                request(style, &SpecWeb96::path(directory, class, index), Some(SpecWeb96::size(class, index)))
            })
            .collect();
        let mut sum = 0.0;
        let cumulative = SpecWeb96 { directories: 1 }
            .files()
            .map(|(_, class, index)| {
                sum += SpecWeb96::probability(class, index);
                sum
            })
            .collect();
        let random = fastrand::Rng::with_seed(seed);
        Targets { requests, order: Order::SpecWeb96 { directories: set.directories, cumulative, random } }
    }

    /// What the access log at `path` says was asked for, in its order.
    ///
    /// # Errors
    /// The log cannot be read, or holds nothing that can be replayed.
    pub(crate) fn replay(style: Style<'_>, path: &Path) -> Result<Targets> {
        let log = File::open(path).with_context(|| format!("cannot open the log {}", path.display()))?;
        Targets::replay_from(style, BufReader::new(log)).with_context(|| format!("the log {}", path.display()))
    }

    fn replay_from(style: Style<'_>, mut log: impl BufRead) -> Result<Targets> {
        let mut known = HashMap::new();
        let (mut requests, mut sequence, mut line) = (Vec::new(), Vec::new(), Vec::new());
        while sequence.len() < MAX_REPLAY {
            line.clear();
            if log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("cannot be read")? == 0 {
                break;
            }
            let Some(entry) = std::str::from_utf8(&line).ok().and_then(|line| access_log::parse_line(line.trim_end()))
            else {
                continue;
            };
            let index = *known.entry(entry.target.to_owned()).or_insert_with(|| {
                // A file may have changed since it was logged, so its length is not held against the server.
                requests.push(request(style, entry.target, None));
                requests.len() as u32 - 1
            });
            sequence.push(index);
        }
        if sequence.is_empty() {
            bail!("holds no GET that was answered with 200");
        }
        Ok(Targets { requests, order: Order::Replay { sequence, next: 0 } })
    }

    /// Chooses the next request.
    pub(crate) fn next(&mut self) -> &Request {
        let index = match &mut self.order {
            Order::Cycle { next } => advance(next, self.requests.len()),
            Order::Replay { sequence, next } => sequence[advance(next, sequence.len())] as usize,
            Order::SpecWeb96 { directories, cumulative, random } => {
                let draw = random.f64();
                let file = cumulative.partition_point(|sum| *sum <= draw).min(cumulative.len() - 1);
                random.u32(0..*directories) as usize * cumulative.len() + file
            }
        };
        &self.requests[index]
    }
}

/// Returns `next` and moves it on, around `length`.
fn advance(next: &mut usize, length: usize) -> usize {
    let index = *next;
    *next = if index + 1 == length { 0 } else { index + 1 };
    index
}

fn request(style: Style<'_>, path: &str, expected: Option<u64>) -> Request {
    let Style { host, close, headers, http10 } = style;
    let close = if close { "Connection: close\r\n" } else { "" };
    let minor = if http10 { 0 } else { 1 };
    let text = format!(
        "GET {path} HTTP/1.{minor}\r\nHost: {host}\r\nUser-Agent: afpa-bench\r\nAccept: */*\r\n{headers}{close}\r\n"
    );
    Request { bytes: text.into_bytes().into(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style<'_> = Style { host: "h", close: false, headers: "", http10: false };

    #[test]
    fn the_mix_follows_the_class_weights() {
        let mut targets = Targets::specweb96(STYLE, SpecWeb96 { directories: 3 }, 1);
        let mut counts = [0u32; 4];
        for _ in 0..100_000 {
            let size = targets.next().expected.unwrap();
            counts[(0..4).find(|class| size <= SpecWeb96::size(*class, 8)).unwrap() as usize] += 1;
        }
        for (count, weight) in counts.iter().zip(SpecWeb96::CLASS_WEIGHTS) {
            let share = f64::from(*count) / 1000.0;
            assert!((share - f64::from(weight)).abs() < 1.0, "{counts:?}");
        }
    }

    #[test]
    fn the_same_seed_asks_for_the_same() {
        let draw = |seed| {
            let mut targets = Targets::specweb96(STYLE, SpecWeb96 { directories: 2 }, seed);
            (0..20).map(|_| targets.next().bytes.clone()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_log_is_replayed_in_its_order_and_starts_over() {
        let log = "a - - [d] \"GET /1 HTTP/1.1\" 200 5\nbad\na - - [d] \"GET /2 HTTP/1.1\" 200 5\r\na - - [d] \"GET /1 HTTP/1.1\" 200 5";
        let mut targets = Targets::replay_from(STYLE, log.as_bytes()).unwrap();
        let paths: String = (0..4).map(|_| targets.next().bytes[5] as char).collect();
        assert_eq!((paths.as_str(), targets.requests.len()), ("1211", 2));
        assert!(Targets::replay_from(STYLE, &b"bad\n"[..]).is_err());
    }

    #[test]
    fn requests_say_close_only_where_asked() {
        let text = |close| {
            let style = Style { host: "h:1", close, headers: "X-Class: gold\r\n", http10: false };
            String::from_utf8(Targets::one(style, "/x", None).next().bytes.to_vec()).unwrap()
        };
        assert!(text(false).starts_with("GET /x HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(text(false).contains("\r\nX-Class: gold\r\n\r\n"));
        assert!(!text(false).contains("close") && text(true).contains("\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn the_synthetic_trace_asks_for_each_file_before_it_repeats_itself() {
        let mut targets = Targets::synthetic(Style { http10: true, ..STYLE });
        let draws: Vec<_> = (0..129).map(|_| String::from_utf8(targets.next().bytes.to_vec()).unwrap()).collect();
        let different: std::collections::HashSet<_> = draws.iter().collect();
        assert_eq!((different.len(), &draws[0]), (128, &draws[128]));
        assert!(draws[0].starts_with("GET /synthetic/000 HTTP/1.0\r\n"));
    }

    #[test]
    fn only_webstone_sizes_exist() {
        assert_eq!(Targets::webstone(STYLE, 1024).unwrap().next().expected, Some(1024));
        assert!(Targets::webstone(STYLE, 1000).is_err());
    }
}
