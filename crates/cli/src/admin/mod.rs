//! The operator's own server: health, metrics, numbers, a page that shows them, connections, captures,
//! purging. It runs on the main thread, apart from the engines.

mod capture;
mod client;
mod connections;
mod guard;
mod metrics;
mod page;
mod provider_metrics;
mod purge;
mod relay_metrics;
mod tcp_metrics;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::config::Admin;
use crate::graph::Graph;
use crate::stats::{Purged, Snapshot, Source, Tcp};
use client::Client;

type Shared = Arc<dyn Source>;

/// The most connections at once; others wait to be accepted.
const CONNECTIONS: usize = 64;
/// From a connection's start, or its last response, to the end of a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest life of a connection but a capture's. Scrapers connect again.
const LIFETIME: Duration = Duration::from_secs(300);

/// An admin server that listens and does not yet answer.
pub struct AdminServer {
    listener: TcpListener,
    router: Router,
}

impl AdminServer {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is not loopback and may be only that, or it cannot be listened to.
    pub async fn bind(admin: &Admin, source: Arc<dyn Source>) -> io::Result<AdminServer> {
        AdminServer::new(listen(admin, None)?, source)
    }

    /// A server on a socket that [listens](listen). Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn new(listener: OwnedFd, source: Arc<dyn Source>) -> io::Result<AdminServer> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        Ok(AdminServer { listener: TcpListener::from_std(listener)?, router: router(source) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The listening socket, for another server to have as well.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Answers until the future is dropped. Needs tokio's timer.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let router = self.router.clone();
                    tokio::spawn(async move {
                        answer(stream, peer, router).await;
                        drop(place);
                    });
                }
                // The peer has gone, or descriptors are short: the latter passes.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Starts to listen, or takes over a socket that does.
///
/// # Errors
/// The address is not loopback and may be only that, or it cannot be listened to.
pub fn listen(admin: &Admin, handed: Option<OwnedFd>) -> io::Result<OwnedFd> {
    let address = admin.listen;
    if !admin.allow_remote && !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the admin server listens to loopback addresses only, and {address} is none (see --admin-allow-remote)"
            ),
        ));
    }
    if let Some(socket) = handed {
        return Ok(socket);
    }
    let listener = std::net::TcpListener::bind(address).map_err(|error| {
        io::Error::new(error.kind(), format!("the admin server cannot listen to {address}: {error}"))
    })?;
    Ok(listener.into())
}

async fn answer(stream: TcpStream, peer: SocketAddr, router: Router) {
    let Ok(local) = stream.local_addr() else { return };
    let client = Client { peer, local, takes_long: Arc::default() };
    let takes_long = client.takes_long.clone();
    let service = TowerToHyperService::new(router.layer(Extension(client)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // How a connection ends is the client's affair.
    if timeout(LIFETIME, connection.as_mut()).await.is_err() && takes_long.load(Relaxed) {
        let _ = timeout(capture::LONGEST, connection).await;
    }
}

/// Places for captures.
#[derive(Clone)]
struct Captures(Arc<Semaphore>);

/// The routes, apart from a listener.
pub fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .route("/api/stats", get(stats))
        .route("/api/graph", get(graphs))
        .route("/api/connections", get(list_connections))
        .route("/api/capture", post(capture_frames))
        .route("/api/cache/purge", post(purge_cache))
        .merge(page::routes())
        .layer(Extension(Captures(Arc::new(Semaphore::new(capture::MOST)))))
        .layer(middleware::from_fn(guarded))
        .with_state(source)
}

async fn guarded(request: Request, next: Next) -> Response {
    match guard::check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, reason)) => failure(status, reason),
    }
}

async fn healthz(State(source): State<Shared>) -> Response {
    // A load balancer takes a server that drains out of its rotation.
    if source.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        (StatusCode::OK, "ok\n").into_response()
    }
}

