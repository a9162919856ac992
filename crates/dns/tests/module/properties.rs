//! Whatever clients, backends and operators do, in whatever order: each question is answered once, with what was asked
//! for, and nothing is left in the end.

use std::collections::HashMap;
use std::time::Duration;

use afpa_dns::cache::Policy;
use afpa_dns::message::{Rcode, Type, flag, option};
use afpa_dns::upstream::{FlightLimits, HealthConfig, PoolConfig};
use afpa_engine::memory::MemoryConfig;
use proptest::prelude::*;

use crate::bench::{Asked, SECOND, Server, Setup, Stream, frame, local, name, pool};
use crate::messages::{Answer, a, reply};

/// Names that are asked for; the address of each tells which it is.
const NAMES: u8 = 6;

#[derive(Clone, Debug)]
enum Act {
    /// A client asks in a datagram.
    Ask(u8),
    Connect,
    /// A question on one of the streams.
    Pipeline(u8, u8),
    /// The first octets of one.
    Begin(u8, u8),
    Finish(u8),
    Reset(u8),
    /// A backend does something with one of the questions that it has.
    Answer(u8, Saying),
    Advance(u16),
    Purge,
    Reload,
    /// Connections to backends do not open any more, or do again.
    Deafen(bool),
    /// There is no room for them, or there is again.
    Fill(bool),
}

#[derive(Clone, Copy, Debug)]
enum Saying {
    Good,
    Lifeless,
    NoName,
    Failed,
    Truncated,
    WithoutEdns,
    BadCookie,
    OtherCase,
    OtherId,
    Nonsense,
    Refuses,
    Finishes,
}

fn sayings() -> impl Strategy<Value = Saying> {
    prop_oneof![
        4 => Just(Saying::Good),
        1 => Just(Saying::Lifeless),
        1 => Just(Saying::NoName),
        1 => Just(Saying::Failed),
        2 => Just(Saying::Truncated),
        1 => Just(Saying::WithoutEdns),
        1 => Just(Saying::BadCookie),
        1 => Just(Saying::OtherCase),
        1 => Just(Saying::OtherId),
        1 => Just(Saying::Nonsense),
        1 => Just(Saying::Refuses),
        1 => Just(Saying::Finishes),
    ]
}

/// What happens, and whether everything comes to rest before the next.
fn acts() -> impl Strategy<Value = Vec<(Act, bool)>> {
    let act = prop_oneof![
        4 => (0..NAMES).prop_map(Act::Ask),
        1 => Just(Act::Connect),
        3 => (any::<u8>(), 0..NAMES).prop_map(|(stream, name)| Act::Pipeline(stream, name)),
        1 => (any::<u8>(), 1..20u8).prop_map(|(stream, count)| Act::Begin(stream, count)),
        1 => any::<u8>().prop_map(Act::Finish),
        1 => any::<u8>().prop_map(Act::Reset),
        8 => (any::<u8>(), sayings()).prop_map(|(question, saying)| Act::Answer(question, saying)),
        3 => (1..3000u16).prop_map(Act::Advance),
        1 => Just(Act::Purge),
        1 => Just(Act::Reload),
        1 => any::<bool>().prop_map(Act::Deafen),
        1 => any::<bool>().prop_map(Act::Fill),
    ];
    prop::collection::vec((act, any::<bool>()), 1..60)
}

/// A client's stream, and what was asked on it.
struct Client {
    stream: Stream,
    waiting: HashMap<u16, u8>,
    /// Whether all that it sent were whole questions, and it is still there.
    is_sound: bool,
}

struct World {
    server: Server,
    engines: usize,
    clients: Vec<Client>,
    /// By the port that they came from.
    waiting: HashMap<u16, u8>,
    asked: Vec<Asked>,
    next: u16,
}

fn setup(engines: usize) -> Setup {
    let health = HealthConfig { name: name("check"), ..HealthConfig::default() };
    let policy = Policy { stale: Duration::from_secs(60), ..Policy::default() };
    let flights = FlightLimits { flights: 4, waiters: 20 };
    Setup {
        pools: vec![PoolConfig { health, ..pool(2) }],
        policy,
        flights,
        engines,
        is_watching: true,
        ..Setup::default()
    }
}

impl World {
    fn new(engines: usize, network: MemoryConfig) -> World {
        let (clients, waiting, asked) = (Vec::new(), HashMap::new(), Vec::new());
        World { server: Server::new(Setup { network, ..setup(engines) }), engines, clients, waiting, asked, next: 1024 }
    }

