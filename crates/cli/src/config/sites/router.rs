//! From a configuration to the router that engines ask.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use afpa_routing::{HostPattern, KeyParts, Mistake, Router};

use super::{Caching, Route, Site, Target};
use crate::config::Config;
use crate::config::problems::Problem;
use crate::config::section::nearest;

/// The router of a configuration. Numbers in its routes are places in lists: of pools in [`Config::pools`], of files in
/// [`file_roots`], of deferred answers in [`deferred`], of policies in
/// [`crate::config::accelerate::Accelerate::numbered_policies`], of classes in [`Config::classes`]. Its sites are those
/// of the configuration; the section `[site]` is one more behind them, which has all other hosts.
///
/// # Errors
/// What is named and not there, and all that a router cannot do, each with its key.
pub fn router(config: &Config) -> Result<Router, Vec<Problem>> {
    let numbers = Numbers::of(config);
    let (mut found, mut sites) = (Vec::new(), Vec::new());
    for (i, site) in config.sites.iter().enumerate() {
        let routes = site.routes.iter().zip(names(site)).enumerate().map(|(j, (route, name))| {
            let mut resolution =
                Resolution { numbers: &numbers, key: format!("sites[{i}].routes[{j}]"), found: &mut found };
            resolution.route(site, route, name)
        });
        let routes = routes.collect();
        sites.push(afpa_routing::Site { name: site.name.clone(), hosts: site.hosts.clone(), routes });
    }
    if config.has_site() {
        sites.push(files_of_the_site());
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

/// The directories whose files are served, each once: that of `[site]`, which is the first, then those of routes.
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
    let mut seen = HashSet::new();
    paths.filter(|path| seen.insert(*path)).collect()
}

/// The places of what routes name.
struct Numbers<'a> {
    pools: HashMap<&'a str, usize>,
    policies: HashMap<&'a str, usize>,
    classes: HashMap<&'a str, usize>,
    files: HashMap<&'a Path, usize>,
    deferred: HashMap<&'a Path, usize>,
}

impl<'a> Numbers<'a> {
    fn of(config: &'a Config) -> Numbers<'a> {
        let numbered =
            |names: Vec<&'a str>| names.into_iter().enumerate().map(|(number, name)| (name, number)).collect();
        let placed =
            |paths: Vec<&'a Path>| paths.into_iter().enumerate().map(|(number, path)| (path, number)).collect();
        Numbers {
            pools: numbered(config.pools.iter().map(|pool| pool.name.as_str()).collect()),
            policies: numbered(config.accelerate.numbered_policies().map(|policy| policy.name.as_str()).collect()),
            classes: numbered(config.classes.iter().map(|class| class.name.as_str()).collect()),
            files: placed(file_roots(config)),
            deferred: placed(deferred(config)),
        }
    }
}

/// Names for all routes of a site. Those that have none get their path and their target, and a number where that is
/// not enough.
fn names(site: &Site) -> Vec<String> {
    let mut taken: HashSet<String> = site.routes.iter().filter_map(|route| route.name.clone()).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let names = site.routes.iter().map(|route| {
        if let Some(name) = &route.name {
            return name.clone();
        }
        let plain = format!("{} to {}", route.path, described(&route.target));
        loop {
            let count = counts.entry(plain.clone()).or_default();
            *count += 1;
            let name = if *count == 1 { plain.clone() } else { format!("{plain} #{count}") };
            if taken.insert(name.clone()) {
                return name;
            }
        }
    });
    names.collect()
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

/// A route on its way from names to numbers.
struct Resolution<'a> {
    numbers: &'a Numbers<'a>,
    key: String,
    found: &'a mut Vec<Problem>,
}

impl Resolution<'_> {
    fn route(&mut self, site: &Site, route: &Route, name: String) -> afpa_routing::Route {
        // Two routes may answer one request differently: what one keeps is not the other's.
        let key = KeyParts { space: format!("{} {name}", site.name), ..route.key.clone() };
        let numbers = self.numbers;
        let class = route.class.as_ref().map(|name| self.number("a class", "class", name, &numbers.classes));
        afpa_routing::Route {
            name,
            path: route.path.clone(),
            conditions: route.conditions.clone(),
            rewrite: route.rewrite.clone(),
            request_fields: route.request_fields.clone(),
            response_fields: route.response_fields.clone(),
            target: self.target(&route.target),
            caching: self.caching(route),
            key,
            upgrade: route.upgrade,
            connect: route.connect,
            limits: route.limits,
            class,
        }
    }

