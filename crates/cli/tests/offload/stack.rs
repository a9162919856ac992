//! Whose sockets the programs use.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::lab::{DEVICE, Lab};
use crate::programs::{PATIENCE, eventually, program, python};

/// Where a server of [`Stack::start_direct`] answers operators, in its namespace.
pub(crate) const ADMIN: &str = "127.0.0.1:9090";

/// A TCP server and those who run on it; or nobody, and they run on the kernel's sockets.
pub(crate) struct Stack {
    server: Option<Child>,
    directory: TempDir,
    place: Place,
}

/// Where the server and the programs run, and whose TCP it is.
#[derive(Default)]
struct Place {
    /// What puts a command there.
    prefix: Vec<OsString>,
    provider: Vec<&'static str>,
}

/// What `--offload` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offload {
    Both,
    Receive,
}

impl Stack {
    /// A server that sends and receives, unless `AFPA_TEST_OFFLOAD=receive` says otherwise for all tests.
    pub(crate) fn start() -> Stack {
        let receives = std::env::var("AFPA_TEST_OFFLOAD").as_deref() == Ok("receive");
        Stack::start_as(if receives { Offload::Receive } else { Offload::Both })
    }

    pub(crate) fn start_as(offload: Offload) -> Stack {
        let directory = tempfile::tempdir().unwrap();
        // Programs that give up their privileges come here too.
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        if is_plain() {
            return Stack { server: None, directory, place: Place::default() };
        }
        let mut provider = match offload {
            Offload::Both => vec!["kernel"],
            Offload::Receive => vec!["kernel", "--offload", "receive"],
        };
        if std::env::var("AFPA_TEST_IO").as_deref() == Ok("epoll") {
            provider.extend(["--io", "epoll"]);
        }
        let place = Place { provider, ..Place::default() };
        let mut stack = Stack { server: None, directory, place };
        stack.start_server();
        stack
    }

    /// At the server's end of a cable, whose frames are taken in this way.
    pub(crate) fn start_direct(lab: &Lab, frames: &'static str) -> Stack {
        Stack::start_direct_with(lab, &["--frames", frames])
    }

