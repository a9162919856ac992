//! How much one client may ask for.

use std::net::IpAddr;

use afpa_wire::network::Network;
use siphasher::sip::SipHasher13;

use crate::{Limit, Reason, Refusal};

/// Accounts that one place of the table can hold.
const WAYS: usize = 8;
/// The longest that an account may take to be full again, in nanoseconds: 73 minutes.
const LONGEST: u64 = 1 << 42;
/// What a client with too much in progress is told to wait.
const IN_FLIGHT_WAIT: u64 = 1_000_000_000;

/// What each client may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// Requests, or whatever is counted.
    pub rate: Option<Limit>,
    /// How many of them may be in progress at once.
    pub in_flight: Option<u32>,
    /// Bits of IPv4 addresses that are one client.
    pub ipv4_prefix: u8,
    /// Bits of IPv6 addresses that are one client.
    pub ipv6_prefix: u8,
    /// How many accounts are remembered, at 32 octets each.
    pub entries: usize,
}

impl Default for ClientLimits {
    /// Without limits.
    fn default() -> ClientLimits {
        ClientLimits { rate: None, in_flight: None, ipv4_prefix: 32, ipv6_prefix: 64, entries: 65_536 }
    }
}

/// The accounts of clients, for one kind of thing that is counted: requests, say, or connections.
///
/// The table never grows. An account that is full and has nothing in progress is as good as none; where there is no
/// room, such a one goes first, then the one that is the nearest to full: clients that ask once cannot push out one
/// that is over its limit. One with something in progress never goes; where there are only such, a client has no
/// account and is not limited.
pub struct Clients {
    places: Box<[[Account; WAYS]]>,
    /// With a secret key, so that nobody can choose addresses that share a place.
    hash: SipHasher13,
    /// Nanoseconds in which one more may come, and how many of them may be saved up.
    rate: Option<(u64, u64)>,
    in_flight: u32,
    is_limited: bool,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
    epoch: u32,
}

/// One thing in progress. Give it back to [`Clients::ended`]: one that is dropped counts for ever.
#[must_use = "a slot that is not given back counts for ever"]
#[derive(PartialEq, Eq, Debug)]
pub struct Slot {
    index: u32,
    epoch: u32,
}

/// The index of a client without an account.
const UNCOUNTED: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Account {
    network: u128,
    /// When it will be full; in the past if it is.
    full_at: u64,
    in_flight: u32,
    /// A place may be vacant: no network has the address 0 but the one that the unspecified address is in.
    is_used: bool,
}

impl Clients {
    /// Allocates the table, unless there is nothing to limit. `key` is secret and random.
    pub fn new(limits: ClientLimits, key: [u8; 16]) -> Clients {
        let mut clients = Clients {
            places: Box::default(),
            hash: SipHasher13::new_with_key(&key),
            rate: None,
            in_flight: u32::MAX,
            is_limited: false,
            ipv4_prefix: 0,
            ipv6_prefix: 0,
            epoch: 0,
        };
        clients.reload(limits);
        clients
    }

    /// Replaces the limits. The accounts stay as they are, unless there is to be another number of them: then all are
    /// new, and what is in progress counts no longer.
    pub fn reload(&mut self, limits: ClientLimits) {
        self.is_limited = limits.rate.is_some() || limits.in_flight.is_some();
        self.rate = limits.rate.map(|limit| {
            let interval = limit.interval().min(LONGEST);
            (interval, interval.saturating_mul(limit.burst()).min(LONGEST))
        });
        self.in_flight = limits.in_flight.unwrap_or(u32::MAX);
        (self.ipv4_prefix, self.ipv6_prefix) = (limits.ipv4_prefix, limits.ipv6_prefix);
        let most = UNCOUNTED as usize / WAYS;
        let places = if self.is_limited { limits.entries.div_ceil(WAYS).clamp(1, most) } else { 0 };
        if places != self.places.len() {
            self.places = vec![[Account::default(); WAYS]; places].into();
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// `client` asks for one more.
    ///
    /// # Errors
    /// It is not to get it, and this is the answer. It costs the client nothing: it may come back when it is told to.
    #[inline]
    pub fn arrive(&mut self, client: IpAddr, now: u64) -> Result<Slot, Refusal> {
        if self.is_limited { self.charge(client, now) } else { Ok(self.slot(UNCOUNTED)) }
    }

    /// What had `slot` has ended.
    #[inline]
    pub fn ended(&mut self, slot: Slot) {
        let (place, way) = (slot.index as usize / WAYS, slot.index as usize % WAYS);
        if let Some(place) = self.places.get_mut(place).filter(|_| slot.epoch == self.epoch) {
            place[way].in_flight = place[way].in_flight.saturating_sub(1);
        }
    }

    /// Octets of memory, which do not change.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.places)
    }

    fn charge(&mut self, client: IpAddr, now: u64) -> Result<Slot, Refusal> {
        let Some(index) = self.find(client, now) else { return Ok(self.slot(UNCOUNTED)) };
        let account = &mut self.places[index / WAYS][index % WAYS];
        if account.in_flight >= self.in_flight {
            return Err(Refusal::new(Reason::ClientInFlight, IN_FLIGHT_WAIT));
        }
        if let Some((interval, burst)) = self.rate {
            let full_at = account.full_at.max(now).saturating_add(interval);
            let latest = now.saturating_add(burst);
            if full_at > latest {
                return Err(Refusal::new(Reason::ClientRate, full_at - latest));
            }
            account.full_at = full_at;
        }
        account.in_flight += 1;
        Ok(self.slot(index as u32))
    }

    fn slot(&self, index: u32) -> Slot {
        Slot { index, epoch: self.epoch }
    }

    /// The account of `client`, or what was made its own in place of one that says less than the others; `None` if all
    /// of them have something in progress.
    fn find(&mut self, client: IpAddr, now: u64) -> Option<usize> {
        let prefix = if client.to_canonical().is_ipv4() { self.ipv4_prefix } else { self.ipv6_prefix };
        let network = u128::from_be_bytes(Network::around(client, prefix).octets());
        let hash = self.hash.hash(&network.to_be_bytes());
        let place = ((u128::from(hash) * self.places.len() as u128) >> 64) as usize;
        let ways = &mut self.places[place];
        let known = ways.iter().position(|account| account.is_used && account.network == network);
        let way = known.or_else(|| {
            let idle = (0..WAYS).filter(|&way| ways[way].in_flight == 0);
            let way = idle.min_by_key(|&way| ways[way].full_at.max(now))?;
            ways[way] = Account { network, full_at: 0, in_flight: 0, is_used: true };
            Some(way)
        })?;
        Some(place * WAYS + way)
    }
}
