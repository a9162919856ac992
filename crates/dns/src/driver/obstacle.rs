//! Why nothing may be left to the program, and how often it may give what is.

use std::fmt;

use crate::module::Settings;
use crate::protect::ResponseRateConfig;
use crate::route::RouteConfig;

/// Why the driver must not answer: it would do what only engines can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// Clients are held to a rate of questions, which engines count.
    ClientRate,
    /// Which answer a client gets depends on its address.
    Routes,
    /// Questions are logged, and those that the driver answers would not be.
    QueryLog,
}

impl Obstacle {
    /// What stands in the way, if anything does, of these settings and routes. `logs`: whether there is a query log.
    pub fn of(settings: &Settings, routes: &[RouteConfig], logs: bool) -> Option<Obstacle> {
        if settings.client_rate.is_some() {
            return Some(Obstacle::ClientRate);
        }
        if routes.iter().any(|route| !route.clients.is_empty()) {
            return Some(Obstacle::Routes);
        }
        logs.then_some(Obstacle::QueryLog)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::ClientRate => "the rate of each client's questions is limited, which only engines can do",
            Obstacle::Routes => "a route is for some clients only, which only engines tell apart",
            Obstacle::QueryLog => "questions are logged, and those that the driver answers would not be",
        })
    }
}

impl std::error::Error for Obstacle {}

/// How often the program may give each answer in a second, where responses are limited as `config` says: as often as a
/// network may get it from us. Zero: without a limit.
pub fn budget(config: Option<&ResponseRateConfig>) -> u32 {
    config.map_or(0, |config| config.responses_per_second)
}
