//! The log's thread: takes records out of the engines' rings, formats them, writes them.

mod backend_names;
mod format;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use afpa_dns::query_log;
use afpa_engine::stats::Counter;
use afpa_http::access_log;

use crate::config::{Log, LogFormat};

pub use backend_names::BackendNames;

/// How long a record may lie in its ring before it is looked for.
const PERIOD: Duration = Duration::from_millis(50);
/// How much is formatted before it is written.
const BATCH: usize = 256 << 10;

/// A running access log.
pub struct AccessLog {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
    stats: Arc<LogStats>,
}

enum Order {
    Reopen,
    Replace(Destination),
    Stop,
}

/// What one engine logs of one protocol.
pub enum Ring {
    /// Requests of the site.
    Http(access_log::Records),
    /// Queries, and the names of the backends that answer them.
    Dns(query_log::Records, BackendNames),
}

impl Ring {
    fn dropped_counter(&self) -> Arc<Counter> {
        match self {
            Ring::Http(records) => records.dropped_counter(),
            Ring::Dns(records, _) => records.dropped_counter(),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Ring::Http(records) => records.is_abandoned(),
            Ring::Dns(records, _) => records.is_abandoned(),
        }
    }

    /// Takes one record. Whether there was one.
    fn take(&mut self, writer: &mut Writer) -> bool {
        match self {
            Ring::Http(records) => records.take().map(|entry| writer.add(&entry)).is_some(),
            Ring::Dns(records, backends) => {
                records.take().map(|record| writer.add_query(&record, &backends.all())).is_some()
            }
        }
    }
}

/// A form and an open file, apart from a running log: so that a new configuration is either taken
/// as a whole or not at all.
pub struct Destination {
    format: LogFormat,
    sink: Sink,
}

impl Destination {
    /// Opens the file that `log` names.
    ///
    /// # Errors
    /// It cannot be opened; the sentence names it.
    pub fn open(log: &Log) -> io::Result<Destination> {
        // With the log off no file is made.
        let path = log.path.as_deref().filter(|_| log.format != LogFormat::Off);
        Ok(Destination { format: log.format, sink: Sink::open(path)? })
    }
}

impl AccessLog {
    /// Opens the file and starts the thread. It ends with [`AccessLog::stop`], or when every ring's
    /// engine is gone and nothing is left to write.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not started.
    pub fn start(log: &Log, rings: Vec<Ring>) -> io::Result<AccessLog> {
        let Destination { format, sink } = Destination::open(log)?;
        let dropped = rings.iter().map(Ring::dropped_counter).collect();
        let stats = Arc::new(LogStats { dropped, ..LogStats::default() });
        let (orders, received) = channel();
        let writer = Writer {
            format,
            sink,
            batch: Vec::with_capacity(BATCH),
            line: String::new(),
            lines: 0,
            failing: false,
            stats: stats.clone(),
        };
        let thread = Builder::new().name("access-log".into()).spawn(move || run(writer, rings, &received))?;
        Ok(AccessLog { orders, thread, stats })
    }

    /// Opens the file again by its name, after a tool has moved it away.
    pub fn reopen(&self) {
        // A thread that has ended has nothing left to write.
        let _ = self.orders.send(Order::Reopen);
    }

    /// Goes on in another form or to another file.
    pub fn replace(&self, destination: Destination) {
        let _ = self.orders.send(Order::Replace(destination));
    }

    /// What has been written and lost.
    pub fn stats(&self) -> Arc<LogStats> {
        self.stats.clone()
    }

    /// Writes what lies in the rings, and ends.
    pub fn stop(self) {
        let _ = self.orders.send(Order::Stop);
        let _ = self.thread.join();
    }
}

/// What has been written and lost.
#[derive(Debug, Default)]
pub struct LogStats {
    written: AtomicU64,
    failed: AtomicU64,
    dropped: Vec<Arc<Counter>>,
}

impl LogStats {
    /// Lines written.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines lost because writing failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Records lost because a ring was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|counter| counter.get()).sum()
    }
}

