//! An echo server (RFC 862) of one thread: each connection has a buffer, which goes from the job that receives to the job
//! that sends and back.
//!
//! ```text
//! cargo run -p memnet --example echo_async -- /run/afpa/tcp-server.sock 127.0.0.1:7007
//! ```
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use memnet::{Attachment, Listener, Options, Queue, ReceiveBuffer, ReceiveJob, SendJob, Socket};

/// Octets of a connection's buffer.
const BUFFER: usize = 64 * 1024;

/// What a connection is about.
enum Turn {
    Receives(ReceiveJob),
    Sends(SendJob<ReceiveBuffer>),
}

/// Serves until the TCP server is gone.
///
/// # Errors
/// It is gone.
pub(crate) fn run(listener: &Listener) -> io::Result<()> {
    let queue = Queue::open(listener.attachment())?;
    listener.engines().iter().for_each(|engine| queue.subscribe(engine, false));
    let mut connections = HashMap::new();
    let (mut spare, mut told) = (Vec::new(), Vec::new());
    loop {
        while let Some(socket) = accepted(listener)? {
            let buffer = take(&mut spare, listener.attachment())?;
            let slot = socket.channel().number();
            queue.subscribe(socket.channel(), false);
            // It is told when a send is done, too.
            socket.start_waiting();
            match socket.async_recv(buffer) {
                Ok(job) => drop(connections.insert(slot, (socket, Turn::Receives(job)))),
                Err(refused) => spare.push(refused.buffer),
            }
            // What has come before the queue was to be told of it.
            told.push(slot);
        }
        for slot in told.drain(..) {
            let Some((socket, turn)) = connections.remove(&slot) else { continue };
            match advance(&socket, turn) {
                Ok(turn) => drop(connections.insert(slot, (socket, turn))),
                Err(buffer) => spare.push(buffer),
            }
        }
        queue.take(|slot| told.push(slot));
        if told.is_empty() {
            queue.wait(None)?;
        }
    }
}

/// Goes on as far as it can without waiting. When the connection is over, the buffer is left.
fn advance(socket: &Socket, mut turn: Turn) -> Result<Turn, ReceiveBuffer> {
    loop {
        turn = match turn {
            Turn::Receives(job) => match job.finish() {
                Err(runs) => return Ok(Turn::Receives(runs)),
                Ok((Ok(count @ 1..), buffer)) => {
                    Turn::Sends(socket.async_send(buffer, 0..count).map_err(|refused| refused.buffer)?)
                }
                Ok((_, buffer)) => return Err(buffer),
            },
            Turn::Sends(job) => match job.finish() {
                Err(runs) => return Ok(Turn::Sends(runs)),
                Ok((Ok(_), buffer)) => Turn::Receives(socket.async_recv(buffer).map_err(|refused| refused.buffer)?),
                Ok((Err(_), buffer)) => return Err(buffer),
            },
        };
    }
}

fn accepted(listener: &Listener) -> io::Result<Option<Socket>> {
    match listener.try_accept() {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A buffer that nobody has. Sixteen are registered at once.
fn take(spare: &mut Vec<ReceiveBuffer>, attachment: &Arc<Attachment>) -> io::Result<ReceiveBuffer> {
    if spare.is_empty() {
        let mut block = attachment.register_receive_mem(16 * BUFFER)?;
        spare.extend((1..16).rev().map(|at| block.split_off(at * BUFFER)));
        spare.push(block);
    }
    Ok(spare.pop().expect("there are some now"))
}

#[allow(dead_code, reason = "its test has it as a module")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, address] = arguments.as_slice() else { return Err("usage: echo_async SOCKET ADDRESS:PORT".into()) };
    let attachment = Attachment::attach(Path::new(path), "echo_async")?;
    let listener = Listener::bind(&attachment, address.parse()?, &Options::default())?;
    println!("echo_async: on {}", listener.local_addr()?);
    Ok(run(&listener)?)
}
