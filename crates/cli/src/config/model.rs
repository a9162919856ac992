//! The model and its defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::accelerate::Accelerate;
use super::classes::{Class, Overload};
use super::direct::{Direct, Transport};
use super::dns::Dns;
use super::pools::Pool;
use super::sites;
use super::tcp_server::TcpServer;
use super::words::words;
use crate::units::{ListenAddress, Malformed, Size, Span};

/// Everything that the server can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the site is served. Sockets passed by systemd take the place of these.
    pub listen: Vec<ListenAddress>,
    /// Which CPUs get an engine.
    pub cores: Cores,
    /// How the kernel is asked.
    pub io: Interface,
    /// In which context responses are sent.
    pub respond: Respond,
    /// Whose TCP clients talk to.
    pub transport: Transport,
    /// Our own TCP, if that is whose.
    pub direct: Direct,
    /// The site that is served; none if its root is empty: see [`Config::has_site`].
    pub site: Site,
    /// What holds for all that comes from backends.
    pub accelerate: Accelerate,
    /// Backends that answer the same.
    pub pools: Vec<Pool>,
    /// What becomes of requests, by host and path: see [`Config::serves_http`].
    pub sites: Vec<sites::Site>,
    /// Requests that are served before others, or less of them.
    pub classes: Vec<Class>,
    /// What is done when there is too much to do.
    pub overload: Overload,
    /// DNS; off if absent.
    pub dns: Option<Dns>,
    /// TCP for other processes, and then nothing else; off if absent.
    pub tcp_server: Option<TcpServer>,
    /// The cache in memory.
    pub cache: Cache,
    /// What one client may cost.
    pub limits: Limits,
    /// Threads for what can block.
    pub workers: Workers,
    /// The operator's own server; off if absent.
    pub admin: Option<Admin>,
    /// The access log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![ListenAddress::Inet(SocketAddr::from(([127, 0, 0, 1], 8080)))],
            cores: Cores::Allowed,
            io: Interface::Auto,
            respond: Respond::Hybrid,
            transport: Transport::Sockets,
            direct: Direct::default(),
            site: Site::default(),
            accelerate: Accelerate::default(),
            pools: Vec::new(),
            sites: Vec::new(),
            classes: Vec::new(),
            overload: Overload::default(),
            dns: None,
            tcp_server: None,
            cache: Cache::default(),
            limits: Limits::default(),
            workers: Workers::default(),
            admin: None,
            log: Log::default(),
        }
    }
}

impl Config {
    /// Whether anything is served over HTTP: files of [`Config::site`], or what sites say.
    pub fn serves_http(&self) -> bool {
        self.has_site() || !self.sites.is_empty()
    }

    /// Whether requests are looked at for their route or their class, and not all served alike from [`Config::site`].
    pub fn has_routes(&self) -> bool {
        !self.sites.is_empty() || self.has_classes()
    }

    /// Whether there are classes of requests, or limits for clients.
    pub fn has_classes(&self) -> bool {
        let Overload { capacity, client_requests, client_connections, .. } = self.overload;
        !self.classes.is_empty() || capacity > 0 || client_requests > 0 || client_connections > 0
    }

    /// Whether files of [`Config::site`] are served over HTTP.
    pub fn has_site(&self) -> bool {
        !self.site.root.as_os_str().is_empty()
    }

    /// Takes over from `new` what a running server can change. Returns the settings that differ and
    /// stay as they are until a restart.
    pub fn adopt(&mut self, new: Config) -> Vec<&'static str> {
        let keeps_site = self.has_site() == new.has_site() && self.serves_http() == new.serves_http();
        let keeps_routes = keeps_site && self.has_routes() == new.has_routes();
        let keeps_dns = self.dns.is_some() == new.dns.is_some();
        let fixed = [
            ("site", !keeps_site),
            ("dns", !keeps_dns),
            ("tcp-server", self.tcp_server != new.tcp_server),
            // Without routes and classes the engines have nothing that looks at them.
            ("sites", keeps_site && !keeps_routes),
            ("listen", keeps_site && self.listen != new.listen),
            ("cores", self.cores != new.cores),
            ("io", self.io != new.io),
            ("respond", self.respond != new.respond),
            ("transport", self.transport != new.transport),
            ("direct", self.direct != new.direct),
            ("cache.size", self.cache.size != new.cache.size),
            ("limits.connections", self.limits.connections != new.limits.connections),
            ("workers", self.workers != new.workers),
            ("admin", self.admin != new.admin),
            ("log.buffer", self.log.buffer != new.log.buffer),
            // Without a log the engines have no rings to write to.
            ("log.format", self.log.format == LogFormat::Off && new.log.format != LogFormat::Off),
        ];
        if keeps_site {
            self.site = new.site;
        }
        if keeps_routes {
            self.sites = new.sites;
            self.pools = new.pools;
            self.accelerate = new.accelerate;
            self.classes = new.classes;
            self.overload = new.overload;
        }
        let mut of_dns = Vec::new();
        if let (Some(dns), Some(new)) = (&mut self.dns, new.dns) {
            of_dns = dns.adopt(new);
        }
        self.cache = Cache { size: self.cache.size, ..new.cache };
        self.limits = Limits { connections: self.limits.connections, ..new.limits };
        if self.log.format != LogFormat::Off {
            self.log = Log { buffer: self.log.buffer, ..new.log };
        }
        fixed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).chain(of_dns).collect()
    }
}

