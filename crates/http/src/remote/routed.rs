//! The route that a request takes, as long as the request lasts.

use std::rc::Rc;
use std::sync::Arc;

use afpa_routing::{Captures, Route, Router};

use super::relay::Relay;

/// What an operator decides, as one engine has it.
pub(crate) struct EngineRelay {
    pub(crate) relay: Arc<Relay>,
    /// Its own: engines that shared one would wait for each other over regular expressions.
    pub(crate) router: Router,
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
        Rc::new(EngineRelay { relay, router })
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

    /// The route.
    pub(crate) fn route(&self) -> &Route {
        &self.relay.router.sites()[self.site as usize].routes[self.route as usize]
    }
}
