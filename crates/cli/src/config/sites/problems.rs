//! What is well written and still cannot work.

use std::collections::HashSet;
use std::fs;

use afpa_routing::{Conditions, Subject};

use super::{Caching, Route, Target, router};
use crate::config::Config;
use crate::config::pools::is_token;
use crate::config::problems::Problem;

/// Everything that contradicts itself or lies outside its bounds. Looks at nothing but `config`.
pub(in crate::config) fn problems(config: &Config, found: &mut Vec<Problem>) {
    let mut names = HashSet::new();
    for (i, site) in config.sites.iter().enumerate() {
        if !names.insert(&site.name) {
            let message = format!("expected each name once, found {:?} twice", site.name);
            found.push(Problem::new(format!("sites[{i}].name"), message));
        }
        for (j, route) in site.routes.iter().enumerate() {
            let key = format!("sites[{i}].routes[{j}]");
            field_names(&key, &route.conditions, found);
            for (n, name) in route.key.fields.iter().enumerate().filter(|(_, name)| !is_token(name)) {
                let message = format!("expected the name of a header field, found {name:?}");
                found.push(Problem::new(format!("{key}.key.headers[{n}]"), message));
            }
            pointless(&key, route, found);
        }
    }
    if let Err(problems) = router(config) {
        found.extend(problems);
    }
    if !config.pools.is_empty() && config.sites.is_empty() {
        let message = "expected sections [[sites]] with routes to it, found none";
        found.push(Problem::new("pools[0]", message));
    }
}

/// Names of header fields that are none.
pub(in crate::config) fn field_names(key: &str, conditions: &Conditions, found: &mut Vec<Problem>) {
    let names = conditions.others.iter().filter_map(|condition| match &condition.subject {
        Subject::Field(name) => Some(name),
        _ => None,
    });
    for name in names.filter(|name| !is_token(name)) {
        let message = format!("expected the name of a header field, found {name:?}");
        found.push(Problem::new(format!("{key}.headers"), message));
    }
}

/// Settings of a route that its target has no use for.
fn pointless(key: &str, route: &Route, found: &mut Vec<Problem>) {
    let is_asked = matches!(route.target, Target::Pool(_) | Target::Deferred(_));
    let uses = [
        ("cache", route.caching != Caching::Default),
        ("key", route.key != afpa_routing::KeyParts::default()),
        ("upgrade", route.upgrade),
        ("connect", route.connect),
        ("request-fields", !route.request_fields.is_empty()),
    ];
    for (part, _) in uses.into_iter().filter(|(_, is_set)| *is_set && !is_asked) {
        let message = "expected it where the target is a pool or deferred, found it elsewhere";
        found.push(Problem::new(format!("{key}.{part}"), message));
    }
    let rewrites = is_asked || matches!(route.target, Target::Files(_));
    if !route.rewrite.is_empty() && !rewrites {
        let message = "expected strip-prefix, replace and add-prefix where the target is a pool, deferred or files";
        found.push(Problem::new(key, format!("{message}, found them elsewhere")));
    }
}

/// Every directory of a route that cannot be read.
pub(in crate::config) fn surroundings(config: &Config, found: &mut Vec<Problem>) {
    for (i, site) in config.sites.iter().enumerate() {
        for (j, route) in site.routes.iter().enumerate() {
            if let Target::Files(root) = &route.target
                && let Err(error) = fs::read_dir(root)
            {
                let message = format!("{} cannot be read: {error}", root.display());
                found.push(Problem::new(format!("sites[{i}].routes[{j}].files"), message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{parse, surroundings};

    #[test]
    fn directories_that_cannot_be_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let routes = format!("[{{path='/a', files='{path}'}}, {{path='/b', files='{path}/none'}}]");
        let parsed = parse(&format!("[[sites]]\nroutes={routes}\n"));
        assert_eq!(parsed.diagnostics, []);
        let keys: Vec<_> = surroundings(&parsed.config).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["sites[0].routes[1].files"]);
    }
}
