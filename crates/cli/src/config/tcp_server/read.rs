//! From the section `[tcp-server]` to the model.

use afpa_tcp_server::Limits;
use toml::de::DeValue;

use super::{Active, Directions, Mode, Notify, Provider, TcpServer};
use crate::config::section::{FromValue, Section, from_text};
use crate::units::Size;

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>) -> TcpServer {
    let mut server = TcpServer { socket: section.optional("socket"), ..TcpServer::default() };
    section.read("mode", &mut server.mode);
    section.read("cores", &mut server.cores);
    section.read("provider", &mut server.provider);
    server.interface = section.optional("interface");
    server.active = section.optional("active");
    section.read("frames", &mut server.frames);
    let mut queues = 0;
    section.count("queues", 1..=1024, &mut queues);
    server.queues = (queues > 0).then_some(queues);
    server.registered_memory = section.optional("registered-memory");
    section.read("io", &mut server.io);
    section.read("notify", &mut server.notify);
    section.read("offload", &mut server.offload);
    section.count("eager-accept", 0..=65_536, &mut server.eager_accept);
    server.eager_receive = section.optional("eager-receive");
    section.count("slots", 32..=65_536, &mut server.slots);
    section.read("ring", &mut server.ring);
    section.read("grace-period", &mut server.grace_period);
    if let Some((limits, _)) = section.section("limits") {
        read_limits(limits, &mut server.limits);
    }
    section.finish();
    server
}

fn read_limits(mut section: Section<'_>, limits: &mut Limits) {
    section.count("applications", 1..=65_536, &mut limits.applications);
    section.count("applications-per-user", 1..=65_536, &mut limits.applications_per_user);
    section.count("clients-per-user", 1..=1_000_000, &mut limits.clients_per_user);
    section.count("slots", 1..=16_000_000, &mut limits.slots);
    octets(&mut section, "memory", &mut limits.memory);
    octets(&mut section, "registered", &mut limits.registered);
    section.count("memories", 0..=65_536, &mut limits.memories);
    section.count("files", 0..=65_536, &mut limits.files);
    octets(&mut section, "objects", &mut limits.objects);
    octets(&mut section, "objects-per-user", &mut limits.objects_per_user);
    section.count("found-objects", 0..=1_000_000, &mut limits.found_objects);
    section.finish();
}

fn octets(section: &mut Section<'_>, key: &'static str, into: &mut u64) {
    if let Some(Size(octets)) = section.optional(key) {
        *into = octets;
    }
}

impl FromValue for Mode {
    fn from_value(value: &DeValue<'_>) -> Result<Mode, String> {
        from_text(value, "a mode such as \"660\"")
    }
}

impl FromValue for Active {
    fn from_value(value: &DeValue<'_>) -> Result<Active, String> {
        from_text(value, "a number of engines such as \"2\", or a range such as \"1-3\"")
    }
}

impl FromValue for Provider {
    fn from_value(value: &DeValue<'_>) -> Result<Provider, String> {
        from_text(value, "\"kernel\" or \"direct\"")
    }
}

impl FromValue for Notify {
    fn from_value(value: &DeValue<'_>) -> Result<Notify, String> {
        from_text(value, "\"poll\", \"interrupt\" or \"adaptive\"")
    }
}

