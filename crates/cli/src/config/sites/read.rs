//! From the sections `[[sites]]` to the model.

use std::sync::Arc;

use afpa_routing::{
    Condition, Conditions, FieldChange, HostPattern, KeyParts, Limits, PathCondition, Pattern, QueryKey, Rewrite,
    Subject, Template, Test,
};

use super::written::UnixAddress;
use super::{Route, Site, Target};
use crate::config::section::Section;
use crate::units::{Size, Span};

/// Where something is wrong, the default stands.
pub(in crate::config) fn read(mut section: Section<'_>, offset: usize) -> Site {
    let name = section.optional("name");
    let mut hosts = Vec::new();
    section.list("hosts", &mut hosts);
    if hosts.is_empty() && !section.has("hosts") {
        hosts = vec![HostPattern::Any];
    }
    let routes: Vec<_> =
        section.sections("routes").into_iter().map(|(section, offset)| route(section, offset)).collect();
    if routes.is_empty() && !section.has("routes") {
        section.error(offset, "expected at least one section [[sites.routes]], found none");
    }
    section.finish();
    let name = name.unwrap_or_else(|| match hosts.first() {
        None | Some(HostPattern::Any) => "default".to_owned(),
        Some(host) => host.to_string(),
    });
    Site { name, hosts, routes }
}

fn route(mut section: Section<'_>, offset: usize) -> Route {
    let name = section.optional("name");
    let path = path(&mut section, offset);
    let conditions = conditions(&mut section);
    let rewrite = rewrite(&mut section);
    let request_fields = changes(&mut section, "request-fields");
    let response_fields = changes(&mut section, "response-fields");
    let target = target(&mut section, offset);
    let mut route = Route { name, path, conditions, rewrite, request_fields, response_fields, ..Route::to(target) };
    section.read("cache", &mut route.caching);
    if let Some((section, offset)) = section.section("key") {
        route.key = key(section, offset);
    }
    section.read("upgrade", &mut route.upgrade);
    section.read("connect", &mut route.connect);
    if let Some((section, _)) = section.section("limits") {
        route.limits = limits(section);
    }
    route.class = section.optional("class");
    section.finish();
    route
}

fn path(section: &mut Section<'_>, offset: usize) -> PathCondition {
    let exact = section.optional("path").map(PathCondition::Exact);
    let prefix = section.optional("path-prefix").map(PathCondition::Prefix);
    let regex = section.optional("path-regex").map(PathCondition::Regex);
    if ["path", "path-prefix", "path-regex"].iter().filter(|key| section.has(key)).count() > 1 {
        section.error(offset, "expected one of path, path-prefix and path-regex, found several");
    }
    exact.or(prefix).or(regex).unwrap_or(PathCondition::Any)
}

/// Methods, and what is asked of header fields, cookies and the query.
pub(in crate::config) fn conditions(section: &mut Section<'_>) -> Conditions {
    let mut conditions = Conditions::default();
    section.list("methods", &mut conditions.methods);
    for (key, subject) in [
        ("headers", (|name: String| Subject::Field(name.to_ascii_lowercase())) as fn(String) -> Subject),
        ("cookies", Subject::Cookie),
        ("query", Subject::Query),
    ] {
        let sections = section.sections(key).into_iter();
        conditions.others.extend(sections.filter_map(|(section, offset)| condition(section, offset, subject)));
    }
    conditions
}

fn condition(mut section: Section<'_>, offset: usize, subject: fn(String) -> Subject) -> Option<Condition> {
    let name = section.required("name", offset);
    let equals = section.optional("equals").map(Test::Equals);
    let prefix = section.optional("prefix").map(Test::Prefix);
    let regex = section.optional::<Pattern>("regex").map(Test::Regex);
    let present = section.optional("present").map(|is| if is { Test::Present } else { Test::Absent });
    if ["equals", "prefix", "regex", "present"].iter().filter(|key| section.has(key)).count() != 1 {
        section.error(offset, "expected one of equals, prefix, regex and present");
    }
    section.finish();
    Some(Condition { subject: subject(name?), test: equals.or(prefix).or(regex).or(present)? })
}

