//! Programs of others: finding them, starting them, ending them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long something that happens soon is waited for, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the programs are there. Otherwise says which are not, and fails with `CI=true`.
pub(crate) fn are_installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| path(name).is_none()).collect();
    if !missing.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing:?} must be installed");
        println!("skipped: {missing:?} must be installed");
    }
    missing.is_empty()
}

/// A program that may be in a directory of root's, or of PostgreSQL's.
pub(crate) fn program(name: &str) -> Command {
    Command::new(path(name).unwrap_or_else(|| PathBuf::from(name)))
}

/// The distribution's Python, if there are others: it is a program and not a script that finds one.
pub(crate) fn python() -> Command {
    let own = Path::new("/usr/bin/python3");
    Command::new(if own.is_file() { own } else { Path::new("python3") })
}

fn path(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_postgresql = versions.map(|version| version.path().join("bin"));
    // Theirs first: elsewhere the name may be a script that finds them.
    let mut directories = of_postgresql.chain(std::env::split_paths(&paths)).chain([PathBuf::from("/usr/sbin")]);
    directories.find_map(|directory| Some(directory.join(name)).filter(|path| path.is_file()))
}

/// A server of another make. It goes with its value, and its children with it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Starts a server that listens on this address, and waits until it does.
    pub(crate) fn start(command: Command, address: SocketAddr, log: &Path) -> Daemon {
        Daemon::start_until(command, address, log, |_| is_listening(address))
    }

    /// Starts a server, and waits until it is ready, by what it said and did.
    pub(crate) fn start_until(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
        is_ready: impl Fn(&str) -> bool,
    ) -> Daemon {
        let output = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        // A group of its own: what it starts is ended with it.
        let child = command.process_group(0).spawn().unwrap();
        let mut daemon = Daemon { child, address, log: log.to_owned() };
        let end = Instant::now() + PATIENCE;
        while !is_ready(&daemon.said()) {
            assert!(daemon.is_running() && Instant::now() < end, "{command:?} did not start: {}", daemon.said());
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    /// SIGKILL, to it and its children.
    pub(crate) fn kill(&mut self) {
        // Some of them are in groups of their own.
        let children = self.children();
        kill_process_group(self.process(), Signal::KILL).unwrap();
        for child in children.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(child, Signal::KILL);
        }
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the server's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The processes that it started and that are still there.
    pub(crate) fn children(&self) -> Vec<i32> {
        let process = self.process().as_raw_nonzero();
        let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
        list.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Before anybody waits for it, so that the group's number is nobody else's.
        let has_ended = self.child.try_wait().unwrap().is_some();
        if !has_ended {
            let _ = kill_process_group(self.process(), Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            println!("{} said: {}", self.address, self.said());
        }
    }
}

/// Runs a command to its end, which must be a good one and come soon.
pub(crate) fn output(command: &mut Command) -> Vec<u8> {
    let output = attempt(command);
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The same as text.
pub(crate) fn text(command: &mut Command) -> String {
    String::from_utf8(output(command)).unwrap()
}

/// Runs a command to its end, which must come soon.
pub(crate) fn attempt(command: &mut Command) -> Output {
    // A group of its own: if it does not end, what it started is ended with it.
    let child =
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    finish(child, &format!("{command:?}"))
}

/// Waits for a program's end, which must come soon; what it writes is collected.
pub(crate) fn finish(child: Child, what: &str) -> Output {
    let process = Pid::from_child(&child);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE * 2) else {
        let _ = kill_process(process, Signal::KILL);
        let _ = kill_process_group(process, Signal::KILL);
        let last = receiver.recv_timeout(PATIENCE).map(Result::unwrap);
        panic!("{what} did not end: {last:?}");
    };
    output.unwrap()
}

pub(crate) fn is_listening(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, PATIENCE).is_ok()
}

/// Waits for something that happens soon, and that nothing tells of.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Octets that are different at each place, and for each seed.
pub(crate) fn octets(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut octets = vec![0; length];
    for word in octets.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    octets
}

/// Lengths around everything that has a size of its own: segments, pages, rings.
pub(crate) const LENGTHS: [usize; 15] =
    [0, 1, 100, 1459, 1460, 1461, 4096, 16_384, 65_535, 65_536, 65_537, 262_144, 1 << 20, (3 << 20) + 7, 8 << 20];
