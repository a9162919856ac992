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

    /// These, without those in `deny`: it takes the place of what was denied before.
    pub fn denying(self, deny: NetworkSet) -> AccessList {
        AccessList { deny, ..self }
    }

    /// The default for recursion: this machine and private networks. A forwarder that answers everybody is an open
    /// resolver, a weapon for reflection attacks (RFC 5358).
    pub fn local() -> AccessList {
        let ipv4 = networks(&[
            ([127, 0, 0, 0], 8),
            // RFC 1918 §3.
            ([10, 0, 0, 0], 8),
            ([172, 16, 0, 0], 12),
            ([192, 168, 0, 0], 16),
            // RFC 3927 §2.1.
            ([169, 254, 0, 0], 16),
        ]);
        let ipv6 = networks(&[
            ([0, 0, 0, 0, 0, 0, 0, 1], 128),
            // RFC 4193 §3.1.
            ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
            // RFC 4291 §2.5.6.
            ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
        ]);
        AccessList::new(ipv4.into_iter().chain(ipv6).collect(), NetworkSet::default())
    }

    /// The default for zones: everybody.
    pub fn everybody() -> AccessList {
        AccessList::new(everything().into_iter().collect(), NetworkSet::default())
    }

    /// The networks of both lists.
    pub fn networks(&self) -> impl Iterator<Item = Network> + '_ {
        self.allow.iter().chain(self.deny.iter())
    }

    /// Whether those in `network` may ask who are in no smaller one of [`AccessList::networks`].
    pub fn allows_in(&self, network: Network) -> bool {
        let is_within = |set: &NetworkSet| set.iter().any(|outer| outer.covers(&network));
        is_within(&self.allow) && !is_within(&self.deny)
    }

    /// Whether everybody may ask.
    pub fn is_for_everybody(&self) -> bool {
        self.deny.is_empty() && everything().iter().all(|all| self.allow.iter().any(|network| network == *all))
    }

    /// Whether `address` may ask.
    #[inline]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.contains(address) && !self.deny.contains(address)
    }
}

/// All addresses of each family.
fn everything() -> [Network; 2] {
    [IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])].map(|any| Network::around(any, 0))
}

fn networks<A: Copy + Into<IpAddr>, const N: usize>(of: &[(A, u8); N]) -> [Network; N] {
    of.map(|(address, length)| Network::around(address.into(), length))
}
