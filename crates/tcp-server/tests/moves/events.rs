//! What happens to a connection at each point of its move, on two networks of memory that a test drives by hand.

use std::sync::Arc;
use std::time::Duration;

use afpa_channel::slot::{command, state};
use afpa_engine::memory::{Ending, MemoryConfig, Network, Peer, network};
use afpa_engine::workers::Workers;
use afpa_engine::{Engine, Owner, Time, TransportId};
use afpa_platform::clock;
use afpa_tcp_server::{Control, ControlConfig, Port, Provider, ProviderStats, Settings, Share, SocketProvider};
use tempfile::TempDir;

use crate::adopting::Adopting;
use crate::common::{App, pattern};
use crate::server::BY_HAND;

/// How far the move is when something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    Before,
    /// TCP has not taken over yet what it was given.
    Leaving,
    /// Gone from the old engine, and not seen by the new one.
    OnTheWay,
    Arrived,
}

const MOMENTS: [Moment; 4] = [Moment::Before, Moment::Leaving, Moment::OnTheWay, Moment::Arrived];

/// What the peer holds unread at most.
const WINDOW: usize = 100;
/// What the application has given before the move, and after.
const FIRST: usize = 500;
const SECOND: usize = 700;

struct Half {
    engine: Engine,
    network: Network,
    owner: Owner,
    port: Port,
}

struct Stage {
    old: Half,
    new: Half,
    control: Control,
    _directory: TempDir,
}

/// A connection whose move has come to some point.
struct Moved {
    stage: Stage,
    app: Option<App>,
    region: afpa_channel::Region,
    slot: u32,
    /// The peer's ends: on the old network and, once it has moved, on the new.
    first: Peer,
    second: Option<Peer>,
    arrived: Vec<u8>,
}

impl Half {
    fn new(number: u32) -> Half {
        let mut engine = Engine::new(Workers::start(1, 16).unwrap(), || Time(clock::now())).unwrap();
        let stats = Arc::new(ProviderStats::default());
        let provider = Provider::new(number, engine.handle(), Settings::default(), stats.clone());
        let (owner, _) = engine.install::<SocketProvider>(provider);
        let address = |text: &str| Some(text.parse().unwrap());
        let (peer, local) = (address("192.0.2.7:5000"), address("192.0.2.1:80"));
        let config = MemoryConfig { peer, local, window: WINDOW, releases: true, ..MemoryConfig::default() };
        let (memory, network) = network(TransportId(0), config);
        engine.add_transport(Box::new(Adopting::new(memory))).unwrap();
        let port = Port { handle: engine.handle(), owner, stats };
        Half { engine, network, owner, port }
    }

    fn pass(&mut self) {
        self.engine.pass(false).unwrap();
    }
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (Half::new(0), Half::new(1));
        let config = ControlConfig {
            slots: 64,
            ring: 4096,
            balance: BY_HAND,
            ..ControlConfig::new(directory.path().join("server.sock"))
        };
        let control = Control::start(config, vec![old.port.clone(), new.port.clone()]).unwrap();
        Stage { old, new, control, _directory: directory }
    }

    fn pass(&mut self) {
        self.old.pass();
        self.new.pass();
    }
}

impl Moved {
    /// A connection of which the application has given the first octets, and whose move has come to `moment`.
    fn at(moment: Moment) -> Moved {
        let mut stage = Stage::new();
        let app = App::attach(&stage.control, "test");
        stage.pass();
        let listener = app.listen();
        (0..3).for_each(|_| stage.pass());
        let first = stage.old.network.connect(stage.old.owner);
        (0..3).for_each(|_| stage.pass());
        let slot = app.accept(listener).expect("a connection waits");
        assert_eq!(app.give(slot, &pattern(FIRST)), FIRST);
        stage.pass();
        let region = app.region.clone();
        let mut moved = Moved { stage, app: Some(app), region, slot, first, second: None, arrived: Vec::new() };
        if moment != Moment::Before {
            moved.ask();
            moved.stage.old.pass();
        }
        if matches!(moment, Moment::OnTheWay | Moment::Arrived) {
            for _ in 0..20 {
                moved.read();
                moved.stage.old.pass();
            }
            assert_eq!(moved.stage.old.port.stats.moved_out.get(), 1);
        }
        if moment == Moment::Arrived {
            moved.passes();
            assert_eq!(moved.stage.new.port.stats.moved_in.get(), 1);
        }
        moved
    }

