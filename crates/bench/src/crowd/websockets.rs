//! `afpa-bench websockets`: many upgraded connections through a proxy, and what each costs it in memory.

use super::{Crowd, Heard, all_or, print};
use crate::interrupt;
use crate::load::Url;
use crate::server;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// How long the answers may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long memory may take to settle.
const SETTLING: Duration = Duration::from_millis(500);
/// Connections that come and go before anything is measured: what a proxy needs for its first ones is not their cost.
const FIRST: usize = 16;
/// What each connection says and hears.
const WORDS: &[u8] = b"the same octets, there and back again\n";
/// The longest head that is read, in octets.
const MAX_HEAD: usize = 16 * 1024;

/// Opens upgraded connections (WebSocket) through a proxy to an `afpa-bench origin`, says something over each and
/// hears it again: what each costs the proxy's processes in memory.
///
/// An HTTP/1.1 proxy that answers an Upgrade passes on octets, so these are no frames of WebSocket. Each connection
/// takes two descriptors of the proxy, and one of the origin (ulimit -n).
#[derive(Args, Clone, Debug)]
pub(crate) struct WebsocketsArgs {
    /// The proxy: `http://HOST[:PORT][/PATH]`
    #[arg(long, value_name = "URL")]
    proxy: String,
    /// How many connections to open
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: u32,
    /// The proxy's processes [default: those that listen on its address]
    #[arg(long, value_name = "PID,...", value_delimiter = ',')]
    process: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it. As JSON, the fields have these names.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
struct Report {
    connections: u32,
    /// Connections that were answered with 101.
    upgraded: usize,
    /// Connections that heard what they had said.
    echoed: usize,
    /// What each connection adds to the proportional set size of the proxy's processes, in octets, before anything
    /// was said over them.
    memory_per_connection: u64,
    /// The same, after.
    memory_per_connection_used: u64,
}

impl WebsocketsArgs {
    /// Runs it.
    ///
    /// # Errors
    /// The proxy cannot be reached, nobody is found who listens there, or a connection was not upgraded or not echoed.
    pub(crate) fn run(&self) -> Result<()> {
        let report = self.measure()?;
        print(&report, self.json)?;
        all_or("connections were upgraded", report.upgraded, self.connections as usize)?;
        all_or("connections heard what they had said", report.echoed, self.connections as usize)
    }

    fn measure(&self) -> Result<Report> {
        let url = Url::parse(&self.proxy)?;
        let processes = if self.process.is_empty() { server::listeners(url.address)? } else { self.process.clone() };
        if processes.is_empty() {
            bail!("no process of this machine listens on {}: name it with --process", url.address);
        }
        let memory = || interrupt::sleep(SETTLING).map(|()| server::memory_of(processes.iter().copied()));
        drop(open(&url, FIRST)?);
        let before = memory()?;
        let (mut crowd, upgraded) = open(&url, self.connections as usize)?;
        let opened = memory()?;
        let echoed = if upgraded == crowd.members.len() { echo(&mut crowd)? } else { 0 };
        let each = |memory: u64| memory.saturating_sub(before) / u64::from(self.connections);
        Ok(Report {
            connections: self.connections,
            upgraded,
            echoed,
            memory_per_connection: each(opened),
            memory_per_connection_used: each(memory()?),
        })
    }
}

/// Opens connections; returns how many of them were upgraded, too.
fn open(url: &Url, count: usize) -> Result<(Crowd, usize)> {
    let Url { host, address, path } = url;
    // The key is RFC 6455's example (§1.3), whose answer the origin knows.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut crowd = Crowd::gather(*address, count)?;
    crowd.say(request.as_bytes())?;
    let mut heads = vec![Vec::new(); count];
    let upgraded = crowd.hear(PATIENCE, |client, _, octets| {
        let head = &mut heads[client];
        head.extend_from_slice(octets);
        let whole = head.ends_with(b"\r\n\r\n");
        if (whole || head.len() > MAX_HEAD) && !head.starts_with(b"HTTP/1.1 101 ") {
            bail!("was answered with {}", String::from_utf8_lossy(head).lines().next().unwrap_or_default());
        }
        Ok(if whole { Heard::All } else { Heard::Part })
    });
    Ok((crowd, upgraded.context("an upgrade")?))
}

/// Returns how many heard what they had said.
fn echo(crowd: &mut Crowd) -> Result<usize> {
    crowd.say(WORDS)?;
    let mut heard = vec![0; crowd.members.len()];
    crowd.hear(PATIENCE, |client, _, octets| {
        let place = &mut heard[client];
        if !WORDS[*place..].starts_with(octets) {
            bail!("client {client} heard something else than it had said");
        }
        *place += octets.len();
        Ok(if *place == WORDS.len() { Heard::All } else { Heard::Part })
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { connections, upgraded, echoed, .. } = self;
        writeln!(f, "connections  {connections}, of which {upgraded} were upgraded and {echoed} heard their echo")?;
        write!(
            f,
            "memory       {} octets each when opened, {} when used",
            self.memory_per_connection, self.memory_per_connection_used
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Server;
    use std::thread;

    #[test]
    fn connections_to_an_origin_are_upgraded_and_echoed() {
        let server = Server::listen("127.0.0.1:0".parse().unwrap(), None, Duration::ZERO).unwrap();
        let address = server.address().unwrap();
        // It ends with the tests.
        thread::spawn(move || server.run());
        assert!(server::listeners(address).unwrap().contains(&std::process::id()));
        let proxy = format!("http://{address}");
        let report = WebsocketsArgs { proxy, connections: 50, process: Vec::new(), json: false }.measure().unwrap();
        assert_eq!((report.upgraded, report.echoed), (50, 50));
        assert!(report.to_string().contains("50 were upgraded and 50 heard"));
    }
}
