//! The route that a request takes, as long as the request lasts.

use std::rc::Rc;
use std::sync::Arc;

use afpa_routing::{Captures, Route, Router};

use super::relay::Relay;
use crate::syntax::response;

/// What an operator decides, as one engine has it.
pub(crate) struct EngineRelay {
    pub(crate) relay: Arc<Relay>,
    /// Its own: engines that shared one would wait for each other over regular expressions.
    pub(crate) router: Router,
    /// By site and route: the field lines that its answers get here, where they are not a backend's.
    added: Vec<Vec<Box<[u8]>>>,
}

/// A request's route. It stays the same whatever a reload changes meanwhile.
#[derive(Clone)]
pub(crate) struct Routed {
    pub(crate) relay: Rc<EngineRelay>,
    site: u32,
    route: u32,
}

impl EngineRelay {
    pub(crate) fn new(relay: Arc<Relay>) -> Rc<EngineRelay> {
        let router = relay.router.clone();
        let of_site = |site: &afpa_routing::Site| site.routes.iter().map(added).collect();
        let added = router.sites().iter().map(of_site).collect();
        Rc::new(EngineRelay { relay, router, added })
    }
}

impl Routed {
    /// The route that takes a request.
    pub(crate) fn of(
        relay: &Rc<EngineRelay>,
        request: &afpa_routing::RequestView<'_>,
        captures: &mut Captures,
    ) -> Option<Routed> {
        let matched = relay.router.route(request, captures)?;
        let (site, route) = (matched.site as u32, matched.number as u32);
        Some(Routed { relay: relay.clone(), site, route })
    }

    /// The field lines that answers on this route get, where they are not a backend's.
    pub(crate) fn added(&self) -> &[u8] {
        &self.relay.added[self.site as usize][self.route as usize]
    }

    /// The route.
    pub(crate) fn route(&self) -> &Route {
        &self.relay.router.sites()[self.site as usize].routes[self.route as usize]
    }
}

/// Fields that answers of our own have, which a route cannot change.
const OURS: [&str; 12] = [
    "accept-ranges",
    "allow",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "server",
    "vary",
];

/// What a route sets and adds. There is nothing else to be taken out.
fn added(route: &Route) -> Box<[u8]> {
    let mut lines = Vec::new();
    for change in &route.response_fields {
        let is_ours = OURS.iter().any(|own| own.eq_ignore_ascii_case(change.name()));
        if let Some(value) = change.value().filter(|_| !is_ours) {
            response::field(&mut lines, change.name(), value);
        }
    }
    lines.into()
}
