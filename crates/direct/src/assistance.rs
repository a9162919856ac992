//! The program in the driver that does the stateless part of handshakes for us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use afpa_platform::steering::{Assistance, CookieKey, Parameters};
use afpa_tcp::{Assistant, Offload, Time};

/// What the program has of an engine, under the name that TCP knows it by.
#[derive(Debug)]
pub(crate) struct Driver(Assistance);

impl Driver {
    pub(crate) fn new(assistance: Assistance) -> Arc<Driver> {
        Arc::new(Driver(assistance))
    }

    /// Tells the program how TCP would answer, or to leave everything to it.
    pub(crate) fn publish(&self, offload: Option<Offload>) {
        let Some(offload) = offload else { return self.0.retract() };
        self.0.publish(&Parameters {
            cookie_keys: offload.cookie_keys.map(|(epoch, key)| CookieKey { epoch, key }),
            timestamp_key: offload.timestamp_key,
            selective_acknowledgments: offload.selective_acknowledgments,
            segment_sizes: offload.segment_sizes,
            window: offload.window,
            window_scale: offload.window_scale,
            absorbs: offload.absorbs,
            partial_checksums: offload.partial_checksums,
        });
    }

    pub(crate) fn answered(&self) -> u64 {
        self.0.answered()
    }

    pub(crate) fn absorbed(&self) -> u64 {
        self.0.absorbed()
    }
}

impl Assistant for Driver {
    fn comes(&self, local: SocketAddr, remote: SocketAddr) {
        self.0.comes(local, remote);
    }

    fn goes(&self, local: SocketAddr, remote: SocketAddr) {
        self.0.goes(local, remote);
    }

    fn has_offered(&self, now: Time, age: Duration, local: SocketAddr, remote: SocketAddr, sequence: u32) -> bool {
        self.0.has_offered(now.0, age, local, remote, sequence)
    }
}
