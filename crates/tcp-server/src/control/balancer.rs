//! Looks at how busy engines are, and tells them what the balance decides.

use std::time::{Duration, Instant};

use crate::balance::{Action, Balance, INTERVAL, Observation, Settings};
use crate::moving::Share;
use crate::provider::Port;

/// How often it looks while nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// The balance of a server's engines.
pub(crate) struct Balancer {
    balance: Balance,
    started: Instant,
    /// When it looks next.
    next: Instant,
}

impl Balancer {
    /// Lets the engines know each other, and those sleep that are not active in the beginning.
    pub(crate) fn start(settings: Settings, ports: &[Port]) -> Balancer {
        let balance = Balance::new(ports.len(), settings);
        for (port, active) in ports.iter().zip(balance.active()) {
            let (all, is_active) = (ports.to_vec(), *active);
            port.command(move |provider, _, transports| {
                provider.meet(all);
                if !is_active {
                    provider.deactivate(transports);
                }
            });
        }
        Balancer { balance, started: Instant::now(), next: Instant::now() }
    }

    /// Whether the engine accepts connections.
    pub(crate) fn is_active(&self, engine: usize) -> bool {
        self.balance.active().get(engine) == Some(&true)
    }

    /// When it looks next, if there is anything to decide.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.balance.is_needed().then_some(self.next)
    }

    /// Looks, if it is time.
    pub(crate) fn tick(&mut self, now: Instant, ports: &[Port]) {
        if !self.balance.is_needed() || now < self.next {
            return;
        }
        let observe = |port: &Port| Observation { busy: port.stats.busy.get(), connections: port.stats.open.get() };
        let observations: Vec<Observation> = ports.iter().map(observe).collect();
        let actions = self.balance.decide(&observations, now.saturating_duration_since(self.started));
        for (port, load) in ports.iter().zip(self.balance.loads()) {
            port.stats.load.set((load * 1000.0) as u64);
        }
        self.next = now + if actions.is_empty() && self.balance.is_settled() { IDLE } else { INTERVAL };
        actions.into_iter().for_each(|action| carry_out(action, ports));
    }
}

fn carry_out(action: Action, ports: &[Port]) {
    tracing::debug!("balance: {action:?}");
    match action {
        Action::Activate(engine) => {
            let owner = ports[engine].owner;
            ports[engine].command(move |provider, desk, transports| provider.activate(owner, desk, transports));
        }
        Action::Retire(engine) => ports[engine].command(|provider, _, transports| provider.deactivate(transports)),
        Action::Evacuate { from, to } => {
            let to: Vec<u32> = to.into_iter().map(|engine| engine as u32).collect();
            ports[from].command(move |provider, desk, _| provider.relieve(&to, Share::All, desk));
        }
        Action::Move { from, to, permille } => {
            let to = [to as u32];
            ports[from].command(move |provider, desk, _| provider.relieve(&to, Share::Permille(permille), desk));
        }
    }
}
