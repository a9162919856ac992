//! Accounts that fill up with time and are charged for what they cost, in a table of a fixed size.

use std::time::Duration;

use afpa_engine::Time;
use siphasher::sip::SipHasher13;

/// Added to all times, so that an account can be full when the clock starts: the most that one can hold (73 minutes).
const EPOCH: u64 = 1 << 42;
/// Accounts that one place of the table can hold: two cache lines of them.
const WAYS: usize = 8;

/// A table of accounts. An account that is not in it is full, so forgetting a full one changes nothing.
///
/// It never grows. Where there is no room, the account with the most credit goes: sources that ask once cannot push out
/// one that is over its limit, and cost one probe each however many they are.
pub(super) struct Accounts {
    places: Box<[[Account; WAYS]]>,
    /// With a secret key, so that nobody can choose names or addresses that share an account or a place.
    hash: SipHasher13,
}

/// How much a unit costs and how much an account may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tariff {
    /// Nanoseconds in which an account earns one unit.
    cost: u64,
    /// The most that an account holds, in nanoseconds of earning.
    burst: u64,
    /// How deep an account gets into debt that is charged although it is empty, in nanoseconds of earning.
    debt: u64,
}

/// What came of charging an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Charge {
    /// It had enough.
    Paid,
    /// It had not; how often that was so far, this time included.
    Overdrawn(u32),
}

/// A credit as the time at which it would be used up: time that passes is what it earns.
#[derive(Clone, Copy, Default)]
struct Account {
    empty_at: u64,
    tag: u32,
    overdrawn: u32,
}

impl Tariff {
    /// `per_second` units in each second and at most `burst` of them at once, shared out among `engines`, of which each
    /// counts on its own. One unit at least can always be saved up. `None` without a limit: `per_second` is zero.
    pub(super) fn new(per_second: u32, burst: u32, debt: Duration, engines: usize) -> Option<Tariff> {
        let second = 1_000_000_000u64;
        let cost = second.saturating_mul(engines.max(1) as u64).checked_div(u64::from(per_second))?;
        let cost = cost.clamp(1, EPOCH);
        let burst = (u64::from(burst) * second / u64::from(per_second)).clamp(cost, EPOCH);
        Some(Tariff { cost, burst, debt: debt.as_nanos().try_into().unwrap_or(u64::MAX) })
    }
}

impl Accounts {
    /// Room for at least `entries` accounts of 16 octets.
    pub(super) fn new(entries: usize, key: [u8; 16]) -> Accounts {
        let places = entries.div_ceil(WAYS).max(1);
        Accounts { places: vec![[Account::default(); WAYS]; places].into(), hash: SipHasher13::new_with_key(&key) }
    }

    /// Charges the account that `name` stands for one unit.
    #[inline]
    pub(super) fn charge(&mut self, name: &[u8], tariff: Tariff, now: Time) -> Charge {
        let now = now.0.saturating_add(EPOCH);
        let account = self.account(name);
        // Full accounts stop earning.
        let before = account.empty_at.max(now.saturating_sub(tariff.burst));
        let after = before.saturating_add(tariff.cost);
        if after <= now {
            account.empty_at = after;
            return Charge::Paid;
        }
        account.empty_at = match tariff.debt {
            // What was refused was not had.
            0 => before,
            debt => after.min(now.saturating_add(debt)).max(before),
        };
        account.overdrawn = account.overdrawn.wrapping_add(1);
        Charge::Overdrawn(account.overdrawn)
    }

    /// Octets of memory, which do not change.
    pub(super) fn octets(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// The account of `name`, or what was made its own in place of the one with the most credit.
    fn account(&mut self, name: &[u8]) -> &mut Account {
        let hash = self.hash.hash(name);
        // The upper bits choose the place, the lower ones tell accounts in it apart.
        let place = ((u128::from(hash) * self.places.len() as u128) >> 64) as usize;
        let (ways, tag) = (&mut self.places[place], hash as u32);
        let way = match ways.iter().position(|account| account.tag == tag) {
            Some(way) => way,
            None => {
                let way = (0..WAYS).min_by_key(|&way| ways[way].empty_at).unwrap_or(0);
                ways[way] = Account { tag, ..Account::default() };
                way
            }
        };
        &mut ways[way]
    }
}
