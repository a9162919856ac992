//! The accelerator under test.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::free_address::free_address;
use crate::message::{Connection, Message, PATIENCE};

/// `afpa run`, until the value is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    errors: Receiver<String>,
    dir: TempDir,
}

/// What its configuration says.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) backends: Vec<String>,
    /// Of the pool.
    pub(crate) pool: &'static str,
    /// Of the section `[accelerate]`.
    pub(crate) accelerate: &'static str,
    /// How many seconds a backend may be silent; 0: longer than any test.
    pub(crate) patience: u32,
    /// Of the route.
    pub(crate) route: &'static str,
}

impl Setup {
    pub(crate) fn of(backends: &[SocketAddr]) -> Setup {
        Setup { backends: backends.iter().map(ToString::to_string).collect(), ..Setup::default() }
    }

    fn text(&self, address: SocketAddr) -> String {
        let Setup { backends, pool, accelerate, patience, route } = self;
        let patience = if *patience == 0 { 60 } else { *patience };
        let mut text = format!(
            "listen = ['{address}']\ncores = '{}'\n[cache]\nsize = '64MiB'\n[limits]\ngrace-period = '1s'\n[accelerate]\n{accelerate}\n\
             timeouts = {{ connect = '{patience}s', first-byte = '{patience}s', between-bytes = '{patience}s' }}\n\
             [[pools]]\nname = 'default'\n{pool}\nbackends = [",
            cpus()
        );
        backends.iter().for_each(|backend| write!(text, "{{ address = '{backend}' }}, ").unwrap());
        text + &format!(
            "]\n[[sites]]\nname = 'default'\nhosts = ['*']\n[[sites.routes]]\nname = 'all'\npool = 'default'\n{route}\n"
        )
    }
}

impl Proxy {
    pub(crate) fn before(backend: SocketAddr) -> Proxy {
        Proxy::start(&Setup::of(&[backend]))
    }

    pub(crate) fn start(setup: &Setup) -> Proxy {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("afpa.toml");
        // Reloads keep the address, so it is chosen here.
        let address = free_address();
        fs::write(&file, setup.text(address)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.arg("run").arg("--config").arg(&file);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let errors = lines(child.stderr.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("it does not start: {:?}", errors.iter().collect::<Vec<_>>());
        }
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Proxy { child, address, errors, dir }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Sends a request on a connection of its own, and returns the answer.
    pub(crate) fn ask(&self, request: &str) -> Message {
        let mut connection = self.connect();
        connection.send(request).unwrap();
        connection.response().unwrap_or_else(|error| panic!("{error} after {request}"))
    }

    pub(crate) fn get(&self, target: &str) -> Message {
        self.ask(&get(target, ""))
    }

    /// Takes another configuration, and waits until it is in use.
    pub(crate) fn reload(&self, setup: &Setup) {
        fs::write(self.dir.path().join("afpa.toml"), setup.text(self.address)).unwrap();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        loop {
            let line = self.errors.recv_timeout(PATIENCE).expect("word of the reload");
            if line.contains("the configuration was read again and is in use") {
                return;
            }
        }
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let has_ended = self.child.try_wait().unwrap();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the proxy said: {:#?}", self.errors.try_iter().collect::<Vec<_>>());
        } else {
            assert_eq!(has_ended, None, "it ended by itself");
        }
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    receiver
}

/// A GET. `fields` has a CRLF behind each.
pub(crate) fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n")
}

/// Waits for something that happens soon, and that nothing tells of.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Two CPUs, if there are: what is asked for on one engine is read on another as well.
fn cpus() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    };
    let cpus: Vec<String> = list.trim().split(',').flat_map(range).take(2).map(|cpu| cpu.to_string()).collect();
    cpus.join(",")
}
