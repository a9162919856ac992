//! One pair of ports, and the numbers that a script counts from.

use std::net::{IpAddr, SocketAddr};

use afpa_tcp::Time;

use crate::flags::Flags;
use crate::option::TcpOption;
use crate::script::application::{Application, INCOMING, OUTGOING};
use crate::script::pattern::{Echo, OptionPattern, Pattern};
use crate::segment::Segment;

/// Where TCP listens.
pub(crate) const LISTENS: u16 = 80;
/// Where the peer's numbers begin: close to the end, so that every script wraps.
const PEER_ISN: u32 = 0xffff_ff00;
/// Where the peer's timestamps begin.
const PEER_CLOCK: u32 = 1000;

/// The peer's view of one connection.
pub(crate) struct Flow {
    pub(crate) application: Application,
    stack: SocketAddr,
    peer: SocketAddr,
    peer_isn: u32,
    /// What follows the highest octet sent to TCP, relative.
    peer_next: u32,
    stack_isn: Option<u32>,
    /// What follows the highest octet that TCP has sent, relative.
    stack_next: u32,
    window: u16,
    clock: (u32, Time),
    peer_offers_timestamps: bool,
    stack_offers_timestamps: bool,
    /// The last timestamp of TCP.
    stack_timestamp: Option<u32>,
}

impl Flow {
    pub(crate) fn new(stack: IpAddr, peer: SocketAddr, now: Time) -> Flow {
        Flow {
            application: Application::new(),
            stack: SocketAddr::new(stack, LISTENS),
            peer,
            peer_isn: PEER_ISN,
            peer_next: 0,
            stack_isn: None,
            stack_next: 0,
            window: 65_535,
            clock: (PEER_CLOCK, now),
            peer_offers_timestamps: false,
            stack_offers_timestamps: false,
            stack_timestamp: None,
        }
    }

    /// A new connection of the same ports.
    pub(crate) fn reincarnate(&mut self, isn: u32) {
        self.application = Application::new();
        self.peer_isn = isn;
        self.peer_next = 0;
        self.stack_isn = None;
        self.stack_next = 0;
    }

