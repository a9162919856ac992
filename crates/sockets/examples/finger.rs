//! A finger server (RFC 1288): a complete protocol module, small enough to read in one sitting.
//!
//! ```text
//! mkdir people; printf 'Ada Lovelace\nNotes on the engine.\n' > people/ada
//! cargo run -p afpa-sockets --example finger -- people 127.0.0.1:7979
//! printf '/W ada\r\n' | nc 127.0.0.1 7979
//! ```
//!
//! Each file of the directory is a person: the file's name is the user's name, its first line the
//! person's, the rest the plan. `docs/module-authors-guide.md` explains the code step by step.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::seam::{Address, Listen, Origin};
use afpa_engine::send_engine::send_engine;
use afpa_engine::workers::Workers;
use afpa_engine::{
    ConnectionId, Context, ControlTable, Engine, Outcome, ProtocolModule, State, StateFunction, Time, Wake, row,
};
use afpa_platform::clock;
use afpa_sockets::{Sockets, SocketsConfig};

/// The longest query, its line end not counted.
const MAX_QUERY: usize = 512;
/// The most octets of a person's file, and the most people in a list, that are shown.
const MAX_PLAN: u64 = 256 * 1024;
const MAX_PEOPLE: usize = 1000;
/// How long a client may take to ask, from the connection on.
const QUERY_TIME: Duration = Duration::from_secs(10);
/// How long an answer may take to be made and to be taken.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The module.
struct Finger;

/// Global data: where the people are.
struct Directory {
    root: Arc<Path>,
}

/// Connection data.
struct Asker {
    since: Time,
}

/// Request data: what was asked, or why it is not answered.
#[derive(Default)]
struct Request {
    query: Option<Query>,
    refusal: Option<Refusal>,
}

impl ProtocolModule for Finger {
    const NAME: &'static str = "finger";
    const TABLE: &'static ControlTable<Finger> = &TABLE;

    type Global = Directory;
    type Connection = Asker;
    type Request = Request;

    fn connected(_directory: &mut Directory, _id: ConnectionId, _origin: Origin, now: Time) -> Asker {
        Asker { since: now }
    }
}

const DERIVE_REQUEST: State = State::new(0, "derive request");
const DERIVE_RESPONSE: State = State::new(1, "derive response");
const DERIVE_ERROR_RESPONSE: State = State::new(2, "derive error response");
const SEND_ENGINE: State = State::new(3, "send engine");

const COMPLETE: Outcome = Outcome::new(0, "complete");
const INCOMPLETE: Outcome = Outcome::new(1, "incomplete");
const REFUSED: Outcome = Outcome::new(2, "refused");
const ABANDONED: Outcome = Outcome::new(3, "abandoned");
const PENDING: Outcome = Outcome::new(4, "pending");
const READY: Outcome = Outcome::new(5, "ready");
const SENT: Outcome = Outcome::new(6, "sent");
const BLOCKED: Outcome = Outcome::new(7, "blocked");
const CUT_OFF: Outcome = Outcome::new(8, "cut off");

const FUNCTIONS: &[StateFunction<Finger>] = &[
    StateFunction { state: DERIVE_REQUEST, run: derive_request, outcomes: &[COMPLETE, INCOMPLETE, REFUSED, ABANDONED] },
    StateFunction { state: DERIVE_RESPONSE, run: derive_response, outcomes: &[PENDING, READY, REFUSED, CUT_OFF] },
    StateFunction { state: DERIVE_ERROR_RESPONSE, run: derive_error_response, outcomes: &[READY] },
    StateFunction { state: SEND_ENGINE, run: send_response, outcomes: &[SENT, BLOCKED, CUT_OFF] },
];

