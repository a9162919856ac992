//! Routes to which nothing comes, because earlier ones take all that they match.

use std::collections::HashMap;

use afpa_dns::message::Name;
use afpa_dns::protect::Network;

use super::Route;

/// A route that matches nothing that an earlier one does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Its number.
    pub(super) route: usize,
    /// The number of the first route that takes all of it.
    pub(super) by: usize,
}

/// The hidden ones among `routes`. What several earlier ones take together is not seen.
pub(super) fn hidden(routes: &[Route]) -> Vec<Hidden> {
    let mut found = Vec::new();
    // Only routes with the same suffix or one above it come into question: there may be thousands of others.
    let mut by_suffix: HashMap<Name<'_>, Vec<usize>> = HashMap::new();
    for (i, route) in routes.iter().enumerate() {
        let suffix = route.suffix.as_ref().map_or(Name::ROOT, |suffix| suffix.as_name());
        let earlier = suffix.ancestors().filter_map(|suffix| by_suffix.get(&suffix)).flatten().copied();
        if let Some(by) = earlier.filter(|&other| routes[other].takes_all_of(route)).min() {
            found.push(Hidden { route: i, by });
        }
        by_suffix.entry(suffix).or_default().push(i);
    }
    found
}

impl Route {
    /// Whether all that `other` matches matches here, if the names do.
    fn takes_all_of(&self, other: &Route) -> bool {
        let covers = |network: &Network| self.clients.iter().any(|own| own.covers(network));
        (self.kind.is_none() || self.kind == other.kind)
            && (self.class.is_none() || self.class == other.class)
            && (self.clients.is_empty() || !other.clients.is_empty() && other.clients.iter().all(covers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_dns::route::{FixedAnswer, RouteAction};

    fn route(suffix: &str, clients: &[&str]) -> Route {
        Route {
            suffix: (!suffix.is_empty()).then(|| suffix.parse().unwrap()),
            kind: None,
            class: None,
            clients: clients.iter().map(|network| network.parse().unwrap()).collect(),
            action: RouteAction::Fixed(FixedAnswer::Refused),
        }
    }

    fn hides(first: Route, second: Route) -> bool {
        let found = hidden(&[route("other", &[]), first, second]);
        assert!(found.is_empty() || found == [Hidden { route: 2, by: 1 }], "{found:?}");
        !found.is_empty()
    }

    #[test]
    fn a_route_hides_those_whose_questions_it_takes() {
        let of_type = |kind: &str| Route { kind: kind.parse().ok(), ..route("", &[]) };
        let of_class = |class: &str| Route { class: class.parse().ok(), ..route("", &[]) };
        assert!(hides(route("", &[]), route("example.com", &[])));
        assert!(hides(route("", &[]), route("", &[])));
        assert!(hides(route(".", &[]), route("", &[])));
        assert!(hides(route("example.com", &[]), route("www.Example.com", &["10.0.0.0/8"])));
        assert!(hides(route("", &["10.0.0.0/8"]), route("", &["10.1.0.0/16", "10.2.0.0/16"])));
        assert!(hides(of_type("MX"), Route { class: "IN".parse().ok(), ..of_type("MX") }));
        assert!(!hides(route("example.com", &[]), route("", &[])));
        assert!(!hides(route("example.com", &[]), route("ample.com", &[])));
        assert!(!hides(route("www.example.com", &[]), route("example.com", &[])));
        assert!(!hides(route("", &["10.0.0.0/8"]), route("", &["10.1.0.0/16", "192.0.2.0/24"])));
        assert!(!hides(route("", &["10.0.0.0/8"]), route("", &[])));
        assert!(!hides(of_type("MX"), of_type("A")));
        assert!(!hides(of_class("CH"), route("", &[])));
    }

    #[test]
    fn the_first_that_hides_is_named() {
        let routes = [route("a.b", &[]), route("b", &[]), route("x.a.b", &[]), route("c", &[])];
        assert_eq!(hidden(&routes), [Hidden { route: 2, by: 0 }]);
    }
}
