//! Two hosts, a network and what they do, all from one seed.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_tcp::{Config, CongestionControl, Handshake, KeepAlive, Stats};
use fastrand::Rng;

use crate::application::{Application, SharedTally, Tally};
use crate::applications::{Asking, Client, Closing, Echo, Reading, Server, Talk, Talker};
use crate::device::Style;
use crate::host::Host;
use crate::network::Network;
use crate::octets::Octets;
use crate::plan::FaultPlan;

/// How long a simulation may take by its own clock before its connections count as immortal.
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// Where the server listens.
pub const PORT: u16 = 80;

/// A simulation that has not begun.
pub struct Scenario {
    /// What the network does.
    pub plan: FaultPlan,
    /// 4 or 6.
    pub version: u8,
    /// The two configurations: the client's and the server's.
    pub configs: [Config; 2],
    /// What the two devices can do.
    pub styles: [Style; 2],
    /// What the two applications do.
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Both send and check streams.
    Talk(Talk, Talk),
    /// The server echoes.
    Echo(Talk),
    /// Requests and responses.
    Exchange(Asking),
}

/// What came of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The client's and the server's view.
    pub tallies: [Tally; 2],
    /// How many packets were sent.
    pub packets: u64,
    /// What the two TCPs counted.
    pub stats: [Stats; 2],
}

