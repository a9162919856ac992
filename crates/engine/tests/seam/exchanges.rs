//! Exchanges, what wakes them, and what is opened on their behalf.

use std::cell::Cell;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use afpa_engine::Next::{Close, Run, Wait};
use afpa_engine::memory::{Ending, MemoryConfig, Network, network};
use afpa_engine::seam::{Address, Disconnect, Origin};
use afpa_engine::workers::Workers;
use afpa_engine::{
    ConnectionId, Context, ControlTable, Desk, Engine, Notice, Open, Outcome, Owner, ProtocolModule, State,
    StateFunction, Time, TransportId, Wake, row,
};

const ASKED: State = State::new(0, "asked");
const WAITING: State = State::new(1, "waiting");
const ANSWERED: Outcome = Outcome::new(0, "answered");
const NEXT: Outcome = Outcome::new(1, "next");
const LATER: Outcome = Outcome::new(2, "later");

/// Answers words, over datagrams, connections and conversations: see `asked`.
struct Words;

#[derive(Default)]
struct Known {
    sleepers: Vec<Notice>,
    journal: Vec<String>,
}

impl ProtocolModule for Words {
    const NAME: &'static str = "words";
    const TABLE: &'static ControlTable<Words> = &ControlTable::checked(
        ASKED,
        &[
            StateFunction { state: ASKED, run: asked, outcomes: &[ANSWERED, NEXT, LATER] },
            StateFunction { state: WAITING, run: waiting, outcomes: &[ANSWERED, LATER] },
        ],
        &[
            row(ASKED, ANSWERED, Close),
            row(ASKED, NEXT, Wait(ASKED)),
            row(ASKED, LATER, Run(WAITING)),
            row(WAITING, ANSWERED, Close),
            row(WAITING, LATER, Wait(WAITING)),
        ],
    );
    const EXCHANGES: bool = true;

    type Global = Known;
    /// Whether it is a connection, which goes on when a word is answered.
    type Connection = Origin;
    type Request = String;

    fn connected(known: &mut Known, _id: ConnectionId, origin: Origin, _now: Time) -> Origin {
        known.journal.push(format!("{origin:?}").split('(').next().unwrap_or_default().to_owned());
        origin
    }

    fn disconnected(known: &mut Known, _desk: &mut Desk<'_>, _origin: &mut Origin, word: &mut String) {
        known.journal.push(format!("gone {word}"));
    }

    fn unreachable(known: &mut Known, desk: &mut Desk<'_>, tag: u64, reason: Disconnect) {
        known.journal.push(format!("unreachable {tag} {reason:?}"));
        for notice in known.sleepers.drain(..) {
            desk.notify(notice);
        }
    }
}

fn asked(cx: &mut Context<'_, Words>) -> Outcome {
    let input = cx.input.unread();
    if matches!(cx.connection, Origin::Opened(_)) && cx.wake == Wake::Continued {
        cx.output.send(b"question");
        return NEXT;
    }
    let word = String::from_utf8_lossy(input).into_owned();
    if cx.input.is_present() {
        cx.input.consume(input.len());
    }
    *cx.request = word.clone();
    match (word.as_str(), *cx.connection) {
        ("", _) => NEXT,
        ("hello", Origin::Accepted(_)) => {
            cx.output.send(b"hello");
            NEXT
        }
        ("several", Origin::Accepted(_)) => {
            for word in ["1", "2", "3"] {
                *cx.request = word.to_owned();
                cx.detach(*cx.connection, WAITING);
            }
            NEXT
        }
        ("sleep", Origin::Accepted(_)) => {
            cx.detach(*cx.connection, WAITING);
            NEXT
        }
        ("hello", _) => {
            cx.output.send(b"hello");
            ANSWERED
        }
        ("wake", _) => {
            for notice in std::mem::take(&mut cx.global.sleepers) {
                cx.notify(notice);
            }
            ANSWERED
        }
        ("ask", _) => {
            let (notice, owner) = (cx.notice(), Owner(0));
            cx.global.sleepers.push(notice);
            cx.open(Open::Conversation(([192, 0, 2, 1], 53).into()), owner, 7);
            LATER
        }
        ("connect", _) => {
            cx.open(Open::Stream(Address::Unix("backend".into())), Owner(0), 8);
            ANSWERED
        }
        ("prepared", _) => {
            let (socket, _) = UnixStream::pair().expect("a pair");
            cx.open(Open::With { socket: socket.into(), to: Address::Unix("backend".into()) }, Owner(0), 8);
            ANSWERED
        }
        ("inherit", _) => {
            let (socket, _) = UnixStream::pair().expect("a pair");
            cx.open(Open::TakeOver { socket: socket.into(), octets: b"hello".to_vec() }, Owner(0), 8);
            ANSWERED
        }
        ("work", _) => {
            cx.spawn(|| 42).expect("a worker");
            LATER
        }
        ("sleep", _) => LATER,
        // What a conversation's peer said.
        _ => {
            for notice in std::mem::take(&mut cx.global.sleepers) {
                cx.notify(notice);
            }
            ANSWERED
        }
    }
}

