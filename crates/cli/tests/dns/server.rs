//! A running server, and what it says.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::free_address::free_address;

/// How long something that happens soon is waited for, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that is killed if the test does not end it.
pub(crate) struct Server {
    child: Child,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// That, and everywhere else.
    pub(crate) addresses: Vec<SocketAddr>,
    output: Lines,
    errors: Lines,
}

impl Server {
    /// Starts `afpa dns` with one engine, unless `--cores` is among the arguments.
    pub(crate) fn dns(arguments: &[&str]) -> Server {
        let core = cpus()[0].to_string();
        let cores: &[&str] = if arguments.contains(&"--cores") { &[] } else { &["--cores", &core] };
        let address = free_address().to_string();
        Server::start(&[&["dns", "--listen", &address], cores, arguments].concat(), false)
    }

    /// Starts `afpa run` with a configuration, which is written to `file`, with one engine.
    pub(crate) fn run(file: &Path, configuration: &str) -> Server {
        configure(file, free_address(), configuration);
        let is_json = configuration.contains("format = 'json'");
        Server::start(&["run", "--config", file.to_str().unwrap()], is_json)
    }

    /// Starts `afpa ARGUMENTS` and waits for its line.
    fn start(arguments: &[&str], is_json: bool) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = Lines::of(child.stdout.take().unwrap());
        let mut errors = Lines::of(child.stderr.take().unwrap());
        // Where standard output is for objects alone, the line is among the messages.
        let line = if is_json { errors.find("serving ") } else { output.next().unwrap_or_default() };
        let urls = line.split("dns://").skip(1).map(|rest| rest.split(' ').next().unwrap());
        let addresses: Vec<_> = urls.map(|url| url.parse().unwrap()).collect();
        let Some(&address) = addresses.first() else {
            let _ = child.kill();
            panic!("no address in {line:?}: {}", errors.rest());
        };
        Server { child, address, addresses, output, errors }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line on standard error that contains `part`, behind those that were waited for before.
    pub(crate) fn says(&mut self, part: &str) -> String {
        self.errors.find(part)
    }

    /// Waits for a line on standard output that contains `part`, behind those that were waited for before.
    pub(crate) fn logs(&mut self, part: &str) -> String {
        self.output.find(part)
    }

    /// Writes another configuration to `file`, for the same address.
    pub(crate) fn configure(&self, file: &Path, configuration: &str) {
        configure(file, self.address, configuration);
    }

    /// Reads the configuration again, and waits until it is in use, for the main thread at least.
    pub(crate) fn reload(&mut self) {
        self.signal(Signal::HUP);
        self.says("the configuration was read again and is in use");
    }

    /// Waits for its end: its status, and the rest of what it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let said = self.errors.rest();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the server said: {}\n{}", self.errors.rest(), self.errors.seen.join("\n"));
        }
    }
}

/// Writes a configuration, with what is left out of its section `[dns]`.
fn configure(file: &Path, address: SocketAddr, configuration: &str) {
    let text = configuration.replace("[dns]\n", &format!("[dns]\nlisten = '{address}'\n"));
    fs::write(file, format!("cores = '{}'\n{text}", cpus()[0])).unwrap();
}

/// The lines that a process writes, as they come.
struct Lines {
    receiver: Receiver<String>,
    /// Those that were looked at.
    seen: Vec<String>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            // Nobody listens any more: the rest is read nevertheless, so that the process does not wait.
            lines.for_each(|line| drop(sender.send(line)));
        });
        Lines { receiver, seen: Vec::new() }
    }

    fn next(&mut self) -> Option<String> {
        self.receiver.recv_timeout(PATIENCE).ok().inspect(|line| self.seen.push(line.clone()))
    }

    fn find(&mut self, part: &str) -> String {
        loop {
            match self.next() {
                Some(line) if line.contains(part) => return line,
                Some(_) => {}
                None => panic!("{part:?} is not among {:#?}", self.seen),
            }
        }
    }

    /// Until the process ends.
    fn rest(&mut self) -> String {
        std::iter::from_fn(|| self.next()).collect::<Vec<_>>().join("\n")
    }
}

/// What an admin server answers to a GET.
pub(crate) fn get(admin: SocketAddr, path: &str) -> String {
    exchange(admin, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// What an admin server answers to a POST of JSON.
pub(crate) fn post(admin: SocketAddr, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
    exchange(admin, &format!("POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn exchange(admin: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(admin).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{request}: {answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Waits for something that happens soon, and that nothing tells of.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The CPUs that may be used.
pub(crate) fn cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| text.parse::<usize>().unwrap();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(part)..=number(part),
    };
    list.trim().split(',').flat_map(range).collect()
}
