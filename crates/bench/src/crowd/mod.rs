//! Many clients that do the same thing at once: all connect, all speak, and each one's answer is waited for.

mod collapse;
mod websockets;

pub(crate) use collapse::CollapseArgs;
pub(crate) use websockets::WebsocketsArgs;

use crate::interrupt;
use afpa_platform::clock;
use anyhow::{Context, Result, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a connection may take to open.
const OPENING: Duration = Duration::from_secs(5);
/// How often signals are looked for.
const STEP: Duration = Duration::from_millis(100);
/// Events taken at once, and octets read at once.
const EVENTS: usize = 512;
const BUFFER: usize = 64 * 1024;
/// Descriptors that this program needs besides.
const SPARE_DESCRIPTORS: u64 = 100;

/// Clients with a connection each; closed when dropped.
#[derive(Debug)]
struct Crowd {
    epoll: OwnedFd,
    members: Vec<TcpStream>,
}

/// What a client has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    /// There is more to come.
    Part,
    /// It was all that it waited for.
    All,
}

impl Crowd {
    /// `count` clients that are connected to `address`.
    ///
    /// # Errors
    /// One of them could not connect, or may not have a descriptor.
    fn gather(address: SocketAddr, count: usize) -> Result<Crowd> {
        crate::compare::allow_descriptors(count as u64 + SPARE_DESCRIPTORS)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("cannot create an epoll")?;
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            interrupt::check()?;
            let stream = TcpStream::connect_timeout(&address, OPENING);
            let stream = stream.with_context(|| format!("cannot connect to {address}, client {number} of {count}"))?;
            stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).context("a connection")?;
            members.push(stream);
        }
        Ok(Crowd { epoll, members })
    }

    /// All of them say `words`, one after another as fast as that goes.
    ///
    /// # Errors
    /// One of them cannot.
    fn say(&mut self, words: &[u8]) -> Result<()> {
        for (number, member) in self.members.iter_mut().enumerate() {
            // They fit the send buffer of a connection on which nothing waits.
            member.write_all(words).with_context(|| format!("client {number} cannot speak"))?;
        }
        Ok(())
    }

    /// Shows `listen` what each client hears, with the moment, until it was all or `limit` is over; no octets are the end
    /// of a connection. Returns how many heard all.
    ///
    /// # Errors
    /// `listen` failed, or a signal came.
    fn hear(&mut self, limit: Duration, mut listen: impl FnMut(usize, u64, &[u8]) -> Result<Heard>) -> Result<usize> {
        for (number, member) in self.members.iter().enumerate() {
            epoll::add(&self.epoll, member, EventData::new_u64(number as u64), EventFlags::IN).context("epoll")?;
        }
        let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let (mut events, mut buffer) = ([nothing; EVENTS], vec![0; BUFFER]);
        let timeout = Timespec::try_from(STEP).context("the time to wait")?;
        let (end, mut missing, mut ended) = (Instant::now() + limit, self.members.len(), 0);
        while missing > 0 && Instant::now() < end {
            interrupt::check()?;
            let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error).context("cannot wait for answers"),
            };
            for event in &events[..count] {
                let number = event.data.u64() as usize;
                let Some(member) = self.members.get_mut(number) else { continue };
                let heard = match member.read(&mut buffer) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                    // A reset is an end.
                    Ok(0) | Err(_) => listen(number, clock::now(), &[])?,
                    Ok(count) if listen(number, clock::now(), &buffer[..count])? == Heard::Part => continue,
                    Ok(_) => Heard::All,
                };
                epoll::delete(&self.epoll, &*member).context("epoll")?;
                missing -= 1;
                ended += usize::from(heard == Heard::Part);
            }
        }
        for member in &self.members {
            // Those that heard all are not in it any more.
            let _ = epoll::delete(&self.epoll, member);
        }
        Ok(self.members.len() - missing - ended)
    }
}

/// Prints what came of it, for people or as JSON.
fn print(report: &(impl Serialize + Display), as_json: bool) -> Result<()> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

/// The part of an answer to `clients` that all must have got.
fn all_or(complaint: &str, heard: usize, clients: usize) -> Result<()> {
    if heard < clients {
        bail!("{complaint}: {heard} of {clients}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers each client with what it said, in two pieces, and the third with nothing.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let clients: Vec<_> = listener.incoming().take(4).map(Result::unwrap).collect();
            for (number, mut client) in clients.into_iter().enumerate() {
                let mut words = [0; 4];
                client.read_exact(&mut words).unwrap();
                if number != 2 {
                    client.write_all(&words[..2]).unwrap();
                    client.write_all(&words[2..]).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn everybody_hears_an_answer_or_the_end() {
        let mut crowd = Crowd::gather(server(), 4).unwrap();
        crowd.say(b"word").unwrap();
        let mut answers = vec![Vec::new(); 4];
        let heard = crowd.hear(Duration::from_secs(10), |number, _, octets| {
            answers[number].extend_from_slice(octets);
            Ok(if answers[number].len() == 4 { Heard::All } else { Heard::Part })
        });
        assert_eq!(heard.unwrap(), 3);
        assert_eq!(answers, [&b"word"[..], b"word", b"", b"word"]);
    }
}