    fn target(&mut self, target: &Target) -> afpa_routing::Target {
        let numbers = self.numbers;
        let place = |places: &HashMap<&Path, usize>, path: &Path| places.get(path).copied().unwrap_or(0);
        match target {
            Target::Pool(name) => afpa_routing::Target::Pool(self.number("a pool", "pool", name, &numbers.pools)),
            Target::Files(root) => afpa_routing::Target::Files(place(&numbers.files, root)),
            Target::Deferred(path) => afpa_routing::Target::Deferred(place(&numbers.deferred, path)),
            Target::Redirect { status, to } => afpa_routing::Target::Redirect { status: *status, location: to.clone() },
            Target::Respond { status, content_type, body } => afpa_routing::Target::Respond {
                status: *status,
                content_type: content_type.clone(),
                body: body.clone(),
            },
        }
    }

    /// Files have a cache of their own, and what is said here needs none.
    fn caching(&mut self, route: &Route) -> Option<usize> {
        let numbers = self.numbers;
        let number = match &route.caching {
            Caching::Off => None,
            Caching::Default => Some(0),
            Caching::Policy(name) => {
                Some(self.number("off, default or the name of a policy", "cache", name, &numbers.policies))
            }
        };
        number.filter(|_| matches!(route.target, Target::Pool(_) | Target::Deferred(_)))
    }

    /// The place of what is called `name`. If nothing is, that is a problem, and any number will do.
    fn number(&mut self, what: &str, part: &str, name: &str, numbers: &HashMap<&str, usize>) -> usize {
        if let Some(number) = numbers.get(name) {
            return *number;
        }
        let mut message = format!("expected {what}, found {name:?}, which is none");
        let mut known: Vec<_> = numbers.keys().copied().filter(|known| !known.is_empty()).collect();
        known.sort_unstable();
        if let Some(near) = nearest(name, &known) {
            message.push_str(&format!("; did you mean {near:?}?"));
        }
        self.found.push(Problem::new(format!("{}.{part}", self.key), message));
        0
    }
}

/// The section `[site]`, for all hosts that no other site has.
fn files_of_the_site() -> afpa_routing::Site {
    let target = afpa_routing::Target::Files(0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        let parsed = parse(text);
        assert_eq!(parsed.diagnostics, []);
        parsed.config
    }

    #[test]
    fn names_become_numbers() {
        let config = config(
            "pools = [{name='a', backends=[{address='a:1'}]}, {name='b', backends=[{address='b:1'}]}]
             classes = [{name='x', hosts=['h']}, {name='y'}]
             [site]
             root = '/srv'
             [[accelerate.policies]]
             name = 'long'
             [[sites]]
             hosts = ['h']
             routes = [
                 {path='/1', pool='b', cache='long', class='y'},
                 {path='/2', pool='a'},
                 {path='/3', pool='a', cache='off'},
                 {path='/4', files='/assets'},
                 {path='/5', files='/srv'},
                 {path='/6', deferred='unix:/run/d'},
                 {path='/7', respond={body='x'}},
             ]",
        );
        let router = router(&config).unwrap();
        let numbers = router.sites()[0].routes.iter().map(|route| match &route.target {
            afpa_routing::Target::Pool(number) => ("pool", *number, route.caching, route.class),
            afpa_routing::Target::Files(number) => ("files", *number, route.caching, route.class),
            afpa_routing::Target::Deferred(number) => ("deferred", *number, route.caching, route.class),
            _ => ("other", 0, route.caching, route.class),
        });
        let expected = [
            ("pool", 1, Some(1), Some(1)),
            ("pool", 0, Some(0), None),
            ("pool", 0, None, None),
            ("files", 1, None, None),
            ("files", 0, None, None),
            ("deferred", 0, Some(0), None),
            ("other", 0, None, None),
        ];
        assert_eq!(numbers.collect::<Vec<_>>(), expected);
        assert_eq!(file_roots(&config), [Path::new("/srv"), Path::new("/assets")]);
        assert_eq!(deferred(&config), [Path::new("/run/d")]);
        let names: Vec<_> = router.sites().iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, ["h", "site"]);
    }

    #[test]
    fn routes_without_a_name_have_one_of_their_own_and_a_space() {
        let config = config(
            "pools = [{name='a', backends=[{address='a:1'}]}]
             [[sites]]
             routes = [
                 {path='/1', methods=['GET'], pool='a'},
                 {path='/1', methods=['PUT'], pool='a'},
                 {path='/1', pool='a'},
                 {name='path /1 to pool a #2', path='/2', pool='a'},
             ]",
        );
        let router = router(&config).unwrap();
        let routes = &router.sites()[0].routes;
        let names: Vec<_> = routes.iter().map(|route| route.name.as_str()).collect();
        let expected = ["path /1 to pool a", "path /1 to pool a #3", "path /1 to pool a #4", "path /1 to pool a #2"];
        assert_eq!(names, expected);
        assert!(routes.iter().all(|route| route.key.space == format!("default {}", route.name)));
    }

    #[test]
    fn a_configuration_with_files_alone_needs_no_question() {
        let router = router(&config("[site]\nroot = '/srv'\n")).unwrap();
        assert_eq!(router.sole().map(|route| &route.target), Some(&afpa_routing::Target::Files(0)));
    }
}
