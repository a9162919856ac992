//! What dig and kdig show.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use afpa_dns::message::{Rcode, Type};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::client::{Client, EDNS};
use crate::free_address::free_address;
use crate::programs::{Daemon, are_installed, program};
use crate::server::Server;
use crate::zone_support::generate::ZoneFile;
use crate::zone_support::message::read;

const ZONE: &str = "\
$ORIGIN example.test.
$TTL 300
@ SOA ns1 hostmaster 7 7200 3600 86400 60
@ NS ns1
@ TXT \"the zone\"
ns1 A 192.0.2.1
www A 192.0.2.80
www AAAA 2001:db8::80
alias CNAME www
*.wild A 192.0.2.99
child NS ns.child
ns.child A 192.0.2.53
";

/// The zone as a file, with a set of records that needs more than one message of UDP.
fn zone(directory: &Path) -> ZoneFile {
    let path = directory.join("example.test.zone");
    let large: String = (0..30).map(|n| format!("large TXT \"{n:0>100}\"\n")).collect();
    std::fs::write(&path, format!("{ZONE}{large}")).unwrap();
    ZoneFile { apex: "example.test".parse().unwrap(), path }
}

fn server(directory: &TempDir) -> Server {
    let file = zone(directory.path()).path;
    let text = format!(
        "[dns]\nnsid = 'fra-1'\n[[dns.zones]]\nname = 'example.test'\nfile = {file:?}\ntransfer = ['127.0.0.1/32']\n\
         [[dns.zones]]\nname = 'www.example.test'\nfile = {:?}\n",
        directory.path().join("private.zone")
    );
    std::fs::write(directory.path().join("private.zone"), "@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\n@ 60 A 192.0.2.80\n")
        .unwrap();
    Server::run(&directory.path().join("afpa.toml"), &text)
}

/// What a program prints about the server; some words separate questions.
fn ask(name: &str, server: SocketAddr, words: &str) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let mut command = program(name);
    command.args([&at, "-p", &port]).args(words.split(' ')).env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Fields are separated as each program likes.
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn dig(server: &Server, words: &str) -> String {
    ask("dig", server.address, words)
}

