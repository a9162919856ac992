//! The cache: more than fits, and several engines.

use std::net::SocketAddr;

use afpa_dns::message::Type;
use serde_json::Value;

use crate::backend::Backend;
use crate::client::{Client, EDNS, query};
use crate::free_address::free_address;
use crate::server::{Server, cpus, get};
use crate::zone_support::message::read;

fn stats(admin: SocketAddr) -> Value {
    serde_json::from_str(&get(admin, "/api/stats")).unwrap()
}

#[test]
fn more_names_than_fit_are_answered_and_the_oldest_make_room() {
    const NAMES: usize = 10_000;
    const AHEAD: usize = 64;
    let (backend, admin) = (Backend::start([192, 0, 2, 7], 3600), free_address());
    let (at, admin_at) = (backend.address.to_string(), admin.to_string());
    let server = Server::dns(&["--backend", &at, "--cache", "1MiB", "--admin", &admin_at]);
    let mut client = Client::to(server.address);
    let name = |number: usize| format!("name-{number}.some.where.test").parse().unwrap();
    for first in (0..NAMES).step_by(AHEAD) {
        let numbers = first..(first + AHEAD).min(NAMES);
        for number in numbers.clone() {
            client.send(&name(number), Type::A, EDNS);
        }
        for _ in numbers {
            let answer = read(&client.receive().expect("an answer"));
            assert_eq!((answer.flags & 0xf, answer.sections[0].len()), (0, 1));
        }
    }
    assert_eq!(backend.asked().len(), NAMES);
    let cache = &stats(admin)["cache"];
    let number = |key: &str| cache[key].as_u64().unwrap_or_else(|| panic!("{key} is not in {cache}"));
    assert_eq!(number("capacity_octets"), 1 << 20);
    assert!(number("used_octets") <= 1 << 20, "{cache}");
    assert!(number("evicted") + number("rejected") > 0, "{cache}");
    assert!((100..NAMES as u64).contains(&number("objects")), "{cache}");
    // Some is left, and serves.
    let objects = number("objects") as usize;
    for number in 0..NAMES {
        assert_eq!(read(&client.udp(&name(number), Type::A, EDNS)).sections[0].len(), 1);
        if backend.asked().len() > NAMES + 2000 {
            break;
        }
    }
    assert!(backend.asked().len() < 2 * NAMES, "{objects} objects, and none was found");
}

#[test]
fn what_one_engine_fetched_the_other_finds() {
    let cpus = cpus();
    let [first, second, ..] = cpus[..] else {
        println!("skipped: there is one CPU");
        return;
    };
    let backend = Backend::start([192, 0, 2, 7], 3600);
    let admin = free_address();
    let (at, admin_at, cores) = (backend.address.to_string(), admin.to_string(), format!("{first},{second}"));
    let server = Server::dns(&["--backend", &at, "--admin", &admin_at, "--cores", &cores]);
    // The kernel deals out clients by their addresses: among these there are some of each engine.
    let mut clients: Vec<_> = (0..16).map(|_| Client::to(server.address)).collect();
    let mut asked = 0;
    for number in 0..50 {
        let name = format!("n{number}.test");
        clients[number % 16].learn(&name, &backend);
        // Whoever they talk to, nobody is asked again.
        asked = asked.max(backend.asked().len());
        for client in &mut clients {
            assert_eq!(client.addresses(&name), ["192.0.2.7"]);
        }
        assert_eq!(backend.asked().len(), asked);
    }
    let stats = stats(admin);
    for engine in stats["engines"].as_array().unwrap() {
        let families = engine["dns"]["families"].as_array().unwrap();
        let outcomes = families.iter().find(|family| family["name"] == "dns_outcomes").unwrap();
        let of = |name: &str| {
            outcomes["counts"].as_array().unwrap().iter().find(|count| count[0] == name).unwrap()[1].as_u64()
        };
        assert!(of("hit") > Some(0), "{outcomes}");
    }
}

#[test]
fn many_who_ask_the_same_at_once_are_one_question() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let backend = Backend::with(move |question| {
        if crate::backend::asked_name(question).as_name() != afpa_dns::message::Name::ROOT {
            // Not for ever, should there be a second.
            let _ = held.recv_timeout(std::time::Duration::from_secs(10));
        }
        crate::backend::answer(question, &[[192, 0, 2, 7]], 60)
    });
    let server = Server::dns(&["--backend", &backend.address.to_string()]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::to(server.address)).collect();
    let name = "crowd.test".parse().unwrap();
    for client in &mut clients {
        client.send(&name, Type::A, EDNS);
    }
    // What was asked after them was read after them.
    let behind = clients[0].udp(&"zone.test".parse().unwrap(), Type::AXFR, EDNS);
    assert!(behind[..2] != query(1, &name, Type::A, EDNS)[..2]);
    release.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(read(&client.receive().expect("an answer")).sections[0].len(), 1);
    }
    assert_eq!(backend.asked(), [name]);
}
