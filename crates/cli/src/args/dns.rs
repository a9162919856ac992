//! `afpa dns`.

use std::path::PathBuf;
use std::str::FromStr;

use afpa_dns::message::NameBuf;
use clap::{ArgGroup, Args};

use super::ServerFlags;
use crate::config::Config;
use crate::config::dns::{Address, Backend, Dns, Zone, domain_name};
use crate::units::{Malformed, Size};

pub(super) const EXAMPLES: &str = "\
Zones answer for themselves. Everything else goes to the backends, and only for clients on this
machine and in private networks; without a backend it is refused. Sizes are octets: 64KiB, 64MiB.
Durations: 500ms, 5s, 2m, 1h.

Examples:
  afpa dns --backend 9.9.9.9:53                       a caching forwarder on 127.0.0.1:5353
  afpa dns --backend 192.0.2.1:53 --backend 192.0.2.2:53 --listen :53 --listen [::]:53 --cache 1GiB
  afpa dns --zone example.com=/etc/zones/example.com --listen 192.0.2.7:53
  afpa dns --zone home.arpa=home.zone --backend 9.9.9.9:53
  afpa dns --backend 10.77.0.2:53 --listen 10.77.0.1:53 --transport direct --interface lab0
  dig @127.0.0.1 -p 5353 example.com                  ask it

Everything else (routes, pools, transfers, who is answered, rate limiting, stale answers, cookies)
is set in the section [dns] of a configuration: see afpa run.";

/// `afpa dns`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").args(["backend", "zone"]).required(true).multiple(true))]
pub struct DnsServer {
    /// A server to which questions go that no zone answers, such as 9.9.9.9:53; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub backend: Vec<Address>,
    /// A zone to answer with authority, and its zone file; may be repeated
    #[arg(long, value_name = "NAME=FILE")]
    pub zone: Vec<ZoneFile>,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:5353",
        help = "Where to listen, over UDP and TCP: 127.0.0.1:5353, [::1]:53, :53 (every IPv4 address); may be repeated"
    )]
    pub listen: Vec<Address>,
    /// Memory for the cache of the backends' answers, everything included
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub cache: Size,
    /// What runs the server. Last: what follows stands under its heading.
    #[command(flatten)]
    pub server: ServerFlags,
}

/// A zone and its file: `example.com=/etc/zones/example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFile {
    /// The zone's name.
    pub name: NameBuf,
    /// Its zone file.
    pub file: PathBuf,
}

impl FromStr for ZoneFile {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<ZoneFile, Malformed> {
        match text.split_once('=') {
            Some((name, file)) if !file.is_empty() => {
                Ok(ZoneFile { name: domain_name(name)?, file: PathBuf::from(file) })
            }
            _ => Err(Malformed::new("a zone and its file such as example.com=/etc/zones/example.com", text)),
        }
    }
}

impl DnsServer {
    /// The configuration that the flags stand for.
    pub fn config(&self) -> Config {
        let mut dns = Dns {
            listen: self.listen.iter().map(|Address(address)| *address).collect(),
            zones: self.zone.iter().map(zone).collect(),
            backends: self.backend.iter().map(|Address(address)| Backend::at(*address)).collect(),
            ..Dns::default()
        };
        dns.cache.size = self.cache;
        Config { dns: Some(dns), ..self.server.config() }
    }
}

