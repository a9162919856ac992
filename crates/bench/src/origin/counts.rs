//! What an origin has counted, and how others ask for it.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How many targets are counted apart; the rest are counted together.
const MAX_TARGETS: usize = 4096;
/// The name of those.
const OTHERS: &str = "others";
/// How long an origin may take to say what it has counted, and how much it may say, in octets.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 16 << 20;

/// The counts since the origin's start. As JSON, the fields have these names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Requests for documents.
    pub(crate) requests: u64,
    /// Connections that were accepted.
    pub(crate) connections: u64,
    /// Connections that began to speak another protocol.
    pub(crate) upgrades: u64,
    /// The most requests that were served at once.
    pub(crate) served_most: usize,
    /// The most requests that waited for others.
    pub(crate) waiting_most: usize,
    /// By target, its query included.
    pub(crate) targets: BTreeMap<String, Target>,
}

/// What was counted for one target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Target {
    /// Requests for it.
    pub(crate) requests: u64,
    /// When the first octet of its first body was sent, in nanoseconds of the machine's monotonic clock.
    pub(crate) first_octet: Option<u64>,
}

impl Counts {
    /// A request for `target` came.
    pub(super) fn asked(&mut self, target: &str) {
        self.requests += 1;
        self.target(target).requests += 1;
    }

    /// The first octet of a body of `target` is sent at `now`.
    pub(super) fn begins(&mut self, target: &str, now: u64) {
        self.target(target).first_octet.get_or_insert(now);
    }

    fn target(&mut self, target: &str) -> &mut Target {
        let apart = self.targets.contains_key(target) || self.targets.len() < MAX_TARGETS;
        self.targets.entry(if apart { target } else { OTHERS }.to_owned()).or_default()
    }

    /// Asks the origin at `address`.
    ///
    /// # Errors
    /// It cannot be reached, or answers something else.
    pub(crate) fn ask(address: SocketAddr) -> Result<Counts> {
        let ask = || {
            let mut origin = TcpStream::connect_timeout(&address, PATIENCE)?;
            origin.set_read_timeout(Some(PATIENCE))?;
            origin.write_all(b"GET /counts HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            origin.take(MAX_ANSWER).read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = ask().with_context(|| format!("the origin at {address} does not say what it has counted"))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => {
                serde_json::from_str(body).with_context(|| format!("the counts of the origin at {address}"))
            }
            _ => bail!("at {address} there is no `afpa-bench origin`"),
        }
    }

    /// What was counted after `earlier`; the most at once and the moments of first octets are since the start.
    pub(crate) fn since(mut self, earlier: &Counts) -> Counts {
        self.requests = self.requests.saturating_sub(earlier.requests);
        self.connections = self.connections.saturating_sub(earlier.connections);
        self.upgrades = self.upgrades.saturating_sub(earlier.upgrades);
        for (name, target) in &mut self.targets {
            let before = earlier.targets.get(name).copied().unwrap_or_default();
            target.requests = target.requests.saturating_sub(before.requests);
        }
        self.targets.retain(|_, target| target.requests > 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_beyond_the_bound_are_counted_together() {
        let mut counts = Counts::default();
        (0..MAX_TARGETS + 10).for_each(|number| counts.asked(&format!("/fixed/{number}")));
        counts.asked("/fixed/0");
        assert_eq!((counts.requests, counts.targets.len()), (MAX_TARGETS as u64 + 11, MAX_TARGETS + 1));
        assert_eq!((counts.targets["/fixed/0"].requests, counts.targets[OTHERS].requests), (2, 10));
    }

    #[test]
    fn only_the_first_body_of_a_target_says_when() {
        let mut counts = Counts::default();
        counts.begins("/a", 5);
        counts.begins("/a", 9);
        assert_eq!(counts.targets["/a"].first_octet, Some(5));
    }

    #[test]
    fn what_came_since_is_a_difference() {
        let mut before = Counts::default();
        before.asked("/a");
        before.asked("/b");
        let mut after = before.clone();
        after.asked("/b");
        let since = after.since(&before);
        assert_eq!((since.requests, since.targets.len(), since.targets["/b"].requests), (1, 1, 1));
    }
}