impl Outcome {
    /// Whether everything that was to be exchanged was, and both ends closed in peace.
    pub fn is_complete(&self) -> bool {
        self.tallies.iter().all(|tally| tally.complete)
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub fn random(seed: u64) -> Scenario {
        let mut random = Rng::with_seed(seed ^ 0x0073_6365_6e65);
        let mut plan = FaultPlan::random(seed);
        let version = if random.bool() { 4 } else { 6 };
        // No IPv6 link takes less than 1280 octets (RFC 8200 §5); a TCP need not believe that an IPv4 link takes less than 576.
        let least = if version == 4 { 576 } else { 1_280 };
        for (_, mtu) in plan.links.iter_mut().flat_map(|link| &mut link.mtu) {
            *mtu = [*mtu, random.u32(least..=1_500), random.u32(least..=9_000)][random.usize(0..3)];
        }
        let purpose = Purpose::random(&mut random);
        let mut configs = [config(&mut random), config(&mut random)];
        // Only a client that speaks first makes up for a lost last acknowledgment of a handshake that nobody
        // remembers (RFC 4987 §3.6), and nobody remembers a reset that was lost either: the cookie would open again.
        if !purpose.client_speaks_first() || purpose.server_may_abort() {
            configs[1].handshake = Handshake::Queue { entries: 16 };
            configs[1].accept_on_data = false;
        }
        Scenario { plan, version, configs, styles: [style(&mut random), style(&mut random)], purpose }
    }

    /// The addresses of the client and the server.
    pub fn addresses(&self) -> [IpAddr; 2] {
        match self.version {
            4 => [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()],
            _ => [[0xfd00, 0, 0, 0, 0, 0, 0, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into()],
        }
    }

    /// The network with both hosts, the connection begun, and the tallies of both sides.
    pub fn build(&self) -> (Network<Host, Host>, [SharedTally; 2]) {
        let [here, there] = self.addresses();
        let seed = self.plan.seed;
        let client = Host::new(here, self.configs[0].clone(), self.styles[0], seed);
        let mut server = Host::new(there, self.configs[1].clone(), self.styles[1], !seed);
        let tallies: [SharedTally; 2] = [Rc::new(RefCell::default()), Rc::new(RefCell::default())];
        let (purpose, tally) = (self.purpose.clone(), tallies[1].clone());
        server.listen(PORT, Box::new(move || purpose.server(seed, tally.clone())));
        let mut network = Network::new(self.plan.clone(), client, server);
        let application = self.purpose.client(tallies[0].clone());
        network.client.connect(network.now(), SocketAddr::new(there, PORT), application);
        (network, tallies)
    }

    /// Runs it to the end.
    ///
    /// # Panics
    /// An octet is wrong, missing or one too many; a connection does not end; or one that could have been completed
    /// was not.
    pub fn run(&self) -> Outcome {
        let (mut network, tallies) = self.build();
        // The Drop of the network shows the plan; the rest is shown here.
        let _shown = Shown(self);
        let over = network
            .run(LONGEST, |network| network.client.tcp().connections() == 0 && network.server.tcp().connections() == 0);
        self.judge(over, &network, &tallies)
    }

    fn judge(&self, over: bool, network: &Network<Host, Host>, tallies: &[SharedTally; 2]) -> Outcome {
        let outcome = Outcome {
            tallies: [*tallies[0].borrow(), *tallies[1].borrow()],
            packets: network.packets(),
            stats: [*network.client.tcp().stats(), *network.server.tcp().stats()],
        };
        for (host, name) in [(&network.client, "client"), (&network.server, "server")] {
            let tcp = host.tcp();
            let left: Vec<_> = tcp.handles().filter_map(|handle| tcp.describe(handle)).collect();
            assert!(over && tcp.connections() == 0, "connections of the {name} do not end: {left:?}");
        }
        let [client, server] = outcome.tallies;
        let told = |tally: Tally| tally.ending.is_some() != tally.aborted;
        assert!(told(client), "the client's application was not told of the end, or too often");
        assert!(!server.opened || told(server), "the server's application was not told of the end, or too often");
        assert!(network.server.accepted() <= 1, "one connection was accepted {} times", network.server.accepted());
        let aborted = client.aborted || server.aborted;
        if self.plan.is_survivable() && !aborted {
            assert!(outcome.is_complete(), "could have been completed: {:?}", outcome.tallies);
        }
        outcome
    }
}

impl Purpose {
    fn random(random: &mut Rng) -> Purpose {
        match random.u8(0..8) {
            0..4 => {
                let (first, second) = (Octets(random.u64(..)), Octets(random.u64(..)));
                let (amount, answer) = (amount(random), amount(random));
                let one = talk(random, (first, amount), (second, answer));
                let mut other = talk(random, (second, answer), (first, amount));
                if one.closing == Closing::AfterPeer {
                    other.closing = Closing::WhenQueued;
                }
                Purpose::Talk(one, other)
            }
            4 => {
                let (octets, amount) = (Octets(random.u64(..)), amount(random));
                let mut echoed = talk(random, (octets, amount), (octets, amount));
                echoed.closing = Closing::WhenQueued;
                Purpose::Echo(echoed)
            }
            _ => Purpose::Exchange(Asking {
                seed: random.u64(..),
                requests: [1, 1, 2, 10, 30][random.usize(0..5)],
                largest: [0, 100, 1_500, 20_000, 100_000][random.usize(0..5)],
                pipelined: random.bool(),
            }),
        }
    }

    /// What talkers do, for a test that wants it otherwise.
    pub fn talks_mut(&mut self) -> Vec<&mut Talk> {
        match self {
            Purpose::Talk(client, server) => vec![client, server],
            Purpose::Echo(client) => vec![client],
            Purpose::Exchange(_) => Vec::new(),
        }
    }

    fn client_speaks_first(&self) -> bool {
        match self {
            Purpose::Talk(client, _) | Purpose::Echo(client) => client.amount > 0,
            Purpose::Exchange(_) => true,
        }
    }

    fn server_may_abort(&self) -> bool {
        matches!(self, Purpose::Talk(_, server) if server.patience.is_some())
    }

    fn client(&self, tally: SharedTally) -> Box<dyn Application> {
        match self {
            Purpose::Talk(client, _) | Purpose::Echo(client) => Box::new(Talker::new(client.clone(), tally)),
            Purpose::Exchange(asking) => Box::new(Client::new(*asking, tally)),
        }
    }

    fn server(&self, seed: u64, tally: SharedTally) -> Box<dyn Application> {
        match self {
            Purpose::Talk(_, server) => Box::new(Talker::new(server.clone(), tally)),
            Purpose::Echo(_) => Box::new(Echo::new(tally)),
            Purpose::Exchange(_) => Box::new(Server::new(seed, tally)),
        }
    }
}

fn amount(random: &mut Rng) -> u64 {
    let most = [0, 1, 1_000, 10_000, 60_000, 60_000, 200_000, 600_000][random.usize(0..8)];
    random.u64(most / 2..=most)
}

fn talk(random: &mut Rng, out: (Octets, u64), into: (Octets, u64)) -> Talk {
    let reading = match random.u8(0..5) {
        // At least a thousand readings: the slowest ends in minutes.
        0 => Reading::Slowly(
            random.usize(1_000..=5_000).max(into.1 as usize / 500),
            Duration::from_millis(random.u64(1..=200)),
        ),
        1 => Reading::Pausing(random.u64(0..=into.1), Duration::from_millis(random.u64(1..=60_000))),
        _ => Reading::AtOnce,
    };
    Talk {
        outgoing: out.0,
        amount: out.1,
        piece: [7, 100, 1_460, 10_000, 70_000][random.usize(0..5)].max(out.1 as usize / 300),
        pinned: random.u8(0..=4),
        incoming: into.0,
        expected: into.1,
        reading,
        closing: if random.bool() { Closing::WhenQueued } else { Closing::AfterPeer },
        patience: (random.u8(0..20) == 0).then(|| random.u64(0..=out.1 + into.1)),
    }
}

fn config(random: &mut Rng) -> Config {
    let pick = |random: &mut Rng| random.u8(0..4) > 0;
    Config {
        handshake: [Handshake::Cookies, Handshake::Queue { entries: 16 }][random.usize(0..2)],
        accept_on_data: random.bool(),
        receive_window: [4_096, 65_535, 65_535, 300_000, 2_000_000][random.usize(0..5)],
        receive_memory: [67_108_864, 67_108_864, 67_108_864, 30_000][random.usize(0..4)],
        send_buffer: [1, 3_000, 65_536, 262_144][random.usize(0..4)],
        nagle: random.u8(0..4) == 0,
        timestamps: pick(random),
        selective_acknowledgments: pick(random),
        congestion_notification: random.bool(),
        congestion_control: [CongestionControl::Cubic, CongestionControl::NewReno][random.usize(0..2)],
        mtu: [1_500, 1_500, 1_280, 9_000][random.usize(0..4)],
        // Slow readers take their time, also after they have closed their half.
        fin_wait: Duration::from_secs(3_600),
        // What makes a connection end whose peer forgot it.
        keep_alive: Some(KeepAlive { idle: Duration::from_secs(90), interval: Duration::from_secs(15), probes: 6 }),
        ..Config::default()
    }
}

fn style(random: &mut Rng) -> Style {
    Style {
        room: [1, 3, 64, 1_024][random.usize(0..4)],
        cuts: [0, 0, 16_000, 65_000][random.usize(0..4)],
        merges: random.bool(),
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.plan)?;
        writeln!(f, "  IPv{}, devices {:?}", self.version, self.styles)?;
        for (name, config) in ["client", "server"].iter().zip(&self.configs) {
            writeln!(f, "  {name}: {config:?}")?;
        }
        match &self.purpose {
            Purpose::Talk(client, server) => write!(f, "  the client {client}\n  the server {server}"),
            Purpose::Echo(client) => write!(f, "  the client {client}\n  the server echoes"),
            Purpose::Exchange(asking) => write!(f, "  {asking:?}"),
        }
    }
}

/// Shows the scenario if the thread panics.
struct Shown<'a>(&'a Scenario);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
