//! What the commands that serve have in common.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{
    Admin, Checksum, Config, Congestion, Cores, Direct, Frames, Handshake, Interface, LogFormat, Transport,
};
use crate::units::{Malformed, Span};

/// What runs the server, and what it tells, whatever it serves.
#[derive(Debug, Args)]
pub struct ServerFlags {
    /// CPUs that get an engine each, as taskset writes them: 0 or 0,2-3; all: every CPU that the process may use
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub cores: Cores,
    /// System interface: uring, epoll, or auto (uring where the kernel allows it)
    #[arg(long, value_name = "IO", default_value_t = Interface::Auto)]
    pub io: Interface,
    /// Answer health checks, metrics, captures and purges at this address; off by default
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Allow --admin at an address that other machines can reach; whoever reaches it can purge the cache
    #[arg(long, requires = "admin")]
    pub admin_allow_remote: bool,
    /// Access log: text (of HTTP the Combined Log Format), json, or off
    #[arg(long, value_name = "FORM", default_value_t = LogFormat::Off)]
    pub log: LogFormat,
    /// Append the access log to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// How long requests in flight may take to finish when the server stops
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub grace_period: Span,
    /// What the server says on standard error
    #[command(flatten)]
    pub diagnostics: Diagnostics,
    /// Whose TCP clients talk to. Last: what follows stands under its heading.
    #[command(flatten)]
    pub direct: DirectFlags,
}

impl ServerFlags {
    /// The configuration that the flags stand for, in which nothing is served.
    pub(super) fn config(&self) -> Config {
        let mut config = Config {
            cores: self.cores.clone(),
            io: self.io,
            admin: self.admin.map(|listen| Admin { listen, allow_remote: self.admin_allow_remote }),
            ..Config::default()
        };
        (config.transport, config.direct) = self.direct.config();
        config.limits.grace_period = self.grace_period;
        config.log.format = self.log;
        config.log.path.clone_from(&self.log_file);
        config
    }
}

/// Whose TCP clients talk to, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transport")]
pub struct DirectFlags {
    /// Whose TCP clients talk to: the kernel's (sockets), or our own on the frames of an interface (direct)
    #[arg(long, value_name = "TRANSPORT", default_value_t = Transport::Sockets)]
    pub transport: Transport,
    /// The interface of the direct transport, which needs one. What is not for --listen stays with the kernel
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,
    /// How frames are taken: xdp (AF_XDP), packet (AF_PACKET rings), tap (a TAP device), or auto (the first that works)
    #[arg(long, value_name = "WAY", default_value_t = Frames::Auto)]
    pub frames: Frames,
    /// How many of the interface's queues get an engine of their own [default: all, as far as there are engines]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub queues: Option<u32>,
    /// How handshakes are remembered: not at all (cookies), or in a queue, and by cookies when it is full (queue)
    #[arg(long, value_name = "HOW", default_value_t = Handshake::Cookies)]
    pub handshake: Handshake,
    /// Whether the driver answers SYNs and drops acknowledgments without news (on), or the engine does (off)
    #[arg(long, value_name = "ON", default_value = "off", value_parser = switch, action = clap::ArgAction::Set)]
    pub driver_handshake: bool,
    /// Whether the driver gives answers of DNS that are asked for often (on), or engines give all (off)
    #[arg(long, value_name = "ON", default_value = "off", value_parser = switch, action = clap::ArgAction::Set)]
    pub driver_answers: bool,
    /// Whether our calls drive the interface in place of its interrupts (on), with AF_XDP
    #[arg(long, value_name = "ON", default_value = "off", value_parser = switch, action = clap::ArgAction::Set)]
    pub busy_poll: bool,
    /// Checksums of payloads: as the cache stores them (stored), or from the octets each time (computed)
    #[arg(long, value_name = "FROM", default_value_t = Checksum::Stored)]
    pub checksum: Checksum,
    /// Whether payloads leave from where they lie (on), or are copied first (off)
    #[arg(long, value_name = "ON", default_value = "on", value_parser = switch, action = clap::ArgAction::Set)]
    pub zero_copy: bool,
    /// Congestion control: reno (RFC 6582) or cubic (RFC 9438)
    #[arg(long, value_name = "NAME", default_value_t = Congestion::Cubic)]
    pub congestion: Congestion,
}

impl DirectFlags {
    fn config(&self) -> (Transport, Direct) {
        let direct = Direct {
            interface: self.interface.clone(),
            frames: self.frames,
            queues: self.queues,
            handshake: self.handshake,
            driver_handshake: self.driver_handshake,
            driver_answers: self.driver_answers,
            busy_poll: self.busy_poll,
            checksum: self.checksum,
            zero_copy: self.zero_copy,
            congestion: self.congestion,
            ..Direct::default()
        };
        (self.transport, direct)
    }
}

fn switch(text: &str) -> Result<bool, Malformed> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Malformed::new("on or off", text)),
    }
}

/// What the server says on standard error.
#[derive(Debug, Args, Clone, Copy)]
pub struct Diagnostics {
    /// Say more on standard error about what the server does; twice: everything
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
