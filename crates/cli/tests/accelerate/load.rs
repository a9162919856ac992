//! Under load, backends are killed and configurations change, and no request is lost.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::backend::Backend;
use crate::message::Connection;
use crate::proxy::{Proxy, Setup, eventually, get};

/// Clients that ask, each on its connection, until they are told to stop.
struct Load {
    clients: Vec<JoinHandle<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    fn on(address: SocketAddr, connections: usize) -> Load {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default());
        let client = |client: usize| {
            let (is_over, answered) = (is_over.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut connection = Connection::to(address);
                let mut failures = Vec::new();
                for number in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let asked = get(&format!("/page?{client}-{number}"), "");
                    let answer = connection.send(asked).and_then(|()| connection.response());
                    match answer {
                        Ok(answer) if answer.status() == 200 => _ = answered.fetch_add(1, Ordering::SeqCst),
                        other => {
                            failures.push(format!("{other:?}"));
                            connection = Connection::to(address);
                        }
                    }
                }
                failures
            })
        };
        let clients = (0..connections).map(client).collect();
        Load { clients, is_over, answered }
    }

    fn wait_for(&self, more: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + more;
        eventually("answers", || self.answered.load(Ordering::SeqCst) >= goal);
    }

    /// What failed.
    fn end(self) -> Vec<String> {
        self.is_over.store(true, Ordering::SeqCst);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// A server of files, which can be killed.
struct Files {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Files {
    fn start() -> Files {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("page"), "x".repeat(20_000)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.arg("serve").arg(dir.path()).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let address = line.rsplit("http://").next().unwrap().split(' ').next().unwrap().trim().parse().unwrap();
        Files { child, address, _dir: dir }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_backend_that_is_killed_costs_no_request() {
    let (mut one, other) = (Files::start(), Files::start());
    let setup = Setup { accelerate: "cache = false", ..Setup::of(&[one.address, other.address]) };
    let proxy = Proxy::start(&setup);
    let load = Load::on(proxy.address, 8);
    load.wait_for(200);
    one.kill();
    load.wait_for(400);
    let failures = load.end();
    assert!(failures.is_empty(), "{}: {:?}", failures.len(), failures.first());
}

#[test]
fn a_hundred_reloads_under_load_lose_nothing() {
    let backends = [Backend::echoing(), Backend::echoing()];
    let both = Setup::of(&[backends[0].address, backends[1].address]);
    let variants = [
        both.clone(),
        Setup::of(&[backends[0].address]),
        Setup { accelerate: "cache = false", ..Setup::of(&[backends[1].address]) },
    ];
    let mut proxy = Proxy::start(&both);
    let load = Load::on(proxy.address, 8);
    load.wait_for(50);
    for number in 0..100 {
        proxy.reload(&variants[number % variants.len()]);
    }
    load.wait_for(50);
    let failures = load.end();
    assert!(proxy.is_running());
    assert!(failures.is_empty(), "{}: {:?}", failures.len(), failures.first());
}
