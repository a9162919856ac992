//! From TOML text to the model.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::direct::Direct;
use super::model::{Admin, Cache, CacheControlRule, Config, Limits, Log, Site, Workers};
use super::problems::{Problem, problems};
use super::section::{Report, Section};
use super::{Diagnostic, Interface, accelerate, classes, dns, pools, sites, tcp_server};

/// What a text says, and everything that is wrong with it.
#[derive(Debug)]
pub struct Parsed {
    /// The configuration; where something was wrong, the default stands.
    pub config: Config,
    /// Every error; the configuration may be used only if there is none.
    pub diagnostics: Vec<Diagnostic>,
    source: String,
    places: BTreeMap<String, usize>,
}

impl Parsed {
    /// Adds problems, each at the place of the value that causes it.
    pub(super) fn report(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            let offset = problem.places().find_map(|key| self.places.get(key)).copied().unwrap_or(0);
            self.diagnostics.push(Diagnostic::at(&self.source, offset, problem.to_string()));
        }
    }
}

/// Parses a configuration. Looks at nothing but `text`.
///
/// Errors do not end it: each is collected, so that one run shows them all.
pub fn parse(text: &str) -> Parsed {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let report = Report::new(text);
    let mut last_line = 0;
    for error in &syntax {
        let offset = error.span().map_or(0, |span| span.start);
        let diagnostic = Diagnostic::at(text, offset, format!("not TOML: {}", error.message()));
        // What follows on the same line mostly follows from the first.
        if diagnostic.line != std::mem::replace(&mut last_line, diagnostic.line) {
            report.push(diagnostic);
        }
    }
    let config = config(Section::root(&report, document.get_ref()));
    let (diagnostics, places) = report.into_parts();
    let mut parsed = Parsed { config, diagnostics, source: text.to_owned(), places };
    // A value that could not be read was replaced by its default: what follows from that is not the writer's error.
    if parsed.diagnostics.is_empty() {
        let problems = problems(&parsed.config);
        parsed.report(problems);
    }
    parsed.diagnostics.sort_by_key(|d| (d.line, d.column));
    parsed
}

fn config(mut root: Section<'_>) -> Config {
    let mut config = Config { io: Interface::Auto, ..Config::default() };
    root.list("listen", &mut config.listen);
    root.read("cores", &mut config.cores);
    root.read("io", &mut config.io);
    root.read("respond", &mut config.respond);
    root.read("transport", &mut config.transport);
    if let Some((section, offset)) = root.section("site") {
        site(section, offset, &mut config.site);
    } else if !root.has("dns") && !root.has("sites") && !root.has("tcp-server") {
        let expected =
            "a section [site] with the root directory, sections [[sites]], or a section [dns] or [tcp-server]";
        root.missing("site", expected);
    }
    if let Some((section, _)) = root.section("accelerate") {
        config.accelerate = accelerate::read(section);
    }
    config.pools = root.sections("pools").into_iter().map(|(section, offset)| pools::read(section, offset)).collect();
    config.sites = root.sections("sites").into_iter().map(|(section, offset)| sites::read(section, offset)).collect();
    config.classes =
        root.sections("classes").into_iter().map(|(section, offset)| classes::read(section, offset)).collect();
    if let Some((section, _)) = root.section("overload") {
        classes::read_overload(section, &mut config.overload);
    }
    config.dns = root.section("dns").map(|(section, _)| dns::read(section));
    config.tcp_server = root.section("tcp-server").map(|(section, _)| tcp_server::read(section));
    if let Some((section, _)) = root.section("cache") {
        cache(section, &mut config.cache);
    }
    if let Some((section, _)) = root.section("limits") {
        limits(section, &mut config.limits);
    }
    if let Some((section, _)) = root.section("workers") {
        workers(section, &mut config.workers);
    }
    if let Some((section, _)) = root.section("direct") {
        direct(section, &mut config.direct);
    }
    config.admin = root.section("admin").and_then(|(section, offset)| admin(section, offset));
    if let Some((section, _)) = root.section("log") {
        log(section, &mut config.log);
    }
    root.finish();
    config
}

fn site(mut section: Section<'_>, offset: usize, site: &mut Site) {
    if let Some(root) = section.required("root", offset) {
        site.root = root;
    }
    section.list("index", &mut site.index);
    section.read("listing", &mut site.listing);
    section.read("dotfiles", &mut site.dotfiles);
    section.read("follow-symlinks", &mut site.follow_symlinks);
    section.read("precompressed", &mut site.precompressed);
    section.read("compress", &mut site.compress);
    site.cache_control = section.optional("cache-control");
    site.cache_control_rules = section
        .sections("cache-control-rules")
        .into_iter()
        .map(|(rule, offset)| cache_control_rule(rule, offset))
        .collect();
    section.finish();
}

