//! A server on the direct transport, and what it tells about itself.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{DEVICE, Lab, PORT, SERVER, SERVER_V6, has_ipv6};

/// Where it answers operators, in its namespace.
pub(crate) const ADMIN: &str = "127.0.0.1:9090";

/// A server that is killed if the test does not end it.
pub(crate) struct Server<'a> {
    child: Child,
    lab: &'a Lab,
    errors: PathBuf,
    _run: TempDir,
}

impl<'a> Server<'a> {
    /// Serves a directory on the direct transport, with one engine, over AF_XDP unless something else is wanted.
    pub(crate) fn direct(lab: &'a Lab, site: &Path, arguments: &[&str]) -> Server<'a> {
        let transport = ["--transport", "direct", "--interface", DEVICE];
        // Not the first way that works: what does not work is to be seen.
        let frames: &[&str] = if arguments.contains(&"--frames") { &[] } else { &["--frames", "xdp"] };
        Server::serve(lab, site, &[&transport, frames, arguments].concat())
    }

    /// Serves it by the kernel's TCP.
    pub(crate) fn sockets(lab: &'a Lab, site: &Path) -> Server<'a> {
        Server::serve(lab, site, &[])
    }

    fn serve(lab: &'a Lab, site: &Path, arguments: &[&str]) -> Server<'a> {
        let (ipv4, ipv6) = (format!("{SERVER}:{PORT}"), format!("[{SERVER_V6}]:{PORT}"));
        let mut all = vec!["serve", site.to_str().unwrap(), "--listen", &ipv4, "--admin", ADMIN];
        if has_ipv6() {
            all.extend(["--listen", &ipv6]);
        }
        let core = first_cpu();
        if !arguments.contains(&"--cores") {
            all.extend(["--cores", &core]);
        }
        all.extend(arguments);
        Server::start(lab, &all)
    }

    /// Starts `afpa ARGUMENTS` in the server's namespace and waits until it serves.
    pub(crate) fn start(lab: &'a Lab, arguments: &[&str]) -> Server<'a> {
        let run = tempfile::tempdir().unwrap();
        let errors = run.path().join("stderr");
        let mut command = lab.server.command(env!("CARGO_BIN_EXE_afpa"));
        command.args(arguments).stdout(Stdio::piped()).stderr(fs::File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Server { child, lab, errors, _run: run };
        assert!(line.starts_with("serving "), "no server: {line:?} {}", server.complaints());
        server
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        (self.child.wait().unwrap(), self.complaints())
    }

    /// What it said on standard error.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// What its admin server answers to a GET.
    pub(crate) fn admin(&self, path: &str) -> String {
        let mut connection = self.lab.server.inside(|| TcpStream::connect(ADMIN).unwrap());
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// A number that the engines count: `connections`, `resets`, ...
    pub(crate) fn engine(&self, name: &str) -> u64 {
        let stats: Value = serde_json::from_str(&self.admin("/api/stats")).unwrap();
        let engines = stats["engines"].as_array().unwrap().iter();
        engines.map(|engine| engine[name].as_u64().unwrap_or_else(|| panic!("{name} is not among {stats}"))).sum()
    }

    /// A number that their TCPs count, by its name in `/metrics` without `afpa_tcp_` and `_total`.
    pub(crate) fn tcp(&self, name: &str) -> u64 {
        let text = self.admin("/metrics");
        let prefix = format!("afpa_tcp_{name}_total{{");
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
        assert!(!lines.is_empty(), "{name} is not among {text}");
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Its connections, as `/api/connections` shows them.
    pub(crate) fn connections(&self) -> Vec<Value> {
        let text = self.admin("/api/connections?limit=100000");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let list = answer.as_array().or_else(|| answer["connections"].as_array());
        list.unwrap_or_else(|| panic!("{text}")).clone()
    }

    /// Waits until it has so many.
    pub(crate) fn has_connections(&self, count: u64) {
        eventually(&format!("{count} connections"), || self.engine("connections") == count);
    }

    /// Octets of memory that the process has.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the server said: {}", self.complaints());
        }
    }
}

/// Waits for something that happens soon, on any machine.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < patience, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn first_cpu() -> String {
    allowed_cpus().split([',', '-']).next().unwrap().to_owned()
}

/// The CPUs that may be used, as `--cores` takes them.
pub(crate) fn allowed_cpus() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().to_owned()
}
