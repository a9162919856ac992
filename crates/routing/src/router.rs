//! All sites, ready to be asked.

use std::collections::HashMap;

use crate::explanation::{Step, explain};
use crate::host::{HostPattern, LONGEST, without_final_dot};
use crate::mistake::{Mistake, mistakes};
use crate::path::PathCondition;
use crate::pattern::Captures;
use crate::request::RequestView;
use crate::route::Route;
use crate::site::{Index, Site};

/// From a request to its route. Immutable, and shared by who asks; but engines whose routes have regular expressions
/// had better have a clone each: see [`crate::Pattern`].
#[derive(Debug, Clone)]
pub struct Router {
    sites: Vec<Site>,
    indexes: Vec<Index>,
    exact: HashMap<Box<[u8]>, usize>,
    below: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

/// The route that takes a request.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'r> {
    /// The number of its site.
    pub site: usize,
    /// Its number in the site.
    pub number: usize,
    /// The route.
    pub route: &'r Route,
}

impl Router {
    /// A router for these sites.
    ///
    /// # Errors
    /// All that cannot work, in the order of the sites.
    pub fn new(sites: Vec<Site>) -> Result<Router, Vec<Mistake>> {
        let mistakes = mistakes(&sites);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let indexes = sites.iter().map(|site| Index::new(&site.routes)).collect();
        let (mut exact, mut below, mut any) = (HashMap::new(), HashMap::new(), None);
        for (number, site) in sites.iter().enumerate() {
            for host in &site.hosts {
                match host {
                    HostPattern::Exact(host) => _ = exact.insert(host.as_bytes().into(), number),
                    HostPattern::Below(above) => _ = below.insert(above.as_bytes().into(), number),
                    HostPattern::Any => any = Some(number),
                }
            }
        }
        Ok(Router { sites, indexes, exact, below, any })
    }

    /// The route that takes a request: that of its host's site. If that has none, nobody else is asked. Where groups of
    /// the route's regular expression are, `captures` says. Allocates nothing, once regular expressions and `captures`
    /// have the memory that they work with.
    pub fn route(&self, request: &RequestView<'_>, captures: &mut Captures) -> Option<Matched<'_>> {
        let site = self.site(request.host)?;
        let routes = &self.sites[site].routes;
        let number = self.indexes[site].find(routes, request, captures)?;
        Some(Matched { site, number, route: &routes[number] })
    }

    /// The only route, if there is one that takes everything but, perhaps, CONNECT: then nobody needs to ask.
    pub fn sole(&self) -> Option<&Route> {
        let ([Site { routes, .. }], Some(0)) = (self.sites.as_slice(), self.any) else { return None };
        let [route] = routes.as_slice() else { return None };
        (route.path == PathCondition::Any && route.conditions.is_empty()).then_some(route)
    }

    /// How the route of a request is found: each site and route that is looked at, whether it takes the request, and
    /// why.
    pub fn explain(&self, request: &RequestView<'_>) -> Vec<Step> {
        explain(&self.sites, request)
    }

    /// The sites, by number.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The site of a host: its own, or the nearest above it, or the one for all others.
    fn site(&self, host: &[u8]) -> Option<usize> {
        let host = without_final_dot(host);
        if host.len() <= LONGEST {
            if let Some(&site) = self.exact.get(host) {
                return Some(site);
            }
            if !self.below.is_empty() {
                let dots = host.iter().enumerate().skip(1).filter(|(_, octet)| **octet == b'.');
                let nearest = dots.filter_map(|(at, _)| self.below.get(&host[at + 1..])).next();
                if let Some(&site) = nearest {
                    return Some(site);
                }
            }
        }
        self.any
    }
}