async fn metrics_text(State(source): State<Shared>) -> Response {
    match metrics::render(source.snapshot(), source.tcp()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn stats(State(source): State<Shared>) -> Response {
    pretty(&Numbers { snapshot: source.snapshot(), tcp: source.tcp() })
}

/// The numbers of `/api/stats`.
#[derive(Serialize)]
struct Numbers {
    #[serde(flatten)]
    snapshot: Snapshot,
    /// Empty unless the direct transport runs.
    tcp: Vec<Tcp>,
}

/// The control tables of the modules that run.
async fn graphs(State(source): State<Shared>) -> Response {
    let engines = source.snapshot().engines;
    let counted = |graph: &Graph| engines.iter().flat_map(|e| &e.transitions).any(|row| row.module == graph.module);
    pretty(&Graph::all().into_iter().filter(counted).collect::<Vec<_>>())
}

async fn list_connections(State(source): State<Shared>, RawQuery(query): RawQuery) -> Response {
    match connections::Query::parse(&query.unwrap_or_default()) {
        Ok(query) => pretty(&query.answer(&*source)),
        Err(reason) => failure(StatusCode::BAD_REQUEST, &reason),
    }
}

async fn capture_frames(
    State(source): State<Shared>,
    Extension(captures): Extension<Captures>,
    client: Option<Extension<Client>>,
    body: Body,
) -> Response {
    let Some(Extension(client)) = client.filter(|client| client.is_trusted()) else {
        let who = "frames are shown to root and the server's own user on the server's machine only";
        return failure(StatusCode::FORBIDDEN, who);
    };
    let Ok(body) = to_bytes(body, capture::MAX_BODY).await else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off");
    };
    let order = match capture::Order::parse(&body) {
        Ok(order) => order,
        Err(reason) => return failure(StatusCode::BAD_REQUEST, &reason),
    };
    let Ok(place) = captures.0.try_acquire_owned() else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "two captures run already; end one of them");
    };
    let Some(frames) = source.capture(order.snap()) else {
        let remedy = "the server's transport is sockets, whose frames the kernel has: use tcpdump";
        return failure(StatusCode::CONFLICT, remedy);
    };
    tracing::info!("a capture of frames begins");
    client.takes_long.store(true, Relaxed);
    ([(header::CONTENT_TYPE, capture::CONTENT_TYPE)], order.answer(frames, place)).into_response()
}

async fn purge_cache(State(source): State<Shared>, headers: HeaderMap, body: Body) -> Response {
    if !source.may_purge(purge::token(&headers)) {
        let reason = "a purge needs the token of the configuration: Authorization: Bearer TOKEN";
        let refusal = failure(StatusCode::UNAUTHORIZED, reason);
        // RFC 9110 §11.6.1.
        return ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
    }
    let Ok(body) = to_bytes(body, purge::MAX_BODY).await else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off");
    };
    match purge::parse(&body) {
        Ok(purge) => {
            let Purged { objects, is_entered } = source.purge(&purge);
            tracing::info!("purged by order: {}", purge.what);
            let entered = if is_entered { ",\"entered\":true" } else { "" };
            json(StatusCode::OK, format!("{{\"purged\":{objects}{entered}}}\n"))
        }
        Err(reason) => failure(StatusCode::BAD_REQUEST, &reason),
    }
}

