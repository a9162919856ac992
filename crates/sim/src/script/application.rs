//! The application at the scripted TCP.

use std::rc::Rc;

use afpa_tcp::{Ending, Handle, Tcp};

use crate::octets::Octets;
use crate::script::step::Afterwards;

/// The stream that the peer sends.
pub(crate) const INCOMING: Octets = Octets(1);
/// The stream that the application sends.
pub(crate) const OUTGOING: Octets = Octets(2);

/// What one connection's application did and saw.
pub(crate) struct Application {
    pub(crate) handle: Option<Handle>,
    pub(crate) opened: bool,
    pub(crate) finished: bool,
    pub(crate) ended: Option<Ending>,
    pub(crate) received: u64,
    pub(crate) acknowledged: u64,
    pub(crate) reads: bool,
    pub(crate) answer: Option<(usize, Afterwards)>,
    written: u64,
}

impl Application {
    pub(crate) fn new() -> Application {
        Application {
            handle: None,
            opened: false,
            finished: false,
            ended: None,
            received: 0,
            acknowledged: 0,
            reads: true,
            answer: None,
            written: 0,
        }
    }

    /// Takes input that lies in a frame.
    pub(crate) fn frame(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, octets: &[u8]) {
        let count = if self.reads { octets.len() } else { 0 };
        self.consume(octets, count);
        self.reply(tcp, handle);
        tcp.consumed(handle, &octets[count..], count);
    }

    /// Takes up to so many octets of what is unread.
    pub(crate) fn read(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, most: usize) {
        let unread = tcp.take_unread(handle);
        let count = unread.len().min(most);
        self.consume(&unread, count);
        tcp.give_unread(handle, unread, count);
    }

    /// Takes input that lies in the unread buffer.
    pub(crate) fn buffered(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle) {
        let most = if self.reads { usize::MAX } else { 0 };
        self.read(tcp, handle, most);
        self.reply(tcp, handle);
    }

    pub(crate) fn write(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle, count: usize, pinned: bool) {
        if pinned {
            tcp.send_pinned(handle, OUTGOING.pinned(self.written, count));
        } else {
            tcp.send_copy(handle, &OUTGOING.range(self.written, count));
        }
        self.written += count as u64;
    }

    fn consume(&mut self, octets: &[u8], count: usize) {
        INCOMING.check(self.received, octets);
        self.received += count as u64;
    }

    fn reply(&mut self, tcp: &mut Tcp<Rc<[u8]>>, handle: Handle) {
        let Some((count, afterwards)) = self.answer.take() else { return };
        self.write(tcp, handle, count, true);
        match afterwards {
            Afterwards::Nothing => {}
            Afterwards::Finish => tcp.finish(handle),
            Afterwards::Close => tcp.close(handle),
        }
    }
}