fn assert_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn dig_sees_each_kind_of_answer_over_udp_and_tcp() {
    if !are_installed(&["dig"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    for carrier in ["+notcp", "+tcp"] {
        let cases: [(&str, &[&str]); 9] = [
            ("ns1.example.test A", &["status: NOERROR", "flags: qr aa rd;", "ns1.example.test. 300 IN A 192.0.2.1"]),
            ("example.test SOA", &["example.test. 300 IN SOA ns1.example.test. hostmaster.example.test. 7 "]),
            ("no.example.test A", &["status: NXDOMAIN", "flags: qr aa rd;", "AUTHORITY: 1", "example.test. 60 IN SOA"]),
            ("ns1.example.test MX", &["status: NOERROR", "ANSWER: 0, AUTHORITY: 1", "example.test. 60 IN SOA"]),
            ("a.b.wild.example.test A", &["status: NOERROR", "a.b.wild.example.test. 300 IN A 192.0.2.99"]),
            (
                "below.child.example.test A",
                &[
                    "status: NOERROR",
                    "flags: qr rd;",
                    "ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 2",
                    "child.example.test. 300 IN NS ns.child.example.test.",
                    "ns.child.example.test. 300 IN A 192.0.2.53",
                ],
            ),
            ("alias.example.test A", &["alias.example.test. 300 IN CNAME www.example.test."]),
            ("www.example.test A", &["flags: qr aa rd;", "www.example.test. 60 IN A 192.0.2.80"]),
            ("elsewhere.test A", &["status: REFUSED", "EDE: 20 (Not Authoritative)"]),
        ];
        for (question, expected) in cases {
            assert_all(&dig(&server, &format!("{carrier} {question}")), expected);
        }
        // One set of records (RFC 8482 §4.1).
        let any = dig(&server, &format!("{carrier} +notcp example.test ANY"));
        assert_all(&any, &["status: NOERROR", "ANSWER: 1,"]);
    }
}

#[test]
fn dig_sees_what_edns_says() {
    if !are_installed(&["dig"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let plain = dig(&server, "+noedns ns1.example.test");
    assert!(plain.contains("status: NOERROR") && !plain.contains("EDNS:"), "{plain}");
    assert_all(&dig(&server, "+nsid ns1.example.test"), &["; EDNS: version: 0, flags:; udp: 1232", "(\"fra-1\")"]);
    assert_all(&dig(&server, "+dnssec ns1.example.test"), &["; EDNS: version: 0, flags: do; udp: 1232"]);
    assert_all(&dig(&server, "+edns=1 +noednsneg ns1.example.test"), &["status: BADVERS", "; EDNS: version: 0"]);
    assert_all(&dig(&server, "+ednsopt=65001:00ff ns1.example.test"), &["status: NOERROR"]);
    // A cookie of our own making is good the second time.
    let first = dig(&server, "+cookie ns1.example.test");
    let cookie = first.split_once("; COOKIE: ").unwrap().1.split_whitespace().next().unwrap();
    assert_eq!(cookie.len(), 48, "{first}");
    let second = dig(&server, &format!("+cookie={cookie} ns1.example.test"));
    assert_all(&second, &["; COOKIE: ", "(good)", "status: NOERROR"]);
    assert_all(&dig(&server, "+tcp +keepalive ns1.example.test"), &["; TCP KEEPALIVE: 10.0 secs"]);
    assert_all(&dig(&server, "+opcode=NOTIFY example.test SOA"), &["status: NOTIMP"]);
}

#[test]
fn what_is_too_large_for_udp_is_truncated_and_comes_over_tcp() {
    if !are_installed(&["dig"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    for size in ["+bufsize=512", "+bufsize=4096", "+noedns"] {
        let truncated = dig(&server, &format!("+ignore {size} large.example.test TXT"));
        assert_all(&truncated, &["flags: qr aa tc rd;", "ANSWER: 0"]);
        let whole = dig(&server, &format!("{size} large.example.test TXT"));
        assert_all(&whole, &["Truncated, retrying in TCP mode", "ANSWER: 30,", "(TCP)"]);
    }
}

#[test]
fn a_zone_is_transferred_to_whom_it_may_be() {
    if !are_installed(&["dig", "kdig"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let all = dig(&server, "example.test AXFR");
    // Forty records, and the SOA record twice.
    assert_all(&all, &["XFR size: 41 records", "\nns.child.example.test. 300 IN A 192.0.2.53\n"]);
    let soa = |line: &&str| line.starts_with("example.test. 300 IN SOA ");
    let records: Vec<_> = all.lines().filter(|line| line.contains(" IN ")).collect();
    assert!(soa(&records[0]) && soa(records.last().unwrap()), "{all}");
    assert_all(&ask("kdig", server.address, "example.test AXFR"), &["41 records"]);
    assert_all(&dig(&server, "www.example.test AXFR"), &["; Transfer failed."]);
    assert_all(&dig(&server, "ns1.example.test AXFR"), &["; Transfer failed."]);
    let over_udp = dig(&server, "+notcp example.test IXFR=1");
    assert!(!over_udp.contains(" IN "), "{over_udp}");
}

#[test]
fn kdig_asks_several_questions_on_one_connection() {
    if !are_installed(&["kdig"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let names = ["ns1.example.test", "no.example.test", "a.wild.example.test", "elsewhere.test"];
    let questions = names.map(|name| format!("{name} A")).join(" ");
    let text = ask("kdig", server.address, &format!("+tcp +keepopen +nsid {questions}"));
    assert_all(&text, &["192.0.2.1\n", "status: NXDOMAIN", "192.0.2.99\n", "status: REFUSED"]);
    assert_eq!(text.matches("(TCP)").count(), 4, "{text}");
    assert_eq!(text.matches("\"fra-1\"").count(), 4, "{text}");
}

#[test]
fn dig_sees_a_forwarder_in_front_of_nsd() {
    if !are_installed(&["dig", "kdig", "nsd"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let nsd = Daemon::nsd(&[zone(directory.path())]);
    let server = Server::dns(&["--backend", &nsd.address.to_string()]);
    for _ in 0..2 {
        // The second time from the cache. Who has authority and who would recurse is the backend's word.
        let found = dig(&server, "www.example.test A");
        assert_all(&found, &["status: NOERROR", "flags: qr aa rd;", "IN A 192.0.2.80", "ANSWER: 1,"]);
        assert_all(&dig(&server, "+tcp alias.example.test AAAA"), &["IN CNAME www.example.test.", "2001:db8::80"]);
        assert_all(&dig(&server, "no.example.test A"), &["status: NXDOMAIN", "flags: qr aa rd;", "IN SOA ns1."]);
        assert_all(&dig(&server, "elsewhere.test A"), &["status: REFUSED"]);
        // Over UDP the backend truncates, too.
        assert_all(&dig(&server, "+ignore large.example.test TXT"), &["flags: qr aa tc rd;", "ANSWER: 0"]);
        assert_all(&dig(&server, "large.example.test TXT"), &["ANSWER: 30,", "(TCP)"]);
    }
    let two = ask("kdig", server.address, "+tcp +keepopen ns1.example.test A a.wild.example.test A");
    assert_all(&two, &["192.0.2.1\n", "192.0.2.99\n"]);
}

#[test]
fn dnsperf_loses_nothing() {
    if !are_installed(&["dnsperf"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start([192, 0, 2, 7], 60);
    let zone = format!("example.test={}", zone(directory.path()).path.display());
    let server = Server::dns(&["--zone", &zone, "--backend", &backend.address.to_string()]);
    let questions = directory.path().join("questions");
    let line = |n: usize| format!("n{n}.wild.example.test A\nn{}.elsewhere.test A\nno{n}.example.test AAAA\n", n % 100);
    std::fs::write(&questions, (0..500).map(line).collect::<String>()).unwrap();
    for mode in ["udp", "tcp"] {
        let mut command = program("dnsperf");
        command.args(["-s", &server.address.ip().to_string(), "-p", &server.address.port().to_string()]);
        command.args(["-m", mode, "-c", "4", "-n", "2", "-q", "50", "-d", questions.to_str().unwrap()]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = ["Queries completed: 3000 (100.00%)", "NOERROR 2000 (66.67%), NXDOMAIN 1000 (33.33%)"];
        assert_all(&text, &expected);
    }
}

#[test]
fn every_address_is_served_over_both_protocols() {
    let directory = tempfile::tempdir().unwrap();
    let zone = format!("example.test={}", zone(directory.path()).path.display());
    let (second, third) = (free_address().to_string(), format!("[::1]:{}", free_address().port()));
    let mut arguments = vec!["--zone", &zone, "--listen", &second];
    let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    if has_ipv6 {
        arguments.extend(["--listen", &third]);
    } else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "there is no IPv6");
    }
    let server = Server::dns(&arguments);
    assert_eq!(server.addresses.len(), 2 + usize::from(has_ipv6));
    for &address in &server.addresses {
        let mut client = Client::to(address);
        for ask in [Client::udp, Client::tcp] {
            let answer = read(&ask(&mut client, &"www.example.test".parse().unwrap(), Type::AAAA, EDNS));
            assert_eq!(answer.sections[0].len(), 1, "{address}");
        }
    }
}

#[test]
fn nobody_asks_a_backend_for_what_a_zone_holds() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start([192, 0, 2, 7], 60);
    let zone = format!("example.test={}", zone(directory.path()).path.display());
    let server = Server::dns(&["--zone", &zone, "--backend", &backend.address.to_string()]);
    let mut client = Client::to(server.address);
    assert_eq!(client.addresses("www.example.test"), ["192.0.2.80"]);
    assert_eq!(client.rcode("no.example.test"), Rcode::NXDOMAIN);
    assert_eq!(client.addresses("elsewhere.test"), ["192.0.2.7"]);
    assert_eq!(backend.asked(), ["elsewhere.test".parse().unwrap()]);
}
