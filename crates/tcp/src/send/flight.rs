//! What is sent and not acknowledged.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use afpa_wire::sequence::Sequence;

use crate::send::rack::Rack;
use crate::send::rtt::Rtt;
use crate::time::Time;

/// The most records. At the bound a record is not split: what concerns a part of it concerns none of it (a SACK), or
/// all of it (a retransmission).
pub(crate) const MAX_RECORDS: usize = 1024;
/// The most records before new data extends the last one; the rest is for splits.
pub(crate) const MAX_NEW_RECORDS: usize = 768;
/// What an empty flight keeps of its memory, so that the next response allocates nothing.
const KEPT_RECORDS: usize = 128;
/// The most octets in flight: windows are at most 2^30 (RFC 7323 §2.3). What goes beyond is not recorded.
const MAX_OUTSTANDING: u32 = 1 << 30;

/// RFC 5681's and RFC 6675's threshold: so many segments that arrived later make an earlier one lost.
pub(crate) const DUPLICATE_THRESHOLD: u8 = 3;

/// A D-SACK further back than this is no duplicate of ours.
const MAX_DUPLICATE_AGE: u32 = 1 << 30;

/// The sequence numbers sent and not acknowledged, as records in order and without gaps. SYN and FIN count as one
/// octet each. What one burst sent in a row is one record until it has to be told apart.
#[derive(Clone, Default, Debug)]
pub(crate) struct Flight {
    records: VecDeque<Record>,
    outstanding: u32,
    sacked: u32,
    /// Octets of records marked lost; none of them is SACKed.
    lost: u32,
    /// Octets in records that were sent again.
    retransmitted: u32,
    /// Octets that arrived, as duplicate acknowledgments without SACK let us infer.
    inferred: u32,
    /// No record before this is marked lost.
    lost_from: Cell<u32>,
    rack: Rack,
}

/// Consecutive octets that were sent together and have met the same fate.
#[derive(Clone, Copy, Debug)]
struct Record {
    start: u32,
    len: u32,
    /// When sent last.
    sent: Time,
    flags: u8,
}

/// The receiver reported it.
const SACKED: u8 = 1;
/// It is to be sent again.
const LOST: u8 = 2;
/// It was sent more than once, or its SACK was forgotten: its acknowledgment does not say when it was sent.
const RETRANSMITTED: u8 = 4;
/// Parts of it were sent earlier than `sent` says.
const MERGED: u8 = 8;
/// It was SACKed once, and a timeout made us forget it: that it arrives is no news to RACK.
const FORGOTTEN: u8 = 16;

/// The circumstances of an acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Now.
    pub(crate) now: Time,
    /// The shortest round trip known; zero if none is.
    pub(crate) min_rtt: Duration,
    /// The last moment at which a segment of ours would have carried the timestamp that is echoed;
    /// [`Time::NEVER`] without timestamps.
    pub(crate) echoed: Time,
}

/// What an acknowledgment acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Acknowledged {
    /// Octets that leave the flight.
    pub(crate) octets: u32,
    /// Those of them that had not been SACKed.
    pub(crate) delivered: u32,
    /// A round trip by Karn's rule: of the newest segment, if none of them was sent again.
    pub(crate) rtt: Option<Duration>,
    /// Some of the delivered ones were sent more than once.
    pub(crate) retransmitted: bool,
}

/// What SACK blocks reported.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Selected {
    /// Octets not reported before.
    pub(crate) octets: u32,
    /// What arrived twice (RFC 2883).
    pub(crate) duplicate: Option<(Sequence, Sequence)>,
    /// A round trip by Karn's rule, of the newest segment reported first now.
    pub(crate) rtt: Option<Duration>,
}

/// What was found to be lost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Losses {
    /// Octets newly marked lost.
    pub(crate) octets: u32,
    /// If nothing arrives before, more may count as lost at this moment.
    pub(crate) look_again: Option<Time>,
}

/// A range to be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lost {
    /// Its first sequence number.
    pub(crate) start: Sequence,
    /// Its octets; may be more than a segment takes.
    pub(crate) len: u32,
}

