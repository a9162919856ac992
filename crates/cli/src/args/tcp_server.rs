//! `afpa tcp-server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::Diagnostics;
use crate::config::{Cores, Frames, Interface};
use crate::units::{Malformed, Size, Span};

pub(super) const EXAMPLES: &str = "\
Applications attach at the socket: those that are written for it, and any that are started with
afpa offload. Their TCP runs here, on the cores of --cores, and not on theirs.

Without --socket it is /run/afpa/tcp-server.sock for root, $XDG_RUNTIME_DIR/afpa-tcp-server.sock
for others. Who may open that file may attach; see --mode.

Examples:
  afpa tcp-server --cores 3                       one engine, on CPU 3
  afpa tcp-server --cores 2-3 --notify poll       two engines that never sleep
  afpa tcp-server --cores 1-3 --active 1-3        as many of three as there is work for
  afpa tcp-server --admin 127.0.0.1:9090          with metrics
  afpa tcp-server --provider direct --interface eth0   our own TCP for what comes through eth0
  afpa tcp-server status                          who is attached, and how busy engines are
  afpa offload -- nginx -g 'daemon off;'          a program whose TCP it runs";

/// `afpa tcp-server`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TcpServer {
    /// Something else than to run it.
    #[command(subcommand)]
    pub command: Option<TcpServerCommand>,
    /// Where applications attach: a Unix socket's path
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Who may attach, as chmod has it
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = mode)]
    pub mode: u32,
    /// CPUs that get an engine each, as taskset writes them: 0 or 0,2-3; all: every CPU that the process may use
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub cores: Cores,
    /// How many engines accept connections, or from how many to how many, as load asks for: 2 or 1-3 [default: all]
    #[arg(long, value_name = "MIN[-MAX]")]
    pub active: Option<Active>,
    /// Whose TCP it is
    #[arg(long, value_enum, default_value_t = Provider::Kernel)]
    pub provider: Provider,
    /// The interface of the provider direct. What is not for an application's listeners stays with the kernel
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,
    /// How its frames are taken: xdp (AF_XDP), packet (AF_PACKET rings), or auto (the first that works)
    #[arg(long, value_name = "WAY", default_value_t = Frames::Auto)]
    pub frames: Frames,
    /// How many of its queues get an engine of their own [default: all, as far as there are engines]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: Option<u32>,
    /// System interface: uring, epoll, or auto (uring where the kernel allows it)
    #[arg(long, value_name = "IO", default_value_t = Interface::Auto)]
    pub io: Interface,
    /// How engines learn of work
    #[arg(long, value_enum, default_value_t = Notify::Adaptive)]
    pub notify: Notify,
    /// Which directions run here
    #[arg(long, value_enum, default_value_t = Directions::Both)]
    pub offload: Directions,
    /// How many connections are accepted on each engine ahead of an application's accept, per listener
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub eager_accept: u32,
    /// How many octets of a connection are received ahead of an application's read [default: as many as --ring]
    #[arg(long, value_name = "SIZE")]
    pub eager_receive: Option<Size>,
    /// Sockets of one application
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub slots: u32,
    /// Memory for each direction of a socket, from 4KiB to 1MiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = ring)]
    pub ring: Size,
    /// Answer health checks and metrics at this address; off by default
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Allow --admin at an address that other machines can reach
    #[arg(long, requires = "admin")]
    pub admin_allow_remote: bool,
    /// How long what is queued may take to be sent when the server stops
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub grace_period: Span,
    /// What the server says on standard error
    #[command(flatten)]
    pub diagnostics: Diagnostics,
}

/// Something else than to run a TCP server.
#[derive(Debug, Subcommand)]
pub enum TcpServerCommand {
    /// Show who is attached to a running server, and how busy its engines are
    Status(TcpServerStatus),
}

/// `afpa tcp-server status`.
#[derive(Debug, Args)]
pub struct TcpServerStatus {
    /// Where applications attach
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// How many engines are active: at least, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// One or more.
    pub min: usize,
    /// As many as that, or more.
    pub max: usize,
}

impl FromStr for Active {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Active, Malformed> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.parse(), max.parse()) {
            (Ok(min), Ok(max)) if 0 < min && min <= max => Ok(Active { min, max }),
            _ => Err(Malformed::new("a number of engines such as 2, or a range such as 1-3", text)),
        }
    }
}

/// Whose TCP it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// The kernel's
    Kernel,
    /// Our own, on the frames of an interface
    Direct,
}

/// How engines learn of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Notify {
    /// They always look, and never sleep
    Poll,
    /// They sleep when there is nothing, and are rung
    Interrupt,
    /// They look for as long as that has paid off, and sleep then
    Adaptive,
}

/// Which directions run in the TCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Directions {
    /// What is received
    Receive,
    /// Both
    #[value(name = "send+receive")]
    Both,
}

fn mode(text: &str) -> Result<u32, Malformed> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(Malformed::new("a mode such as 600, 660 or 666", text)),
    }
}

fn ring(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error: Malformed| error.to_string())?;
    let is_sound = (Size::kib(4)..=Size::mib(1)).contains(&size);
    if is_sound { Ok(size) } else { Err(format!("expected a size from 4 KiB to 1 MiB, found {size}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_engines_are_a_number_or_a_range() {
        assert_eq!("2".parse(), Ok(Active { min: 2, max: 2 }));
        assert_eq!("1-3".parse(), Ok(Active { min: 1, max: 3 }));
        for wrong in ["", "0", "0-2", "3-1", "1-", "-1", "1-2-3", "all"] {
            assert!(wrong.parse::<Active>().is_err(), "{wrong}");
        }
    }
}
