//! From the section `[accelerate]` to the model.

use toml::de::DeValue;

use super::{Accelerate, Forwarded, Policy, ResponseLimits, Timeouts, Token};
use crate::config::section::{FromValue, Section, from_text};

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>) -> Accelerate {
    let mut accelerate = Accelerate::default();
    section.read("name", &mut accelerate.name);
    policy(&mut section, &mut accelerate.policy);
    let policies = section.sections("policies").into_iter().map(|(mut section, offset)| {
        let name = section.required("name", offset).unwrap_or_default();
        let mut named = Policy { name, ..accelerate.policy.clone() };
        policy(&mut section, &mut named);
        section.finish();
        named
    });
    accelerate.policies = policies.collect();
    if let Some((section, _)) = section.section("timeouts") {
        timeouts(section, &mut accelerate.timeouts);
    }
    if let Some((section, _)) = section.section("response") {
        response(section, &mut accelerate.response);
    }
    section.list("trusted", &mut accelerate.trusted);
    section.read("forwarded", &mut accelerate.forwarded);
    section.list("proxy-protocol", &mut accelerate.proxy_protocol);
    accelerate.purge_token = section.optional("purge-token");
    section.finish();
    accelerate
}

/// Replaces what is written.
fn policy(section: &mut Section<'_>, policy: &mut Policy) {
    section.read("cache", &mut policy.cache);
    section.count("heuristic-percent", 0..=100, &mut policy.heuristic_percent);
    section.read("heuristic-most", &mut policy.heuristic_most);
    section.read("default-lifetime", &mut policy.default_lifetime);
    section.pairs("negative", "{ 404 = \"10s\" }", &mut policy.negative);
    section.read("stale-while-revalidate", &mut policy.stale_while_revalidate);
    section.read("stale-if-error", &mut policy.stale_if_error);
    section.read("collapse", &mut policy.collapse);
    section.read("compress", &mut policy.compress);
    section.read("max-object", &mut policy.max_object);
    section.list("methods", &mut policy.methods);
}

fn timeouts(mut section: Section<'_>, timeouts: &mut Timeouts) {
    section.read("connect", &mut timeouts.connect);
    section.read("first-byte", &mut timeouts.first_byte);
    section.read("between-bytes", &mut timeouts.between_bytes);
    section.read("total", &mut timeouts.total);
    section.finish();
}

fn response(mut section: Section<'_>, response: &mut ResponseLimits) {
    section.read("head", &mut response.head);
    section.count("fields", 1..=1000, &mut response.fields);
    section.finish();
}

impl FromValue for Token {
    /// What is said of it shows none of it.
    fn from_value(value: &DeValue<'_>) -> Result<Token, String> {
        match value.as_str() {
            Some(text) => text.parse().map_err(str::to_owned),
            None => Err("expected a string of at least 16 visible ASCII characters".into()),
        }
    }
}

