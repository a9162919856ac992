//! What is well written and still cannot work.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use super::direct::{Direct, Transport};
use super::model::{Config, Cores, LogFormat};
use super::{accelerate, classes, dns, pools, sites, tcp_server};
use crate::units::{ListenAddress, Size, Span};

/// A setting that cannot work, alone or beside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's path in the configuration: `site.root`, `listen[1]`.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { key: key.into(), message: message.into() }
    }

    /// The setting, then what it is a part of: where to look for its place in a file.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.key.as_str()), |key| key.rfind(['.', '[']).map(|cut| &key[..cut]))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `config`.
pub fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    listeners(config, &mut found);
    if let Some(dns) = &config.dns {
        dns::problems(dns, &mut found);
    }
    if let Some(server) = &config.tcp_server {
        tcp_server::problems(config, server, &mut found);
    }
    site(config, &mut found);
    accelerate::problems(&config.accelerate, &mut found);
    pools::problems(config, &mut found);
    sites::problems(config, &mut found);
    classes::problems(config, &mut found);
    sizes(config, &mut found);
    spans(config, &mut found);
    transport(config, &mut found);
    admin(config, &mut found);
    found
}

/// A size that lies outside its bounds.
pub(super) fn size_within(key: String, size: Size, least: Size, most: Size, found: &mut Vec<Problem>) {
    if size < least || size > most {
        found.push(Problem::new(key, format!("expected a size from {least} to {most}, found {size}")));
    }
}

/// A duration that lies outside its bounds.
pub(super) fn span_within(key: String, span: Span, least: Span, most: Span, found: &mut Vec<Problem>) {
    if span < least || span > most {
        found.push(Problem::new(key, format!("expected a duration from {least} to {most}, found {span}")));
    }
}

/// Everything on this machine that `config` needs and that is not there.
pub fn surroundings(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let root = &config.site.root;
    if !root.as_os_str().is_empty() {
        match std::fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {
                if let Err(error) = std::fs::read_dir(root) {
                    found.push(Problem::new("site.root", format!("{} cannot be read: {error}", root.display())));
                }
            }
            Ok(_) => found
                .push(Problem::new("site.root", format!("expected a directory, found the file {}", root.display()))),
            Err(error) => {
                found.push(Problem::new("site.root", format!("{} cannot be opened: {error}", root.display())))
            }
        }
    }
    if let Some(dns) = &config.dns {
        dns::surroundings(dns, &mut found);
    }
    if let Some(server) = &config.tcp_server {
        tcp_server::surroundings(server, &mut found);
    }
    sites::surroundings(config, &mut found);
    if let (Transport::Direct, Some(name)) = (config.transport, &config.direct.interface)
        && !config.direct.makes_interface()
    {
        found.extend(interface_problem("direct.interface", name));
    }
    if let (Some(path), true) = (&config.log.path, config.log.format != LogFormat::Off) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !parent.is_dir() {
            found.push(Problem::new("log.path", format!("expected a directory {}, found none", parent.display())));
        } else if path.is_dir() {
            found.push(Problem::new("log.path", format!("expected a file, found the directory {}", path.display())));
        }
    }
    found
}

/// That there is no such interface, unless it could have no such name, which is another problem.
pub(super) fn interface_problem(key: &str, name: &str) -> Option<Problem> {
    let error = Direct::is_name(name).then(|| interface_index(name).err())??;
    Some(Problem::new(key, format!("{name} cannot be used: {error} (ip link shows what can)")))
}

/// The index of an interface of this network namespace, which /sys need not show.
fn interface_index(name: &str) -> rustix::io::Result<u32> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(socket, name)
}

fn listeners(config: &Config, found: &mut Vec<Problem>) {
    if let (Some(_), false) = (&config.dns, config.serves_http()) {
        if config.listen != Config::default().listen {
            let message = "expected a section [site] beside it, found none; DNS listens at dns.listen";
            found.push(Problem::new("listen", message));
        }
        return;
    }
    if config.listen.is_empty() {
        found.push(Problem::new("listen", "expected at least one address, found none"));
    }
    let mut seen = HashSet::new();
    for (i, address) in config.listen.iter().enumerate() {
        // Port 0 is a different port each time.
        let any_port = matches!(address, ListenAddress::Inet(address) if address.port() == 0);
        if !any_port && !seen.insert(address) {
            found.push(Problem::new(
                format!("listen[{i}]"),
                format!("expected each address once, found {address} twice"),
            ));
        }
    }
    for (i, address) in config.dns.iter().flat_map(|dns| &dns.listen).enumerate() {
        if address.port() != 0 && config.listen.contains(&ListenAddress::Inet(*address)) {
            let message = format!("expected an address without the site, found {address}, which is in listen, too");
            found.push(Problem::new(format!("dns.listen[{i}]"), message));
        }
    }
}

