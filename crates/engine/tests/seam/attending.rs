//! Modules that share memory with others: what they find there is attended to in each pass, and they are asked before
//! the engine sleeps.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use afpa_engine::Next::Wait;
use afpa_engine::memory::{Memory, MemoryConfig, Network, network};
use afpa_engine::seam::{Address, Calls, Events, Origin};
use afpa_engine::workers::Workers;
use afpa_engine::{
    ConnectionId, Context, ControlTable, Desk, Engine, Notice, Open, Outcome, Owner, ProtocolModule, Rest, State,
    StateFunction, Time, Transport, TransportId, Wake, row,
};

use crate::bench::{Bench, echo};

const IDLE: State = State::new(0, "idle");
const WAIT: Outcome = Outcome::new(0, "wait");

/// A module that others leave work for.
struct Shared;

/// The memory that is shared, and what became of it.
#[derive(Default)]
struct Board {
    /// What to write to the first connection.
    work: Vec<u8>,
    /// A connection is wanted.
    wants: bool,
    rest: Option<Rest>,
    journal: Vec<&'static str>,
    connections: Vec<Notice>,
}

type Common = Rc<RefCell<Board>>;

impl ProtocolModule for Shared {
    const NAME: &'static str = "shared";
    const ATTENDS: bool = true;
    const TABLE: &'static ControlTable<Shared> = &ControlTable::checked(
        IDLE,
        &[StateFunction { state: IDLE, run: idle, outcomes: &[WAIT] }],
        &[row(IDLE, WAIT, Wait(IDLE))],
    );

    type Global = Common;
    type Connection = ();
    type Request = ();

    fn connected(board: &mut Common, _: ConnectionId, origin: Origin, _: Time) {
        board.borrow_mut().journal.push(if origin == Origin::Opened(5) { "opened" } else { "connected" });
    }

    fn attend(board: &mut Common, desk: &mut Desk<'_>) {
        let mut board = board.borrow_mut();
        if std::mem::take(&mut board.wants) {
            desk.open(Open::Stream(Address::Unix("peer".into())), desk.owner(), 5);
        }
        if !board.work.is_empty()
            && let Some(&notice) = board.connections.first()
        {
            desk.notify(notice);
        }
    }

    fn rest(board: &mut Common, _: Time) -> Rest {
        board.borrow_mut().journal.push("rest");
        board.borrow().rest.unwrap_or(Rest::Sleep)
    }

    fn woken(board: &mut Common) {
        board.borrow_mut().journal.push("woken");
    }
}

fn idle(cx: &mut Context<'_, Shared>) -> Outcome {
    let notice = cx.notice();
    let mut board = cx.global.borrow_mut();
    match cx.wake {
        Wake::Continued => board.connections.push(notice),
        Wake::Notified => {
            cx.output.send(&board.work);
            board.work.clear();
        }
        Wake::Received => {
            board.journal.push("received");
            let count = cx.input.unread().len();
            cx.input.consume(count);
        }
        _ => {}
    }
    WAIT
}

