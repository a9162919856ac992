//! What an engine's own TCP counts.

use serde::Serialize;

/// Counters of one engine's TCP and of the frames under it, since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tcp {
    /// The engine's CPU.
    pub core: usize,
    /// How its frames are taken and given: xdp, packet, tap.
    pub frames: &'static str,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent; one that the device cuts into several counts once.
    pub frames_out: u64,
    /// Frames that were malformed or nothing that we listen to.
    pub frames_ignored: u64,
    /// Frames lost, by the ring that had no room for them.
    pub drops: Vec<Drops>,
    /// IP packets whose checksum was wrong.
    pub bad_checksums: u64,
    /// Octets of payload sent, those sent again included.
    pub payload_octets_out: u64,
    /// Octets of payload that left from where applications had written them, those sent again included.
    pub lent_octets_out: u64,
    /// Octets of payload received in order.
    pub payload_octets_in: u64,
    /// Segments sent again.
    pub retransmitted_segments: u64,
    /// Times that the retransmission timer ran out (RFC 6298).
    pub retransmission_timeouts: u64,
    /// Times that a loss was repaired before the timer ran out (RFC 6675, RFC 8985).
    pub fast_recoveries: u64,
    /// Probes for a lost tail (RFC 8985 §7).
    pub tail_loss_probes: u64,
    /// Octets that peers acknowledged selectively (RFC 2018).
    pub sacked_octets: u64,
    /// Segments received ahead of their turn.
    pub out_of_order_segments: u64,
    /// Segments received again.
    pub duplicate_segments: u64,
    /// Resets, by who sent them and why.
    pub resets: Vec<Resets>,
    /// SYN-ACKs sent whose number was a cookie (RFC 4987 §3.6).
    pub cookies_sent: u64,
    /// SYN-ACKs that the driver sent for this engine, with cookies, too.
    pub driver_cookies_sent: u64,
    /// Acknowledgments without news that the driver kept from it.
    pub driver_acknowledgments_absorbed: u64,
    /// Connections that a cookie opened.
    pub cookies_accepted: u64,
    /// Acknowledgments without a connection whose cookie was none of ours, or too old.
    pub cookies_rejected: u64,
    /// SYNs that were not answered.
    pub syns_dropped: u64,
    /// Challenges sent to whoever might have forged a segment (RFC 5961).
    pub challenge_acknowledgments: u64,
    /// Connections that were remembered after their end (TIME-WAIT).
    pub time_waits: u64,
}

/// Resets of one reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resets {
    /// `sent` or `received`.
    pub direction: &'static str,
    /// Why: unmatched, aborted, timed out, by the peer.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// Frames that a ring had no room for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drops {
    /// The ring: receive, fill, transmit, ...
    pub ring: &'static str,
    /// How many.
    pub count: u64,
}
