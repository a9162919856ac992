//! Many connections of one host at once: slots, ports and what is remembered of closed connections are used again and again.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use afpa_sim::applications::{Asking, Client, Server};
use afpa_sim::{FaultPlan, Host, Network, PORT, SharedTally, Style};
use afpa_tcp::{Config, ConnectError, Handshake};

/// Few ports, so that each is used many times within a TIME-WAIT.
const PORTS: u16 = 64;
const CONNECTIONS: u64 = 3_000;

#[test]
fn ports_are_used_again_while_their_last_connection_is_remembered() {
    for (number, handshake) in [Handshake::Cookies, Handshake::Queue { entries: 8 }].into_iter().enumerate() {
        for timestamps in [true, false] {
            crowd(number as u64, handshake, timestamps, 0);
        }
    }
}

#[test]
fn a_crowd_on_a_bad_path_is_served() {
    for seed in 0..4 {
        crowd(seed, Handshake::Queue { entries: 64 }, true, 200);
    }
}

fn crowd(seed: u64, handshake: Handshake, timestamps: bool, loss: u32) {
    let mut plan = FaultPlan::perfect(seed, Duration::from_millis(3));
    plan.links.iter_mut().for_each(|link| link.loss = loss);
    let [here, there]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    let config = Config { timestamps, ephemeral_ports: 50_000..=50_000 + PORTS - 1, ..Config::default() };
    let style = Style { room: 256, cuts: 0, merges: false };
    let client = Host::new(here, config.clone(), style, seed);
    // The server closes first: it is the one that remembers.
    let mut server = Host::new(there, Config { handshake, ..config }, style, !seed);
    server.listen(PORT, Box::new(move || Box::new(Server::new(seed, tally()))));
    let mut network = Network::new(plan, client, server);
    let mut tallies: Vec<SharedTally> = Vec::new();
    while tallies.len() < CONNECTIONS as usize {
        for _ in 0..PORTS / 2 {
            let asking = Asking { seed: tallies.len() as u64, requests: 2, largest: 3_000, pipelined: false };
            let tally = tally();
            let client = Box::new(Client::new(asking, tally.clone()));
            let now = network.now();
            match network.client.try_connect(now, SocketAddr::new(there, PORT), client) {
                Ok(_) => tallies.push(tally),
                Err(error) => assert_eq!(error, ConnectError::NoPort),
            }
        }
        network.run(Duration::from_millis(40), |_| false);
    }
    let over = network.run(Duration::from_secs(600), |network| {
        network.client.tcp().connections() == 0 && network.server.tcp().connections() == 0
    });
    let complete = tallies.iter().filter(|tally| tally.borrow().complete).count();
    assert!(over, "{} connections are left", network.server.tcp().connections());
    assert_eq!(complete, tallies.len(), "complete");
}

fn tally() -> SharedTally {
    Rc::new(RefCell::default())
}
