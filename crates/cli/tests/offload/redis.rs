//! Redis, and its clients.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::free_address::free_address;
use crate::programs::{Daemon, are_installed, eventually, finish, octets, output, program, text};
use crate::stack::Stack;

const PROGRAMS: &[&str] = &["redis-server", "redis-cli", "redis-benchmark"];

/// Redis on these sockets.
pub(crate) fn redis(stack: &Stack, address: SocketAddr) -> Daemon {
    start(stack, stack.run("redis-server"), address)
}

fn start(stack: &Stack, mut command: Command, address: SocketAddr) -> Daemon {
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &address.port().to_string()]);
    command.arg("--dir").arg(stack.directory()).arg("--unixsocket").arg(stack.file("redis.sock"));
    Daemon::start(command, address, &stack.file("redis.log"))
}

/// redis-cli, before its command.
fn command_line(mut cli: Command, address: SocketAddr) -> Command {
    cli.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    cli
}

fn ask(address: SocketAddr, words: &str) -> String {
    text(command_line(program("redis-cli"), address).args(words.split(' '))).trim_end().to_owned()
}

/// What is stored through a client is what comes back, up to 1 MiB.
fn assert_keeps_values(stack: &Stack, cli: impl Fn() -> Command) {
    for length in [0, 1, 1000, 16_384, 65_536, 300_000, 1 << 20] {
        // What redis-cli prints ends in a line feed, and is a string of the shell.
        let value: Vec<u8> = octets(5, length).iter().map(|octet| b'a' + octet % 26).collect();
        let file = stack.file("value");
        fs::write(&file, &value).unwrap();
        let key = format!("key-{length}");
        let set = format!("exec \"$@\" < {}", file.display());
        let client = cli();
        let mut shell = program("sh");
        shell.args(["-c", &set, "sh"]).arg(client.get_program()).args(client.get_args());
        shell.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert_eq!(text(shell.args(["-x", "set", &key])), "OK\n");
        let mut got = output(cli().args(["--raw", "get", &key]));
        assert_eq!(got.pop(), Some(b'\n'));
        assert!(got == value, "{length} octets");
    }
}

#[test]
fn redis_keeps_values_for_clients_on_other_sockets() {
    if !are_installed(PROGRAMS) {
        return;
    }
    for stack in Stack::of_each_kind() {
        let mut server = redis(&stack, free_address());
        assert_keeps_values(&stack, || command_line(program("redis-cli"), server.address));
        // Its Unix socket is the kernel's, in the same loop.
        let mut unix = program("redis-cli");
        assert_eq!(text(unix.arg("-s").arg(stack.file("redis.sock")).args(["strlen", "key-1048576"])), "1048576\n");
        server.signal(Signal::TERM);
        assert!(server.end().success(), "{}", server.said());
    }
}

#[test]
fn redis_clients_on_these_sockets_get_their_values() {
    if !are_installed(PROGRAMS) {
        return;
    }
    let stack = Stack::start();
    let on_the_kernel = start(&stack, program("redis-server"), free_address());
    assert_keeps_values(&stack, || command_line(stack.run("redis-cli"), on_the_kernel.address));
    let offloaded = redis(&stack, free_address());
    assert_keeps_values(&stack, || command_line(stack.run("redis-cli"), offloaded.address));
}

#[test]
fn redis_benchmark_is_answered_in_full() {
    if !are_installed(PROGRAMS) {
        return;
    }
    for stack in Stack::of_each_kind() {
        let server = redis(&stack, free_address());
        // A pipeline of 16, then one at a time; 50 connections.
        for (client, pipeline) in [("kernel", "16"), ("offloaded", "16"), ("kernel", "1"), ("offloaded", "1")] {
            let benchmark = if client == "kernel" { program("redis-benchmark") } else { stack.run("redis-benchmark") };
            ask(server.address, "flushall");
            let mut benchmark = command_line(benchmark, server.address);
            let said =
                text(benchmark.args(["-n", "4800", "-P", pipeline, "-t", "set,get,incr,lpush,lrange_100", "--csv"]));
            assert_eq!(said.lines().filter(|line| line.contains('"')).count(), 7, "{said}");
            assert_eq!(ask(server.address, "get counter:__rand_int__"), "4800");
            // A multiple of connections times pipeline: it asks in full pipelines. The benchmark of LRANGE pushes as many elements once more.
            assert_eq!(ask(server.address, "llen mylist"), "9600");
        }
    }
}

#[test]
fn redis_does_in_time_what_no_connection_asks_for() {
    if !are_installed(PROGRAMS) {
        return;
    }
    let stack = Stack::start();
    let server = redis(&stack, free_address());
    for key in 0..20 {
        assert_eq!(ask(server.address, &format!("set key-{key} value px 150")), "OK");
    }
    // Its timer lets them expire; nobody looks at them.
    eventually("that keys expire", || ask(server.address, "dbsize") == "0");
    assert!(ask(server.address, "info stats").contains("expired_keys:20"));
    // Who waits for an element is told when the time is over, or when there is one.
    assert_eq!(ask(server.address, "blpop list 0.1"), "");
    let waiting = command_line(stack.run("redis-cli"), server.address)
        .args(["blpop", "list", "0"])
        .stdout(Stdio::piped())
        .spawn();
    eventually("that somebody waits", || ask(server.address, "info clients").contains("blocked_clients:1"));
    assert_eq!(ask(server.address, "rpush list element"), "1");
    let output = finish(waiting.unwrap(), "redis-cli");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "list\nelement\n");
}