impl FromValue for Forwarded {
    fn from_value(value: &DeValue<'_>) -> Result<Forwarded, String> {
        from_text(value, "\"x-forwarded-for\", \"forwarded\", \"both\" or \"off\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, parse};
    use crate::units::{Size, Span};

    fn accelerate(text: &str) -> Accelerate {
        let parsed = parse(&format!("[site]\nroot='/'\n{text}"));
        assert_eq!(parsed.diagnostics, []);
        parsed.config.accelerate
    }

    fn errors(text: &str) -> String {
        let parsed = parse(&format!("[site]\nroot='/'\n{text}"));
        parsed.diagnostics.iter().map(|diagnostic: &Diagnostic| format!("{diagnostic}\n")).collect()
    }

    #[test]
    fn an_empty_section_has_the_defaults() {
        assert_eq!(accelerate(""), Accelerate::default());
        assert_eq!(accelerate("[accelerate]\n"), Accelerate::default());
    }

    #[test]
    fn every_key_arrives_and_named_policies_have_what_they_do_not_say_from_the_first() {
        let found = accelerate(
            r#"
            [accelerate]
            name = "edge-1"
            cache = false
            heuristic-percent = 20
            heuristic-most = "2h"
            default-lifetime = "5s"
            negative = { 404 = "10s", 503 = "1s" }
            stale-while-revalidate = "1m"
            stale-if-error = "1h"
            collapse = false
            compress = false
            max-object = "1MiB"
            methods = ["GET"]
            trusted = ["10.0.0.0/8"]
            forwarded = "both"
            proxy-protocol = "192.0.2.0/24"
            purge-token = "0123456789abcdef"
            timeouts = { connect = "1s", first-byte = "2s", between-bytes = "3s", total = "4s" }
            response = { head = "8KiB", fields = 50 }
            [[accelerate.policies]]
            name = "on"
            cache = true
            negative = {}
        "#,
        );
        let policy = Policy {
            name: String::new(),
            cache: false,
            heuristic_percent: 20,
            heuristic_most: Span::seconds(7200),
            default_lifetime: Span::seconds(5),
            negative: vec![(404, Span::seconds(10)), (503, Span::seconds(1))],
            stale_while_revalidate: Span::seconds(60),
            stale_if_error: Span::seconds(3600),
            collapse: false,
            compress: false,
            max_object: Size::mib(1),
            methods: vec!["GET".into()],
        };
        let expected = Accelerate {
            name: "edge-1".into(),
            policies: vec![Policy { name: "on".into(), cache: true, negative: Vec::new(), ..policy.clone() }],
            policy,
            timeouts: Timeouts {
                connect: Span::seconds(1),
                first_byte: Span::seconds(2),
                between_bytes: Span::seconds(3),
                total: Span::seconds(4),
            },
            response: ResponseLimits { head: Size::kib(8), fields: 50 },
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            forwarded: Forwarded::Both,
            proxy_protocol: vec!["192.0.2.0/24".parse().unwrap()],
            purge_token: "0123456789abcdef".parse().ok(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn each_error_names_its_place_what_was_expected_and_what_was_found() {
        let cases = [
            (
                "[accelerate]\nnegative={ x='1s' }\nforwarded='via'\nheuristic-percent=101\ntrusted=['10.0.0.1/8']\n\
                 purge-token='short'\n",
                "4:12: accelerate.negative: expected a table such as { 404 = \"10s\" }, found the key \"x\"\n\
                 5:11: accelerate.forwarded: expected x-forwarded-for, forwarded, both or off, found \"via\"\n\
                 6:19: accelerate.heuristic-percent: expected a number from 0 to 100, found the integer 101\n\
                 7:10: accelerate.trusted[0]: expected a network such as 10.0.0.0/8 or 2001:db8::/32, \
                 found \"10.0.0.1/8\"; it has host bits; write 10.0.0.0/8\n\
                 8:13: accelerate.purge-token: expected at least 16 visible ASCII characters, which nobody guesses, \
                 found others or fewer\n",
            ),
            (
                "[accelerate]\nnegative=404\n[[accelerate.policies]]\nnegative={404=10}\n[accelerate.timeout]\n",
                "4:10: accelerate.negative: expected a table such as { 404 = \"10s\" }, found the integer 404\n\
                 5:1: accelerate.policies[0].name: expected a value, found none\n\
                 6:15: accelerate.policies[0].negative.404: expected a duration such as \"5s\", found the integer 10\n\
                 7:13: unknown key \"accelerate.timeout\"; did you mean \"timeouts\"?\n",
            ),
            (
                "[accelerate]\nname='a b'\nnegative={200='1s', 404='2h'}\nmethods=['POST']\n\n\
                 max-object=1\nstale-if-error='400d'\ntimeouts={connect='0s'}\n[[accelerate.policies]]\nname='off'\n",
                "4:6: accelerate.name: expected letters, digits and hyphens, found \"a b\"\n\
                 5:15: accelerate.negative.200: expected the status of an error, from 400 to 599, found 200\n\
                 5:25: accelerate.negative.404: expected a duration from 0s to 1h, found 2h\n\
                 6:10: accelerate.methods[0]: expected GET or HEAD, found \"POST\"\n\
                 8:12: accelerate.max-object: expected a size from 4 KiB to 1 TiB, found 1 B\n\
                 9:16: accelerate.stale-if-error: expected a duration from 0s to 365d, found 400d\n\
                 10:19: accelerate.timeouts.connect: expected a duration from 1ms to 1d, found 0s; \
                 a connection that nobody accepts has no end\n\
                 12:6: accelerate.policies[0].name: expected a name that nothing else has, found \"off\"\n",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(errors(text), expected, "for\n{text}");
        }
    }
}