fn run(mut writer: Writer, mut rings: Vec<Ring>, orders: &Receiver<Order>) {
    loop {
        // All engines gone: what they left is written, then there is nothing to wait for.
        let last = rings.iter().all(Ring::is_abandoned);
        let order = if last {
            orders.try_recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(PERIOD)
        };
        let more = drain(&mut writer, &mut rings);
        match order {
            Ok(Order::Reopen) => writer.reopen(),
            Ok(Order::Replace(new)) => (writer.format, writer.sink) = (new.format, new.sink),
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return finish(&mut writer, &mut rings, more),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Takes what the rings hold, by turns, so that one busy engine does not hold up the others. Returns
/// whether it left something, because orders are to be obeyed in time.
fn drain(writer: &mut Writer, rings: &mut [Ring]) -> bool {
    const TURN: usize = 256;
    let mut more = true;
    for _ in 0..64 {
        more = false;
        for ring in &mut *rings {
            let taken = (0..TURN).take_while(|_| ring.take(writer)).count();
            more |= taken == TURN;
        }
        if !more {
            break;
        }
    }
    writer.flush();
    more
}

/// Writes the rest. An engine that still runs cannot keep this from ending.
fn finish(writer: &mut Writer, rings: &mut [Ring], mut more: bool) {
    for _ in 0..1024 {
        if !more {
            break;
        }
        more = drain(writer, rings);
    }
}

struct Writer {
    format: LogFormat,
    sink: Sink,
    batch: Vec<u8>,
    /// Kept for its memory.
    line: String,
    lines: u64,
    failing: bool,
    stats: Arc<LogStats>,
}

impl Writer {
    fn add(&mut self, entry: &access_log::Entry<'_>) {
        match self.format {
            LogFormat::Off => return,
            LogFormat::Text => format::combined(&mut self.batch, entry),
            LogFormat::Json => format::json(&mut self.batch, entry),
        }
        self.count();
    }

    fn add_query(&mut self, record: &query_log::Record<'_>, backends: &[String]) {
        self.line.clear();
        match self.format {
            LogFormat::Off => return,
            LogFormat::Text => query_log::format_text(record, backends, &mut self.line),
            LogFormat::Json => query_log::format_json(record, backends, &mut self.line),
        }
        self.batch.extend_from_slice(self.line.as_bytes());
        self.count();
    }

    fn count(&mut self) {
        self.lines += 1;
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        match self.sink.write_all(&self.batch) {
            Ok(()) => {
                self.stats.written.fetch_add(self.lines, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the access log can be written again");
                }
            }
            Err(error) => {
                self.stats.failed.fetch_add(self.lines, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("the access log cannot be written, its lines are lost: {error}");
                }
            }
        }
        self.batch.clear();
        self.lines = 0;
    }

    fn reopen(&mut self) {
        let Sink::File(path, _) = &self.sink else { return };
        match Sink::open(Some(path)) {
            Ok(sink) => self.sink = sink,
            Err(error) => tracing::error!("{} cannot be reopened, the old file is kept: {error}", path.display()),
        }
    }
}

enum Sink {
    Stdout,
    File(PathBuf, File),
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Sink> {
        let Some(path) = path else { return Ok(Sink::Stdout) };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
            io::Error::new(error.kind(), format!("the access log {} cannot be opened: {error}", path.display()))
        })?;
        Ok(Sink::File(path.to_owned(), file))
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(octets)?;
                stdout.flush()
            }
            Sink::File(_, file) => file.write_all(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_http::access_log::{CacheOutcome, Entry, MAX_RECORD, Recorder, ring};

    fn push(recorder: &mut Recorder, target: &str) -> bool {
        recorder.push(&Entry {
            unix_micros: 0,
            peer: None,
            method: b"GET",
            target: target.as_bytes(),
            minor_version: 1,
            status: 200,
            body_octets: 1,
            duration_micros: 1,
            outcome: CacheOutcome::Hit,
            referer: b"",
            user_agent: b"",
        })
    }

    fn http(capacity: usize) -> (Recorder, Ring) {
        let (recorder, records) = ring(capacity);
        (recorder, Ring::Http(records))
    }

    fn to_file(path: &Path) -> Log {
        Log { format: LogFormat::Text, path: Some(path.to_owned()), ..Log::default() }
    }

    #[test]
    fn every_record_is_written_or_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let (recorders, rings): (Vec<_>, Vec<_>) = (0..3).map(|_| http(MAX_RECORD * 4)).unzip();
        let log = AccessLog::start(&to_file(&path), rings).unwrap();
        let stats = log.stats();
        let pushed: u64 = std::thread::scope(|scope| {
            let engine = |mut recorder: Recorder| (0..2000).filter(|_| push(&mut recorder, "/a")).count() as u64;
            let engines: Vec<_> = recorders.into_iter().map(|recorder| scope.spawn(move || engine(recorder))).collect();
            engines.into_iter().map(|engine| engine.join().unwrap()).sum()
        });
        log.stop();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count() as u64;
        assert_eq!(lines, pushed);
        assert_eq!((stats.written(), stats.failed()), (pushed, 0));
        assert_eq!(stats.dropped(), 6000 - pushed);
    }

    #[test]
    fn a_moved_file_is_left_behind_on_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let (mut recorder, records) = http(MAX_RECORD);
        let log = AccessLog::start(&to_file(&path), vec![records]).unwrap();
        push(&mut recorder, "/old");
        while log.stats().written() == 0 {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        push(&mut recorder, "/new");
        log.stop();
        assert!(std::fs::read_to_string(&moved).unwrap().contains("/old"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("/new"));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (mut recorder, records) = http(MAX_RECORD);
        let log = AccessLog::start(&to_file(Path::new("/dev/full")), vec![records]).unwrap();
        push(&mut recorder, "/lost");
        let stats = log.stats();
        log.stop();
        assert_eq!((stats.written(), stats.failed()), (0, 1));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = AccessLog::start(&to_file(Path::new("/nonexistent/access.log")), vec![]).err().unwrap();
        assert!(error.to_string().starts_with("the access log /nonexistent/access.log cannot be opened: "));
    }
}
