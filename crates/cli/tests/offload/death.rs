//! The TCP server is killed under programs that use it.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use crate::free_address::free_address;
use crate::http::{Connection, request};
use crate::nginx::{assert_serves_files, nginx, write_files};
use crate::probe::probes;
use crate::programs::{PATIENCE, are_installed, attempt, finish, is_listening, python, text};
use crate::redis::redis;
use crate::stack::{Stack, Witness};

#[test]
fn whoever_waits_hears_that_the_server_is_gone() {
    if !are_installed(&["gcc"]) {
        return;
    }
    for mut stack in Stack::with_each_server() {
        // Who sends by himself waits for his peer, as on any socket of the kernel.
        let calls = ["accept", "recv", "poll", "epoll", "send"];
        let calls = if stack.receives_only() { &calls[..4] } else { &calls };
        let waiting: Vec<_> = calls.iter().map(|call| blocked(&stack, call)).collect();
        stack.kill_server();
        for (call, (child, mut said)) in calls.iter().zip(waiting) {
            let status = finish(child, call).status;
            let mut rest = String::new();
            said.read_to_string(&mut rest).unwrap();
            // The call fails, or the program has been ended; what it is not is alive and waiting.
            let failed = rest.lines().last().is_some_and(|line| line.contains(": E"));
            assert!(failed || !status.success(), "{call}: {status}: {rest}");
            assert_ne!(std::os::unix::process::ExitStatusExt::signal(&status), Some(14), "{call} waited for its alarm");
        }
        stack.start_successor();
        stack.assert_healthy();
        let again = text(&mut stack.offloaded(Command::new(&probes()[0]).arg("large_both_ways")));
        assert!(again.ends_with("done\n"), "{again}");
    }
}

/// A program that waits in this call.
fn blocked(stack: &Stack, call: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = stack.offloaded(Command::new(&probes()[0]).args(["--block", call]));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "blocked\n");
    (child, said)
}

#[test]
fn programs_serve_again_with_a_successor() {
    if !are_installed(&["nginx", "redis-server", "python3"]) {
        return;
    }
    for mut stack in Stack::with_each_server() {
        write_files(&stack);
        let mut web = nginx(&stack, free_address(), "");
        let mut store = redis(&stack, free_address());
        let mut kept = Connection::to(web.address);
        assert_eq!(kept.ask(request("GET", "/100", "", b"")).status, 200);
        let mut slow = Connection::to(web.address);
        slow.send(request("GET", "/8388608", "", b""));
        assert!(!slow.has_ended(), "it is under way");
        let mut idle = TcpStream::connect_timeout(&store.address, PATIENCE).unwrap();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        stack.kill_server();
        // Who was connected hears an end or a reset, and soon.
        let ended = idle.read(&mut [0; 8]);
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "nothing ended");
        let _ = slow.response(false);
        stack.start_successor();
        // The programs can be ended as usual, and serve where they did.
        for server in [&mut web, &mut store] {
            if server.is_running() {
                server.signal(Signal::TERM);
                server.end();
            }
        }
        let web = nginx(&stack, web.address, "");
        assert_serves_files(web.address);
        let store = redis(&stack, store.address);
        assert!(is_listening(store.address));
        Witness::of(&stack).assert_undisturbed();
    }
}

#[test]
fn a_program_without_a_server_is_told_so() {
    if !are_installed(&["python3"]) {
        return;
    }
    let Some(mut stack) = Stack::with_each_server().next() else { return };
    stack.kill_server();
    let mut listening = python();
    listening.args(["-c", "import socket; socket.create_server(('127.0.0.1', 0)); print('listening')"]);
    let output = attempt(&mut stack.offloaded(&listening));
    assert!(!output.status.success() && !output.stderr.is_empty(), "{output:?}");
    stack.start_successor();
    assert_eq!(text(&mut stack.offloaded(&listening)), "listening\n");
}
