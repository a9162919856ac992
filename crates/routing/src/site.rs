//! A site: hosts, and the routes of requests to them.

use std::collections::HashMap;

use crate::host::HostPattern;
use crate::path::{PathCondition, is_below};
use crate::pattern::Captures;
use crate::request::RequestView;
use crate::route::Route;

/// Hosts, and the routes of requests to them.
///
/// The first of these that takes a request has it: routes with its exact path; routes with a prefix of its path, the
/// longest first; routes with a regular expression; routes for any path. Of those that are equal in this, the first
/// one is tried first. A route whose other conditions do not hold takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What it is called in logs and statistics.
    pub name: String,
    /// Its hosts.
    pub hosts: Vec<HostPattern>,
    /// Its routes.
    pub routes: Vec<Route>,
}

impl Site {
    /// The routes in the order in which they are tried, if all are.
    pub(crate) fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.routes.len()).collect();
        order.sort_by_key(|&number| match &self.routes[number].path {
            PathCondition::Exact(_) => (0, 0),
            PathCondition::Prefix(prefix) => (1, usize::MAX - PathCondition::stem(prefix).len()),
            PathCondition::Regex(_) => (2, 0),
            PathCondition::Any => (3, 0),
        });
        order
    }
}

/// The routes of a site by what they are for. Each list is in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    exact: HashMap<Box<[u8]>, Vec<usize>>,
    prefixes: HashMap<Box<[u8]>, Vec<usize>>,
    /// The lengths of prefixes, each once, the longest first: a match looks for no others, however many segments a
    /// path has.
    lengths: Vec<usize>,
    regexes: Vec<usize>,
    any: Vec<usize>,
}

impl Index {
    pub(crate) fn new(routes: &[Route]) -> Index {
        let mut index = Index::default();
        for (number, route) in routes.iter().enumerate() {
            let list = match &route.path {
                PathCondition::Exact(path) => index.exact.entry(path.as_bytes().into()).or_default(),
                PathCondition::Prefix(prefix) => {
                    index.prefixes.entry(PathCondition::stem(prefix).as_bytes().into()).or_default()
                }
                PathCondition::Regex(_) => &mut index.regexes,
                PathCondition::Any => &mut index.any,
            };
            list.push(number);
        }
        index.lengths = index.prefixes.keys().map(|stem| stem.len()).collect();
        index.lengths.sort_unstable_by(|left, right| right.cmp(left));
        index.lengths.dedup();
        index
    }

    /// The number of the route that takes a request.
    pub(crate) fn find(&self, routes: &[Route], request: &RequestView<'_>, captures: &mut Captures) -> Option<usize> {
        captures.clear();
        let mut first = |numbers: &[usize]| {
            numbers.iter().copied().find(|&number| routes[number].refusal(request, &mut captures.scratch).is_none())
        };
        if let Some(found) = self.exact.get(request.path).and_then(|numbers| first(numbers)) {
            return Some(found);
        }
        for &length in self.lengths.iter().filter(|&&length| length <= request.path.len()) {
            let stem = &request.path[..length];
            if is_below(request.path, stem)
                && let Some(found) = self.prefixes.get(stem).and_then(|numbers| first(numbers))
            {
                return Some(found);
            }
        }
        for &number in &self.regexes {
            if let PathCondition::Regex(pattern) = &routes[number].path
                && routes[number].refusal(request, &mut captures.scratch).is_none()
                && pattern.find(request.path, captures)
            {
                return Some(number);
            }
        }
        captures.clear();
        self.any.iter().copied().find(|&number| routes[number].refusal(request, &mut captures.scratch).is_none())
    }
}
