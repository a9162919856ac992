//! Both control tables: every row is taken by some client, backend or operator.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use afpa_classes::{ClassConfig, Limit};
use afpa_engine::memory::MemoryConfig;
use afpa_engine::stats::ModuleStats;
use afpa_engine::table::Row;
use afpa_engine::{ControlTable, Outcome, ProtocolModule, State};
use afpa_http::Http;
use afpa_http::fetch::Fetch;
use afpa_http::fetch::table as fetch;
use afpa_http::quality::{ClassPlan, QualityPlan, Rule};
use afpa_http::table::{
    ADMIT_REQUEST, AWAIT_TURN, CHOOSE_ROUTE, CHUNKED, CLASSED, DERIVE_CACHED_RESPONSE, DERIVE_DEFERRED_RESPONSE,
    DERIVE_REMOTE_RESPONSE, PENDING, REMOTE, ROUTED, TUNNEL,
};
use afpa_routing::{PathCondition, Route, Target};

use crate::bench::{Backend, Client, SECOND, Server, Setup, get, kept, private, request, response};

const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
const ASKS: &str = "Connection: Upgrade\r\nUpgrade: echo\r\n";

/// Whoever cuts a request's body off has left its flight before, so its head is not sent at all. The row is for the case
/// that this changes.
const NOT_TAKEN: &[(State, Outcome)] = &[(fetch::SEND_REQUEST, fetch::FAILED)];

/// Rows that are taken only where there are routes. Those of files have a test of their own.
fn is_of_routes(row: &Row) -> bool {
    let states = [CHOOSE_ROUTE, ADMIT_REQUEST, AWAIT_TURN, DERIVE_REMOTE_RESPONSE, TUNNEL, DERIVE_DEFERRED_RESPONSE];
    states.contains(&row.state)
        || [ROUTED, CLASSED, REMOTE].contains(&row.outcome)
        || (row.state, row.outcome) == (DERIVE_CACHED_RESPONSE, PENDING)
}

