//! What the transport counts, besides TCP itself.

use std::sync::{Mutex, PoisonError};

use afpa_engine::stats::Counter;

/// Counters of one transport, readable from any thread. What the device, the driver and TCP count is up to a tenth of a
/// second old while there is traffic, and older while there is none: [`Observer::counters`](crate::Observer::counters)
/// has it brought up to date.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct DirectStats {
    /// Frames received.
    pub frames_in: Counter,
    /// Frames sent; one that the device cuts counts once.
    pub frames_out: Counter,
    /// Octets of payload that left from where another process had written them, also again.
    pub lent_octets: Counter,
    /// Frames that were neither IP nor ours, or malformed.
    pub frames_ignored: Counter,
    /// Frames lost by the device: the ring of received frames was full.
    pub receive_ring_full: Counter,
    /// Frames lost by the device: no memory was there to receive into.
    pub fill_ring_empty: Counter,
    /// Frames lost by the device otherwise.
    pub receive_dropped: Counter,
    /// Frames that the kernel would not send.
    pub transmit_invalid: Counter,
    /// Times that sending paused because the device had no room.
    pub transmit_ring_full: Counter,
    /// Packets that could not leave because their next hop's link address is not known yet.
    pub unresolved: Counter,
    /// Datagrams that were too large for the path, or found no room.
    pub datagrams_lost: Counter,
    /// SYNs that the driver answered for us.
    pub driver_answered: Counter,
    /// Acknowledgments without news that the driver kept from us.
    pub driver_absorbed: Counter,
    /// Connections alive: a gauge.
    pub connections: Counter,
    tcp: Mutex<afpa_tcp::Stats>,
}

impl DirectStats {
    /// TCP's own counters, as they were published last.
    pub fn tcp(&self) -> afpa_tcp::Stats {
        *self.tcp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes TCP's counters, unless somebody is just reading them: the engine never waits.
    pub(crate) fn publish(&self, stats: &afpa_tcp::Stats) {
        if let Ok(mut published) = self.tcp.try_lock() {
            *published = *stats;
        }
    }
}
