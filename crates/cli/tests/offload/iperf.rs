//! iperf3, both ways.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::free_address::free_address;
use crate::programs::{Daemon, are_installed, eventually, output, program};
use crate::stack::Stack;

/// Octets of one transfer.
const LENGTH: u64 = 64 << 20;

pub(crate) fn iperf(mut command: Command, stack: &Stack, address: SocketAddr) -> Daemon {
    command.args(["-s", "-B", "127.0.0.1", "--forceflush", "-p", &address.port().to_string()]);
    Daemon::start_until(command, address, &stack.file("iperf3.log"), |said| said.contains("Server listening"))
}

/// Transfers there and back, on one connection and on three.
fn assert_transfers(client: impl Fn() -> Command, server: &Daemon) {
    let (port, length) = (server.address.port().to_string(), LENGTH.to_string());
    for (number, direction) in [&[][..], &["-R"], &["-P", "3"], &["-P", "3", "-R"]].into_iter().enumerate() {
        // It is busy until it has cleared away the test before.
        eventually("that it listens again", || server.said().contains(&format!("(test #{})", number + 1)));
        let mut client = client();
        client.args(["-c", "127.0.0.1", "-p", &port, "-n", &length, "-J"]).args(direction);
        let report: Value = serde_json::from_slice(&output(&mut client)).unwrap();
        assert!(report.get("error").is_none(), "{direction:?}: {report}");
        let sent = report["end"]["sum_sent"]["bytes"].as_u64().unwrap();
        assert!(sent >= LENGTH, "{direction:?}: {sent}");
        assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 0, "{direction:?}: {report}");
    }
}

#[test]
fn iperf_serves_clients_on_other_sockets() {
    if !are_installed(&["iperf3"]) {
        return;
    }
    let stack = Stack::start();
    let server = iperf(stack.run("iperf3"), &stack, free_address());
    assert_transfers(|| program("iperf3"), &server);
}

#[test]
fn iperf_clients_on_these_sockets_are_served() {
    if !are_installed(&["iperf3"]) {
        return;
    }
    let stack = Stack::start();
    let server = iperf(program("iperf3"), &stack, free_address());
    assert_transfers(|| stack.run("iperf3"), &server);
}

#[test]
fn iperf_serves_a_client_on_the_same_sockets() {
    if !are_installed(&["iperf3"]) {
        return;
    }
    for stack in Stack::of_each_kind() {
        let server = iperf(stack.run("iperf3"), &stack, free_address());
        assert_transfers(|| stack.run("iperf3"), &server);
    }
}