fn zone(ZoneFile { name, file }: &ZoneFile) -> Zone {
    Zone { name: name.clone(), file: file.clone(), transfer: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::args::{Command, in_flags, parse};
    use crate::config::{Cores, Frames, Interface, LogFormat, Transport, problems};
    use crate::units::Span;

    fn dns(arguments: &[&str]) -> Result<Config, String> {
        match parse("dns", arguments)? {
            Command::Dns(dns) => Ok(dns.config()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_other_flags_it_means_the_defaults() {
        let backends = vec![Backend::at("9.9.9.9:53".parse().unwrap())];
        let expected = Config { dns: Some(Dns { backends, ..Dns::default() }), ..Config::default() };
        assert_eq!(dns(&["--backend", "9.9.9.9:53"]), Ok(expected.clone()));
        assert!(!expected.has_site());
        assert_eq!(problems(&expected), []);
    }

    #[test]
    fn each_flag_arrives() {
        let config = dns(&[
            "--backend",
            "9.9.9.9:53",
            "--backend",
            "[2620:fe::9]:53",
            "--zone",
            "Example.com=/etc/zones/a=b",
            "--zone",
            ".=root.zone",
            "--listen",
            ":53",
            "--listen",
            "[::1]:53",
            "--cache",
            "1GiB",
            "--cores",
            "1,3-4",
            "--io",
            "epoll",
            "--admin",
            "127.0.0.1:9090",
            "--log",
            "json",
            "--log-file",
            "/tmp/dns.log",
            "--grace-period",
            "3s",
            "--transport",
            "direct",
            "--interface",
            "lab0",
            "--frames",
            "packet",
        ])
        .unwrap();
        let shown = |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of_dns = config.dns.unwrap();
        assert_eq!(shown(of_dns.listen), ["0.0.0.0:53", "[::1]:53"]);
        assert_eq!(
            shown(of_dns.backends.iter().map(|backend| backend.address).collect()),
            ["9.9.9.9:53", "[2620:fe::9]:53"]
        );
        let zones: Vec<_> = of_dns.zones.iter().map(|zone| (zone.name.to_string(), zone.file.to_owned())).collect();
        assert_eq!(zones, [("example.com.".into(), "/etc/zones/a=b".into()), (".".into(), "root.zone".into())]);
        assert_eq!(of_dns.cache.size, Size(1 << 30));
        assert_eq!((config.cores, config.io), (Cores::List(vec![1, 3, 4]), Interface::Epoll));
        assert!(config.admin.is_some());
        assert_eq!((config.log.format, config.log.path), (LogFormat::Json, Some("/tmp/dns.log".into())));
        assert_eq!(config.limits.grace_period, Span::seconds(3));
        assert_eq!((config.transport, config.direct.frames), (Transport::Direct, Frames::Packet));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_command_line() {
        for (arguments, expected) in [
            (&[][..], "--backend <ADDR>|--zone <NAME=FILE>"),
            (&["--backend", "9.9.9.9"], "a port is missing; write 9.9.9.9:53"),
            (&["--zone", "example.com"], "expected a zone and its file such as example.com=/etc/zones/example.com"),
            (&["--zone", "a..b=c"], "expected a domain name such as example.com, found \"a..b\""),
            (&["--zone", "a=b", "--listen", "unix:/a"], "expected an IP address and a port"),
        ] {
            let error = dns(arguments).unwrap_err();
            assert!(error.contains(expected), "{expected} in\n{error}");
        }
        let cases: [(&[&str], &str); 5] = [
            (
                &["--backend", "127.0.0.1:5353"],
                "--backend: expected another server, since --listen has this address, found 127.0.0.1:5353",
            ),
            (
                &["--backend", "9.9.9.9:53", "--backend", "9.9.9.9:53"],
                "--backend: expected each backend once, or under names of their own, found 9.9.9.9:53 twice",
            ),
            (&["--zone", "a=b", "--zone", "A.=c"], "--zone: expected each zone once, found a twice"),
            (&["--zone", "a=b", "--cache", "1KiB"], "--cache: expected a size from 1 MiB to 1 TiB, found 1 KiB"),
            (
                &["--zone", "a=b", "--listen", ":53", "--listen", ":53"],
                "--listen: expected each address once, found 0.0.0.0:53 twice",
            ),
        ];
        for (arguments, expected) in cases {
            let said: Vec<_> = problems(&dns(arguments).unwrap()).iter().map(in_flags).collect();
            assert_eq!(said, [expected], "{arguments:?}");
        }
    }
}