    fn ask(&self) {
        self.stage.old.port.command(|provider, desk, _| provider.relieve(&[1], Share::All, desk));
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    fn peer(&self) -> &Peer {
        self.second.as_ref().unwrap_or(&self.first)
    }

    fn read(&mut self) {
        self.arrived.extend(self.first.read(usize::MAX));
        if self.second.is_none() {
            self.second = self.stage.new.network.taken_over().map(|(peer, _)| peer);
        }
        if let Some(second) = &self.second {
            self.arrived.extend(second.read(usize::MAX));
        }
    }

    /// Both engines go on, and the peer reads.
    fn passes(&mut self) {
        for _ in 0..40 {
            self.stage.pass();
            self.read();
        }
    }

    /// As [`Moved::passes`], until something is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Moved) -> bool) {
        for _ in 0..2000 {
            if is_so(self) {
                return;
            }
            self.stage.pass();
            self.read();
            std::thread::sleep(Duration::from_micros(200));
        }
        panic!("not within thousands of passes: {what}");
    }

    fn is_free(&self) -> bool {
        self.region.slot(self.slot).generation().is_multiple_of(2)
    }

    fn end(&self) -> Option<Ending> {
        self.peer().ending()
    }
}

#[test]
fn octets_go_on_in_order_both_ways() {
    for moment in MOMENTS {
        let mut moved = Moved::at(moment);
        moved.peer().send(b"from the peer");
        assert_eq!(moved.app().give(moved.slot, &pattern(SECOND)), SECOND, "{moment:?}");
        if moment == Moment::Before {
            moved.ask();
        }
        moved.until("everything has arrived", |moved| moved.arrived.len() == FIRST + SECOND);
        assert!(moved.arrived == [pattern(FIRST), pattern(SECOND)].concat(), "{moment:?}");
        assert_eq!(moved.stage.new.port.stats.moved_in.get(), 1, "{moment:?}");
        // On its way, the socket itself has the octets, which this network cannot show.
        if moment != Moment::OnTheWay {
            assert_eq!(moved.app().take(moved.slot, 100), b"from the peer", "{moment:?}");
        }
        assert_eq!(moved.app().slot(moved.slot).engine(), 1);
        assert_eq!(moved.app().slot(moved.slot).sent() as usize, FIRST + SECOND);
    }
}

#[test]
fn whom_the_move_has_escaped_is_heard_as_well() {
    let mut moved = Moved::at(Moment::Arrived);
    let words = moved.app().slot(moved.slot);
    let given = words.given();
    words.send_ring().write(given, b"told");
    words.send_ring().publish(given.wrapping_add(4));
    // As somebody does who read the engine's number before.
    moved.region.attend_bits(0).set(moved.slot);
    moved.until("it is sent", |moved| moved.arrived.len() == FIRST + 4);
    assert!(moved.arrived.ends_with(b"told"));
}

#[test]
fn a_close_sends_what_was_given_and_then_fin() {
    for moment in MOMENTS {
        let mut moved = Moved::at(moment);
        moved.app().give(moved.slot, &pattern(SECOND));
        moved.app().region.holds(moved.app().place).release(moved.slot);
        moved.app().command(moved.slot, command::CLOSE);
        if moment == Moment::Before {
            moved.ask();
        }
        moved.until("its end", |moved| moved.end() == Some(Ending::Finished) && moved.is_free());
        assert!(moved.arrived == [pattern(FIRST), pattern(SECOND)].concat(), "{moment:?}");
        assert_eq!(moved.stage.old.port.stats.open.get() + moved.stage.new.port.stats.open.get(), 0);
    }
}

