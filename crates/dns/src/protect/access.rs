//! Who may ask.

use std::net::IpAddr;

use super::{Network, NetworkSet};

/// Networks that may ask, and networks that may not. An address in both may not.
#[derive(Clone, Debug)]
pub struct AccessList {
    allow: NetworkSet,
    deny: NetworkSet,
}

impl AccessList {
    /// Those in `allow` without those in `deny`, however long the prefixes are.
    pub fn new(allow: NetworkSet, deny: NetworkSet) -> AccessList {
        AccessList { allow, deny }
    }

    /// The default for recursion: this machine and private networks. A forwarder that answers everybody is an open
    /// resolver, a weapon for reflection attacks (RFC 5358).
    pub fn local() -> AccessList {
        AccessList::new(
            networks(&[
                ([127, 0, 0, 0], 8),
                // RFC 1918 §3.
                ([10, 0, 0, 0], 8),
                ([172, 16, 0, 0], 12),
                ([192, 168, 0, 0], 16),
                // RFC 3927 §2.1.
                ([169, 254, 0, 0], 16),
            ])
            .chain(networks(&[
                ([0, 0, 0, 0, 0, 0, 0, 1], 128),
                // RFC 4193 §3.1.
                ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
                // RFC 4291 §2.5.6.
                ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
            ]))
            .collect(),
            NetworkSet::default(),
        )
    }

    /// The default for zones: everybody.
    pub fn everybody() -> AccessList {
        let allow = networks(&[([0; 4], 0)]).chain(networks(&[([0u16; 8], 0)])).collect();
        AccessList::new(allow, NetworkSet::default())
    }

    /// Whether `address` may ask.
    #[inline]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.contains(address) && !self.deny.contains(address)
    }
}

fn networks<A: Copy + Into<IpAddr>>(of: &[(A, u8)]) -> impl Iterator<Item = Network> + '_ {
    of.iter().map(|&(address, length)| Network::around(address.into(), length))
}