fn rewrite(section: &mut Section<'_>) -> Rewrite {
    let strip_prefix = section.optional("strip-prefix");
    let replace = section.section("replace").and_then(|(mut section, offset)| {
        let pattern = section.required::<Pattern>("pattern", offset);
        let with = section.required::<Template>("with", offset);
        section.finish();
        pattern.zip(with)
    });
    Rewrite { strip_prefix, replace, add_prefix: section.optional("add-prefix") }
}

fn changes(section: &mut Section<'_>, key: &'static str) -> Vec<FieldChange> {
    section.sections(key).into_iter().filter_map(|(section, offset)| change(section, offset)).collect()
}

fn change(mut section: Section<'_>, offset: usize) -> Option<FieldChange> {
    let (set, add, remove) = (section.optional("set"), section.optional("add"), section.optional("remove"));
    if ["set", "add", "remove"].iter().filter(|key| section.has(key)).count() != 1 {
        section.error(offset, "expected one of set, add and remove, with the name of a header field");
    }
    let value = if section.has("remove") { None } else { section.required("value", offset) };
    section.finish();
    match (set, add, remove, value) {
        (Some(name), None, None, Some(value)) => Some(FieldChange::Set { name, value }),
        (None, Some(name), None, Some(value)) => Some(FieldChange::Add { name, value }),
        (None, None, Some(name), None) => Some(FieldChange::Remove { name }),
        _ => None,
    }
}

const TARGETS: [&str; 5] = ["pool", "files", "deferred", "redirect", "respond"];

fn target(section: &mut Section<'_>, offset: usize) -> Target {
    let pool = section.optional("pool").map(Target::Pool);
    let files = section.optional("files").map(Target::Files);
    let deferred = section.optional("deferred").map(|UnixAddress(path)| Target::Deferred(path));
    let redirect = section.section("redirect").and_then(|(section, offset)| redirect(section, offset));
    let respond = section.section("respond").map(|(section, _)| respond(section));
    let count = TARGETS.iter().filter(|key| section.has(key)).count();
    if count != 1 {
        let found = if count == 0 { "none" } else { "several" };
        section.error(offset, &format!("expected one of {}, found {found}", TARGETS.join(", ")));
    }
    pool.or(files).or(deferred).or(redirect).or(respond).unwrap_or(Target::Pool(String::new()))
}

fn redirect(mut section: Section<'_>, offset: usize) -> Option<Target> {
    let to = section.required("to", offset);
    let mut status = 302;
    section.count("status", 301..=308, &mut status);
    section.finish();
    Some(Target::Redirect { status, to: to? })
}

fn respond(mut section: Section<'_>) -> Target {
    let mut status = 200;
    section.count("status", 200..=599, &mut status);
    let body = section.text("body").unwrap_or_default();
    let default = if body.is_empty() { "" } else { "text/plain; charset=utf-8" };
    let content_type = section.optional("content-type").unwrap_or_else(|| default.to_owned());
    section.finish();
    Target::Respond { status, content_type, body: Arc::from(body.into_bytes()) }
}

fn key(mut section: Section<'_>, offset: usize) -> KeyParts {
    let mut parts = KeyParts::default();
    section.read("host", &mut parts.host);
    let whole = section.optional::<bool>("query");
    let (mut only, mut without) = (Vec::new(), Vec::new());
    section.list("query-only", &mut only);
    section.list("query-without", &mut without);
    if ["query", "query-only", "query-without"].iter().filter(|key| section.has(key)).count() > 1 {
        section.error(offset, "expected one of query, query-only and query-without, found several");
    }
    parts.query = match whole {
        _ if section.has("query-only") => QueryKey::Only(only),
        _ if section.has("query-without") => QueryKey::AllBut(without),
        Some(false) => QueryKey::None,
        _ => QueryKey::All,
    };
    section.list("headers", &mut parts.fields);
    parts.fields.iter_mut().for_each(|name| name.make_ascii_lowercase());
    section.list("cookies", &mut parts.cookies);
    section.finish();
    parts
}

fn limits(mut section: Section<'_>) -> Limits {
    let limits = Limits {
        body: section.optional("body").map(|Size(octets)| octets),
        total_timeout: section.optional("timeout").map(|Span(time)| time),
        try_timeout: section.optional("try-timeout").map(|Span(time)| time),
    };
    section.finish();
    limits
}