/// Which CPUs get an engine each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// Every CPU that the process may use.
    Allowed,
    /// These, in ascending order, none twice.
    List(Vec<usize>),
}

/// The highest CPU number that a list may name: what `cpu_set_t` holds.
const MAX_CPU: usize = 1023;

impl FromStr for Cores {
    type Err = Malformed;

    /// CPU numbers as `taskset -c` writes them, or `all`.
    fn from_str(text: &str) -> Result<Cores, Malformed> {
        let malformed = || Malformed::new("CPU numbers such as 0 or 0,2-3, or all", text);
        if text == "all" {
            return Ok(Cores::Allowed);
        }
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = cpu(first).zip(cpu(last)).filter(|(first, last)| first <= last).ok_or_else(malformed)?;
            cpus.extend(range.0..=range.1);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Cores::List(cpus))
    }
}

fn cpu(text: &str) -> Option<usize> {
    let digits = text.trim_matches(' ');
    let number: usize = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    (number <= MAX_CPU).then_some(number)
}

words! {
    /// The system interface under the sockets transport.
    Interface: "uring, epoll or auto" {
        /// io_uring where the kernel allows it, else epoll.
        Auto = "auto",
        /// io_uring, or an error.
        Uring = "uring",
        /// epoll.
        Epoll = "epoll",
    }
}

words! {
    /// The context in which a response is sent (AFPA §3.1).
    Respond: "inline, thread or hybrid" {
        /// The engine sends everything, where TCP input is processed.
        Inline = "inline",
        /// A worker sends everything.
        Thread = "thread",
        /// What is pinned in memory inline, files by a worker.
        Hybrid = "hybrid",
    }
}

words! {
    /// The form of the access log.
    LogFormat: "text, json or off" {
        /// No access log.
        Off = "off",
        /// The Combined Log Format: one line for each request.
        Text = "text",
        /// One JSON object on a line for each request.
        Json = "json",
    }
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The directory; nothing outside it is reachable unless symbolic links may lead out.
    pub root: PathBuf,
    /// Names tried, in order, for a directory.
    pub index: Vec<String>,
    /// Whether a directory without an index is listed.
    pub listing: bool,
    /// Whether names that start with a dot are served. `.well-known` always is.
    pub dotfiles: bool,
    /// Whether symbolic links may lead out of the root.
    pub follow_symlinks: bool,
    /// Whether `file.br`, `file.zst` and `file.gz` beside `file` are sent to those who accept them.
    pub precompressed: bool,
    /// Whether text is compressed when it enters the cache.
    pub compress: bool,
    /// The Cache-Control field of every response without a rule; none if absent.
    pub cache_control: Option<String>,
    /// Rules by path and extension; the first that matches holds.
    pub cache_control_rules: Vec<CacheControlRule>,
}

impl Default for Site {
    fn default() -> Site {
        Site {
            root: PathBuf::new(),
            index: vec!["index.html".into()],
            listing: false,
            dotfiles: false,
            follow_symlinks: false,
            precompressed: true,
            compress: true,
            cache_control: None,
            cache_control_rules: Vec::new(),
        }
    }
}

/// A Cache-Control value for some paths. Exactly one of `prefix` and `extension` chooses them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheControlRule {
    /// Paths that start so.
    pub prefix: Option<String>,
    /// Files with this extension, without the dot.
    pub extension: Option<String>,
    /// The field's value.
    pub value: String,
}

/// The cache in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// The most memory that payloads, heads, keys and bookkeeping take together.
    pub size: Size,
    /// Larger objects are not pinned in memory but sent through the file system's cache.
    pub max_pinned_object: Size,
    /// How old the knowledge about a file may be where the system does not tell of changes.
    pub revalidate: Span,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { size: Size::mib(256), max_pinned_object: Size::mib(1), revalidate: Span::milliseconds(500) }
    }
}

