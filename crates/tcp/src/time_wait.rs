//! Connections that are closed and remembered (RFC 9293 §3.6.1).

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::lookup::Tuple;
use crate::offload::Assisted;
use crate::secret::Secret;
use crate::time::Time;

/// What remains of connections in TIME-WAIT: at most a given number, of 64 octets each with their share of
/// the index. At the bound the oldest goes, though its time is not over.
///
/// All live equally long, so the oldest is the first to go: a ring, with a chain per hash. An entry that a
/// retransmitted FIN gave new life is moved to the end of the ring when it gets to the front, and is
/// forgotten at most one lifetime late by [`TimeWait::expire`]; [`TimeWait::judge`] is always exact.
pub(crate) struct TimeWait {
    /// A ring: `count` entries from `first` on.
    entries: Vec<Entry>,
    first: usize,
    count: usize,
    /// Entries of the ring that are alive.
    live: usize,
    bound: usize,
    /// Milliseconds.
    lifetime: u64,
    /// When it was last used, in milliseconds: entries keep but part of a moment.
    now: u64,
    /// By hash, the first entry of each chain. A power of two, at most as many as there are entries.
    chains: Vec<u32>,
    /// Is told of connections without timestamps, whose successors' sequence numbers have to be chosen.
    assisted: Assisted,
}

/// What a connection leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Remains {
    /// RCV.NXT, the number after the peer's FIN.
    pub(crate) next: Sequence,
    /// SND.NXT, the number after our FIN.
    pub(crate) sent: Sequence,
    /// If the connection used timestamps.
    pub(crate) timestamps: Option<Stamps>,
}

/// What timestamps need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamps {
    /// TS.Recent: the peer's latest (RFC 7323 §4.3).
    pub(crate) recent: u32,
    /// What is added to our clock for this peer.
    pub(crate) offset: u32,
}

/// A segment for such a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) sequence: Sequence,
    /// Octets of data.
    pub(crate) len: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// TSval.
    pub(crate) timestamp: Option<u32>,
}

/// What it is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Ignore,
    /// An acknowledgment of what remains.
    Acknowledge(Remains),
    /// The same, within the limit for challenges (RFC 5961 §7): two hosts that each find the other's segments
    /// unacceptable would never end.
    Challenge(Remains),
    /// As any SYN: the old connection is forgotten. The new one must begin with a sequence number above the
    /// old one's last (RFC 1122 §4.2.2.13).
    Reopen {
        /// That last number.
        above: Sequence,
    },
}

/// 60 octets.
#[derive(Clone, Copy)]
struct Entry {
    local: [u8; 16],
    remote: [u8; 16],
    local_port: u16,
    remote_port: u16,
    next: u32,
    sent: u32,
    recent: u32,
    offset: u32,
    /// When its life ends, in milliseconds, modulo 2^28; and flags.
    end: u32,
    /// The next of its chain.
    link: u32,
}

const NONE: u32 = u32::MAX;
const FEWEST: usize = 64;

const LIVE: u32 = 1 << 31;
/// Its life was prolonged: its place in the ring is too far in front.
const PROLONGED: u32 = 1 << 30;
const TIMESTAMPS: u32 = 1 << 29;
const IPV4: u32 = 1 << 28;
const MOMENT: u32 = IPV4 - 1;
/// An hour: far less than half of what `end` can tell apart.
const LONGEST: u64 = 3_600_000;

impl TimeWait {
    /// At most `bound` entries (1 to 2^24), each for `lifetime` (up to an hour; 2 MSL).
    pub(crate) fn new(bound: usize, lifetime: Duration) -> TimeWait {
        TimeWait {
            entries: Vec::new(),
            first: 0,
            count: 0,
            live: 0,
            bound: bound.clamp(1, 1 << 24),
            lifetime: u64::try_from(lifetime.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST),
            now: 0,
            chains: Vec::new(),
            assisted: Assisted::default(),
        }
    }

