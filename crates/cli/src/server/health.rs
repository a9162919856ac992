//! Active health checks: each backend is asked over HTTP/1.1 now and then, whether clients ask for it or not.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use afpa_balancing::{BackendAddress, BackendState, HealthChange};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How the backends of a pool are checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSettings {
    /// The target of the request: a path, `/` by default, and a query.
    pub target: String,
    /// The Host field; `None`, by default: the backend's address.
    pub host: Option<String>,
    /// What is sent before the request: a PROXY header, where backends want one; nothing by default.
    pub preamble: Vec<u8>,
    /// The time between the end of a check and the next one, give or take a tenth; 5 s by default.
    pub interval: Duration,
    /// How long it may take to connect; 1 s by default.
    pub connect_timeout: Duration,
    /// How long it may take from then to the end of the response's head; 2 s by default.
    pub response_timeout: Duration,
    /// Passed checks in a row until a backend that was down is up; 2 by default.
    pub rise: u32,
    /// Failed checks in a row until a backend is down; 3 by default.
    pub fall: u32,
    /// The statuses that pass; 200 to 399 by default.
    pub expected: Vec<RangeInclusive<u16>>,
}

/// A backend that is checked.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its pool's name.
    pub pool: String,
    /// Where it is, and what checks find.
    pub backend: Arc<BackendState>,
    /// How it is checked.
    pub settings: Arc<CheckSettings>,
}

/// Why a check failed.
#[derive(Debug)]
pub enum CheckError {
    /// There is no connection.
    Connect(io::Error),
    /// There was no connection in time.
    ConnectTimeout,
    /// The connection ended before the response's head did.
    Closed(Option<io::Error>),
    /// No response in time.
    ResponseTimeout,
    /// What came is no response of HTTP/1.
    Malformed,
    /// A status that is not expected.
    Status(u16),
}

/// The checks of all backends. Each has a task of its own, and so at most one check at a time. Dropped, they end.
pub struct HealthChecks {
    clock: fn() -> u64,
    /// By the names of pool and backend.
    tasks: BTreeMap<(String, String), Task>,
    /// Places for checks.
    places: Arc<Semaphore>,
}

struct Task {
    target: Target,
    handle: JoinHandle<()>,
}

/// The most checks at once; others are late.
const MOST_AT_ONCE: usize = 256;
/// The most octets of a response's head, interim responses counted.
const MOST_HEAD: usize = 16 * 1024;

impl HealthChecks {
    /// No checks so far. `clock` is the one that engines go by, in nanoseconds.
    pub fn new(clock: fn() -> u64) -> HealthChecks {
        HealthChecks { clock, tasks: BTreeMap::new(), places: Arc::new(Semaphore::new(MOST_AT_ONCE)) }
    }

    /// From now on checks these. What was checked before in the same way goes on as it is. Needs tokio.
    pub fn update(&mut self, targets: Vec<Target>) {
        let mut before = std::mem::take(&mut self.tasks);
        for target in targets {
            let key = (target.pool.clone(), target.backend.name().to_owned());
            let task = match before.remove(&key) {
                Some(task) if task.is_of(&target) => task,
                _ => Task { handle: tokio::spawn(watch(target.clone(), self.clock, self.places.clone())), target },
            };
            self.tasks.insert(key, task);
        }
    }
}

