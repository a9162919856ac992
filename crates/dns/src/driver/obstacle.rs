//! Why nothing may be left to the program; to whom, and how often, it may give what is.

use std::collections::BTreeSet;
use std::fmt;

use afpa_platform::steering::Admission;

use crate::module::Settings;
use crate::protect::{AccessList, ClientRateConfig, Network, ResponseRateConfig};
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
        Obstacle::among(settings.client_rate.as_ref(), routes, logs)
    }

    /// The same, of what may be one.
    pub fn among(client_rate: Option<&ClientRateConfig>, routes: &[RouteConfig], logs: bool) -> Option<Obstacle> {
        if client_rate.is_some() {
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

/// The groups of clients that the program tells apart.
const MAY_FORWARD: u32 = 1;
const MAY_ASK_ZONES: u32 = 2;

/// Who may be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audience {
    /// Clients and their groups, for [`Answers::admit`](afpa_platform::steering::Answers::admit).
    pub admissions: Vec<Admission>,
    /// The groups that answers of backends are for; 0: everybody.
    pub forwarded: u32,
    /// The groups that answers of zones are for; 0: everybody.
    pub zones: u32,
}

impl Audience {
    /// As `settings` say.
    pub fn of(settings: &Settings) -> Audience {
        Audience::new(&settings.forward_access, &settings.zone_access)
    }

    /// Of those who may have answers of backends, and of zones.
    pub fn new(forward_access: &AccessList, zone_access: &AccessList) -> Audience {
        let group = |list: &AccessList, group| if list.is_for_everybody() { 0 } else { group };
        let (forwarded, zones) = (group(forward_access, MAY_FORWARD), group(zone_access, MAY_ASK_ZONES));
        let limited = [(forward_access, forwarded), (zone_access, zones)].into_iter().filter(|(_, group)| *group > 0);
        let networks: BTreeSet<_> = limited.flat_map(|(list, _)| list.networks()).collect();
        let admission = |network: Network| {
            let may = |list: &AccessList, group| if list.allows_in(network) { group } else { 0 };
            let groups = may(forward_access, forwarded) | may(zone_access, zones);
            Admission { address: network.address(), prefix: network.prefix_length(), groups }
        };
        Audience { admissions: networks.into_iter().map(admission).collect(), forwarded, zones }
    }
}

/// How often the program may give each answer in a second, where responses are limited as `config` says: as often as a
/// network may get it from us. Zero: without a limit.
pub fn budget(config: Option<&ResponseRateConfig>) -> u32 {
    config.map_or(0, |config| config.responses_per_second)
}
