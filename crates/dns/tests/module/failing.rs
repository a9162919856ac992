//! Backends that do not answer, and clients that wait for them.

use std::time::Duration;

use afpa_dns::Limits;
use afpa_dns::message::{Rcode, flag};
use afpa_dns::stats::BackendEvent;
use afpa_dns::upstream::{Balance, FlightLimits, PoolConfig};

use crate::bench::{Asked, SECOND, Server, Setup, pool};
use crate::messages::{a, reply};

/// With so many backends.
fn server(backends: u8) -> Server {
    Server::new(Setup { pools: vec![pool(backends)], ..Setup::default() })
}

fn good(asked: &Asked) -> Vec<u8> {
    reply(&asked.octets).address(60, [192, 0, 2, 1]).octets()
}

#[test]
fn a_backend_that_does_not_answer_is_followed_by_the_next() {
    type Act = fn(&mut Server, &Asked);
    let acts: [(&str, Act, BackendEvent); 5] = [
        ("silence", |server, _| server.advance(SECOND * 2), BackendEvent::TimedOut),
        ("nobody is there", |_, asked| asked.peer.reset(), BackendEvent::Unreachable),
        (
            "SERVFAIL",
            |_, asked| asked.answer(&reply(&asked.octets).rcode(Rcode::SERVFAIL).octets()),
            BackendEvent::Failed,
        ),
        (
            "REFUSED",
            |_, asked| asked.answer(&reply(&asked.octets).rcode(Rcode::REFUSED).octets()),
            BackendEvent::Failed,
        ),
        (
            "an answer to nothing",
            |_, asked| {
                let meta = reply(&asked.octets).record(
                    afpa_dns::message::Section::Answer,
                    "www",
                    afpa_dns::message::Type(128),
                    60,
                    &[],
                );
                asked.answer(&meta.octets());
            },
            BackendEvent::Failed,
        ),
    ];
    for (what, act, event) in acts {
        let mut server = server(2);
        server.send(4000, &a("www"));
        let first = server.question();
        act(&mut server, &first);
        server.settle();
        let second = server.question();
        assert_ne!(second.to, first.to, "{what}");
        assert_ne!((second.ask.id, &second.ask.name), (first.ask.id, &first.ask.name), "{what}: of its own");
        let number = usize::from(first.to == crate::bench::backend(2));
        assert_eq!(server.event(number, event), 1, "{what}");
        second.answer(&good(&second));
        // Too late.
        first.answer(&reply(&first.octets).address(60, [6, 6, 6, 6]).octets());
        server.settle();
        assert_eq!(server.answer().addresses(), [([192, 0, 2, 1].into(), 60)], "{what}");
    }
}

#[test]
fn a_backend_over_tcp_that_does_not_answer_is_followed_by_the_next() {
    type Act = fn(&mut Server, &Asked);
    let acts: [(&str, Act); 4] = [
        ("silence", |server, _| server.advance(SECOND * 2)),
        ("a reset", |_, asked| asked.peer.reset()),
        ("FIN", |_, asked| asked.peer.finish()),
        ("half an answer and FIN", |_, asked| {
            asked.peer.send(&crate::bench::frame(&good(asked))[..20]);
            asked.peer.finish();
        }),
    ];
    for (what, act) in acts {
        let mut pools = vec![pool(2)];
        pools[0].backends.iter_mut().for_each(|backend| backend.tcp = true);
        let mut server = Server::new(Setup { pools, ..Setup::default() });
        server.send(4000, &a("www"));
        let first = server.question();
        assert!(first.is_over_tcp);
        act(&mut server, &first);
        server.settle();
        let second = server.question();
        assert_ne!(second.to, first.to, "{what}");
        second.answer(&good(&second));
        server.settle();
        assert_eq!(server.answer().addresses().len(), 1, "{what}");
    }
}

#[test]
fn a_connection_that_neither_opens_nor_fails_is_given_up_after_the_timeout() {
    let mut pools = vec![pool(2)];
    pools[0].backends.iter_mut().for_each(|backend| backend.tcp = true);
    let mut server = Server::new(Setup { pools, ..Setup::default() });
    server.switches.is_deaf.set(true);
    server.send(4000, &a("www"));
    let (first, _) = server.network.accept().expect("a connection");
    server.advance(Duration::from_millis(1750));
    assert!(server.network.accept().is_none());
    server.advance(Duration::from_millis(500));
    // It opens after all: nobody needs it.
    server.switches.is_deaf.set(false);
    server.settle();
    assert!(first.read(usize::MAX).is_empty() && first.ending().is_some());
    let second = server.question();
    second.answer(&good(&second));
    server.settle();
    assert_eq!(server.answer().addresses().len(), 1);
}