impl Task {
    fn is_of(&self, target: &Target) -> bool {
        Arc::ptr_eq(&self.target.backend, &target.backend) && self.target.settings == target.settings
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Checks a backend until the task is ended.
async fn watch(target: Target, clock: fn() -> u64, places: Arc<Semaphore>) {
    let Target { pool, backend, settings } = target;
    let random = RandomState::new();
    // The first checks come soon, and those of many backends do not come at once.
    sleep(part(settings.interval / 10, random.hash_one(0))).await;
    for number in 1u64.. {
        // The semaphore is never closed.
        let Ok(place) = places.acquire().await else { return };
        let result = check(backend.address(), &settings).await;
        drop(place);
        let change = backend.checked(result.is_ok(), settings.rise, settings.fall, clock());
        report(&pool, backend.name(), change, &result);
        sleep(jittered(settings.interval, random.hash_one(number))).await;
    }
}

fn report(pool: &str, backend: &str, change: Option<HealthChange>, result: &Result<u16, CheckError>) {
    match (change, result) {
        (Some(HealthChange::Down), Err(error)) => {
            tracing::warn!("backend {backend} of pool {pool} is down: a check found that {error}");
        }
        (Some(_), _) => tracing::info!("backend {backend} of pool {pool} is up"),
        (None, Err(error)) => tracing::debug!("backend {backend} of pool {pool}: a check found that {error}"),
        (None, Ok(_)) => {}
    }
}

/// Checks a backend once. Returns the status of its response.
///
/// # Errors
/// The check failed.
pub async fn check(address: &BackendAddress, settings: &CheckSettings) -> Result<u16, CheckError> {
    let host = settings.host.clone().unwrap_or_else(|| match address {
        // RFC 9110 §7.2: a target without an authority has an empty Host; a path of this machine is none.
        BackendAddress::Unix(_) => "localhost".to_owned(),
        other => other.to_string(),
    });
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: afpa-check\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        settings.target
    );
    let request = [&settings.preamble[..], head.as_bytes()].concat();
    let limit = settings.connect_timeout;
    match address {
        BackendAddress::Inet(address) => {
            ask(connected(TcpStream::connect(address), limit).await?, &request, settings).await
        }
        BackendAddress::Unix(path) => ask(connected(UnixStream::connect(path), limit).await?, &request, settings).await,
        BackendAddress::Host(host, port) => {
            ask(connected(TcpStream::connect((&**host, *port)), limit).await?, &request, settings).await
        }
    }
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>, limit: Duration) -> Result<S, CheckError> {
    let Ok(result) = timeout(limit, connecting).await else { return Err(CheckError::ConnectTimeout) };
    result.map_err(CheckError::Connect)
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    settings: &CheckSettings,
) -> Result<u16, CheckError> {
    let answered = async {
        // A backend may answer and close before it has read all: what it said counts.
        let written = stream.write_all(request).await;
        read_status(&mut stream).await.map_err(|error| match (error, written) {
            (CheckError::Closed(None), Err(error)) => CheckError::Closed(Some(error)),
            (error, _) => error,
        })
    };
    let Ok(status) = timeout(settings.response_timeout, answered).await else {
        return Err(CheckError::ResponseTimeout);
    };
    let status = status?;
    let is_expected = settings.expected.iter().any(|range| range.contains(&status));
    if is_expected { Ok(status) } else { Err(CheckError::Status(status)) }
}

async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> Result<u16, CheckError> {
    let mut head = Vec::new();
    let mut octets = [0; 1024];
    loop {
        if let Some(status) = final_status(&head)? {
            return Ok(status);
        }
        if head.len() >= MOST_HEAD {
            return Err(CheckError::Malformed);
        }
        match stream.read(&mut octets).await {
            Ok(0) => return Err(CheckError::Closed(None)),
            Ok(count) => head.extend_from_slice(&octets[..count]),
            Err(error) => return Err(CheckError::Closed(Some(error))),
        }
    }
}

/// The status of the first response in `octets` that is not an interim one (RFC 9110 §15.2), if its head is whole.
pub(crate) fn final_status(mut octets: &[u8]) -> Result<Option<u16>, CheckError> {
    loop {
        let start = octets.len().min(5);
        if octets[..start] != b"HTTP/1."[..start] {
            return Err(CheckError::Malformed);
        }
        let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let status = status_of(&octets[..end]).ok_or(CheckError::Malformed)?;
        if status >= 200 || status == 101 {
            return Ok(Some(status));
        }
        octets = &octets[end + 4..];
    }
}

/// The status in a head's first line: `HTTP/1.1 200 OK` (RFC 9112 §4).
fn status_of(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (&[minor, space, a, b, c], after) = rest.split_first_chunk()?;
    let is_whole = space == b' ' && matches!(after.first(), None | Some(b' ' | b'\r'));
    if !is_whole || ![minor, a, b, c].iter().all(u8::is_ascii_digit) || a == b'0' {
        return None;
    }
    Some([a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

/// `interval` ± a tenth.
fn jittered(interval: Duration, random: u64) -> Duration {
    interval - interval / 10 + part(interval / 5, random)
}

/// A part of `duration`, by lot.
fn part(duration: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.checked_rem(nanos).unwrap_or(0))
}

impl CheckSettings {
    /// What of the settings cannot be sent or never passes: the operator's fault.
    pub fn problem(&self) -> Option<&'static str> {
        let is_text = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        if !self.target.starts_with('/') || !is_text(&self.target) {
            return Some("the target of a check is a path of visible ASCII characters");
        }
        if !self.host.as_deref().is_none_or(is_text) {
            return Some("the host of a check has visible ASCII characters only");
        }
        if self.expected.iter().all(RangeInclusive::is_empty) {
            return Some("a check expects at least one status");
        }
        let durations = [self.interval, self.connect_timeout, self.response_timeout];
        if durations.iter().any(Duration::is_zero) || self.rise == 0 || self.fall == 0 {
            return Some("no duration and no number of a check is zero");
        }
        None
    }
}

impl Default for CheckSettings {
    fn default() -> CheckSettings {
        CheckSettings {
            target: "/".to_owned(),
            host: None,
            preamble: Vec::new(),
            interval: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            expected: vec![200..=399],
        }
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Connect(error) => write!(f, "it cannot be connected to: {error}"),
            CheckError::ConnectTimeout => write!(f, "it cannot be connected to in time"),
            CheckError::Closed(None) => write!(f, "it closed the connection without a response"),
            CheckError::Closed(Some(error)) => write!(f, "the connection broke: {error}"),
            CheckError::ResponseTimeout => write!(f, "it did not answer in time"),
            CheckError::Malformed => write!(f, "what it answered is not HTTP"),
            CheckError::Status(status) => write!(f, "it answered with status {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::until::until;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use tokio::net::{TcpListener, UnixListener};

    fn settings() -> CheckSettings {
        CheckSettings {
            target: "/health".into(),
            interval: Duration::from_millis(10),
            // Long: a machine that is busy must not fail a check.
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(20),
            ..CheckSettings::default()
        }
    }

    /// Reads a request's head, answers so, and closes. Returns the head.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: &[u8]) -> String {
        let head = read_head(&mut stream).await;
        stream.write_all(response).await.unwrap();
        head
    }

    async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        let mut octets = [0; 256];
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut octets).await.unwrap();
            assert!(count > 0, "a whole head");
            head.extend_from_slice(&octets[..count]);
        }
        String::from_utf8(head).unwrap()
    }

