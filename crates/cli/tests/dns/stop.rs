//! The end: of the server, while questions wait, and of a backend.

use std::net::UdpSocket;
use std::time::Duration;

use afpa_dns::message::{Name, Rcode, Type};
use rustix::process::Signal;

use crate::backend::{Backend, answer, asked_name};
use crate::client::{Client, EDNS, connect, query};
use crate::free_address::free_address;
use crate::programs::{Daemon, are_installed};
use crate::server::{Server, eventually};
use crate::zone_support::message::read;

#[test]
fn who_waits_when_it_is_told_to_stop_is_answered() {
    use std::io::{Read, Write};
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    backend.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut server = Server::dns(&["--backend", &backend.local_addr().unwrap().to_string()]);
    let mut clients: Vec<_> = (0..5).map(|_| Client::to(server.address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&format!("n{number}.test").parse().unwrap(), Type::A, EDNS);
    }
    let mut stream = connect(server.address);
    for number in 5..8 {
        let message = query(number, &format!("n{number}.test").parse().unwrap(), Type::A, EDNS);
        stream.write_all(&[&(message.len() as u16).to_be_bytes(), &message[..]].concat()).unwrap();
    }
    // The backend has heard all of it before the signal, and answers after it.
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    while heard.len() < 8 {
        let (length, from) = backend.recv_from(&mut buffer).unwrap();
        if asked_name(&buffer[..length]).as_name() != Name::ROOT {
            heard.push((buffer[..length].to_vec(), from));
        }
    }
    server.signal(Signal::TERM);
    server.says("stopping: requests in flight have ");
    for (question, from) in &heard {
        backend.send_to(&answer(question, &[[192, 0, 2, 7]], 60), from).unwrap();
    }
    for client in &mut clients {
        let message = client.receive().expect("an answer");
        assert_eq!(read(&message).sections[0].len(), 1);
    }
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let mut answers = 0;
    while let Some((length, rest)) = all.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        assert_eq!(read(message).sections[0].len(), 1);
        answers += 1;
        all = rest.to_vec();
    }
    assert_eq!(answers, 3);
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn who_waits_for_nothing_is_told_before_the_grace_period_ends() {
    // It is there, and says nothing.
    let backend = UdpSocket::bind("127.0.0.1:0").unwrap();
    let backend_address = backend.local_addr().unwrap().to_string();
    let mut server = Server::dns(&["--backend", &backend_address, "--grace-period", "500ms"]);
    let mut client = Client::to(server.address);
    client.send(&"silent.test".parse().unwrap(), Type::A, EDNS);
    // Behind it, a question that is answered at once: the first was read.
    let answer = client.udp(&"zone.test".parse().unwrap(), Type::AXFR, EDNS);
    assert_eq!(read(&answer).flags & 0xf, Rcode::REFUSED.0);
    server.signal(Signal::TERM);
    server.says("stopping: requests in flight have 500ms to finish");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn while_one_backend_works_everybody_is_answered() {
    // One is not there, and one says nothing.
    let (missing, silent) = (free_address(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let works = Backend::start([192, 0, 2, 7], 60);
    let addresses = [missing, silent.local_addr().unwrap(), works.address];
    let backends: String = addresses.iter().map(|at| format!("[[dns.backends]]\naddress = '{at}'\n")).collect();
    for balance in ["least-outstanding", "hash", "round-robin"] {
        let directory = tempfile::tempdir().unwrap();
        let configuration = format!(
            "[dns]\n{backends}[[dns.pools]]\nname = 'default'\nbalance = '{balance}'\ntimeout = '200ms'\n\
             health-interval = '100ms'\n"
        );
        let mut server = Server::run(&directory.path().join("afpa.toml"), &configuration);
        let mut client = Client::to(server.address);
        for number in 0..60 {
            assert_eq!(client.addresses(&format!("n{number}.test")), ["192.0.2.7"], "{balance} {number}");
        }
        server.signal(Signal::TERM);
        server.says("stopped");
    }
}

#[test]
fn a_backend_that_is_killed_is_asked_again_when_it_is_back() {
    if !are_installed(&["unbound"]) {
        return;
    }
    let local = " local-zone: \"any.test.\" redirect\n local-data: \"any.test. 300 IN A 192.0.2.9\"";
    let mut unbound = Daemon::unbound(local, "any.test");
    let directory = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[dns]\n[dns.cache]\nfailure-ttl = '1s'\n[[dns.backends]]\naddress = '{}'\n[[dns.pools]]\nname = 'default'\n\
         timeout = '200ms'\nattempts = 2\nhealth-interval = '100ms'\nhealth-name = 'any.test'\nhealth-type = 'A'\n",
        unbound.address
    );
    let server = Server::run(&directory.path().join("afpa.toml"), &configuration);
    let mut client = Client::to(server.address);
    let mut number = 0;
    let mut new_name = move || {
        number += 1;
        format!("n{number}.any.test")
    };
    // What it hears is kept a moment after it was passed on: the TTL of what is kept has a cut.
    eventually("an answer that is kept", || {
        let known = read(&client.udp(&"known.any.test".parse().unwrap(), Type::A, EDNS));
        known.sections[0].first().unwrap().ttl < 300
    });
    for _ in 0..2 {
        unbound.kill();
        for _ in 0..5 {
            assert_eq!(client.rcode(&new_name()), Rcode::SERVFAIL);
        }
        assert_eq!(client.addresses("known.any.test"), ["192.0.2.9"], "what is known does not need it");
        unbound.restart();
        eventually("an answer of the backend that is back", || client.addresses(&new_name()) == ["192.0.2.9"]);
        // And it stays.
        for _ in 0..10 {
            assert_eq!(client.addresses(&new_name()), ["192.0.2.9"]);
        }
    }
}
