//! A second attempt beside one that is slow, and bounds of time.

use afpa_balancing::{BudgetConfig, HedgeConfig, HedgeDelay};
use afpa_engine::memory::Ending;

use crate::bench::{Backend, SECOND, Server, Setup, get, kept, private, request, response};

fn hedged() -> Setup {
    let delay = HedgeDelay::Fixed(1_000_000_000);
    let budget = BudgetConfig { percent: 100, ..BudgetConfig::default() };
    Setup { backends: 2, hedge: Some(HedgeConfig { delay, budget }), ..Setup::default() }
}

/// A client that asks, and both backends, the first one first.
fn slow(server: &mut Server) -> (crate::bench::Client, [Backend; 2]) {
    let client = server.client(get("/", ""));
    let (first, _) = server.asked();
    server.advance(2 * SECOND);
    let (second, _) = server.asked();
    (client, [first, second])
}

#[test]
fn whichever_answers_first_is_believed_and_the_other_is_given_up() {
    for winner in [0, 1] {
        let mut server = Server::new(hedged());
        let (mut client, backends) = slow(&mut server);
        backends[winner].send(kept("first"));
        server.settle();
        backends[1 - winner].send(kept("second"));
        server.settle();
        assert!(client.text().ends_with("first"));
        assert!(server.hit(&get("/", "")).ends_with("first"), "and kept");
        server.advance(40 * SECOND);
        assert_eq!(backends[1 - winner].peer.ending(), Some(Ending::Reset), "{winner}");
        server.assert_it_comes_to_rest("a hedge");
    }
}

#[test]
fn one_that_fails_leaves_it_to_the_other() {
    for loser in [0, 1] {
        for octets in ["", "HTTP/1.1 20", "nonsense\r\n\r\n", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"] {
            let mut server = Server::new(Setup { attempts: 1, ..hedged() });
            let (mut client, backends) = slow(&mut server);
            let is_answer = octets.contains("503");
            backends[loser].send(octets);
            backends[loser].peer.finish();
            server.settle();
            backends[1 - loser].send(private("answer"));
            server.settle();
            let text = client.text();
            assert!(text.ends_with("answer") || is_answer && text.starts_with("HTTP/1.1 503"), "{octets}: {text}");
            server.assert_it_comes_to_rest("a hedge");
        }
    }
}

#[test]
fn when_both_fail_the_client_hears_of_it() {
    let mut server = Server::new(Setup { attempts: 1, ..hedged() });
    let (mut client, backends) = slow(&mut server);
    backends.iter().for_each(|backend| backend.peer.reset());
    server.settle();
    assert_eq!(client.statuses(), [502]);
    server.assert_it_comes_to_rest("two failures");
}

#[test]
fn a_client_that_leaves_ends_both() {
    let mut server = Server::new(hedged());
    let (client, backends) = slow(&mut server);
    client.peer.reset();
    server.settle();
    server.assert_nothing_is_left("a client that left");
    drop(backends);
    server.assert_it_comes_to_rest("a client that left");
}

#[test]
fn what_is_not_safe_is_not_asked_twice() {
    let mut server = Server::new(hedged());
    let mut client = server.client(request("POST", "/", "Content-Length: 0\r\n"));
    let (backend, _) = server.asked();
    server.advance(5 * SECOND);
    assert!(server.accept().is_none());
    backend.send(private("once"));
    server.settle();
    assert!(client.text().ends_with("once"));
}

#[test]
fn the_whole_may_take_no_longer_than_it_may() {
    let mut setup = Setup::default();
    setup.times.total = 10 * SECOND;
    let mut server = Server::new(setup);
    let (mut early, mut late) = (server.client(get("/early", "")), server.client(get("/late", "")));
    let (silent, mut talks) = (server.accept().unwrap(), server.accept().unwrap());
    talks.request();
    talks.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    for _ in 0..6 {
        talks.send("x");
        server.advance(2 * SECOND);
    }
    assert_eq!(early.statuses(), [504]);
    assert_eq!(late.ending(), Some(Ending::Reset));
    drop(silent);
    server.assert_it_comes_to_rest("too long");
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let mut server = Server::new(Setup { requests: 2, ..Setup::default() });
    for round in 0..3 {
        let mut client = server.client(get("/a", "") + &get("/b", ""));
        let (mut backend, _) = server.asked();
        backend.send(response("Cache-Control: private\r\n", "a"));
        server.settle();
        assert!(backend.request().starts_with("GET /b "), "{round}");
        backend.send(response("Cache-Control: private\r\n", "b"));
        server.settle();
        assert_eq!(client.statuses(), [200, 200]);
        assert_eq!(backend.peer.ending(), Some(Ending::Finished));
    }
    server.assert_it_comes_to_rest("two each");
}

/// Connections end when the engine stops, and requests under way are answered before.
#[test]
fn an_engine_that_stops_answers_what_it_has_begun() {
    let mut server = Server::new(Setup { max_connections: 1, ..Setup::default() });
    let mut clients = [server.client(get("/1", "")), server.client(get("/2", ""))];
    let (mut backend, _) = server.asked();
    server.handle.stop(3600 * SECOND);
    server.settle();
    backend.send(private("1"));
    server.settle();
    let mut other = server.accept();
    let asked = other.as_mut().unwrap_or(&mut backend);
    assert!(asked.request().starts_with("GET /2 "));
    asked.send(private("2"));
    server.settle();
    for (client, number) in clients.iter_mut().zip(["1", "2"]) {
        let text = client.text();
        assert!(text.contains("Connection: close") && text.ends_with(number), "{text}");
        assert_eq!(client.ending(), Some(Ending::Finished));
    }
    server.assert_nothing_is_left("a stop");
}
