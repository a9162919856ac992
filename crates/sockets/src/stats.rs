//! What the transport counts.

use afpa_engine::stats::Counter;

/// One writer: the engine. Read by anyone.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct SocketsStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Times that accepting paused because descriptors ran out.
    pub out_of_descriptors: Counter,
    /// Times that accepting paused because the limit on connections was reached.
    pub at_connection_limit: Counter,
    /// Gathers handed to a worker.
    pub worker_sends: Counter,
    /// Receives that found all buffers in use.
    pub out_of_buffers: Counter,
}