fn waiting(cx: &mut Context<'_, Words>) -> Outcome {
    match cx.wake {
        Wake::Continued if cx.request.len() == 1 => {
            let word = cx.request.clone();
            cx.output.send(word.as_bytes());
            ANSWERED
        }
        Wake::Continued => {
            let notice = cx.notice();
            if cx.request.as_str() == "sleep" {
                cx.global.sleepers.push(notice);
            }
            cx.arm_after(Duration::from_secs(1));
            LATER
        }
        Wake::Notified => {
            cx.output.send(b"woken");
            ANSWERED
        }
        Wake::Expired => {
            cx.output.send(b"late");
            ANSWERED
        }
        Wake::Completed => {
            let result = cx.completion::<i32>().flatten();
            cx.output.send(format!("{result:?}").as_bytes());
            ANSWERED
        }
        _ => LATER,
    }
}

struct Bench {
    engine: Engine,
    network: Network,
    clock: Rc<Cell<Time>>,
    owner: Owner,
}

impl Bench {
    fn new() -> Bench {
        let clock = Rc::new(Cell::new(Time(0)));
        let now = clock.clone();
        let mut engine = Engine::new(Workers::start(1, 1).expect("a worker"), move || now.get()).expect("an engine");
        let (owner, _) = engine.install::<Words>(Known::default());
        let (memory, network) = network(TransportId(0), MemoryConfig::default());
        engine.add_transport(Box::new(memory)).expect("a transport");
        Bench { engine, network, clock, owner }
    }

    fn ask(&mut self, port: u16, word: &str) {
        self.network.send_datagram(self.owner, client(port), word.as_bytes());
        self.passes();
    }

    fn passes(&mut self) {
        for _ in 0..4 {
            self.engine.pass(false).expect("a pass");
        }
    }

    fn answers(&self) -> Vec<(u16, String)> {
        let answers = std::iter::from_fn(|| self.network.receive_datagram());
        answers.map(|(peer, bytes)| (peer.port(), String::from_utf8_lossy(&bytes).into_owned())).collect()
    }

    fn journal(&mut self) -> Vec<String> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let owner = self.owner;
        self.engine.handle().command(move |control| {
            let known = control.global::<Words>(owner).expect("the module");
            let _ = sender.send(std::mem::take(&mut known.journal));
        });
        self.passes();
        receiver.recv().expect("the journal")
    }
}

