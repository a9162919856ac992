//! `afpa tcp-server` and `afpa offload` as their users see them.

mod free_address;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use afpa_channel::Region;
use afpa_channel::control::{Reply, Request, VERSION, ask, connect_to};
use free_address::free_address;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;

use lab::{DEVICE, Lab};

#[expect(dead_code, reason = "what the tests of the direct transport need besides")]
#[path = "direct/lab.rs"]
mod lab;

struct Server {
    child: Child,
    line: String,
    directory: TempDir,
}

impl Server {
    fn start(flags: &[&str]) -> Server {
        Server::start_as(Command::new(env!("CARGO_BIN_EXE_afpa")), flags)
    }

    /// Where `afpa` says.
    fn start_as(mut afpa: Command, flags: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let mut child = afpa
            .args(["tcp-server", "--socket"])
            .arg(directory.path().join("server.sock"))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { child, line, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("server.sock")
    }

    fn afpa(&self, command: &[&str], arguments: &[&str]) -> Output {
        let mut afpa = Command::new(env!("CARGO_BIN_EXE_afpa"));
        afpa.args(command).arg("--socket").arg(self.socket()).args(arguments);
        afpa.env("AFPA_PRELOAD", self.directory.path().join("library.so")).output().unwrap()
    }

    fn terminate(mut self) -> (i32, bool) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        (self.child.wait().unwrap().code().unwrap(), self.socket().exists())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn it_says_that_it_only_receives() {
    let server = Server::start(&["--cores", "0", "--offload", "receive"]);
    let status = text(&server.afpa(&["tcp-server", "status"], &[]).stdout);
    assert!(status.starts_with("offload: receive\n"), "{status}");
    let json = server.afpa(&["tcp-server", "status"], &["--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["offload"], "receive");
}

#[test]
fn it_says_where_applications_attach_shows_them_and_ends_in_order() {
    let server = Server::start(&["--cores", "0", "--io", "epoll"]);
    let expected =
        format!("applications attach at {}; TCP runs on 1 engine (core 0) through epoll\n", server.socket().display());
    assert_eq!(server.line, expected);
    let status = server.afpa(&["tcp-server", "status"], &[]);
    let status = text(&status.stdout);
    assert!(status.starts_with("offload: send+receive\n"), "{status}");
    assert!(status.ends_with("\nno application is attached\n"), "{status}");
    let socket = connect_to(&server.socket()).unwrap();
    let request = Request::Attach { version: VERSION, name: "visitor".into() };
    let (reply, mut descriptors) = ask(socket.as_fd(), &request, &[]).unwrap();
    assert!(matches!(reply, Reply::Welcome { .. }) && descriptors.len() == 2);
    let region = Region::open(descriptors.remove(0)).unwrap();
    assert_eq!((region.geometry().slots(), region.geometry().ring()), (4096, 65_536));
    let status = text(&server.afpa(&["tcp-server", "status"], &[]).stdout);
    assert!(status.contains("visitor") && status.contains(&std::process::id().to_string()), "{status}");
    let json = server.afpa(&["tcp-server", "status"], &["--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["applications"][0]["name"], &json["engines"][0]["connections"]), (&"visitor".into(), &0.into()));
    assert_eq!(server.terminate(), (0, false));
    assert!(region.has_ended());
    assert_eq!(rustix::net::recv(&socket, &mut [0u8; 8][..], rustix::net::RecvFlags::empty()).unwrap().0, 0);
}

#[test]
fn it_does_what_a_configuration_says_unless_it_is_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("afpa.toml");
    let text = "[tcp-server]\nmode='600'\ncores='0'\nio='epoll'\nslots=64\nring='8KiB'\nlimits.applications=1\n";
    std::fs::write(&file, text).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap(), "--ring", "16KiB"]);
    assert!(server.line.ends_with("TCP runs on 1 engine (core 0) through epoll\n"), "{}", server.line);
    assert_eq!(std::fs::metadata(server.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let attach = || {
        let socket = connect_to(&server.socket()).unwrap();
        let request = Request::Attach { version: VERSION, name: "visitor".into() };
        let answer = ask(socket.as_fd(), &request, &[]);
        (socket, answer)
    };
    let (_first, welcome) = attach();
    let (_, mut descriptors) = welcome.unwrap();
    let region = Region::open(descriptors.remove(0)).unwrap();
    assert_eq!((region.geometry().slots(), region.geometry().ring()), (64, 16_384));
    let (_second, refusal) = attach();
    assert_eq!(refusal.unwrap_err().raw_os_error(), Some(rustix::io::Errno::USERS.raw_os_error()));
}

#[test]
fn one_server_has_a_socket() {
    let server = Server::start(&["--cores", "0"]);
    let second = server.afpa(&["tcp-server"], &["--cores", "0"]);
    assert_eq!(second.status.code(), Some(1));
    let expected =
        format!("afpa: applications cannot attach: {}: another server listens there\n", server.socket().display());
    assert_eq!(text(&second.stderr), expected);
}

#[test]
fn the_kernel_receives_for_an_interface_where_the_engines_are() {
    let Some(lab) = cable("napi") else { return };
    let server = start_in(&lab, &["--cores", "0"]);
    let status = server.afpa(&["tcp-server", "status"], &["--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let threads = status["receiving"].as_array().unwrap();
    assert_eq!(threads.len(), 2, "one for each queue: {status}");
    let names: Vec<_> = threads.iter().map(|thread| thread["name"].as_str().unwrap()).collect();
    let expected = format!("; packets of {DEVICE} are received by {} on core 0, {} on core 0\n", names[0], names[1]);
    assert!(server.line.ends_with(&expected), "{}", server.line);
    let table = text(&server.afpa(&["tcp-server", "status"], &[]).stdout);
    for thread in threads {
        assert_eq!((&thread["core"], cpus_of(thread["thread"].as_i64().unwrap()).as_str()), (&0.into(), "0"));
        assert!(table.contains(thread["name"].as_str().unwrap()), "{table}");
    }
    // An interface that is set up anew has other threads.
    lab.server.ip(&["link", "set", DEVICE, "down"]);
    lab.server.ip(&["link", "set", DEVICE, "up"]);
    let old: Vec<_> = threads.iter().map(|thread| thread["thread"].as_i64().unwrap()).collect();
    until("its new threads are there", || {
        let new = receiving(&server);
        new.len() == 2 && new != old && new.iter().all(|thread| cpus_of(*thread) == "0")
    });
    let second = refused_in(&lab, &["--cores", "0", "--interface", DEVICE]);
    let expected = format!(
        "afpa: packets of {DEVICE} cannot be received on the engines' cores: another TCP server does that already; stop \
         it, or name another interface, or leave --interface out\n"
    );
    assert_eq!(second, expected);
    assert_eq!(threaded(&lab), "1", "who is refused changes nothing");
    assert_eq!(server.terminate(), (0, false));
    assert_eq!(threaded(&lab), "0", "as it was");
}

#[test]
fn what_a_killed_server_has_changed_its_successor_puts_back() {
    let Some(lab) = cable("napi-killed") else { return };
    let Some(other) = other_cpu() else { return };
    lab.server.shell(&format!("echo 1 > /sys/class/net/{DEVICE}/threaded"));
    let mut first = start_in(&lab, &["--cores", "0"]);
    let threads = receiving(&first);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let successor = start_in(&lab, &["--cores", "0"]);
    assert_eq!(receiving(&successor), threads);
    assert_eq!(successor.terminate().0, 0);
    assert!(threads.iter().all(|thread| cpus_of(*thread) != "0"), "as they were before the first");
    // The same once they were on another CPU by somebody's will.
    let mut set = CpuSet::new();
    set.set(other);
    threads.iter().for_each(|thread| sched_setaffinity(Pid::from_raw(*thread as i32), &set).unwrap());
    let mut first = start_in(&lab, &["--cores", "0"]);
    assert!(threads.iter().all(|thread| cpus_of(*thread) == "0"));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let successor = start_in(&lab, &["--cores", "0"]);
    assert_eq!(successor.terminate().0, 0);
    assert!(threads.iter().all(|thread| cpus_of(*thread) == other.to_string()));
    assert_eq!(threaded(&lab), "1");
}

#[test]
fn an_interface_that_cannot_be_received_for_elsewhere_is_refused_with_what_helps() {
    let Some(lab) = cable("napi-refused") else { return };
    let refused = |interface: &str| refused_in(&lab, &["--cores", "0", "--interface", interface]);
    let reason = |interface: &str, reason: &str| {
        format!(
            "afpa: packets of {interface} cannot be received on the engines' cores: {reason}, or leave --interface out\n"
        )
    };
    let expected = "No such device (os error 19); ip link shows which interfaces there are";
    assert_eq!(refused("afpa-none"), reason("afpa-none", expected));
    let expected = "its driver does not poll it (NAPI), so there is nothing to move; name another interface";
    assert_eq!(refused("lo"), reason("lo", expected));
    lab.server.shell(&format!("ethtool -K {DEVICE} gro off"));
    let expected = "a veth polls nothing while it does not gather packets; let it: ethtool -K lab0 gro on";
    assert_eq!(refused(DEVICE), reason(DEVICE, expected));
    lab.server.ip(&["link", "set", DEVICE, "down"]);
    assert_eq!(refused(DEVICE), reason(DEVICE, "it is down; set it up: ip link set lab0 up"));
    assert_eq!(threaded(&lab), "0");
    let frames = refused_in(&lab, &["--cores", "0", "--queues", "1"]);
    assert_eq!(frames, "afpa: --frames, --queues and --registered-memory are of --provider direct; write that, too\n");
}

/// A cable of two queues whose packets are received by polling; or what is missing is said.
fn cable(test: &str) -> Option<Lab> {
    let lab = Lab::cable_of(&format!("tcp-server-{test}"), "2")?;
    if Command::new("ethtool").arg("--version").output().is_err() {
        lab::skip("there is no ethtool");
        return None;
    }
    lab.server.shell(&format!("ethtool -K {DEVICE} gro on"));
    Some(lab)
}

fn start_in(lab: &Lab, flags: &[&str]) -> Server {
    Server::start_as(lab.server.command(env!("CARGO_BIN_EXE_afpa")), &[flags, &["--interface", DEVICE]].concat())
}

/// What a server says that does not start.
fn refused_in(lab: &Lab, flags: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut afpa = lab.server.command(env!("CARGO_BIN_EXE_afpa"));
    let output = afpa.args(["tcp-server", "--socket"]).arg(directory.path().join("server.sock")).args(flags).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    text(&output.stderr)
}

fn threaded(lab: &Lab) -> String {
    let output = lab.server.command("cat").arg(format!("/sys/class/net/{DEVICE}/threaded")).output().unwrap();
    text(&output.stdout).trim_end().to_owned()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within ten seconds: {what}");
}

fn receiving(server: &Server) -> Vec<i64> {
    let status = server.afpa(&["tcp-server", "status"], &["--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    status["receiving"].as_array().unwrap().iter().map(|thread| thread["thread"].as_i64().unwrap()).collect()
}

/// The CPUs that a thread may use, as taskset writes them.
fn cpus_of(thread: i64) -> String {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap().to_owned()
}

/// Another CPU than the first.
fn other_cpu() -> Option<usize> {
    let count = std::thread::available_parallelism().unwrap().get();
    if count < 2 {
        lab::skip("there is one CPU");
    }
    (count > 1).then_some(1)
}

#[test]
fn its_numbers_are_metrics() {
    let admin = free_address();
    let _server = Server::start(&["--cores", "0", "--admin", &admin.to_string()]);
    let metrics = get(admin, "/metrics");
    for line in ["afpa_tcp_server_accepted_total{core=\"0\"} 0\n", "afpa_tcp_server_open{core=\"0\"} 0\n"] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(get(admin, "/api/stats").contains("\"provider\""));
    assert!(get(admin, "/api/graph").contains("await credit"));
    assert!(get(admin, "/healthz").ends_with("ok\n"));
}

fn get(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_program_is_run_with_the_library_and_what_it_has_to_know() {
    let server = Server::start(&["--cores", "0"]);
    let without = server.afpa(&["offload"], &["--", "env"]);
    assert!(text(&without.stderr).contains("where there is no library"), "{without:?}");
    let library = server.directory.path().join("library.so");
    // Not one that can be loaded, which the loader says and goes on.
    std::fs::write(&library, "").unwrap();
    let flags = ["--ports", "80,8000-8099", "--addresses", "10.0.0.0/8", "--", "env", "-u", "HOME"];
    let output = server.afpa(&["offload"], &flags);
    let environment = text(&output.stdout);
    for line in [
        format!("LD_PRELOAD={}\n", library.canonicalize().unwrap().display()),
        format!("AFPA_TCP_SERVER={}\n", server.socket().display()),
        "AFPA_OFFLOAD_PORTS=80,8000-8099\n".into(),
        "AFPA_OFFLOAD_ADDRESSES=10.0.0.0/8\n".into(),
    ] {
        assert!(environment.contains(&line), "{line} in\n{environment}");
    }
    let nothing = server.afpa(&["offload"], &["--", "/nonexistent/program"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("/nonexistent/program cannot be run: No such file"), "{nothing:?}");
}
