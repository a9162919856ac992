//! Every limit and every choice, with its default.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How a [`Tcp`](crate::Tcp) behaves. Read once, at its creation; [`Tcp::new`](crate::Tcp::new) moves values that are
/// out of their bounds to the nearest bound.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The most connections at once, at most 2^24. Beyond it a completed handshake is dropped without an answer, so the
    /// peer retries, and `connect` fails. 131,072.
    pub max_connections: u32,
    /// How an incoming handshake is remembered until it is complete.
    pub handshake: Handshake,
    /// Whether a connection is created by the first segment with data rather than by the handshake's last
    /// acknowledgment: for protocols in which the client speaks first. Off.
    pub accept_on_data: bool,
    /// Octets that a peer may send beyond what the caller has consumed: 4 KiB to 16 MiB. 65,535.
    pub receive_window: u32,
    /// Octets that the caller should queue for one peer: where `send_space` becomes zero. 256 KiB.
    pub send_buffer: u32,
    /// Octets received and not consumed, in order or not, over all connections. Beyond it out-of-order segments are
    /// dropped, and the peer sends them again. 64 MiB.
    pub receive_memory: u64,
    /// The most remembered closed connections (TIME-WAIT). Beyond it the oldest is forgotten. 65,536.
    pub time_wait_entries: u32,
    /// How long a closed connection is remembered, twice the maximum segment lifetime (RFC 9293 §3.4.2). 60 s.
    pub time_wait: Duration,
    /// The most replies that wait to be sent and belong to no connection (SYN-ACKs with cookies, resets,
    /// acknowledgments of old connections). Beyond it they are dropped. None is larger than 100 octets, and each
    /// packet received provokes at most one. 1,024.
    pub stateless_replies: u32,
    /// The most challenge acknowledgments in a second, over all connections (RFC 5961 §7). 1,000.
    pub challenges_per_second: u32,
    /// Timeouts without progress until a connection is given up (RFC 9293 §3.8.3, R2). 10.
    pub retries: u8,
    /// The same for SYN and SYN-ACK. 7: they are given up after 183 s, for RFC 9293 §3.8.3 wants at least three minutes.
    pub handshake_retries: u8,
    /// The most that a retransmission timeout may grow to. 60 s.
    pub max_retransmission_timeout: Duration,
    /// The least that it may be. RFC 6298 §2.4 recommends 1 s; everybody uses less. 200 ms.
    pub min_retransmission_timeout: Duration,
    /// How long an acknowledgment waits for something to ride on, at most 500 ms (RFC 9293 §3.8.6.3). 40 ms.
    pub delayed_acknowledgment: Duration,
    /// When to ask whether a silent peer is still there (RFC 9293 §3.8.4). Off.
    pub keep_alive: Option<KeepAlive>,
    /// How long a connection that is closed on our side may hear nothing of its peer, whose FIN is still to come, until it is
    /// given up. 60 s; once the caller does not want what the peer sends ([`Tcp::close`](crate::Tcp::close)), `linger`
    /// counts. Also how long a caller may leave the rest of the input of a closed connection unread.
    pub fin_wait: Duration,
    /// How long what a peer sends is taken and dropped after `close`, after everything of ours was acknowledged. 2 s.
    pub linger: Duration,
    /// Whether small segments wait for outstanding ones (RFC 9293 §3.7.4). Off: responses are written whole.
    pub nagle: bool,
    /// The congestion controller.
    pub congestion_control: CongestionControl,
    /// Whether timestamps (RFC 7323 §3) are offered and accepted; window scaling always is. On.
    pub timestamps: bool,
    /// Whether selective acknowledgments (RFC 2018) are. On.
    pub selective_acknowledgments: bool,
    /// Whether explicit congestion notification (RFC 3168) is. Off.
    pub congestion_notification: bool,
    /// The largest IP packet that the link takes: 576 (IPv4), 1,280 (IPv6) to 65,535. 1,500.
    pub mtu: u16,
    /// Whether a path that swallows large packets without a word is probed with smaller ones (RFC 4821). On.
    pub black_hole_detection: bool,
    /// Where the ports of `connect` come from (RFC 6056). 32,768 to 60,999.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Whether a checksum field that holds just the pseudo-header's sum is accepted: on a virtual cable the peer's kernel
    /// leaves the rest to a device that does not exist. Off.
    pub partial_checksums: bool,
    /// Where a payload's checksum comes from.
    pub checksum: Checksum,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_connections: 131_072,
            handshake: Handshake::Cookies,
            accept_on_data: false,
            receive_window: 65_535,
            send_buffer: 256 * 1024,
            receive_memory: 64 * 1024 * 1024,
            time_wait_entries: 65_536,
            time_wait: Duration::from_secs(60),
            stateless_replies: 1024,
            challenges_per_second: 1000,
            retries: 10,
            handshake_retries: 7,
            max_retransmission_timeout: Duration::from_secs(60),
            min_retransmission_timeout: Duration::from_millis(200),
            delayed_acknowledgment: Duration::from_millis(40),
            keep_alive: None,
            fin_wait: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            nagle: false,
            congestion_control: CongestionControl::default(),
            timestamps: true,
            selective_acknowledgments: true,
            congestion_notification: false,
            mtu: 1500,
            black_hole_detection: true,
            ephemeral_ports: 32_768..=60_999,
            partial_checksums: false,
            checksum: Checksum::Stored,
        }
    }
}

impl Config {
    /// The same with every value within its bounds.
    pub(crate) fn bounded(mut self) -> Config {
        self.max_connections = self.max_connections.clamp(1, 1 << 24);
        self.receive_window = self.receive_window.clamp(4096, 16 * 1024 * 1024);
        self.send_buffer = self.send_buffer.max(1);
        self.delayed_acknowledgment = self.delayed_acknowledgment.min(Duration::from_millis(500));
        self.min_retransmission_timeout =
            self.min_retransmission_timeout.clamp(Duration::from_millis(1), Duration::from_secs(60));
        self.max_retransmission_timeout = self.max_retransmission_timeout.max(self.min_retransmission_timeout);
        self.mtu = self.mtu.max(576);
        self.retries = self.retries.max(1);
        self.handshake_retries = self.handshake_retries.max(1);
        self
    }

    /// The shift that lets a 16-bit field say the whole receive window (RFC 7323 §2.2).
    pub(crate) fn window_shift(&self) -> u8 {
        let bits = u32::BITS - self.receive_window.leading_zeros();
        bits.saturating_sub(16).min(14) as u8
    }
}

/// How an incoming handshake is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// Not at all: the SYN-ACK's numbers are a keyed function of the peer's SYN (RFC 4987 §3.6), and a valid
    /// acknowledgment creates the connection. A lost SYN-ACK is answered by the peer's next SYN. Only a SYN that reopens a
    /// remembered connection without timestamps is queued, at most 256 of them: its number must lie above the old ones.
    Cookies,
    /// In a queue, so that SYN-ACKs are retransmitted; with cookies when it is full.
    Queue {
        /// The most handshakes in it.
        entries: u32,
    },
}

/// When to ask whether a silent peer is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// How long it must have been silent.
    pub idle: Duration,
    /// The time between two questions.
    pub interval: Duration,
    /// Unanswered questions until the connection is given up.
    pub probes: u8,
}

/// Where a payload's checksum comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksum {
    /// From [`Payload::sum`](crate::Payload::sum).
    #[default]
    Stored,
    /// From the octets: what the stored sums save can be measured.
    Computed,
}

/// Which congestion controller runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CongestionControl {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681 with RFC 6582.
    NewReno,
}
