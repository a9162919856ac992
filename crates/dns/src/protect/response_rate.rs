//! Response rate limiting: a server that answers whoever seems to ask must not become an amplifier.
//!
//! Someone who forges a victim's address asks for the same few things again and again. So responses are accounted by
//! the network they go to and by what they say: a resolver that asks for many names is not held up, a flood of the same
//! answer is. Every n-th response over the limit is sent truncated, so that a true client in that network comes back
//! over TCP, where addresses cannot be forged.

use std::net::IpAddr;
use std::time::Duration;

use afpa_engine::Time;

use super::accounts::{Accounts, Charge, Tariff};
use super::{Network, NetworkSet};
use crate::message::{MAX_NAME, Name, Type};

/// What is limited, and how.
#[derive(Clone, Debug)]
pub struct ResponseRateConfig {
    /// Answers, negative answers and referrals of the same account in each second. Zero: no limit.
    pub responses_per_second: u32,
    /// Errors to the same network in each second. Zero: no limit.
    pub errors_per_second: u32,
    /// How long an account goes on being limited after a flood has ended, at most. While one lasts, what the account
    /// earns goes into the flood's debts.
    pub window: Duration,
    /// Each how manieth response over the limit is sent truncated: 0 none, 1 all.
    pub slip: u32,
    /// Bits of IPv4 addresses that are one client.
    pub ipv4_prefix: u8,
    /// Bits of IPv6 addresses that are one client.
    pub ipv6_prefix: u8,
    /// How many accounts are remembered on each engine, at 16 octets each.
    pub entries: usize,
    /// Networks that are not limited.
    pub exempt: NetworkSet,
}

impl Default for ResponseRateConfig {
    fn default() -> ResponseRateConfig {
        ResponseRateConfig {
            responses_per_second: 200,
            errors_per_second: 200,
            window: Duration::from_secs(15),
            slip: 2,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            entries: 100_000,
            exempt: NetworkSet::default(),
        }
    }
}

/// What a response says, as far as it is accounted. Names count regardless of letter case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Response<'a> {
    /// Records. Of what a wildcard has made, the wildcard's name: or each made-up name would have an account.
    Answer(Name<'a>, Type),
    /// There are no records of the type. The name is as for an answer.
    NoData(Name<'a>, Type),
    /// There is no such name: the zone, or where that is not known the parent of the name that was asked for.
    NoName(Name<'a>),
    /// Somebody else knows: the name of the delegation.
    Referral(Name<'a>),
    /// FORMERR, SERVFAIL, NOTIMP, REFUSED and the like, whatever was asked.
    Error,
}

/// What becomes of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// Sent in its place: header with TC, question, OPT, and no records.
    Truncate,
    /// Nothing is sent.
    Drop,
}

/// The accounts of one engine.
///
/// Nothing is shared between engines. Each allows its part of the rates: where the kernel spreads a client's questions
/// evenly, as it does those of a forger who varies ports, all engines together allow what is configured. A client with
/// a single port meets one engine, and that one's part.
pub struct ResponseRate {
    accounts: Accounts,
    responses: Option<Tariff>,
    errors: Option<Tariff>,
    slip: u32,
    prefixes: (u8, u8),
    exempt: NetworkSet,
}

impl ResponseRate {
    /// For one of `engines` engines. `key` is secret and random.
    pub fn new(config: &ResponseRateConfig, engines: usize, key: [u8; 16]) -> ResponseRate {
        let tariff = |rate| Tariff::new(rate, rate, config.window, engines);
        ResponseRate {
            accounts: Accounts::new(config.entries, key),
            responses: tariff(config.responses_per_second),
            errors: tariff(config.errors_per_second),
            slip: config.slip,
            prefixes: (config.ipv4_prefix, config.ipv6_prefix),
            exempt: config.exempt.clone(),
        }
    }

    /// What becomes of `response` to `client`. `is_proven`: the client has shown that the address is its own, by TCP
    /// or by a valid server cookie; it is not limited (RFC 7873 §5.2.5).
    #[inline]
    pub fn verdict(&mut self, client: IpAddr, is_proven: bool, response: &Response<'_>, now: Time) -> Verdict {
        let tariff = if matches!(response, Response::Error) { self.errors } else { self.responses };
        let Some(tariff) = tariff.filter(|_| !is_proven && !self.exempt.contains(client)) else {
            return Verdict::Send;
        };
        let mut account = AccountName::new(client, self.prefixes);
        account.push_response(response);
        let over = match self.accounts.charge(account.octets(), tariff, now) {
            Charge::Paid => return Verdict::Send,
            Charge::Overdrawn(times) => times,
        };
        match response {
            _ if self.slip == 0 || !over.is_multiple_of(self.slip) => Verdict::Drop,
            // It is no larger than the question, and TC would call the client back for the same error.
            Response::Error => Verdict::Send,
            _ => Verdict::Truncate,
        }
    }

    /// Octets of memory, which do not change.
    pub fn octets(&self) -> usize {
        self.accounts.octets()
    }
}

/// What an account stands for: a network, and what is said to it.
struct AccountName {
    octets: [u8; AccountName::NETWORK + 3 + MAX_NAME],
    len: usize,
}

impl AccountName {
    const NETWORK: usize = 16;

    fn new(client: IpAddr, (ipv4_prefix, ipv6_prefix): (u8, u8)) -> AccountName {
        let mut name = AccountName { octets: [0; AccountName::NETWORK + 3 + MAX_NAME], len: AccountName::NETWORK };
        name.octets[..AccountName::NETWORK].copy_from_slice(&network_octets(client, ipv4_prefix, ipv6_prefix));
        name
    }

    fn push_response(&mut self, response: &Response<'_>) {
        let (class, name, rtype) = match *response {
            Response::Answer(name, rtype) => (0, name, rtype),
            Response::NoData(name, rtype) => (1, name, rtype),
            Response::NoName(name) => (2, name, Type(0)),
            Response::Referral(name) => (3, name, Type(0)),
            Response::Error => (4, Name::ROOT, Type(0)),
        };
        let [high, low] = rtype.0.to_be_bytes();
        self.push(&[class, high, low]);
        let start = self.len;
        self.push(name.as_wire());
        self.octets[start..self.len].make_ascii_lowercase();
    }

    fn push(&mut self, octets: &[u8]) {
        self.octets[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// What is the same for all addresses that count as one client, and for no others.
#[inline]
pub(super) fn network_octets(client: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> [u8; 16] {
    let prefix = if client.to_canonical().is_ipv4() { ipv4_prefix } else { ipv6_prefix };
    Network::around(client, prefix).octets()
}