    /// Has an assistant told of what is remembered from now on. Nothing must be yet.
    pub(crate) fn assisted_by(&mut self, assisted: Assisted) {
        self.assisted = assisted;
    }

    /// Entries that are alive.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Remembers a connection; in place of what is remembered of an earlier one between the same ends. Returns
    /// whether nothing had to be forgotten before its time for it.
    pub(crate) fn insert(&mut self, now: Time, tuple: &Tuple, remains: Remains, secret: &Secret) -> bool {
        self.expire(now, secret);
        if let Some(index) = self.find(tuple, secret) {
            self.kill(index, secret);
            self.settle(secret);
        }
        let is_full = self.count >= self.bound;
        if is_full {
            self.drop_first(secret);
            self.settle(secret);
        } else if self.count == self.entries.len() {
            self.grow(secret);
        }
        self.append(Entry::new(tuple, remains, self.moment(self.lifetime)), secret);
        !is_full
    }

    /// Whether there is an entry: then a port is taken.
    pub(crate) fn contains(&self, tuple: &Tuple, secret: &Secret) -> bool {
        self.find(tuple, secret).is_some()
    }

    /// What to do about a segment; `None` if nothing is known of such a connection.
    pub(crate) fn judge(&mut self, now: Time, tuple: &Tuple, arrived: &Arrived, secret: &Secret) -> Option<Verdict> {
        if self.live == 0 {
            return None;
        }
        self.expire(now, secret);
        let index = self.find(tuple, secret)?;
        let remains = self.entries[index].remains();
        if !is_ahead(self.entries[index].end, self.moment(0)) {
            self.kill(index, secret);
            self.settle(secret);
            return None;
        }
        let verdict = verdict(&remains, arrived);
        match verdict {
            Verdict::Acknowledge(_) => self.prolong(index, arrived, secret),
            Verdict::Reopen { .. } => {
                self.kill(index, secret);
                self.settle(secret);
            }
            Verdict::Ignore | Verdict::Challenge(_) => {}
        }
        Some(verdict)
    }

    /// Whether a segment without SYN can only be of a newer connection than the one that is remembered. `made` is our initial
    /// sequence number for it, `offered` when we sent that, in milliseconds of our clock, if it has timestamps.
    pub(crate) fn is_outlived(
        &self,
        tuple: &Tuple,
        arrived: &Arrived,
        made: Sequence,
        offered: Option<u32>,
        secret: &Secret,
    ) -> bool {
        let Some(entry) = self.find(tuple, secret).map(|index| &self.entries[index]) else { return false };
        let remains = entry.remains();
        let is_beyond = !(arrived.sequence - 1).before(remains.next);
        match (remains.timestamps, arrived.timestamp, offered) {
            // RFC 6191 §2, and the peer has answered what we sent after the old connection's end.
            (Some(stamps), Some(value), Some(offered)) => {
                let began = entry.end.wrapping_sub(self.lifetime as u32);
                let is_newer = match value.wrapping_sub(stamps.recent) as i32 {
                    0 => is_beyond,
                    newer => newer > 0,
                };
                is_newer && offered.wrapping_sub(began) & MOMENT <= MOMENT / 2
            }
            // RFC 1122 §4.2.2.13, for both directions.
            _ => is_beyond && made.after(remains.sent),
        }
    }

    /// Forgets a connection before its time; whether it was remembered.
    pub(crate) fn forget(&mut self, tuple: &Tuple, secret: &Secret) -> bool {
        let Some(index) = self.find(tuple, secret) else { return false };
        self.kill(index, secret);
        self.settle(secret);
        true
    }