const TABLE: ControlTable<Finger> = ControlTable::checked(
    DERIVE_REQUEST,
    FUNCTIONS,
    &[
        row(DERIVE_REQUEST, COMPLETE, Run(DERIVE_RESPONSE)),
        row(DERIVE_REQUEST, INCOMPLETE, Wait(DERIVE_REQUEST)),
        row(DERIVE_REQUEST, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_REQUEST, ABANDONED, Close),
        row(DERIVE_RESPONSE, PENDING, Wait(DERIVE_RESPONSE)),
        row(DERIVE_RESPONSE, READY, Run(SEND_ENGINE)),
        row(DERIVE_RESPONSE, REFUSED, Run(DERIVE_ERROR_RESPONSE)),
        row(DERIVE_RESPONSE, CUT_OFF, Abort),
        row(DERIVE_ERROR_RESPONSE, READY, Run(SEND_ENGINE)),
        row(SEND_ENGINE, SENT, Close),
        row(SEND_ENGINE, BLOCKED, Wait(SEND_ENGINE)),
        row(SEND_ENGINE, CUT_OFF, Abort),
    ],
);

/// Reads the one line that a client sends.
fn derive_request(cx: &mut Context<'_, Finger>) -> Outcome {
    if cx.wake == Wake::Expired {
        return ABANDONED;
    }
    cx.arm(cx.connection.since.after(QUERY_TIME));
    let unread = cx.input.unread();
    let line_end = unread.iter().take(MAX_QUERY + 2).position(|&octet| octet == b'\n');
    let parsed = match line_end {
        Some(end) => {
            cx.input.consume(end + 1);
            Query::parse(&unread[..end])
        }
        None if unread.len() > MAX_QUERY + 1 => Err(Refusal::TooLong),
        // No more will come, or nobody will be here to answer it.
        None if cx.input.is_present() && (cx.finished() || cx.draining()) => return ABANDONED,
        None => return INCOMPLETE,
    };
    cx.arm_after(ANSWER_TIME);
    match parsed {
        Ok(query) => {
            cx.request.query = Some(query);
            COMPLETE
        }
        Err(refusal) => refuse(cx, refusal),
    }
}

/// Has a worker read what is asked for: files can block, and an engine must not.
fn derive_response(cx: &mut Context<'_, Finger>) -> Outcome {
    if let Some(query) = cx.request.query.take() {
        let root = cx.global.root.clone();
        return match cx.spawn(move || answer(&root, &query)) {
            Ok(()) => PENDING,
            Err(_) => refuse(cx, Refusal::Busy),
        };
    }
    match cx.completion::<Result<Vec<u8>, Refusal>>() {
        Some(Some(Ok(text))) => {
            cx.output.respond_bytes(text);
            READY
        }
        Some(Some(Err(refusal))) => refuse(cx, refusal),
        Some(None) => refuse(cx, Refusal::Failed),
        None if cx.wake == Wake::Expired => CUT_OFF,
        None => PENDING,
    }
}

/// Says in words why there is no answer: the protocol has no status codes.
fn derive_error_response(cx: &mut Context<'_, Finger>) -> Outcome {
    let refusal = cx.request.refusal.take().unwrap_or(Refusal::Failed);
    cx.output.send(refusal.text().as_bytes());
    READY
}

/// Sends until TCP has everything, or the client has had its time.
fn send_response(cx: &mut Context<'_, Finger>) -> Outcome {
    match send_engine(cx, SENT, BLOCKED, CUT_OFF) {
        BLOCKED if cx.wake == Wake::Expired => CUT_OFF,
        outcome => outcome,
    }
}

fn refuse(cx: &mut Context<'_, Finger>, refusal: Refusal) -> Outcome {
    cx.request.refusal = Some(refusal);
    REFUSED
}

/// What a client can ask (RFC 1288 §2.3).
#[derive(Debug, PartialEq, Eq)]
enum Query {
    /// Who is there?
    Everyone,
    /// Who is this? `whole` asks for the plan too.
    Person { name: String, whole: bool },
}

/// Why a query is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    TooLong,
    Forwarding,
    NotFound,
    Busy,
    Failed,
}