    fn act(&mut self, act: &Act, rests: bool) {
        self.next += 1;
        let (id, server) = (self.next, &mut self.server);
        match *act {
            Act::Ask(name) => {
                self.waiting.insert(id, name);
                server.network.send_datagram(server.owner, local(id), &question(name).id(id).octets());
            }
            Act::Connect => {
                let stream = server.open();
                self.clients.push(Client { stream, waiting: HashMap::new(), is_sound: true });
            }
            Act::Pipeline(stream, name) => {
                let Some(client) = pick(&mut self.clients, stream) else { return };
                if client.is_sound && client.stream.peer.ending().is_none() {
                    client.waiting.insert(id, name);
                    client.stream.send(&[question(name).id(id)]);
                }
            }
            Act::Begin(stream, count) => {
                let Some(client) = pick(&mut self.clients, stream) else { return };
                client.stream.peer.send(&frame(&question(0).octets())[..count.into()]);
                client.is_sound = false;
            }
            Act::Finish(stream) => {
                let Some(client) = pick(&mut self.clients, stream) else { return };
                client.stream.peer.finish();
            }
            Act::Reset(stream) => {
                let Some(client) = pick(&mut self.clients, stream) else { return };
                client.stream.peer.reset();
                client.is_sound = false;
            }
            Act::Answer(question, saying) => {
                if let Some(asked) = pick(&mut self.asked, question) {
                    say(asked, saying);
                }
            }
            Act::Advance(millis) => server.advance(Duration::from_millis(millis.into())),
            Act::Purge => _ = server.cache.purge_all(),
            Act::Reload => server.reload(setup(self.engines)),
            Act::Deafen(is_deaf) => server.switches.is_deaf.set(is_deaf),
            Act::Fill(is_full) => server.switches.is_full.set(is_full),
        }
        match rests {
            true => self.server.settle(),
            false => _ = self.server.pass(),
        }
        self.look();
    }

    fn look(&mut self) {
        self.asked.extend(self.server.asked());
        for (to, answer) in self.server.answers() {
            let name = self.waiting.remove(&to.port()).expect("one answer to each question");
            check(to.port(), name, &answer);
        }
        for client in &mut self.clients {
            for answer in client.stream.answers() {
                match client.waiting.remove(&answer.header.id) {
                    Some(name) => check(answer.header.id, name, &answer),
                    // Beginnings may add up to a question.
                    None => assert!(!client.is_sound, "one answer to each question"),
                }
            }
            // What is sent behind FIN, or to a stream that has ended, is not looked at.
            client.is_sound &= client.stream.peer.ending().is_none() || client.waiting.is_empty();
        }
    }

    /// Lets time pass until all that can wait has ended.
    fn end(mut self) {
        self.server.switches.is_deaf.set(false);
        self.server.switches.is_full.set(false);
        for _ in 0..30 {
            self.server.advance(SECOND);
            self.look();
        }
        assert_eq!(self.waiting, HashMap::new(), "in datagrams");
        for client in &self.clients {
            assert!(!client.is_sound || client.waiting.is_empty(), "over streams");
            assert!(client.stream.peer.ending().is_some() || !client.is_sound);
        }
        assert_eq!(self.server.stats.waiting.get(), 0);
        self.ask_again();
        self.server.handle.stop(Duration::from_secs(3600));
        self.server.settle();
        self.server.advance(SECOND * 3);
        assert!(!self.server.pass(), "nothing is left");
    }
}

impl World {
    /// No question has been left behind that would keep others from being asked.
    fn ask_again(&mut self) {
        // Failures are not remembered any more.
        self.server.at(self.server.time().0 / 1_000_000_000 + 400);
        self.look();
        for name in 0..NAMES {
            self.server.cache.purge_all();
            self.server.send(1, &question(name).id(1));
            for _ in 0..3 {
                self.server.asked().iter().for_each(|asked| say(asked, Saying::Good));
                self.server.settle();
            }
            let answer = self.server.answer();
            check(1, name, &answer);
            assert_eq!(answer.rcode, Rcode::NOERROR, "Host{name}");
        }
    }
}

fn question(name: u8) -> crate::messages::Ask {
    a(&format!("Host{name}.example")).edns(1232)
}

fn pick<T>(all: &mut [T], number: u8) -> Option<&mut T> {
    let place = usize::from(number).checked_rem(all.len())?;
    all.get_mut(place)
}

