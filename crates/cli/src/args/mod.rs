//! The command line.
//!
//! - [`Arguments`]: all of it, and the smaller commands.
//! - [`Serve`], [`Accelerate`], [`DnsServer`]: the commands that serve, with [`ServerFlags`], which they share.

mod accelerate;
mod dns;
mod explain;
mod offload;
mod problem;
mod purge;
mod serve;
mod server;
pub mod tcp_server;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use accelerate::{Accelerate, Upstream};
pub use dns::{DnsServer, ZoneFile};
pub use explain::{Explain, Header};
pub use offload::{Addresses, Offload, Ports};
pub use problem::in_flags;
pub use purge::{FieldValue, Purge, Subjects};
pub use serve::Serve;
pub use server::{Diagnostics, DirectFlags, ServerFlags};
pub use tcp_server::{TcpServer, TcpServerCommand, TcpServerStatus};

use crate::graph::Format;
use crate::units::{Malformed, Span};

const ABOUT: &str = "A web and DNS server that answers requests in the context in which their bytes arrive";

const EXAMPLES: &str = "\
Examples:
  afpa serve .                                       this directory, on http://127.0.0.1:8080
  afpa serve /srv/www --listen :80 --listen [::]:80  a public site, IPv4 and IPv6
  afpa serve /srv/www --cores 2-3 --cache 2GiB       two engines, on CPUs 2 and 3
  afpa accelerate http://127.0.0.1:3000              another server's answers, from memory
  afpa dns --backend 9.9.9.9:53                      a caching DNS forwarder, on 127.0.0.1:5353
  afpa dns --zone example.com=FILE --listen :53      an authoritative DNS server
  afpa check --config /etc/afpa.toml                 every error in a configuration
  afpa explain --config FILE GET http://HOST/PATH    what becomes of a request, and why
  afpa graph http --format dot | dot -Tsvg           the HTTP module as a state diagram
  afpa purge --prefix http://HOST/PATH/              what is kept of these URLs is asked for again
  afpa top                                           what a server with --admin 127.0.0.1:9090 does
  afpa doctor --interface eth0                       what this machine supports, and what is missing
  afpa lab up                                        a place to try the direct transport in
  afpa tcp-server --cores 3                          TCP for other processes, on CPU 3
  afpa offload -- redis-server                       a program whose TCP that server runs
  afpa capture a.pcapng --admin 127.0.0.1:9090       the frames that the direct transport sees

Signals to a running server:
  SIGTERM, SIGINT  finish what is in flight, then end; a second one ends at once
  SIGHUP           read the configuration again; a bad one is refused and the old one stays
  SIGUSR1          open the log file again, after it was moved

Exit status: 0 after an orderly end, 1 if something is wrong with the configuration or the
machine, 2 if the command line is wrong.";