impl Flight {
    /// Takes note that `len` octets from `start` on are sent now: new ones, which begin where the flight ends, or a
    /// retransmission of any part of it. An empty flight begins anywhere. What lies before the flight is ignored.
    pub(crate) fn sent(&mut self, start: Sequence, len: u32, now: Time) {
        if self.records.is_empty() {
            self.append(start.0, len, now);
            return;
        }
        let (first, end) = (self.first(), self.outstanding);
        let to = start.0.wrapping_add(len).wrapping_sub(first);
        if to as i32 <= 0 {
            return;
        }
        let from = if start.before(Sequence(first)) { 0 } else { start.0.wrapping_sub(first) };
        if from < end {
            self.send_again(from, to.min(end), now);
        }
        if to > end {
            self.append(first.wrapping_add(end), to - end, now);
        }
    }

    /// Octets sent and not acknowledged.
    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The octets thought to be in the network (RFC 6675 §4): neither SACKed, nor lost and not yet sent again.
    /// What was sent twice before it was lost counts once.
    pub(crate) fn pipe(&self) -> u32 {
        (self.outstanding - self.sacked - self.lost).saturating_sub(self.inferred)
    }

    /// Octets marked lost and not sent again since.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Octets that the receiver holds beyond a gap.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Takes an acknowledgment up to `una`. One that lies outside of the flight changes nothing.
    pub(crate) fn acknowledge(&mut self, una: Sequence, clock: &Clock) -> Acknowledged {
        let mut result = Acknowledged::default();
        let Some(first) = self.records.front() else { return result };
        let mut left = una.0.wrapping_sub(first.start);
        if left == 0 || left > self.outstanding {
            return result;
        }
        let mut newest: Option<Time> = None;
        let mut is_ambiguous = false;
        while left > 0 {
            let Some(record) = self.records.front().copied() else { break };
            let gone = Record { len: record.len.min(left), ..record };
            self.remove_counts(&gone);
            self.outstanding -= gone.len;
            result.octets += gone.len;
            if !gone.has(SACKED) {
                result.retransmitted |= gone.has(RETRANSMITTED);
                result.delivered += gone.len;
                is_ambiguous |= gone.has(RETRANSMITTED) || (gone.has(MERGED) && gone.len < record.len);
                newest = newest.max(Some(gone.sent));
                self.note_delivered(&gone, clock);
            }
            left -= gone.len;
            match self.records.front_mut() {
                Some(record) if record.len > gone.len => {
                    record.start = record.start.wrapping_add(gone.len);
                    record.len -= gone.len;
                }
                _ => drop(self.records.pop_front()),
            }
        }
        self.rack.advanced(una.0);
        if self.records.is_empty() {
            self.shrink();
        }
        result.rtt = newest.filter(|_| !is_ambiguous).map(|sent| clock.now.since(sent));
        result
    }

    /// Takes SACK blocks that came with the acknowledgment `una`, which [`Flight::acknowledge`] has been given before.
    /// Blocks that do not lie between `una` and `nxt` are ignored, but for a D-SACK in the first place.
    pub(crate) fn selective(
        &mut self,
        blocks: impl IntoIterator<Item = (u32, u32)>,
        una: Sequence,
        nxt: Sequence,
        clock: &Clock,
    ) -> Selected {
        let mut result = Selected::default();
        let mut newest: Option<Time> = None;
        let mut blocks = blocks.into_iter().peekable();
        let mut is_first = true;
        while let Some(block) = blocks.next() {
            if std::mem::take(&mut is_first) && is_duplicate(block, blocks.peek().copied(), una) {
                result.duplicate = Some((Sequence(block.0), Sequence(block.1)));
                self.rack.duplicate(una.0, nxt.0);
                continue;
            }
            if let Some((from, to)) = self.place(block, una, nxt) {
                let (octets, sent) = self.sack(from, to, clock);
                result.octets += octets;
                newest = newest.max(sent);
            }
        }
        result.rtt = newest.map(|sent| clock.now.since(sent));
        result
    }

