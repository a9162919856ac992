//! Engines that come and go, with the connections that they have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Duration;

use afpa_channel::slot::{command, state};
use afpa_sockets::Interface;
use afpa_tcp_server::{Notify, Settings, balance};

use crate::common::App;
use crate::server::{BY_HAND, Server, Setting, interfaces, listen, pin, until};

fn setting(interface: Interface, balance: balance::Settings) -> Setting {
    Setting { engines: 2, interface, provider: Settings::default(), balance, cpu: None }
}

/// An application that echoes as long as somebody lives.
fn echo(app: &App, listeners: &[u32], living: &AtomicUsize) {
    let mut slots: Vec<(u32, Vec<u8>)> = Vec::new();
    while living.load(Ordering::Relaxed) > 0 {
        let mut worked = false;
        while let Some(slot) = listeners.iter().find_map(|listener| app.accept(*listener)) {
            slots.push((slot, Vec::new()));
        }
        slots.retain_mut(|(slot, back)| {
            assert!(!app.has(*slot, state::FAILED));
            let is_end = app.has(*slot, state::PEER_FINISHED);
            back.extend(app.take(*slot, 4096));
            worked |= !back.is_empty();
            if !back.is_empty() {
                let given = app.give(*slot, back);
                back.drain(..given);
            }
            let is_over = is_end && back.is_empty();
            if is_over {
                app.region.holds(app.place).release(*slot);
                app.command(*slot, command::CLOSE);
            }
            !is_over
        });
        if !worked {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

/// A client that asks, until it is told to stop, and compares the answers.
fn ask(address: SocketAddr, is_over: &AtomicBool, asked: &AtomicUsize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut question = [0; 2000];
    for round in 0u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        question.fill(round as u8);
        stream.write_all(&question).unwrap();
        let mut answer = [0; 2000];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == question);
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Clients that ask all the time, and an application that answers them.
struct Crowd<'a> {
    address: SocketAddr,
    /// Clients ask no more.
    is_over: &'a AtomicBool,
    asked: &'a AtomicUsize,
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Counts itself for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn with_clients(app: &App, count: usize, f: impl FnOnce(&Crowd<'_>)) {
    let (listeners, address) = listen(app);
    let (is_over, asked, living) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(count + 1));
    scope(|scope| {
        scope.spawn(|| echo(app, &listeners, &living));
        for _ in 0..count {
            scope.spawn(|| {
                let _counted = Counted(&living);
                ask(address, &is_over, &asked);
            });
        }
        let _counted = Counted(&living);
        let crowd = Crowd { address, is_over: &is_over, asked: &asked };
        until("all are served", || asked.load(Ordering::Relaxed) > count);
        f(&crowd);
    });
}

#[test]
fn a_retired_engine_gives_everything_away_and_sleeps_until_it_is_wanted_again() {
    for interface in interfaces() {
        let server = Server::start(&setting(interface, BY_HAND));
        let app = server.attach();
        with_clients(&app, 8, |crowd| {
            server.relieve(0, 1);
            until("engine 1 has connections", || server.ports[1].stats.open.get() > 0);
            server.ports[1].command(|provider, _, transports| provider.deactivate(transports));
            until("engine 0 has all", || {
                server.relieve(1, 0);
                server.ports[1].stats.open.get() == 0
            });
            let accepted = server.ports[1].stats.accepted.get();
            let (asked, address) = (crowd.asked.load(Ordering::Relaxed), crowd.address);
            until("it is served", || crowd.asked.load(Ordering::Relaxed) > asked + 100);
            drop((0..20).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>());
            until("it sleeps", || server.ports[1].stats.sleeping.get() == 1);
            assert_eq!(server.ports[1].stats.accepted.get(), accepted);
            assert!(!server.status().engines[1].active);
            let owner = server.ports[1].owner;
            server.ports[1].command(move |provider, desk, transports| provider.activate(owner, desk, transports));
            // Of two that wait for connections the kernel may give all to one.
            server.ports[0].command(|provider, _, transports| provider.deactivate(transports));
            until("it accepts again", || {
                drop(TcpStream::connect(address).unwrap());
                server.ports[1].stats.accepted.get() > accepted
            });
            assert!(server.status().engines[1].active);
        });
        assert_eq!(server.sum(|stats| stats.forged.get()), 0);
    }
}

#[test]
fn an_application_that_goes_while_an_engine_is_retired_leaves_nobody_listening() {
    for interface in interfaces() {
        let server = Server::start(&setting(interface, balance::Settings { min: 1, max: 2, moves: true }));
        let app = server.attach();
        let (_, address) = listen(&app);
        drop(TcpStream::connect(address).unwrap());
        until("only one engine is active", || server.sum(|stats| stats.active.get()) == 1);
        drop(app);
        until("nobody listens", || TcpStream::connect(address).is_err());
    }
}

#[test]
fn the_load_of_one_engine_is_shared_out() {
    for interface in interfaces() {
        let server = Server::start(&setting(interface, balance::Settings::default()));
        let app = server.attach();
        with_clients(&app, 12, |crowd| {
            // As often as it takes: what has come by itself goes back, and comes again.
            until("engine 0 has all", || {
                server.relieve(1, 0);
                server.ports[1].stats.open.get() == 0
            });
            let before = server.ports[1].stats.moved_in.get();
            until("some have come to engine 1", || server.ports[1].stats.moved_in.get() > before);
            let asked = crowd.asked.load(Ordering::Relaxed);
            until("all are served", || crowd.asked.load(Ordering::Relaxed) > asked + 1000);
        });
        assert!(server.ports[0].stats.reliefs.get() > 0);
        assert_eq!(server.sum(|stats| stats.resets.get()), 0);
    }
}

#[test]
fn engines_come_with_load_and_go_without_it() {
    let server = Server::start(&setting(Interface::Epoll, balance::Settings { min: 1, max: 2, moves: true }));
    let app = server.attach();
    with_clients(&app, 16, |crowd| {
        until("the second engine has come", || server.ports[1].stats.activations.get() > 0);
        until("it has connections", || server.ports[1].stats.open.get() > 0);
        let asked = crowd.asked.load(Ordering::Relaxed);
        until("all are served", || crowd.asked.load(Ordering::Relaxed) > asked + 1000);
        crowd.is_over.store(true, Ordering::Relaxed);
        until("one has gone", || server.sum(|stats| stats.active.get()) == 1);
    });
    assert_eq!(server.sum(|stats| stats.resets.get()), 0);
}

#[test]
fn an_engine_and_its_application_share_a_processor() {
    let cpus: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| rustix::thread::sched_getaffinity(None).unwrap().is_set(*cpu))
        .collect();
    for notify in [Notify::Interrupt, Notify::Adaptive] {
        let provider = Settings { notify, ..Settings::default() };
        let setting = Setting { engines: 1, cpu: Some(cpus[0]), provider, ..setting(Interface::Auto, BY_HAND) };
        let server = Server::start(&setting);
        let app = server.attach();
        let (listeners, address) = listen(&app);
        let (is_over, asked, living) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(1));
        scope(|scope| {
            // It never sleeps, so it always wants the processor, and so does the engine when a question has come.
            scope.spawn(|| {
                pin(cpus[0]);
                greedy_echo(&app, &listeners, &living);
            });
            scope.spawn(|| {
                let _counted = Counted(&living);
                ask(address, &is_over, &asked);
            });
            until("questions are answered", || asked.load(Ordering::Relaxed) >= 50);
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(server.ports[0].stats.sleeps.get() > 0);
        assert_eq!(server.sum(|stats| stats.resets.get()), 0);
    }
}

/// As [`echo`], of one connection, without ever sleeping.
fn greedy_echo(app: &App, listeners: &[u32], living: &AtomicUsize) {
    let mut slot = None;
    while living.load(Ordering::Relaxed) > 0 {
        slot = slot.or_else(|| app.accept(listeners[0]));
        if let Some(slot) = slot {
            let mut back = app.take(slot, 4096);
            while !back.is_empty() && living.load(Ordering::Relaxed) > 0 {
                let given = app.give(slot, &back);
                back.drain(..given);
            }
        }
        std::hint::spin_loop();
    }
}
