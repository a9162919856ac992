//! Where questions go.

use afpa_dns::message::{Rcode, Type};
use afpa_dns::route::{FixedAnswer, RouteAction, RouteConfig};

use crate::bench::{Server, Setup, backend, name, pool_named};
use crate::messages::{a, ask};

fn rule(suffix: &str, action: RouteAction) -> RouteConfig {
    RouteConfig { suffixes: vec![name(suffix)], qtypes: Vec::new(), qclass: None, clients: Vec::new(), action }
}

#[test]
fn rules_send_questions_to_another_pool_or_answer_them() {
    let fixed = |suffix, answer| rule(suffix, RouteAction::Fixed(answer));
    let any = RouteConfig { qtypes: vec![Type::ANY], ..fixed(".", FixedAnswer::Refused) };
    let mut server = Server::new(Setup {
        pools: vec![pool_named("default", 1..=1), pool_named("inside", 7..=7)],
        routes: vec![
            any,
            rule("corp.example", RouteAction::Pool("inside".into())),
            fixed("ads.example", FixedAnswer::NxDomain),
            fixed("broken.example", FixedAnswer::ServFail),
            fixed("gone.example", FixedAnswer::Drop),
        ],
        ..Setup::default()
    });
    for (name, to) in [("www.example", 1), ("Host.CORP.example", 7), ("corp.example", 7), ("xcorp.example", 1)] {
        server.send(4000, &a(name));
        assert_eq!(server.question().to, backend(to), "{name}");
    }
    for (question, rcode) in [
        (a("x.ads.example"), Rcode::NXDOMAIN),
        (a("broken.example"), Rcode::SERVFAIL),
        (ask("www.example", Type::ANY), Rcode::REFUSED),
    ] {
        let answer = server.ask(&question.edns(1232));
        assert_eq!((answer.rcode, answer.error()), (rcode, Some(15)));
        assert_eq!(answer.header.counts, [1, 0, 0, 1]);
    }
    server.send(4000, &a("gone.example"));
    let mut stream = server.connect();
    stream.send(&[a("gone.example").id(1), a("x.ads.example").id(2)]);
    server.settle();
    assert_eq!((server.answers().len(), stream.ids()), (0, vec![2]), "the stream goes on");
    assert!(server.asked().is_empty());
}

#[test]
fn without_a_pool_for_it_a_question_is_refused() {
    let mut server = Server::new(Setup { pools: vec![pool_named("inside", 7..=7)], ..Setup::default() });
    assert_eq!(server.ask(&a("www.example")).rcode, Rcode::REFUSED);
}

#[test]
fn a_reload_changes_where_questions_go() {
    let mut server = Server::forwarder();
    server.reload(Setup {
        pools: vec![pool_named("default", 3..=3)],
        routes: vec![rule("ads", RouteAction::Fixed(FixedAnswer::NxDomain))],
        ..Setup::default()
    });
    assert_eq!(server.ask(&a("x.ads")).rcode, Rcode::NXDOMAIN);
    server.send(4000, &a("www"));
    assert_eq!(server.question().to, backend(3));
}