fn site(config: &Config, found: &mut Vec<Problem>) {
    for (i, name) in config.site.index.iter().enumerate() {
        if name.contains('/') || name == "." || name == ".." {
            found.push(Problem::new(format!("site.index[{i}]"), format!("expected a file's name, found {name:?}")));
        }
    }
    if let Some(value) = &config.site.cache_control {
        field_value("site.cache-control".into(), value, found);
    }
    for (i, rule) in config.site.cache_control_rules.iter().enumerate() {
        let key = |name| format!("site.cache-control-rules[{i}].{name}");
        field_value(key("value"), &rule.value, found);
        if rule.prefix.is_some() == rule.extension.is_some() {
            let found_keys = if rule.prefix.is_some() { "both" } else { "neither" };
            let rule = format!("site.cache-control-rules[{i}]");
            found.push(Problem::new(rule, format!("expected either prefix or extension, found {found_keys}")));
        }
        if rule.prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
            found.push(Problem::new(
                key("prefix"),
                format!("expected a path that starts with /, found {:?}", rule.prefix),
            ));
        }
        if rule.extension.as_ref().is_some_and(|extension| extension.contains(['.', '/'])) {
            found.push(Problem::new(
                key("extension"),
                format!("expected an extension without dot or slash, found {:?}", rule.extension),
            ));
        }
    }
}

/// RFC 9110 §5.5: a field value is visible ASCII with blanks and tabs inside.
fn field_value(key: String, value: &str, found: &mut Vec<Problem>) {
    let visible = value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
    if !visible || value.trim() != value || value.is_empty() {
        found.push(Problem::new(key, format!("expected the value of a header field, found {value:?}")));
    }
}

fn sizes(config: &Config, found: &mut Vec<Problem>) {
    let (cache, limits) = (&config.cache, &config.limits);
    let bounds = [
        ("cache.size", cache.size, Size::mib(4), Size(1 << 44)),
        ("cache.max-pinned-object", cache.max_pinned_object, Size::kib(4), Size(cache.size.0 / 8)),
        // RFC 9112 §3 recommends that at least 8000 octets of request line are supported.
        ("limits.target", limits.target, Size(8000), Size::mib(1)),
        ("limits.header-size", limits.header_size, Size(limits.target.0), Size::mib(4)),
        ("limits.body-drain", limits.body_drain, Size(0), Size::mib(1024)),
        ("limits.min-rate", limits.min_rate, Size(0), Size::mib(1024)),
        ("log.buffer", config.log.buffer, Size::kib(16), Size::mib(1024)),
        // RFC 7323 §2.3 lets a window grow to 1 GiB; ours is memory.
        ("direct.receive-window", config.direct.receive_window, Size::kib(4), Size::mib(16)),
        ("direct.send-buffer", config.direct.send_buffer, Size::kib(16), Size::mib(1024)),
        ("direct.memory", config.direct.memory, Size::mib(1), Size(1 << 40)),
    ];
    for (key, size, least, most) in bounds {
        size_within(key.into(), size, least, most, found);
    }
}

fn spans(config: &Config, found: &mut Vec<Problem>) {
    let limits = &config.limits;
    let bounds = [
        ("cache.revalidate", config.cache.revalidate, Span::milliseconds(10), Span::seconds(3600)),
        ("limits.header-timeout", limits.header_timeout, Span::milliseconds(10), Span::seconds(3600)),
        ("limits.idle-timeout", limits.idle_timeout, Span::milliseconds(10), Span::seconds(86_400)),
        ("direct.keep-alive", config.direct.keep_alive, Span::seconds(0), Span::seconds(86_400)),
        ("limits.grace-period", limits.grace_period, Span::seconds(0), Span::seconds(3600)),
    ];
    for (key, span, least, most) in bounds {
        span_within(key.into(), span, least, most, found);
    }
}

/// What the direct transport needs and cannot do; without it, its settings would do nothing.
fn transport(config: &Config, found: &mut Vec<Problem>) {
    let direct = &config.direct;
    if config.transport == Transport::Sockets {
        let lost = "expected transport = \"direct\" beside it, found \"sockets\"; set it, or leave this out";
        found.extend(direct.changed().into_iter().map(|key| Problem::new(format!("direct.{key}"), lost)));
        return;
    }
    match &direct.interface {
        None => {
            let message = "expected direct.interface beside \"direct\", found none; \
                 ip link shows the interfaces, afpa doctor what they can do";
            found.push(Problem::new("transport", message));
        }
        Some(name) if !Direct::is_name(name) => {
            let message = format!("expected the name of an interface (at most 15 octets), found {name:?}");
            found.push(Problem::new("direct.interface", message));
        }
        Some(_) => {}
    }
    for (i, address) in config.listen.iter().enumerate() {
        if let ListenAddress::Unix(_) = address {
            let message = format!(
                "expected an IP address and a port, found {address}; Unix sockets need transport = \"sockets\""
            );
            found.push(Problem::new(format!("listen[{i}]"), message));
        }
    }
    if let (Some(queues), Cores::List(cpus)) = (direct.queues, &config.cores)
        && queues as usize > cpus.len()
    {
        let message = format!("expected at most one queue for each of {} engines, found {queues}", cpus.len());
        found.push(Problem::new("direct.queues", message));
    }
}

