//! Which connection, which listener: by addresses and ports.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;

use crate::error::ListenError;

/// A connection's two ends: the 4-tuple of RFC 9293 §3.4. 38 octets, for passing around; a connection
/// may keep it in a smaller form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    #[cfg(test)]
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr) -> Tuple {
        Tuple { local: local.ip(), remote: remote.ip(), local_port: local.port(), remote_port: remote.port() }
    }
}

/// Indexes of connections by the hash of their 4-tuple (`Secret::hash`: keyed, so that a peer cannot
/// choose collisions). The tuples stay with the connections and the caller compares them, so an IPv4
/// connection costs 4 octets and a tag here, and pays nothing for IPv6. Bounded by whoever bounds the
/// connections.
#[derive(Default)]
pub(crate) struct Lookup {
    indexes: HashTable<u32>,
}

impl Lookup {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.indexes.len()
    }

    /// The index with this hash for which `is_it` holds. False candidates are rare: 7 bits of the hash
    /// are compared before.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.indexes.find(hash, |&index| is_it(index)).copied()
    }

    /// Adds `index`, which must not be there. `hash_of` gives the hash of any index that is, for when
    /// the table grows.
    pub(crate) fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        self.indexes.insert_unique(hash, index, |&index| hash_of(index));
    }

    /// Whether `index` was there.
    pub(crate) fn remove(&mut self, hash: u64, index: u32) -> bool {
        self.indexes.find_entry(hash, |&candidate| candidate == index).map(|entry| entry.remove()).is_ok()
    }
}

/// Listeners by address and port, each under one index: at most [`Listeners::MOST`]. Few, asked for each
/// SYN: sorted, found in a few comparisons.
#[derive(Default)]
pub(crate) struct Listeners {
    sorted: Vec<(u16, IpAddr, u32)>,
}

impl Listeners {
    /// Listeners at most.
    pub(crate) const MOST: usize = 65_536;

    /// Listens on `local` under `index`; the unspecified address stands for any address of its family.
    pub(crate) fn insert(&mut self, local: SocketAddr, index: u32) -> Result<(), ListenError> {
        let Err(position) = self.position(local.ip(), local.port()) else { return Err(ListenError::InUse) };
        if self.sorted.len() >= Listeners::MOST {
            return Err(ListenError::TooMany);
        }
        self.sorted.insert(position, (local.port(), local.ip(), index));
        Ok(())
    }

    /// Listens under `index` no more. Returns whether it did.
    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let found = self.sorted.iter().position(|&(_, _, listed)| listed == index);
        found.map(|position| self.sorted.remove(position)).is_some()
    }

    /// The listener on exactly this address, else the one on any address of its family.
    pub(crate) fn find(&self, address: IpAddr, port: u16) -> Option<u32> {
        let any: IpAddr = match address {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let position = self.position(address, port).or_else(|_| self.position(any, port)).ok()?;
        self.sorted.get(position).map(|&(_, _, index)| index)
    }

    fn position(&self, address: IpAddr, port: u16) -> Result<usize, usize> {
        self.sorted.binary_search_by_key(&(port, address), |&(port, address, _)| (port, address))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Hashes collide on purpose: only the comparison tells connections apart.
        #[test]
        fn connections_are_found_as_in_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..32), 0..200)) {
            let hash = |index: u32| u64::from(index % 5) << 57;
            let (mut lookup, mut model) = (Lookup::default(), BTreeMap::new());
            for (adds, index) in steps {
                match (adds, model.contains_key(&index)) {
                    (true, false) => {
                        lookup.insert(hash(index), index, hash);
                        model.insert(index, ());
                    }
                    (true, true) => {}
                    (false, there) => {
                        prop_assert_eq!(lookup.remove(hash(index), index), there);
                        model.remove(&index);
                    }
                }
                prop_assert_eq!(lookup.len(), model.len());
                for asked in 0..32 {
                    let found = lookup.find(hash(asked), |candidate| candidate == asked);
                    prop_assert_eq!(found, model.contains_key(&asked).then_some(asked));
                }
            }
        }
    }

    #[test]
    fn the_listener_on_the_very_address_goes_before_the_one_on_any() {
        let mut listeners = Listeners::default();
        for (index, local) in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "[2001:db8::1]:443"].iter().enumerate() {
            assert_eq!(listeners.insert(local.parse().unwrap(), index as u32), Ok(()));
        }
        let table = [
            ("192.0.2.1:80", Some(1)),
            ("192.0.2.2:80", Some(0)),
            ("[2001:db8::1]:80", Some(2)),
            ("[2001:db8::1]:443", Some(3)),
            ("[2001:db8::2]:443", None),
            ("192.0.2.1:443", None),
        ];
        for (destination, expected) in table {
            let destination: SocketAddr = destination.parse().unwrap();
            assert_eq!(listeners.find(destination.ip(), destination.port()), expected, "{destination}");
        }
        assert_eq!(listeners.insert("192.0.2.1:80".parse().unwrap(), 9), Err(ListenError::InUse));
    }

    #[test]
    fn listeners_are_bounded() {
        let mut listeners = Listeners::default();
        for index in 0..Listeners::MOST as u32 {
            assert_eq!(listeners.insert(SocketAddr::from(([0, 0, 0, 0], index as u16)), index), Ok(()));
        }
        assert_eq!(listeners.insert("[::]:1".parse().unwrap(), 65_536), Err(ListenError::TooMany));
    }
}
