//! Classes of requests: who goes first, who waits, who is refused, and that nothing is kept of who has gone.

use std::time::Duration;

use afpa_classes::{ClassConfig, ClientLimits, Limit, OverloadConfig};
use afpa_http::quality::{ClassPlan, ClassTotals, QualityPlan, Rule};
use afpa_http::table::{AWAIT_TURN, WAITS};
use afpa_routing::PathCondition;
use proptest::prelude::*;

use crate::bench::{Backend, Client, SECOND, Server, Setup, get, kept, private, request};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A class for all paths that start with its name.
fn class(name: &str, priority: u8, weight: u32) -> ClassPlan {
    ClassPlan {
        config: ClassConfig { name: name.to_owned(), priority: 7 - priority, weight, ..ClassConfig::default() },
        rule: Rule { path: PathCondition::Prefix(format!("/{name}")), ..Rule::default() },
        stats: Vec::new(),
    }
}

/// Gold before the others, silver and bronze as three to one.
fn metals() -> Vec<ClassPlan> {
    vec![class("gold", 5, 1), class("silver", 3, 3), class("bronze", 3, 1)]
}

fn plan(classes: Vec<ClassPlan>, capacity: u32) -> QualityPlan {
    let mut plan = QualityPlan::new(classes, 1, None).unwrap();
    plan.capacity = capacity;
    plan
}

fn server(plan: impl Fn() -> QualityPlan + 'static) -> Server {
    Server::new(setup(plan))
}

fn setup(plan: impl Fn() -> QualityPlan + 'static) -> Setup {
    Setup { quality: Some(Box::new(plan)), ..Setup::default() }
}

/// Backends that answer.
#[derive(Default)]
struct Origin(Vec<Backend>);

impl Origin {
    /// Answers what backends are asked, one after the other; the paths in their order.
    fn serve(&mut self, server: &mut Server, answer: &str) -> Vec<String> {
        let mut order = Vec::new();
        loop {
            while let Some(backend) = server.accept() {
                self.0.push(backend);
            }
            let mut is_idle = true;
            for backend in &mut self.0 {
                if let Some(request) = backend.try_request() {
                    order.push(request.split(' ').nth(1).unwrap().to_owned());
                    backend.send(answer);
                    is_idle = false;
                }
            }
            server.settle();
            if is_idle {
                return order;
            }
        }
    }
}

fn ask(server: &mut Server, paths: impl IntoIterator<Item = String>) -> Vec<Client> {
    paths.into_iter().map(|path| server.client(get(&path, ""))).collect()
}

fn totals(server: &Server, name: &str) -> ClassTotals {
    server.classes().into_iter().find(|totals| totals.name == name).unwrap()
}

#[test]
fn gold_goes_first_and_the_others_by_weight() {
    let mut server = server(|| plan(metals(), 1));
    let mut origin = Origin::default();
    let mut clients = ask(&mut server, ["/other".into()]);
    for number in 0..40 {
        clients.extend(ask(&mut server, ["bronze", "silver"].map(|class| format!("/{class}/{number}"))));
    }
    clients.extend(ask(&mut server, (0..5).map(|number| format!("/gold/{number}"))));
    assert_eq!((totals(&server, "silver").waiting, totals(&server, "gold").waiting), (40, 5));
    let order = origin.serve(&mut server, &private("x"));
    assert_eq!(order.len(), clients.len());
    assert!(order[1..6].iter().all(|path| path.starts_with("/gold/")), "{order:?}");
    for end in [10, 22, 34, 46] {
        let silver = order[6..end].iter().filter(|path| path.starts_with("/silver")).count();
        let wanted = (end - 6) * 3 / 4;
        assert!(silver.abs_diff(wanted) <= 1, "{silver} instead of {wanted} of {:?}", &order[6..end]);
    }
    assert!(clients.iter_mut().all(|client| client.statuses() == [200]));
    server.assert_it_comes_to_rest("all were answered");
    for totals in server.classes() {
        assert_eq!((totals.waiting, totals.running, totals.refused), (0, 0, 0), "{totals:?}");
    }
    let gold = totals(&server, "gold");
    assert_eq!((gold.requests, gold.priority, gold.weight), (5, 5, 1));
}

#[test]
fn the_more_urgent_of_a_class_goes_first() {
    let mut server = server(|| plan(metals(), 1));
    let mut origin = Origin::default();
    let mut clients = ask(&mut server, ["/other".into()]);
    for (path, urgency) in [("/gold/a", 7), ("/gold/b", 3), ("/gold/c", 0)] {
        clients.push(server.client(get(path, &format!("Priority: u={urgency}\r\n"))));
    }
    assert_eq!(origin.serve(&mut server, &private("x")), ["/other", "/gold/c", "/gold/b", "/gold/a"]);
}