#[test]
fn if_nobody_answers_the_client_learns_it_and_nobody_is_asked_for_a_while() {
    let mut server = server(2);
    server.send(4000, &a("www").edns(1232));
    server.advance(SECOND * 5);
    assert_eq!(server.answer().summary(), (Rcode::SERVFAIL, 0, Some(22)));
    assert_eq!(server.asked().len(), 3, "attempts");
    // RFC 9520 §3.1: without a question to anybody.
    for _ in 0..3 {
        server.advance(SECOND);
        assert_eq!(server.ask(&a("www").edns(1232)).summary(), (Rcode::SERVFAIL, 0, Some(22)));
        assert!(server.asked().is_empty());
    }
    server.advance(SECOND * 3);
    server.send(4000, &a("www"));
    let asked = server.question();
    asked.answer(&good(&asked));
    server.settle();
    assert_eq!(server.answer().addresses().len(), 1);
}

#[test]
fn what_all_backends_say_is_said_to_the_client() {
    for (said, heard) in [
        ([Rcode::SERVFAIL, Rcode::SERVFAIL], Rcode::SERVFAIL),
        ([Rcode::REFUSED, Rcode::REFUSED], Rcode::REFUSED),
        ([Rcode::REFUSED, Rcode::SERVFAIL], Rcode::SERVFAIL),
        // It is between us and the backend.
        ([Rcode::BADCOOKIE, Rcode::BADCOOKIE], Rcode::SERVFAIL),
    ] {
        let pools = vec![PoolConfig { attempts: 2, ..pool(2) }];
        let mut server = Server::new(Setup { pools, ..Setup::default() });
        server.send(4000, &a("www").edns(1232));
        for rcode in said {
            let asked = server.question();
            asked.answer(&reply(&asked.octets).rcode(rcode).octets());
            server.settle();
        }
        assert_eq!(server.answer().summary(), (heard, 0, None), "{said:?}");
        assert_eq!(server.ask(&a("www")).rcode, heard, "it is remembered");
        assert!(server.asked().is_empty());
    }
}

#[test]
fn failures_are_remembered_after_a_purge_too() {
    let mut server = server(1);
    server.cache.purge_all();
    server.send(4000, &a("www"));
    for _ in 0..3 {
        server.question().peer.reset();
        server.settle();
    }
    assert_eq!(server.answer().rcode, Rcode::SERVFAIL);
    assert_eq!(server.ask(&a("www")).rcode, Rcode::SERVFAIL);
    assert!(server.asked().is_empty());
}

#[test]
fn an_answer_is_kept_whatever_its_backend_does_next() {
    type Act = fn(&Asked);
    let acts: [(&str, bool, Act); 4] = [
        ("the same again", false, |asked| asked.answer(&good(asked))),
        ("nobody is there", false, |asked| asked.peer.reset()),
        ("FIN", true, |asked| asked.peer.finish()),
        ("another frame", true, |asked| asked.answer(&[0; 12])),
    ];
    for (what, tcp, act) in acts {
        let mut pools = vec![pool(1)];
        pools[0].backends[0].tcp = tcp;
        let mut server = Server::new(Setup { pools, ..Setup::default() });
        server.send(4000, &a("www"));
        let asked = server.question();
        asked.answer(&good(&asked));
        act(&asked);
        server.pass();
        server.pass();
        server.settle();
        assert_eq!(server.answer().addresses().len(), 1, "{what}");
        if what != "nobody is there" {
            assert_eq!(server.ask(&a("www")).addresses().len(), 1, "{what}");
            assert!(server.asked().is_empty(), "{what}");
        }
    }
}

#[test]
fn a_client_whose_patience_ends_is_told_and_the_late_answer_is_kept() {
    let limits = Limits { patience: SECOND, ..Limits::default() };
    let mut server = Server::new(Setup { limits, ..Setup::default() });
    let mut stream = server.connect();
    stream.send(&[a("www").edns(1232)]);
    server.send(4000, &a("www").edns(1232));
    let asked = server.question();
    server.advance(Duration::from_millis(1250));
    assert_eq!(server.answer().summary(), (Rcode::SERVFAIL, 0, Some(22)));
    assert_eq!(stream.answers()[0].summary(), (Rcode::SERVFAIL, 0, Some(22)));
    asked.answer(&good(&asked));
    server.settle();
    assert!(server.answers().is_empty(), "one answer to each question");
    assert_eq!(server.ask(&a("www")).addresses().len(), 1);
}

