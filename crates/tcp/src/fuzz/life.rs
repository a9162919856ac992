//! What the caller knows of a connection, and what must hold of it.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::Flags;

use super::peer::octet_at;
use super::run::CONNECTED;
use super::sink::Sent;
use crate::arrival::{Arrival, Ending, Opened};

/// One connection, from when the caller hears of it until it is told of the end.
pub(super) struct Life {
    token: u32,
    is_open: bool,
    /// The number of the first octet that is sent.
    base: Option<Sequence>,
    /// Octets that were queued, that left at least once, that were acknowledged.
    pub(super) queued: u64,
    sent: u64,
    acknowledged: u64,
    /// Pinned payloads, by where they end.
    pins: VecDeque<(u64, Weak<[u8]>)>,
    /// The caller has closed its half; it does not want the other one's octets.
    pub(super) is_finishing: bool,
    pub(super) is_closed: bool,
    /// The number of the first octet that is not consumed.
    read: Option<Sequence>,
    is_finished: bool,
    /// The last acknowledgment number and the right edge that were shown to the peer.
    shown: Option<(Sequence, Sequence)>,
}

impl Life {
    pub(super) fn new(token: u32) -> Life {
        Life {
            token,
            is_open: false,
            base: None,
            queued: 0,
            sent: 0,
            acknowledged: 0,
            pins: VecDeque::new(),
            is_finishing: false,
            is_closed: false,
            read: None,
            is_finished: false,
            shown: None,
        }
    }

    /// The octets that are queued next.
    pub(super) fn octets(&self, count: usize) -> Vec<u8> {
        (self.queued..self.queued + count as u64).map(octet_of).collect()
    }

    pub(super) fn pin(&mut self, payload: &Rc<[u8]>) {
        self.pins.push_back((self.queued + payload.len() as u64, Rc::downgrade(payload)));
    }

    /// Takes note of everything but the input. `initial` are the initial numbers of both ends, if the connection still is.
    pub(super) fn arrives(&mut self, arrival: &Arrival<'_>, initial: Option<(Sequence, Sequence)>) {
        assert_eq!(arrival.token, self.token, "the token is the caller's");
        if let Some(opened) = arrival.opened {
            assert!(!self.is_open, "opened twice");
            self.is_open = true;
            assert_eq!(opened == Opened::Connected, self.token == CONNECTED, "who opened it");
            if let Some((send, receive)) = initial {
                self.base = Some(send + 1);
                self.read = Some(receive + 1);
            }
        }
        assert!(self.is_open || arrival.ended.is_some(), "{arrival:?} before it was opened");
        self.acknowledged += arrival.acknowledged;
        assert!(self.acknowledged <= self.sent, "{} octets acknowledged, {} sent", self.acknowledged, self.sent);
        self.check_pins();
    }

    /// Checks octets from the first unconsumed one on.
    pub(super) fn shown(&self, octets: &[u8]) {
        let Some(read) = self.read else { return };
        let differs = octets.iter().enumerate().position(|(place, octet)| octet_at((read + place as u32).0) != *octet);
        assert_eq!(differs, None, "the place of a wrong octet among {}, of {read:?}", octets.len());
    }

    /// Checks what comes with an arrival. What is told later may have been read.
    pub(super) fn input(&self, octets: &[u8], is_late: bool) {
        assert!(is_late || !octets.is_empty(), "no input");
        assert!(octets.is_empty() || !self.is_closed, "input that nobody wants");
        assert!(octets.is_empty() || !self.is_finished, "input behind the end");
        self.shown(octets);
    }

    pub(super) fn consumed(&mut self, count: usize) {
        self.read = self.read.map(|read| read + count as u32);
    }

    pub(super) fn finished(&mut self) {
        assert!(!self.is_finished, "the peer's half ended twice");
        self.is_finished = true;
    }

    pub(super) fn ended(&self, ending: Ending) {
        if ending == Ending::Closed {
            assert!(self.is_finishing, "closed, but not by the caller");
            let is_whole = self.acknowledged == self.queued;
            assert!(
                is_whole || !self.is_open,
                "{} of {} octets acknowledged at the end",
                self.acknowledged,
                self.queued
            );
        }
        self.is_let_go();
    }

    /// The connection is no more: nothing of it is pinned.
    pub(super) fn is_let_go(&self) {
        let held = self.pins.iter().filter(|(_, pin)| pin.strong_count() > 0).count();
        assert_eq!(held, 0, "pins held of a connection that is over");
    }

    /// A packet of the connection left. `shift` is that of its windows.
    pub(super) fn sent(&mut self, sent: &Sent, shift: u8) {
        let sequence = Sequence(sent.sequence);
        let has = |flags| sent.flags.contains(flags);
        assert!(!has(Flags::RST), "a connection that lives does not reset itself");
        if has(Flags::SYN) {
            assert!(sent.payload.is_empty() && !has(Flags::FIN));
            let base = *self.base.get_or_insert(sequence + 1);
            assert_eq!(base, sequence + 1, "the initial number");
            return;
        }
        assert!(has(Flags::ACK), "every segment but the first acknowledges");
        self.acknowledges(sent, shift);
        let Some(base) = self.base else { return };
        if sent.payload.is_empty() && !has(Flags::FIN) {
            let behind = sequence.offset_from(base - 1);
            assert!(u64::from(behind) <= self.sent + 2, "an acknowledgment {behind} behind the initial number");
            return;
        }
        let start = u64::from(sequence.offset_from(base));
        let end = start + sent.payload.len() as u64;
        assert!(end <= self.queued, "octets {start} to {end} of {}", self.queued);
        assert!(start >= self.acknowledged, "octets from {start} on again, {} acknowledged", self.acknowledged);
        let differs = (start..).zip(&sent.payload).find(|(offset, octet)| octet_of(*offset) != **octet);
        assert_eq!(differs, None, "a wrong octet among {start} to {end}");
        self.sent = self.sent.max(end);
        if has(Flags::FIN) {
            assert!(self.is_finishing && end == self.queued, "FIN at {end} of {}", self.queued);
        }
    }

    fn acknowledges(&mut self, sent: &Sent, shift: u8) {
        let acknowledgment = Sequence(sent.acknowledgment);
        let edge = acknowledgment + (u32::from(sent.window) << shift);
        if let Some((before, edge_before)) = self.shown {
            assert!(!acknowledgment.before(before), "acknowledged {acknowledgment:?} after {before:?}");
            // What is left may be less than a unit.
            let shrunk = edge_before.offset_from(edge) as i32;
            assert!(shrunk < 1 << shift, "the window shrank by {shrunk}");
        }
        self.shown = Some((acknowledgment, edge));
    }

    /// A pin is held exactly until its last octet is acknowledged.
    fn check_pins(&mut self) {
        while self.pins.front().is_some_and(|(end, _)| *end <= self.acknowledged) {
            let Some((end, pin)) = self.pins.pop_front() else { return };
            assert_eq!(pin.strong_count(), 0, "the pin up to {end} is held after it was acknowledged");
        }
    }
}

/// What the caller sends at this place of the stream.
fn octet_of(offset: u64) -> u8 {
    ((offset as u32).wrapping_mul(0x85eb_ca6b) >> 11) as u8
}
