//! What cannot work of sites and routes.

use std::collections::HashMap;
use std::fmt;

use crate::field_change::{FieldChange, is_field_value};
use crate::host::HostPattern;
use crate::path::PathCondition;
use crate::route::{Route, Target};
use crate::site::Site;

/// Something that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The number of the site.
    pub site: usize,
    /// The number of the route in it, if it is one's.
    pub route: Option<usize>,
    /// Which part of it: `hosts`, `name`, `path`, `methods`, `rewrite`, `request-fields`, `response-fields`,
    /// `redirect`, `respond`; empty for the whole.
    pub part: &'static str,
    /// What was expected, and what was found.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sites[{}]", self.site)?;
        if let Some(route) = self.route {
            write!(f, ".routes[{route}]")?;
        }
        let dot = if self.part.is_empty() { "" } else { "." };
        write!(f, "{dot}{}: {}", self.part, self.message)
    }
}

impl std::error::Error for Mistake {}

/// Regular expressions of a site's routes are tried one after the other: so many, and no more.
const MOST_REGEXES: usize = 256;

/// All of them, in the order of the sites.
pub(crate) fn mistakes(sites: &[Site]) -> Vec<Mistake> {
    let mut found = Vec::new();
    hosts(sites, &mut found);
    for (number, site) in sites.iter().enumerate() {
        names(number, site, &mut found);
        for (i, route) in site.routes.iter().enumerate() {
            let mut add = |part, message| found.push(Mistake { site: number, route: Some(i), part, message });
            path(route, &mut add);
            fields(route, &mut add);
            target(route, &mut add);
        }
        unreachable(number, site, &mut found);
    }
    found.sort_by_key(|mistake| (mistake.site, mistake.route));
    found
}

fn hosts(sites: &[Site], found: &mut Vec<Mistake>) {
    let mut seen: HashMap<&HostPattern, usize> = HashMap::new();
    for (site, Site { hosts, .. }) in sites.iter().enumerate() {
        let mut add = |message| found.push(Mistake { site, route: None, part: "hosts", message });
        if hosts.is_empty() {
            add("expected at least one host, found none".to_owned());
        }
        for host in hosts {
            match (seen.insert(host, site), host) {
                (None, _) => {}
                (Some(other), HostPattern::Any) => {
                    add(format!("expected one site for every other host, but sites[{other}] is one already"));
                }
                (Some(other), host) => {
                    add(format!("expected each host once, found {host}, which sites[{other}] has"));
                }
            }
        }
    }
}

fn names(site: usize, Site { routes, .. }: &Site, found: &mut Vec<Mistake>) {
    let mut seen = HashMap::new();
    for (i, route) in routes.iter().enumerate().filter(|(_, route)| !route.name.is_empty()) {
        if let Some(other) = seen.insert(&route.name, i) {
            let message = format!("expected each name once, found {:?}, which routes[{other}] has", route.name);
            found.push(Mistake { site, route: Some(i), part: "name", message });
        }
    }
    let regexes = routes.iter().filter(|route| matches!(route.path, PathCondition::Regex(_))).count();
    if regexes > MOST_REGEXES {
        let message = format!("expected at most {MOST_REGEXES} routes with a regular expression, found {regexes}");
        found.push(Mistake { site, route: None, part: "", message });
    }
}

fn path(route: &Route, add: &mut impl FnMut(&'static str, String)) {
    if let PathCondition::Exact(path) | PathCondition::Prefix(path) = &route.path
        && let Some(message) = decoded_path(path)
    {
        add("path", message);
    }
    let is_method =
        |method: &str| !method.is_empty() && method.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'-');
    for method in route.conditions.methods.iter().filter(|method| !is_method(method)) {
        add("methods", format!("expected a method in upper case such as GET, found {method:?}"));
    }
    if route.conditions.methods.iter().any(|method| method == "CONNECT") && !route.connect {
        add("methods", "expected connect allowed beside the method CONNECT, found it forbidden".into());
    }
    let rewrite = &route.rewrite;
    if let Some(message) = rewrite.strip_prefix.as_deref().and_then(decoded_path) {
        add("rewrite", message);
    }
    // What is added is sent as it is.
    let is_sent = |octet: u8| matches!(octet, b'!'..=b'~') && !b"?#".contains(&octet);
    if let Some(prefix) = &rewrite.add_prefix
        && (!prefix.starts_with('/') || has_dot_segments(prefix) || !prefix.bytes().all(is_sent))
    {
        add("rewrite", format!("expected a path that starts with /, as it is sent, found {prefix:?}"));
    }
    if let Some((_, with)) = &rewrite.replace
        && with.as_str().contains('#')
    {
        add("rewrite", format!("expected a part of a path without #, found {:?}", with.as_str()));
    }
    if let Some((pattern, with)) = &rewrite.replace
        && with.highest_group() > pattern.groups()
    {
        let (group, groups) = (with.highest_group(), pattern.groups());
        add("rewrite", format!("expected a group of the pattern, which has {groups}, found ${group}"));
    }
}

