//! A new program takes over from the running one, and no client notices.

mod load;
mod server;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use load::{Connection, Load, backend};
use server::{Program, Server, eventually, name, site};

const PAGE: &str = "<p>first";
/// Short enough for a test, long enough for a slow machine's requests.
const GRACE: &[&str] = &["--grace-period", "4s"];

#[test]
fn files_are_served_through_five_upgrades() {
    for io in ["uring", "epoll"] {
        let (program, dir) = (Program::new(), site());
        let serve = ["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--io", io, "--cache", "8MiB"];
        if io == "uring" && !has_uring() {
            println!("skipped for io_uring: it cannot be had here");
            continue;
        }
        goes_on(Server::start(&program, &[&serve, GRACE].concat()));
    }
}

#[test]
fn a_backend_is_accelerated_through_five_upgrades() {
    let (program, backend) = (Program::new(), format!("http://{}", backend(PAGE)));
    let arguments = ["accelerate", &backend, "--listen", "127.0.0.1:0", "--cache", "8MiB"];
    goes_on(Server::start(&program, &[&arguments, GRACE].concat()));
}

/// Five upgrades in a row, under load.
fn goes_on(server: Server) {
    let load = Load::start(server.address(), PAGE);
    let said = upgrade_under(load, server);
    assert_eq!(said.matches(" INFO stopped").count(), 6, "{said}");
}

/// Upgrades five times while `load` goes on. What the servers said.
fn upgrade_under(load: Load, mut server: Server) -> String {
    for _ in 0..5 {
        load.goes_on(100);
        server.upgrade();
    }
    load.goes_on(100);
    assert_eq!(server.first_end().code(), Some(0));
    load.end();
    server.end()
}

#[test]
fn engines_may_become_more_or_fewer() {
    let cpus = cpus();
    let [first, second, ..] = cpus[..] else { return println!("skipped: this test needs two CPUs") };
    let (program, dir) = (Program::new(), site());
    let file = program.file("afpa.toml");
    let configure = |cores: &str| {
        let text = "listen = ['127.0.0.1:0']\ncache.size = '8MiB'\nlimits.grace-period = '4s'";
        fs::write(&file, format!("cores = '{cores}'\n{text}\nsite.root = {:?}\n", dir.path())).unwrap();
    };
    configure(&first.to_string());
    let mut server = Server::start(&program, &["run", "--config", name(&file)]);
    let load = Load::start(server.address(), PAGE);
    for cores in [format!("{first},{second}"), first.to_string(), format!("{first},{second}")] {
        load.goes_on(50);
        configure(&cores);
        server.upgrade();
    }
    load.goes_on(50);
    load.end();
    server.end();
}

#[test]
fn who_is_connected_may_ask_once_more() {
    let (program, dir) = (Program::new(), site());
    let arguments = ["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--grace-period", "20s"];
    let mut server = Server::start(&program, &arguments);
    let mut begun = Connection::open(server.address()).unwrap();
    assert_eq!(begun.ask("", PAGE), Ok(false));
    begun.send("GET / HTTP/1.1\r\nHo").unwrap();
    let mut idle = Connection::open(server.address()).unwrap();
    assert_eq!(idle.ask("", PAGE), Ok(false));
    server.upgrade();
    assert_eq!(idle.ask("", PAGE), Ok(true), "the answer says that it is the last");
    assert_eq!(idle.has_ended(), Ok(()));
    begun.send("st: a\r\n\r\n").unwrap();
    assert_eq!(begun.answer(PAGE), Ok(true));
    assert_eq!(Connection::open(server.address()).unwrap().ask("", PAGE), Ok(false), "the new one has no reason to");
    server.end();
}

