//! The fuzzer's octets, read as what a link and a kernel may say. Few addresses, so that they meet again.

use std::net::IpAddr;

use afpa_wire::MacAddress;

/// What is left of a program. Behind its end there are zeros.
pub(super) struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Program<'a> {
        Program(octets)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn octet(&mut self) -> u8 {
        self.octets(1).first().copied().unwrap_or(0)
    }

    /// As many octets as there are, up to `count`.
    pub(super) fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of 128 addresses of each version; a few of them are no single host's.
    pub(super) fn address(&mut self) -> IpAddr {
        let octet = self.octet();
        let (network, host) = (octet >> 4 & 7, octet & 15);
        match (octet < 128, octet & 127) {
            (true, 127) => IpAddr::from([224, 0, 0, 1]),
            (true, 126) => IpAddr::from([0; 4]),
            (false, 127) => IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 1]),
            (false, 126) => IpAddr::from([0u16; 8]),
            (true, _) => IpAddr::from([10, 0, network * 32, host]),
            (false, _) => IpAddr::from([0xfd00, 0, 0, u16::from(network) << 13, 0, 0, 0, u16::from(host)]),
        }
    }

    /// One of 128 link addresses, and of 128 groups.
    pub(super) fn link(&mut self) -> MacAddress {
        let octet = self.octet();
        MacAddress([if octet < 128 { 2 } else { 3 }, 0, 0, 0, 0, octet & 127])
    }

    /// Nanoseconds: up to 18 minutes.
    pub(super) fn duration(&mut self) -> u64 {
        let octet = u64::from(self.octet());
        (octet % 64 + 1) * [1_000_000, 100_000_000, 1_000_000_000, 17_000_000_000][octet as usize / 64]
    }
}
