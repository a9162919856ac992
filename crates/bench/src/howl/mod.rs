//! Baselines: servers that do as little as can be done.

mod paper;
mod ring;

pub(crate) use paper::{Documents, listen, serve};

use anyhow::Result;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Runs a baseline server.
#[derive(Args, Clone, Debug)]
pub(crate) struct HowlArgs {
    #[command(subcommand)]
    baseline: Baseline,
}

#[derive(Subcommand, Clone, Debug)]
enum Baseline {
    /// One connection at a time: accept, read, write, close
    Loop {
        /// The documents, all read into memory at the start
        root: PathBuf,
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Answer as the origin behind a cache: HTTP/1.1, cacheable for an hour
        #[arg(long)]
        origin: bool,
    },
    /// One constant answer of 1 KiB to every request, through io_uring
    Ring {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
}

impl HowlArgs {
    /// Serves until interrupted.
    ///
    /// # Errors
    /// The documents cannot be read, or the address not be listened to.
    pub(crate) fn run(&self) -> Result<()> {
        match &self.baseline {
            Baseline::Loop { root, listen, origin } => {
                let documents = Documents::load(root, *origin)?;
                serve(&paper::listen(*listen)?, &documents)
            }
            Baseline::Ring { listen } => ring::serve(&paper::listen(*listen)?),
        }
    }
}
