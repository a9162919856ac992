//! Unbound as the backend, and beside us as the judge.

use std::time::Instant;

use afpa_dns::message::Type;

use crate::client::{Client, Edns, without_ttls};
use crate::programs::{Daemon, are_installed};
use crate::server::Server;
use crate::zone_support::message::{Answer, read, show};

/// A resolver that has no need of others.
const LOCAL: &str = " local-zone: \"local.test.\" static
 local-data: \"local.test. 600 IN SOA ns.local.test. host.local.test. 1 2 3 4 120\"
 local-data: \"www.local.test. 300 IN A 192.0.2.80\"
 local-data: \"www.local.test. 300 IN A 192.0.2.81\"
 local-data: \"www.local.test. 300 IN AAAA 2001:db8::80\"
 local-data: \"short.local.test. 2 IN A 192.0.2.2\"
 local-data: \"long.local.test. 1000000 IN A 192.0.2.3\"
 local-data: \"zero.local.test. 0 IN A 192.0.2.4\"
 local-data: \"mail.local.test. 300 IN MX 10 www.local.test.\"
 local-data: 'text.local.test. 300 IN TXT \"two words\" more'
 local-data: \"_sip._udp.local.test. 300 IN SRV 1 2 5060 www.local.test.\"
 local-zone: \"any.test.\" redirect
 local-data: \"any.test. 300 IN A 192.0.2.9\"
 local-zone: \"refused.test.\" always_refuse";

#[test]
fn answers_are_those_of_the_resolver_behind() {
    if !are_installed(&["unbound"]) {
        return;
    }
    let unbound = Daemon::unbound(&many(LOCAL), "www.local.test");
    let server = Server::dns(&["--backend", &unbound.address.to_string()]);
    let (mut ours, mut theirs) = (Client::to(server.address), Client::to(unbound.address));
    let started = Instant::now();
    let names = ["local", "www.local", "short.local", "long.local", "mail.local", "text.local", "_sip._udp.local"];
    let more = ["no.local", "a.b.no.local", "zero.local", "a.any", "B.any", "refused", "a.refused", "many.local"];
    let plain = Some(Edns { udp_size: 1232, dnssec_ok: false });
    let with_signatures = Some(Edns { udp_size: 1232, dnssec_ok: true });
    let mut compared = 0;
    for _ in 0..3 {
        for name in names.iter().chain(&more).map(|name| format!("{name}.test").parse().unwrap()) {
            for qtype in [Type::A, Type::AAAA, Type::MX, Type::TXT, Type::SRV, Type::SOA, Type::NS] {
                for edns in [None, plain, with_signatures] {
                    for ask in [Client::udp, Client::tcp] {
                        let expected = read(&ask(&mut theirs, &name, qtype, edns));
                        let answer = read(&ask(&mut ours, &name, qtype, edns));
                        let elapsed = started.elapsed().as_secs() as u32;
                        if let Some(what) = difference(&answer, &expected, elapsed) {
                            let (ours, theirs) = (show(&answer), show(&expected));
                            panic!("{name} {qtype} {edns:?}: {what}\nours:\n{ours}theirs:\n{theirs}");
                        }
                        compared += 1;
                    }
                }
            }
        }
    }
    assert_eq!(compared, 3 * 15 * 7 * 3 * 2);
}

/// With a set of records that is too large for UDP.
fn many(local: &str) -> String {
    let record = |n: usize| format!("\n local-data: \"many.local.test. 300 IN TXT '{n:0>100}'\"");
    local.to_owned() + &(0..30).map(record).collect::<String>()
}

/// What differs. That the only backend refuses is a failure.
fn difference(ours: &Answer, theirs: &Answer, elapsed: u32) -> Option<&'static str> {
    use afpa_dns::message::flag::TC;
    let (rcode, their_rcode) = (ours.flags & 0xf, theirs.flags & 0xf);
    if their_rcode == 5 {
        return (rcode != 2 && rcode != 5).then_some("response code");
    }
    if rcode != their_rcode {
        return Some("response code");
    }
    if ours.flags != theirs.flags {
        return Some("flags");
    }
    if ours.flags & TC != 0 {
        return None;
    }
    let ((bare, ttls), (their_bare, their_ttls)) = (without_ttls(ours), without_ttls(theirs));
    if bare.sections != their_bare.sections {
        return Some("records");
    }
    // A day is the longest that is kept.
    let may_be = |ttl: u32, theirs: u32| ttl <= theirs.min(86_400) && ttl + elapsed + 1 >= theirs.min(86_400);
    let all = ttls.iter().zip(&their_ttls).all(|(ttl, theirs)| may_be(*ttl, *theirs));
    (!all).then_some("TTL")
}
