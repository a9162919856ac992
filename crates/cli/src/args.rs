//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Admin, Config, Cores, Interface, LogFormat, Problem, Respond};
use crate::graph::Format;
use crate::units::{ListenAddress, Size, Span};

const ABOUT: &str = "A web server that answers requests in the context in which their bytes arrive";

const EXAMPLES: &str = "\
Examples:
  afpa serve .                                       this directory, on http://127.0.0.1:8080
  afpa serve /srv/www --listen :80 --listen [::]:80  a public site, IPv4 and IPv6
  afpa serve /srv/www --cores 2-3 --cache 2GiB       two engines, on CPUs 2 and 3
  afpa check --config /etc/afpa.toml                 every error in a configuration
  afpa graph http --format dot | dot -Tsvg           the HTTP module as a state diagram

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
  afpa serve /srv/www --admin 127.0.0.1:9090         then: curl http://127.0.0.1:9090/metrics

Everything else (limits, Cache-Control by path, ...) is set in a configuration: see afpa run.";

const RUN_EXAMPLES: &str = "\
The smallest configuration:
  [site]
  root = \"/srv/www\"

Every key, with its default, is explained in afpa.toml, which comes with the program. Check a
changed configuration with afpa check, then make a running server read it: kill -HUP PID.";

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
    /// Answer health checks, metrics and purges at this address; off by default
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
        other => other,
    };
    format!("{flag}: {}", problem.message.replace("admin.allow-remote", "--admin-allow-remote"))
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
    }
}