impl Query {
    /// Parses a line without its end. Spaces around its parts mean nothing.
    fn parse(line: &[u8]) -> Result<Query, Refusal> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_QUERY {
            return Err(Refusal::TooLong);
        }
        // A name is ASCII, so whatever else there is will not be found.
        let mut words = str::from_utf8(line).map_err(|_| Refusal::NotFound)?.split_ascii_whitespace().peekable();
        let whole = words.next_if(|word| word.eq_ignore_ascii_case("/W")).is_some();
        match (words.next(), words.next()) {
            (None, _) => Ok(Query::Everyone),
            // RFC 1288 §3.2.1: passing queries on would let strangers use this host's address.
            (Some(name), _) if name.contains('@') => Err(Refusal::Forwarding),
            (Some(name), None) if is_name(name) => Ok(Query::Person { name: name.to_owned(), whole }),
            _ => Err(Refusal::NotFound),
        }
    }
}

/// A name is a file's name too: nothing in it may lead out of the directory.
fn is_name(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Refusal::TooLong => "Your query is too long.\r\n",
            Refusal::Forwarding => "Finger forwarding service denied.\r\n",
            Refusal::NotFound => "There is no such user.\r\n",
            Refusal::Busy => "The server is busy; ask again later.\r\n",
            Refusal::Failed => "The server could not read its records.\r\n",
        }
    }
}

/// Runs on a worker.
fn answer(root: &Path, query: &Query) -> Result<Vec<u8>, Refusal> {
    match query {
        Query::Everyone => everyone(root).map_err(|_| Refusal::Failed),
        Query::Person { name, whole } => match person(&root.join(name)) {
            Ok(text) if *whole => Ok(lines(&text)),
            Ok(text) => Ok(lines(text.split_inclusive(|&octet| octet == b'\n').next().unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::NotFound),
            Err(_) => Err(Refusal::Failed),
        },
    }
}

fn everyone(root: &Path) -> io::Result<Vec<u8>> {
    let names = fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| is_name(name));
    names.sort();
    names.truncate(MAX_PEOPLE);
    Ok(lines(names.join("\n").as_bytes()))
}

fn person(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_PLAN).read_to_end(&mut text)?;
    Ok(text)
}

