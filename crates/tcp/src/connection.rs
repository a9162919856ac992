//! The state of one connection.

use std::mem::{offset_of, size_of};
use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::egress::segment::Template;
use crate::handle::Handle;
use crate::lookup::Tuple;
use crate::path_mtu::MtuProbe;
use crate::payload::Payload;
use crate::pool::Reset;
use crate::receive::reassembly::Reassembly;
use crate::receive::unread::Unread;
use crate::send::congestion::Congestion;
use crate::send::congestion::recovery::Recovery;
use crate::send::duplicates::DuplicateAcknowledgments;
use crate::send::flight::Flight;
use crate::send::queue::SendQueue;
use crate::send::rtt::Rtt;
use crate::send::tail_loss::TailLoss;
use crate::state::State;
use crate::time::Time;

/// The most octets that a connection holds while nothing of it is queued, unread or out of order, its slot, its entry in the
/// lookup table (4 octets and a control octet, at half load) and its timer included.
const IDLE_OCTETS: usize = 512;

/// A connection in the table. Everything that a segment touches in the predicted case lies in the first two cache
/// lines; what is only there for some connections at a time is a pooled box.
#[repr(C, align(64))]
pub(crate) struct Connection<P> {
    /// RCV.NXT.
    pub(crate) receive_next: Sequence,
    /// The right edge of the window that the peer was promised; never moves left.
    pub(crate) receive_edge: Sequence,
    /// The last acknowledgment number sent (RFC 7323's Last.ACK.sent).
    pub(crate) acknowledgment_sent: Sequence,
    /// SND.UNA.
    pub(crate) send_unacknowledged: Sequence,
    /// SND.NXT: nothing beyond was ever sent, since retransmissions do not move it.
    pub(crate) send_next: Sequence,
    /// SND.WND, in octets.
    pub(crate) send_window: u32,
    /// SND.WL1.
    pub(crate) window_sequence: Sequence,
    /// SND.WL2.
    pub(crate) window_acknowledgment: Sequence,
    /// TS.Recent.
    pub(crate) timestamp_recent: u32,
    /// What is added to our clock in timestamps, so that they tell nobody how long we are up (RFC 7323 §7.1).
    pub(crate) timestamp_offset: u32,
    pub(crate) flags: Flags,
    pub(crate) state: State,
    /// By how much the peer's windows are shifted.
    pub(crate) send_shift: u8,
    /// By how much ours are.
    pub(crate) receive_shift: u8,
    pub(crate) send_timer: SendTimer,
    /// Octets of payload in a full segment to the peer, options in every segment already counted off.
    pub(crate) segment_size: u16,
    /// The same in the other direction: the largest seen, for when to acknowledge.
    pub(crate) receive_segment_size: u16,
    pub(crate) listener: Option<u16>,
    /// What is queued or in flight, and how it fares.
    pub(crate) sending: Option<Box<Sending<P>>>,

    /// What arrived out of order.
    pub(crate) assembly: Option<Box<Reassembly>>,
    /// What arrived in order and was not consumed.
    pub(crate) unread: Unread,
    /// When `send_timer` fires.
    pub(crate) send_deadline: Time,
    /// When a delayed acknowledgment is sent.
    pub(crate) acknowledgment_deadline: Time,
    /// When the wheel comes back to this connection.
    pub(crate) scheduled: Time,
    /// When the peer was last heard.
    pub(crate) heard: Time,
    pub(crate) generation: u32,
    pub(crate) token: u32,
    pub(crate) cold: Cold,
}

