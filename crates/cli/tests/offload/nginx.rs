//! nginx, with two workers.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::free_address::free_address;
use crate::http::{Connection, get, origin, request};
use crate::programs::{Daemon, LENGTHS, are_installed, eventually, is_listening, octets, output, program};
use crate::stack::Stack;

/// nginx in front of files of every length, and of a backend at `/backend/`.
pub(crate) fn nginx(stack: &Stack, address: SocketAddr, settings: &str) -> Daemon {
    nginx_until(stack, address, settings, || is_listening(address))
}

/// The same, where it cannot be reached from here.
pub(crate) fn nginx_until(stack: &Stack, address: SocketAddr, settings: &str, is_ready: impl Fn() -> bool) -> Daemon {
    let file = stack.file("nginx.conf");
    fs::write(&file, configuration(stack.directory(), address, settings)).unwrap();
    let mut command = stack.run("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(stack.directory()).arg("-e").arg(stack.file("nginx.errors"));
    let server = Daemon::start_until(command, address, &stack.file("nginx.log"), |_| is_ready());
    // It listens before it has any.
    eventually("the start of the workers", || server.children().len() == 2);
    server
}

fn configuration(directory: &Path, address: SocketAddr, settings: &str) -> String {
    let at = directory.display();
    let mut text = format!(
        "daemon off;\nworker_processes 2;\npid {at}/nginx.pid;\nerror_log {at}/nginx.errors info;\n\
         events {{ worker_connections 512; }}\nhttp {{\n access_log off;\n default_type application/octet-stream;\n"
    );
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, " {name}_temp_path {at}/nginx-{name};").unwrap();
    }
    text + &format!(
        " client_max_body_size 32m;\n server {{\n  listen {address};\n  root {at}/files;\n  {settings}\n }}\n}}\n"
    )
}

/// A file of each length, under its length as a name.
pub(crate) fn write_files(stack: &Stack) {
    fs::create_dir(stack.file("files")).unwrap();
    for length in LENGTHS {
        fs::write(stack.file(&format!("files/{length}")), octets(length as u64, length)).unwrap();
    }
}

/// Each file comes whole: on a connection each, on one connection for all, in a pipeline, in parts.
pub(crate) fn assert_serves_files(address: SocketAddr) {
    let mut kept = Connection::to(address);
    for length in LENGTHS {
        let expected = octets(length as u64, length);
        let response = get(address, &format!("/{length}"));
        assert!(response.status == 200 && response.body == expected, "{length} octets: {}", response.head);
        assert!(kept.ask(request("GET", &format!("/{length}"), "", b"")).body == expected, "{length} octets, kept");
        let head = kept.ask(request("HEAD", &format!("/{length}"), "", b""));
        assert!(head.head.contains(&format!("content-length: {length}\r\n")), "{}", head.head);
    }
    let part = kept.ask(request("GET", "/1048576", "Range: bytes=65530-700000\r\n", b""));
    assert!(part.status == 206 && part.body == octets(1 << 20, 1 << 20)[65_530..=700_000], "{}", part.head);
    assert_eq!(kept.ask(request("GET", "/nothing", "", b"")).status, 404);
    let pipeline: Vec<u8> = LENGTHS.iter().flat_map(|length| request("GET", &format!("/{length}"), "", b"")).collect();
    kept.send(pipeline);
    for length in LENGTHS {
        assert!(kept.response(false).unwrap().body == octets(length as u64, length), "{length} octets in a pipeline");
    }
}

#[test]
fn nginx_serves_files_with_sendfile_and_without() {
    if !are_installed(&["nginx"]) {
        return;
    }
    for mut stack in Stack::of_each_kind() {
        write_files(&stack);
        for settings in [
            "sendfile on; tcp_nopush on;",
            "sendfile on; sendfile_max_chunk 100k;",
            "sendfile off;",
            "sendfile on; aio threads;",
        ] {
            let mut server = nginx(&stack, free_address(), settings);
            assert_serves_files(server.address);
            server.signal(Signal::QUIT);
            assert!(server.end().success(), "{}", server.said());
        }
        stack.assert_healthy();
    }
}

