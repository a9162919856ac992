//! An engine with one scripted module, on one or more in-memory transports, and a clock that tests move.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use afpa_engine::Next::{Abort, Close, Run, Wait};
use afpa_engine::memory::{MemoryConfig, Network, Peer, network};
use afpa_engine::module::Datagram;
use afpa_engine::seam::{Disconnect, Origin, Segment};
use afpa_engine::send_engine::send_engine;
use afpa_engine::stats::ModuleStats;
use afpa_engine::workers::Workers;
use afpa_engine::{
    ConnectionId, Context, ControlTable, Desk, Engine, Outcome, Owner, ProtocolModule, State, StateFunction, Time,
    TransportId, Wake, row,
};

/// The script's state runs at the next event.
pub(crate) const WAIT: Outcome = Outcome::new(0, "wait");
/// The script's state runs again now.
pub(crate) const AGAIN: Outcome = Outcome::new(1, "again");
/// What was given to the send engine is sent; then the script goes on.
pub(crate) const SEND: Outcome = Outcome::new(2, "send");
pub(crate) const CLOSE: Outcome = Outcome::new(3, "close");
pub(crate) const ABORT: Outcome = Outcome::new(4, "abort");
/// What no function declares.
pub(crate) const UNDECLARED: Outcome = Outcome::new(5, "undeclared");
const SENT: Outcome = Outcome::new(6, "sent");
const BLOCKED: Outcome = Outcome::new(7, "blocked");
const FAILED: Outcome = Outcome::new(8, "failed");

pub(crate) const SCRIPT: State = State::new(0, "script");
pub(crate) const SENDING: State = State::new(1, "sending");

/// A module whose one state function is a test's closure.
pub(crate) struct Scripted;

pub(crate) type Cx<'a> = Context<'a, Scripted>;
type Step = Box<dyn FnMut(&mut Cx<'_>) -> Outcome>;

pub(crate) struct Script {
    step: Option<Step>,
    journal: Rc<RefCell<Vec<String>>>,
    /// For commands from other threads.
    pub(crate) commanded: u32,
}

impl ProtocolModule for Scripted {
    const NAME: &'static str = "scripted";
    const TABLE: &'static ControlTable<Scripted> = &ControlTable::checked(
        SCRIPT,
        &[
            StateFunction { state: SCRIPT, run: script, outcomes: &[WAIT, AGAIN, SEND, CLOSE, ABORT] },
            StateFunction { state: SENDING, run: sending, outcomes: &[SENT, BLOCKED, FAILED] },
        ],
        &[
            row(SCRIPT, WAIT, Wait(SCRIPT)),
            row(SCRIPT, AGAIN, Run(SCRIPT)),
            row(SCRIPT, SEND, Run(SENDING)),
            row(SCRIPT, CLOSE, Close),
            row(SCRIPT, ABORT, Abort),
            row(SENDING, SENT, Run(SCRIPT)),
            row(SENDING, BLOCKED, Wait(SENDING)),
            row(SENDING, FAILED, Abort),
        ],
    );

    type Global = Script;
    /// How many times the script ran for the connection.
    type Connection = u32;
    type Request = ();

    fn connected(script: &mut Script, id: ConnectionId, origin: Origin, _now: Time) -> u32 {
        let how = match origin {
            Origin::Accepted(_) => "accepted",
            Origin::Connected => "connected",
            Origin::Opened(_) => "opened",
            Origin::Datagram(..) => "datagram",
        };
        script.journal.borrow_mut().push(format!("{how} {id:?}"));
        0
    }

    fn ended(script: &mut Script, _runs: &mut u32, reason: Disconnect) {
        script.journal.borrow_mut().push(format!("ended: {reason:?}"));
    }

    fn disconnected(script: &mut Script, _desk: &mut Desk<'_>, runs: &mut u32, _request: &mut ()) {
        script.journal.borrow_mut().push(format!("gone after {runs} runs"));
    }

    fn datagram(_script: &mut Script, datagram: &mut Datagram<'_>) {
        let answer = [b"re: ", datagram.bytes].concat();
        datagram.reply(&mut std::iter::once(Segment::Copy(&answer)));
    }
}

