//! How many questions one client may ask, whatever they are.

use std::net::IpAddr;
use std::time::Duration;

use afpa_engine::Time;

use super::NetworkSet;
use super::accounts::{Accounts, Charge, Tariff};
use super::response_rate::network_octets;

/// What is limited, and how.
#[derive(Clone, Debug)]
pub struct ClientRateConfig {
    /// Questions of one client in each second. Zero: no limit.
    pub questions_per_second: u32,
    /// Questions that a client which has been quiet may ask at once. Zero: as many as in a second.
    pub burst: u32,
    /// Bits of IPv4 addresses that are one client.
    pub ipv4_prefix: u8,
    /// Bits of IPv6 addresses that are one client: what a provider gives to one customer (RFC 6177).
    pub ipv6_prefix: u8,
    /// How many clients are remembered on each engine, at 16 octets each.
    pub entries: usize,
    /// Networks that are not limited.
    pub exempt: NetworkSet,
}

impl Default for ClientRateConfig {
    fn default() -> ClientRateConfig {
        ClientRateConfig {
            questions_per_second: 0,
            burst: 0,
            ipv4_prefix: 32,
            ipv6_prefix: 56,
            entries: 100_000,
            exempt: NetworkSet::default(),
        }
    }
}

/// The accounts of one engine, which allows its part of the rate, as with [`ResponseRate`](super::ResponseRate).
///
/// A client over its limit gets as many answers as it may have; what it is refused is not held against it.
pub struct ClientRate {
    accounts: Accounts,
    tariff: Option<Tariff>,
    prefixes: (u8, u8),
    exempt: NetworkSet,
}

impl ClientRate {
    /// For one of `engines` engines. `key` is secret and random.
    pub fn new(config: &ClientRateConfig, engines: usize, key: [u8; 16]) -> ClientRate {
        let rate = config.questions_per_second;
        let burst = if config.burst == 0 { rate } else { config.burst };
        ClientRate {
            accounts: Accounts::new(config.entries, key),
            tariff: Tariff::new(rate, burst, Duration::ZERO, engines),
            prefixes: (config.ipv4_prefix, config.ipv6_prefix),
            exempt: config.exempt.clone(),
        }
    }

    /// Whether `client` may ask one more question.
    #[inline]
    pub fn allows(&mut self, client: IpAddr, now: Time) -> bool {
        let Some(tariff) = self.tariff.filter(|_| !self.exempt.contains(client)) else { return true };
        let (ipv4, ipv6) = self.prefixes;
        self.accounts.charge(&network_octets(client, ipv4, ipv6), tariff, now) == Charge::Paid
    }

    /// Octets of memory, which do not change.
    pub fn octets(&self) -> usize {
        self.accounts.octets()
    }
}