#[test]
fn nginx_is_a_proxy_for_what_is_posted() {
    if !are_installed(&["nginx"]) {
        return;
    }
    for stack in Stack::of_each_kind() {
        write_files(&stack);
        let backend = origin();
        for settings in ["", "proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1;"] {
            let location = format!("{settings} location /backend/ {{ proxy_pass http://{backend}/; }}");
            let server = nginx(&stack, free_address(), &location);
            let mut connection = Connection::to(server.address);
            for length in LENGTHS {
                let body = octets(3, length);
                if length > 0 {
                    let echoed = connection.ask(request("POST", "/backend/", "", &body));
                    assert!(echoed.status == 200 && echoed.body == body, "{length} octets: {}", echoed.head);
                }
                let response = connection.ask(request("GET", &format!("/backend/{length}"), "", b""));
                assert!(response.body == octets(length as u64, length), "{length} octets: {}", response.head);
            }
        }
        let nobody = format!("location / {{ proxy_pass http://{}; }}", free_address());
        assert_eq!(get(nginx(&stack, free_address(), &nobody).address, "/").status, 502);
    }
}

#[test]
fn nginx_has_offloaded_clients_and_backends() {
    if !are_installed(&["nginx", "curl", "wget"]) {
        return;
    }
    let stack = Stack::start();
    write_files(&stack);
    let files = nginx(&stack, free_address(), "");
    // A second server of the same make is its proxy, on the same sockets.
    let proxy = nginx(&stack, free_address(), &format!("location / {{ proxy_pass http://{}; }}", files.address));
    for address in [files.address, proxy.address] {
        for length in LENGTHS {
            let (url, expected) = (format!("http://{address}/{length}"), octets(length as u64, length));
            assert!(output(program("curl").args(["-sS", &url])) == expected, "curl on the kernel's: {url}");
            assert!(output(stack.run("curl").args(["-sS", &url])) == expected, "curl: {url}");
            assert!(output(stack.run("wget").args(["-q", "-O", "-", &url])) == expected, "wget: {url}");
        }
    }
}

#[test]
fn nginx_reloads_under_traffic_and_no_request_fails() {
    if !are_installed(&["nginx"]) {
        return;
    }
    let stack = Stack::start();
    write_files(&stack);
    let server = nginx(&stack, free_address(), "");
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let response = get(server.address, "/65537");
                    assert!(response.status == 200 && response.body == octets(65_537, 65_537), "{}", response.head);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // One that the workers that go have to finish.
        let mut slow = Connection::to(server.address);
        slow.send(request("GET", "/8388608", "", b""));
        assert!(!slow.has_ended(), "it is under way");
        for _ in 0..3 {
            let (old, before) = (server.children(), served.load(Ordering::Relaxed));
            server.signal(Signal::HUP);
            eventually("the start of new workers", || {
                server.children().iter().filter(|child| !old.contains(child)).count() == 2
            });
            eventually("requests to new workers", || served.load(Ordering::Relaxed) > before + 50);
        }
        over.store(true, Ordering::Relaxed);
        assert!(slow.response(false).unwrap().body == octets(8 << 20, 8 << 20));
        drop(slow);
    });
    eventually("the end of the old workers", || server.children().len() == 2);
}

#[test]
fn nginx_finishes_what_is_in_flight_when_it_quits() {
    if !are_installed(&["nginx"]) {
        return;
    }
    for mut stack in Stack::of_each_kind() {
        write_files(&stack);
        let mut server = nginx(&stack, free_address(), "");
        let mut slow = Connection::to(server.address);
        slow.send(request("GET", "/8388608", "", b""));
        assert!(!slow.has_ended(), "it is under way");
        let mut idle = Connection::to(server.address);
        assert_eq!(idle.ask(request("GET", "/100", "", b"")).status, 200);
        server.signal(Signal::QUIT);
        eventually("the end of listening", || !is_listening(server.address));
        assert!(idle.has_ended(), "who was idle is told");
        assert!(slow.response(false).unwrap().body == octets(8 << 20, 8 << 20));
        assert!(server.end().success(), "{}", server.said());
        // The address is free again.
        let again = nginx(&stack, server.address, "");
        assert_serves_files(again.address);
        stack.assert_healthy();
    }
}
