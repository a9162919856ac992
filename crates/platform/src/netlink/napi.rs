//! The contexts in which the kernel polls an interface (NAPI), and the threads that they have where they have threads:
//! generic netlink's family `netdev`, from Linux 6.8 on.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{HEADER, Message, attribute, attributes, finish, header, u16_at, u32_at};
use super::{BUFFER, KERNEL, is_kernel};

/// Octets of generic netlink's own header: command, version, and two that are reserved.
const GENERIC_PART: usize = 4;
/// The family that knows the others, its question for one, and what it is asked by and answers.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// The question for the NAPI contexts of an interface, and what it is asked by and answers.
const GET_NAPI: u8 = 11;
const NAPI_INTERFACE: u16 = 1;
const NAPI_ID: u16 = 2;
const NAPI_THREAD: u16 = 4;
const VERSION: u8 = 1;
/// The kernel answers at once.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A context in which the kernel polls an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Napi {
    /// Its number, which no other has.
    pub id: u32,
    /// The id of its thread, as the first PID namespace has it; `None` where it is polled by interrupts.
    pub thread: Option<i32>,
}

/// The contexts of the interface with this index, ascending. Those of an interface that is down are not told.
///
/// # Errors
/// `Unsupported`: the kernel is too old to say. Or the system's.
pub fn contexts(interface: u32) -> io::Result<Vec<Napi>> {
    let socket = socket().map_err(unsupported)?;
    let name = attribute(FAMILY_NAME, b"netdev\0");
    let mut family = None;
    ask(&socket, question(CONTROLLER, 0, GET_FAMILY, &name), &mut |body| {
        let id = attributes(body, GENERIC_PART).find(|(kind, _)| *kind == FAMILY_ID);
        family = id.and_then(|(_, value)| u16_at(value, 0));
    })
    .map_err(unsupported)?;
    let family = family.ok_or(io::ErrorKind::Unsupported)?;
    let index = attribute(NAPI_INTERFACE, &interface.to_ne_bytes());
    let mut contexts = Vec::new();
    ask(&socket, question(family, libc::NLM_F_DUMP, GET_NAPI, &index), &mut |body| contexts.extend(context(body)))
        .map_err(unsupported)?;
    contexts.sort_unstable();
    Ok(contexts)
}

/// What an answer says.
pub(super) fn context(body: &[u8]) -> Option<Napi> {
    let number = |wanted| attributes(body, GENERIC_PART).find(|(kind, _)| *kind == wanted);
    let number = |wanted| number(wanted).and_then(|(_, value)| u32_at(value, 0));
    Some(Napi { id: number(NAPI_ID)?, thread: number(NAPI_THREAD).and_then(|id| i32::try_from(id).ok()) })
}

/// A kernel that does not know the family, or the question; or a process that may not ask it.
fn unsupported(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => {
            io::ErrorKind::Unsupported.into()
        }
        _ => error,
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::GENERIC))?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// Asks, and shows the body of each answer, until the last.
fn ask(socket: &OwnedFd, question: Vec<u8>, answer: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let sequence = u32_at(&question, 8);
    rustix::net::sendto(socket, &question, SendFlags::DONTWAIT, &SocketAddrNetlink::new(KERNEL, 0))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match rustix::net::recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length, from)) if is_kernel(from.as_ref()) => length,
            Ok(_) | Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&PATIENCE)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) | Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        let mut octets = buffer.get(..length).unwrap_or_default();
        while let Some(message) = Message::cut(&mut octets) {
            match i32::from(message.kind) {
                _ if Some(message.sequence) != sequence => {}
                // The end of a dump, or the acknowledgment that every question asks for.
                libc::NLMSG_DONE | libc::NLMSG_ERROR if message.error() == 0 => return Ok(()),
                libc::NLMSG_DONE | libc::NLMSG_ERROR => return Err(io::Error::from_raw_os_error(message.error())),
                _ => answer(message.body),
            }
        }
    }
}

fn question(family: u16, flags: i32, command: u8, attribute: &[u8]) -> Vec<u8> {
    let mut message = header(family, libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags, u32::from(family));
    message.extend([command, VERSION, 0, 0]);
    debug_assert_eq!(message.len(), HEADER + GENERIC_PART);
    message.extend(attribute);
    finish(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_a_number_and_perhaps_a_thread() {
        let body = [&[GET_NAPI, 1, 0, 0][..], &attribute(NAPI_ID, &878u32.to_ne_bytes())].concat();
        assert_eq!(context(&body), Some(Napi { id: 878, thread: None }));
        let body = [&body[..], &attribute(NAPI_THREAD, &4711u32.to_ne_bytes())].concat();
        assert_eq!(context(&body), Some(Napi { id: 878, thread: Some(4711) }));
        for length in 0..12 {
            assert_eq!(context(&body[..length]), None, "{length} octets of it");
        }
    }

    #[test]
    fn an_interface_without_contexts_has_none() {
        match contexts(super::super::interface_index("lo").unwrap()) {
            Ok(contexts) => assert_eq!(contexts, []),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}"),
        }
    }
}
