//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{
    Admin, Checksum, Config, Congestion, Cores, Direct, Frames, Handshake, Interface, LogFormat, Problem, Respond,
    Transport,
};
use crate::graph::Format;
use crate::units::{ListenAddress, Malformed, Size, Span};

const ABOUT: &str = "A web server that answers requests in the context in which their bytes arrive";

const EXAMPLES: &str = "\
Examples:
  afpa serve .                                       this directory, on http://127.0.0.1:8080
  afpa serve /srv/www --listen :80 --listen [::]:80  a public site, IPv4 and IPv6
  afpa serve /srv/www --cores 2-3 --cache 2GiB       two engines, on CPUs 2 and 3
  afpa check --config /etc/afpa.toml                 every error in a configuration
  afpa graph http --format dot | dot -Tsvg           the HTTP module as a state diagram
  afpa doctor --interface eth0                       what this machine supports, and what is missing
  afpa lab up                                        a place to try the direct transport in
  afpa capture a.pcapng --admin 127.0.0.1:9090       the frames that the direct transport sees

Signals to a running server:
  SIGTERM, SIGINT  finish what is in flight, then end; a second one ends at once
  SIGHUP           read the configuration again; a bad one is refused and the old one stays
  SIGUSR1          open the log file again, after it was moved

Exit status: 0 after an orderly end, 1 if something is wrong with the configuration or the
machine, 2 if the command line is wrong.";

const SERVE_EXAMPLES: &str = "\
Sizes are octets: 4096, 64KiB, 256MiB, 1GiB. Durations: 500ms, 5s, 2m, 1h.

Examples:
  afpa serve ./public
  afpa serve /srv/www --listen unix:/run/afpa.sock --log json --log-file /var/log/afpa.json
  afpa serve /srv/www --io epoll --respond inline --cores 0
  afpa serve /srv/www --listen 192.0.2.7:80 --transport direct --interface eth0
  afpa serve /srv/www --admin 127.0.0.1:9090         then: curl http://127.0.0.1:9090/metrics

Everything else (limits, Cache-Control by path, ...) is set in a configuration: see afpa run.";

const RUN_EXAMPLES: &str = "\
The smallest configuration:
  [site]
  root = \"/srv/www\"

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
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<Serve>),
    /// Serve as a configuration file says
    #[command(after_help = RUN_EXAMPLES)]
    Run(ConfigFile),
    /// Check a configuration file: exit status 0, or every error with its place
    Check(ConfigFile),
    /// Print a protocol module's control table as a state diagram
    Graph(Graph),
    /// Make, remove or show two network namespaces in which the direct transport can be tried
    #[command(after_help = LAB_EXAMPLES)]
    Lab(Lab),
    /// Say which transports this machine supports, what they would give, and what is missing
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Record the frames that a running server's direct transport receives and sends
    #[command(after_help = CAPTURE_EXAMPLES)]
    Capture(Capture),
}

/// `afpa serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The directory to serve; nothing outside it can be reached
    #[arg(value_name = "DIR")]
    pub root: PathBuf,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        help = "Where to listen: 127.0.0.1:8080, [::1]:8080, :8080 (every IPv4 address), unix:/path; may be repeated"
    )]
    pub listen: Vec<ListenAddress>,
    /// CPUs that get an engine each, as taskset writes them: 0 or 0,2-3; all: every CPU that the process may use
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub cores: Cores,
    /// System interface: uring, epoll, or auto (uring where the kernel allows it)
    #[arg(long, value_name = "IO", default_value_t = Interface::Auto)]
    pub io: Interface,
    /// Who sends: the engine (inline), a worker (thread), or the engine what is in memory and a worker what is not (hybrid)
    #[arg(long, value_name = "CONTEXT", default_value_t = Respond::Hybrid)]
    pub respond: Respond,
    /// Memory for the cache, everything included
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub cache: Size,
    /// Answer health checks, metrics, captures and purges at this address; off by default
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Allow --admin at an address that other machines can reach; whoever reaches it can purge the cache
    #[arg(long, requires = "admin")]
    pub admin_allow_remote: bool,
    /// Access log: text (Combined Log Format), json, or off
    #[arg(long, value_name = "FORM", default_value_t = LogFormat::Off)]
    pub log: LogFormat,
    /// Append the access log to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// List directories that have no index.html
    #[arg(long)]
    pub listing: bool,
    /// Serve names that start with a dot (.well-known is always served)
    #[arg(long)]
    pub dotfiles: bool,
    /// Let symbolic links lead out of DIR
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Do not compress text
    #[arg(long)]
    pub no_compress: bool,
    /// Cache-Control field of every response, such as max-age=60
    #[arg(long, value_name = "VALUE")]
    pub cache_control: Option<String>,
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