fn script(cx: &mut Cx<'_>) -> Outcome {
    *cx.connection += 1;
    let mut step = cx.global.step.take().expect("one script runs at a time");
    let outcome = step(cx);
    cx.global.step = Some(step);
    outcome
}

fn sending(cx: &mut Cx<'_>) -> Outcome {
    send_engine(cx, SENT, BLOCKED, FAILED)
}

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) owner: Owner,
    pub(crate) stats: Arc<ModuleStats>,
    pub(crate) workers: Arc<Workers>,
    clock: Rc<Cell<Time>>,
    journal: Rc<RefCell<Vec<String>>>,
}

impl Bench {
    /// One worker with room for one more job, and the default network.
    pub(crate) fn new(step: impl FnMut(&mut Cx<'_>) -> Outcome + 'static) -> Bench {
        Self::with(MemoryConfig::default(), step)
    }

    pub(crate) fn with(config: MemoryConfig, step: impl FnMut(&mut Cx<'_>) -> Outcome + 'static) -> Bench {
        let workers = Workers::start(1, 1).unwrap();
        let clock = Rc::new(Cell::new(Time(0)));
        let now = clock.clone();
        let mut engine = Engine::new(workers.clone(), move || now.get()).unwrap();
        let journal = Rc::<RefCell<Vec<String>>>::default();
        let script = Script { step: Some(Box::new(step)), journal: journal.clone(), commanded: 0 };
        let (owner, stats) = engine.install::<Scripted>(script);
        let (memory, network) = network(TransportId(0), config);
        engine.add_transport(Box::new(memory)).unwrap();
        Bench { engine, network, owner, stats, workers, clock, journal }
    }

    pub(crate) fn connect(&mut self) -> Peer {
        let peer = self.network.connect(self.owner);
        self.pass();
        peer
    }

    pub(crate) fn pass(&mut self) {
        self.engine.pass(false).unwrap();
    }

    /// Passes until `done`, which must come.
    pub(crate) fn until(&mut self, mut done: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < patience, "it did not come: {:?}", self.journal.borrow());
            self.pass();
            std::thread::yield_now();
        }
    }

    /// Sends, lets the engine work, and reads what came back.
    pub(crate) fn exchange(&mut self, peer: &Peer, bytes: &[u8]) -> Vec<u8> {
        peer.send(bytes);
        for _ in 0..4 {
            self.pass();
        }
        peer.read(usize::MAX)
    }

    /// Moves the clock, and lets due timers fire.
    pub(crate) fn advance(&mut self, duration: Duration) {
        self.clock.set(self.clock.get().after(duration));
        self.pass();
    }

    /// What the module's hooks saw so far.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.journal.borrow().clone()
    }

    pub(crate) fn open(&self) -> u64 {
        self.engine.handle().stats().open.get()
    }
}

/// Why a script ran, and the input it saw.
pub(crate) type Notes = Rc<RefCell<Vec<(Wake, String)>>>;

/// A script that notes its runs, and consumes all input.
pub(crate) fn notes() -> (impl FnMut(&mut Cx<'_>) -> Outcome, Notes) {
    let notes = Notes::default();
    let taken = notes.clone();
    let step = move |cx: &mut Cx<'_>| {
        let seen = if cx.input.is_present() { take(cx) } else { String::from("-") };
        taken.borrow_mut().push((cx.wake, seen));
        WAIT
    };
    (step, notes)
}

/// All unread input, consumed.
pub(crate) fn take(cx: &mut Cx<'_>) -> String {
    let unread = cx.input.unread();
    if cx.input.is_present() {
        cx.input.consume(unread.len());
    }
    String::from_utf8_lossy(unread).into_owned()
}

/// Answers all input with itself.
pub(crate) fn echo(cx: &mut Cx<'_>) -> Outcome {
    let unread = cx.input.unread();
    if !unread.is_empty() {
        cx.input.consume(unread.len());
        cx.output.send(unread);
    }
    if cx.finished() && unread.is_empty() && cx.input.is_present() { CLOSE } else { WAIT }
}
