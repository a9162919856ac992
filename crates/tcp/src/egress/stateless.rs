//! Replies that belong to no connection.

use std::collections::VecDeque;

use afpa_wire::ip::Ecn;
use afpa_wire::sequence::Sequence;
use afpa_wire::tcp::{self, Flags, Options};

use super::segment::{MAX_HEADERS, Outgoing, Template};
use crate::lookup::Tuple;
use crate::packet::{Packet, Sink};
use crate::stats::Stats;

/// A SYN-ACK with a cookie, a reset, or an acknowledgment of a connection that is over. It has no payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    /// From `local` to `remote`.
    pub(crate) tuple: Tuple,
    pub(crate) sequence: Sequence,
    pub(crate) acknowledgment: Sequence,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: Options,
}

impl Reply {
    /// The reset for a segment that belongs to no connection (RFC 9293 §3.10.7.1), or one whose acknowledgment is wrong
    /// before both ends are synchronized.
    pub(crate) fn reset(tuple: Tuple, segment: &tcp::Segment<'_>) -> Reply {
        let (sequence, acknowledgment, flags) = if segment.flags.contains(Flags::ACK) {
            (Sequence(segment.acknowledgment), Sequence(0), Flags::RST)
        } else {
            (Sequence(0), Sequence(segment.sequence) + segment.sequence_len(), Flags::RST | Flags::ACK)
        };
        Reply { tuple, sequence, acknowledgment, flags, window: 0, options: Options::NONE }
    }
}

/// The queue of them, bounded: what comes when it is full is dropped, and the peer asks again.
pub(crate) struct Replies {
    queue: VecDeque<Reply>,
    bound: usize,
}

impl Replies {
    pub(crate) fn new(bound: u32) -> Replies {
        Replies { queue: VecDeque::with_capacity(bound.min(65_536) as usize), bound: bound as usize }
    }

    /// False, and counted, if there was no room.
    pub(crate) fn push(&mut self, reply: Reply, stats: &mut Stats) -> bool {
        if self.queue.len() >= self.bound {
            stats.replies_dropped += 1;
            return false;
        }
        self.queue.push_back(reply);
        true
    }

    /// False if the sink ran full.
    pub(crate) fn dispatch<P>(&mut self, sink: &mut impl Sink<P>, stats: &mut Stats) -> bool {
        while let Some(reply) = self.queue.front() {
            let mut headers = [0; MAX_HEADERS];
            let outgoing = Outgoing {
                sequence: reply.sequence,
                acknowledgment: reply.acknowledgment,
                flags: reply.flags,
                window: reply.window,
                options: reply.options,
                ecn: Ecn::NotCapable,
                payload_len: 0,
                payload_sum: 0,
                is_cut: false,
            };
            let len = Template::new(&reply.tuple).write(&outgoing, &mut headers);
            let packet = Packet {
                handle: None,
                remote: reply.tuple.remote,
                headers: &headers[..len],
                pieces: &[],
                segment_size: None,
            };
            if !sink.transmit(packet) {
                return false;
            }
            stats.packets_sent += 1;
            self.queue.pop_front();
        }
        true
    }
}