    /// Marks as lost what was sent long enough before something that has arrived (RACK, RFC 8985 §6.2 step 5). To be
    /// called after each acknowledgment while SACK is in use, and at [`Losses::look_again`]. `is_recovering`: a
    /// recovery goes on, be it after a timeout.
    pub(crate) fn detect_losses(&mut self, now: Time, rtt: &Rtt, mss: u32, is_recovering: bool) -> Losses {
        let mut losses = Losses::default();
        let Some(first) = self.records.front() else { return losses };
        // What was sent once lies in the order of its sending: if the first is not too old, none is.
        let is_in_order = self.sacked == 0 && self.retransmitted == 0;
        if is_in_order && self.rack.deadline(first.sent, first.end(), Duration::ZERO).is_none() {
            return losses;
        }
        let is_certain = is_recovering || self.has_sacked_segments(DUPLICATE_THRESHOLD, mss);
        let window = self.rack.window(rtt, is_certain);
        for index in 0..self.records.len() {
            let record = self.records[index];
            if record.has(SACKED | LOST) {
                continue;
            }
            match self.rack.deadline(record.sent, record.end(), window) {
                Some(deadline) if deadline <= now => {
                    self.lose(index);
                    losses.octets += record.len;
                }
                Some(deadline) => losses.look_again = losses.look_again.max(Some(deadline)),
                None => (),
            }
        }
        losses
    }

    /// A recovery is over, so RACK's reordering window may narrow.
    pub(crate) fn recovered(&mut self) {
        self.rack.recovered();
    }

    /// The first range to be sent again. The caller sends a segment of it, tells [`Flight::sent`], and asks again.
    pub(crate) fn next_lost(&self) -> Option<Lost> {
        if self.lost == 0 {
            return None;
        }
        let from = Sequence(self.lost_from.get()).max(Sequence(self.first())).0.wrapping_sub(self.first());
        let index = self.index_at(from);
        let record = self.records.range(index..).find(|record| record.has(LOST))?;
        self.lost_from.set(record.start);
        Some(Lost { start: Sequence(record.start), len: record.len })
    }

    /// The last segment sent, for a tail loss probe.
    pub(crate) fn last_segment(&self, mss: u32) -> Option<Lost> {
        let record = self.records.back()?;
        let len = record.len.min(mss);
        Some(Lost { start: Sequence(record.end().wrapping_sub(len)), len })
    }

    /// Marks the first segment as lost, if it was not sent again yet, and returns its octets.
    pub(crate) fn lose_first(&mut self, mss: u32) -> u32 {
        let before = self.lost;
        if let Some(record) = self.records.front()
            && !record.has(SACKED | LOST | RETRANSMITTED)
        {
            self.split(mss);
            self.lose(0);
        }
        self.lost - before
    }

    /// A timeout: everything is to be sent again, from the beginning, and the receiver may have dropped what it
    /// SACKed (RFC 2018 §8). Returns the octets newly marked lost.
    pub(crate) fn lose_all(&mut self) -> u32 {
        let before = self.lost;
        for record in &mut self.records {
            if record.has(SACKED) {
                if !record.has(RETRANSMITTED) {
                    self.retransmitted += record.len;
                }
                record.flags |= RETRANSMITTED | FORGOTTEN;
            }
            record.flags = (record.flags & !SACKED) | LOST;
        }
        self.sacked = 0;
        self.inferred = 0;
        self.lost = self.outstanding;
        self.lost_from.set(self.first());
        self.lost - before
    }

    /// A timeout was spurious: nothing is lost, and what arrived is not what was sent again.
    pub(crate) fn forget_losses(&mut self) {
        self.rack.forget_latest();
        for record in &mut self.records {
            record.flags &= !LOST;
        }
        self.lost = 0;
    }

    /// Without SACK: so many octets have probably arrived beyond the gap.
    pub(crate) fn infer_arrived(&mut self, octets: u32) {
        self.inferred = octets;
    }

    /// See [`Flight::infer_arrived`].
    pub(crate) fn inferred(&self) -> u32 {
        self.inferred
    }