/// What keeps a path from ever being one that is compared: those are decoded, without empty and dot segments.
fn decoded_path(path: &str) -> Option<String> {
    let is_escape = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|octet| octet.is_ascii_hexdigit());
    if !path.starts_with('/') {
        return Some(format!("expected a path that starts with /, found {path:?}"));
    }
    if has_dot_segments(path) || path.contains("//") {
        return Some(format!("expected a path without empty and dot segments, found {path:?}"));
    }
    let escaped = path.split('%').skip(1).any(is_escape);
    escaped.then(|| format!("expected a decoded path, with a blank in place of %20, found {path:?}"))
}

fn has_dot_segments(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn fields(route: &Route, add: &mut impl FnMut(&'static str, String)) {
    for change in &route.request_fields {
        if let Err(error) = change.check() {
            add("request-fields", error.to_string());
        }
    }
    for change in &route.response_fields {
        match change.check() {
            Err(error) => add("response-fields", error.to_string()),
            Ok(()) if matches!(change, FieldChange::Set { name, .. } if name.eq_ignore_ascii_case("host")) => {
                add("response-fields", "expected a field of responses, found host".into());
            }
            Ok(()) => {}
        }
    }
}

fn target(route: &Route, add: &mut impl FnMut(&'static str, String)) {
    match &route.target {
        Target::Redirect { status, location } => {
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                add("redirect", format!("expected the status 301, 302, 303, 307 or 308, found {status}"));
            }
            if !location.is_location() {
                let found = location.as_str();
                add(
                    "redirect",
                    format!("expected a path, or http:// or https:// and a host without $1, found {found:?}"),
                );
            }
            let groups = if let PathCondition::Regex(pattern) = &route.path { pattern.groups() } else { 0 };
            if location.highest_group() > groups {
                let group = location.highest_group();
                add(
                    "redirect",
                    format!("expected a group of the route's path-regex, which has {groups}, found ${group}"),
                );
            }
        }
        Target::Respond { status, content_type, body } => {
            if !(200..=599).contains(status) {
                add("respond", format!("expected a status from 200 to 599, found {status}"));
            }
            // RFC 9110 §15.3.5, §15.3.6, §15.4.5: these have no content.
            if matches!(status, 204 | 205 | 304) && !body.is_empty() {
                add("respond", format!("expected no body with the status {status}, found one"));
            }
            if !is_field_value(content_type) {
                add("respond", format!("expected a media type such as text/plain, found {content_type:?}"));
            }
        }
        Target::Files(_) | Target::Pool(_) | Target::Deferred(_) => {}
    }
}

/// Routes to which nothing comes, because one that is tried before takes all of it.
fn unreachable(site: usize, Site { routes, .. }: &Site, found: &mut Vec<Mistake>) {
    let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, route) in routes.iter().enumerate() {
        by_path.entry(canonical(&route.path)).or_default().push(i);
    }
    let none = Vec::new();
    let root = by_path.get(&canonical(&PathCondition::Prefix("/".into()))).unwrap_or(&none);
    for (i, route) in routes.iter().enumerate() {
        let same = by_path.get(&canonical(&route.path)).unwrap_or(&none).iter().take_while(|&&other| other < i);
        // A prefix is tried before any regular expression, and / is one of every path.
        let before = if matches!(route.path, PathCondition::Regex(_)) { root } else { &none };
        let takes_all = |other: &&usize| {
            let other = &routes[**other];
            other.conditions.cover(&route.conditions) && (other.connect || !route.connect)
        };
        if let Some(by) = same.chain(before).find(takes_all) {
            let message = format!("expected a route that something comes to, but routes[{by}] takes all of it");
            found.push(Mistake { site, route: Some(i), part: "", message });
        }
    }
}

fn canonical(path: &PathCondition) -> String {
    match path {
        PathCondition::Prefix(prefix) => format!("below {}", PathCondition::stem(prefix)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, Conditions, Subject, Test};

    fn site(hosts: &[&str], routes: Vec<Route>) -> Site {
        Site { name: "s".into(), hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), routes }
    }

    fn prefix(path: &str) -> Route {
        Route::new(PathCondition::Prefix(path.into()), Target::Pool(0))
    }

    fn regex(pattern: &str) -> Route {
        Route::new(PathCondition::Regex(pattern.parse().unwrap()), Target::Pool(0))
    }

    fn said(sites: &[Site]) -> Vec<String> {
        mistakes(sites).iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn hosts_that_two_sites_have_are_named() {
        let sites = [site(&["a", "*"], vec![]), site(&["A", "*.a"], vec![]), site(&["*"], vec![]), site(&[], vec![])];
        let expected = [
            "sites[1].hosts: expected each host once, found a, which sites[0] has",
            "sites[2].hosts: expected one site for every other host, but sites[0] is one already",
            "sites[3].hosts: expected at least one host, found none",
        ];
        assert_eq!(said(&sites), expected);
    }

    #[test]
    fn each_mistake_of_a_route_is_found() {
        type Change = fn(&mut Route);
        let cases: [(Change, &str); 18] = [
            (|r| r.path = PathCondition::Exact("a".into()), "path: expected a path that starts with /, found \"a\""),
            (
                |r| r.conditions.methods = vec!["get".into()],
                "methods: expected a method in upper case such as GET, found \"get\"",
            ),
            (
                |r| r.conditions.methods = vec!["CONNECT".into()],
                "methods: expected connect allowed beside the method CONNECT, found it forbidden",
            ),
            (
                |r| r.rewrite.add_prefix = Some("/a/..".into()),
                "rewrite: expected a path that starts with /, as it is sent, found \"/a/..\"",
            ),
            (
                |r| r.rewrite.add_prefix = Some("/a?b".into()),
                "rewrite: expected a path that starts with /, as it is sent, found \"/a?b\"",
            ),
            (
                |r| r.rewrite.strip_prefix = Some("/a//b".into()),
                "rewrite: expected a path without empty and dot segments, found \"/a//b\"",
            ),
            (
                |r| r.rewrite.replace = Some(("a".parse().unwrap(), "b#c".parse().unwrap())),
                "rewrite: expected a part of a path without #, found \"b#c\"",
            ),
            (
                |r| r.path = PathCondition::Prefix("/a%20b".into()),
                "path: expected a decoded path, with a blank in place of %20, found \"/a%20b\"",
            ),
            (
                |r| r.rewrite.replace = Some(("^/(a)".parse().unwrap(), "/$2".parse().unwrap())),
                "rewrite: expected a group of the pattern, which has 1, found $2",
            ),
            (
                |r| r.request_fields = vec![FieldChange::Remove { name: "te".into() }],
                "request-fields: expected a field that is not about the connection or the message's end, found te",
            ),
            (
                |r| r.response_fields = vec![FieldChange::Set { name: "Host".into(), value: "a".into() }],
                "response-fields: expected a field of responses, found host",
            ),
            (
                |r| r.target = Target::Redirect { status: 300, location: "/".parse().unwrap() },
                "redirect: expected the status 301, 302, 303, 307 or 308, found 300",
            ),
            (
                |r| r.target = Target::Redirect { status: 301, location: "/$1".parse().unwrap() },
                "redirect: expected a group of the route's path-regex, which has 0, found $1",
            ),
            (
                |r| r.target = Target::Redirect { status: 301, location: "//$query".parse().unwrap() },
                "redirect: expected a path, or http:// or https:// and a host without $1, found \"//$query\"",
            ),
            (
                |r| r.target = Target::Respond { status: 100, content_type: "a/b".into(), body: [][..].into() },
                "respond: expected a status from 200 to 599, found 100",
            ),
            (
                |r| r.target = Target::Respond { status: 204, content_type: "a/b".into(), body: b"x"[..].into() },
                "respond: expected no body with the status 204, found one",
            ),
            (
                |r| r.target = Target::Respond { status: 200, content_type: "a\n".into(), body: [][..].into() },
                "respond: expected a media type such as text/plain, found \"a\\n\"",
            ),
            (|r| r.name = "x".into(), "name: expected each name once, found \"x\", which routes[0] has"),
        ];
        for (change, expected) in cases {
            let mut route = prefix("/a");
            change(&mut route);
            let first = Route { name: "x".into(), ..prefix("/first") };
            assert_eq!(said(&[site(&["*"], vec![first, route])]), [format!("sites[0].routes[1].{expected}")]);
        }
        let many = (0..257).map(|number| regex(&number.to_string())).collect();
        let expected = "sites[0]: expected at most 256 routes with a regular expression, found 257";
        assert_eq!(said(&[site(&["*"], many)]), [expected]);
    }

    #[test]
    fn a_route_that_nothing_comes_to_is_named() {
        let with = |route: Route, methods: &[&str], fields: &[&str]| Route {
            conditions: Conditions {
                methods: methods.iter().map(|method| (*method).into()).collect(),
                others: fields
                    .iter()
                    .map(|name| Condition { subject: Subject::Field((*name).into()), test: Test::Present })
                    .collect(),
            },
            ..route
        };
        let hides = |first: Route, second: Route| {
            let said = said(&[site(&["*"], vec![first, second])]);
            assert!(said.len() < 2, "{said:?}");
            !said.is_empty()
        };
        assert!(hides(prefix("/a"), prefix("/a/")));
        assert!(hides(prefix("/a"), with(prefix("/a"), &["GET"], &["x"])));
        assert!(hides(with(prefix("/a"), &["GET", "POST"], &["x"]), with(prefix("/a"), &["HEAD"], &["y", "x"])));
        assert!(hides(prefix("/"), regex("a")));
        assert!(hides(regex("a"), prefix("/")), "the order of the file does not matter here");
        assert!(hides(regex("a"), regex("a")));
        assert!(!hides(prefix("/"), prefix("/a")));
        assert!(!hides(with(prefix("/a"), &["GET"], &[]), prefix("/a")));
        assert!(!hides(with(prefix("/a"), &[], &["x"]), with(prefix("/a"), &[], &["y"])));
        assert!(!hides(with(prefix("/"), &["GET"], &[]), regex("a")));
        assert!(!hides(prefix("/"), Route::new(PathCondition::Any, Target::Pool(0))));
        assert!(!hides(prefix("/a"), Route { connect: true, ..prefix("/a") }));
    }
}
