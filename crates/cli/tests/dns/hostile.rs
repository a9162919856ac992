//! Clients that do not keep to the rules, and backends that lie. They are scripts, with dnspython, which writes what it
//! is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use afpa_dns::message::Rcode;

use crate::backend::Backend;
use crate::client::{Client, connect};
use crate::programs::{has_dnspython, python};
use crate::server::Server;

fn script(name: &str) -> Command {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dns").join(name);
    let mut command = python();
    command.arg(path).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A server with a zone, that has little patience.
fn impatient(directory: &Path, io: &str) -> Server {
    let zone = directory.join("zone");
    std::fs::write(&zone, "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n").unwrap();
    let limits = "[dns.limits]\nidle-timeout = '700ms'\nquery-timeout = '500ms'\npipelined = 4\n";
    let configuration = format!("io = '{io}'\n[dns]\n{limits}[[dns.zones]]\nname = 'example.test'\nfile = {zone:?}\n");
    Server::run(&directory.join("afpa.toml"), &configuration)
}

/// Runs one case of the hostile client.
fn attack(case: &str) {
    if !has_dnspython() {
        return;
    }
    for io in ["auto", "epoll"] {
        let directory = tempfile::tempdir().unwrap();
        let server = impatient(directory.path(), io);
        let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
        let output = script("hostile.py").args([&host, &port, case]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(Client::to(server.address).addresses("ns.example.test"), ["192.0.2.1"], "it still answers");
    }
}

#[test]
fn malformed_datagrams_get_what_they_deserve() {
    attack("malformed_datagrams");
}

#[test]
fn malformed_messages_on_a_stream_are_answered_and_too_short_ones_end_it() {
    attack("malformed_streams");
}

#[test]
fn who_dawdles_over_a_question_is_cut_off() {
    attack("slow_stream");
}

#[test]
fn who_asks_nothing_is_cut_off() {
    attack("idle_stream");
}

#[test]
fn half_a_question_on_500_streams_hinders_nobody() {
    attack("half_open_streams");
}

#[test]
fn who_asks_much_and_reads_nothing_hinders_nobody() {
    attack("unread_answers");
}

#[test]
fn clients_that_hold_every_connection_do_not_keep_questions_from_backends() {
    let (directory, backend) = (tempfile::tempdir().unwrap(), Backend::start([192, 0, 2, 7], 60));
    let limits = "[dns.limits]\nconnections = 10\nflights = 10\n";
    let configuration = format!("[dns]\n{limits}[[dns.backends]]\naddress = '{}'\n", backend.address);
    let server = Server::run(&directory.path().join("afpa.toml"), &configuration);
    let mut client = Client::to(server.address);
    client.learn("first.test", &backend);
    let mut held = Vec::new();
    for number in 0..30 {
        let mut stream = connect(server.address);
        stream.write_all(&[0]).unwrap();
        held.push(stream);
        assert_eq!(client.addresses(&format!("n{number}.test")), ["192.0.2.7"], "{number}");
    }
}

/// A backend that lies over UDP; which lie is the first label of the name that it is asked for.
struct Liar {
    child: Child,
    address: SocketAddr,
}

impl Liar {
    /// Without TCP, on which it is honest, if `flags` say so.
    fn start(flags: &[&str]) -> Liar {
        let mut command = script("liar.py");
        let mut child = command.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Liar { child, address: line.trim().parse().unwrap_or_else(|error| panic!("{line:?}: {error}")) }
    }

    /// A server whose only backend it is.
    fn serve(&self, directory: &Path) -> Server {
        let configuration = format!(
            "[dns]\n[[dns.backends]]\naddress = '{}'\n[[dns.pools]]\nname = 'default'\ntimeout = '200ms'\n\
             attempts = 2\nhealth-interval = '0s'\n",
            self.address
        );
        Server::run(&directory.join("afpa.toml"), &configuration)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn only_the_right_answer_of_a_backend_is_believed() {
    if !has_dnspython() {
        return;
    }
    let (liar, directory) = (Liar::start(&[]), tempfile::tempdir().unwrap());
    let server = liar.serve(directory.path());
    let mut client = Client::to(server.address);
    // What it says first is forged, and would be 203.0.113.66.
    for lie in ["id", "question", "query", "garbage", "cookie", "port", "case", "everything", "late", "truncated"] {
        assert_eq!(client.addresses(&format!("{lie}.lie.test")), ["192.0.2.7"], "{lie}");
    }
    for nothing in ["silent", "servfail"] {
        assert_eq!(client.rcode(&format!("{nothing}.lie.test")), Rcode::SERVFAIL, "{nothing}");
    }
    // What it adds about others is not kept.
    assert_eq!(client.addresses("extra.lie.test").first().map(String::as_str), Some("192.0.2.7"));
    assert_eq!(client.addresses("victim.test"), ["192.0.2.7"]);
    assert_eq!(client.addresses("good.lie.test"), ["192.0.2.7"], "it is asked as before");
}

#[test]
fn where_only_tcp_could_tell_and_is_refused_there_is_no_answer() {
    if !has_dnspython() {
        return;
    }
    let (liar, directory) = (Liar::start(&["--no-tcp"]), tempfile::tempdir().unwrap());
    let server = liar.serve(directory.path());
    let mut client = Client::to(server.address);
    for lie in ["truncated", "case"] {
        assert_eq!(client.rcode(&format!("{lie}.lie.test")), Rcode::SERVFAIL, "{lie}");
    }
    assert_eq!(client.addresses("good.lie.test"), ["192.0.2.7"]);
}