/// RFC 1288 §2.2: ASCII, in lines that end with CRLF.
fn lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.extend(line.iter().map(|&octet| if matches!(octet, b'\t' | b' '..=b'~') { octet } else { b'?' }));
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, address] = arguments.as_slice() else { return Err("usage: finger DIR ADDRESS:PORT".into()) };
    let mut engine = Engine::new(Workers::start(2, 64)?, || Time(clock::now()))?;
    let (owner, _) = engine.install::<Finger>(Directory { root: PathBuf::from(root).into() });
    let mut sockets = Sockets::new(SocketsConfig::default())?;
    let listener = sockets.listen(Listen::Stream(Address::Inet(address.parse()?)), owner)?;
    println!("finger: {root} on {} through {}", sockets.local_address(listener)?, sockets.interface().name());
    engine.add_transport(Box::new(sockets))?;
    engine.run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    use afpa_engine::memory::{Ending, MemoryConfig, Network, Peer, network};
    use afpa_engine::{Owner, TransportId};
    use tempfile::TempDir;

    use super::*;

    const ADA: &str = "Ada Lovelace\r\n";
    const ADA_WHOLE: &str = "Ada Lovelace\r\nNotes on the engine?\r\n";
    /// The octets of a plan that is sent in several pieces.
    const BIG: usize = 150_000;

    /// The module on the in-memory transport, and its only worker.
    struct Server {
        engine: Engine,
        network: Network,
        owner: Owner,
        clock: Rc<Cell<Time>>,
        workers: Arc<Workers>,
        _people: TempDir,
    }

    impl Server {
        fn start(config: MemoryConfig) -> Server {
            let people = tempfile::tempdir().unwrap();
            fs::write(people.path().join("ada"), "Ada Lovelace\nNotes on the engine\u{7}\n").unwrap();
            fs::write(people.path().join("big"), "x".repeat(BIG)).unwrap();
            fs::write(people.path().join(".hidden"), "").unwrap();
            let workers = Workers::start(1, 1).unwrap();
            let clock = Rc::new(Cell::new(Time(0)));
            let now = clock.clone();
            let mut engine = Engine::new(workers.clone(), move || now.get()).unwrap();
            let (owner, _) = engine.install::<Finger>(Directory { root: people.path().into() });
            let (memory, network) = network(TransportId(0), config);
            engine.add_transport(Box::new(memory)).unwrap();
            Server { engine, network, owner, clock, workers, _people: people }
        }

        fn connect(&mut self) -> Peer {
            let peer = self.network.connect(self.owner);
            self.passes();
            peer
        }

        /// Enough passes for all that does not wait for a worker.
        fn passes(&mut self) {
            for _ in 0..8 {
                self.engine.pass(false).unwrap();
            }
        }

        fn advance(&mut self, duration: Duration) {
            self.clock.set(self.clock.get().after(duration));
            self.passes();
        }

        /// Keeps the worker busy until the sender is dropped.
        fn occupy(&self) -> Sender<()> {
            let (release, gate) = channel::<()>();
            let (start, started) = channel();
            let job = move || {
                start.send(()).unwrap();
                let _ = gate.recv();
            };
            self.workers.submit(job).unwrap();
            started.recv().unwrap();
            release
        }

        /// Reads to the end, as a patient client does.
        fn read(&mut self, peer: &Peer) -> (String, Ending) {
            let mut text = Vec::new();
            let patience = Instant::now() + Duration::from_secs(30);
            loop {
                self.engine.pass(false).unwrap();
                text.extend(peer.read(usize::MAX));
                if let Some(ending) = peer.ending() {
                    return (String::from_utf8(text).unwrap(), ending);
                }
                assert!(Instant::now() < patience, "no end after {text:?}");
                std::thread::yield_now();
            }
        }
    }

    fn finished(text: &str) -> (String, Ending) {
        (text.to_owned(), Ending::Finished)
    }

    #[test]
    fn each_query_is_answered_however_it_is_split() {
        let long = format!("{}\r\n", "a".repeat(MAX_QUERY));
        let too_long = format!("{}\r\n", "a".repeat(MAX_QUERY + 1));
        let table = [
            ("\r\n", "ada\r\nbig\r\n"),
            ("/W\r\n", "ada\r\nbig\r\n"),
            ("ada\r\n", ADA),
            ("ada\n", ADA),
            ("  ada  \r\n", ADA),
            ("/W ada\r\n", ADA_WHOLE),
            ("/w   ada\r\n", ADA_WHOLE),
            ("bob\r\n", Refusal::NotFound.text()),
            ("ada bob\r\n", Refusal::NotFound.text()),
            ("../ada\r\n", Refusal::NotFound.text()),
            (".hidden\r\n", Refusal::NotFound.text()),
            ("a\u{e4}a\r\n", Refusal::NotFound.text()),
            ("ada@elsewhere\r\n", Refusal::Forwarding.text()),
            ("@elsewhere\r\n", Refusal::Forwarding.text()),
            (&long, Refusal::NotFound.text()),
            (&too_long, Refusal::TooLong.text()),
        ];
        let mut server = Server::start(MemoryConfig::default());
        for (query, expected) in table {
            for at in (0..query.len()).step_by(1 + query.len() / 100) {
                let peer = server.connect();
                peer.send(&query.as_bytes()[..at]);
                server.passes();
                peer.send(&query.as_bytes()[at..]);
                assert_eq!(server.read(&peer), finished(expected), "{query:?} split at {at}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
        let mut server = Server::start(MemoryConfig::default());
        let peer = server.connect();
        peer.send(&[b'a'; MAX_QUERY + 1]);
        server.passes();
        assert_eq!(peer.ending(), None);
        peer.send(b"a");
        assert_eq!(server.read(&peer), finished(Refusal::TooLong.text()));
    }

    #[test]
    fn what_follows_the_query_is_never_looked_at() {
        let mut server = Server::start(MemoryConfig::default());
        let peer = server.connect();
        peer.send(b"ada\r\nbig\r\n\0\xff");
        assert_eq!(server.read(&peer), finished(ADA));
    }

    #[test]
    fn when_no_worker_is_free_the_client_is_told() {
        let mut server = Server::start(MemoryConfig::default());
        let release = server.occupy();
        server.workers.submit(|| ()).unwrap();
        let peer = server.connect();
        peer.send(b"ada\r\n");
        assert_eq!(server.read(&peer), finished(Refusal::Busy.text()));
        drop(release);
    }

    /// What a connection is doing when an event strikes.
    #[derive(Clone, Copy, Debug)]
    enum Doing {
        Asking,
        WaitingForWorker,
        Sending,
    }

    #[derive(Clone, Copy, Debug)]
    enum Strike {
        MoreInput,
        Fin,
        Reset,
        Deadline,
        Stop,
    }

    /// What the client gets in the end, if it reads to the end.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Got {
        Answer,
        Refusal,
        Silence,
        Reset,
    }

    #[test]
    fn each_event_in_each_state_has_its_end() {
        use {Doing::*, Strike::*};
        let table = [
            (Asking, MoreInput, Got::Refusal),
            (Asking, Fin, Got::Silence),
            (Asking, Strike::Reset, Got::Reset),
            (Asking, Deadline, Got::Silence),
            (Asking, Stop, Got::Silence),
            (WaitingForWorker, MoreInput, Got::Answer),
            (WaitingForWorker, Fin, Got::Answer),
            (WaitingForWorker, Strike::Reset, Got::Reset),
            (WaitingForWorker, Deadline, Got::Reset),
            (WaitingForWorker, Stop, Got::Answer),
            (Sending, MoreInput, Got::Answer),
            (Sending, Fin, Got::Answer),
            (Sending, Strike::Reset, Got::Reset),
            (Sending, Deadline, Got::Reset),
            (Sending, Stop, Got::Answer),
        ];
        for (doing, strike, expected) in table {
            assert_eq!(struck(doing, strike), expected, "{strike:?} while {doing:?}");
        }
    }

    fn struck(doing: Doing, strike: Strike) -> Got {
        let mut server = Server::start(MemoryConfig { window: 1000, send_buffer: 1000, ..MemoryConfig::default() });
        let release = server.occupy();
        let peer = server.connect();
        match doing {
            Doing::Asking => peer.send(b"/W bi"),
            _ => peer.send(b"/W big\r\n"),
        }
        server.passes();
        let mut release = Some(release);
        let mut got = Vec::new();
        if matches!(doing, Doing::Sending) {
            release = None;
            while got.is_empty() {
                server.passes();
                got = peer.read(1);
            }
        }
        match strike {
            Strike::MoreInput => peer.send(b"@elsewhere\r\n"),
            Strike::Fin => peer.finish(),
            Strike::Reset => peer.reset(),
            Strike::Deadline => server.advance(ANSWER_TIME + afpa_engine::timers::TICK),
            Strike::Stop => server.engine.handle().stop(ANSWER_TIME),
        }
        server.passes();
        drop(release);
        if matches!(strike, Strike::Reset) {
            assert_eq!(server.engine.handle().stats().open.get(), 0, "a reset connection is forgotten");
            return Got::Reset;
        }
        let (text, ending) = server.read(&peer);
        got.extend(text.as_bytes());
        match (got.as_slice(), ending) {
            (_, Ending::Reset) => Got::Reset,
            (b"", Ending::Finished) => Got::Silence,
            (text, _) if text == lines("x".repeat(BIG).as_bytes()) => Got::Answer,
            (text, _) if text == Refusal::Forwarding.text().as_bytes() => Got::Refusal,
            (text, _) => panic!("{}", String::from_utf8_lossy(text)),
        }
    }
}