impl FromValue for Directions {
    fn from_value(value: &DeValue<'_>) -> Result<Directions, String> {
        from_text(value, "\"receive\" or \"send+receive\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::{Config, Cores, Frames, Interface, parse, problems};
    use crate::units::Span;

    fn errors(text: &str) -> String {
        parse(text).diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
    }

    #[test]
    fn a_section_is_enough_and_has_the_defaults() {
        let parsed = parse("[tcp-server]\n");
        assert_eq!(parsed.diagnostics, []);
        assert_eq!(parsed.config, Config { tcp_server: Some(TcpServer::default()), ..Config::default() });
    }

    #[test]
    fn every_key_arrives() {
        let text = r#"
            [tcp-server]
            socket = "/tmp/tcp"
            mode = "606"
            cores = "1,3"
            provider = "direct"
            interface = "lab0"
            active = "1-2"
            frames = "packet"
            queues = 3
            registered-memory = "8MiB"
            io = "epoll"
            notify = "poll"
            offload = "send+receive"
            eager-accept = 0
            eager-receive = "4KiB"
            slots = 32
            ring = "1MiB"
            grace-period = "3s"
            [tcp-server.limits]
            applications = 1
            applications-per-user = 2
            clients-per-user = 3
            slots = 4
            memory = "5MiB"
            registered = 6
            memories = 7
            files = 8
            objects = "9MiB"
            objects-per-user = 10
            found-objects = 11
            [admin]
            listen = "[::1]:9090"
        "#;
        let parsed = parse(text);
        assert_eq!(parsed.diagnostics, []);
        assert!(parsed.config.admin.is_some());
        let expected = TcpServer {
            socket: Some("/tmp/tcp".into()),
            mode: Mode(0o606),
            cores: Cores::List(vec![1, 3]),
            provider: Provider::Direct,
            interface: Some("lab0".into()),
            active: Some(Active { min: 1, max: 2 }),
            frames: Frames::Packet,
            queues: Some(3),
            registered_memory: Some(Size::mib(8)),
            io: Interface::Epoll,
            notify: Notify::Poll,
            offload: Directions::Both,
            eager_accept: 0,
            eager_receive: Some(Size::kib(4)),
            slots: 32,
            ring: Size::mib(1),
            grace_period: Span::seconds(3),
            limits: Limits {
                applications: 1,
                applications_per_user: 2,
                clients_per_user: 3,
                slots: 4,
                memory: 5 << 20,
                registered: 6,
                memories: 7,
                files: 8,
                objects: 9 << 20,
                objects_per_user: 10,
                found_objects: 11,
            },
        };
        assert_eq!(parsed.config.tcp_server, Some(expected));
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            ("tcp-server=7", "1:12: tcp-server: expected a section [tcp-server], found the integer 7\n"),
            (
                "[tcp-server]\nmode=660\nprovider='own'\nnotify='never'\noffload='send'\nslots=1\nring='64'\neager_accept=1\n",
                "2:6: tcp-server.mode: expected a mode such as \"660\", found the integer 660\n\
                 3:10: tcp-server.provider: expected kernel or direct, found \"own\"\n\
                 4:8: tcp-server.notify: expected poll, interrupt or adaptive, found \"never\"\n\
                 5:9: tcp-server.offload: expected receive or send+receive, found \"send\"\n\
                 6:7: tcp-server.slots: expected a number from 32 to 65536, found the integer 1\n\
                 8:1: unknown key \"tcp-server.eager_accept\"; did you mean \"eager-accept\"?\n",
            ),
            (
                "[tcp-server.limits]\napplications=0\nmemory='16'\nregistered=-1\n",
                "2:14: tcp-server.limits.applications: expected a number from 1 to 65536, found the integer 0\n\
                 4:12: tcp-server.limits.registered: expected a size, found -1\n",
            ),
            (
                "[tcp-server]\nregistered-memory='1TiB'\n",
                "2:19: tcp-server.registered-memory: expected provider = \"direct\" beside it, found \"kernel\"; set it, \
                 or leave this out\n\
                 2:19: tcp-server.registered-memory: expected a size from 0 B to 64 GiB, found 1 TiB\n",
            ),
            (
                "[tcp-server]\nring=64\ninterface='lab/0'\ngrace-period='2h'\nlimits.memory='16'\n",
                "2:6: tcp-server.ring: expected a size from 4 KiB to 1 MiB, found 64 B\n\
                 3:11: tcp-server.interface: expected the name of an interface (at most 15 octets), found \"lab/0\"\n\
                 4:14: tcp-server.grace-period: expected a duration from 0s to 1h, found 2h\n\
                 5:15: tcp-server.limits.memory: expected a size from 4 MiB to 16 TiB, found 16 B\n",
            ),
            (
                "[tcp-server]\nprovider='direct'\noffload='receive'\ncores='0-64'\n",
                "2:10: tcp-server.provider: expected tcp-server.interface beside \"direct\", found none; ip link shows \
                 the interfaces, afpa doctor what they can do\n\
                 3:9: tcp-server.offload: expected \"send+receive\" beside provider = \"direct\", found \"receive\"; the \
                 kernel has no connection there on which an application could send\n\
                 4:7: tcp-server.cores: expected at most 64 CPUs, found 65\n",
            ),
            (
                "cores='1'\n[site]\nroot='/'\n[limits]\nheaders=1\ngrace-period='1s'\n[tcp-server]\n",
                "1:7: cores: expected it in the section [tcp-server], as cores\n\
                 2:1: site: expected a file without [tcp-server] for it; one process does one thing\n\
                 4:1: limits: expected a file without [tcp-server] for it; one process does one thing\n\
                 6:14: limits.grace-period: expected it in the section [tcp-server], as grace-period\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(text), expected, "for\n{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut server = TcpServer {
            socket: Some("/nonexistent/socket".into()),
            provider: Provider::Direct,
            interface: Some("afpa-none".into()),
            ..TcpServer::default()
        };
        let found = |server: &TcpServer| {
            let config = Config { tcp_server: Some(server.clone()), ..Config::default() };
            assert_eq!(problems(&config), []);
            crate::config::surroundings(&config).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = [
            "tcp-server.socket: expected a directory /nonexistent, found none",
            "tcp-server.interface: afpa-none cannot be used: No such device (os error 19) (ip link shows what can)",
        ];
        assert_eq!(found(&server), expected);
        (server.socket, server.interface) = (Some("/run/afpa-none/socket".into()), Some("lo".into()));
        assert_eq!(found(&server), [""; 0]);
    }
}
