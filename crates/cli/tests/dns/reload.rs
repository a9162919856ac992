//! SIGHUP: zones and backends are read again, and nobody notices but for the answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use afpa_dns::message::{Rcode, Type};
use rustix::process::Signal;

use crate::backend::Backend;
use crate::client::{Client, EDNS};
use crate::server::{Server, eventually};
use crate::zone_support::message::read;

fn write_zone(path: &Path, serial: u32, more: &str) {
    let text = format!("$TTL 60\n@ SOA ns host {serial} 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{more}\n");
    std::fs::write(path, text).unwrap();
}

/// A configuration with this zone and this backend.
fn configuration(zone: &Path, backend: SocketAddr) -> String {
    format!(
        "[dns]\n[[dns.zones]]\nname = 'example.test'\nfile = {zone:?}\n[[dns.backends]]\naddress = '{backend}'\n\
         name = 'b{}'\n",
        backend.port()
    )
}

/// The zone's serial, over UDP or TCP.
fn serial(client: &mut Client, over_tcp: bool) -> u32 {
    let ask = if over_tcp { Client::tcp } else { Client::udp };
    let answer = read(&ask(client, &"example.test".parse().unwrap(), Type::SOA, EDNS));
    let rdata = &answer.sections[0].first().expect("an SOA record").rdata;
    u32::from_be_bytes(*rdata[..rdata.len() - 16].last_chunk().unwrap())
}

#[test]
fn no_question_is_lost_while_a_zone_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (zone, backend) = (directory.path().join("zone"), Backend::start([192, 0, 2, 7], 60));
    write_zone(&zone, 1, "");
    let file = directory.path().join("afpa.toml");
    let mut server = Server::run(&file, &configuration(&zone, backend.address));
    let (address, is_over) = (server.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let (mut client, mut last, mut count) = (Client::to(address), 1, 0);
            // It asks once more when all reloads are over: that the last has arrived is waited for elsewhere.
            while !is_over.load(Ordering::Relaxed) {
                for over_tcp in [false, true] {
                    let serial = serial(&mut client, over_tcp);
                    assert!(serial >= last, "{serial} after {last}");
                    last = serial;
                    count += 1;
                }
                assert_eq!(client.addresses(&format!("n{count}.elsewhere.test")), ["192.0.2.7"]);
            }
            (last, count)
        });
        let mut client = Client::to(address);
        for number in 2..=10 {
            write_zone(&zone, number, &format!("new{number} A 192.0.2.{number}"));
            server.reload();
            eventually("the new zone", || serial(&mut client, false) == number);
            assert_eq!(client.addresses(&format!("new{number}.example.test")), [format!("192.0.2.{number}")]);
            assert_eq!(client.rcode(&format!("new{}.example.test", number - 1)), Rcode::NXDOMAIN);
        }
        is_over.store(true, Ordering::Relaxed);
        let (last, count) = asker.join().unwrap();
        assert!(last >= 9 && count > 0, "{last} {count}");
    });
}

#[test]
fn a_broken_zone_is_refused_with_its_line_and_the_old_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let zone = directory.path().join("zone");
    write_zone(&zone, 1, "");
    let mut server = Server::dns(&["--zone", &format!("example.test={}", zone.display())]);
    let mut client = Client::to(server.address);
    write_zone(&zone, 2, "www A 192.0.2.80\nwww A 192.0.2.800");
    server.signal(Signal::HUP);
    let said = server.says(&format!("{}:6: ", zone.display()));
    assert!(said.contains("192.0.2.800"), "{said}");
    server.says("the new configuration is refused (1 errors); the old one stays in use");
    assert_eq!(serial(&mut client, false), 1);
    assert_eq!(client.rcode("www.example.test"), Rcode::NXDOMAIN);
    write_zone(&zone, 3, "www A 192.0.2.80");
    server.reload();
    eventually("the repaired zone", || serial(&mut client, true) == 3);
    std::fs::remove_file(&zone).unwrap();
    server.signal(Signal::HUP);
    server.says(&zone.display().to_string());
    server.says("the old one stays in use");
    assert_eq!(client.addresses("www.example.test"), ["192.0.2.80"]);
}

#[test]
fn new_backends_are_asked_and_what_the_cache_knows_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (zone, file) = (directory.path().join("zone"), directory.path().join("afpa.toml"));
    let (old, new) = (Backend::start([192, 0, 2, 1], 60), Backend::start([192, 0, 2, 2], 60));
    write_zone(&zone, 1, "");
    let mut server = Server::run(&file, &configuration(&zone, old.address));
    let mut client = Client::to(server.address);
    assert_eq!(client.addresses("before.test"), ["192.0.2.1"]);
    client.learn("before.test", &old);
    server.configure(&file, &configuration(&zone, new.address));
    server.reload();
    // Engines take it a moment later; until then the old backend is asked.
    let mut number = 0;
    eventually("a question to the new backend", || {
        number += 1;
        client.addresses(&format!("n{number}.test")) == ["192.0.2.2"]
    });
    let asked = old.asked().len();
    assert_eq!(client.addresses("after.test"), ["192.0.2.2"]);
    assert_eq!(client.addresses("before.test"), ["192.0.2.1"]);
    assert_eq!(old.asked().len(), asked);
    // Without any, it is refused.
    server.configure(&file, &format!("[dns]\n[[dns.zones]]\nname = 'example.test'\nfile = {zone:?}\n"));
    server.reload();
    eventually("a refusal", || client.rcode("after.test") == Rcode::REFUSED);
}
