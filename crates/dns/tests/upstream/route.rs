//! Which rule a question meets first.

use std::net::IpAddr;

use afpa_dns::message::{Class, NameBuf, Question, Type};
use afpa_dns::route::{FixedAnswer, Route, RouteAction, RouteConfig, Routes, UnknownPool};
use afpa_dns::upstream::{PoolConfig, Pools};
use proptest::prelude::*;

use crate::support::{backends, name, seeded};

const FALLBACK: Route = Route::Fixed(FixedAnswer::ServFail);

fn rule(suffixes: &[&str], action: RouteAction) -> RouteConfig {
    let suffixes = suffixes.iter().map(|suffix| name(suffix)).collect();
    RouteConfig { suffixes, qtypes: Vec::new(), qclass: None, clients: Vec::new(), action }
}

fn refused() -> RouteAction {
    RouteAction::Fixed(FixedAnswer::Refused)
}

fn pool(name: &str) -> RouteAction {
    RouteAction::Pool(name.to_owned())
}

fn some_pools(names: &[&str]) -> Pools {
    let configs = names.iter().map(|name| PoolConfig::new(name, backends(&[1]))).collect();
    Pools::new(configs, &mut seeded(1)).unwrap()
}

fn routed(routes: &Routes, text: &str, qtype: Type, qclass: Class, client: &str) -> Route {
    let name = name(text);
    routes.route(&Question { name: name.as_name(), qtype, qclass }, client.parse().unwrap())
}

#[test]
fn the_first_rule_that_matches_wins_whatever_is_more_specific() {
    let pools = some_pools(&["inner", "outer", "late"]);
    let mx = RouteConfig { qtypes: vec![Type::MX], ..rule(&["b.example"], pool("late")) };
    let internal = RouteConfig { clients: vec!["10.0.0.0/8".parse().unwrap()], ..rule(&[], pool("late")) };
    let chaos = RouteConfig { qclass: Some(Class::CH), ..rule(&[], refused()) };
    let rules = [
        chaos,
        rule(&["a.example", "c.example"], pool("inner")),
        mx,
        internal,
        rule(&["example"], pool("outer")),
        rule(&["deep.b.example"], refused()),
    ];
    let routes = Routes::new(&rules, FALLBACK, &pools).unwrap();
    let to = |name: &str| Route::Pool(pools.find(name).unwrap());
    let cases = [
        ("www.A.Example", Type::A, Class::IN, "192.0.2.1", to("inner")),
        ("c.example", Type::A, Class::IN, "10.1.1.1", to("inner")),
        ("c.example", Type::A, Class::CH, "10.1.1.1", Route::Fixed(FixedAnswer::Refused)),
        ("b.example", Type::MX, Class::IN, "192.0.2.1", to("late")),
        ("b.example", Type::A, Class::IN, "192.0.2.1", to("outer")),
        ("b.example", Type::A, Class::IN, "::ffff:10.1.1.1", to("late")),
        // Behind a rule that matches more.
        ("deep.b.example", Type::A, Class::IN, "192.0.2.1", to("outer")),
        // A suffix ends where a label does.
        ("xa.example", Type::A, Class::IN, "192.0.2.1", to("outer")),
        ("xexample", Type::A, Class::IN, "192.0.2.1", FALLBACK),
        (".", Type::A, Class::IN, "192.0.2.1", FALLBACK),
        (".", Type::A, Class::IN, "10.1.1.1", to("late")),
    ];
    for (text, qtype, qclass, client, route) in cases {
        assert_eq!(routed(&routes, text, qtype, qclass, client), route, "{text} {qtype} {qclass} {client}");
    }
}

#[test]
fn a_rule_that_names_no_pool_is_refused() {
    let error = Routes::new(&[rule(&[], refused()), rule(&[], pool("x"))], FALLBACK, &some_pools(&["p"])).unwrap_err();
    assert_eq!(error, UnknownPool { rule: 1, pool: "x".to_owned() });
    assert_eq!(error.to_string(), "rule 2 names the pool x, which does not exist");
}

/// The rules as one would look at them one after another.
fn by_hand(rules: &[RouteConfig], question: &Question<'_>, client: IpAddr, pools: &Pools) -> Route {
    let matches = |rule: &&RouteConfig| {
        let of_suffix = |suffix: &NameBuf| question.name.is_within(suffix.as_name());
        (rule.suffixes.is_empty() || rule.suffixes.iter().any(of_suffix))
            && (rule.qtypes.is_empty() || rule.qtypes.contains(&question.qtype))
            && (rule.clients.is_empty() || rule.clients.iter().any(|network| network.contains(client)))
    };
    match rules.iter().find(matches).map(|rule| &rule.action) {
        Some(RouteAction::Pool(name)) => Route::Pool(pools.find(name).unwrap()),
        Some(RouteAction::Fixed(answer)) => Route::Fixed(*answer),
        None => FALLBACK,
    }
}

/// Names of few labels, so that rules and questions meet.
fn some_name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "B", "ab"]), 0..4)
        .prop_map(|labels| format!("{}.", labels.join(".")))
}

proptest! {
    #[test]
    fn the_index_finds_what_a_walk_through_all_rules_finds(
        rules in prop::collection::vec((prop::collection::vec(some_name(), 0..3), 0u8..3, 0u8..3, 0usize..3), 0..20),
        asked in some_name(),
        qtype in 0u8..2,
        client in 0u8..2,
    ) {
        let pools = some_pools(&["p0", "p1", "p2"]);
        let types = [Type::A, Type::MX];
        let networks = ["10.0.0.0/8", "192.0.2.0/24"];
        let rules: Vec<_> = rules.iter().map(|(suffixes, qtype, network, to)| {
            let suffixes: Vec<_> = suffixes.iter().map(String::as_str).collect();
            RouteConfig {
                qtypes: types.get(usize::from(*qtype)).copied().into_iter().collect(),
                clients: networks.get(usize::from(*network)).map(|text| text.parse().unwrap()).into_iter().collect(),
                ..rule(&suffixes, pool(&format!("p{to}")))
            }
        }).collect();
        let routes = Routes::new(&rules, FALLBACK, &pools).unwrap();
        let asked = name(&asked);
        let question = Question { name: asked.as_name(), qtype: types[usize::from(qtype)], qclass: Class::IN };
        let client: IpAddr = ["10.1.1.1", "192.0.2.1"][usize::from(client)].parse().unwrap();
        prop_assert_eq!(routes.route(&question, client), by_hand(&rules, &question, client, &pools));
    }
}
