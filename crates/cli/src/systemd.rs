//! The service manager: sockets that it passes, and what it is told. Absent, all of this does nothing.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use sd_notify::NotifyState;

use crate::units::ListenAddress;

/// The most sockets that are taken over.
pub const MAX_SOCKETS: usize = 64;

/// A listening socket that the service manager opened.
#[derive(Debug)]
pub struct Inherited {
    /// The socket.
    pub socket: OwnedFd,
    /// Where it listens.
    pub address: ListenAddress,
    /// `FileDescriptorName=` of its unit, if it was passed.
    pub name: Option<String>,
}

/// Takes the sockets that `LISTEN_FDS` announces, if `LISTEN_PID` names this process. Changes the
/// environment, so call it before any thread is started, and once.
///
/// # Errors
/// A descriptor is not a listening TCP or Unix stream socket, or there are too many.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let announced = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    if announced > MAX_SOCKETS {
        return Err(io::Error::other(format!(
            "the service manager passed {announced} sockets (LISTEN_FDS), at most {MAX_SOCKETS} can be used"
        )));
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').collect();
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for i in 0..passed.len() {
        let name = names.get(i).filter(|name| !name.is_empty()).map(|name| name.to_string());
        let (socket, address) = take(&mut passed, i).map_err(|error| {
            io::Error::new(error.kind(), format!("the service manager passed an unusable socket: {error}"))
        })?;
        sockets.push(Inherited { socket, address, name });
    }
    Ok(sockets)
}

impl Inherited {
    /// A socket that the service manager passed to a server before this one.
    ///
    /// # Errors
    /// It is not a listening TCP or Unix stream socket.
    pub fn of(socket: OwnedFd) -> io::Result<Inherited> {
        let (socket, address) = match socket_domain(&socket)? {
            AddressFamily::UNIX => unix(socket.into())?,
            _ => tcp(socket.into())?,
        };
        Ok(Inherited { socket, address, name: None })
    }
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<(OwnedFd, ListenAddress)> {
    // A socket of the wrong kind stays where it is, so each kind can be tried.
    if let Ok(Some(listener)) = passed.take_unix_listener(index) {
        return unix(listener);
    }
    match passed.take_tcp_listener(index)? {
        Some(listener) => tcp(listener),
        None => Err(io::Error::other("it was taken twice")),
    }
}

fn unix(listener: UnixListener) -> io::Result<(OwnedFd, ListenAddress)> {
    let path = listener.local_addr()?.as_pathname().map(PathBuf::from).unwrap_or_default();
    Ok((listener.into(), ListenAddress::Unix(path)))
}

fn tcp(listener: TcpListener) -> io::Result<(OwnedFd, ListenAddress)> {
    let address = listener.local_addr()?;
    Ok((listener.into(), ListenAddress::Inet(address)))
}

/// The server answers requests.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Another process serves now, which from here on is the service.
pub fn succeeded(process: u32, status: &str) {
    notify(&[NotifyState::MainPid(process), NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] follows, whether it is taken or refused.
pub fn reloading() {
    // Units of `Type=notify-reload` want the time at which the reload began.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The server finishes what is in flight.
pub fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn notify(states: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET this does nothing; a manager that does not listen is no reason to stop.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