fn say(asked: &Asked, saying: Saying) {
    let number = asked.ask.name.as_bytes().get(4).map_or(0, |digit| digit.wrapping_sub(b'0'));
    let cookie = asked.ask.opt.as_ref().and_then(|opt| opt.options.first()).map_or(&[][..], |(_, data)| data);
    let cookie = [&cookie[..cookie.len().min(8)], b"anything"].concat();
    let good = || reply(&asked.octets).address(10, [10, 0, 0, number]);
    let answer = match saying {
        Saying::Good => good(),
        Saying::Lifeless => reply(&asked.octets).address(0, [10, 0, 0, number]),
        Saying::NoName => reply(&asked.octets).rcode(Rcode::NXDOMAIN).soa(10, 10),
        Saying::Failed => reply(&asked.octets).rcode(Rcode::SERVFAIL),
        Saying::Truncated => good().flags(flag::TC),
        Saying::WithoutEdns => reply(&asked.octets).rcode(Rcode::FORMERR),
        Saying::BadCookie => reply(&asked.octets).rcode(Rcode::BADCOOKIE).option(option::COOKIE, &cookie),
        Saying::OtherCase => reply(&asked.octets).swapped().address(10, [10, 0, 0, number]),
        Saying::OtherId => reply(&asked.octets).id(!asked.ask.id).address(10, [6, 6, 6, 6]),
        Saying::Nonsense => return asked.answer(&[0x80; 40]),
        Saying::Refuses => return asked.peer.reset(),
        Saying::Finishes => return asked.peer.finish(),
    };
    asked.answer(&answer.octets());
}

fn check(id: u16, name: u8, answer: &Answer) {
    assert_eq!((answer.header.id, answer.has(flag::QR)), (id, true));
    let (asked, qtype, _) = answer.question.as_ref().expect("a question");
    assert_eq!((asked.as_str(), *qtype), (&*format!("Host{name}.example."), Type::A));
    match answer.rcode {
        Rcode::NOERROR => assert_eq!(answer.addresses()[0].0.octets(), [10, 0, 0, name]),
        rcode => assert!(matches!(rcode, Rcode::SERVFAIL | Rcode::NXDOMAIN | Rcode::FORMERR), "{rcode}"),
    }
}

/// Octets that replace others, by place.
fn damage() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec(any::<(u8, u8)>(), 0..6)
}

fn damaged(mut octets: Vec<u8>, damage: &[(u8, u8)], cut: u8) -> Vec<u8> {
    for (place, octet) in damage {
        let place = usize::from(*place) % octets.len();
        octets[place] = *octet;
    }
    octets.truncate(octets.len() - usize::from(cut) % octets.len());
    octets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_question_is_answered_once_and_nothing_is_left(
        acts in acts(),
        engines in 1..3usize,
        frame in prop_oneof![Just(1), Just(7), Just(1460)],
        window in prop_oneof![Just(100), Just(usize::MAX)],
        send_buffer in prop_oneof![Just(50), Just(1 << 18)],
    ) {
        let mut world = World::new(engines, MemoryConfig { frame, window, send_buffer, ..MemoryConfig::default() });
        for (act, rests) in &acts {
            world.act(act, *rests);
        }
        world.end();
    }

    #[test]
    fn whatever_a_client_sends_it_gets_one_answer_at_most(damage in damage(), cut in prop_oneof![Just(0), any::<u8>()]) {
        let zones = vec![("example", crate::zones::EXAMPLE.to_owned())];
        let mut server = Server::new(Setup { zones, has_cookies: true, forwards: false, ..Setup::default() });
        let octets = damaged(question(1).option(option::COOKIE, b"12345678").octets(), &damage, cut);
        server.send_octets(local(4000), &octets);
        let answers = server.answers();
        assert!(answers.len() < 2);
        let mut stream = server.connect();
        stream.peer.send(&frame(&octets));
        stream.peer.finish();
        server.settle();
        assert_eq!(stream.answers().len(), answers.len());
        assert!(stream.peer.ending().is_some());
    }

    #[test]
    fn whatever_a_backend_says_its_client_is_answered(damage in damage(), cut in prop_oneof![Just(0), any::<u8>()]) {
        let mut server = Server::forwarder();
        server.send(4000, &question(1));
        for _ in 0..20 {
            for asked in server.asked() {
                let good = reply(&asked.octets).address(60, [10, 0, 0, 1]).soa(60, 60).option(option::NSID, b"it");
                asked.answer(&damaged(good.octets(), &damage, cut));
            }
            server.advance(SECOND / 2);
        }
        let answer = server.answer();
        assert_eq!((answer.header.id, answer.question.is_some()), (0x1234, true));
        assert_eq!(server.stats.waiting.get(), 0);
    }
}