fn switch(text: &str) -> Result<bool, Malformed> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Malformed::new("on or off", text)),
    }
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

/// What the server says on standard error.
#[derive(Debug, Args, Clone, Copy)]
pub struct Diagnostics {
    /// Say more on standard error about what the server does; twice: everything
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub verbose: u8,
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
    /// The web server
    Http,
}

impl Serve {
    /// The configuration that the flags stand for.
    pub fn config(&self) -> Config {
        let mut config = Config {
            listen: self.listen.clone(),
            cores: self.cores.clone(),
            io: self.io,
            respond: self.respond,
            admin: self.admin.map(|listen| Admin { listen, allow_remote: self.admin_allow_remote }),
            ..Config::default()
        };
        (config.transport, config.direct) = self.direct.config();
        config.site.root.clone_from(&self.root);
        config.site.listing = self.listing;
        config.site.dotfiles = self.dotfiles;
        config.site.follow_symlinks = self.follow_symlinks;
        config.site.compress = !self.no_compress;
        config.site.cache_control.clone_from(&self.cache_control);
        config.cache.size = self.cache;
        config.cache.max_pinned_object.0 = config.cache.max_pinned_object.0.min(self.cache.0 / 8);
        config.limits.grace_period = self.grace_period;
        config.log.format = self.log;
        config.log.path.clone_from(&self.log_file);
        config
    }
}

impl DirectFlags {
    fn config(&self) -> (Transport, Direct) {
        let direct = Direct {
            interface: self.interface.clone(),
            frames: self.frames,
            queues: self.queues,
            handshake: self.handshake,
            driver_handshake: self.driver_handshake,
            busy_poll: self.busy_poll,
            checksum: self.checksum,
            zero_copy: self.zero_copy,
            congestion: self.congestion,
            ..Direct::default()
        };
        (self.transport, direct)
    }
}

