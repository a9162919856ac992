//! An echo server (RFC 862) that waits: a thread for each connection.
//!
//! ```text
//! cargo run -p memnet --example echo_sync -- /run/afpa/tcp-server.sock 127.0.0.1:7007
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::path::Path;
use std::thread;

use memnet::{Attachment, Listener, Options, Socket};

/// Serves until the TCP server is gone.
///
/// # Errors
/// It is gone.
pub(crate) fn run(listener: &Listener) -> io::Result<()> {
    loop {
        let socket = listener.sync_accept(None)?;
        thread::spawn(move || echo(&socket));
    }
}

fn echo(socket: &Socket) -> io::Result<()> {
    let mut octets = [0; 16 * 1024];
    loop {
        match socket.sync_recv(&mut octets, None)? {
            0 => return Ok(()),
            count => socket.sync_send(&octets[..count], None)?,
        };
    }
}

#[allow(dead_code, reason = "its test has it as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, address] = arguments.as_slice() else { return Err("usage: echo_sync SOCKET ADDRESS:PORT".into()) };
    let attachment = Attachment::attach(Path::new(path), "echo_sync")?;
    let listener = Listener::bind(&attachment, address.parse()?, &Options::default())?;
    println!("echo_sync: on {}", listener.local_addr()?);
    Ok(run(&listener)?)
}
