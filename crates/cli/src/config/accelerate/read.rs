//! From the section `[accelerate]` to the model.

use toml::de::DeValue;

use super::{Accelerate, Forwarded, Policy, ResponseLimits, Timeouts};
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

impl FromValue for Forwarded {
    fn from_value(value: &DeValue<'_>) -> Result<Forwarded, String> {
        from_text(value, "\"x-forwarded-for\", \"forwarded\", \"both\" or \"off\"")
    }
}