#[test]
fn a_hit_waits_for_nobody_and_a_crowd_needs_one_turn() {
    let mut server = server(|| plan(metals(), 1));
    server.fetch(&get("/bronze/kept", ""), &kept("kept"));
    let mut busy = server.client(get("/gold/slow", ""));
    let (backend, _) = server.asked();
    assert!(server.hit(&get("/bronze/kept", "")).ends_with("kept"));
    // All of these miss; the first waits, and the others wait with it.
    let mut crowd: Vec<_> = (0..5).map(|_| server.client(get("/silver/crowd", ""))).collect();
    assert_eq!(totals(&server, "silver").waiting, 5);
    let mut other = server.client(get("/bronze/other", ""));
    assert_eq!(totals(&server, "bronze").waiting, 1);
    backend.send(private("slow"));
    server.settle();
    let mut origin = Origin(vec![backend]);
    let order = origin.serve(&mut server, &kept("same"));
    assert_eq!(order.len(), 2, "{order:?}");
    assert!(crowd.iter_mut().all(|client| client.text().ends_with("same")));
    assert!(busy.text().ends_with("slow") && other.text().ends_with("same"));
    server.assert_it_comes_to_rest("a crowd");
}

#[test]
fn who_waits_too_long_or_finds_no_room_is_told_when_to_come_back() {
    let full = || {
        let mut classes = metals();
        (classes[0].config.queue, classes[0].config.queue_timeout) = (1, 3_000_000_000);
        plan(classes, 1)
    };
    let mut server = server(full);
    let mut origin = Origin::default();
    let mut busy = server.client(get("/silver", ""));
    let mut waits = server.client(get("/gold/1", ""));
    let refused = server.client(get("/gold/2", "")).text();
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: 3\r\n"), "{refused}");
    server.advance(2 * SECOND);
    assert_eq!(waits.text(), "");
    server.advance(2 * SECOND);
    let late = waits.text();
    assert!(late.starts_with("HTTP/1.1 503 ") && late.contains("\r\nRetry-After: 3\r\n"), "{late}");
    // The connection goes on.
    waits.send(get("/gold/3", ""));
    server.settle();
    assert_eq!(origin.serve(&mut server, &private("x")), ["/silver", "/gold/3"]);
    assert_eq!((busy.statuses(), waits.statuses()), (vec![200], vec![200]));
    assert_eq!((totals(&server, "gold").refused, totals(&server, "gold").requests), (2, 3));
}

#[test]
fn a_class_has_its_rate_and_its_concurrency() {
    let limited = || {
        let mut classes = metals();
        classes[0].config.rate = Limit::per_second(1, 2);
        classes[1].config.concurrency = Some(1);
        plan(classes, 100)
    };
    let mut server = server(limited);
    let mut origin = Origin::default();
    let mut clients = ask(&mut server, (0..2).map(|number| format!("/gold/{number}")));
    let mut refused = server.client(get("/gold/2", ""));
    let text = refused.text();
    assert!(text.starts_with("HTTP/1.1 429 ") && text.contains("\r\nRetry-After: 1\r\n"), "{text}");
    clients.extend(ask(&mut server, ["/silver/1".into(), "/silver/2".into(), "/bronze".into()]));
    assert_eq!(totals(&server, "silver").waiting, 1);
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 5);
    server.advance(SECOND);
    refused.send(get("/gold/3", ""));
    server.settle();
    assert_eq!(origin.serve(&mut server, &private("x")), ["/gold/3"]);
    assert_eq!(refused.statuses(), [200]);
    server.assert_it_comes_to_rest("rates");
}

#[test]
fn a_client_has_its_rate_and_its_connections() {
    let limited = || {
        let mut plan = plan(Vec::new(), u32::MAX);
        plan.clients = ClientLimits { rate: Limit::per_second(2, 2), ..ClientLimits::default() };
        plan.connections = ClientLimits { in_flight: Some(2), ..ClientLimits::default() };
        plan
    };
    let mut server = server(limited);
    let mut origin = Origin::default();
    let mut first = server.client(get("/", "").repeat(3));
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 2);
    assert_eq!(first.statuses(), [200, 200, 429]);
    server.advance(SECOND);
    let mut second = server.client(get("/", ""));
    let mut third = server.client(get("/", ""));
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 1);
    assert_eq!(second.statuses(), [200]);
    assert!(third.text().contains("\r\nConnection: close\r\n"), "the third connection is one too many");
    second.peer.reset();
    server.settle();
    server.advance(SECOND);
    let mut fourth = server.client(get("/", ""));
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 1);
    assert_eq!(fourth.statuses(), [200]);
}

