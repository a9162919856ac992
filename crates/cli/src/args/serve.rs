//! `afpa serve`.

use std::path::PathBuf;

use clap::Args;

use super::ServerFlags;
use crate::config::{Config, Respond};
use crate::units::{ListenAddress, Size};

pub(super) const EXAMPLES: &str = "\
Sizes are octets: 4096, 64KiB, 256MiB, 1GiB. Durations: 500ms, 5s, 2m, 1h.

Examples:
  afpa serve ./public
  afpa serve /srv/www --listen unix:/run/afpa.sock --log json --log-file /var/log/afpa.json
  afpa serve /srv/www --io epoll --respond inline --cores 0
  afpa serve /srv/www --listen 192.0.2.7:80 --transport direct --interface eth0
  afpa serve /srv/www --admin 127.0.0.1:9090         then: curl http://127.0.0.1:9090/metrics

Everything else (limits, Cache-Control by path, ...) is set in a configuration: see afpa run.";

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
    /// Who sends: the engine (inline), a worker (thread), or the engine what is in memory and a worker what is not (hybrid)
    #[arg(long, value_name = "CONTEXT", default_value_t = Respond::Hybrid)]
    pub respond: Respond,
    /// Memory for the cache, everything included
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub cache: Size,
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
    /// What runs the server. Last: what follows stands under its heading.
    #[command(flatten)]
    pub server: ServerFlags,
}

impl Serve {
    /// The configuration that the flags stand for.
    pub fn config(&self) -> Config {
        let mut config = Config { listen: self.listen.clone(), respond: self.respond, ..self.server.config() };
        config.site.root.clone_from(&self.root);
        config.site.listing = self.listing;
        config.site.dotfiles = self.dotfiles;
        config.site.follow_symlinks = self.follow_symlinks;
        config.site.compress = !self.no_compress;
        config.site.cache_control.clone_from(&self.cache_control);
        config.cache.size = self.cache;
        config.cache.max_pinned_object.0 = config.cache.max_pinned_object.0.min(self.cache.0 / 8);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::args::{Command, in_flags, parse};
    use crate::config::{
        Admin, Checksum, Congestion, Cores, Direct, Frames, Handshake, Interface, LogFormat, Transport, problems,
    };
    use crate::units::Span;

    fn serve(arguments: &[&str]) -> Result<Config, String> {
        match parse("serve", arguments)? {
            Command::Serve(serve) => Ok(serve.config()),
            other => panic!("{other:?}"),
        }
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
            "--driver-answers",
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
            driver_answers: true,
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
