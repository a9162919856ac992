//! C programs against the library: one that uses everything that the header declares, and the examples.

#[path = "../../memnet/tests/support/real.rs"]
mod real;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use real::Real;

/// A C program of this crate, linked with the library. `None` where there is no compiler.
fn compile(source: &str, to: &Path) -> Option<PathBuf> {
    if Command::new("gcc").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no gcc");
        assert!(std::env::var_os("CI").is_none(), "CI has a compiler");
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // As cargo built it for this test, beside it.
    let built = std::env::current_exe().unwrap().with_file_name("libmemnet.a");
    let program = to.join(Path::new(source).file_stem().unwrap());
    let status = Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-I"])
        .arg(root.join("include"))
        .arg("-I")
        .arg(root.join("examples"))
        .arg("-o")
        .args([&program, &root.join(source), &built])
        .args(["-lpthread", "-ldl", "-lm"])
        .status();
    assert!(status.unwrap().success(), "{source} is compiled");
    Some(program)
}

/// A program that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts an example; returns it with the port that it listens on.
fn start(program: &Path, arguments: &[&Path]) -> (Running, u16) {
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.strip_prefix("port ").unwrap().trim().parse().unwrap();
    (Running(child), port)
}

fn client(port: u16) -> TcpStream {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

#[test]
fn a_program_uses_everything() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = compile("tests/whole.c", directory.path()) else { return };
    let real = Real::start();
    let output = Command::new(program).arg(real.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with("everything holds\n"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_program_uses_each_function_that_the_header_declares() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (header, program) = (read("include/memnet.h"), read("tests/whole.c") + &read("examples/common.h"));
    let code: String = header
        .split("/*")
        .filter_map(|part| part.split_once("*/").map_or(Some(part), |(_, code)| Some(code)))
        .collect();
    let mut declared = 0;
    for (at, _) in code.match_indices("memnet_") {
        let name: String = code[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if code[at + name.len()..].starts_with('(') {
            declared += 1;
            assert!(program.contains(&format!("{name}(")), "{name} is not used");
        }
    }
    assert!(declared > 30, "{declared} functions");
}

#[test]
fn the_examples_echo() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        ("examples/echo_sync.c", Real::start as fn() -> Real),
        ("examples/echo_sync.c", Real::receiving),
        ("examples/echo_async.c", Real::start),
    ];
    for (source, start_server) in cases {
        let Some(program) = compile(source, directory.path()) else { return };
        let real = start_server();
        let (_running, port) = start(&program, &[&real.path(), Path::new("0")]);
        let mut clients: Vec<_> = (0..3).map(|_| client(port)).collect();
        for client in &mut clients {
            let octets: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
            client.write_all(&octets).unwrap();
            let mut back = vec![0; octets.len()];
            client.read_exact(&mut back).unwrap();
            assert!(back == octets, "{source}");
        }
    }
}

#[test]
fn the_examples_serve_files() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("small"), "a small file").unwrap();
    fs::write(files.join("large"), vec![b'x'; 3_000_000]).unwrap();
    for source in ["examples/http_sync.c", "examples/http_async.c"] {
        let Some(program) = compile(source, directory.path()) else { return };
        let real = Real::start();
        let (_running, port) = start(&program, &[&real.path(), Path::new("0"), &files]);
        let ask = |request: &str| {
            let mut client = client(port);
            client.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            String::from_utf8(answer).unwrap()
        };
        let small = ask("GET /small HTTP/1.0\r\n\r\n");
        assert_eq!(small, "HTTP/1.0 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\na small file", "{source}");
        let pipelined = "GET /small HTTP/1.1\r\n\r\n".repeat(40)
            + "GET /none HTTP/1.1\r\n\r\nGET /large HTTP/1.1\r\nConnection: close\r\n\r\n";
        let answers = ask(&pipelined);
        assert_eq!(answers.matches("a small file").count(), 40, "{source}");
        assert_eq!(answers.matches("404 Not Found").count(), 1, "{source}");
        assert_eq!(answers.bytes().filter(|octet| *octet == b'x').count(), 3_000_000, "{source}");
    }
}