#[test]
fn an_engine_that_is_too_busy_refuses_the_lowest_first() {
    let overloaded = || {
        let mut plan = plan(metals(), u32::MAX);
        plan.overload = Some(OverloadConfig { target: 5_000_000, interval: 100_000_000 });
        plan
    };
    let mut server = server(overloaded);
    server.fetch(&get("/bronze", ""), &kept("x"));
    server.fetch(&get("/gold", ""), &kept("x"));
    let mut answers = [[0; 2]; 2];
    // Each pass takes 20 ms, and each finds requests.
    for _ in 0..2_000 {
        let mut clients = ["/bronze", "/gold"].map(|path| {
            let client = server.connect();
            client.send(get(path, ""));
            client
        });
        server.pass_after(20 * MILLISECOND);
        for (class, client) in clients.iter_mut().enumerate() {
            let text = client.text();
            let is_refused = text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: ");
            assert!(is_refused || text.starts_with("HTTP/1.1 200 "), "{text}");
            answers[class][usize::from(is_refused)] += 1;
        }
        if answers[1][1] > 0 {
            break;
        }
    }
    let [[_, bronze], [gold, refused]] = answers;
    assert!(bronze > 100, "{answers:?}");
    assert!(gold > 10 * refused, "gold is refused only when nothing else is left: {answers:?}");
}

#[test]
fn a_gate_in_front_of_slow_backends_sheds_the_lowest_first() {
    let overloaded = || {
        let mut classes = metals();
        classes.iter_mut().for_each(|class| class.config.queue_timeout = 100_000_000_000);
        let mut plan = plan(classes, 1);
        plan.overload = Some(OverloadConfig { target: 5_000_000, interval: 100_000_000 });
        plan
    };
    let mut server = server(overloaded);
    let mut origin = Origin::default();
    let mut clients = ask(&mut server, ["/gold/busy".into(), "/bronze/waits".into()]);
    let (mut refused, mut number) = (0, 0);
    while refused < 20 && number < 2_000 {
        number += 1;
        server.advance(50 * MILLISECOND);
        let mut client = server.client(get(&format!("/bronze/{number}"), ""));
        let text = client.text();
        refused += usize::from(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: "));
        clients.push(client);
    }
    assert_eq!(refused, 20);
    clients.extend(ask(&mut server, ["/gold/too".into()]));
    assert_eq!((totals(&server, "gold").refused, totals(&server, "gold").waiting), (0, 1));
    let order = origin.serve(&mut server, &private("x"));
    assert_eq!(order[1], "/gold/too");
    server.assert_it_comes_to_rest("shed");
}

#[test]
fn a_class_sends_no_faster_than_its_bandwidth() {
    let limited = || {
        let mut classes = metals();
        classes[2].config.bandwidth = Limit::per_second(10_000, 20_000);
        plan(classes, u32::MAX)
    };
    let body = "x".repeat(60_000);
    for target in ["/bronze/fetched", "/bronze/hit", "/gold"] {
        let mut server = server(limited);
        let mut origin = Origin::default();
        let mut client = if target == "/bronze/hit" {
            let mut first = server.client(get(target, ""));
            origin.serve(&mut server, &kept(&body));
            server.advance(8 * SECOND);
            assert!(first.text().ends_with("x"));
            server.client(get(target, ""))
        } else {
            let client = server.client(get(target, ""));
            origin.serve(&mut server, &private(&body));
            client
        };
        let mut seen = vec![client.octets().len()];
        for _ in 0..8 {
            server.advance(SECOND);
            seen.push(client.octets().len());
        }
        assert!(*seen.last().unwrap() > 60_000, "{target}: {seen:?}");
        if target == "/gold" {
            assert!(seen[0] > 60_000, "{seen:?}");
            continue;
        }
        for pair in seen[..4].windows(2) {
            let sent = pair[1] - pair[0];
            assert!((8_000..=12_000).contains(&sent), "{target}: {seen:?}");
        }
        server.assert_it_comes_to_rest(target);
    }
}

#[test]
fn a_reload_loses_nobody() {
    let mut server = server(|| plan(metals(), 1));
    let mut origin = Origin::default();
    let mut clients = ask(&mut server, ["/other".into()]);
    clients.extend(ask(&mut server, (0..5).map(|number| format!("/bronze/{number}"))));
    clients.extend(ask(&mut server, ["/gold/1".into()]));
    assert_eq!(totals(&server, "bronze").waiting, 5);
    // Bronze is before gold now, and silver is no more.
    server.reload(&setup(|| plan(vec![class("gold", 0, 1), class("bronze", 7, 1)], 1)));
    clients.extend(ask(&mut server, ["/bronze/5".into()]));
    let order = origin.serve(&mut server, &private("x"));
    assert_eq!(order.len(), 8);
    assert!(order[1..7].iter().all(|path| path.starts_with("/bronze")) && order[7] == "/gold/1", "{order:?}");
    // And then there is none, while one waits.
    clients.extend(ask(&mut server, ["/gold/2".into(), "/gold/3".into()]));
    server.reload(&Setup::default());
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 2);
    server.reload(&setup(|| plan(metals(), 1)));
    clients.extend(ask(&mut server, ["/gold/4".into(), "/gold/5".into()]));
    assert_eq!(totals(&server, "gold").waiting, 1);
    assert_eq!(origin.serve(&mut server, &private("x")).len(), 2);
    assert!(clients.iter_mut().all(|client| client.statuses() == [200]));
    server.assert_it_comes_to_rest("reloads");
}