#[test]
fn a_program_that_does_not_start_leaves_the_old_one_serving() {
    let (program, dir) = (Program::new(), site());
    let mut server =
        Server::start(&program, &[&["serve", name(dir.path()), "--listen", "127.0.0.1:0"], GRACE].concat());
    let load = Load::start(server.address(), PAGE);

    program.becomes("echo 'it is broken' >&2; exit 1");
    server.signal(Signal::USR2);
    server.says("it is broken");
    server.says("no upgrade, this server serves on: the new server ended before it served (exit status: 1)");

    program.becomes("printf 'what?' >&0; exec sleep 1000");
    server.signal(Signal::USR2);
    server.says("no upgrade, this server serves on: ");

    fs::remove_file(program.path()).unwrap();
    server.signal(Signal::USR2);
    let said = server.says("no upgrade, this server serves on: ");
    assert!(said.contains("afpa cannot be started: No such file"), "{said}");

    load.goes_on(50);
    program.becomes_good();
    server.upgrade();
    load.goes_on(50);
    load.end();
    server.end();
}

#[test]
fn one_upgrade_at_a_time_and_one_that_is_killed_is_none() {
    let (program, dir) = (Program::new(), site());
    let mut server = Server::start(&program, &["serve", name(dir.path()), "--listen", "127.0.0.1:0"]);
    let started = program.file("started");
    let hang = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", started.display());
    let process = || {
        eventually("the start of a program", || started.exists());
        let number = fs::read_to_string(&started).unwrap();
        fs::remove_file(&started).unwrap();
        rustix::process::Pid::from_raw(number.trim().parse().unwrap()).unwrap()
    };
    program.becomes(&hang);
    server.signal(Signal::USR2);
    let successor = process();
    server.signal(Signal::USR2);
    server.says("a new server is being started already");
    rustix::process::kill_process(successor, Signal::KILL).unwrap();
    server.says("no upgrade, this server serves on: the new server ended before it served (signal: 9 (SIGKILL))");
    assert_eq!(Connection::open(server.address()).unwrap().ask("", PAGE), Ok(false));

    // A server that is told to end takes along what it has just started.
    server.signal(Signal::USR2);
    let successor = process();
    server.signal(Signal::TERM);
    assert_eq!(server.first_end().code(), Some(0));
    assert!(rustix::process::test_kill_process(successor).is_err());
}