    /// When to call [`TimeWait::expire`] again.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let entry = self.entries.get(self.first).filter(|_| self.count > 0)?;
        let left =
            if is_ahead(entry.end, self.moment(0)) { entry.end.wrapping_sub(self.moment(0)) & MOMENT } else { 0 };
        Some(Time((self.now + u64::from(left)).saturating_mul(1_000_000)))
    }

    /// Forgets the connections whose time is over. The work is that of those, and of those that were prolonged.
    pub(crate) fn expire(&mut self, now: Time, secret: &Secret) {
        let before = self.now;
        self.now = self.now.max(now.0 / 1_000_000);
        if self.now - before > self.lifetime {
            // None lives longer than that.
            self.let_all_go();
            (self.first, self.count, self.live) = (0, 0, 0);
            self.chains.fill(NONE);
        }
        while self.count > 0 && !is_ahead(self.entries[self.first].end, self.moment(0)) {
            self.drop_first(secret);
            self.settle(secret);
        }
    }

    fn let_all_go(&self) {
        let places = (0..self.count).map(|place| (self.first + place) % self.entries.len().max(1));
        for entry in places.map(|index| &self.entries[index]) {
            if entry.end & LIVE != 0 && entry.end & TIMESTAMPS == 0 {
                self.assisted.goes(&entry.tuple());
            }
        }
    }

    /// RFC 9293 §3.10.7.4: the peer's FIN again, so our acknowledgment was lost, and the time starts anew.
    fn prolong(&mut self, index: usize, arrived: &Arrived, secret: &Secret) {
        let end = self.moment(self.lifetime);
        let entry = &mut self.entries[index];
        entry.end = entry.end & !MOMENT | end | PROLONGED;
        entry.recent = arrived.timestamp.unwrap_or(entry.recent);
        self.settle(secret);
    }

    /// Sees to it that the front of the ring is alive and in its place.
    fn settle(&mut self, secret: &Secret) {
        while self.count > 0 {
            let mut entry = self.entries[self.first];
            if entry.end & LIVE == 0 {
                self.drop_first(secret);
            } else if entry.end & PROLONGED != 0 {
                self.drop_first(secret);
                entry.end &= !PROLONGED;
                self.append(entry, secret);
            } else {
                return;
            }
        }
    }

    fn drop_first(&mut self, secret: &Secret) {
        self.kill(self.first, secret);
        self.first = (self.first + 1) % self.entries.len().max(1);
        self.count -= 1;
    }

    /// Takes an entry out of its chain; its place in the ring is free when it gets to the front.
    fn kill(&mut self, index: usize, secret: &Secret) {
        let entry = self.entries[index];
        if entry.end & LIVE == 0 {
            return;
        }
        self.entries[index].end &= !LIVE;
        self.live -= 1;
        if entry.end & TIMESTAMPS == 0 {
            self.assisted.goes(&entry.tuple());
        }
        let chain = self.chain(&entry.tuple(), secret);
        let mut at = self.chains[chain];
        if at as usize == index {
            self.chains[chain] = entry.link;
            return;
        }
        while let Some(before) = self.entries.get_mut(at as usize) {
            if before.link as usize == index {
                before.link = entry.link;
                return;
            }
            at = before.link;
        }
    }

    /// Adds an entry at the end of the ring, where there is room.
    fn append(&mut self, mut entry: Entry, secret: &Secret) {
        if entry.end & TIMESTAMPS == 0 {
            self.assisted.comes(&entry.tuple());
        }
        let index = (self.first + self.count) % self.entries.len();
        let chain = self.chain(&entry.tuple(), secret);
        entry.link = std::mem::replace(&mut self.chains[chain], index as u32);
        self.entries[index] = entry;
        self.count += 1;
        self.live += 1;
    }

    /// Doubles the ring, up to the bound.
    fn grow(&mut self, secret: &Secret) {
        let size = (self.entries.len() * 2).max(FEWEST).min(self.bound);
        self.entries.rotate_left(self.first);
        self.first = 0;
        self.entries.reserve_exact(size - self.entries.len());
        self.entries.resize(size, Entry::EMPTY);
        self.chains = vec![NONE; 1 << size.ilog2()];
        for index in 0..self.count {
            if self.entries[index].end & LIVE != 0 {
                let chain = self.chain(&self.entries[index].tuple(), secret);
                self.entries[index].link = std::mem::replace(&mut self.chains[chain], index as u32);
            }
        }
    }

    fn find(&self, tuple: &Tuple, secret: &Secret) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        let mut index = self.chains[self.chain(tuple, secret)] as usize;
        while let Some(entry) = self.entries.get(index) {
            if entry.is_of(tuple) {
                return Some(index);
            }
            index = entry.link as usize;
        }
        None
    }

    fn chain(&self, tuple: &Tuple, secret: &Secret) -> usize {
        secret.hash(tuple) as usize & (self.chains.len() - 1)
    }

    /// So many milliseconds from now, as entries keep it.
    fn moment(&self, later: u64) -> u32 {
        (self.now + later) as u32 & MOMENT
    }
}

