//! Load from kxdpgun: a client on frames (AF_XDP) sends at a given rate, whatever comes back.

use super::load::{Counts, Load, watch};
use super::server::PORT;
use crate::topology::{SERVER, Topology};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::time::Duration;

/// Questions per second that are tried, from below. Beyond what it can do a server answers fewer and fewer, as
/// receiving what it then drops costs it time, too.
const RATES: [u32; 12] =
    [50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 600_000, 800_000, 1_100_000, 1_500_000, 2_000_000];
/// How long each is tried.
const TRIAL: Duration = Duration::from_secs(1);
/// No higher rates are tried after one at which fewer than this part of the most were answered.
const DECLINE: f64 = 0.9;
/// How long the client may take beyond its time: it waits for late answers.
const SLACK: Duration = Duration::from_secs(20);

/// Looks for the rate at which the server answers the most, and measures there for `duration`, in whole seconds.
///
/// # Errors
/// kxdpgun failed (it needs an interface with AF_XDP), or nothing was answered.
pub(super) fn measure(topology: &Topology, questions: &Path, duration: Duration) -> Result<Load> {
    let (mut most, mut best) = (0.0, None);
    for rate in RATES {
        let load = send(topology, questions, rate, TRIAL)?;
        if load.queries_per_second > most {
            (most, best) = (load.queries_per_second, Some(rate));
        } else if load.queries_per_second < most * DECLINE {
            break;
        }
        // The client itself sends no faster.
        if (load.sent as f64) < DECLINE * f64::from(rate) * load.seconds {
            break;
        }
    }
    match best {
        Some(rate) => send(topology, questions, rate, duration)?.unless_silent(),
        None => bail!("no question was answered"),
    }
}

fn send(topology: &Topology, questions: &Path, rate: u32, duration: Duration) -> Result<Load> {
    let mut command = topology.client.command("kxdpgun");
    let seconds = duration.as_secs().max(1).to_string();
    command.args(["-t", &seconds, "-Q", &rate.to_string(), "-p", &PORT.to_string()]);
    command.args(["-F", &format!("{}s1", topology.client.core), "-I", &topology.client.device]);
    command.arg("-i").arg(questions).arg(SERVER.to_string());
    let (text, cost) = watch(topology, command, duration + SLACK)?;
    let counts = parse(&text).with_context(|| format!("kxdpgun said: {}", text.trim()))?;
    Ok(Load::new(counts, cost))
}

fn parse(text: &str) -> Option<Counts> {
    let number = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Counts {
        seconds: number("duration:")? as f64,
        sent: number("total queries:")?,
        answered: number("total replies:")?,
        expected: number("responded NOERROR:").unwrap_or(0) + number("responded NXDOMAIN:").unwrap_or(0),
        response_octets: number("average DNS reply size:").unwrap_or(0) as f64,
        mean_us: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kxdpgun_prints_is_understood() {
        let text = "using interface c9, XDP threads 1, UDP, native mode\n\
            thread#00: sent 200010, received 31156\ntotal queries:     200010 (100005 pps)\n\
            total replies:     31156 (15578 pps) (15%)\naverage DNS reply size: 58 B\n\
            average Ethernet reply rate: 12527708 bps (12.53 Mbps)\nresponded NOERROR:   29600\n\
            responded SERVFAIL:   2\nresponded NXDOMAIN:  1554\nduration: 2 s\n";
        let expected = Counts {
            seconds: 2.0,
            sent: 200_010,
            answered: 31_156,
            expected: 31_154,
            response_octets: 58.0,
            mean_us: None,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("failed to initialize XDP socket#0 (operation not permitted)\n"), None);
    }
}
