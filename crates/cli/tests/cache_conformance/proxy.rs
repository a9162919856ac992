//! The cache under test, in front of an origin.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// `afpa accelerate`, until the value is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Starts it, and waits for its line.
    pub(crate) fn start(origin: SocketAddr) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afpa"));
        command.args(["accelerate", &format!("http://{origin}"), "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        // The line has the origin's address before its own.
        let url = line.rsplit(" on http://").next().and_then(|rest| rest.split(' ').next());
        let Some(address) = url.and_then(|address| address.trim().parse().ok()) else {
            let _ = child.kill();
            let mut said = String::new();
            let _ = errors.read_to_string(&mut said);
            panic!("no address in {line:?}: {said}");
        };
        // What it says is read, so that it never waits for it to be.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::stderr()));
        Proxy { child, address }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
