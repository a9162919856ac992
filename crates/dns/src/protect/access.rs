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
    /// Those in `allow`.
    pub fn of(allow: NetworkSet) -> AccessList {
        AccessList { allow, deny: NetworkSet::default() }
    }

    /// Without those in `deny`, however long the prefixes are.
    pub fn denying(self, deny: NetworkSet) -> AccessList {
        AccessList { deny, ..self }
    }

    /// The default for recursion: this machine and private networks. A forwarder that answers everybody is an open
    /// resolver, a weapon for reflection attacks (RFC 5358).
    pub fn local() -> AccessList {
        AccessList::of(
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
        )
    }

    /// The default for zones: everybody.
    pub fn everybody() -> AccessList {
        AccessList::of(networks(&[([0; 4], 0)]).chain(networks(&[([0u16; 8], 0)])).collect())
    }

    /// The networks of both lists.
    pub fn networks(&self) -> impl Iterator<Item = Network> + '_ {
        self.allow.iter().chain(self.deny.iter())
    }

    /// Whether those in `network` may ask who are in no smaller one of [`AccessList::networks`].
    pub fn allows_in(&self, network: Network) -> bool {
        let is_within = |set: &NetworkSet| {
            set.iter()
                .any(|outer| outer.prefix_length() <= network.prefix_length() && outer.contains(network.address()))
        };
        is_within(&self.allow) && !is_within(&self.deny)
    }

    /// Whether everybody may ask.
    pub fn is_for_everybody(&self) -> bool {
        let everything = [IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])].map(|any| Network::around(any, 0));
        self.deny.is_empty() && everything.iter().all(|all| self.allow.iter().any(|network| network == *all))
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
