//! What a transport counts.

use afpa_engine::stats::Counter;

/// Counters of one transport, readable from any thread.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct SocketsStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections opened by us.
    pub opened: Counter,
    /// Times that accepting paused because no descriptor was left.
    pub out_of_descriptors: Counter,
    /// Times that accepting paused because the limit on connections was reached.
    pub at_connection_limit: Counter,
    /// Connections closed while their peer would not stop sending.
    pub linger_timeouts: Counter,
    /// Gathers handed to sending threads.
    pub handed_over: Counter,
    /// Datagrams that were lost here: for lack of room on their way out, or because they are too long.
    pub datagrams_lost: Counter,
}

impl SocketsStats {
    /// Times that accepting paused, for whichever reason.
    pub fn accept_pauses(&self) -> u64 {
        self.out_of_descriptors.get() + self.at_connection_limit.get()
    }
}
