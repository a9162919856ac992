//! Servers that are killed in the middle of a transfer.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use crate::free_address::free_address;
use crate::http::request;
use crate::iperf::iperf;
use crate::lighttpd::lighttpd;
use crate::memcached::{Client, memcached};
use crate::nginx::nginx;
use crate::node::node;
use crate::postgresql::Cluster;
use crate::programs::{Daemon, PATIENCE, are_installed, eventually, finish, is_listening, program, text};
use crate::python::file_server;
use crate::redis::redis;
use crate::stack::{Stack, Witness};

/// More than the buffers between two programs hold.
const LENGTH: usize = 128 << 20;

/// A client asks for much and reads a little; the server is killed. The client hears of it, nobody else does, and the
/// address is free for another.
fn accident(name: &str, start: impl Fn(&Stack, SocketAddr) -> Daemon, ask: impl Fn(SocketAddr, &mut TcpStream)) {
    if !are_installed(&[name, "python3"]) {
        return;
    }
    for mut stack in Stack::of_each_kind() {
        write_large_file(&stack);
        let mut witness = Witness::of(&stack);
        let mut server = start(&stack, free_address());
        let address = server.address;
        let mut client = asked(address, &ask);
        server.kill();
        let came = read_to_the_end(&mut client);
        assert!(came < LENGTH, "{came} octets in spite of the accident");
        assert_free(address);
        witness.assert_undisturbed();
        stack.assert_healthy();
        let again = start(&stack, address);
        drop(asked(again.address, &ask));
        // One who broke off is no accident of the server's.
        drop(asked(again.address, &ask));
        witness.assert_undisturbed();
    }
}

/// A connection on which much was asked for, and a little came.
fn asked(address: SocketAddr, ask: &impl Fn(SocketAddr, &mut TcpStream)) -> TcpStream {
    let mut client = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(address, &mut client);
    client.read_exact(&mut [0; 100_000]).unwrap();
    client
}

/// How much comes until the end or a reset, one of which comes soon.
fn read_to_the_end(client: &mut TcpStream) -> usize {
    let (mut all, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return all,
            Ok(came) => all += came,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("neither an end nor a reset: {error}"),
        }
    }
}

fn assert_free(address: SocketAddr) {
    eventually("that nobody listens any more", || !is_listening(address));
}

fn write_large_file(stack: &Stack) {
    std::fs::create_dir(stack.file("files")).unwrap();
    File::create(stack.file("files/large")).unwrap().set_len(LENGTH as u64).unwrap();
}

fn ask_for_the_large_file(_: SocketAddr, client: &mut TcpStream) {
    client.write_all(&request("GET", "/large", "", b"")).unwrap();
}

#[test]
fn nginx_is_killed() {
    accident("nginx", |stack, address| nginx(stack, address, "sendfile on;"), ask_for_the_large_file);
}

#[test]
fn nginx_without_sendfile_is_killed() {
    accident("nginx", |stack, address| nginx(stack, address, "sendfile off;"), ask_for_the_large_file);
}

#[test]
fn lighttpd_is_killed() {
    accident("lighttpd", |stack, address| lighttpd(stack, address, ""), ask_for_the_large_file);
}

#[test]
fn python_is_killed() {
    accident("python3", file_server, ask_for_the_large_file);
}

#[test]
fn node_is_killed() {
    accident("node", node, |_, client| {
        client.write_all(&request("GET", &format!("/{LENGTH}"), "", b"")).unwrap();
    });
}

#[test]
fn redis_is_killed() {
    accident("redis-server", redis, |_, client| {
        // Its buffers have no limit: it makes the answer at once.
        client.write_all(format!("SETRANGE large {} x\r\nGET large\r\n", LENGTH - 1).as_bytes()).unwrap();
    });
}

#[test]
fn memcached_is_killed() {
    accident("memcached", memcached, |address, client| {
        Client::to(address).set("large", &vec![b'x'; 1 << 20]);
        client.write_all(format!("get{}\r\n", " large".repeat(LENGTH >> 20)).as_bytes()).unwrap();
    });
}

#[test]
fn postgresql_is_killed() {
    if !are_installed(&["postgres", "initdb", "psql", "python3"]) {
        return;
    }
    let mut stack = Stack::start();
    let mut witness = Witness::of(&stack);
    let mut cluster = Cluster::start(&stack, free_address());
    let address = cluster.daemon.address;
    let copy = format!("copy (select repeat('x', 9999) from generate_series(1, {})) to stdout", LENGTH / 10_000);
    let mut client = cluster.psql(program("psql"), &copy);
    let mut client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut [0; 100_000]).unwrap();
    cluster.daemon.kill();
    let ended = finish(client, "psql");
    assert!(!ended.status.success() && ended.stdout.len() < LENGTH);
    assert_free(address);
    witness.assert_undisturbed();
    stack.assert_healthy();
    drop(cluster);
    // It recovers what it wrote down before the accident.
    let again = Cluster::start(&stack, address);
    let psql = program("psql");
    assert_eq!(text(&mut again.psql(psql, "select 'well'")), "well\n");
    witness.assert_undisturbed();
}

#[test]
fn iperf_is_killed() {
    if !are_installed(&["iperf3", "python3"]) {
        return;
    }
    for mut stack in Stack::of_each_kind() {
        let mut witness = Witness::of(&stack);
        for direction in [&[][..], &["-R"]] {
            let mut server = iperf(stack.run("iperf3"), &stack, free_address());
            let address = server.address;
            let mut client = program("iperf3");
            client.args([
                "-c",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
                "-t",
                "600",
                "-i",
                "0.1",
                "--forceflush",
            ]);
            let mut client = client.args(direction).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // Reports of the first intervals: the transfer is under way.
            let mut said = BufReader::new(client.stdout.take().unwrap());
            let reports = said.by_ref().lines().map_while(Result::ok).filter(|line| line.contains(" sec "));
            assert_eq!(reports.take(2).count(), 2);
            server.kill();
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            assert!(!finish(client, "iperf3").status.success());
            assert_free(address);
            witness.assert_undisturbed();
            stack.assert_healthy();
            drop(iperf(stack.run("iperf3"), &stack, address));
        }
    }
}