fn client(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn said(port: u16, word: &str) -> (u16, String) {
    (port, word.to_owned())
}

#[test]
fn a_datagram_is_answered_where_it_came_from() {
    let mut bench = Bench::new();
    bench.ask(1, "hello");
    bench.ask(2, "hello");
    assert_eq!(bench.answers(), [said(1, "hello"), said(2, "hello")]);
    assert_eq!(bench.journal(), ["Datagram", "gone hello", "Datagram", "gone hello"]);
}

#[test]
fn exchanges_wait_side_by_side_and_are_woken_by_another() {
    let mut bench = Bench::new();
    for port in 1..=3 {
        bench.ask(port, "sleep");
    }
    assert!(bench.answers().is_empty());
    bench.ask(4, "wake");
    assert_eq!(bench.answers(), [said(1, "woken"), said(2, "woken"), said(3, "woken")]);
    bench.ask(5, "wake");
    assert!(bench.answers().is_empty(), "those that ended are not woken again");
}

#[test]
fn an_exchange_has_deadlines_and_workers() {
    let mut bench = Bench::new();
    bench.ask(1, "sleep");
    bench.clock.set(Time(0).after(Duration::from_millis(900)));
    bench.passes();
    assert!(bench.answers().is_empty());
    bench.clock.set(Time(0).after(Duration::from_millis(1200)));
    bench.passes();
    assert_eq!(bench.answers(), [said(1, "late")]);
    bench.ask(2, "wake");
    assert!(bench.answers().is_empty(), "the name in the list is of an exchange that ended");

    bench.ask(3, "work");
    let mut answers = bench.answers();
    while answers.is_empty() {
        bench.passes();
        answers = bench.answers();
        std::thread::yield_now();
    }
    assert_eq!(answers, [said(3, "Some(42)")]);
}

#[test]
fn a_detached_request_is_overtaken_and_answers_on_its_connection() {
    let mut bench = Bench::new();
    let peer = bench.network.connect(bench.owner);
    bench.passes();
    peer.send(b"sleep");
    bench.passes();
    peer.send(b"hello");
    bench.passes();
    assert_eq!(peer.read(usize::MAX), b"hello");
    bench.ask(1, "wake");
    assert_eq!(peer.read(usize::MAX), b"woken");
    assert_eq!(peer.ending(), None, "the connection goes on");
}

#[test]
fn what_is_detached_in_one_event_goes_on_in_its_order() {
    let mut bench = Bench::new();
    let peer = bench.network.connect(bench.owner);
    bench.passes();
    peer.send(b"several");
    bench.passes();
    assert_eq!(peer.read(usize::MAX), b"123");
}

#[test]
fn a_detached_request_outlives_its_connection_and_does_no_harm() {
    let mut bench = Bench::new();
    let peer = bench.network.connect(bench.owner);
    bench.passes();
    peer.send(b"sleep");
    bench.passes();
    peer.reset();
    bench.passes();
    let other = bench.network.connect(bench.owner);
    bench.passes();
    bench.ask(1, "wake");
    assert!(other.read(usize::MAX).is_empty(), "nobody gets another's answer");
    assert_eq!(other.ending(), None::<Ending>);
}

#[test]
fn a_conversation_is_opened_for_an_exchange_and_wakes_it() {
    let mut bench = Bench::new();
    bench.ask(1, "ask");
    let (backend, address) = bench.network.converse().expect("a conversation");
    assert_eq!(address, ([192, 0, 2, 1], 53).into());
    assert_eq!(backend.receive_datagram(), Some(b"question".to_vec()));
    backend.send_datagram(b"answer");
    bench.passes();
    assert_eq!(bench.answers(), [said(1, "woken")]);
    assert_eq!(bench.journal(), ["Datagram", "Opened", "gone answer", "gone ask"]);
}

#[test]
fn a_conversation_that_nobody_answers_is_unreachable() {
    let mut bench = Bench::new();
    bench.ask(1, "ask");
    let (backend, _) = bench.network.converse().expect("a conversation");
    backend.reset();
    bench.passes();
    assert_eq!(bench.answers(), [said(1, "woken")]);
    let journal = bench.journal();
    assert!(journal.contains(&"unreachable 7 Refused".to_owned()), "{journal:?}");
}

#[test]
fn a_connection_is_opened_with_its_tag() {
    let mut bench = Bench::new();
    bench.ask(1, "connect");
    let (backend, address) = bench.network.accept().expect("a connection");
    assert_eq!(address, Address::Unix("backend".into()));
    bench.passes();
    assert_eq!(backend.read(usize::MAX), b"question");
}

#[test]
fn a_connection_is_opened_with_a_socket_that_was_made_for_it() {
    let mut bench = Bench::new();
    bench.ask(1, "prepared");
    let (backend, address) = bench.network.accept().expect("a connection");
    assert_eq!(address, Address::Unix("backend".into()));
    bench.passes();
    assert_eq!(backend.read(usize::MAX), b"question");
}

#[test]
fn a_connection_that_others_have_made_goes_on_with_what_they_had_read() {
    let mut bench = Bench::new();
    bench.ask(1, "inherit");
    bench.passes();
    let (peer, _) = bench.network.taken_over().expect("a connection");
    assert_eq!(peer.read(usize::MAX), b"questionhello", "it opened with its tag, and saw the octets");
}

#[test]
fn a_module_has_business_of_its_own() {
    let mut bench = Bench::new();
    bench.engine.open(Open::Work, bench.owner, 9);
    bench.passes();
    // It opened with its tag, said its word to nobody, and waits for what comes.
    assert_eq!(bench.journal(), ["Opened"]);
    assert!(bench.answers().is_empty());
}

#[test]
fn an_engine_stops_when_its_last_exchange_has_ended() {
    let mut bench = Bench::new();
    bench.ask(1, "sleep");
    bench.engine.handle().stop(Duration::from_secs(10));
    assert!(bench.engine.pass(false).expect("a pass"), "an answer is due");
    bench.clock.set(Time(0).after(Duration::from_secs(2)));
    while bench.engine.pass(false).expect("a pass") {}
    assert_eq!(bench.answers(), [said(1, "late")]);
}
