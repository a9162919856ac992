//! From the sections `[[classes]]` and `[overload]` to the model.

use afpa_classes::MAX_QUEUE;
use afpa_routing::PathCondition;

use super::{Class, Overload};
use crate::config::section::Section;
use crate::config::sites;

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>, offset: usize) -> Class {
    let name: String = section.required("name", offset).unwrap_or_default();
    let mut class = Class::named(&name);
    section.count("priority", 0..=7, &mut class.priority);
    section.count("weight", 1..=1000, &mut class.weight);
    section.count("rate", 0..=100_000_000, &mut class.rate);
    section.count("burst", 0..=100_000_000, &mut class.burst);
    section.count("concurrency", 0..=16_000_000, &mut class.concurrency);
    section.read("bandwidth", &mut class.bandwidth);
    section.count("queue", 0..=MAX_QUEUE, &mut class.queue);
    section.read("queue-timeout", &mut class.queue_timeout);
    section.list("clients", &mut class.rule.clients);
    section.list("hosts", &mut class.rule.hosts);
    if let Some(prefix) = section.optional("path-prefix") {
        class.rule.path = PathCondition::Prefix(prefix);
    }
    class.rule.conditions = sites::conditions(&mut section);
    section.finish();
    class
}

/// Replaces what is written.
pub(in crate::config) fn read_overload(mut section: Section<'_>, overload: &mut Overload) {
    section.read("target-delay", &mut overload.target_delay);
    section.read("interval", &mut overload.interval);
    section.count("capacity", 0..=16_000_000, &mut overload.capacity);
    section.count("client-requests", 0..=1_000_000, &mut overload.client_requests);
    section.count("client-connections", 0..=1_000_000, &mut overload.client_connections);
    section.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_http::quality::Rule;

    use crate::config::{Config, parse};
    use crate::units::{Size, Span};

    fn config(text: &str) -> Config {
        let parsed = parse(&format!("[site]\nroot='/'\n{text}"));
        assert_eq!(parsed.diagnostics, []);
        parsed.config
    }

    #[test]
    fn every_key_arrives() {
        let found = config(
            r#"
            [overload]
            target-delay = "10ms"
            interval = "1s"
            capacity = 50
            client-requests = 100
            client-connections = 20
            [[classes]]
            name = "a"
            priority = 7
            weight = 2
            rate = 3
            burst = 4
            concurrency = 5
            bandwidth = "6MiB"
            queue = 8
            queue-timeout = "9s"
            clients = "10.0.0.0/8"
            hosts = ["*.a"]
            path-prefix = "/x"
            methods = ["GET"]
            [[classes]]
            name = "b"
            hosts = "b"
        "#,
        );
        let overload = Overload {
            target_delay: Span::milliseconds(10),
            interval: Span::seconds(1),
            capacity: 50,
            client_requests: 100,
            client_connections: 20,
        };
        let mut first = Class {
            priority: 7,
            weight: 2,
            rate: 3,
            burst: 4,
            concurrency: 5,
            bandwidth: Size::mib(6),
            queue: 8,
            queue_timeout: Span::seconds(9),
            rule: Rule {
                clients: vec!["10.0.0.0/8".parse().unwrap()],
                hosts: vec!["*.a".parse().unwrap()],
                path: PathCondition::Prefix("/x".into()),
                ..Rule::default()
            },
            ..Class::named("a")
        };
        first.rule.conditions.methods.push("GET".into());
        let second = Class { rule: Rule { hosts: vec!["b".parse().unwrap()], ..Rule::default() }, ..Class::named("b") };
        assert_eq!((found.overload, found.classes), (overload, vec![first, second]));
        assert_eq!(config("").overload, Overload::default());
    }

    #[test]
    fn what_cannot_work_is_shown_where_it_stands() {
        let text = "[site]\nroot='/'\n[[classes]]\nname='a'\n[[classes]]\nname='a'\nburst=1\npath-prefix='x'\n\
             bandwidth=1\nheaders=[{name='a b', present=true}]\n[overload]\ntarget-delay='200ms'\n";
        let expected = "\
3:1: classes[0]: expected clients, hosts, path-prefix, methods, headers, cookies or query, or a route with this class, \
found none
6:6: classes[1].name: expected each class once, found \"a\" twice
7:7: classes[1].burst: expected rate beside it, found none; without one, 1 are not too many
8:13: classes[1].path-prefix: expected a path that starts with /, found \"x\"
9:11: classes[1].bandwidth: expected a size from 1 KiB to 1 TiB, found 1 B
10:9: classes[1].headers: expected the name of a header field, found \"a b\"
11:1: overload.interval: expected at least target-delay, 200ms, found 100ms
";
        let mut expected: Vec<_> = expected.lines().collect();
        expected.sort_unstable();
        let mut found: Vec<_> = parse(text).diagnostics.iter().map(ToString::to_string).collect();
        found.sort_unstable();
        // A default has no place of its own: it is shown at its section.
        assert_eq!(found, expected);
    }
}
