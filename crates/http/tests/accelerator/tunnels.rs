//! Connections that become another protocol's.

use afpa_engine::memory::Ending;

use crate::bench::{SECOND, Server, Setup, cached, get, private};

const ASKS: &str = "Connection: Upgrade\r\nUpgrade: echo\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

#[test]
fn octets_go_both_ways_and_each_half_ends_by_itself() {
    for client_first in [false, true] {
        let mut server = Server::with_one_backend();
        let mut client = server.client(get("/", ASKS));
        let (mut backend, asked) = server.asked();
        assert!(asked.contains("Upgrade: echo\r\n") && asked.to_lowercase().contains("connection: upgrade"), "{asked}");
        backend.send([SWITCHES, "hello"].concat());
        server.settle();
        let text = client.text();
        assert!(text.starts_with("HTTP/1.1 101") && text.ends_with("\r\n\r\nhello"), "{text}");
        for _ in 0..10 {
            client.send("x".repeat(50_000));
            backend.send("y".repeat(50_000));
            server.settle();
        }
        assert_eq!((client.octets().len(), backend.octets().len()), (500_000, 500_000));
        let (one, other) = (&client.peer, &backend.peer);
        let (first, second) = if client_first { (one, other) } else { (other, one) };
        first.finish();
        server.settle();
        second.read(usize::MAX);
        assert_eq!(second.ending(), Some(Ending::Finished));
        second.send(b"more");
        server.settle();
        assert!(first.read(usize::MAX).ends_with(b"more"));
        second.finish();
        server.settle();
        assert_eq!(first.ending(), Some(Ending::Finished));
        server.assert_it_comes_to_rest("a tunnel");
    }
}

#[test]
fn a_reset_on_one_side_ends_the_other() {
    for resets in ["client", "backend"] {
        let mut server = Server::with_one_backend();
        let client = server.client(get("/", ASKS));
        let (backend, _) = server.asked();
        backend.send(SWITCHES);
        server.settle();
        client.peer.read(usize::MAX);
        let (client, backend) = (&client.peer, &backend.peer);
        let (one, other) = if resets == "client" { (client, backend) } else { (backend, client) };
        one.reset();
        server.settle();
        assert_eq!(other.ending(), Some(Ending::Reset), "{resets}");
        server.assert_it_comes_to_rest(resets);
    }
}

/// What a client sends behind the request is for the protocol that it asks for, if that is granted, and another request
/// if not; the backend sees none of it before.
#[test]
fn nothing_goes_to_the_backend_before_it_has_switched() {
    let hidden = get("/hidden", "");
    for switches in [true, false] {
        let mut server = Server::with_one_backend();
        let mut client = server.client(get("/", ASKS) + &hidden);
        let (mut backend, _) = server.asked();
        assert_eq!(backend.octets(), b"");
        if switches {
            backend.send(SWITCHES);
            server.settle();
            assert_eq!(backend.octets(), hidden.as_bytes());
        } else {
            backend.send(private("no"));
            server.settle();
            assert!(client.text().ends_with("no"));
            let asked = backend.try_request().or_else(|| server.accept().map(|mut other| other.request()));
            assert!(asked.is_some_and(|asked| asked.starts_with("GET /hidden ") && asked.contains("Via")));
        }
        client.peer.reset();
        server.settle();
        server.assert_it_comes_to_rest("an upgrade");
    }
}

#[test]
fn where_no_route_allows_it_nobody_is_asked_to_switch() {
    let route = afpa_routing::Route { upgrade: false, ..cached(afpa_routing::PathCondition::Any, 0) };
    let mut server = Server::new(Setup { routes: vec![route], attempts: 1, ..Setup::default() });
    for fields in [ASKS, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"]
    {
        let mut client = server.client(get("/", fields));
        let (backend, asked) = server.asked();
        let lower = asked.to_lowercase();
        assert!(!lower.contains("upgrade") && !lower.contains("http2-settings"), "{asked}");
        backend.send(SWITCHES);
        server.settle();
        assert_eq!(client.statuses(), [502]);
    }
    server.assert_it_comes_to_rest("no upgrade");
}

#[test]
fn connect_is_refused() {
    let mut server = Server::with_one_backend();
    let mut client =
        server.client("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n".to_owned() + &get("/", ""));
    assert_eq!(client.statuses(), [405]);
    assert!(server.accept().is_none() && client.ending().is_some());
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_taken_down() {
    let mut server = Server::with_one_backend();
    let mut client = server.client(get("/", ASKS));
    let (backend, _) = server.asked();
    backend.send(SWITCHES);
    server.advance(1000 * SECOND);
    assert_eq!(client.ending(), None);
    server.advance(2700 * SECOND);
    assert_eq!((client.ending(), backend.peer.ending()), (Some(Ending::Reset), Some(Ending::Reset)));
    server.assert_it_comes_to_rest("silence");
}