const RUN_EXAMPLES: &str = "\
The smallest configurations, which may be one:
  [site]
  root = \"/srv/www\"

  [[pools]]
  name = \"app\"
  backends = [{ address = \"127.0.0.1:3000\" }]
  [[sites]]
  hosts = [\"app.example.com\"]
  routes = [{ pool = \"app\" }]

  [dns]
  backends = [{ address = \"9.9.9.9:53\" }]

Every key, with its default, is explained in afpa.toml, which comes with the program. Check a
changed configuration with afpa check, then make a running server read it: kill -HUP PID.";

const LAB_EXAMPLES: &str = "\
The lab is two namespaces joined by a virtual cable, lab0 at both ends:
  afpa-lab-server  10.77.0.1/24, fd77::1/64
  afpa-lab-client  10.77.0.2/24, fd77::2/64

Examples (as root):
  afpa lab up
  ip netns exec afpa-lab-server afpa serve . --listen 10.77.0.1:8080 --transport direct --interface lab0
  ip netns exec afpa-lab-client curl http://10.77.0.1:8080/
  afpa lab down";

const DOCTOR_HELP: &str = "\
Exit status: 0 if the sockets transport works, else 1.

Examples:
  afpa doctor
  sudo afpa doctor --interface eth0
  sudo ip netns exec afpa-lab-server afpa doctor --interface lab0 --json";

const TOP_EXAMPLES: &str = "\
The server needs --admin, whose page at http://ADDR/ shows the same in a browser. Rates are those of
the last interval. q or Ctrl-C ends.

Examples:
  afpa serve . --admin 127.0.0.1:9090 & afpa top
  afpa top --admin [::1]:9191 --interval 5s
  afpa top --once --interval 10s > numbers.txt";

const CAPTURE_EXAMPLES: &str = "\
tcpdump sees nothing of what the direct transport receives and sends. FILE is pcapng, for Wireshark
and tcpdump. Ctrl-C ends a capture in order. Frames that come faster than they are written are lost,
which is counted in FILE and said at the end. For root and the server's own user, on its machine.

Examples:
  afpa capture a.pcapng --admin 127.0.0.1:9090 --count 1000
  afpa capture - --admin 127.0.0.1:9090 --duration 10s --snap 128 | tcpdump -nr -";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "afpa", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a directory
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<Serve>),
    /// Answer for other servers: from memory what they have answered, and the rest from them
    #[command(after_help = accelerate::EXAMPLES)]
    Accelerate(Box<Accelerate>),
    /// Answer DNS questions: from zones, from a cache, and from other servers
    #[command(after_help = dns::EXAMPLES)]
    Dns(Box<DnsServer>),
    /// Serve as a configuration file says
    #[command(after_help = RUN_EXAMPLES)]
    Run(ConfigFile),
    /// Check a configuration file: exit status 0, or every error with its place
    Check(ConfigFile),
    /// Say which route of a configuration takes a request, and what becomes of it
    #[command(after_help = explain::EXAMPLES)]
    Explain(Explain),
    /// Print a protocol module's control table as a state diagram
    Graph(Graph),
    /// Make, remove or show two network namespaces in which the direct transport can be tried
    #[command(after_help = LAB_EXAMPLES)]
    Lab(Lab),
    /// Show what a running server does: traffic, pools, classes, keys, transitions
    #[command(after_help = TOP_EXAMPLES)]
    Top(Top),
    /// Take something out of a running server's caches
    #[command(after_help = purge::EXAMPLES)]
    Purge(Purge),
    /// Say which transports this machine supports, what they would give, and what is missing
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Run TCP for other processes, on cores of its own
    #[command(after_help = tcp_server::EXAMPLES)]
    TcpServer(Box<TcpServer>),
    /// Run a program whose TCP a TCP server runs
    #[command(after_help = offload::EXAMPLES)]
    Offload(Offload),
    /// Record the frames that a running server's direct transport receives and sends
    #[command(after_help = CAPTURE_EXAMPLES)]
    Capture(Capture),
}

/// A configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What the server says on standard error
    #[command(flatten)]
    pub diagnostics: Diagnostics,
}

/// `afpa graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// The module
    pub module: Module,
    /// How the diagram is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `afpa lab`.
#[derive(Debug, Args)]
pub struct Lab {
    /// What to do
    #[command(subcommand)]
    pub command: LabCommand,
}

/// What to do with the lab.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum LabCommand {
    /// Make it, as far as it is not there
    Up {
        /// Octets of the largest IP packet on the cable
        #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..))]
        mtu: u16,
    },
    /// Remove it, and end what runs in it
    Down,
    /// Say what there is of it
    Status,
}

/// `afpa doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at this interface, too
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// `afpa top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The admin address of the server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Print the numbers of one interval, and end
    #[arg(long)]
    pub once: bool,
    /// The time between two looks, from 100ms to 1h
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub interval: Span,
}

/// Faster than a terminal is read is of no use, and slower than an hour is a mistake.
fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: Malformed| error.to_string())?;
    let is_sound = (Span::milliseconds(100)..=Span::seconds(3600)).contains(&span);
    if is_sound { Ok(span) } else { Err(format!("expected a duration from 100ms to 1h, found \"{span}\"")) }
}

/// `afpa capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// Where to; - for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The admin address of the server
    #[arg(long, value_name = "ADDR")]
    pub admin: SocketAddr,
    /// Stop after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Stop after this time, at most 1h
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub duration: Span,
    /// Keep so many octets of each frame
    #[arg(long, value_name = "N", default_value_t = 65_535, value_parser = clap::value_parser!(u32).range(14..=65_535))]
    pub snap: u32,
}

/// A protocol module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Module {
    /// HTTP towards clients
    Http,
    /// HTTP towards backends
    HttpUpstream,
    /// DNS towards clients
    Dns,
    /// DNS towards backends
    DnsUpstream,
    /// TCP towards the sockets of other processes
    SocketProvider,
}

/// The command of `afpa NAME ARGUMENTS`.
#[cfg(test)]
fn parse(name: &str, arguments: &[&str]) -> Result<Command, String> {
    let arguments = ["afpa", name].into_iter().chain(arguments.iter().copied());
    Ok(Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?.command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