#[test]
fn a_configuration_that_became_invalid_leaves_the_old_one_serving() {
    let (program, dir) = (Program::new(), site());
    let file = program.file("afpa.toml");
    let good = format!("listen = ['127.0.0.1:0']\n[site]\nroot = {:?}\n[limits]\ngrace-period = '1s'\n", dir.path());
    fs::write(&file, &good).unwrap();
    let mut server = Server::start(&program, &["run", "--config", name(&file)]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (bad, reason) in [
        (good.replace("1s", "1 fortnight"), "the new server ended before it served (exit status: 1)".to_owned()),
        (good.replace("127.0.0.1:0", &address.to_string()), format!("cannot listen to {address}: another program")),
    ] {
        fs::write(&file, bad).unwrap();
        server.signal(Signal::USR2);
        server.says(&format!("no upgrade, this server serves on: {reason}"));
        assert_eq!(Connection::open(server.address()).unwrap().ask("", PAGE), Ok(false));
    }
    // A new address is served by the new one, and the old address no more.
    let (old, free) = (server.address(), drop_and_name(taken));
    fs::write(&file, good.replace("127.0.0.1:0", &free.to_string())).unwrap();
    server.upgrade();
    assert_eq!(Connection::open(free).unwrap().ask("", PAGE), Ok(false));
    eventually("refusing", || TcpStream::connect(old).is_err());
    server.end();
}

#[test]
fn a_unix_socket_and_the_admin_server_go_over_as_well() {
    let (program, dir) = (Program::new(), site());
    let path = program.file("afpa.sock");
    let listen = format!("unix:{}", path.display());
    let admin = drop_and_name(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at_admin = admin.to_string();
    let arguments = ["serve", name(dir.path()), "--listen", "127.0.0.1:0", "--listen", &listen];
    let arguments = [&arguments[..], &["--admin", &at_admin, "--grace-period", "0s"]].concat();
    let mut server = Server::start(&program, &arguments);
    for _ in 0..2 {
        server.upgrade();
        server.says("stopped");
        assert!(health(admin).ends_with("ok\n"), "{}", health(admin));
        let mut answer = String::new();
        let mut stream = UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.ends_with(PAGE), "{answer}");
    }
    server.end();
    assert!(!path.exists());
}

#[test]
fn the_service_manager_is_told_of_the_new_process_and_its_socket_goes_over() {
    let (program, dir) = (Program::new(), site());
    let path = program.file("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(program.path());
    command.args(["serve", name(dir.path()), "--grace-period", "0s"]).env("NOTIFY_SOCKET", &path);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0").stdin(std::os::fd::OwnedFd::from(listener));
    let mut server = Server::start_with(&mut command);
    let told = || {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    assert!(told().contains("READY=1\n"));
    for _ in 0..2 {
        let process = server.upgrade();
        let told = told();
        assert!(told.contains(&format!("MAINPID={process}\n")) && told.contains("READY=1\n"), "{told}");
        assert!(told.contains(&format!("STATUS={}", server.line.trim_end())), "{told}");
        // Without a grace period, who still comes to the old one is cut off.
        server.says("stopped");
        assert_eq!(Connection::open(server.address()).unwrap().ask("", PAGE), Ok(false));
    }
    server.signal(Signal::HUP);
    assert!(told().contains("RELOADING=1\n"));
    assert!(told().contains("READY=1\n"));
    server.end();
    assert!(told().contains("STOPPING=1\n"), "of the last alone: it is the service");
}

#[test]
fn dns_is_answered_through_five_upgrades() {
    let program = Program::new();
    let zone = program.file("zone");
    fs::write(
        &zone,
        "@ 60 IN SOA ns.example. host.example. 1 3600 600 86400 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n",
    )
    .unwrap();
    let zone = format!("example={}", zone.display());
    let server = Server::start(&program, &[&["dns", "--zone", &zone, "--listen", "127.0.0.1:0"], GRACE].concat());
    let address = server.address();
    let load = Load::of(3, move |number| resolve(address, number as u16));
    upgrade_under(load, server);
}

#[test]
fn who_claims_to_be_a_predecessor_is_not_believed() {
    let dir = site();
    let start = |stdin: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.args(["serve", name(dir.path()), "--listen", "127.0.0.1:0"]).env("AFPA_UPGRADE", "1");
        let output = command.stdin(stdin).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let stream = UnixStream::pair().unwrap().0;
    for stdin in [Stdio::null(), Stdio::from(std::os::fd::OwnedFd::from(stream))] {
        let said = start(stdin);
        assert!(said.contains("standard input does not lead to a running server"), "{said}");
    }
    for message in [&b"hello"[..], b"afpa-upgrade-1 uring 1", b"afpa-upgrade-1 uring 99999999"] {
        let (ours, theirs) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::send(&ours, message, rustix::net::SendFlags::empty()).unwrap();
        drop(ours);
        let said = start(Stdio::from(theirs));
        assert!(said.contains("nothing can be taken over (the environment has AFPA_UPGRADE)"), "{said}");
    }
}

/// Twenty questions from one port.
fn resolve(server: SocketAddr, number: u16) -> Result<usize, String> {
    const QUESTIONS: usize = 20;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for count in 0..QUESTIONS {
        let id = number << 8 | count as u16;
        let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question[..2].copy_from_slice(&id.to_be_bytes());
        question.extend_from_slice(b"\x02ns\x07example\x00\x00\x01\x00\x01");
        socket.send_to(&question, server).unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).map_err(|error| format!("no answer to question {count}: {error}"))?;
        if length < 16 || answer[..2] != id.to_be_bytes() || answer[length - 4..length] != [192, 0, 2, 1] {
            return Err(format!("{:?}", &answer[..length]));
        }
    }
    Ok(QUESTIONS)
}

fn health(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    let mut answer = String::new();
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}

fn drop_and_name(listener: std::net::TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

fn has_uring() -> bool {
    afpa_platform::uring::probe().is_ok()
}

/// The CPUs that may be used.
fn cpus() -> Vec<usize> {
    afpa_cli::process::engine_cpus(&afpa_cli::config::Cores::Allowed).unwrap()
}