/// What the tours have taken so far, by table.
#[derive(Default)]
struct Taken(Vec<(&'static str, u8, u8)>);

impl Taken {
    fn note<M: ProtocolModule>(&mut self, stats: &ModuleStats) {
        let taken = M::TABLE.rows().iter().filter(|row| stats.transition(row.state.index, row.outcome.index).get() > 0);
        self.0.extend(taken.map(|row| (M::NAME, row.state.index, row.outcome.index)));
    }

    fn missing<M: ProtocolModule>(
        &self,
        table: &ControlTable<M>,
        is_wanted: impl Fn(&Row) -> bool,
    ) -> Vec<(&'static str, &'static str)> {
        let rows = table.rows().iter().filter(|row| is_wanted(row));
        let missing = rows.filter(|row| !self.0.contains(&(M::NAME, row.state.index, row.outcome.index)));
        missing.map(|row| (row.state.name, row.outcome.name)).collect()
    }
}

#[test]
fn every_row_is_taken() {
    let mut taken = Taken::default();
    for tour in [
        answered,
        others,
        tunnels,
        failures,
        unopened,
        hasty,
        waiting,
        busy,
        handed_over,
        not_handed_over,
        drained,
        classed,
    ] {
        let server = tour();
        taken.note::<Http>(&server.module);
        taken.note::<Fetch>(&server.fetch);
    }
    let is_taken = |row: &Row| !NOT_TAKEN.contains(&(row.state, row.outcome));
    let missing = (taken.missing(Http::TABLE, is_of_routes), taken.missing(Fetch::TABLE, is_taken));
    assert_eq!(missing, (vec![], vec![]), "nobody takes these");
}

/// Answers in one piece and in several, validated, and from an idle connection.
fn answered() -> Server {
    let mut server = Server::with_one_backend();
    let client = server.client(get("/", ""));
    let (mut backend, _) = server.asked();
    backend.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nETag: \"1\"\r\nContent-Length: 2\r\n");
    server.settle();
    backend.send("\r\na");
    server.settle();
    backend.send("b");
    server.settle();
    server.advance(2 * SECOND);
    client.send(get("/", ""));
    server.settle();
    backend.request();
    backend.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n");
    server.settle();
    server.client(get("/", "If-None-Match: \"1\"\r\n"));
    client.send(request("POST", "/", "Connection: close\r\nContent-Length: 0\r\n"));
    server.settle();
    backend.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    server.settle();
    server
}

/// Everything that becomes of a request with a class, with room for one at a time.
fn classed() -> Server {
    let limited = || {
        let config = ClassConfig { rate: Limit::per_second(100, 9), queue: 1, ..ClassConfig::default() };
        let class = ClassPlan { config, rule: Rule::default(), stats: Vec::new() };
        let mut plan = QualityPlan::new(vec![class], 1, None).unwrap();
        plan.capacity = 1;
        plan
    };
    let fixed = Target::Respond { status: 200, content_type: String::new(), body: b"fixed".as_slice().into() };
    let routes = vec![
        Route::new(PathCondition::Exact("/page".into()), Target::Files(0)),
        Route::new(PathCondition::Exact("/fixed".into()), fixed),
        Route::new(PathCondition::Exact("/local".into()), Target::Deferred(0)),
        Route::new(PathCondition::Any, Target::Pool(0)),
    ];
    let mut server = Server::new(Setup { routes, quality: Some(Box::new(limited)), ..Setup::default() });
    for octets in [
        get("/page", ""),
        request("GET", "/page", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        get("/fixed", ""),
        get("/local", ""),
        get("/goes", ""),
        get("/waits", ""),
        get("/finds/no/room", ""),
    ] {
        server.client(octets);
    }
    let (mut backend, _) = server.asked();
    backend.send(private("goes"));
    server.settle();
    assert!(backend.try_request().or_else(|| server.accept()?.try_request()).is_some());
    for _ in 0..3 {
        server.client(get("/one/too/many", ""));
    }
    server
}

/// Routes that lead elsewhere.
fn others() -> Server {
    let fixed = Target::Respond { status: 200, content_type: String::new(), body: b"fixed".as_slice().into() };
    let routes = vec![
        Route::new(PathCondition::Exact("/page".into()), Target::Files(0)),
        Route::new(PathCondition::Exact("/fixed".into()), fixed),
    ];
    let mut server = Server::new(Setup { routes, ..Setup::default() });
    for octets in [
        get("/page", ""),
        request("GET", "/page", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        get("/fixed", ""),
        get("/absent", ""),
    ] {
        server.client(octets);
    }
    assert!(server.count(CHOOSE_ROUTE, CHUNKED) == 1);
    server
}

fn switched(server: &mut Server) -> (Client, Backend) {
    let client = server.client(get("/", ASKS));
    let backend = server.asked().0;
    backend.send(SWITCHES);
    server.settle();
    (client, backend)
}

fn tunnels() -> Server {
    let mut server = Server::with_one_backend();
    let (client, backend) = switched(&mut server);
    client.peer.finish();
    backend.peer.finish();
    server.settle();
    let (client, _backend) = switched(&mut server);
    client.peer.reset();
    server.settle();
    let (_client, backend) = switched(&mut server);
    backend.peer.reset();
    server.settle();
    server
}

/// Backends that fail before and amid their answers.
fn failures() -> Server {
    let mut server = Server::new(Setup { attempts: 1, ..Setup::default() });
    for octets in ["nonsense\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"] {
        server.client(get("/", ""));
        let (backend, _) = server.asked();
        backend.send(octets);
        server.settle();
    }
    server.client(get("/", ""));
    let (backend, _) = server.asked();
    backend.send(kept("") + "more");
    server.settle();
    server.client(get("/other", ""));
    let (backend, _) = server.asked();
    backend.send(private(""));
    server.settle();
    // What idles is closed after a while.
    server.advance(100 * SECOND);
    server
}

/// Connections that take too long to open.
fn unopened() -> Server {
    let mut setup = Setup::default();
    setup.times.connect = Duration::ZERO;
    let mut server = Server::new(setup);
    assert_eq!(server.client(get("/", "")).statuses(), [504]);
    server
}

/// A backend that answers before it reads: its connection is idle when it takes the rest of the request.
fn hasty() -> Server {
    let network = MemoryConfig { window: 10, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, ..Setup::default() });
    let client = server.client(get("/", ""));
    let backend = server.accept().unwrap();
    backend.send(private(""));
    server.settle();
    client.peer.read(usize::MAX);
    backend.peer.read(5);
    server.settle();
    server
}

/// Requests that wait for a connection.
fn waiting() -> Server {
    let mut server = Server::new(Setup { max_connections: 1, ..Setup::default() });
    server.client(get("/1", ""));
    let (mut backend, _) = server.asked();
    server.client(get("/2", ""));
    let leaves = server.client(get("/3", ""));
    leaves.peer.reset();
    server.settle();
    backend.send(private(""));
    server.settle();
    assert!(backend.request().starts_with("GET /2 "));
    backend.send(private(""));
    server.settle();
    server
}

/// A worker has to look into the store.
fn busy() -> Server {
    let mut server = Server::with_one_backend();
    server.fetch(&get("/", ""), &kept("kept"));
    let (cache, (held, is_held), (let_go, may_go)) = (server.cache.clone(), channel(), channel::<()>());
    let holder = std::thread::spawn(move || {
        cache.purge_if(|_| {
            held.send(()).unwrap();
            may_go.recv().unwrap();
            false
        })
    });
    is_held.recv().unwrap();
    let worker = server.hold_worker();
    let mut client = server.client(get("/", ""));
    let_go.send(()).unwrap();
    holder.join().unwrap();
    drop(worker);
    server.settle();
    assert!(client.text().ends_with("kept"));
    server
}

fn deferred(peer: Option<SocketAddr>) -> Server {
    let routes = vec![Route::new(PathCondition::Any, Target::Deferred(0))];
    let network = MemoryConfig { releases: true, peer, ..MemoryConfig::default() };
    let mut server = Server::new(Setup { network, routes, ..Setup::default() });
    server.client(get("/", ""));
    server
}

/// To nobody: there is no listener.
fn handed_over() -> Server {
    deferred(Some(([127, 0, 0, 1], 4000).into()))
}

/// A local peer has no address that could be told.
fn not_handed_over() -> Server {
    deferred(None)
}

/// The engine stops.
fn drained() -> Server {
    let mut server = Server::with_one_backend();
    server.client(get("/", ""));
    let (backend, _) = server.asked();
    server.handle.stop(3600 * SECOND);
    server.settle();
    backend.send(response("", "last"));
    server.settle();
    server
}
