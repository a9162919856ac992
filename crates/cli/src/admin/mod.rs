//! The operator's own server: health, metrics, numbers, purging. It runs on the main thread, apart
//! from the engines.

mod guard;
mod metrics;
mod purge;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::config::Admin;
use crate::stats::Source;

type Shared = Arc<dyn Source>;

/// The most connections at once; others wait to be accepted.
const CONNECTIONS: usize = 64;
/// From a connection's start, or its last response, to the end of a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest life of a connection. Scrapers connect again.
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
        let address = admin.listen;
        if !admin.allow_remote && !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the admin server listens to loopback addresses only, and {address} is none (see --admin-allow-remote)"
                ),
            ));
        }
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("the admin server cannot listen to {address}: {error}"))
        })?;
        Ok(AdminServer { listener, router: router(source) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the future is dropped. Needs tokio's timer.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let router = self.router.clone();
                    tokio::spawn(async move {
                        answer(stream, router).await;
                        drop(place);
                    });
                }
                // The peer has gone, or descriptors are short: the latter passes.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How a connection ends is the client's affair.
    let _ = timeout(LIFETIME, connection).await;
}

/// The routes, apart from a listener.
pub fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .route("/api/stats", get(stats))
        .route("/api/cache/purge", post(purge_cache))
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
    match metrics::render(source.snapshot()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn stats(State(source): State<Shared>) -> Response {
    match serde_json::to_string_pretty(&source.snapshot()) {
        Ok(text) => json(StatusCode::OK, text + "\n"),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn purge_cache(State(source): State<Shared>, body: Body) -> Response {
    let Ok(body) = to_bytes(body, purge::MAX_BODY).await else {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was cut off");
    };
    match purge::parse(&body) {
        Ok(what) => {
            let purged = source.purge(&what);
            tracing::info!("purged {purged} objects by order");
            json(StatusCode::OK, format!("{{\"purged\":{purged}}}\n"))
        }
        Err(reason) => failure(StatusCode::BAD_REQUEST, &reason),
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
    use crate::stats::{Purge, Snapshot};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tower::ServiceExt;

    #[derive(Default)]
    struct Fake {
        draining: AtomicBool,
        purged: Mutex<Vec<Purge>>,
    }

    impl Source for Fake {
        fn snapshot(&self) -> Snapshot {
            Snapshot { version: "0.0.0", uptime_seconds: 12, ..Snapshot::default() }
        }

        fn purge(&self, what: &Purge) -> usize {
            self.purged.lock().unwrap().push(what.clone());
            3
        }

        fn is_draining(&self) -> bool {
            self.draining.load(Ordering::SeqCst)
        }
    }

    async fn ask(source: &Arc<Fake>, method: &str, path: &str, body: impl Into<Body>) -> (u16, String) {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:9090")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        let response = router(source.clone()).oneshot(request).await.unwrap();
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
    async fn purging() {
        let fake = Arc::new(Fake::default());
        let purge = "/api/cache/purge";
        assert_eq!(ask(&fake, "POST", purge, r#"{"prefix":"/img/"}"#).await, (200, "{\"purged\":3}\n".into()));
        assert_eq!(*fake.purged.lock().unwrap(), [Purge::Prefix(b"/img/".into())]);
        assert_eq!(ask(&fake, "POST", purge, "{").await.0, 400);
        assert_eq!(ask(&fake, "POST", purge, vec![b' '; 20_000]).await.0, 413);
        assert_eq!(ask(&fake, "GET", purge, "").await.0, 405);
        assert_eq!(ask(&fake, "GET", "/nothing", "").await.0, 404);
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