#[test]
fn questions_beyond_the_limits_are_answered_with_servfail() {
    for flights in [FlightLimits { flights: 2, waiters: 100 }, FlightLimits { flights: 100, waiters: 2 }] {
        let mut server = Server::new(Setup { flights, ..Setup::default() });
        server.send(4000, &a("one"));
        server.send(4000, &a("two"));
        assert_eq!(server.ask(&a("three").edns(1232)).summary(), (Rcode::SERVFAIL, 0, Some(14)));
        let asked = server.asked();
        assert_eq!(asked.len(), 2);
        asked[0].answer(&good(&asked[0]));
        server.settle();
        server.answer();
        server.send(4000, &a("three"));
        assert_eq!(server.asked().len(), 1, "it is not remembered as a failure");
    }
}

#[test]
fn a_reload_leaves_nobody_waiting() {
    let pools = |balance| vec![PoolConfig { balance, ..pool(2) }];
    let mut server = Server::new(Setup { pools: pools(Balance::RoundRobin), ..Setup::default() });
    for same_or_other in [Balance::RoundRobin, Balance::Hash] {
        server.send(4000, &a(&format!("answered-{same_or_other:?}")));
        server.send(4001, &a(&format!("silent-{same_or_other:?}")));
        let asked = server.asked();
        server.reload(Setup { pools: pools(same_or_other), ..Setup::default() });
        asked[0].answer(&good(&asked[0]));
        server.settle();
        assert_eq!(server.answer().addresses().len(), 1);
        // Its flight goes on with the pool that is there now.
        server.advance(SECOND * 3);
        let again = server.question();
        again.answer(&good(&again));
        server.settle();
        assert_eq!(server.answer().addresses().len(), 1);
    }
    server.send(4001, &a("silent"));
    assert_eq!(server.asked().len(), 1);
    server.reload(Setup { pools: Vec::new(), ..Setup::default() });
    server.advance(SECOND * 3);
    assert_eq!(server.answer().rcode, Rcode::SERVFAIL, "the backends of its flight are gone");
}

#[test]
fn a_stopping_engine_waits_for_answers_that_are_due() {
    let mut server = server(1);
    let mut stream = server.connect();
    let idle = server.connect();
    stream.send(&[a("www").id(1)]);
    server.send(4000, &a("www"));
    let asked = server.question();
    server.handle.stop(Duration::from_secs(3600));
    server.settle();
    assert!(idle.peer.ending().is_some() && stream.peer.ending().is_none());
    assert!(server.pass(), "answers are due");
    asked.answer(&good(&asked));
    server.settle();
    assert_eq!(server.answer().addresses().len(), 1);
    assert_eq!(stream.ids(), [1]);
    assert!(stream.peer.ending().is_some());
    assert!(!server.pass());
}

#[test]
fn busy_workers_keep_nobody_waiting() {
    for engines in [1, 2] {
        let mut server = Server::new(Setup { engines, ..Setup::default() });
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (start, started) = std::sync::mpsc::channel();
        let wait = move || {
            start.send(()).unwrap();
            released.recv().unwrap_or_default();
        };
        server.workers.submit(wait).unwrap();
        started.recv().unwrap();
        while server.workers.submit(|| {}).is_ok() {}
        server.send(4000, &a("www"));
        let asked = server.question();
        asked.answer(&good(&asked));
        server.settle();
        assert_eq!(server.answer().addresses().len(), 1);
        drop(release);
        server.settle();
        server.send(4000, &a("www"));
        assert_eq!(server.asked().len(), 1, "it could not be kept");
    }
}

#[test]
fn truncated_without_end_is_a_failure() {
    let mut server = Server::new(Setup { pools: vec![PoolConfig { attempts: 1, ..pool(1) }], ..Setup::default() });
    server.send(4000, &a("www"));
    for is_over_tcp in [false, true] {
        let asked = server.question();
        assert_eq!(asked.is_over_tcp, is_over_tcp);
        asked.answer(&reply(&asked.octets).flags(flag::TC).octets());
        server.settle();
    }
    assert_eq!(server.answer().rcode, Rcode::SERVFAIL);
}
