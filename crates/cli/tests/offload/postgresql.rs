//! PostgreSQL, which forks for each connection.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::free_address::free_address;
use crate::programs::{Daemon, are_installed, attempt, eventually, finish, octets, output, program, text};
use crate::stack::Stack;

/// A server with its data. It is told to end when its value goes, so that it gives its shared memory back.
pub(crate) struct Cluster {
    pub(crate) daemon: Daemon,
}

impl Cluster {
    /// Makes a cluster, once for a stack, and starts a server on these sockets.
    pub(crate) fn start(stack: &Stack, address: SocketAddr) -> Cluster {
        Cluster::start_with(stack, address, stack.run("postgres"))
    }

    fn start_with(stack: &Stack, address: SocketAddr, mut postgres: Command) -> Cluster {
        let data = stack.file("postgresql");
        if !data.exists() {
            fs::create_dir(&data).unwrap();
            if let Some((uid, gid)) = unprivileged() {
                chown(&data, Some(uid), Some(gid)).unwrap();
            }
            let mut initdb = program("initdb");
            initdb.args(["--no-sync", "--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C", "-D"]);
            output(as_unprivileged(&mut initdb).arg(&data).current_dir("/"));
        }
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB"] {
            postgres.args(["-c", setting]);
        }
        postgres.arg("-D").arg(&data).args(["-p", &address.port().to_string()]).current_dir("/");
        as_unprivileged(&mut postgres);
        let log = stack.file("postgresql.log");
        let is_ready = |said: &str| said.contains("database system is ready to accept connections");
        Cluster { daemon: Daemon::start_until(postgres, address, &log, is_ready) }
    }

    /// What psql prints when it is given this on the command line.
    fn ask(&self, psql: Command, command: &str) -> String {
        text(&mut self.psql(psql, command))
    }

    pub(crate) fn psql(&self, mut psql: Command, command: &str) -> Command {
        let url = format!("postgresql://tester@{}/postgres", self.daemon.address);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", command]);
        psql
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.daemon.is_running() {
            self.daemon.signal(Signal::QUIT);
            self.daemon.end();
        }
    }
}

/// Whom the server runs as: it refuses to be root.
fn unprivileged() -> Option<(u32, u32)> {
    if !getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let entry = |name: &str| users.lines().find(|line| line.starts_with(&format!("{name}:")));
    let mut fields = entry("postgres").or_else(|| entry("nobody")).expect("an unprivileged user").split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    Some((number(), number()))
}

fn as_unprivileged(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

const PROGRAMS: &[&str] = &["postgres", "initdb", "psql"];

/// Twenty sessions at once, each a process of the server's; then tables in and out.
fn assert_serves(stack: &Stack, cluster: &Cluster, psql: impl Fn() -> Command + Sync) {
    let mut processes: Vec<String> = std::thread::scope(|scope| {
        let session = |number: u32| {
            let query = format!(
                "select pg_backend_pid(); select sum(length(repeat('x', n))) from generate_series(1, 2000) n; \
                 select pg_sleep(0.2), {number}; select repeat('y', 300000 + {number})"
            );
            let said = cluster.ask(psql(), &query);
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(lines[1..3], ["2001000".to_owned(), format!("|{number}")]);
            assert!(lines[3] == "y".repeat(300_000 + number as usize));
            lines[0].to_owned()
        };
        let sessions: Vec<_> = (0..20).map(|number| scope.spawn(move || session(number))).collect();
        sessions.into_iter().map(|session| session.join().unwrap()).collect()
    });
    processes.sort();
    processes.dedup();
    assert_eq!(processes.len(), 20, "a process for each session");

    let (rows, back) = (stack.file("rows"), stack.file("back"));
    let row = |number: u64| {
        let letters: String = octets(number, 1000).iter().map(|octet| char::from(b'a' + octet % 26)).collect();
        format!("{number}\t{letters}\n")
    };
    let table: String = (0..4000).map(row).collect();
    fs::write(&rows, &table).unwrap();
    cluster.ask(psql(), "drop table if exists kept; create table kept (number int primary key, letters text)");
    cluster.ask(psql(), &format!("\\copy kept from '{}'", rows.display()));
    cluster.ask(psql(), &format!("\\copy (select * from kept order by number) to '{}'", back.display()));
    assert!(fs::read_to_string(back).unwrap() == table, "what was copied in comes out");
    assert_eq!(cluster.ask(psql(), "select count(*), sum(length(letters)) from kept"), "4000|4000000\n");
    let error = attempt(&mut cluster.psql(psql(), "select 1/0"));
    assert!(!error.status.success() && String::from_utf8_lossy(&error.stderr).contains("division by zero"));
}

#[test]
fn postgresql_serves_sessions_and_tables_to_clients_on_any_sockets() {
    if !are_installed(PROGRAMS) {
        return;
    }
    let mut stack = Stack::start();
    let mut cluster = Cluster::start(&stack, free_address());
    assert_serves(&stack, &cluster, || program("psql"));
    assert_serves(&stack, &cluster, || stack.run("psql"));
    // "Fast" shutdown: sessions are ended.
    cluster.daemon.signal(Signal::INT);
    assert!(cluster.daemon.end().success(), "{}", cluster.daemon.said());
    stack.assert_healthy();
}

#[test]
fn psql_on_these_sockets_is_served_by_a_server_on_the_kernels() {
    if !are_installed(PROGRAMS) {
        return;
    }
    let stack = Stack::start();
    let cluster = Cluster::start_with(&stack, free_address(), program("postgres"));
    assert_serves(&stack, &cluster, || stack.run("psql"));
}

#[test]
fn a_query_is_cancelled_on_a_connection_of_its_own() {
    if !are_installed(PROGRAMS) {
        return;
    }
    let stack = Stack::start();
    let cluster = Cluster::start(&stack, free_address());
    let mut sleeper = cluster.psql(stack.run("psql"), "select pg_sleep(100)");
    let sleeper = sleeper.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let active = "select count(*) from pg_stat_activity where query like 'select pg_sleep(100)%' and state = 'active'";
    eventually("that it sleeps", || cluster.ask(program("psql"), active) == "1\n");
    // On SIGINT psql asks the server to cancel, and the server's process gets a signal where it waits.
    kill_process(Pid::from_child(&sleeper), Signal::INT).unwrap();
    let ended = finish(sleeper, "psql");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert_eq!(cluster.ask(program("psql"), "select 1"), "1\n");
}