    /// The same, told more.
    pub(crate) fn start_direct_with(lab: &Lab, told: &[&'static str]) -> Stack {
        Stack::start_at(lab, [&["direct", "--interface", DEVICE, "--admin", ADMIN], told].concat())
    }

    /// At the server's end of a cable, for which the kernel receives on the engines' cores.
    pub(crate) fn start_receiving(lab: &Lab) -> Stack {
        Stack::start_at(lab, vec!["kernel", "--interface", DEVICE])
    }

    fn start_at(lab: &Lab, provider: Vec<&'static str>) -> Stack {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let command = lab.server.command("");
        let mut prefix: Vec<OsString> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(Into::into).collect();
        prefix.pop();
        let mut stack = Stack { server: None, directory, place: Place { prefix, provider } };
        stack.start_server();
        stack
    }

    /// A server that sends and receives, and then one that only receives.
    pub(crate) fn of_each_kind() -> impl Iterator<Item = Stack> {
        // The kernel's sockets are all of one kind.
        let kinds = if is_plain() { 1 } else { 2 };
        [Offload::Both, Offload::Receive].into_iter().take(kinds).map(Stack::start_as)
    }

    /// Whether programs send by themselves.
    pub(crate) fn receives_only(&self) -> bool {
        self.place.provider.contains(&"receive")
    }

    /// The same, where it matters that there is a server.
    pub(crate) fn with_each_server() -> impl Iterator<Item = Stack> {
        if is_plain() {
            println!("skipped: the kernel's sockets have no server");
        }
        Stack::of_each_kind().skip(usize::from(is_plain()))
    }

    fn start_server(&mut self) {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_afpa"));
        command.arg("tcp-server").arg("--socket").arg(self.socket()).args(["--cores", &cpus(), "--provider"]);
        command.args(&self.place.provider).stdin(Stdio::null());
        let log = File::options().append(true).create(true).open(self.log()).unwrap();
        self.server = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        eventually(&format!("the start of the TCP server ({})", self.said()), || answers(&self.socket()));
        // Who runs programs under other names lets them in.
        fs::set_permissions(self.socket(), Permissions::from_mode(0o666)).unwrap();
    }

    /// This program on these sockets.
    pub(crate) fn run(&self, name: &str) -> Command {
        self.offloaded(&program(name))
    }

    /// This command on these sockets.
    pub(crate) fn offloaded(&self, command: &Command) -> Command {
        let mut prefixed = match self.server {
            Some(_) => {
                let mut prefixed = self.place.command(env!("CARGO_BIN_EXE_afpa"));
                prefixed.env("AFPA_PRELOAD", library());
                prefixed.arg("offload").arg("--socket").arg(self.socket()).arg("--").arg(command.get_program());
                prefixed
            }
            None => Command::new(command.get_program()),
        };
        prefixed.args(command.get_args());
        prefixed
    }

    /// A program that is run where the server is, as another user.
    pub(crate) fn run_as(&self, user: u32, program: &Path) -> Command {
        let mut command = self.place.command("setpriv");
        command.args([&format!("--reuid={user}"), "--clear-groups", "--"]).arg(program);
        command
    }

    /// Where the programs have their files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Kills the server, and waits until it is gone.
    pub(crate) fn kill_server(&mut self) {
        let server = self.server.as_mut().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Ends the server as an operator does, and waits until it is gone.
    pub(crate) fn end_server(mut self) {
        if let Some(mut server) = self.server.take() {
            kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
            assert!(server.wait().unwrap().success(), "{}", self.said());
        }
    }

    /// Another server on the same path.
    pub(crate) fn start_successor(&mut self) {
        self.start_server();
    }

    pub(crate) fn assert_healthy(&mut self) {
        if let Some(server) = &mut self.server {
            assert_eq!(server.try_wait().unwrap(), None, "the TCP server ended: {}", self.said());
        }
        assert!(!self.said().contains("panicked"), "{}", self.said());
    }

    /// Where programs attach.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("tcp-server.sock")
    }

    fn log(&self) -> PathBuf {
        self.file("tcp-server.log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Place {
    fn command(&self, program: &str) -> Command {
        let mut words = self.prefix.iter().map(OsString::as_os_str).chain([program.as_ref()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the TCP server said: {}", self.said());
        } else {
            self.assert_healthy();
        }
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A program that is attached to the same server as those that have accidents, and has none.
pub(crate) struct Witness {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where the witness echoes.
    address: SocketAddr,
    connection: TcpStream,
}

/// Echoes what comes on a connection, and connects to itself when a line is read.
const WITNESS: &str = "
import socket, sys, threading
listening = socket.create_server(('127.0.0.1', 0))
def echo(connection):
    while octets := connection.recv(65536):
        connection.sendall(octets)
    connection.close()
def accept():
    while True:
        threading.Thread(target=echo, args=[listening.accept()[0]], daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
own = socket.create_connection(listening.getsockname())
print(listening.getsockname()[1], flush=True)
for line in sys.stdin:
    own.sendall(line.encode() * 5000)
    left = len(line) * 5000
    while left > 0:
        octets = own.recv(left)
        assert octets, 'the connection ended'
        left -= len(octets)
    print('well', flush=True)
";

impl Witness {
    pub(crate) fn of(stack: &Stack) -> Witness {
        let mut command = stack.offloaded(python().args(["-c", WITNESS]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asked, mut answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let port: u16 = line(&mut answers).parse().expect("the witness's port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connection = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        Witness { child, asked, answers, address, connection }
    }

    /// Its old connections and a new one work.
    pub(crate) fn assert_undisturbed(&mut self) {
        writeln!(self.asked, "how are you?").unwrap();
        assert_eq!(line(&mut self.answers), "well");
        let mut new = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        new.set_read_timeout(Some(PATIENCE)).unwrap();
        for connection in [&mut self.connection, &mut new] {
            connection.write_all(b"undisturbed").unwrap();
            let mut octets = [0; 11];
            connection.read_exact(&mut octets).unwrap();
            assert_eq!(&octets, b"undisturbed");
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

pub(crate) fn is_plain() -> bool {
    std::env::var("AFPA_TEST_PLAIN").as_deref() == Ok("1")
}

/// Whether somebody listens on this Unix socket.
fn answers(path: &Path) -> bool {
    let address = SocketAddrUnix::new(path).unwrap();
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &address).is_ok()
}

/// The library that `afpa offload` preloads: built for these tests, and therefore where they are.
fn library() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libmemnet_preload.so");
    assert!(path.is_file(), "there is no {}", path.display());
    path
}

/// Two CPUs, if there are: connections are on several engines.
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