/// What the predicted case reads little of.
pub(crate) struct Cold {
    pub(crate) template: Template,
    pub(crate) tuple: Tuple,
    /// Consecutive timeouts, or probes without an answer.
    pub(crate) retries: u8,
    /// Keep-alives without an answer.
    pub(crate) keep_alives: u8,
    /// The MSS option that the peer sent.
    pub(crate) peer_mss: u16,
    /// The largest IP packet that the path takes, as far as is known.
    pub(crate) path_mtu: u16,
    /// When that became known.
    pub(crate) path_mtu_at: Time,
    /// The smallest packet that vanished since the search for the largest began; zero if none did.
    pub(crate) path_mtu_refused: u16,
    /// ISS.
    pub(crate) initial_send: Sequence,
    /// IRS.
    pub(crate) initial_receive: Sequence,
    /// The largest window that the peer ever offered (RFC 9293 §3.8.6.2.1).
    pub(crate) largest_window: u32,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    /// When TS.Recent was set: it is void after 24 days (RFC 7323 §5.5).
    pub(crate) timestamp_recent_at: Time,
    /// When keep-alive, FIN-WAIT-2 or the handshake come to their end.
    pub(crate) idle_deadline: Time,
    /// When data was last sent.
    pub(crate) sent: Time,
    /// When the last answer to a segment out of the window was sent.
    pub(crate) challenged: Time,
    /// What arrived twice, to be told in the next acknowledgment (RFC 2883).
    pub(crate) duplicate: Option<(Sequence, Sequence)>,
}

/// What is there while something is queued or in flight.
pub(crate) struct Sending<P> {
    pub(crate) queue: SendQueue<P>,
    pub(crate) flight: Flight,
    pub(crate) duplicates: DuplicateAcknowledgments,
    pub(crate) tail: TailLoss,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) mtu_probe: Option<MtuProbe>,
    /// When RACK wants to look for losses again.
    pub(crate) look_again: Option<Time>,
    /// When the retransmission timeout is over (RFC 6298 §5); another timer may come before.
    pub(crate) retransmit_at: Time,
}

/// Which of the sender's timers runs: never more than one does (RFC 8985 §8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum SendTimer {
    None,
    /// SYN or SYN-ACK.
    Handshake,
    Retransmission,
    /// The peer's window is closed.
    Persist,
    TailLoss,
    /// RACK's reordering window.
    Reordering,
}

/// What is true of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    /// It is in the queue of those that have something to send.
    pub(crate) const READY: Flags = Flags(1);
    /// It wants to be there.
    pub(crate) const WAKE: Flags = Flags(1 << 1);
    /// The peer is owed an acknowledgment.
    pub(crate) const ACKNOWLEDGE: Flags = Flags(1 << 2);
    /// ... which does not wait.
    pub(crate) const AT_ONCE: Flags = Flags(1 << 3);
    /// SYN or SYN-ACK is to be sent.
    pub(crate) const SYNCHRONIZE: Flags = Flags(1 << 4);
    /// FIN follows what is queued.
    pub(crate) const FINISH: Flags = Flags(1 << 5);
    /// It was sent at least once.
    pub(crate) const FINISH_SENT: Flags = Flags(1 << 6);
    /// A segment is to be sent although the window is closed.
    pub(crate) const PROBE: Flags = Flags(1 << 7);
    /// A tail loss probe is to be sent.
    pub(crate) const PROBE_TAIL: Flags = Flags(1 << 8);
    /// A keep-alive is to be sent.
    pub(crate) const ASK: Flags = Flags(1 << 9);
    pub(crate) const TIMESTAMPS: Flags = Flags(1 << 10);
    pub(crate) const SELECTIVE: Flags = Flags(1 << 11);
    pub(crate) const SCALING: Flags = Flags(1 << 12);
    pub(crate) const CONGESTION_NOTIFICATION: Flags = Flags(1 << 13);
    /// ECE in every acknowledgment until CWR comes (RFC 3168 §6.1.3).
    pub(crate) const ECHO: Flags = Flags(1 << 14);
    /// CWR in the next new data segment (RFC 3168 §6.1.2).
    pub(crate) const REDUCED: Flags = Flags(1 << 15);
    /// The caller does not want what the peer sends any more.
    pub(crate) const DISCARD: Flags = Flags(1 << 16);
    /// The peer's FIN was received in order.
    pub(crate) const PEER_FINISHED: Flags = Flags(1 << 17);
    /// The caller knows of the connection.
    pub(crate) const ANNOUNCED: Flags = Flags(1 << 18);
    /// Packets that were too large vanished without a word, so larger ones are tried one at a time.
    pub(crate) const BLACK_HOLE: Flags = Flags(1 << 20);
    /// The slot is in use.
    pub(crate) const ALIVE: Flags = Flags(1 << 19);

    pub(crate) const fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub(crate) fn set(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    pub(crate) fn clear(&mut self, other: Flags) {
        self.0 &= !other.0;
    }
}