fn admin(config: &Config, found: &mut Vec<Problem>) {
    if let Some(admin) = &config.admin
        && !admin.allow_remote
        && !admin.listen.ip().is_loopback()
    {
        found.push(Problem::new(
            "admin.listen",
            format!("expected a loopback address (or admin.allow-remote), found {}", admin.listen),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Admin, CacheControlRule};

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(problems(&Config::default()), []);
    }

    #[test]
    fn each_problem_is_found() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 19] = [
            (|c| c.listen.clear(), "listen: expected at least one address, found none"),
            (|c| c.site.index = vec!["../x".into()], "site.index[0]: expected a file's name, found \"../x\""),
            (
                |c| c.site.cache_control = Some("a\r\nSet-Cookie: b".into()),
                "site.cache-control: expected the value of a header field, found \"a\\r\\nSet-Cookie: b\"",
            ),
            (
                |c| {
                    let rule = CacheControlRule { extension: Some(".css".into()), value: "x".into(), prefix: None };
                    c.site.cache_control_rules.push(rule);
                },
                "site.cache-control-rules[0].extension: expected an extension without dot or slash, found Some(\".css\")",
            ),
            (
                |c| {
                    c.site
                        .cache_control_rules
                        .push(CacheControlRule { value: "x".into(), ..CacheControlRule::default() })
                },
                "site.cache-control-rules[0]: expected either prefix or extension, found neither",
            ),
            (|c| c.cache.size = Size(1), "cache.size: expected a size from 4 MiB to 16 TiB, found 1 B"),
            (
                |c| c.cache.max_pinned_object = Size::mib(128),
                "cache.max-pinned-object: expected a size from 4 KiB to 32 MiB, found 128 MiB",
            ),
            (|c| c.limits.target = Size(100), "limits.target: expected a size from 8000 B to 1 MiB, found 100 B"),
            (|c| c.limits.header_size = Size(1), "limits.header-size: expected a size from 8 KiB to 4 MiB, found 1 B"),
            (
                |c| c.limits.header_timeout = Span::seconds(0),
                "limits.header-timeout: expected a duration from 10ms to 1h, found 0s",
            ),
            (|c| c.log.buffer = Size(1), "log.buffer: expected a size from 16 KiB to 1 GiB, found 1 B"),
            (
                |c| c.admin = Some(Admin { listen: "10.0.0.1:80".parse().unwrap(), allow_remote: false }),
                "admin.listen: expected a loopback address (or admin.allow-remote), found 10.0.0.1:80",
            ),
            (
                |c| c.transport = Transport::Direct,
                "transport: expected direct.interface beside \"direct\", found none; \
                 ip link shows the interfaces, afpa doctor what they can do",
            ),
            (
                |c| (c.transport, c.direct.interface) = (Transport::Direct, Some("eth0:1".into())),
                "direct.interface: expected the name of an interface (at most 15 octets), found \"eth0:1\"",
            ),
            (
                |c| (c.transport, c.cores, c.direct.queues) = (Transport::Direct, Cores::List(vec![1]), Some(2)),
                "direct.queues: expected at most one queue for each of 1 engines, found 2",
            ),
            (
                |c| c.direct.receive_window = Size(1),
                "direct.receive-window: expected a size from 4 KiB to 16 MiB, found 1 B",
            ),
            (
                |c| c.direct.keep_alive = Span::seconds(86_401),
                "direct.keep-alive: expected a duration from 0s to 1d, found 86401s",
            ),
            (
                |c| c.direct.interface = Some("lab0".into()),
                "direct.interface: expected transport = \"direct\" beside it, found \"sockets\"; \
                 set it, or leave this out",
            ),
            (
                |c| c.limits.grace_period = Span::seconds(7200),
                "limits.grace-period: expected a duration from 0s to 1h, found 2h",
            ),
        ];
        for (change, expected) in cases {
            let mut config = Config::default();
            change(&mut config);
            let shown: Vec<_> = problems(&config).iter().map(Problem::to_string).collect();
            assert!(shown.contains(&expected.to_owned()), "{expected}\nnot in {shown:#?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut config = Config::default();
        let dir = tempfile::tempdir().unwrap();
        config.site.root = dir.path().join("none");
        config.log.format = LogFormat::Text;
        config.log.path = Some(dir.path().join("none/access.log"));
        let keys: Vec<_> = surroundings(&config).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["site.root", "log.path"]);
        config.transport = Transport::Direct;
        config.direct.interface = Some("afpa-none".into());
        let shown: Vec<_> = surroundings(&config).iter().map(Problem::to_string).collect();
        assert!(shown.iter().any(|problem| problem.starts_with("direct.interface: afpa-none cannot be used: ")));
        config.direct.interface = Some("lo".into());
        config.site.root = dir.path().to_owned();
        config.log.path = Some(dir.path().join("access.log"));
        assert_eq!(surroundings(&config), []);
    }
}
