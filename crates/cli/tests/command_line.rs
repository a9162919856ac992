//! The program as a user starts it.

use std::path::Path;
use std::process::{Command, Output};

use afpa_cli::config::accelerate::{Accelerate, Policy};
use afpa_cli::config::classes::{Class, Overload};
use afpa_cli::config::dns::{Backend, DEFAULT_POOL, Dns, Pool, RateLimit};
use afpa_cli::config::pools::{self, Backend as PoolBackend, Health, Sticky};
use afpa_cli::config::tcp_server::{Provider, REGISTERED, TcpServer};

fn afpa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afpa")).args(arguments).output().unwrap()
}

/// Exit status, standard output, standard error.
fn said(arguments: &[&str]) -> (i32, String, String) {
    let output = afpa(arguments);
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn version() {
    assert_eq!(said(&["--version"]), (0, format!("afpa {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

#[test]
fn each_help_has_its_options_and_examples() {
    let cases: [(&[&str], &[&str]); 16] = [
        (
            &["--help"],
            &[
                "lab",
                "doctor",
                "capture",
                "top",
                "serve",
                "accelerate",
                "explain",
                "dns",
                "run",
                "check",
                "graph",
                "Examples:",
                "SIGHUP",
                "Exit status",
            ],
        ),
        (
            &["serve", "--help"],
            &[
                "--listen <ADDR>",
                "--cores <LIST>",
                "--io <IO>",
                "--respond <CONTEXT>",
                "--cache <SIZE>",
                "--admin <ADDR>",
                "--log <FORM>",
                "--listing",
                "--dotfiles",
                "--follow-symlinks",
                "[default: 127.0.0.1:8080]",
                "[default: 256MiB]",
                "[default: auto]",
                "[default: hybrid]",
                "--transport <TRANSPORT>",
                "--interface <IF>",
                "--frames <WAY>",
                "--queues <N>",
                "--handshake <HOW>",
                "--checksum <FROM>",
                "--zero-copy <ON>",
                "--congestion <NAME>",
                "[default: sockets]",
                "[default: cookies]",
                "Examples:",
            ],
        ),
        (
            &["tcp-server", "--help"],
            &[
                "--config <FILE>",
                "--socket <PATH>",
                "[default: 660]",
                "--cores <LIST>",
                "--provider <PROVIDER>",
                "--notify <NOTIFY>",
                "[default: adaptive]",
                "--offload <OFFLOAD>",
                "[default: send+receive]",
                "--eager-accept <N>",
                "--eager-receive <SIZE>",
                "--admin <ADDR>",
                "status",
                "Examples:",
            ],
        ),
        (
            &["offload", "--help"],
            &["<PROGRAM>...", "--socket <PATH>", "--ports <LIST>", "--addresses <LIST>", "Examples:"],
        ),
        (
            &["dns", "--help"],
            &[
                "<--backend <ADDR>|--zone <NAME=FILE>>",
                "--backend <ADDR>",
                "--zone <NAME=FILE>",
                "--listen <ADDR>",
                "--cache <SIZE>",
                "--cores <LIST>",
                "--io <IO>",
                "--admin <ADDR>",
                "--log <FORM>",
                "--log-file <FILE>",
                "--grace-period <DURATION>",
                "--verbose",
                "--transport <TRANSPORT>",
                "--interface <IF>",
                "--frames <WAY>",
                "[default: 127.0.0.1:5353]",
                "[default: 64MiB]",
                "private networks",
                "[dns]",
                "Examples:",
            ],
        ),
        (
            &["accelerate", "--help"],
            &[
                "<URL>...",
                "--listen <ADDR>",
                "--cache <SIZE>",
                "--admin <ADDR>",
                "http://unix:/run/app.sock",
                "Examples:",
            ],
        ),
        (
            &["explain", "--help"],
            &["--config <FILE>", "<METHOD>", "<URL>", "--header <NAME: VALUE>", "--client <ADDR>", "Exit status"],
        ),
        (
            &["purge", "--help"],
            &[
                "[URL]...",
                "--prefix <URL>",
                "--surrogate-key <KEY>",
                "--field <NAME=VALUE>",
                "--all",
                "--soft",
                "--admin <ADDR>",
                "--token <TOKEN>",
                "[default: 127.0.0.1:9090]",
                "AFPA_PURGE_TOKEN",
                "Examples:",
                "Exit status",
            ],
        ),
        (&["lab", "--help"], &["up", "down", "status", "ip netns exec afpa-lab-server afpa serve"]),
        (&["lab", "up", "--help"], &["--mtu <N>", "[default: 1500]"]),
        (&["doctor", "--help"], &["--interface <IF>", "--json", "Exit status"]),
        (
            &["capture", "--help"],
            &["--admin <ADDR>", "--count <N>", "--duration <DURATION>", "--snap <N>", "tcpdump", "Ctrl-C"],
        ),
        (
            &["top", "--help"],
            &[
                "--admin <ADDR>",
                "[default: 127.0.0.1:9090]",
                "--once",
                "--interval <DURATION>",
                "[default: 1s]",
                "Examples:",
            ],
        ),
        (&["run", "--help"], &["--config <FILE>", "[site]", "[dns]"]),
        (&["check", "--help"], &["--config <FILE>"]),
        (&["graph", "--help"], &["--format <FORMAT>", "mermaid", "dot", "http"]),
    ];
    for (arguments, expected) in cases {
        let (status, out, _) = said(arguments);
        assert_eq!(status, 0, "{arguments:?}");
        // Lines are folded where they happen to be full.
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in expected {
            assert!(out.contains(word), "{word} in\n{out}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_status_2_and_says_what_is_right() {
    let cases: [(&[&str], &str); 25] = [
        (&[], "Usage: afpa <COMMAND>"),
        (&["serve"], "<DIR>"),
        (&["serv", "."], "serve"),
        (&["serve", ".", "--cores", "3-1"], "expected CPU numbers such as 0 or 0,2-3, or all, found \"3-1\""),
        (&["serve", ".", "--io", "kqueue"], "expected uring, epoll or auto, found \"kqueue\""),
        (&["serve", ".", "--listen", "8080"], "write :8080 for every IPv4 address"),
        (&["graph", "ftp"], "[possible values: http, http-upstream, dns, dns-upstream, socket-provider]"),
        (&["serve", ".", "--transport", "raw"], "expected sockets or direct, found \"raw\""),
        (&["serve", ".", "--zero-copy", "maybe"], "expected on or off, found \"maybe\""),
        (&["serve", ".", "--queues", "0"], "0 is not in 1..=1024"),
        (&["dns"], "<--backend <ADDR>|--zone <NAME=FILE>>"),
        (&["dns", "--backend", "9.9.9.9"], "a port is missing; write 9.9.9.9:53"),
        (&["dns", "--zone", "example.com"], "expected a zone and its file such as example.com=/etc/zones/example.com"),
        (&["dns", "--zone", "a=b", "--respond", "inline"], "unexpected argument '--respond'"),
        (&["lab"], "Usage: afpa lab <COMMAND>"),
        (&["tcp-server", "--ring", "1KiB"], "expected a size from 4 KiB to 1 MiB, found 1 KiB"),
        (&["tcp-server", "--mode", "rw"], "expected a mode such as 600, 660 or 666, found \"rw\""),
        (&["tcp-server", "--notify", "never"], "expected poll, interrupt or adaptive, found \"never\""),
        (&["offload"], "<PROGRAM>..."),
        (&["offload", "--ports", "http", "ls"], "expected ports such as 80 or 80,8000-8099, found \"http\""),
        (&["lab", "up", "--mtu", "500"], "500 is not in 1280..=65535"),
        (&["top", "--interval", "1ms"], "expected a duration from 100ms to 1h, found \"1ms\""),
        (&["top", "--interval", "5"], "a unit is missing; write 5s for seconds"),
        (&["capture", "a.pcapng"], "--admin <ADDR>"),
        (&["capture", "a.pcapng", "--admin", "localhost:1"], "invalid socket address syntax"),
    ];
    for (arguments, expected) in cases {
        let (status, out, err) = said(arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(expected), "{expected} in\n{err}");
    }
}

#[test]
fn what_cannot_be_served_is_one_sentence_each_and_status_1() {
    let cases: [(&[&str], &str); 17] = [
        (&["tcp-server", "--provider", "direct"], "afpa: --provider direct needs an interface: --interface eth0\n"),
        (
            &["tcp-server", "--frames", "packet"],
            "afpa: --frames, --queues and --registered-memory are of --provider direct; write that, too\n",
        ),
        (
            &["tcp-server", "--interface", "nowhere"],
            "afpa: packets of nowhere cannot be received on the engines' cores: No such device (os error 19); ip link \
             shows which interfaces there are, or leave --interface out\n",
        ),
        (
            &["tcp-server", "--provider", "direct", "--interface", "nowhere"],
            "afpa: there is no interface nowhere: No such device (os error 19)\n",
        ),
        (
            &["tcp-server", "--offload", "receive", "--provider", "direct", "--interface", "nowhere"],
            "afpa: --offload receive goes with --provider kernel: with direct, the kernel has no connection on which an \
             application could send\n",
        ),
        (
            &["tcp-server", "--socket", "/nonexistent/socket"],
            "afpa: applications cannot attach: /nonexistent/socket: No such file or directory (os error 2)\n",
        ),
        (
            &["tcp-server", "status", "--socket", "/nonexistent/socket"],
            "afpa: no TCP server is at /nonexistent/socket; start one with: afpa tcp-server\n",
        ),
        (
            &["offload", "--socket", "/nonexistent/socket", "--", "ls"],
            "afpa: no TCP server is at /nonexistent/socket; start one with: afpa tcp-server\n",
        ),
        (
            &["dns", "--zone", "example.com=/nonexistent"],
            "afpa: --zone: /nonexistent cannot be opened: No such file or directory (os error 2)\n",
        ),
        (
            &["dns", "--backend", "127.0.0.1:5353"],
            "afpa: --backend: expected another server, since --listen has this address, found 127.0.0.1:5353\n",
        ),
        (
            &["dns", "--backend", "9.9.9.9:53", "--busy-poll", "on"],
            "afpa: --busy-poll: expected --transport direct beside it, found \"sockets\"; set it, or leave this out\n",
        ),
        (
            &["serve", "/nonexistent"],
            "afpa: DIR: /nonexistent cannot be opened: No such file or directory (os error 2)\n",
        ),
        (&["serve", "/etc/passwd"], "afpa: DIR: expected a directory, found the file /etc/passwd\n"),
        (
            &["serve", "/", "--admin", "0.0.0.0:9090"],
            "afpa: --admin: expected a loopback address (or --admin-allow-remote), found 0.0.0.0:9090\n",
        ),
        (
            &["serve", "/", "--transport", "direct"],
            "afpa: --transport: expected --interface beside \"direct\", found none; ip link shows the interfaces, \
             afpa doctor what they can do\n",
        ),
        (
            &["serve", "/", "--transport", "direct", "--interface", "afpa-none"],
            "afpa: --interface: afpa-none cannot be used: No such device (os error 19) (ip link shows what can)\n",
        ),
        (
            &["serve", "/", "--interface", "lo"],
            "afpa: --interface: expected --transport direct beside it, found \"sockets\"; set it, or leave this out\n",
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(said(arguments), (1, String::new(), expected.into()), "{arguments:?}");
    }
}

#[test]
fn check_says_ok() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &format!("[site]\nroot = {:?}\n", dir.path()));
    assert_eq!(said(&["check", "--config", &path]), (0, format!("{path}: ok\n"), String::new()));
    let zone = dir.path().join("zone");
    std::fs::write(&zone, "").unwrap();
    let path = write(dir.path(), &format!("[[dns.zones]]\nname = 'example.com'\nfile = {zone:?}\n"));
    assert_eq!(said(&["check", "--config", &path]), (0, format!("{path}: ok\n"), String::new()));
}

#[test]
fn check_names_every_error_of_dns() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "[dns]\nudp-size = 100\n[[dns.zones]]\nname = 'a'\n[[dns.zones]]\nname = 'example.com'\nfile = '/nonexistent'\n\
         transfer = '10.1.0.0/8'\n",
    );
    let errors = format!(
        "afpa: {path}:2:12: dns.udp-size: expected a number from 512 to 4096, found the integer 100\n\
         afpa: {path}:3:1: dns.zones[0].file: expected a value, found none\n\
         afpa: {path}:7:8: dns.zones[1].file: /nonexistent cannot be opened: No such file or directory (os error 2)\n\
         afpa: {path}:8:12: dns.zones[1].transfer[0]: expected a network such as 10.0.0.0/8 or 2001:db8::/32, \
         found \"10.1.0.0/8\"; it has host bits; write 10.0.0.0/8\n\
         afpa: {path}: 4 errors\n"
    );
    assert_eq!(said(&["check", "--config", &path]), (1, String::new(), errors));
}

#[test]
fn a_tcp_servers_configuration_is_checked_and_run_by_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "[tcp-server]\ncores='0'\n");
    assert_eq!(said(&["check", "--config", &path]), (0, format!("{path}: ok\n"), String::new()));
    let refused = format!(
        "afpa: {path} is for a TCP server, and one process does one thing; \
         start it with: afpa tcp-server --config {path}\n"
    );
    assert_eq!(said(&["run", "--config", &path]), (1, String::new(), refused));
    let path = write(dir.path(), "[site]\nroot='/'\n");
    let refused = format!("afpa: {path} has no section [tcp-server]; run what it has: afpa run --config {path}\n");
    assert_eq!(said(&["tcp-server", "--config", &path]), (1, String::new(), refused));
    let path = write(
        dir.path(),
        "[tcp-server]\nsocket='/nonexistent/socket'\n[tcp-server.limits]\nslot=1\n[site]\nroot='/'\n",
    );
    let errors = format!(
        "afpa: {path}:2:8: tcp-server.socket: expected a directory /nonexistent, found none\n\
         afpa: {path}:4:1: unknown key \"tcp-server.limits.slot\"; did you mean \"slots\"?\n"
    );
    assert_eq!(said(&["tcp-server", "--config", &path]), (1, String::new(), errors.clone()));
    assert_eq!(said(&["check", "--config", &path]), (1, String::new(), format!("{errors}afpa: {path}: 2 errors\n")));
}

#[test]
fn check_and_run_name_every_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "lisen = ':80'\n[site]\nroot = '/nonexistent'\n[cache]\nsize = '64M'\n");
    let errors = format!(
        "afpa: {path}:1:1: unknown key \"lisen\"; did you mean \"listen\"?\n\
         afpa: {path}:3:8: site.root: /nonexistent cannot be opened: No such file or directory (os error 2)\n\
         afpa: {path}:5:8: cache.size: expected a size such as 4096, 64KiB, 256MiB or 1GiB, found \"64M\"; write 64MiB\n"
    );
    assert_eq!(said(&["check", "--config", &path]), (1, String::new(), format!("{errors}afpa: {path}: 3 errors\n")));
    assert_eq!(said(&["run", "--config", &path]), (1, String::new(), errors));
    let missing = dir.path().join("none.toml");
    let missing = missing.to_str().unwrap();
    let expected =
        format!("afpa: {missing}: cannot be read: No such file or directory (os error 2)\nafpa: {missing}: 1 error\n");
    assert_eq!(said(&["check", "--config", missing]), (1, String::new(), expected));
}

#[test]
fn the_example_is_right_and_shows_every_default() {
    let example = include_str!("../../../packaging/afpa.toml");
    let parsed = afpa_cli::config::parse(example);
    assert_eq!(parsed.diagnostics, []);
    let mut defaults = afpa_cli::config::Config::default();
    defaults.site.root = "/var/www/html".into();
    assert_eq!(parsed.config, defaults);

    // What is commented out is right, too: a key or a heading directly behind `# `.
    let is_setting =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncommented: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
        // An interface is for the direct transport only.
        .map(|line| if line == "transport = \"sockets\"" { "transport = \"direct\"" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    // What one process does, and what another does.
    let (of_tcp_server, uncommented): (Vec<_>, Vec<_>) =
        uncommented.split_inclusive("\n\n").partition(|part| part.contains("\n[tcp-server"));
    the_example_of_a_tcp_server_shows_its_defaults(&of_tcp_server.concat());
    let uncommented = uncommented.concat();
    let parsed = afpa_cli::config::parse(&uncommented);
    assert_eq!(parsed.diagnostics, []);
    assert!(parsed.config.admin.is_some() && parsed.config.log.path.is_some());
    assert!(parsed.config.direct.interface.is_some() && parsed.config.direct.queues.is_some());
    assert_eq!(parsed.config.site.cache_control_rules.len(), 2);

    let shown = parsed.config.dns.clone().unwrap();
    let [zone, backend, pool] = [shown.zones.len(), shown.backends.len(), shown.pools.len()];
    assert_eq!(([zone, backend, pool], shown.routes.len(), shown.nsid.is_some()), ([1, 1, 1], 2, true));
    let unnamed = Backend { name: shown.backends[0].name.clone(), ..Backend::at(shown.backends[0].address) };
    let defaults = Dns {
        // What has no default, or another one than is shown.
        nsid: shown.nsid.clone(),
        zones: shown.zones.clone(),
        backends: vec![unnamed],
        pools: vec![Pool::named(DEFAULT_POOL)],
        routes: shown.routes.clone(),
        rate_limit: Some(RateLimit::default()),
        ..Dns::default()
    };
    assert_eq!(shown, defaults);
    assert!(every_key_is_in(&uncommented, &["dns"]) >= 60);

    let of_http = ["accelerate", "pools", "sites", "classes", "overload"];
    assert!(every_key_is_in(&uncommented, &of_http) >= 100);
    let shown = parsed.config;
    let policies = vec![Policy { name: "assets".into(), ..shown.accelerate.policies[0].clone() }];
    let purge_token = shown.accelerate.purge_token.clone();
    assert_eq!(shown.accelerate, Accelerate { policies, purge_token, ..Accelerate::default() });
    assert_eq!(shown.overload, Overload::default());
    let pool = &shown.pools[0];
    let health = Health { host: pool.health.as_ref().unwrap().host.clone(), ..Health::default() };
    let backend = PoolBackend::at("127.0.0.1:3000".parse().unwrap());
    let defaults = pools::Pool {
        backends: vec![backend],
        health: Some(health),
        hedge: pool.hedge,
        sticky: Some(Sticky::default()),
        ..pools::Pool::named("app")
    };
    assert_eq!(*pool, defaults);
    assert_eq!((shown.sites[0].routes.len(), &shown.classes[0]), (5, &Class::named("interactive")));
}

fn the_example_of_a_tcp_server_shows_its_defaults(uncommented: &str) {
    // Some settings are for the provider direct only.
    let text = uncommented.replace("provider = \"kernel\"", "provider = \"direct\"");
    let parsed = afpa_cli::config::parse(&text);
    assert_eq!(parsed.diagnostics, []);
    let shown = parsed.config.tcp_server.unwrap();
    let TcpServer { socket, interface, eager_receive, active, queues, registered_memory, .. } = shown.clone();
    assert_eq!(registered_memory, Some(REGISTERED));
    assert!(socket.is_some() && interface.is_some() && eager_receive.is_some() && active.is_some() && queues.is_some());
    let defaults =
        TcpServer { socket, interface, eager_receive, active, queues, registered_memory, ..TcpServer::default() };
    assert_eq!(shown, TcpServer { provider: Provider::Direct, ..defaults });
    assert!(every_key_is_in(&text, &["tcp-server"]) >= 20);
}

/// The parser knows the keys: it lists them when it finds one that is like none of them.
/// Returns how many there are in these sections.
fn every_key_is_in(text: &str, sections: &[&str]) -> usize {
    let is_meant = |line: &str| {
        let path = line.trim_start_matches('[').trim_end_matches(']');
        line.starts_with('[') && sections.contains(&path.split('.').next().unwrap())
    };
    let asked: String =
        text.lines().flat_map(|line| [line, "\n", if is_meant(line) { "__q = 1\n" } else { "" }]).collect();
    let mut checked = 0;
    for diagnostic in afpa_cli::config::parse(&asked).diagnostics {
        let (section, keys) = diagnostic.message.split_once("; expected one of ").expect("a list of keys");
        // The sections from the one that is meant to the next; of a repeated one, all.
        let path = section.trim_start_matches("unknown key \"").split("__q").next().unwrap().trim_end_matches('.');
        // Without numbers: `pools[0].backends[0]` is `pools.backends`.
        let path: String = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
        let is_heading = |line: &str| line.trim_matches(['[', ']']) == path && line.starts_with('[');
        let bodies: Vec<_> = text
            .split("\n[")
            .map(|part| format!("[{part}"))
            .filter(|part| part.lines().next().is_some_and(is_heading))
            .collect();
        for key in keys.split(", ") {
            let is_set = bodies.iter().any(|body| body.contains(&format!("\n{key} = ")));
            let is_section = text.contains(&format!("[{path}.{key}]"));
            assert!(is_set || is_section, "{path}.{key} is not explained");
            checked += 1;
        }
    }
    checked
}

#[test]
fn a_request_is_explained_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(
        dir.path(),
        "pools=[{name='app', backends=[{address='127.0.0.1:3000'}]}]\n\
         [[sites]]\nhosts=['a.example']\nroutes=[{path-prefix='/x', pool='app', strip-prefix='/x'}]\n",
    );
    let (status, out, err) = said(&["explain", "--config", &config, "GET", "http://a.example/x/y?z"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("target   pool app, two-choices among 127.0.0.1:3000\nasks for /y?z\n"), "{out}");
    let (status, out, err) = said(&["explain", "--config", &config, "GET", "http://b.example/x"]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert!(out.contains("- site a.example: the host b.example is none of its\nroute    none\n"), "{out}");
    let broken = write(dir.path(), "[[sites]]\nroutes=[{pool='app'}]\n");
    let (status, out, err) = said(&["explain", "--config", &broken, "GET", "http://b.example/x"]);
    assert_eq!((status, out.as_str()), (1, ""));
    let expected = "afpa.toml:2:15: sites[0].routes[0].pool: expected a pool, found \"app\", which is none\n";
    assert!(err.ends_with(expected), "{err}");
}

#[test]
fn the_http_module_is_drawn_in_each_form() {
    for (format, start) in [
        ("text", "http: starts in derive request\n"),
        ("mermaid", "stateDiagram-v2\n"),
        ("dot", "digraph \"http\" {\n"),
    ] {
        let (status, out, err) = said(&["graph", "http", "--format", format]);
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.starts_with(start), "{out}");
        assert!(out.contains("derive cached response") && out.contains("hit"), "{out}");
    }
}

fn write(dir: &Path, text: &str) -> String {
    let path = dir.join("afpa.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