/// A problem in the words of the command line: `--cache: expected …`.
pub fn in_flags(problem: &Problem) -> String {
    let setting = problem.key.split('[').next().unwrap_or_default();
    let flag = match setting {
        "listen" => "--listen",
        "site.root" => "DIR",
        "site.cache-control" => "--cache-control",
        "cache.size" => "--cache",
        "limits.grace-period" => "--grace-period",
        "admin.listen" => "--admin",
        "log.path" => "--log-file",
        "transport" => "--transport",
        "direct.interface" => "--interface",
        "direct.frames" => "--frames",
        "direct.queues" => "--queues",
        "direct.handshake" => "--handshake",
        "direct.driver-handshake" => "--driver-handshake",
        "direct.busy-poll" => "--busy-poll",
        "direct.checksum" => "--checksum",
        "direct.zero-copy" => "--zero-copy",
        "direct.congestion" => "--congestion",
        other => other,
    };
    let mut message = problem.message.clone();
    for (setting, flag) in [
        ("admin.allow-remote", "--admin-allow-remote"),
        ("direct.interface", "--interface"),
        ("transport = \"direct\"", "--transport direct"),
        ("transport = \"sockets\"", "--transport sockets"),
    ] {
        message = message.replace(setting, flag);
    }
    format!("{flag}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problems;
    use clap::CommandFactory;

    fn serve(arguments: &[&str]) -> Result<Config, String> {
        let arguments = ["afpa", "serve"].iter().chain(arguments);
        match Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?.command {
            Command::Serve(serve) => Ok(serve.config()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_flags_serve_means_the_defaults() {
        let mut expected = Config::default();
        expected.site.root = "public".into();
        assert_eq!(serve(&["public"]), Ok(expected));
    }

    #[test]
    fn each_flag_arrives() {
        let config = serve(&[
            "/srv",
            "--listen",
            ":80",
            "--listen",
            "[::]:80",
            "--cores",
            "1,3-4",
            "--io",
            "epoll",
            "--respond",
            "inline",
            "--cache",
            "1GiB",
            "--admin",
            "127.0.0.1:9090",
            "--log",
            "json",
            "--log-file",
            "/tmp/a.log",
            "--listing",
            "--dotfiles",
            "--follow-symlinks",
            "--no-compress",
            "--cache-control",
            "no-cache",
            "--grace-period",
            "3s",
            "--transport",
            "direct",
            "--interface",
            "lab0",
            "--frames",
            "packet",
            "--queues",
            "2",
            "--handshake",
            "queue",
            "--driver-handshake",
            "on",
            "--busy-poll",
            "on",
            "--checksum",
            "computed",
            "--zero-copy",
            "off",
            "--congestion",
            "reno",
        ])
        .unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.cores, Cores::List(vec![1, 3, 4]));
        assert_eq!((config.io, config.respond), (Interface::Epoll, Respond::Inline));
        assert_eq!(config.cache.size, Size(1 << 30));
        assert_eq!(config.admin, Some(Admin { listen: "127.0.0.1:9090".parse().unwrap(), allow_remote: false }));
        assert_eq!((config.log.format, config.log.path), (LogFormat::Json, Some("/tmp/a.log".into())));
        assert!(config.site.listing && config.site.dotfiles && config.site.follow_symlinks && !config.site.compress);
        assert_eq!(config.site.cache_control.as_deref(), Some("no-cache"));
        assert_eq!(config.limits.grace_period, Span::seconds(3));
        assert_eq!(config.transport, Transport::Direct);
        let direct = Direct {
            interface: Some("lab0".into()),
            frames: Frames::Packet,
            queues: Some(2),
            handshake: Handshake::Queue,
            driver_handshake: true,
            busy_poll: true,
            checksum: Checksum::Computed,
            zero_copy: false,
            congestion: Congestion::Reno,
            ..Direct::default()
        };
        assert_eq!(config.direct, direct);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_command_line() {
        let error = serve(&["/srv", "--cache", "64M"]).unwrap_err();
        assert!(error.contains("--cache <SIZE>") && error.contains("write 64MiB"), "{error}");
        let config =
            serve(&["/srv", "--admin", "0.0.0.0:9090", "--cache", "1KiB", "--listen", ":1", "--listen", ":1"]).unwrap();
        let said: Vec<_> = problems(&config).iter().map(in_flags).collect();
        assert!(said.contains(&"--listen: expected each address once, found 0.0.0.0:1 twice".into()), "{said:?}");
        assert!(said.contains(&"--cache: expected a size from 4 MiB to 16 TiB, found 1 KiB".into()), "{said:?}");
        let admin = "--admin: expected a loopback address (or --admin-allow-remote), found 0.0.0.0:9090";
        assert!(said.contains(&admin.into()), "{said:?}");
        let cases: [(&[&str], &str); 3] = [
            (
                &["/srv", "--transport", "direct"],
                "--transport: expected --interface beside \"direct\", found none; \
                 ip link shows the interfaces, afpa doctor what they can do",
            ),
            (
                &["/srv", "--zero-copy", "off"],
                "--zero-copy: expected --transport direct beside it, found \"sockets\"; set it, or leave this out",
            ),
            (
                &["/srv", "--transport", "direct", "--interface", "lab0", "--listen", "unix:/a"],
                "--listen: expected an IP address and a port, found unix:/a; Unix sockets need --transport sockets",
            ),
        ];
        for (arguments, expected) in cases {
            let said: Vec<_> = problems(&serve(arguments).unwrap()).iter().map(in_flags).collect();
            assert_eq!(said, [expected], "{arguments:?}");
        }
    }
}
