//! The class of a request.

use std::net::IpAddr;

use afpa_routing::{Captures, Conditions, HostPattern, PathCondition, RequestView, Route};
use afpa_wire::network::Network;

/// What a request must be like to be of a class. All of it must hold; one that says nothing holds for none, and its
/// class is for routes that name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Who asks.
    pub clients: Vec<Network>,
    /// For which hosts.
    pub hosts: Vec<HostPattern>,
    /// For which paths.
    pub path: PathCondition,
    /// Methods, and what is asked of header fields, cookies and the query.
    pub conditions: Conditions,
}

/// The number of a request's class: that of its route, or else the first whose rule holds. None has the defaults.
/// The client's address is absent where it has none, at a Unix socket: then a class for some networks is not its.
pub fn class_of<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    route: Option<&Route>,
    request: &RequestView<'_>,
    client: Option<IpAddr>,
    captures: &mut Captures,
) -> Option<usize> {
    let of_route = route.and_then(|route| route.class);
    of_route.or_else(|| rules.into_iter().position(|rule| rule.holds(request, client, captures)))
}

impl Default for Rule {
    /// Says nothing.
    fn default() -> Rule {
        Rule { clients: Vec::new(), hosts: Vec::new(), path: PathCondition::Any, conditions: Conditions::default() }
    }
}

impl Rule {
    /// Whether it asks nothing of a request.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.hosts.is_empty()
            && self.path == PathCondition::Any
            && self.conditions.is_empty()
    }

    fn holds(&self, request: &RequestView<'_>, client: Option<IpAddr>, captures: &mut Captures) -> bool {
        let is_from = |client: IpAddr| self.clients.iter().any(|network| network.contains(client));
        !self.is_empty()
            && (self.clients.is_empty() || client.is_some_and(is_from))
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(request.host)))
            && self.path.matches(request.path)
            && self.conditions.hold(request, captures)
    }
}
