//! One connection of the direct transport, as `ss -ti` shows those of the kernel.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Serialize;

use crate::units::Malformed;

/// A connection at one moment. What TCP does not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connection {
    /// The CPU of the engine that owns it.
    pub core: usize,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Where it stands.
    pub state: State,
    /// The congestion control, and what it is doing.
    pub congestion: CongestionState,
    /// Octets that may be outstanding as far as congestion goes.
    pub congestion_window: u64,
    /// Where slow start ends, in octets; absent before the first loss.
    pub slow_start_threshold: Option<u64>,
    /// Octets that may be outstanding as far as the peer goes.
    pub send_window: u64,
    /// Octets that the peer may send.
    pub receive_window: u64,
    /// Octets of payload in a full segment.
    pub segment_size: u16,
    /// The smoothed round-trip time in microseconds; zero before the first measurement.
    pub round_trip_micros: u64,
    /// How much it varies, in microseconds.
    pub round_trip_variation_micros: u64,
    /// The retransmission timeout in microseconds, backed off as it is now.
    pub retransmission_timeout_micros: u64,
    /// Octets sent and not acknowledged.
    pub unacknowledged: u64,
    /// Of those, octets that the peer has, ahead of a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sacked: Option<u64>,
    /// Of those, octets that are taken to be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Segments sent again since the connection began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Octets received in order and not yet read.
    pub unread: u64,
    /// Octets to be sent, or sent and not acknowledged.
    pub send_queue: u64,
    /// Milliseconds since it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_millis: Option<u64>,
}

impl Connection {
    /// A connection of which nothing more is known.
    pub fn new(core: usize, local: SocketAddr, remote: SocketAddr, state: State) -> Connection {
        Connection {
            core,
            local,
            remote,
            state,
            congestion: CongestionState::default(),
            congestion_window: 0,
            slow_start_threshold: None,
            send_window: 0,
            receive_window: 0,
            segment_size: 0,
            round_trip_micros: 0,
            round_trip_variation_micros: 0,
            retransmission_timeout_micros: 0,
            unacknowledged: 0,
            sacked: None,
            lost: None,
            retransmits: None,
            unread: 0,
            send_queue: 0,
            age_millis: None,
        }
    }
}

/// What congestion control is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CongestionState {
    /// reno or cubic.
    pub control: &'static str,
    /// open, recovery or loss; absent if TCP does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
}

/// A state of RFC 9293 §3.3.2 in which a connection can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the RFC's own names")]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

const STATES: [(State, &str); 9] = [
    (State::SynSent, "syn-sent"),
    (State::SynReceived, "syn-received"),
    (State::Established, "established"),
    (State::FinWait1, "fin-wait-1"),
    (State::FinWait2, "fin-wait-2"),
    (State::CloseWait, "close-wait"),
    (State::Closing, "closing"),
    (State::LastAck, "last-ack"),
    (State::TimeWait, "time-wait"),
];

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STATES.iter().find(|(state, _)| state == self).map_or("", |(_, name)| name))
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for State {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<State, Malformed> {
        let expected = "a state such as established, syn-received, fin-wait-1 or close-wait";
        let named = STATES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        named.map(|(state, _)| *state).ok_or_else(|| Malformed::new(expected, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_read_and_serialised() {
        for (state, name) in STATES {
            assert_eq!(state.to_string(), name);
            assert_eq!(name.to_uppercase().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), serde_json::Value::from(name));
        }
        assert!("open".parse::<State>().is_err());
    }
}
