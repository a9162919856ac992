//! Any two events, in any order, wherever a request has got to, on both of its connections.

use afpa_engine::memory::MemoryConfig;
use afpa_engine::table::Row;
use afpa_engine::{Next, ProtocolModule, State};
use afpa_http::Http;
use afpa_http::fetch::Fetch;
use afpa_http::fetch::table as fetch;
use afpa_http::table::{DERIVE_REMOTE_RESPONSE, TUNNEL};

use crate::bench::{Backend, Client, SECOND, Server, Setup, get, kept, private, request};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    ClientSends,
    ClientReads,
    ClientFinishes,
    ClientResets,
    BackendAnswers,
    BackendSends,
    BackendReads,
    BackendFinishes,
    BackendResets,
    Completed,
    Expired,
    LongExpired,
    Draining,
}

const EVENTS: [Event; 13] = [
    Event::ClientSends,
    Event::ClientReads,
    Event::ClientFinishes,
    Event::ClientResets,
    Event::BackendAnswers,
    Event::BackendSends,
    Event::BackendReads,
    Event::BackendFinishes,
    Event::BackendResets,
    Event::Completed,
    Event::Expired,
    Event::LongExpired,
    Event::Draining,
];

/// A request on its way, and the states that its connections wait in.
struct Under {
    name: &'static str,
    /// Let go before the server, which waits for it.
    worker: Option<crate::bench::Held>,
    server: Server,
    client: Client,
    backend: Option<Backend>,
    states: &'static [(&'static str, State)],
}

const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const ASKS: &str = "Connection: Upgrade\r\nUpgrade: echo\r\n";
const HTTP: &str = Http::NAME;
const FETCH: &str = Fetch::NAME;