fn cache_control_rule(mut section: Section<'_>, offset: usize) -> CacheControlRule {
    let rule = CacheControlRule {
        prefix: section.optional("prefix"),
        extension: section.optional("extension"),
        value: section.required("value", offset).unwrap_or_default(),
    };
    section.finish();
    rule
}

fn cache(mut section: Section<'_>, cache: &mut Cache) {
    section.read("size", &mut cache.size);
    section.read("max-pinned-object", &mut cache.max_pinned_object);
    section.read("revalidate", &mut cache.revalidate);
    section.finish();
}

fn limits(mut section: Section<'_>, limits: &mut Limits) {
    section.read("header-size", &mut limits.header_size);
    section.count("headers", 1..=1000, &mut limits.headers);
    section.read("target", &mut limits.target);
    section.read("body-drain", &mut limits.body_drain);
    section.count("connections", 1..=16_000_000, &mut limits.connections);
    section.read("header-timeout", &mut limits.header_timeout);
    section.read("idle-timeout", &mut limits.idle_timeout);
    section.read("min-rate", &mut limits.min_rate);
    section.read("grace-period", &mut limits.grace_period);
    section.finish();
}

fn workers(mut section: Section<'_>, workers: &mut Workers) {
    section.count("threads", 1..=256, &mut workers.threads);
    section.count("queue", 1..=1_000_000, &mut workers.queue);
    section.finish();
}

fn direct(mut section: Section<'_>, direct: &mut Direct) {
    direct.interface = section.optional("interface");
    section.read("frames", &mut direct.frames);
    let mut queues = 0;
    section.count("queues", 1..=1024, &mut queues);
    direct.queues = (queues > 0).then_some(queues);
    section.read("handshake", &mut direct.handshake);
    section.read("driver-handshake", &mut direct.driver_handshake);
    section.read("driver-answers", &mut direct.driver_answers);
    section.read("busy-poll", &mut direct.busy_poll);
    section.read("checksum", &mut direct.checksum);
    section.read("zero-copy", &mut direct.zero_copy);
    section.read("congestion", &mut direct.congestion);
    section.read("receive-window", &mut direct.receive_window);
    section.read("send-buffer", &mut direct.send_buffer);
    section.count("time-wait-entries", 1..=16_000_000, &mut direct.time_wait_entries);
    section.read("memory", &mut direct.memory);
    section.read("keep-alive", &mut direct.keep_alive);
    section.finish();
}

fn admin(mut section: Section<'_>, offset: usize) -> Option<Admin> {
    let listen = section.required("listen", offset);
    let allow_remote = section.optional("allow-remote").unwrap_or(false);
    section.finish();
    Some(Admin { listen: listen?, allow_remote })
}