    /// Forgets everything, and the memory beyond what a short response needs.
    pub(crate) fn clear(&mut self) {
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        *self = Flight { records, ..Flight::default() };
        self.shrink();
    }

    fn shrink(&mut self) {
        self.inferred = 0;
        if self.records.capacity() > KEPT_RECORDS {
            self.records.shrink_to(KEPT_RECORDS);
        }
    }

    /// New octets at the end.
    fn append(&mut self, start: u32, len: u32, now: Time) {
        let len = len.min(MAX_OUTSTANDING - self.outstanding);
        if len == 0 {
            return;
        }
        self.outstanding += len;
        let is_full = self.records.len() >= MAX_NEW_RECORDS;
        match self.records.back_mut() {
            Some(last) if last.sent == now && last.flags == 0 => last.len += len,
            Some(_) if is_full => self.extend_last(len, now),
            _ => self.records.push_back(Record { start, len, sent: now, flags: 0 }),
        }
    }

    /// At the bound: what was known of the last record is forgotten, which at worst sends it again.
    fn extend_last(&mut self, len: u32, now: Time) {
        let Some(mut last) = self.records.pop_back() else { return };
        self.remove_counts(&last);
        last.flags = (last.flags & RETRANSMITTED) | MERGED;
        last.len += len;
        last.sent = now;
        if last.has(RETRANSMITTED) {
            self.retransmitted += last.len;
        }
        self.records.push_back(last);
    }

    /// The octets between two offsets are sent again; those that the receiver has need not be.
    fn send_again(&mut self, from: u32, to: u32, now: Time) {
        self.split(from);
        self.split(to);
        let mut index = self.index_at(from);
        while index < self.records.len() && self.offset(self.records[index].start) < to {
            let record = &mut self.records[index];
            index += 1;
            if record.has(SACKED) {
                continue;
            }
            if record.has(LOST) {
                self.lost -= record.len;
            }
            if !record.has(RETRANSMITTED) {
                self.retransmitted += record.len;
            }
            record.sent = now;
            record.flags = RETRANSMITTED;
        }
    }

    /// Marks what lies between two offsets as SACKed. Returns the octets that were not before, and when the newest of
    /// those sent once was sent.
    fn sack(&mut self, from: u32, to: u32, clock: &Clock) -> (u32, Option<Time>) {
        let index = self.index_at(from);
        // A block that is repeated, as most are.
        if let Some(record) = self.records.get(index)
            && record.has(SACKED)
            && self.offset(record.start) + record.len >= to
        {
            return (0, None);
        }
        self.split(from);
        self.split(to);
        let (mut octets, mut newest) = (0, None);
        let mut index = self.index_at(from);
        if self.records.get(index).is_some_and(|record| self.offset(record.start) < from) {
            index += 1;
        }
        let begin = index;
        while let Some(record) = self.records.get(index).copied() {
            if self.offset(record.start) + record.len > to {
                break;
            }
            if !record.has(SACKED) {
                octets += record.len;
                newest = newest.max((!record.has(RETRANSMITTED)).then_some(record.sent));
                self.sack_one(index, clock);
            }
            index += 1;
        }
        self.merge_sacked(begin.saturating_sub(1), index);
        (octets, newest)
    }

    fn sack_one(&mut self, index: usize, clock: &Clock) {
        let record = &mut self.records[index];
        self.sacked += record.len;
        if record.has(LOST) {
            self.lost -= record.len;
        }
        record.flags = (record.flags & !LOST) | SACKED;
        let record = *record;
        self.note_delivered(&record, clock);
    }

    fn note_delivered(&mut self, record: &Record, clock: &Clock) {
        if !record.has(FORGOTTEN) {
            self.rack.delivered(record.sent, record.end(), record.has(RETRANSMITTED), clock);
        }
    }

