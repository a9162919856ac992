//! A server under a name of its own, which can be made to stand for another program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long something that happens soon is waited for, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, in a directory of its own.
pub(crate) struct Program {
    directory: tempfile::TempDir,
}

impl Program {
    pub(crate) fn new() -> Program {
        let program = Program { directory: tempfile::tempdir().unwrap() };
        program.becomes_good();
        program
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("afpa")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn becomes_good(&self) {
        let new = self.file("new");
        symlink(env!("CARGO_BIN_EXE_afpa"), &new).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    /// The program is a script of the shell from now on.
    pub(crate) fn becomes(&self, script: &str) {
        let new = self.file("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

/// A server and its successors, which are killed if the test does not end them.
pub(crate) struct Server {
    child: Child,
    /// The process that serves.
    process: Pid,
    processes: Vec<Pid>,
    /// The first line.
    pub(crate) line: String,
    errors: Receiver<String>,
    seen: Vec<String>,
}

impl Server {
    pub(crate) fn start(program: &Program, arguments: &[&str]) -> Server {
        Server::start_with(Command::new(program.path()).args(arguments).stdin(Stdio::null()))
    }

    pub(crate) fn start_with(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Pid::from_child(&child);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, errors) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let server = Server { child, process, processes: vec![process], line, errors, seen: Vec::new() };
        assert!(server.line.starts_with("serving "), "{}", server.errors.iter().collect::<Vec<_>>().join("\n"));
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let (_, rest) = self.line.split_once("://").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process, signal).unwrap();
    }

    /// Has the program take over, and waits until it serves. Returns its process.
    pub(crate) fn upgrade(&mut self) -> i32 {
        self.signal(Signal::USR2);
        let line = self.says(" serves now; requests in flight have ");
        let number = line.split("process ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        self.process = Pid::from_raw(number.parse().unwrap()).unwrap();
        self.processes.push(self.process);
        self.process.as_raw_nonzero().get()
    }

    /// Waits for a line on standard error that contains `part`, behind those that were waited for before.
    pub(crate) fn says(&mut self, part: &str) -> String {
        loop {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(_) => panic!("{part:?} is not among {:#?}", self.seen),
            }
        }
    }

    /// How the first process ended.
    pub(crate) fn first_end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends what serves, and waits until every process is gone. Returns all that they said.
    pub(crate) fn end(mut self) -> String {
        self.signal(Signal::TERM);
        // The pipe is closed when the last of them has ended.
        self.seen.extend(self.errors.iter());
        self.child.wait().unwrap();
        std::mem::take(&mut self.seen).join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The first is gone, and its number may be another's.
        for process in &self.processes[1..] {
            if is_afpa(*process) {
                let _ = kill_process(*process, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            println!("the servers said: {:#?}", self.seen);
        }
    }
}

fn is_afpa(process: Pid) -> bool {
    let name = fs::read_to_string(format!("/proc/{}/comm", process.as_raw_nonzero()));
    test_kill_process(process).is_ok() && name.is_ok_and(|name| name.trim() == "afpa")
}

/// Waits for something that happens soon, and that nothing tells of.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory with a page.
pub(crate) fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.html"), "<p>first").unwrap();
    directory
}

pub(crate) fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}