/// Whether the moment `end` is not yet reached at `now`.
fn is_ahead(end: u32, now: u32) -> bool {
    let left = end.wrapping_sub(now) & MOMENT;
    left != 0 && left <= MOMENT / 2
}

/// RFC 9293 §3.10.7.4, as far as TIME-WAIT is concerned.
fn verdict(remains: &Remains, arrived: &Arrived) -> Verdict {
    if arrived.reset {
        // RFC 1337 §3, fix (F1): a reset does not end TIME-WAIT.
        return Verdict::Ignore;
    }
    if arrived.syn {
        let reopens = !arrived.ack && may_reopen(remains, arrived);
        return if reopens { Verdict::Reopen { above: remains.sent } } else { Verdict::Challenge(*remains) };
    }
    let mut remains = *remains;
    if let Some(stamps) = &mut remains.timestamps {
        let Some(value) = arrived.timestamp else {
            // RFC 7323 §3.2: once in use, every segment has one.
            return Verdict::Ignore;
        };
        if (value.wrapping_sub(stamps.recent) as i32) < 0 {
            // PAWS: RFC 7323 §5.3, R1.
            return Verdict::Challenge(remains);
        }
        if arrived.fin {
            stamps.recent = value;
        }
    }
    let after = arrived.sequence + arrived.len;
    if arrived.fin && after + 1 == remains.next {
        Verdict::Acknowledge(remains)
    } else if !arrived.fin && arrived.len == 0 && arrived.sequence == remains.next {
        Verdict::Ignore
    } else {
        Verdict::Challenge(remains)
    }
}

/// RFC 6191 §2: whether nothing of the old connection can be taken for part of the new one.
fn may_reopen(remains: &Remains, syn: &Arrived) -> bool {
    // RFC 1122 §4.2.2.13.
    let is_beyond = !syn.sequence.before(remains.next);
    match (remains.timestamps, syn.timestamp) {
        (Some(stamps), Some(value)) => match value.wrapping_sub(stamps.recent) as i32 {
            0 => is_beyond,
            newer => newer > 0,
        },
        (None, Some(_)) => true,
        (_, None) => is_beyond,
    }
}

impl Entry {
    const EMPTY: Entry = Entry {
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        next: 0,
        sent: 0,
        recent: 0,
        offset: 0,
        end: 0,
        link: NONE,
    };

    fn new(tuple: &Tuple, remains: Remains, end: u32) -> Entry {
        let stamps = remains.timestamps.unwrap_or(Stamps { recent: 0, offset: 0 });
        let timestamps = if remains.timestamps.is_some() { TIMESTAMPS } else { 0 };
        Entry {
            local: octets(tuple.local),
            remote: octets(tuple.remote),
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
            next: remains.next.0,
            sent: remains.sent.0,
            recent: stamps.recent,
            offset: stamps.offset,
            end: end | LIVE | timestamps | family(tuple),
            link: NONE,
        }
    }

    fn remains(&self) -> Remains {
        let stamps = Stamps { recent: self.recent, offset: self.offset };
        let timestamps = (self.end & TIMESTAMPS != 0).then_some(stamps);
        Remains { next: Sequence(self.next), sent: Sequence(self.sent), timestamps }
    }

