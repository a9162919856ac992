//! How a route is found, for those who read. Written without any index: what it finds is what the router has to find.

use std::fmt;

use crate::host::HostPattern;
use crate::path::PathCondition;
use crate::request::RequestView;
use crate::route::{Refusal, Route};
use crate::site::Site;

/// A site or a route that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The site's name.
    pub site: String,
    /// The route's name, if it was one; where that is empty, its number.
    pub route: Option<String>,
    /// Whether it takes the request.
    pub matched: bool,
    /// What decided: of what does not hold, the first.
    pub why: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.matched { '+' } else { '-' };
        match &self.route {
            Some(route) => write!(f, "  {mark} route {route}: {}", self.why),
            None => write!(f, "{mark} site {}: {}", self.site, self.why),
        }
    }
}

/// Looks at all sites, and at routes of the one that has the host until one takes the request.
pub(crate) fn explain(sites: &[Site], request: &RequestView<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let best = sites.iter().enumerate().filter_map(|(number, site)| Some((number, best_host(site, request.host)?)));
    // Of equal ones, there is one.
    let chosen = best.max_by_key(|(_, host)| closeness(host));
    for (number, site) in sites.iter().enumerate() {
        let step = |matched, why| Step { site: site.name.clone(), route: None, matched, why };
        let host = request.host.escape_ascii();
        match (chosen, best_host(site, request.host)) {
            (Some((chosen, pattern)), _) if chosen == number => {
                steps.push(step(true, format!("the host {host} is {pattern}")));
                routes(site, request, &mut steps);
            }
            (Some((_, nearer)), Some(pattern)) => {
                steps.push(step(false, format!("the host {host} is {pattern}, but {nearer} is nearer")));
            }
            _ => steps.push(step(false, format!("the host {host} is none of its"))),
        }
    }
    steps
}

fn routes(site: &Site, request: &RequestView<'_>, steps: &mut Vec<Step>) {
    for number in site.in_order() {
        let route = &site.routes[number];
        let failure = failure(route, request);
        let name = if route.name.is_empty() { format!("routes[{number}]") } else { route.name.clone() };
        let matched = failure.is_none();
        let why = failure.unwrap_or_else(|| holds(route));
        steps.push(Step { site: site.name.clone(), route: Some(name), matched, why });
        if matched {
            return;
        }
    }
}

fn best_host<'a>(site: &'a Site, host: &[u8]) -> Option<&'a HostPattern> {
    site.hosts.iter().filter(|pattern| pattern.matches(host)).max_by_key(|pattern| closeness(pattern))
}

fn closeness(pattern: &HostPattern) -> (u8, usize) {
    match pattern {
        HostPattern::Exact(_) => (2, 0),
        HostPattern::Below(above) => (1, above.len()),
        HostPattern::Any => (0, 0),
    }
}

fn failure(route: &Route, request: &RequestView<'_>) -> Option<String> {
    if !route.path.matches(request.path) {
        return Some(format!("expected {}", route.path));
    }
    route.refusal(request, &mut Vec::new()).map(|refusal| match refusal {
        Refusal::Connect => "CONNECT is not allowed".to_owned(),
        Refusal::Condition(failure) => failure.to_string(),
    })
}

fn holds(route: &Route) -> String {
    let mut parts = vec![route.path.to_string()];
    if let PathCondition::Any = route.path {
        parts = vec!["it takes any path".into()];
    }
    if !route.conditions.methods.is_empty() {
        parts.push(format!("method {}", route.conditions.methods.join(", ")));
    }
    parts.extend(route.conditions.others.iter().map(ToString::to_string));
    parts.join(", ")
}
