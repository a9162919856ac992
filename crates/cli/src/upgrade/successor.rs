//! The new server, as the running one sees it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::Builder;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
    recv, sendmsg, shutdown, socketpair,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::letter::MAX_LETTER;
use super::{Handed, Letter, MAX_SOCKETS, Program, VARIABLE};
use crate::config::Interface;

/// How long a new server may take until it serves: zones and caches may be large.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new server that serves.
#[derive(Debug)]
pub struct Successor {
    /// Its process.
    pub process: u32,
    /// Its line for the operator.
    pub line: String,
    /// Open for as long as this server accepts.
    pub channel: OwnedFd,
}

impl Successor {
    /// Has it end in order.
    pub fn stop(&self) {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            // If it has ended by itself, that is as well.
            let _ = kill_process(process, Signal::TERM);
        }
    }
}

/// A successor that is being started.
#[derive(Debug)]
pub struct Attempt {
    channel: OwnedFd,
    outcome: oneshot::Receiver<Result<Successor, String>>,
}

impl Attempt {
    /// Starts the successor and hands over duplicates of the sockets, on a thread of its own.
    ///
    /// # Errors
    /// It cannot even be tried: a sentence.
    pub fn start(program: &Program, io: Interface, sockets: Vec<Handed>) -> Result<Attempt, String> {
        let failed = |error: io::Error| format!("a new server cannot be started: {error}");
        if sockets.len() > MAX_SOCKETS {
            return Err(format!("{} sockets cannot be handed over, at most {MAX_SOCKETS} can", sockets.len()));
        }
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| failed(error.into()))?;
        let channel = ours.try_clone().map_err(failed)?;
        let (sender, outcome) = oneshot::channel();
        let program = program.clone();
        let attempt = move || {
            // Nobody waits for it only when the process is ending.
            let _ = sender.send(attempt(&program, io, sockets, ours, theirs));
        };
        Builder::new().name("upgrade".into()).spawn(attempt).map_err(failed)?;
        Ok(Attempt { channel, outcome })
    }

    /// What came of it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// It does not serve, and is gone: a sentence that says why.
    pub async fn outcome(&mut self) -> Result<Successor, String> {
        (&mut self.outcome).await.unwrap_or_else(|_| Err("the thread that starts a new server has failed".into()))
    }

    /// Gives it up: unless it serves already, it is ended.
    pub fn give_up(&self) {
        let _ = shutdown(&self.channel, Shutdown::Both);
    }
}

fn attempt(
    program: &Program,
    io: Interface,
    sockets: Vec<Handed>,
    channel: OwnedFd,
    theirs: OwnedFd,
) -> Result<Successor, String> {
    let spawned = Command::new(&program.path)
        .args(&program.arguments)
        .env(VARIABLE, "1")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDNAMES")
        .stdin(Stdio::from(theirs))
        .spawn();
    let mut child = spawned.map_err(|error| format!("{} cannot be started: {error}", program.path.display()))?;
    let said = hand_over(&channel, io, sockets).and_then(|()| hear(&channel));
    match said {
        Ok(Letter::Ready(line)) => Ok(Successor { process: child.id(), line, channel }),
        Ok(Letter::Failed(reason)) => {
            let _ = end(&mut child);
            Err(reason)
        }
        Ok(_) => {
            let _ = end(&mut child);
            Err(super::Malformed.to_string())
        }
        Err(error) => Err(match (error.kind(), end(&mut child)) {
            (io::ErrorKind::WouldBlock, _) => {
                format!("the new server did not serve within {} s and was ended", PATIENCE.as_secs())
            }
            (_, Ok(status)) => format!("the new server ended before it served ({status})"),
            (_, Err(error)) => format!("the new server does not answer: {error}"),
        }),
    }
}

/// Sends every socket; those here are closed then.
fn hand_over(channel: &OwnedFd, io: Interface, sockets: Vec<Handed>) -> io::Result<()> {
    set_socket_timeout(channel, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(channel, Timeout::Recv, Some(PATIENCE))?;
    send(channel, &Letter::Greeting { io, sockets: sockets.len() }, None)?;
    sockets.into_iter().try_for_each(|Handed { role, door, asked, socket }| {
        send(channel, &Letter::Socket { role, door, asked }, Some(socket))
    })
}

fn send(channel: &OwnedFd, letter: &Letter, socket: Option<OwnedFd>) -> io::Result<()> {
    let descriptors = socket.as_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.as_slice().is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors.as_slice()));
    }
    sendmsg(channel, &[IoSlice::new(&letter.write())], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn hear(channel: &OwnedFd) -> io::Result<Letter> {
    let mut octets = [0; MAX_LETTER];
    loop {
        match recv(channel, &mut octets[..], RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((length, _)) => {
                return Letter::read(&octets[..length]).map_err(|error| io::Error::other(error.to_string()));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends it, unless it has ended itself.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}
