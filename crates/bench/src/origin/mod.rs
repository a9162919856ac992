//! `afpa-bench origin`: a backend to put behind a proxy, which serves what its targets say, as slowly and as few at
//! once as it is told, and counts.

mod connection;
mod counts;
mod places;
mod request;
mod resource;
mod server;

pub(crate) use counts::Counts;
pub(crate) use server::Server;

use crate::units;
use anyhow::Result;
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;

/// A backend to put behind a proxy: serves documents of any size, counts requests, and can be slow or busy.
///
/// /fixed/SIZE            SIZE octets
/// /slow/MS/SIZE          SIZE octets after MS milliseconds
/// /unique/SIZE/ANYTHING  SIZE octets, of a name of their own
/// /class/NAME/...        any of these under another name
/// /counts                what has been counted, as JSON
///
/// A query can have cc=CACHE-CONTROL (default max-age=3600) and spread=MS, the time over which a body is sent. A request
/// with Upgrade gets status 101, and its octets back.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct OriginArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Serve at most N requests at once; the others wait their turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency: Option<u32>,
    /// Take this long for each request, besides what it asks for: with --concurrency N, N / DELAY requests a second
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::span)]
    delay: Duration,
    /// Serve nothing: print what the origin at this address has counted
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["listen", "concurrency", "delay"])]
    ask: Option<SocketAddr>,
}

impl OriginArgs {
    /// Serves until interrupted, or asks another.
    ///
    /// # Errors
    /// The address cannot be listened to, or the other not be asked.
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(address) = self.ask {
            println!("{}", serde_json::to_string(&Counts::ask(address)?)?);
            return Ok(());
        }
        crate::compare::allow_descriptors(0)?;
        Server::listen(self.listen, self.concurrency.map(|places| places as usize), self.delay)?.run()
    }
}