fn pretty(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => json(StatusCode::OK, text + "\n"),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn failure(status: StatusCode, reason: &str) -> Response {
    json(status, format!("{}\n", serde_json::json!({ "error": reason })))
}

fn json(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::pcapng::{Blocks, Kind};
    use crate::stats::{
        Capture, CapturedFrame, Connection, Engine, Purge, Snapshot, State, Subject, Taken, Transition,
    };
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tower::ServiceExt;

    #[derive(Default)]
    struct Fake {
        draining: AtomicBool,
        purged: Mutex<Vec<Purge>>,
        token: Option<&'static str>,
        connections: Vec<Connection>,
        tcp: Vec<Tcp>,
        transitions: Vec<Transition>,
        /// Frames that a capture sees; none if the transport is sockets.
        frames: Option<u64>,
    }

    /// So many frames, then nothing; two are lost before each.
    struct Frames(u64, u64);

    impl Capture for Frames {
        fn interfaces(&self) -> Vec<String> {
            vec!["lab0".into()]
        }

        fn take(&mut self) -> Taken {
            if self.1 == self.0 {
                return Taken::Nothing;
            }
            self.1 += 1;
            let (unix_nanos, octets) = (self.1, vec![7; 60]);
            Taken::Frame(CapturedFrame { unix_nanos, interface: 0, outgoing: false, length: 60, octets })
        }

        fn dropped(&self) -> u64 {
            self.1 * 2
        }
    }

    impl Source for Fake {
        fn snapshot(&self) -> Snapshot {
            let engines = vec![Engine { transitions: self.transitions.clone(), ..Engine::default() }];
            Snapshot { version: "0.0.0", uptime_seconds: 12, engines, ..Snapshot::default() }
        }

        fn purge(&self, purge: &Purge) -> Purged {
            self.purged.lock().unwrap().push(purge.clone());
            Purged { objects: 3, is_entered: purge.is_soft }
        }

        fn may_purge(&self, token: Option<&[u8]>) -> bool {
            self.token.is_none_or(|own| token == Some(own.as_bytes()))
        }

        fn is_draining(&self) -> bool {
            self.draining.load(Ordering::SeqCst)
        }

        fn tcp(&self) -> Vec<Tcp> {
            self.tcp.clone()
        }

        fn connections(&self, limit: usize) -> Vec<Connection> {
            self.connections.iter().take(limit).cloned().collect()
        }

        fn capture(&self, _: usize) -> Option<Box<dyn Capture>> {
            self.frames.map(|frames| Box::new(Frames(frames, 0)) as Box<dyn Capture>)
        }
    }

    fn request(method: &str, path: &str, body: impl Into<Body>) -> Request {
        axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:9090")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap()
    }

    async fn ask(source: &Arc<Fake>, method: &str, path: &str, body: impl Into<Body>) -> (u16, String) {
        let response = router(source.clone()).oneshot(request(method, path, body)).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_changes_when_draining() {
        let fake = Arc::new(Fake::default());
        assert_eq!(ask(&fake, "GET", "/healthz", "").await, (200, "ok\n".into()));
        fake.draining.store(true, Ordering::SeqCst);
        assert_eq!(ask(&fake, "GET", "/healthz", "").await, (503, "draining\n".into()));
    }

    #[tokio::test]
    async fn numbers_in_both_forms() {
        let fake = Arc::new(Fake::default());
        let (status, text) = ask(&fake, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(text.contains("afpa_uptime_seconds 12\n"), "{text}");
        let (status, text) = ask(&fake, "GET", "/api/stats", "").await;
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &parsed["uptime_seconds"]), (200, &12.into()));
    }

    #[tokio::test]
    async fn counters_of_our_own_tcp_in_both_forms() {
        let tcp = vec![Tcp { core: 1, fast_recoveries: 4, ..Tcp::default() }];
        let fake = Arc::new(Fake { tcp, ..Fake::default() });
        let (_, text) = ask(&fake, "GET", "/metrics", "").await;
        assert!(text.contains("afpa_tcp_fast_recoveries_total{core=\"1\"} 4\n"), "{text}");
        let (_, text) = ask(&fake, "GET", "/api/stats", "").await;
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&parsed["tcp"][0]["core"], &parsed["tcp"][0]["fast_recoveries"]), (&1.into(), &4.into()));
    }

    #[tokio::test]
    async fn the_tables_of_modules_that_run() {
        let row = Transition { module: "dns", state: "derive query", outcome: "complete", count: 0 };
        for (transitions, expected) in [(vec![], &[][..]), (vec![row], &["dns"])] {
            let fake = Arc::new(Fake { transitions, ..Fake::default() });
            let (status, text) = ask(&fake, "GET", "/api/graph", "").await;
            let graphs: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            let found: Vec<_> = graphs.iter().map(|graph| graph["module"].as_str().unwrap()).collect();
            assert_eq!((status, &*found), (200, expected));
        }
    }

    #[tokio::test]
    async fn connections_by_number_and_state() {
        let connection = |port, state| Connection {
            remote: SocketAddr::from(([10, 77, 0, 2], port)),
            ..Connection::new(0, "10.77.0.1:80".parse().unwrap(), "10.77.0.2:1".parse().unwrap(), state)
        };
        let connections =
            (1..=6).map(|port| connection(port, if port % 2 == 0 { State::CloseWait } else { State::Established }));
        let fake = Arc::new(Fake { connections: connections.collect(), ..Fake::default() });
        for (query, remotes) in [
            ("", &[1, 2, 3, 4, 5, 6][..]),
            ("?limit=2", &[1, 2]),
            ("?state=close-wait", &[2, 4, 6]),
            ("?limit=2&state=close-wait", &[2, 4]),
            ("?state=time-wait", &[]),
        ] {
            let (status, text) = ask(&fake, "GET", &format!("/api/connections{query}"), "").await;
            let parsed: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            let found: Vec<_> = parsed.iter().map(|connection| connection["remote"].clone()).collect();
            let expected: Vec<_> = remotes.iter().map(|port| format!("10.77.0.2:{port}")).collect();
            assert_eq!((status, found), (200, expected.into_iter().map(Into::into).collect()), "{query}");
        }
        let (status, text) = ask(&fake, "GET", "/api/connections?limit=0", "").await;
        assert_eq!(status, 400);
        assert!(text.contains("limit: expected a number from 1 to 100000"), "{text}");
        let none = Arc::new(Fake::default());
        assert_eq!(ask(&none, "GET", "/api/connections", "").await, (200, "[]\n".into()));
    }

    /// A capture asked for by `peer`: its status and its answer.
    async fn capture_from(fake: &Arc<Fake>, client: Option<Client>, body: &str) -> (u16, Vec<u8>) {
        let router = router(fake.clone());
        let router = match client {
            Some(client) => router.layer(Extension(client)),
            None => router,
        };
        let response = router.oneshot(request("POST", "/api/capture", body.to_owned())).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec())
    }

    /// A connection of this process.
    async fn ourselves() -> (Client, TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, local) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        (Client { peer, local, takes_long: Arc::default() }, listener, stream)
    }

    fn kinds(file: &[u8]) -> Vec<Kind> {
        let mut blocks = Blocks::default();
        blocks.push(file);
        std::iter::from_fn(|| blocks.next_block().unwrap().map(|block| block.kind)).collect()
    }

    #[tokio::test]
    async fn a_capture_ends_with_its_count_and_says_what_was_lost() {
        let fake = Arc::new(Fake { frames: Some(10), ..Fake::default() });
        let (client, ..) = &ourselves().await;
        let (status, file) = capture_from(&fake, Some(client.clone()), r#"{"count":3,"snap":60}"#).await;
        let lost = Kind::Statistics { dropped: 6 };
        let frames = [6, 0, 0].map(|dropped| Kind::Frame { dropped });
        assert_eq!((status, kinds(&file)), (200, [&[Kind::Other; 2][..], &frames, &[lost]].concat()));
        assert!(client.takes_long.load(Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_ends_with_its_time() {
        let fake = Arc::new(Fake { frames: Some(1), ..Fake::default() });
        let (client, ..) = &ourselves().await;
        let (status, file) = capture_from(&fake, Some(client.clone()), r#"{"milliseconds":600000}"#).await;
        assert_eq!((status, kinds(&file).len()), (200, 4));
    }

    #[tokio::test]
    async fn captures_are_refused_with_the_reason() {
        let (sockets, direct) = (Arc::new(Fake::default()), Arc::new(Fake { frames: Some(0), ..Fake::default() }));
        let (client, ..) = &ourselves().await;
        let other = Client { peer: "127.0.0.1:1".parse().unwrap(), ..client.clone() };
        for (fake, client, body, status, reason) in [
            (&sockets, Some(client.clone()), "{}", 409, "use tcpdump"),
            (&direct, Some(other), "{}", 403, "root and the server's own user"),
            (&direct, None, "{}", 403, "root and the server's own user"),
            (&direct, Some(client.clone()), "{\"snap\":0}", 400, "snap: expected a number from 14 to 65535"),
        ] {
            let (found, answer) = capture_from(fake, client, body).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(found == status && answer.contains(reason), "{found} {answer}");
        }
    }

    #[tokio::test]
    async fn a_third_capture_waits_for_one_of_two_to_end() {
        let fake = Arc::new(Fake { frames: Some(0), ..Fake::default() });
        let (client, ..) = &ourselves().await;
        let router = router(fake).layer(Extension(client.clone()));
        let ask = || router.clone().oneshot(request("POST", "/api/capture", "{}"));
        let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
        assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
        assert_eq!(ask().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        while ask().await.unwrap().status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn purging() {
        let fake = Arc::new(Fake::default());
        let purge = "/api/cache/purge";
        assert_eq!(ask(&fake, "POST", purge, r#"{"prefix":"/img/"}"#).await, (200, "{\"purged\":3}\n".into()));
        let what = Subject::Prefix { host: None, path: b"/img/".into() };
        assert_eq!(*fake.purged.lock().unwrap(), [Purge { what, is_soft: false }]);
        let soft = ask(&fake, "POST", purge, r#"{"all":true,"soft":true}"#).await;
        assert_eq!(soft, (200, "{\"purged\":3,\"entered\":true}\n".into()));
        assert_eq!(ask(&fake, "POST", purge, "{").await.0, 400);
        assert_eq!(ask(&fake, "POST", purge, vec![b' '; 20_000]).await.0, 413);
        assert_eq!(ask(&fake, "GET", purge, "").await.0, 405);
        assert_eq!(ask(&fake, "GET", "/nothing", "").await.0, 404);
        assert_eq!(fake.purged.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn who_purges_shows_the_token() {
        let fake = Arc::new(Fake { token: Some("sesame"), ..Fake::default() });
        for (shown, status) in [(None, 401), (Some("Bearer sesam"), 401), (Some("Bearer sesame"), 200)] {
            let mut request = request("POST", "/api/cache/purge", r#"{"all":true}"#);
            if let Some(shown) = shown {
                request.headers_mut().insert(header::AUTHORIZATION, shown.parse().unwrap());
            }
            let response = router(fake.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{shown:?}");
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), status == 401);
        }
        assert_eq!(fake.purged.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_foreign_host_is_refused_before_anything_else() {
        let request =
            axum::http::Request::get("/api/stats").header("host", "evil.example").body(Body::empty()).unwrap();
        let response = router(Arc::new(Fake::default())).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 421);
    }

    #[tokio::test]
    async fn it_answers_over_tcp() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let admin = Admin { listen: "127.0.0.1:0".parse().unwrap(), allow_remote: false };
        let server = AdminServer::bind(&admin, Arc::new(Fake::default())).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.serve());
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }

    #[tokio::test]
    async fn remote_addresses_need_permission() {
        let admin = Admin { listen: "0.0.0.0:0".parse().unwrap(), allow_remote: false };
        let refused = AdminServer::bind(&admin, Arc::new(Fake::default())).await.err().unwrap();
        assert!(refused.to_string().contains("--admin-allow-remote"));
        let allowed = Admin { allow_remote: true, ..admin };
        assert!(AdminServer::bind(&allowed, Arc::new(Fake::default())).await.is_ok());
    }
}
