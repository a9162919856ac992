//! `afpa-bench echo`: frames through AF_XDP and back, with no TCP and no HTTP. What it reaches is the limit of
//! the frame path, of which any server on frames can only use a part.

mod client;
mod frame;

use crate::affinity;
use crate::interrupt;
use crate::units;
use crate::wire::Wire;
use afpa_platform::steering::Protocol;
use anyhow::{Context, Result};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Frames handled before what they came to is sent: the kernel's batch.
const BUDGET: usize = 64;
/// How often signals are looked for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends each frame of a UDP port back as it came, addresses swapped; with --to, saturates such an echo and
/// counts. Through AF_XDP: needs root.
#[derive(Args, Clone, Debug)]
pub(crate) struct EchoArgs {
    /// The network interface
    #[arg(long, value_name = "IF")]
    interface: String,
    /// The UDP port whose frames leave the kernel's hands, at both ends
    #[arg(long, value_name = "PORT", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Run on this CPU
    #[arg(long, value_name = "CPU")]
    core: Option<usize>,
    /// Saturate the echo at this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// Octets of a frame, with its headers
    #[arg(long, value_name = "N", default_value_t = 64, requires = "to", value_parser = clap::value_parser!(u16).range(64..=9014))]
    size: u16,
    /// Frames that are under way at once
    #[arg(long, value_name = "N", default_value_t = 256, requires = "to", value_parser = clap::value_parser!(u32).range(1..=2048))]
    window: u32,
    /// Count for this long
    #[arg(long, short, value_name = "DURATION", default_value = "4s", requires = "to", value_parser = units::positive_span)]
    duration: Duration,
    /// Run this long before counting
    #[arg(long, value_name = "DURATION", default_value = "1s", requires = "to", value_parser = units::span)]
    warmup: Duration,
    /// Report the busy time of this CPU of the same machine, per frame
    #[arg(long, value_name = "CPU", requires = "to")]
    watch_core: Option<usize>,
    /// Write the result as JSON to standard output
    #[arg(long, requires = "to")]
    json: bool,
}

impl EchoArgs {
    /// Echoes until interrupted, or saturates an echo.
    ///
    /// # Errors
    /// What is missing, in a sentence; a signal came.
    pub(crate) fn run(&self) -> Result<()> {
        if let Some(core) = self.core {
            affinity::pin(None, core)?;
        }
        match self.to {
            Some(to) => client::run(self, to),
            None => self.serve(),
        }
    }

    /// Attaches to the interface, with the frames of the port.
    fn attach(&self) -> Result<Wire> {
        let wire = Wire::attach(&self.interface)?;
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            let local = SocketAddr::new(any, self.port);
            wire.steering.steer(Protocol::Udp, local).with_context(|| self.interface.clone())?;
        }
        Ok(wire)
    }

    fn serve(&self) -> Result<()> {
        let mut wire = self.attach()?;
        println!("echoing UDP port {} of {}", self.port, self.interface);
        let mut answer = Vec::new();
        loop {
            interrupt::check()?;
            let count = wire.exchange(BUDGET, |frame, transmitter| {
                answer.clear();
                answer.extend_from_slice(frame);
                if frame::reverse(&mut answer) {
                    // Without room it is lost, as on any network; whoever sent it notices.
                    let _ = transmitter.push(&answer, &mut std::iter::empty());
                }
            })?;
            if count == 0 {
                wire.wait(PATIENCE)?;
            }
        }
    }
}
