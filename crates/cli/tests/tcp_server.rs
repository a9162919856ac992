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
use tempfile::TempDir;

struct Server {
    child: Child,
    line: String,
    directory: TempDir,
}

impl Server {
    fn start(flags: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_afpa"))
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
