//! The control table: every state takes every event, and every row is taken by some client.

mod support;

use std::time::Duration;

use afpa_engine::memory::MemoryConfig;
use afpa_engine::table::Row;
use afpa_engine::{Next, Outcome, ProtocolModule, State};
use afpa_http::Http;
use afpa_http::table::{
    ADMIT_REQUEST, AWAIT_TURN, CHECK_BODY, CHOOSE_ROUTE, CLASSED, DERIVE_CACHED_RESPONSE, DERIVE_DEFERRED_RESPONSE,
    DERIVE_REMOTE_RESPONSE, DERIVE_REQUEST, DERIVE_UNCACHED_RESPONSE, DRAIN_REQUEST, LINGER, PENDING, REMOTE, ROUTED,
    SEND_ENGINE, TUNNEL,
};
use support::{Client, IDLE_TIMEOUT, Server, Setup, get, pattern, request};

/// What can happen to a connection while it waits. The names are those of `Wake`, but for what has
/// no wake.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Received,
    Sent,
    Finished,
    Expired,
    Completed,
    Draining,
    Reset,
}

const EVENTS: [Event; 7] =
    [Event::Received, Event::Sent, Event::Finished, Event::Expired, Event::Completed, Event::Draining, Event::Reset];

/// A server with a connection that waits in a state, and that state.
struct Waiting {
    server: Server,
    client: Client,
    state: State,
}

impl Waiting {
    /// Sends `octets` and runs the engine until the connection has waited in `state`.
    fn in_state(state: State, octets: &str) -> Waiting {
        let network = MemoryConfig { window: 1000, send_buffer: 2000, ..MemoryConfig::default() };
        let mut server = Server::new(Setup { network, ..Setup::default() });
        server.write("page", "hello");
        server.write("file.bin", pattern(50_000));
        let mut client = server.connect();
        client.send(octets);
        if state == DERIVE_UNCACHED_RESPONSE {
            // Settling would wait for the worker.
            server.pass();
        } else {
            server.settle();
        }
        assert!(server.count(state, waiting_outcome(state)) > 0, "{} is not reached", state.name);
        Waiting { server, client, state }
    }

    fn raise(&mut self, event: Event) {
        let Waiting { server, client, .. } = self;
        match event {
            Event::Received => client.send("GET /page HTTP/1.1\r\n"),
            Event::Sent => _ = client.read(500),
            Event::Finished => client.finish(),
            Event::Expired => server.advance(IDLE_TIMEOUT * 2),
            Event::Completed => server.settle(),
            Event::Draining => server.handle.stop(Duration::from_secs(3600)),
            Event::Reset => client.reset(),
        }
        server.pass();
    }
}

/// Rows that are taken only where there are routes: the tests of the accelerator take those.
fn is_of_routes(row: &Row) -> bool {
    let states = [CHOOSE_ROUTE, ADMIT_REQUEST, AWAIT_TURN, DERIVE_REMOTE_RESPONSE, TUNNEL, DERIVE_DEFERRED_RESPONSE];
    states.contains(&row.state)
        || [ROUTED, CLASSED, REMOTE].contains(&row.outcome)
        || (row.state, row.outcome) == (DERIVE_CACHED_RESPONSE, PENDING)
}

/// The outcome with which a state waits for its next event.
fn waiting_outcome(state: State) -> Outcome {
    let waits = |row: &&Row| row.state == state && matches!(row.next, Next::Wait(_));
    Http::TABLE.rows().iter().find(waits).unwrap().outcome
}

/// A connection for each state that waits.
fn waiting() -> Vec<Waiting> {
    vec![
        Waiting::in_state(DERIVE_REQUEST, ""),
        Waiting::in_state(DERIVE_REQUEST, "GET /pa"),
        Waiting::in_state(DERIVE_REQUEST, &get("/page")),
        Waiting::in_state(CHECK_BODY, &(request("GET", "/page", "Transfer-Encoding: chunked\r\n") + "5\r\nhe")),
        Waiting::in_state(DERIVE_UNCACHED_RESPONSE, &get("/page")),
        Waiting::in_state(SEND_ENGINE, &get("/file.bin")),
        Waiting::in_state(DRAIN_REQUEST, &(request("GET", "/page", "Content-Length: 5\r\n") + "he")),
        Waiting::in_state(LINGER, "nonsense\r\n\r\n"),
    ]
}

#[test]
fn every_state_that_waits_is_tried() {
    let waiting = waiting();
    for row in Http::TABLE.rows().iter().filter(|row| matches!(row.next, Next::Wait(_)) && !is_of_routes(row)) {
        assert!(waiting.iter().any(|tried| tried.state == row.state), "{} is not tried", row.state.name);
    }
}

/// Any two events, in any order, in any state: nothing hangs, nothing panics, no outcome is
/// undeclared, and in the end nothing is left of the connection.
#[test]
fn every_state_takes_every_event() {
    for first in EVENTS {
        for second in EVENTS {
            for mut waiting in waiting() {
                waiting.raise(first);
                waiting.raise(second);
                let Waiting { mut server, client, state } = waiting;
                server.settle();
                let mut left = client.read(usize::MAX).len();
                while left > 0 {
                    server.settle();
                    left = client.read(usize::MAX).len();
                }
                server.advance(IDLE_TIMEOUT * 2);
                let what = format!("{first:?}, then {second:?} in {}", state.name);
                assert_eq!(server.module.violations.get(), 0, "{what}");
                assert_eq!(server.open(), 0, "{what}");
                assert_eq!(server.http.pins.get(), 0, "{what}");
            }
        }
    }
}

/// Clients that together take every row of the table.
fn tour(server: &mut Server) {
    server.write("page", "hello");
    server.write("file.bin", pattern(50_000));
    std::fs::create_dir(server.path("directory")).unwrap();
    let with_length = |octets: &str| request("GET", "/page", "Content-Length: 5\r\n") + octets;
    let with_chunks = |octets: &str| request("GET", "/page", "Transfer-Encoding: chunked\r\n") + octets;
    for (octets, finishes) in [
        (String::new(), true),
        (get("/page").repeat(2), false),
        (get("/absent"), false),
        (get("/directory"), false),
        (request("OPTIONS", "*", ""), false),
        (request("POST", "/page", ""), false),
        (request("GET", "/page", "Connection: close\r\n"), false),
        ("nonsense\r\n\r\n".into(), false),
        ("nonsense\r\n\r\n".into(), true),
        (with_length("hello"), false),
        (with_length("hel"), false),
        (with_length("hel"), true),
        (with_chunks("0\r\n\r\n"), false),
        (with_chunks("nonsense\r\n"), false),
        (with_chunks("5\r\nhel"), true),
        (get("/file.bin"), false),
    ] {
        let mut client = server.connect();
        client.send(octets);
        server.settle();
        if finishes {
            client.finish();
        }
        server.settle();
        server.advance(IDLE_TIMEOUT * 2);
    }
}

#[test]
fn every_row_is_taken() {
    let network = MemoryConfig { window: 1000, send_buffer: 2000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    tour(&mut server);
    let mut missing = Vec::new();
    for row in Http::TABLE.rows().iter().filter(|row| !is_of_routes(row)) {
        let count = server.count(row.state, row.outcome);
        println!("{:>6}  {}, {}", count, row.state.name, row.outcome.name);
        if count == 0 {
            missing.push((row.state.name, row.outcome.name));
        }
    }
    assert!(missing.is_empty(), "no client takes {missing:?}");
}