#[test]
fn a_finish_comes_behind_everything_and_the_peer_is_still_heard() {
    for moment in MOMENTS {
        let mut moved = Moved::at(moment);
        moved.app().give(moved.slot, &pattern(SECOND));
        moved.app().command(moved.slot, command::FINISH);
        if moment == Moment::Before {
            moved.ask();
        }
        moved.until("FIN", |moved| moved.end() == Some(Ending::Finished));
        assert_eq!(moved.arrived.len(), FIRST + SECOND, "{moment:?}");
        moved.peer().send(b"still heard");
        moved.peer().finish();
        moved.until("the peer's FIN", |moved| moved.app().has(moved.slot, state::FINISHED | state::PEER_FINISHED));
        assert_eq!(moved.app().take(moved.slot, 100), b"still heard", "{moment:?}");
    }
}

#[test]
fn an_abort_resets() {
    for moment in MOMENTS {
        for bits in [command::ABORT, command::CLOSE | command::ABORT] {
            let mut moved = Moved::at(moment);
            moved.app().command(moved.slot, bits);
            if moment == Moment::Before {
                moved.ask();
            }
            moved.until("the reset", |moved| moved.end() == Some(Ending::Reset));
            if bits & command::CLOSE != 0 {
                moved.until("its slot is free", Moved::is_free);
            } else {
                assert!(moved.app().has(moved.slot, state::FAILED), "{moment:?}");
            }
        }
    }
}

#[test]
fn a_peers_end_is_told() {
    for moment in [Moment::Before, Moment::Leaving, Moment::Arrived] {
        let mut moved = Moved::at(moment);
        moved.peer().send(b"last");
        moved.peer().finish();
        if moment == Moment::Before {
            moved.ask();
        }
        moved.passes();
        if let Some(second) = moved.second.as_ref().filter(|_| moment != Moment::Arrived) {
            // A kernel's socket would say it again.
            second.finish();
        }
        moved.until("the end", |moved| moved.app().has(moved.slot, state::PEER_FINISHED));
        assert_eq!(moved.app().take(moved.slot, 100), b"last", "{moment:?}");
        let mut moved = Moved::at(moment);
        moved.peer().reset();
        if moment == Moment::Before {
            moved.ask();
        }
        moved.until("the failure", |moved| moved.app().has(moved.slot, state::FAILED));
        assert_eq!(moved.app().slot(moved.slot).error(), rustix::io::Errno::CONNRESET.raw_os_error() as u32);
    }
}

#[test]
fn a_process_that_dies_leaves_nothing_behind() {
    for moment in MOMENTS {
        for old_first in [true, false] {
            let mut moved = Moved::at(moment);
            moved.app().give(moved.slot, &pattern(SECOND));
            if moment == Moment::Before {
                moved.ask();
            }
            moved.app = None;
            // Both orders in which the engines can learn of it and of the connection.
            std::thread::sleep(Duration::from_millis(5));
            for _ in 0..3 {
                if old_first { moved.stage.old.pass() } else { moved.stage.new.pass() }
            }
            moved.until("its end", |moved| moved.end() == Some(Ending::Finished) && moved.is_free());
            assert!(moved.arrived == [pattern(FIRST), pattern(SECOND)].concat(), "{moment:?}");
            moved.until("the region is let go", |moved| Arc::strong_count(moved.region.memory()) == 1);
        }
    }
}

#[test]
fn an_engine_that_stops_takes_back_what_was_to_leave() {
    let mut moved = Moved::at(Moment::Leaving);
    moved.stage.old.port.handle.stop(Duration::from_secs(5));
    moved.until("its end", |moved| moved.end() == Some(Ending::Finished));
    assert!(moved.arrived == pattern(FIRST));
    assert_eq!(moved.stage.old.port.stats.moved_out.get(), 0);
}
