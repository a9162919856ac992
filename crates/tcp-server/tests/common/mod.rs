//! An application that a test plays.

#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use afpa_channel::Region;
use afpa_channel::control::{self, Reply, Request, VERSION};
use afpa_channel::layout::ACCEPTED;
use afpa_channel::slot::{Accepted, Slot};
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp_server::Control;

/// A process of an application.
pub(crate) struct App {
    pub(crate) control: OwnedFd,
    pub(crate) region: Region,
    pub(crate) token: control::Token,
    pub(crate) place: u32,
    pub(crate) bells: Vec<OwnedFd>,
}

impl App {
    pub(crate) fn attach(control: &Control, name: &str) -> App {
        App::meet(control, &Request::Attach { version: VERSION, name: name.into() }).unwrap()
    }

    pub(crate) fn meet(control: &Control, request: &Request) -> io::Result<App> {
        let socket = control::connect_to(control.path())?;
        let (reply, mut descriptors) = control::ask(socket.as_fd(), request, &[])?;
        let Reply::Welcome { token, process, .. } = reply else { panic!("{reply:?}") };
        let region = Region::open(descriptors.remove(0)).unwrap();
        Ok(App { control: socket, region, token, place: process, bells: descriptors })
    }

    pub(crate) fn ask(&self, request: &Request, with: &[BorrowedFd<'_>]) -> io::Result<Reply> {
        control::ask(self.control.as_fd(), request, with).map(|(reply, _)| reply)
    }

    pub(crate) fn slot(&self, slot: u32) -> Slot<'_, ForeignMemory> {
        self.region.slot(slot)
    }

    pub(crate) fn attend(&self, slot: u32) {
        if let Some(engine) = self.region.attend(self.slot(slot)) {
            let _ = rustix::io::write(&self.bells[engine as usize], &1u64.to_ne_bytes());
        }
    }

    pub(crate) fn listen(&self) -> u32 {
        self.try_listen().unwrap()
    }

    pub(crate) fn try_listen(&self) -> io::Result<u32> {
        match self.ask(&Request::Listen { backlog: 128 }, &[bound().as_fd()])? {
            Reply::Listening { slots } => Ok(slots[0]),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> u32 {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        match self.ask(&Request::Connect { to }, &[socket.as_fd()]).unwrap() {
            Reply::Connecting { slot } => slot,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the next connection out of a listener's ring, and holds it.
    pub(crate) fn accept(&self, listener: u32) -> Option<u32> {
        self.accept_entry(listener).map(|accepted| accepted.slot)
    }

    /// As above, with the use of the slot.
    pub(crate) fn accept_entry(&self, listener: u32) -> Option<Accepted> {
        let slot = self.slot(listener);
        let (ring, taken) = (slot.receive_ring(), slot.taken());
        if ring.readable(taken).unwrap() < ACCEPTED as u32 {
            return None;
        }
        let mut octets = [0; ACCEPTED];
        ring.read(taken, &mut octets);
        let accepted = Accepted::decode(octets);
        self.region.holds(self.place).hold(accepted.slot);
        ring.consume(taken.wrapping_add(ACCEPTED as u32));
        if slot.is_stalled() {
            self.attend(listener);
        }
        Some(accepted)
    }

    /// Puts as many octets into the send ring as there is room for.
    pub(crate) fn give(&self, slot: u32, octets: &[u8]) -> usize {
        let words = self.slot(slot);
        let ring = words.send_ring();
        let given = words.given();
        let count = octets.len().min(ring.writable(given).unwrap() as usize);
        ring.write(given, &octets[..count]);
        ring.publish(given.wrapping_add(count as u32));
        self.attend(slot);
        count
    }

    /// Takes what is in the receive ring.
    pub(crate) fn take(&self, slot: u32, most: usize) -> Vec<u8> {
        let words = self.slot(slot);
        let (ring, taken) = (words.receive_ring(), words.taken());
        let mut octets = vec![0; most.min(ring.readable(taken).unwrap() as usize)];
        ring.read(taken, &mut octets);
        ring.consume(taken.wrapping_add(octets.len() as u32));
        if words.is_stalled() {
            self.attend(slot);
        }
        octets
    }

    pub(crate) fn command(&self, slot: u32, bits: u32) {
        self.slot(slot).command(self.slot(slot).generation(), bits);
        self.attend(slot);
    }

    pub(crate) fn has(&self, slot: u32, bits: u32) -> bool {
        self.slot(slot).state() & bits == bits
    }

    pub(crate) fn register(&self, memory: &ForeignMemory) -> u32 {
        let request = Request::Register { length: memory.len() as u64 };
        match self.ask(&request, &[memory.descriptor()]).unwrap() {
            Reply::Registered { memory } => memory,
            other => panic!("{other:?}"),
        }
    }
}

/// A TCP socket that is bound and does not listen.
pub(crate) fn bound() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    socket
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}