/// What one client may cost, and all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request head: 431 beyond it.
    pub header_size: Size,
    /// The most header fields: 431 beyond it.
    pub headers: u32,
    /// The longest request target: 414 beyond it.
    pub target: Size,
    /// How much of an unwanted request body is read before the connection is closed instead.
    pub body_drain: Size,
    /// The most connections, over all engines: beyond it accepting pauses.
    pub connections: u32,
    /// From a request's first octet to the end of its head: 408 after it.
    pub header_timeout: Span,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Span,
    /// The slowest transfer, in octets each second, in either direction; zero allows any.
    pub min_rate: Size,
    /// How long requests in flight may take to finish when the server stops.
    pub grace_period: Span,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_size: Size::kib(32),
            headers: 100,
            target: Size::kib(8),
            body_drain: Size::kib(64),
            connections: 65_536,
            header_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(60),
            min_rate: Size(500),
            grace_period: Span::seconds(10),
        }
    }
}

/// Threads for what can block: opening, reading, compressing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// How many threads.
    pub threads: u32,
    /// How many jobs may wait for them: 503 beyond it.
    pub queue: u32,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers { threads: 4, queue: 1024 }
    }
}

/// The operator's own server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether that may be an address that others can reach.
    pub allow_remote: bool,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its form.
    pub format: LogFormat,
    /// The file it is appended to; standard output if absent.
    pub path: Option<PathBuf>,
    /// The memory between each engine and the log's thread. What does not fit is dropped and counted.
    pub buffer: Size,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Off, path: None, buffer: Size::mib(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_written_as_taskset_writes_them() {
        for (text, cpus) in [("0", vec![0]), ("0,2-3", vec![0, 2, 3]), ("3,1-2,2", vec![1, 2, 3]), ("0-0", vec![0])] {
            assert_eq!(text.parse(), Ok(Cores::List(cpus)), "{text}");
        }
        assert_eq!("all".parse(), Ok(Cores::Allowed));
        for text in ["", ",", "1,", "a", "3-1", "-1", "1-", "1-2-3", "+1", "99999999999", "0-1024"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_change_stays_and_is_named() {
        let mut config = Config::default();
        let mut new = Config { listen: Vec::new(), ..Config::default() };
        new.site.listing = true;
        new.cache.size = Size::mib(8);
        new.cache.revalidate = Span::seconds(3);
        new.log.format = LogFormat::Json;
        new.transport = Transport::Direct;
        new.direct.interface = Some("lab0".into());
        assert_eq!(config.adopt(new), ["listen", "transport", "direct", "cache.size", "log.format"]);
        let mut expected = Config::default();
        expected.site.listing = true;
        expected.cache.revalidate = Span::seconds(3);
        assert_eq!(config, expected);
        assert_eq!(config.adopt(expected), [""; 0]);
    }

    #[test]
    fn sites_and_pools_change_and_a_server_for_files_stays_one() {
        let routed = || {
            let text = "pools=[{name='a', backends=[{address='a:1'}]}]\n[[sites]]\nroutes=[{pool='a'}]\n";
            crate::config::parse(text).config
        };
        let mut config = routed();
        let mut new = routed();
        new.sites[0].routes[0].upgrade = true;
        new.pools[0].pending = 1;
        new.overload.client_requests = 7;
        assert_eq!(config.adopt(new.clone()), [""; 0]);
        assert_eq!(config, new);
        assert_eq!(config.adopt(Config::default()), ["site"]);
        assert_eq!(config, new);
    }

    #[test]
    fn what_is_served_stays_what_it_is_and_dns_changes_as_far_as_it_can() {
        let mut site = Config::default();
        site.site.root = "/srv".into();
        let dns = Config { dns: Some(Dns::default()), ..Config::default() };
        let mut config = site.clone();
        assert_eq!(config.adopt(dns.clone()), ["site", "dns"]);
        assert_eq!(config, site);
        let mut config = dns.clone();
        assert_eq!(config.adopt(site), ["site", "dns"]);
        assert_eq!(config, dns);
        let new = Dns { listen: Vec::new(), udp_size: 512, ..Dns::default() };
        assert_eq!(config.adopt(Config { dns: Some(new), ..Config::default() }), ["dns.listen"]);
        assert_eq!(config.dns, Some(Dns { udp_size: 512, ..Dns::default() }));
    }

    #[test]
    fn words_are_read_as_they_are_shown() {
        for io in [Interface::Auto, Interface::Uring, Interface::Epoll] {
            assert_eq!(io.to_string().parse(), Ok(io));
        }
        assert_eq!(
            "kqueue".parse::<Interface>().unwrap_err().to_string(),
            r#"expected uring, epoll or auto, found "kqueue""#
        );
    }
}
