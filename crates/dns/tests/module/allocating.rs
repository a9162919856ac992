//! What is answered from memory allocates nothing.

use afpa_dns::message::option;
use afpa_dns::protect::{ClientRateConfig, ResponseRateConfig};
use afpa_platform::testing::CountingAllocator;

use crate::bench::{Server, Setup, local};
use crate::messages::{Ask, a, reply};
use crate::zones::zone_of;

/// The allocations that so many of these questions cost, and the octets of their answers.
fn cost(server: &mut Server, ask: &Ask, count: usize) -> (u64, usize) {
    server.switches.octets.set(0);
    for _ in 0..count {
        server.network.send_datagram(server.owner, local(4000), &ask.octets());
    }
    let before = CountingAllocator::allocations();
    server.pass();
    (CountingAllocator::allocations() - before, server.switches.octets.get())
}

#[test]
fn hits_and_answers_from_zones_allocate_nothing() {
    let mut server = Server::new(Setup {
        zones: vec![("example", zone_of(40))],
        has_cookies: true,
        response_rate: Some(ResponseRateConfig::default()),
        client_rate: Some(ClientRateConfig { questions_per_second: 10_000, ..ClientRateConfig::default() }),
        ..Setup::default()
    });
    for number in 0..2 {
        server.send(4000, &a(&format!("host{number}")));
        let asked = server.question();
        let many = (0..number * 40 + 1).fold(reply(&asked.octets), |reply, last| reply.address(60, [192, 0, 2, last]));
        asked.answer(&many.octets());
        server.settle();
        server.answer();
    }
    server.switches.is_quiet.set(true);
    for question in [
        a("host0"),
        a("HOST0").option(option::COOKIE, b"12345678").option(option::NSID, &[]),
        a("host1"),
        a("host1").edns(1232),
        a("www.example"),
        a("alias.Example").option(option::COOKIE, b"12345678"),
        a("many.example"),
        a("many.example").edns(1232),
        a("absent.example").edns(1232),
        a("x.wild.example"),
        a("x.sub.example"),
    ] {
        // Buffers grow to what is needed once.
        cost(&mut server, &question, 1);
        let (allocations, octets) = cost(&mut server, &question, 100);
        assert_eq!(allocations, 0, "{question:?}");
        assert!(octets >= 100 * 20, "{question:?}: {octets} octets");
    }
    assert!(server.asked().is_empty());
}
