//! `afpa accelerate`.

use std::str::FromStr;

use clap::Args;

use super::ServerFlags;
use crate::config::Config;
use crate::config::pools::{Backend, BackendAddress, Pool};
use crate::config::sites::{Route, Site, Target};
use crate::units::{ListenAddress, Malformed, Size};
use afpa_routing::HostPattern;

pub(super) const EXAMPLES: &str = "\
Requests go to the server at URL, or by turns to several. What they answer is kept in memory for as
long as they say (RFC 9111). Sizes are octets: 64KiB, 256MiB. Durations: 500ms, 5s, 2m, 1h.

Examples:
  afpa accelerate http://127.0.0.1:3000                       on http://127.0.0.1:8080
  afpa accelerate http://app.internal:3000 --listen :80 --listen [::]:80 --cache 2GiB
  afpa accelerate http://10.0.0.1:3000 http://10.0.0.2:3000   two that answer the same
  afpa accelerate http://unix:/run/app.sock --admin 127.0.0.1:9090

Everything else (hosts and paths, several pools, health checks, retries, how long what is kept, limits
for clients) is set in a configuration: see afpa run. afpa explain says what becomes of a request.";

/// `afpa accelerate`.
#[derive(Debug, Args)]
pub struct Accelerate {
    /// The server that answers: http://HOST:PORT or http://unix:/path; several, if they answer the same
    #[arg(value_name = "URL", required = true)]
    pub upstream: Vec<Upstream>,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        help = "Where to listen: 127.0.0.1:8080, [::1]:8080, :8080 (every IPv4 address), unix:/path; may be repeated"
    )]
    pub listen: Vec<ListenAddress>,
    /// Memory for the cache, everything included
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub cache: Size,
    /// What runs the server. Last: what follows stands under its heading.
    #[command(flatten)]
    pub server: ServerFlags,
}

/// A server that answers: `http://127.0.0.1:3000`, `http://unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream(pub BackendAddress);

impl FromStr for Upstream {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Upstream, Malformed> {
        let malformed = || Malformed::new("a URL such as http://127.0.0.1:3000 or http://unix:/run/app.sock", text);
        if text.starts_with("https://") {
            return Err(malformed().hint("TLS is not spoken with backends; let the server listen for http as well"));
        }
        let Some(authority) = text.strip_prefix("http://") else {
            let has_scheme = text.contains("://");
            return Err(if has_scheme { malformed() } else { malformed().hint(format!("write http://{text}")) });
        };
        if authority.starts_with("unix:") {
            return authority
                .parse()
                .map(Upstream)
                .map_err(|error: Malformed| Malformed { hint: error.hint, ..malformed() });
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(malformed().hint("a path is set as add-prefix of a route in a configuration"));
        }
        // RFC 9110 §4.2.1: the port of http.
        let with_port = format!("{authority}:80");
        let found = authority.parse().or_else(|error: Malformed| with_port.parse().map_err(|_| error));
        found.map(Upstream).map_err(|_| malformed())
    }
}

impl Accelerate {
    /// The configuration that the flags stand for: one pool, and one route to it.
    pub fn config(&self) -> Config {
        let backends = self.upstream.iter().map(|Upstream(address)| Backend::at(address.clone())).collect();
        let pool = Pool { backends, ..Pool::named("default") };
        let route = Route { name: Some("default".into()), upgrade: true, ..Route::to(Target::Pool(pool.name.clone())) };
        let site = Site { name: "default".into(), hosts: vec![HostPattern::Any], routes: vec![route] };
        let mut config =
            Config { listen: self.listen.clone(), pools: vec![pool], sites: vec![site], ..self.server.config() };
        config.cache.size = self.cache;
        config.cache.max_pinned_object.0 = config.cache.max_pinned_object.0.min(self.cache.0 / 8);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::args::{Command, in_flags, parse};
    use crate::config::{LogFormat, problems, router};
    use crate::units::Span;

    fn accelerate(arguments: &[&str]) -> Result<Config, String> {
        match parse("accelerate", arguments)? {
            Command::Accelerate(accelerate) => Ok(accelerate.config()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_goes_to_one_pool() {
        let config = accelerate(&["http://127.0.0.1:3000"]).unwrap();
        assert_eq!(problems(&config), []);
        assert!(config.serves_http() && !config.has_site());
        let router = router(&config).unwrap();
        assert_eq!(router.sole().map(|route| &route.target), Some(&afpa_routing::Target::Pool(0)));
        assert_eq!(router.sole().and_then(|route| route.caching), Some(0));
    }

    #[test]
    fn each_flag_arrives() {
        let config = accelerate(&[
            "http://App.internal",
            "http://[::1]:3000/",
            "http://unix:/run/app.sock",
            "--listen",
            ":80",
            "--listen",
            "unix:/run/afpa.sock",
            "--cache",
            "4MiB",
            "--log",
            "json",
            "--admin",
            "127.0.0.1:9090",
            "--grace-period",
            "3s",
        ])
        .unwrap();
        let backends: Vec<_> = config.pools[0].backends.iter().map(|backend| backend.address.to_string()).collect();
        assert_eq!(backends, ["app.internal:80", "[::1]:3000", "unix:/run/app.sock"]);
        let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["0.0.0.0:80", "unix:/run/afpa.sock"]);
        assert_eq!((config.cache.size, config.cache.max_pinned_object), (Size::mib(4), Size::kib(512)));
        assert_eq!((config.log.format, config.limits.grace_period), (LogFormat::Json, Span::seconds(3)));
        assert!(config.admin.is_some());
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_command_line() {
        for (arguments, expected) in [
            (&[][..], "<URL>..."),
            (&["https://a"], "TLS is not spoken with backends; let the server listen for http as well"),
            (&["127.0.0.1:3000"], "write http://127.0.0.1:3000"),
            (
                &["ftp://a"],
                "expected a URL such as http://127.0.0.1:3000 or http://unix:/run/app.sock, found \"ftp://a\"",
            ),
            (&["http://a/b"], "a path is set as add-prefix of a route in a configuration"),
            (&["http://unix:app.sock"], "the path of a Unix socket starts with /"),
            (&["http://"], "expected a URL such as"),
            (&["http://a b"], "expected a URL such as"),
            (&["http://user@a"], "expected a URL such as"),
        ] {
            let error = accelerate(arguments).unwrap_err();
            assert!(error.contains(expected), "{expected} in\n{error}");
        }
        let cases: [(&[&str], &str); 3] = [
            (
                &["http://127.0.0.1:8080"],
                "URL: expected another server, since --listen has this address, found 127.0.0.1:8080",
            ),
            (&["http://a", "http://a:80"], "URL: expected each backend once, found a:80 twice"),
            (&["http://a", "--cache", "1KiB"], "--cache: expected a size from 4 MiB to 16 TiB, found 1 KiB"),
        ];
        for (arguments, expected) in cases {
            let said: Vec<_> = problems(&accelerate(arguments).unwrap()).iter().map(in_flags).collect();
            assert_eq!(said.first().map(String::as_str), Some(expected), "{arguments:?}");
        }
    }
}