type Script = (&'static str, String, String, &'static [(&'static str, State)]);

fn scripts() -> Vec<Script> {
    let tunnel: &[_] = &[(HTTP, TUNNEL), (FETCH, fetch::TUNNEL)];
    let head: &[_] = &[(HTTP, DERIVE_REMOTE_RESPONSE), (FETCH, fetch::READ_HEAD)];
    let body: &[_] = &[(HTTP, DERIVE_REMOTE_RESPONSE), (FETCH, fetch::RELAY_BODY)];
    let long = "x".repeat(300_000);
    vec![
        ("a silent backend", get("/", ""), String::new(), head),
        ("half a head", get("/", ""), "HTTP/1.1 200 OK\r\nX".into(), head),
        ("an interim response", get("/", ""), "HTTP/1.1 103 Early Hints\r\n\r\n".into(), head),
        ("half a request", request("PUT", "/", "Content-Length: 100\r\n") + "begin", String::new(), head),
        (
            "chunks of a request",
            request("POST", "/", "Transfer-Encoding: chunked\r\n") + "5\r\nbegin\r\n",
            String::new(),
            head,
        ),
        (
            "a client that waits for 100",
            request("POST", "/", "Content-Length: 5\r\nExpect: 100-continue\r\n"),
            String::new(),
            head,
        ),
        ("half a body", get("/", ""), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into(), body),
        (
            "half a body in chunks",
            get("/", ""),
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".into(),
            body,
        ),
        ("a body until the end", get("/", ""), "HTTP/1.1 200 OK\r\n\r\nhalf".into(), body),
        ("a body that nobody takes", get("/", ""), private(&long), body),
        ("a kept body that nobody takes", get("/", ""), kept(&long), body),
        (
            "a response before the request",
            request("POST", "/", "Content-Length: 100\r\n") + "begin",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into(),
            body,
        ),
        ("a tunnel", get("/", ASKS), SWITCHES.into(), tunnel),
        ("a tunnel with much in it", get("/", ASKS) + &long, SWITCHES.to_owned() + &long, tunnel),
        ("an answer", get("/", ""), private("whole"), &[(FETCH, fetch::AWAIT_REQUEST)]),
    ]
}

fn under((name, asks, answers, states): Script) -> Under {
    let network = MemoryConfig { frame: 65_536, window: 1000, send_buffer: 2000, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, attempts: 1, min_rate: 1, ..Setup::default() });
    let client = server.client(asks);
    let backend = server.accept().unwrap();
    if !answers.is_empty() {
        backend.peer.read(usize::MAX);
        backend.send(answers);
        server.settle();
    }
    Under { name, server, client, backend: Some(backend), worker: None, states }
}

/// A request that waits for a connection, for a worker, and for another's answer.
fn others() -> Vec<Under> {
    let mut waits = Server::new(Setup { max_connections: 1, ..Setup::default() });
    waits.client(get("/busy", ""));
    let backend = waits.accept();
    let client = waits.client(get("/", ""));
    let keeper: &[_] = &[(FETCH, fetch::KEEP_WATCH)];
    let waiting = Under { name: "a queue", server: waits, client, backend, worker: None, states: keeper };
    let mut stores = Server::with_one_backend();
    let client = stores.client(get("/", ""));
    let backend = stores.accept();
    let worker = stores.hold_worker();
    backend.as_ref().unwrap().send(kept("stored"));
    stores.settle();
    let states: &[_] = &[(FETCH, fetch::STORE_RESPONSE)];
    let storing = Under { name: "storing", server: stores, client, backend, worker: Some(worker), states };
    let mut joined = Server::with_one_backend();
    joined.client(get("/", ""));
    let backend = joined.accept();
    let client = joined.client(get("/", ""));
    let states: &[_] = &[(HTTP, DERIVE_REMOTE_RESPONSE)];
    let joined = Under { name: "a flight", server: joined, client, backend, worker: None, states };
    vec![waiting, storing, joined]
}

fn all() -> Vec<Under> {
    scripts().into_iter().map(under).chain(others()).collect()
}

impl Under {
    fn raise(&mut self, event: Event) {
        let Under { server, client, .. } = self;
        let backend = self.backend.as_ref().map(|backend| &backend.peer);
        match event {
            Event::ClientSends => client.send("5\r\nhello\r\n0\r\n\r\nGET /next HTTP/1.1\r\n"),
            Event::ClientReads => _ = client.peer.read(5000),
            Event::ClientFinishes => client.peer.finish(),
            Event::ClientResets => client.peer.reset(),
            Event::BackendAnswers => backend.into_iter().for_each(|backend| backend.send(private("answer").as_bytes())),
            Event::BackendSends => backend.into_iter().for_each(|backend| backend.send(b"5\r\nhello\r\n0\r\n\r\n")),
            Event::BackendReads => backend.into_iter().for_each(|backend| _ = backend.read(5000)),
            Event::BackendFinishes => backend.into_iter().for_each(|backend| backend.finish()),
            Event::BackendResets => backend.into_iter().for_each(|backend| backend.reset()),
            Event::Completed => self.worker = None,
            Event::Expired => server.advance(6 * SECOND),
            Event::LongExpired => server.advance(70 * SECOND),
            Event::Draining => server.handle.stop(36_000 * SECOND),
        }
        server.pass();
        server.pass();
    }
}

/// Whether the state of a table waits.
fn waits<M: ProtocolModule>() -> impl Iterator<Item = &'static Row> {
    M::TABLE.rows().iter().filter(|row| matches!(row.next, Next::Wait(_)))
}

#[test]
fn every_state_that_waits_is_tried() {
    let tried = all();
    for under in &tried {
        for &(module, state) in under.states {
            let (rows, stats) = match module {
                HTTP => (Http::TABLE.rows(), &under.server.module),
                _ => (Fetch::TABLE.rows(), &under.server.fetch),
            };
            let leads_there = |row: &&Row| row.next == Next::Wait(state);
            let count = |row: &Row| stats.transition(row.state.index, row.outcome.index).get();
            let count: u64 = rows.iter().filter(leads_there).map(count).sum();
            assert!(count > 0, "{}: {} is not reached", under.name, state.name);
        }
    }
    for row in waits::<Fetch>() {
        let Next::Wait(state) = row.next else { continue };
        let is_tried = |under: &Under| under.states.contains(&(FETCH, state));
        assert!(tried.iter().any(is_tried), "{} is not tried", state.name);
    }
}

/// Nothing hangs, nothing panics, no outcome is undeclared, and in the end nothing is left.
#[test]
fn every_state_takes_every_event() {
    for first in EVENTS {
        for second in EVENTS {
            for mut under in all() {
                let what = format!("{first:?}, then {second:?} in {}", under.name);
                under.raise(first);
                under.raise(second);
                under.worker = None;
                let Under { mut server, client, backend, .. } = under;
                server.settle();
                // Both peers go in the end, if they were left.
                client.peer.reset();
                server.settle();
                backend.into_iter().for_each(|backend| backend.peer.reset());
                server.settle();
                while let Some(backend) = server.accept() {
                    backend.peer.reset();
                    server.settle();
                }
                server.advance(40 * SECOND);
                server.assert_nothing_is_left(&what);
                assert_eq!((server.module.violations.get(), server.fetch.violations.get()), (0, 0), "{what}");
                assert_eq!(server.open(), 0, "{what}");
            }
        }
    }
}
