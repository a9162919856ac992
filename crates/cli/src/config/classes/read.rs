//! From the sections `[[classes]]` and `[overload]` to the model.

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
    section.list("clients", &mut class.clients);
    section.list("hosts", &mut class.hosts);
    if let Some(prefix) = section.optional("path-prefix") {
        class.path = PathCondition::Prefix(prefix);
    }
    class.conditions = sites::conditions(&mut section);
    section.finish();
    class
}

/// Replaces what is written.
pub(in crate::config) fn read_overload(mut section: Section<'_>, overload: &mut Overload) {
    section.read("target-delay", &mut overload.target_delay);
    section.read("interval", &mut overload.interval);
    section.count("client-requests", 0..=1_000_000, &mut overload.client_requests);
    section.count("client-connections", 0..=1_000_000, &mut overload.client_connections);
    section.finish();
}