/// Notes for how long it may wait, and leaves work while it waits.
struct Noting {
    memory: Memory,
    waits: Rc<RefCell<Vec<Option<Duration>>>>,
    board: Common,
    arriving: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Noting {
    fn poll(&mut self, now: Time, wait: Option<Duration>, events: &mut dyn Events) -> io::Result<()> {
        self.waits.borrow_mut().push(wait);
        self.board.borrow_mut().work.append(&mut self.arriving.borrow_mut());
        self.memory.poll(now, wait, events)
    }

    fn calls(&mut self) -> &mut dyn Calls {
        self.memory.calls()
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.memory.watch(descriptor)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop_listening(&mut self) {}

    fn connections(&self) -> usize {
        self.memory.connections()
    }
}

struct Stage {
    engine: Engine,
    network: Network,
    owner: Owner,
    board: Common,
    waits: Rc<RefCell<Vec<Option<Duration>>>>,
    arriving: Rc<RefCell<Vec<u8>>>,
}

fn stage() -> Stage {
    let board = Common::default();
    let (waits, arriving) = <(Rc<RefCell<Vec<_>>>, Rc<RefCell<Vec<u8>>>)>::default();
    let mut engine = Engine::new(Workers::start(1, 1).unwrap(), || Time(1_000)).unwrap();
    let (owner, _) = engine.install::<Shared>(board.clone());
    let (memory, network) = network(TransportId(0), MemoryConfig::default());
    let noting = Noting { memory, waits: waits.clone(), board: board.clone(), arriving: arriving.clone() };
    engine.add_transport(Box::new(noting)).unwrap();
    Stage { engine, network, owner, board, waits, arriving }
}

impl Stage {
    fn pass(&mut self, may_sleep: bool) -> Option<Duration> {
        self.engine.pass(may_sleep).unwrap();
        self.waits.borrow().last().copied().flatten()
    }

    fn journal(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.board.borrow_mut().journal)
    }
}

#[test]
fn work_that_lies_there_leaves_in_the_same_pass() {
    let mut stage = stage();
    let peer = stage.network.connect(stage.owner);
    stage.pass(false);
    stage.board.borrow_mut().work = b"before the poll".to_vec();
    stage.pass(false);
    assert_eq!(peer.read(100), b"before the poll");
}

#[test]
fn work_that_comes_during_the_poll_is_seen_in_the_same_pass() {
    let mut stage = stage();
    let peer = stage.network.connect(stage.owner);
    stage.pass(false);
    *stage.arriving.borrow_mut() = b"meanwhile".to_vec();
    stage.pass(false);
    assert!(stage.board.borrow().work.is_empty(), "a turn was given");
    stage.pass(false);
    assert_eq!(peer.read(100), b"meanwhile");
}

#[test]
fn attending_opens_connections() {
    let mut stage = stage();
    stage.board.borrow_mut().wants = true;
    stage.pass(false);
    let (_peer, address) = stage.network.accept().expect("a connection");
    assert_eq!((address, stage.journal()), (Address::Unix("peer".into()), vec!["opened"]));
}

#[test]
fn a_sleep_is_announced_and_taken_back_before_the_first_event() {
    let mut stage = stage();
    let peer = stage.network.connect(stage.owner);
    stage.pass(false);
    assert_eq!(stage.journal(), ["connected"], "no sleep, no announcement");
    peer.send(b"hello");
    assert_eq!(stage.pass(true), None);
    assert_eq!(stage.journal(), ["rest", "woken", "received"]);
}

#[test]
fn a_module_bounds_the_sleep_or_forbids_it() {
    let mut stage = stage();
    for (rest, expected) in [
        (Rest::Sleep, None),
        (Rest::Until(Time(1_500)), Some(Duration::from_nanos(500))),
        (Rest::Until(Time(10)), Some(Duration::ZERO)),
        (Rest::Stay, Some(Duration::ZERO)),
    ] {
        stage.board.borrow_mut().rest = Some(rest);
        assert_eq!(stage.pass(true), expected, "{rest:?}");
        assert_eq!(stage.journal(), ["rest", "woken"]);
    }
}

#[test]
fn nobody_is_asked_when_the_engine_has_something_to_do() {
    let mut stage = stage();
    stage.engine.handle().waker().wake();
    assert_eq!(stage.pass(true), Some(Duration::ZERO));
    assert_eq!(stage.journal(), [""; 0]);
}

#[test]
fn a_command_reaches_the_module_its_desk_and_the_transports_at_once() {
    let mut stage = stage();
    let owner = stage.owner;
    let (told, counts) = mpsc::channel();
    stage.engine.handle().command(move |control| {
        let count = control.with_module::<Shared, _>(owner, |board, desk, transports| {
            board.borrow_mut().journal.push("commanded");
            desk.open(Open::Stream(Address::Unix("peer".into())), desk.owner(), 5);
            transports.len()
        });
        told.send(count).unwrap();
    });
    stage.pass(false);
    stage.pass(false);
    assert_eq!((counts.recv(), stage.journal()), (Ok(Some(1)), vec!["commanded", "opened"]));
    let mut other = Bench::new(echo);
    let owner = other.owner;
    let (told, counts) = mpsc::channel();
    other.engine.handle().command(move |control| {
        told.send(control.with_module::<Shared, _>(owner, |_, _, _| ()).is_none()).unwrap();
    });
    other.pass();
    assert_eq!(counts.recv(), Ok(true), "another module has another type");
}