#[test]
fn a_request_with_a_body_waits_with_it() {
    let mut server = server(|| plan(metals(), 1));
    let mut origin = Origin::default();
    let mut busy = server.client(get("/gold", ""));
    let mut posts = server.client(request("POST", "/bronze", "Content-Length: 5\r\n") + "hel");
    assert_eq!(server.count(AWAIT_TURN, WAITS), 1);
    posts.send("lo");
    server.settle();
    assert_eq!(origin.serve(&mut server, &private("x")), ["/gold", "/bronze"]);
    assert_eq!((busy.statuses(), posts.statuses()), (vec![200], vec![200]));
}

#[derive(Clone, Debug)]
enum Step {
    Ask {
        class: usize,
        number: u8,
    },
    Answer,
    CutOff,
    Reset(usize),
    /// All at once: some have just got their turn.
    ResetAll,
    Finish(usize),
    Pass(u16),
    Reload(bool),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, 0..4u8).prop_map(|(class, number)| Step::Ask { class, number }),
        3 => Just(Step::Answer),
        1 => Just(Step::CutOff),
        2 => any::<usize>().prop_map(Step::Reset),
        1 => Just(Step::ResetAll),
        1 => any::<usize>().prop_map(Step::Finish),
        1 => (0..4_000u16).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Reload),
    ]
}

fn limited() -> QualityPlan {
    let mut classes = metals();
    (classes[0].config.queue, classes[0].config.queue_timeout) = (2, 1_000_000_000);
    classes[1].config.concurrency = Some(1);
    classes[2].config.bandwidth = Limit::per_second(1_000, 100);
    plan(classes, 2)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn however_requests_end_nothing_is_kept(steps in prop::collection::vec(steps(), 1..40)) {
        let mut server = server(limited);
        let mut origin = Origin::default();
        let (mut clients, mut backends): (Vec<Client>, Vec<Backend>) = (Vec::new(), Vec::new());
        for step in steps {
            while let Some(backend) = server.accept() {
                backends.push(backend);
            }
            match step {
                Step::Ask { class, number } => {
                    let class = ["gold", "silver", "bronze", "other"][class];
                    clients.push(server.client(get(&format!("/{class}/{number}"), "")));
                }
                Step::Answer | Step::CutOff => {
                    for backend in &mut backends {
                        if backend.try_request().is_some() {
                            match step {
                                Step::Answer => backend.send(kept(&"x".repeat(500))),
                                _ => backend.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"),
                            }
                            if matches!(step, Step::CutOff) {
                                backend.peer.reset();
                            }
                        }
                    }
                }
                Step::Reset(which) if !clients.is_empty() => {
                    let index = which % clients.len();
                    clients.swap_remove(index).peer.reset();
                }
                Step::ResetAll => clients.drain(..).for_each(|client| client.peer.reset()),
                Step::Finish(which) if !clients.is_empty() => clients[which % clients.len()].peer.finish(),
                Step::Pass(milliseconds) => server.advance(Duration::from_millis(milliseconds.into())),
                Step::Reload(has_classes) => {
                    server.reload(&if has_classes { setup(limited) } else { Setup::default() });
                }
                _ => {}
            }
            server.settle();
        }
        for backend in backends {
            backend.peer.reset();
        }
        server.settle();
        for mut client in clients {
            client.octets();
            client.peer.finish();
        }
        server.reload(&setup(limited));
        server.assert_it_comes_to_rest("all have gone");
        for totals in server.classes() {
            prop_assert_eq!((totals.waiting, totals.running), (0, 0), "{:?}", totals);
        }
        // There is room for as many as ever.
        let mut again = ask(&mut server, ["/gold/new/1".into(), "/other/new/2".into()]);
        prop_assert_eq!(server.classes().iter().map(|totals| totals.waiting).sum::<u64>(), 0);
        origin.serve(&mut server, &private("x"));
        prop_assert!(again.iter_mut().all(|client| client.statuses() == [200]));
    }
}