impl<P> Connection<P> {
    pub(crate) fn handle(&self, index: u32) -> Handle {
        Handle { index, generation: self.generation }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.flags.has(Flags::ALIVE)
    }

    /// Owes the peer an acknowledgment that may wait for something to ride on.
    pub(crate) fn owe_acknowledgment(&mut self) {
        self.flags.set(Flags::ACKNOWLEDGE.with(Flags::WAKE));
    }

    /// Owes the peer an acknowledgment with the next dispatch.
    pub(crate) fn acknowledge_at_once(&mut self) {
        self.flags.set(Flags::ACKNOWLEDGE.with(Flags::AT_ONCE).with(Flags::WAKE));
    }

    /// What the peer may still send.
    pub(crate) fn promised(&self) -> u32 {
        if self.receive_edge.after(self.receive_next) { self.receive_edge.offset_from(self.receive_next) } else { 0 }
    }

    /// How much of the sequence space is in flight.
    pub(crate) fn outstanding(&self) -> u32 {
        self.send_next.offset_from(self.send_unacknowledged)
    }

    /// Our timestamp clock, in milliseconds.
    pub(crate) fn timestamp(&self, now: Time) -> u32 {
        milliseconds(now).wrapping_add(self.timestamp_offset)
    }

    /// The earliest moment at which one of its timers fires.
    pub(crate) fn deadline(&self) -> Time {
        self.send_deadline.min(self.acknowledgment_deadline).min(self.cold.idle_deadline)
    }
}

impl<P: Payload> Connection<P> {
    /// Octets queued, sent or not.
    pub(crate) fn queued(&self) -> u32 {
        self.sending.as_ref().map_or(0, |sending| sending.queue.len())
    }

    /// Octets queued and never sent.
    pub(crate) fn unsent(&self) -> u32 {
        if !self.state.is_synchronized() {
            return self.queued();
        }
        let sent = self.outstanding().saturating_sub(u32::from(self.flags.has(Flags::FINISH_SENT)));
        self.queued().saturating_sub(sent)
    }
}

impl<P: Payload> Default for Sending<P> {
    fn default() -> Sending<P> {
        Sending {
            queue: SendQueue::default(),
            flight: Flight::default(),
            duplicates: DuplicateAcknowledgments::default(),
            tail: TailLoss::default(),
            recovery: None,
            mtu_probe: None,
            look_again: None,
            retransmit_at: Time::NEVER,
        }
    }
}

impl<P: Payload> Reset for Sending<P> {
    fn reset(&mut self) {
        self.queue.clear();
        self.flight.clear();
        self.duplicates = DuplicateAcknowledgments::default();
        self.tail = TailLoss::default();
        self.recovery = None;
        self.mtu_probe = None;
        self.look_again = None;
        self.retransmit_at = Time::NEVER;
    }
}

/// The timestamp clock: one tick per millisecond (RFC 7323 §5.4 wants 1 ms to 1 s).
pub(crate) fn milliseconds(now: Time) -> u32 {
    (now.0 / 1_000_000) as u32
}

/// How long ago a timestamp of ours was taken.
pub(crate) fn age(now: Time, offset: u32, echo: u32) -> Option<Duration> {
    let ticks = milliseconds(now).wrapping_add(offset).wrapping_sub(echo);
    (ticks < 1 << 31).then(|| Duration::from_millis(u64::from(ticks)))
}

const _: () = assert!(offset_of!(Connection<()>, cold) <= 128, "the hot state of a connection is two cache lines");
/// The slot, an entry of the lookup table at its worst load, an entry of the wheel.
const _: () = assert!(size_of::<Connection<()>>() + 12 + 24 <= IDLE_OCTETS, "an idle connection is small");
