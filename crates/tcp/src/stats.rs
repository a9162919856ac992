//! What TCP counted.

/// Counters since the start. They wrap, as counters do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names say it; those that do not are documented")]
pub struct Stats {
    pub packets_received: u64,
    pub packets_sent: u64,
    /// Octets of payload received in order.
    pub octets_received: u64,
    /// Octets of payload sent, retransmissions included.
    pub octets_sent: u64,
    /// Segments that header prediction took.
    pub fast_path: u64,

    /// Packets that are not well-formed IP, TCP or ICMP, or are fragments.
    pub malformed: u64,
    /// Packets whose checksum is wrong.
    pub broken_checksums: u64,
    /// Packets that belong to no connection and no listener.
    pub unmatched: u64,

    pub accepted: u64,
    pub connected: u64,
    pub closed: u64,
    pub timed_out: u64,
    pub refused: u64,

    pub syns_received: u64,
    pub syns_dropped: u64,
    pub cookies_sent: u64,
    pub cookies_accepted: u64,
    pub cookies_rejected: u64,
    /// Handshakes completed when `max_connections` was reached; they are answered by nothing, so the peer retries.
    pub accepts_dropped: u64,
    /// Replies dropped since the queue of stateless replies was full.
    pub replies_dropped: u64,

    /// Resets accepted from the peer (RFC 5961 §3.2).
    pub resets_received: u64,
    /// Resets sent: segments for no connection (RFC 9293 §3.10.7.1).
    pub resets_sent_unmatched: u64,
    /// Resets sent: the caller aborted.
    pub resets_sent_aborted: u64,
    /// Resets sent: the peer stopped answering.
    pub resets_sent_timed_out: u64,
    /// Challenge acknowledgments sent (RFC 5961 §7).
    pub challenges_sent: u64,
    pub challenges_limited: u64,

    /// Segments outside the receive window (RFC 9293 §3.10.7.4, first check).
    pub unacceptable: u64,
    /// Segments whose timestamp was too old (RFC 7323 §5).
    pub paws_dropped: u64,
    /// Segments that acknowledge what was never sent, or is long gone (RFC 5961 §5).
    pub acknowledgments_rejected: u64,
    pub out_of_order: u64,
    pub duplicates: u64,
    /// Octets dropped since the memory for received octets was used up.
    pub receive_memory_exhausted: u64,

    pub retransmitted_segments: u64,
    pub retransmission_timeouts: u64,
    pub fast_recoveries: u64,
    pub tail_loss_probes: u64,
    pub selectively_acknowledged: u64,
    pub spurious_retransmissions: u64,
    pub window_probes: u64,
    pub keep_alives: u64,
    pub delayed_acknowledgments: u64,
    pub duplicate_acknowledgments: u64,
    pub congestion_experienced: u64,

    pub path_mtu_reduced: u64,
    /// ICMP messages that quote nothing that was sent (RFC 5927 §4).
    pub icmp_rejected: u64,
    pub black_holes: u64,

    pub time_waits: u64,
    pub time_waits_reused: u64,
    pub time_waits_evicted: u64,
}
