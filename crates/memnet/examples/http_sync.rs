//! A web server as it is written first: a thread for each connection, which waits for what it asks for.
//!
//! ```text
//! cargo run --release -p memnet --example http_sync -- /run/afpa/tcp-server.sock 127.0.0.1:8080 DIRECTORY
//! ```
#![forbid(unsafe_code)]

#[path = "support/request.rs"]
mod request;
#[path = "support/site.rs"]
mod site;

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use memnet::{Attachment, Listener, Options, Socket};
use request::{Found, LONGEST, find};
use site::Site;

/// Serves until the TCP server is gone.
///
/// # Errors
/// It is gone.
pub(crate) fn run(listener: &Listener, root: &Path) -> io::Result<()> {
    let site = Arc::new(Site::load(listener.attachment(), root)?);
    loop {
        let (socket, site) = (listener.sync_accept(None)?, site.clone());
        // A client that fails has failed only himself.
        thread::spawn(move || serve(&socket, &site));
    }
}

fn serve(socket: &Socket, site: &Site) -> io::Result<()> {
    let mut input = [0; LONGEST];
    let mut received = 0;
    loop {
        let (answer, done, ends) = match find(&input[..received]) {
            Found::Request(request) => (site.answer(&request), request.length, !request.stays),
            Found::Refused => (site.refused(), received, true),
            Found::Part => {
                match socket.sync_recv(&mut input[received..], None)? {
                    0 => return Ok(()),
                    count => received += count,
                }
                continue;
            }
        };
        for piece in answer.0.iter().filter(|piece| !piece.is_empty()) {
            // What is copied is the TCP server's at once, and there is nothing to wait for but room.
            socket.sync_send(&site.memory[piece.clone()], None)?;
        }
        if ends {
            return Ok(());
        }
        input.copy_within(done..received, 0);
        received -= done;
    }
}

#[allow(dead_code, reason = "its test has it as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, address, root] = arguments.as_slice() else {
        return Err("usage: http_sync SOCKET ADDRESS:PORT DIRECTORY".into());
    };
    let attachment = Attachment::attach(Path::new(path), "http_sync")?;
    let listener = Listener::bind(&attachment, address.parse()?, &Options::default())?;
    println!("http_sync: {root} on {}", listener.local_addr()?);
    Ok(run(&listener, Path::new(root))?)
}