    async fn checked(response: &'static [u8]) -> (Result<u16, CheckError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = BackendAddress::Inet(listener.local_addr().unwrap());
        let server = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, response).await });
        (check(&address, &settings()).await, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_response_passes_or_fails_by_its_status() {
        let passed: [(&[u8], u16); 4] = [
            (b"HTTP/1.1 200 OK\r\n\r\nbody", 200),
            (b"HTTP/1.0 204\r\nServer: x\r\n\r\n", 204),
            (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", 301),
            (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
        ];
        for (response, status) in passed {
            let (result, _) = checked(response).await;
            assert_eq!(result.ok(), Some(status), "{}", response.escape_ascii());
        }
        let failed: [(&[u8], &str); 6] = [
            (b"HTTP/1.1 503 Busy\r\n\r\n", "it answered with status 503"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "it answered with status 404"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "what it answered is not HTTP"),
            (b"SSH-2.0-server\r\n", "what it answered is not HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "it closed the connection without a response"),
            (b"", "it closed the connection without a response"),
        ];
        for (response, error) in failed {
            let (result, _) = checked(response).await;
            assert_eq!(result.unwrap_err().to_string(), error, "{}", response.escape_ascii());
        }
    }

    #[tokio::test]
    async fn the_request_names_target_and_host() {
        let (_, head) = checked(b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(head.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_backend_at_a_socket_of_this_machine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backend");
        let listener = UnixListener::bind(&path).unwrap();
        let server =
            tokio::spawn(async move { answer(listener.accept().await.unwrap().0, b"HTTP/1.1 200 OK\r\n\r\n").await });
        let settings = CheckSettings { host: Some("site.example".into()), ..settings() };
        assert_eq!(check(&BackendAddress::Unix(path.clone()), &settings).await.ok(), Some(200));
        assert!(server.await.unwrap().contains("\r\nHost: site.example\r\n"));
        let nobody = check(&BackendAddress::Unix(path), &settings).await;
        assert!(matches!(nobody, Err(CheckError::Connect(_))), "{nobody:?}");
    }

    #[tokio::test]
    async fn one_that_says_nothing_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = BackendAddress::Inet(listener.local_addr().unwrap());
        let settings = CheckSettings { response_timeout: Duration::from_millis(5), ..settings() };
        let result = check(&address, &settings).await;
        assert!(matches!(result, Err(CheckError::ResponseTimeout)), "{result:?}");
    }

    #[tokio::test]
    async fn one_that_does_not_stop_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = BackendAddress::Inet(listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        let result = check(&address, &settings()).await;
        assert!(matches!(result, Err(CheckError::Malformed)), "{result:?}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_backend_goes_down_and_up_and_is_checked_once_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = BackendAddress::Inet(listener.local_addr().unwrap());
        let numbers: Arc<[AtomicUsize; 3]> = Arc::new([1, 0, 0].map(AtomicUsize::new));
        let shared = numbers.clone();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let shared = shared.clone();
                tokio::spawn(async move {
                    let [works, at_once, most_at_once] = &*shared;
                    most_at_once.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
                    read_head(&mut stream).await;
                    let response: &[u8] = match works.load(SeqCst) {
                        0 => b"HTTP/1.1 500 Broken\r\n\r\n",
                        _ => b"HTTP/1.1 200 OK\r\n\r\n",
                    };
                    // Before the answer: after it, the next check may come at any moment.
                    at_once.fetch_sub(1, SeqCst);
                    let _ = stream.write_all(response).await;
                });
            }
        });
        let [works, _, most_at_once] = &*numbers;
        let backend = Arc::new(BackendState::new("b", address, 0));
        let target = |settings| Target { pool: "p".into(), backend: backend.clone(), settings: Arc::new(settings) };
        let mut checks = HealthChecks::new(|| 1);
        checks.update(vec![target(settings())]);
        until("a passed check", || backend.counters().checks_passed >= 2).await;
        assert!(backend.is_healthy());
        works.store(0, SeqCst);
        until("its fall", || !backend.is_healthy()).await;
        works.store(1, SeqCst);
        until("its rise", || backend.is_healthy()).await;
        assert_eq!(most_at_once.load(SeqCst), 1, "checks overlapped");

        checks.update(vec![target(CheckSettings { expected: vec![418..=418], ..settings() })]);
        until("a fall by other settings", || !backend.is_healthy()).await;
        checks.update(vec![target(settings())]);
        until("a rise by other settings", || backend.is_healthy()).await;
        server.abort();
        until("its fall when nobody listens", || !backend.is_healthy()).await;
        drop(checks);
    }

    #[test]
    fn settings_that_cannot_work_are_told() {
        assert_eq!(CheckSettings::default().problem(), None);
        let wrong = [
            CheckSettings { target: "health".into(), ..settings() },
            CheckSettings { target: "/a b".into(), ..settings() },
            CheckSettings { host: Some("a\r\nX: y".into()), ..settings() },
            CheckSettings { expected: Vec::new(), ..settings() },
            CheckSettings { interval: Duration::ZERO, ..settings() },
            CheckSettings { fall: 0, ..settings() },
        ];
        for settings in wrong {
            assert!(settings.problem().is_some(), "{settings:?}");
        }
    }

    #[test]
    fn intervals_differ_by_a_tenth_at_most() {
        let interval = Duration::from_secs(10);
        for random in [0, 1, 12_345_678_901, u64::MAX] {
            let jittered = jittered(interval, random);
            assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&jittered), "{jittered:?}");
        }
    }
}