fn log(mut section: Section<'_>, log: &mut Log) {
    section.read("format", &mut log.format);
    log.path = section.optional("path");
    section.read("buffer", &mut log.buffer);
    section.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn errors(text: &str) -> String {
        parse(text).diagnostics.iter().map(|d| format!("{d}\n")).collect()
    }

    #[test]
    fn a_minimal_file_has_the_defaults() {
        let parsed = parse("[site]\nroot = '/srv/www'\n");
        assert_eq!(parsed.diagnostics, []);
        let mut expected = Config::default();
        expected.site.root = "/srv/www".into();
        assert_eq!(parsed.config, expected);
    }

    #[test]
    fn every_key_arrives() {
        let text = r#"
            listen = [":80", "[::1]:81"]
            cores = "0,2-3"
            io = "epoll"
            respond = "inline"
            transport = "direct"
            [site]
            root = "/srv"
            index = ["a.html", "b.html"]
            listing = true
            dotfiles = true
            follow-symlinks = true
            precompressed = false
            compress = false
            cache-control = "no-cache"
            [[site.cache-control-rules]]
            prefix = "/assets/"
            value = "max-age=60"
            [[site.cache-control-rules]]
            extension = "css"
            value = "max-age=61"
            [cache]
            size = "1GiB"
            max-pinned-object = 65536
            revalidate = "1s"
            [limits]
            header-size = "16KiB"
            headers = 0x20
            target = "9000"
            body-drain = "1MiB"
            connections = 10_000
            header-timeout = "1s"
            idle-timeout = "2s"
            min-rate = 0
            grace-period = "3s"
            [workers]
            threads = 2
            queue = 10
            [direct]
            interface = "lab0"
            frames = "packet"
            queues = 2
            handshake = "queue"
            driver-handshake = true
            driver-answers = true
            busy-poll = true
            checksum = "computed"
            zero-copy = false
            congestion = "reno"
            receive-window = "128KiB"
            send-buffer = "1MiB"
            time-wait-entries = 1000
            memory = "32MiB"
            keep-alive = "75s"
            [admin]
            listen = "[::1]:9090"
            [log]
            format = "json"
            path = "/tmp/access.log"
            buffer = "64KiB"
        "#;
        let parsed = parse(text);
        assert_eq!(parsed.diagnostics, []);
        let shown = format!("{:?}", parsed.config);
        for (key, value) in [
            ("listen", "[Inet(0.0.0.0:80), Inet([::1]:81)]"),
            ("cores", "List([0, 2, 3])"),
            ("io", "Epoll"),
            ("respond", "Inline"),
            ("index", r#"["a.html", "b.html"]"#),
            ("listing", "true"),
            ("dotfiles", "true"),
            ("follow_symlinks", "true"),
            ("precompressed", "false"),
            ("compress", "false"),
            ("cache_control", r#"Some("no-cache")"#),
            ("prefix", r#"Some("/assets/")"#),
            ("extension", r#"Some("css")"#),
            ("size", "Size(1073741824)"),
            ("max_pinned_object", "Size(65536)"),
            ("revalidate", "Span(1s)"),
            ("header_size", "Size(16384)"),
            ("headers", "32"),
            ("target", "Size(9000)"),
            ("body_drain", "Size(1048576)"),
            ("connections", "10000"),
            ("header_timeout", "Span(1s)"),
            ("idle_timeout", "Span(2s)"),
            ("min_rate", "Size(0)"),
            ("grace_period", "Span(3s)"),
            ("threads", "2"),
            ("queue", "10"),
            ("transport", "Direct"),
            ("interface", r#"Some("lab0")"#),
            ("frames", "Packet"),
            ("queues", "Some(2)"),
            ("handshake", "Queue"),
            ("driver_handshake", "true"),
            ("driver_answers", "true"),
            ("busy_poll", "true"),
            ("checksum", "Computed"),
            ("zero_copy", "false"),
            ("congestion", "Reno"),
            ("receive_window", "Size(131072)"),
            ("send_buffer", "Size(1048576)"),
            ("time_wait_entries", "1000"),
            ("memory", "Size(33554432)"),
            ("keep_alive", "Span(75s)"),
            ("admin", "Some(Admin { listen: [::1]:9090, allow_remote: false })"),
            ("format", "Json"),
            ("path", r#"Some("/tmp/access.log")"#),
            ("buffer", "Size(65536)"),
        ] {
            assert!(shown.contains(&format!("{key}: {value}")), "{key} in {shown}");
        }
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            (
                "",
                "1:1: site: expected a section [site] with the root directory, sections [[sites]], \
                 or a section [dns] or [tcp-server], found none\n",
            ),
            ("[site]\n", "1:1: site.root: expected a value, found none\n"),
            ("[site]\nroot = 7\n", "2:8: site.root: expected a string, found the integer 7\n"),
            (
                "[site]\nroot = \"a\\u0000b\"\n",
                "2:8: site.root: expected a string without control characters, found \"a\\0b\"\n",
            ),
            ("site = 1", "1:8: site: expected a section [site], found the integer 1\n"),
            (
                "lisen = ':80'\n[site]\nroot='/'\nindexes = []\nquux = 1\n[zebra]\n",
                "1:1: unknown key \"lisen\"; did you mean \"listen\"?\n\
                 4:1: unknown key \"site.indexes\"; did you mean \"index\"?\n\
                 5:1: unknown key \"site.quux\"; expected one of root, index, listing, dotfiles, follow-symlinks, \
                 precompressed, compress, cache-control, cache-control-rules\n\
                 6:2: unknown key \"zebra\"; expected one of listen, cores, io, respond, transport, site, \
                 accelerate, pools, sites, classes, overload, dns, tcp-server, cache, limits, workers, direct, admin, log\n",
            ),
            (
                "listen = [':80', 81, 'localhost:82']\n[site]\nroot='/'\nfollow_symlinks=true",
                "1:18: listen[1]: expected an address such as \"127.0.0.1:8080\", found the integer 81\n\
                 1:22: listen[2]: expected an address such as 127.0.0.1:8080, [::1]:8080, :8080 or unix:/run/afpa.sock, \
                 found \"localhost:82\"; names are not resolved; write 127.0.0.1:82\n\
                 4:1: unknown key \"site.follow_symlinks\"; did you mean \"follow-symlinks\"?\n",
            ),
            (
                "io = 'kqueue'\n[site]\nroot='/'\nlisting='yes'\n[limits]\nheaders=0\nidle-timeout=5\nmin-rate=-1\n",
                "1:6: io: expected uring, epoll or auto, found \"kqueue\"\n\
                 4:9: site.listing: expected true or false, found the string \"yes\"\n\
                 6:9: limits.headers: expected a number from 1 to 1000, found the integer 0\n\
                 7:14: limits.idle-timeout: expected a duration such as \"5s\", found the integer 5\n\
                 8:10: limits.min-rate: expected a size, found -1\n",
            ),
            (
                "[site]\nroot='/'\ncache-control-rules=[1]\n[[site.rules]]\n",
                "3:22: site.cache-control-rules: expected sections [[site.cache-control-rules]], found the integer 1\n\
                 4:8: unknown key \"site.rules\"; expected one of root, index, listing, dotfiles, follow-symlinks, \
                 precompressed, compress, cache-control, cache-control-rules\n",
            ),
            (
                "[site]\nroot='/'\n[[site.cache-control-rules]]\nprefix='/a'\n",
                "3:1: site.cache-control-rules[0].value: expected a value, found none\n",
            ),
            (
                "[site]\nroot='/'\n[admin]\nlisten='unix:/a'\n",
                "4:8: admin.listen: expected an IP address and a port, found the string \"unix:/a\"\n",
            ),
            (
                "transport='raw'\n[site]\nroot='/'\n[direct]\nframes='dpdk'\nzero-copy='no'\nqueues=0\nkeepalive='1s'\n",
                "1:11: transport: expected sockets or direct, found \"raw\"\n\
                 5:8: direct.frames: expected xdp, packet, tap or auto, found \"dpdk\"\n\
                 6:11: direct.zero-copy: expected true or false, found the string \"no\"\n\
                 7:8: direct.queues: expected a number from 1 to 1024, found the integer 0\n\
                 8:1: unknown key \"direct.keepalive\"; did you mean \"keep-alive\"?\n",
            ),
            (
                "transport='direct'\n[site]\nroot='/'\n",
                "1:11: transport: expected direct.interface beside \"direct\", found none; \
                 ip link shows the interfaces, afpa doctor what they can do\n",
            ),
            (
                "listen=[':80', 'unix:/a']\ntransport='direct'\n[site]\nroot='/'\n[direct]\ninterface='lab0'\n",
                "1:16: listen[1]: expected an IP address and a port, found unix:/a; \
                 Unix sockets need transport = \"sockets\"\n",
            ),
            (
                "[site]\nroot='/'\n[direct]\nframes='xdp'\nzero-copy=true\n",
                "4:8: direct.frames: expected transport = \"direct\" beside it, found \"sockets\"; \
                 set it, or leave this out\n",
            ),
            (
                "listen=[':80', '0.0.0.0:80']\n[site]\nroot='/'\n",
                "1:16: listen[1]: expected each address once, found 0.0.0.0:80 twice\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(text), expected, "for\n{text}");
        }
    }

    #[test]
    fn syntax_errors_do_not_hide_the_others() {
        let shown = errors("cores = = 1\n[site]\nroot='/'\nlisting=7\nroot='/'\n");
        assert!(shown.starts_with("1:9: not TOML: "), "{shown}");
        assert!(shown.contains("4:9: site.listing: expected true or false, found the integer 7\n"), "{shown}");
        assert!(shown.contains("5:1: not TOML: duplicate key"), "{shown}");
    }

    /// Text made of the pieces that a configuration is made of.
    fn almost_toml() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z.\\[\\]=\"'\n -]{0,12}",
            prop::sample::select(vec![
                "[site]\n",
                "root = ",
                "'/srv'\n",
                "[[site.cache-control-rules]]\n",
                "listen",
                " = ",
                "[",
                "]",
                "{",
                "}",
                "0x",
                "9999999999999999999",
                "\"\\u0000\"",
                "1979-05-27",
                "inf",
                "[limits]\n",
                "[[sites]]\n[[sites.routes]]\n",
                "path-regex = ",
                "[[pools]]\nname = 'a'\n[[pools.backends]]\naddress = ",
                "'127.0.0.1:80'",
                "[accelerate]\nnegative = { 404",
                "[[classes]]\nheaders = [{ ",
                "[dns]\n",
                "[tcp-server.limits]\n",
                "[[dns.zones]]\nname = ",
                "[[dns.routes]]\nclients = ",
                "'10.0.0.0/8'",
                "'a\\.b.'",
                "headers",
                "\n",
                ",",
                "é",
                "\r",
                "\u{feff}",
                "'''",
                "#",
                "true",
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_panics_and_places_lie_in_the_text(text in prop_oneof![any::<String>(), almost_toml()]) {
            crate::fuzz::config(text.as_bytes());
        }
    }
}