    fn is_of(&self, tuple: &Tuple) -> bool {
        (self.local_port, self.remote_port) == (tuple.local_port, tuple.remote_port)
            && self.end & IPV4 == family(tuple)
            && self.remote == octets(tuple.remote)
            && self.local == octets(tuple.local)
    }

    fn tuple(&self) -> Tuple {
        let address = |octets: [u8; 16]| match self.end & IPV4 {
            0 => IpAddr::V6(Ipv6Addr::from(octets)),
            _ => IpAddr::from([octets[0], octets[1], octets[2], octets[3]]),
        };
        Tuple {
            local: address(self.local),
            remote: address(self.remote),
            local_port: self.local_port,
            remote_port: self.remote_port,
        }
    }
}

/// Both addresses are of one family.
fn family(tuple: &Tuple) -> u32 {
    if tuple.remote.is_ipv4() { IPV4 } else { 0 }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn tuple(number: u16) -> Tuple {
        let text = if number.is_multiple_of(2) {
            ["192.0.2.1:80", "198.51.100.1:0"]
        } else {
            ["[2001:db8::1]:80", "[2001:db8::2]:0"]
        };
        let [local, remote] = text.map(|text| text.parse().unwrap());
        Tuple { remote_port: 1024 + number, ..Tuple::new(local, remote) }
    }

    fn remains(number: u32, has_timestamps: bool) -> Remains {
        let timestamps = has_timestamps.then_some(Stamps { recent: 5000, offset: number });
        Remains { next: Sequence(1000), sent: Sequence(number), timestamps }
    }

    const ACK: Arrived =
        Arrived { sequence: Sequence(1000), len: 0, syn: false, ack: true, fin: false, reset: false, timestamp: None };
    const FIN: Arrived = Arrived { sequence: Sequence(999), fin: true, ..ACK };
    const SYN: Arrived = Arrived { syn: true, ack: false, ..ACK };

    #[test]
    fn segments_are_judged_without_timestamps() {
        let (acknowledge, challenge) = (Verdict::Acknowledge(remains(7, false)), Verdict::Challenge(remains(7, false)));
        let reopen = Verdict::Reopen { above: Sequence(7) };
        let table = [
            (ACK, Verdict::Ignore),
            (FIN, acknowledge),
            (Arrived { sequence: Sequence(900), len: 99, ..FIN }, acknowledge),
            (Arrived { timestamp: Some(1), ..FIN }, acknowledge),
            // Another FIN than the peer's.
            (Arrived { sequence: Sequence(998), ..FIN }, challenge),
            (Arrived { sequence: Sequence(1000), ..FIN }, challenge),
            // A keep-alive, old data, and data after the end.
            (Arrived { sequence: Sequence(999), ..ACK }, challenge),
            (Arrived { sequence: Sequence(900), len: 10, ..ACK }, challenge),
            (Arrived { len: 10, ..ACK }, challenge),
            // RFC 1337.
            (Arrived { reset: true, ..ACK }, Verdict::Ignore),
            (Arrived { reset: true, ..SYN }, Verdict::Ignore),
            // RFC 1122 §4.2.2.13, RFC 6191 §2.
            (SYN, reopen),
            (Arrived { sequence: Sequence(999), ..SYN }, challenge),
            (Arrived { sequence: Sequence(999), timestamp: Some(0), ..SYN }, reopen),
            (Arrived { ack: true, ..SYN }, challenge),
        ];
        check(&table, false);
    }

    #[test]
    fn segments_are_judged_with_timestamps() {
        let with = |recent| Remains { timestamps: Some(Stamps { recent, offset: 7 }), ..remains(7, true) };
        let (reopen, challenge) = (Verdict::Reopen { above: Sequence(7) }, Verdict::Challenge(with(5000)));
        let stamped = |value, arrived| Arrived { timestamp: Some(value), ..arrived };
        let old = Sequence(10);
        let table = [
            (stamped(5000, ACK), Verdict::Ignore),
            (stamped(5000, FIN), Verdict::Acknowledge(with(5000))),
            (stamped(5009, FIN), Verdict::Acknowledge(with(5009))),
            // PAWS.
            (stamped(4999, FIN), challenge),
            (stamped(4999, ACK), challenge),
            (FIN, Verdict::Ignore),
            // RFC 6191 §2.
            (stamped(5001, Arrived { sequence: old, ..SYN }), reopen),
            (stamped(5000, Arrived { sequence: old, ..SYN }), challenge),
            (stamped(5000, SYN), reopen),
            (stamped(4999, SYN), challenge),
            (SYN, reopen),
            (Arrived { sequence: old, ..SYN }, challenge),
            (stamped(4999, Arrived { reset: true, ..ACK }), Verdict::Ignore),
        ];
        check(&table, true);
    }

    fn check(table: &[(Arrived, Verdict)], has_timestamps: bool) {
        let secret = Secret::new(&[1; 32]);
        for (arrived, expected) in table {
            for number in [2, 3] {
                let mut table = TimeWait::new(10, LIFETIME);
                assert!(table.insert(Time(0), &tuple(number), remains(7, has_timestamps), &secret));
                let verdict = table.judge(Time(1), &tuple(number), arrived, &secret);
                assert_eq!(verdict, Some(*expected), "{arrived:?}");
                let stays = !matches!(expected, Verdict::Reopen { .. });
                assert_eq!((table.contains(&tuple(number), &secret), table.len()), (stays, usize::from(stays)));
                assert_eq!(table.judge(Time(1), &tuple(9), arrived, &secret), None);
            }
        }
    }

    #[test]
    fn an_entry_is_forgotten_after_its_lifetime_and_a_fin_prolongs_it() {
        let secret = Secret::new(&[1; 32]);
        let mut table = TimeWait::new(10, LIFETIME);
        let at = |seconds| Time(0).after(Duration::from_secs(seconds));
        table.insert(at(100), &tuple(1), remains(1, false), &secret);
        table.insert(at(110), &tuple(2), remains(2, false), &secret);
        assert_eq!(table.next_deadline(), Some(at(160)));
        assert!(table.judge(at(150), &tuple(1), &FIN, &secret).is_some());
        assert_eq!(table.next_deadline(), Some(at(170)));
        table.expire(at(169), &secret);
        assert_eq!(table.len(), 2);
        table.expire(at(170), &secret);
        assert_eq!(table.len(), 1);
        assert!(table.judge(at(209), &tuple(1), &ACK, &secret).is_some());
        assert_eq!(table.judge(at(210), &tuple(1), &ACK, &secret), None);
        assert_eq!((table.len(), table.next_deadline()), (0, None));
    }

    #[test]
    fn at_the_bound_the_oldest_goes() {
        let secret = Secret::new(&[1; 32]);
        let mut table = TimeWait::new(100, LIFETIME);
        for number in 0..250 {
            let fits = table.insert(Time(0), &tuple(number), remains(0, false), &secret);
            assert_eq!(fits, number < 100);
        }
        assert_eq!(table.len(), 100);
        for number in 0..250 {
            assert_eq!(table.contains(&tuple(number), &secret), number >= 150);
        }
    }

    /// The bound that the documentation states.
    #[test]
    fn an_entry_takes_64_octets() {
        let secret = Secret::new(&[1; 32]);
        for bound in [1, 64, 100, 1000, 1024, 4095] {
            let mut table = TimeWait::new(bound, LIFETIME);
            for number in 0..5000 {
                table.insert(Time(0), &tuple(number), remains(0, false), &secret);
            }
            let octets = table.entries.capacity() * size_of::<Entry>() + table.chains.capacity() * size_of::<u32>();
            assert!(octets <= 64 * bound, "{octets} octets for {bound} entries");
        }
    }

    proptest! {
        /// Against a map from numbers to the end of the life of what remains. The bound is never reached.
        #[test]
        fn what_is_remembered_is_what_a_map_has(
            steps in prop::collection::vec(
                (0u8..5, 0u16..40, prop_oneof![9 => 0u64..20_000, 1 => 0u64..1 << 32]),
                0..200,
            ),
        ) {
            let secret = Secret::new(&[1; 32]);
            let mut table = TimeWait::new(1000, LIFETIME);
            let (mut now, mut model) = (Time(0), BTreeMap::<u16, Time>::new());
            for (call, number, later) in steps {
                now = now.after(Duration::from_millis(later));
                model.retain(|_, end| *end > now);
                let is_known = model.contains_key(&number);
                match call {
                    0 | 1 => {
                        prop_assert!(table.insert(now, &tuple(number), remains(u32::from(number), false), &secret));
                        model.insert(number, now.after(LIFETIME));
                    }
                    2 => {
                        let expected = is_known.then_some(Verdict::Acknowledge(remains(u32::from(number), false)));
                        prop_assert_eq!(table.judge(now, &tuple(number), &FIN, &secret), expected);
                        model.entry(number).and_modify(|end| *end = now.after(LIFETIME));
                    }
                    3 => {
                        let expected = is_known.then_some(Verdict::Reopen { above: Sequence(u32::from(number)) });
                        prop_assert_eq!(table.judge(now, &tuple(number), &SYN, &secret), expected);
                        model.remove(&number);
                    }
                    _ => {
                        table.expire(now, &secret);
                        if let Some(deadline) = table.next_deadline() {
                            prop_assert!(deadline > now && deadline <= now.after(LIFETIME));
                        }
                    }
                }
                prop_assert!(table.len() >= model.len() && table.len() <= 40);
                for &number in model.keys() {
                    prop_assert!(table.contains(&tuple(number), &secret));
                }
            }
            table.expire(now.after(2 * LIFETIME), &secret);
            prop_assert_eq!((table.len(), table.next_deadline()), (0, None));
        }

        #[test]
        fn a_small_table_stays_within_its_bound(
            bound in 1usize..30, steps in prop::collection::vec((0u8..4, 0u16..50, 0u64..2000), 0..150),
        ) {
            let secret = Secret::new(&[1; 32]);
            let mut table = TimeWait::new(bound, LIFETIME);
            let mut now = Time(0);
            for (call, number, later) in steps {
                now = now.after(Duration::from_millis(later));
                match call {
                    0 | 1 => _ = table.insert(now, &tuple(number), remains(9, false), &secret),
                    2 => _ = table.judge(now, &tuple(number), &FIN, &secret),
                    _ => _ = table.judge(now, &tuple(number), &SYN, &secret),
                }
                prop_assert!(table.len() <= bound);
                prop_assert_eq!((0..50).filter(|&number| table.contains(&tuple(number), &secret)).count(), table.len());
            }
        }

        #[test]
        fn no_segment_and_no_clock_panics(
            calls in prop::collection::vec(
                (any::<u64>(), any::<[u32; 4]>(), any::<[bool; 4]>(), any::<Option<u32>>()),
                0..40,
            ),
        ) {
            let secret = Secret::new(&[1; 32]);
            let mut table = TimeWait::new(5, LIFETIME);
            for (now, [next, sent, sequence, len], [syn, ack, fin, reset], timestamp) in calls {
                let number = (next % 8) as u16;
                let timestamps = timestamp.map(|recent| Stamps { recent, offset: len });
                let remains = Remains { next: Sequence(next), sent: Sequence(sent), timestamps };
                table.insert(Time(now), &tuple(number), remains, &secret);
                let arrived = Arrived { sequence: Sequence(sequence), len, syn, ack, fin, reset, timestamp };
                table.judge(Time(now / 2), &tuple(number), &arrived, &secret);
                table.next_deadline();
            }
        }
    }
}
