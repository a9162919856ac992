//! From a configuration to the router that engines ask.

use std::path::Path;

use afpa_routing::{HostPattern, KeyParts, Mistake, Router};

use super::{Caching, Route, Site, Target};
use crate::config::Config;
use crate::config::problems::Problem;

/// The router of a configuration. Numbers in its routes are places in lists: of pools in [`Config::pools`], of files in
/// [`file_roots`], of deferred answers in [`deferred`], of policies in
/// [`crate::config::accelerate::Accelerate::numbered_policies`], of classes in [`Config::classes`]. Its sites are those
/// of the configuration; the section `[site]` is one more behind them, which has all other hosts.
///
/// # Errors
/// What is named and not there, and all that a router cannot do, each with its key.
pub fn router(config: &Config) -> Result<Router, Vec<Problem>> {
    let (mut found, mut sites) = (Vec::new(), Vec::new());
    for (i, site) in config.sites.iter().enumerate() {
        let names = names(site);
        let routes = site.routes.iter().zip(names).enumerate().map(|(j, (route, name))| {
            let key = format!("sites[{i}].routes[{j}]");
            let mut key_parts = route.key.clone();
            // Two routes may answer one request differently: what one keeps is not the other's.
            key_parts.space = format!("{} {name}", site.name);
            resolved(config, route, name, key_parts, &key, &mut found)
        });
        let routes = routes.collect();
        sites.push(afpa_routing::Site { name: site.name.clone(), hosts: site.hosts.clone(), routes });
    }
    if config.has_site() {
        sites.push(files_of_the_site(config));
    }
    match Router::new(sites) {
        Ok(router) if found.is_empty() => Ok(router),
        Ok(_) => Err(found),
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(|mistake| problem(config, mistake)));
            Err(found)
        }
    }
}

/// The directories whose files are served, each once: that of `[site]`, then those of routes.
pub fn file_roots(config: &Config) -> Vec<&Path> {
    let own = config.has_site().then_some(config.site.root.as_path());
    let routes = targets(config).filter_map(|target| match target {
        Target::Files(root) => Some(root.as_path()),
        _ => None,
    });
    each_once(own.into_iter().chain(routes))
}

/// The Unix sockets of programs that answer later, each once.
pub fn deferred(config: &Config) -> Vec<&Path> {
    each_once(targets(config).filter_map(|target| match target {
        Target::Deferred(path) => Some(path.as_path()),
        _ => None,
    }))
}

fn targets(config: &Config) -> impl Iterator<Item = &Target> {
    config.sites.iter().flat_map(|site| &site.routes).map(|route| &route.target)
}

fn each_once<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<&'a Path> {
    let mut found = Vec::new();
    for path in paths {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Names for all routes of a site. Those that have none get their path and their target, and a number where that is
/// not enough.
fn names(site: &Site) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let given: Vec<_> = site.routes.iter().filter_map(|route| route.name.as_deref()).collect();
    for route in &site.routes {
        let name = route.name.clone().unwrap_or_else(|| {
            let plain = format!("{} to {}", route.path, described(&route.target));
            let is_free = |name: &String| !names.contains(name) && !given.contains(&name.as_str());
            let numbered = (2..).map(|number| format!("{plain} #{number}"));
            std::iter::once(plain.clone()).chain(numbered).find(is_free).unwrap_or_default()
        });
        names.push(name);
    }
    names
}

fn described(target: &Target) -> String {
    match target {
        Target::Pool(name) => format!("pool {name}"),
        Target::Files(root) => format!("files {}", root.display()),
        Target::Deferred(path) => format!("deferred unix:{}", path.display()),
        Target::Redirect { status, to } => format!("redirect {status} {}", to.as_str()),
        Target::Respond { status, .. } => format!("respond {status}"),
    }
}

fn resolved(
    config: &Config,
    route: &Route,
    name: String,
    key_parts: KeyParts,
    key: &str,
    found: &mut Vec<Problem>,
) -> afpa_routing::Route {
    let mut find = |what: &str, part: &str, name: &str, names: Vec<&str>| {
        let number = names.iter().position(|other| *other == name);
        number.unwrap_or_else(|| {
            let mut message = format!("expected {what}, found {name:?}, which is none");
            if let Some(near) = crate::config::section::nearest(name, &names) {
                message.push_str(&format!("; did you mean {near:?}?"));
            }
            found.push(Problem::new(format!("{key}.{part}"), message));
            0
        })
    };
    let target = match &route.target {
        Target::Pool(name) => {
            let pools = config.pools.iter().map(|pool| pool.name.as_str()).collect();
            afpa_routing::Target::Pool(find("a pool", "pool", name, pools))
        }
        Target::Files(root) => afpa_routing::Target::Files(place(&file_roots(config), root)),
        Target::Deferred(path) => afpa_routing::Target::Deferred(place(&deferred(config), path)),
        Target::Redirect { status, to } => afpa_routing::Target::Redirect { status: *status, location: to.clone() },
        Target::Respond { status, content_type, body } => {
            afpa_routing::Target::Respond { status: *status, content_type: content_type.clone(), body: body.clone() }
        }
    };
    let caching = match &route.caching {
        Caching::Off => None,
        Caching::Default => Some(0),
        Caching::Policy(name) => {
            let policies = config.accelerate.policies.iter().map(|policy| policy.name.as_str()).collect();
            Some(find("off, default or the name of a policy", "cache", name, policies) + 1)
        }
    };
    // Files have a cache of their own, and what is said here needs none.
    let is_kept = matches!(route.target, Target::Pool(_) | Target::Deferred(_));
    let class = route.class.as_ref().map(|name| {
        let classes = config.classes.iter().map(|class| class.name.as_str()).collect();
        find("a class", "class", name, classes)
    });
    afpa_routing::Route {
        name,
        path: route.path.clone(),
        conditions: route.conditions.clone(),
        rewrite: route.rewrite.clone(),
        request_fields: route.request_fields.clone(),
        response_fields: route.response_fields.clone(),
        target,
        caching: caching.filter(|_| is_kept),
        key: key_parts,
        upgrade: route.upgrade,
        connect: route.connect,
        limits: route.limits,
        class,
    }
}

fn place(paths: &[&Path], path: &Path) -> usize {
    paths.iter().position(|other| *other == path).unwrap_or(0)
}

/// The section `[site]`, for all hosts that no other site has.
fn files_of_the_site(config: &Config) -> afpa_routing::Site {
    let target = afpa_routing::Target::Files(place(&file_roots(config), &config.site.root));
    let route = afpa_routing::Route {
        name: "files".into(),
        ..afpa_routing::Route::new(afpa_routing::PathCondition::Any, target)
    };
    afpa_routing::Site { name: "site".into(), hosts: vec![HostPattern::Any], routes: vec![route] }
}

/// A router's mistake under the key that causes it.
fn problem(config: &Config, mistake: Mistake) -> Problem {
    let Mistake { site, route, part, message } = mistake;
    if site >= config.sites.len() {
        let message = "expected one site for all hosts that no other has, but [[sites]] has one already; \
             give that hosts of its own";
        return Problem::new("site", message);
    }
    let route = route.map_or_else(String::new, |route| format!(".routes[{route}]"));
    let dot = if part.is_empty() { "" } else { "." };
    Problem::new(format!("sites[{site}]{route}{dot}{part}"), message)
}