    /// Joins SACKed neighbours among the records from `begin` to `end` inclusive: when they were sent no longer
    /// matters.
    fn merge_sacked(&mut self, begin: usize, end: usize) {
        let end = (end + 1).min(self.records.len());
        let mut kept = begin;
        for index in begin + 1..end {
            let next = self.records[index];
            let record = &mut self.records[kept];
            if record.has(SACKED) && next.has(SACKED) {
                // Both or neither count as sent again, so that the running count stays right.
                for part in [*record, next] {
                    if (record.has(RETRANSMITTED) || next.has(RETRANSMITTED)) && !part.has(RETRANSMITTED) {
                        self.retransmitted += part.len;
                    }
                }
                record.len += next.len;
                record.flags |= next.flags;
                record.sent = record.sent.min(next.sent);
            } else {
                kept += 1;
                self.records[kept] = next;
            }
        }
        if end > begin {
            self.records.drain(kept + 1..end);
        }
    }

    /// Makes a record begin at an offset, if there is room for another record. What is SACKed stays whole.
    fn split(&mut self, offset: u32) {
        let index = self.index_at(offset);
        let first = self.first();
        let is_full = self.records.len() >= MAX_RECORDS;
        let Some(record) = self.records.get_mut(index) else { return };
        let head = offset - record.start.wrapping_sub(first);
        if head == 0 || is_full || record.has(SACKED) {
            return;
        }
        let tail = Record { start: record.start.wrapping_add(head), len: record.len - head, ..*record };
        record.len = head;
        self.records.insert(index + 1, tail);
    }

    fn lose(&mut self, index: usize) {
        let record = &mut self.records[index];
        if self.lost == 0 || Sequence(record.start).before(Sequence(self.lost_from.get())) {
            self.lost_from.set(record.start);
        }
        self.lost += record.len;
        record.flags |= LOST;
    }

    /// Whether at least so many segments are SACKed. They are counted in full ones, since bursts are one record.
    fn has_sacked_segments(&self, threshold: u8, mss: u32) -> bool {
        let mut segments = 0;
        self.sacked > 0
            && self.records.iter().any(|record| {
                segments += if record.has(SACKED) { record.len.div_ceil(mss.max(1)) } else { 0 };
                segments >= threshold.into()
            })
    }

    /// A block of a SACK option as offsets, if it is one that an honest receiver sends: it lies in what was sent, and
    /// does not begin where the acknowledgment ends.
    fn place(&self, (start, end): (u32, u32), una: Sequence, nxt: Sequence) -> Option<(u32, u32)> {
        if self.records.is_empty() || self.first() != una.0 {
            return None;
        }
        let (from, to) = (self.offset(start), self.offset(end));
        let limit = self.outstanding.min(self.offset(nxt.0));
        (0 < from && from < to && to <= limit).then_some((from, to))
    }

    fn remove_counts(&mut self, record: &Record) {
        if record.has(SACKED) {
            self.sacked -= record.len;
        }
        if record.has(LOST) {
            self.lost -= record.len;
        }
        if record.has(RETRANSMITTED) {
            self.retransmitted -= record.len;
        }
    }

    /// The record that holds the octet at an offset; the number of records if none does.
    fn index_at(&self, offset: u32) -> usize {
        self.records.partition_point(|record| self.offset(record.start) + record.len <= offset)
    }

    fn offset(&self, sequence: u32) -> u32 {
        sequence.wrapping_sub(self.first())
    }

    fn first(&self) -> u32 {
        self.records.front().map_or(0, |record| record.start)
    }
}

impl Record {
    fn end(&self) -> u32 {
        self.start.wrapping_add(self.len)
    }

    fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

/// Whether the first block is a D-SACK (RFC 2883 §4): it lies before the acknowledgment, or within the second block.
fn is_duplicate((start, end): (u32, u32), second: Option<(u32, u32)>, una: Sequence) -> bool {
    let len = end.wrapping_sub(start);
    if len == 0 || len > MAX_DUPLICATE_AGE {
        return false;
    }
    if !Sequence(end).after(una) {
        return una.0.wrapping_sub(start) <= MAX_DUPLICATE_AGE;
    }
    second.is_some_and(|(from, to)| {
        let (whole, before) = (to.wrapping_sub(from), start.wrapping_sub(from));
        whole <= MAX_DUPLICATE_AGE && before <= whole && len <= whole - before && Sequence(from).after(una)
    })
}

#[cfg(test)]
mod tests;