    pub(crate) fn set_clock(&mut self, value: u32, now: Time) {
        self.clock = (value, now);
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The segment that the peer sends as the pattern says.
    pub(crate) fn segment(&mut self, pattern: &Pattern, now: Time) -> Segment {
        let mut segment = Segment::new(self.peer, self.stack);
        let relative = pattern.sequence.unwrap_or(self.peer_next);
        segment.flags = pattern.flags;
        segment.sequence = self.peer_isn.wrapping_add(relative);
        if pattern.flags.contains(Flags::ACK) || pattern.acknowledgment.is_some() {
            let relative = pattern.acknowledgment.unwrap_or(self.stack_next);
            segment.acknowledgment = self.stack_isn.unwrap_or(0).wrapping_add(relative);
        }
        self.window = pattern.window.map_or(self.window, |(from, _)| from);
        segment.window = self.window;
        segment.urgent = pattern.urgent;
        segment.ecn = pattern.ecn.unwrap_or(0);
        segment.payload = match pattern.fill {
            Some(octet) => vec![octet; pattern.length.0],
            None => INCOMING.range(u64::from(relative.wrapping_sub(1)), pattern.length.0),
        };
        segment.options = pattern.options.iter().filter_map(|option| self.option(option, now)).collect();
        self.add_timestamps(pattern, &mut segment, now);
        let next = relative.wrapping_add(segment.length());
        if (next.wrapping_sub(self.peer_next) as i32) > 0 && pattern.fill.is_none() {
            self.peer_next = next;
        }
        segment
    }

    fn option(&self, pattern: &OptionPattern, now: Time) -> Option<TcpOption> {
        Some(match pattern {
            OptionPattern::Mss(mss) => TcpOption::Mss(mss.unwrap_or(1460)),
            OptionPattern::WindowScale(shift) => TcpOption::WindowScale(shift.unwrap_or(0)),
            OptionPattern::SackPermitted => TcpOption::SackPermitted,
            OptionPattern::Sack(blocks) => {
                let isn = self.stack_isn.unwrap_or(0);
                let absolute = |(left, right): &(u32, u32)| (isn.wrapping_add(*left), isn.wrapping_add(*right));
                TcpOption::Sack(blocks.iter().map(absolute).collect())
            }
            OptionPattern::Timestamps { value, echo } => self.timestamps(*value, *echo, now),
            OptionPattern::Raw(octets) => TcpOption::Raw(octets.clone()),
            OptionPattern::Absent(_) => return None,
        })
    }

    fn timestamps(&self, value: Option<u32>, echo: Option<Echo>, now: Time) -> TcpOption {
        let (base, since) = self.clock;
        let clock = base.wrapping_add(now.since(since).as_millis() as u32);
        let last = self.stack_timestamp.unwrap_or(0);
        let echo = match echo {
            Some(Echo::Exactly(echo)) => echo,
            Some(Echo::Last(offset)) => last.wrapping_add(offset as u32),
            None => last,
        };
        TcpOption::Timestamps { value: value.unwrap_or(clock), echo }
    }

    /// RFC 7323 §3.2: once negotiated, every segment carries timestamps.
    fn add_timestamps(&mut self, pattern: &Pattern, segment: &mut Segment, now: Time) {
        let named = pattern.options.iter().any(|option| option.name() == "TS");
        if segment.flags.contains(Flags::SYN) {
            self.peer_offers_timestamps = segment.timestamps().is_some();
        } else if self.peer_offers_timestamps && self.stack_offers_timestamps && !named {
            segment.options.push(self.timestamps(None, None, now));
        }
    }

    /// Notes what TCP sent.
    pub(crate) fn note(&mut self, segment: &Segment) {
        if segment.flags.contains(Flags::SYN) {
            self.stack = segment.source;
            self.stack_isn = Some(segment.sequence);
            self.stack_offers_timestamps = segment.timestamps().is_some();
        }
        if let Some((value, _)) = segment.timestamps() {
            self.stack_timestamp = Some(value);
        }
        let Some(isn) = self.stack_isn else { return };
        let next = segment.sequence.wrapping_sub(isn).wrapping_add(segment.length());
        if (next.wrapping_sub(self.stack_next) as i32) > 0 {
            self.stack_next = next;
        }
    }

    /// Compares what TCP sent with what was expected.
    pub(crate) fn compare(&self, pattern: &Pattern, segment: &Segment) -> Result<(), String> {
        let relative = |number: u32, isn: Option<u32>| number.wrapping_sub(isn.unwrap_or(0));
        let sequence = relative(segment.sequence, self.stack_isn);
        let mut wrong = Vec::new();
        let mut compare = |what: &str, expected: Option<i64>, seen: i64| {
            if expected.is_some_and(|expected| expected != seen) {
                wrong.push(format!("{what} {seen} instead of {}", expected.unwrap_or_default()));
            }
        };
        let signed = |number: u32| i64::from(number as i32);
        compare("seq", pattern.sequence.map(signed), signed(sequence));
        if segment.flags.contains(Flags::ACK) {
            let acknowledgment = relative(segment.acknowledgment, Some(self.peer_isn));
            compare("ack", pattern.acknowledgment.map(signed), signed(acknowledgment));
        }
        compare("ecn", pattern.ecn.map(i64::from), i64::from(segment.ecn));
        let flags = segment.flags.without(Flags::PSH);
        if flags != pattern.flags.without(Flags::PSH) {
            wrong.push(format!("{flags} instead of {}", pattern.flags));
        }
        let (least, most) = pattern.length;
        if !(least..=most).contains(&segment.payload.len()) {
            wrong.push(format!("len {} instead of {least}..{most}", segment.payload.len()));
        }
        if let Some((from, to)) = pattern.window
            && !(from..=to).contains(&segment.window)
        {
            wrong.push(format!("win {} instead of {from}..{to}", segment.window));
        }
        for option in &pattern.options {
            self.compare_option(option, segment, &mut wrong);
        }
        if wrong.is_empty() {
            OUTGOING.check(u64::from(sequence.wrapping_sub(1)), &segment.payload);
            return Ok(());
        }
        Err(wrong.join(", "))
    }

    fn compare_option(&self, pattern: &OptionPattern, segment: &Segment, wrong: &mut Vec<String>) {
        if let OptionPattern::Absent(name) = pattern {
            let present = segment.options.iter().any(|option| self.read(option).name() == name);
            if present {
                wrong.push(format!("there is {name}"));
            }
            return;
        }
        let found = segment.options.iter().map(|option| self.read(option)).find(|o| o.name() == pattern.name());
        let matches = match (pattern, &found) {
            (OptionPattern::Mss(None), Some(_)) | (OptionPattern::WindowScale(None), Some(_)) => true,
            (OptionPattern::Timestamps { value, echo }, Some(OptionPattern::Timestamps { value: v, echo: e })) => {
                (value.is_none() || value == v) && (echo.is_none() || echo == e)
            }
            (expected, Some(seen)) => *expected == *seen,
            (_, None) => false,
        };
        if !matches {
            wrong.push(format!("{found:?} instead of {pattern:?}"));
        }
    }

    /// An option of TCP's with relative numbers.
    fn read(&self, option: &TcpOption) -> OptionPattern {
        match option {
            TcpOption::Mss(mss) => OptionPattern::Mss(Some(*mss)),
            TcpOption::WindowScale(shift) => OptionPattern::WindowScale(Some(*shift)),
            TcpOption::SackPermitted => OptionPattern::SackPermitted,
            TcpOption::Sack(blocks) => {
                let relative =
                    |(left, right): &(u32, u32)| (left.wrapping_sub(self.peer_isn), right.wrapping_sub(self.peer_isn));
                OptionPattern::Sack(blocks.iter().map(relative).collect())
            }
            TcpOption::Timestamps { value, echo } => {
                OptionPattern::Timestamps { value: Some(*value), echo: Some(Echo::Exactly(*echo)) }
            }
            TcpOption::Raw(octets) => OptionPattern::Raw(octets.clone()),
        }
    }

    /// The segment that an ICMP message quotes: whether TCP has sent it is for the script to know.
    pub(crate) fn quoted(&self, sequence: u32, length: usize) -> Segment {
        let mut segment = Segment::new(self.stack, self.peer);
        segment.sequence = self.stack_isn.unwrap_or(0).wrapping_add(sequence);
        segment.flags = Flags::ACK;
        segment.payload = vec![0; length];
        segment
    }
}
