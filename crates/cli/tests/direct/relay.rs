//! A cable that loses, repeats and delays frames, and that can be cut: a thread that carries frames between two
//! TAP devices, the client's end and the port of a bridge behind which the server is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use afpa_platform::tap::{Checksum, Tap};
use afpa_wire::{checksum, ethernet, ip, tcp, udp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::lab::{CLIENT, DEVICE, Lab, Namespace};

/// The bridge's port.
const FAR: &str = "far";
/// Frames that are on their way in one direction at most; beyond it they are lost.
const WAITING: usize = 1000;
/// The longest sleep: how soon an order is obeyed.
const PAUSE: Duration = Duration::from_millis(20);

/// What the cable does to frames, each in so many of 1,000 cases, in both directions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Held back for [`Faults::delay`], so that others overtake it.
    pub(crate) overtaken: u64,
    pub(crate) delay: Duration,
    /// Frames of more octets are lost without a word; 0 takes all.
    pub(crate) longest: usize,
}

/// A lab with such a cable. The thread ends with it.
pub(crate) struct Relay {
    pub(crate) lab: Lab,
    _middle: Namespace,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Orders {
    end: AtomicBool,
    cut: AtomicBool,
    /// Frames that were lost on purpose.
    lost: AtomicU64,
}

impl Relay {
    /// `None` if this machine cannot have one.
    pub(crate) fn lab(test: &str, seed: u64, faults: Faults) -> Option<Relay> {
        Relay::wide(test, seed, faults, "1500")
    }

    /// The same, for packets of up to so many octets.
    pub(crate) fn wide(test: &str, seed: u64, faults: Faults, mtu: &str) -> Option<Relay> {
        let (lab, middle) = Lab::cut_in_the_middle(test)?;
        let far = middle.inside(|| Tap::open(FAR, false)).unwrap();
        let near = lab.client.inside(|| Tap::open(DEVICE, false)).unwrap();
        middle.ip(&["link", "set", FAR, "up", "master", "bridge0"]);
        // One segment in each frame: the cable knows of no others.
        lab.client.ip(&["link", "set", DEVICE, "gso_max_segs", "1"]);
        middle.ip(&["link", "set", FAR, "gso_max_segs", "1"]);
        for device in ["near", FAR, "bridge0"] {
            middle.ip(&["link", "set", device, "mtu", mtu]);
        }
        for end in [&lab.server, &lab.client] {
            end.ip(&["link", "set", DEVICE, "mtu", mtu]);
        }
        lab.client.address(DEVICE, &format!("{CLIENT}/24"), Some("fd77::2/64"));
        let orders = Arc::new(Orders::default());
        let carrier = Carrier { directions: Default::default(), faults, seed, orders: orders.clone() };
        let thread = std::thread::spawn(move || carrier.run(near, far).unwrap());
        Some(Relay { lab, _middle: middle, orders, thread: Some(thread) })
    }

    /// Loses everything from now on, or not any more.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.orders.cut.store(is_cut, Ordering::Relaxed);
    }

    /// Frames lost until now.
    pub(crate) fn lost(&self) -> u64 {
        self.orders.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.orders.end.store(true, Ordering::Relaxed);
        let result = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(result, Some(Ok(()))), "the cable broke");
    }
}

struct Carrier {
    /// Frames on their way, each with the time of its arrival: to the server, to the client.
    directions: [VecDeque<(Instant, Vec<u8>)>; 2],
    faults: Faults,
    seed: u64,
    orders: Arc<Orders>,
}

impl Carrier {
    fn run(mut self, mut near: Tap, mut far: Tap) -> io::Result<()> {
        while !self.orders.end.load(Ordering::Relaxed) {
            let frames = self.take(0, &mut near)? + self.take(1, &mut far)?;
            self.deliver(0, &mut far)?;
            self.deliver(1, &mut near)?;
            if frames == 0 {
                let now = Instant::now();
                let due = self.directions.iter().flatten().map(|(due, _)| due.saturating_duration_since(now)).min();
                let wait = Timespec::try_from(due.unwrap_or(PAUSE).min(PAUSE)).unwrap();
                let readable = [&near, &far].map(|tap| PollFd::from_borrowed_fd(tap.descriptor(), PollFlags::IN));
                poll(&mut { readable }, Some(&wait))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, direction: usize, tap: &mut Tap) -> io::Result<usize> {
        tap.receiver.receive(64, &mut |frame, checksum| {
            let mut frame = frame.to_vec();
            if checksum == Checksum::Partial {
                complete(&mut frame);
            }
            self.accept(direction, &frame);
            Ok(())
        })
    }

    fn accept(&mut self, direction: usize, frame: &[u8]) {
        let is_full = self.directions[direction].len() >= WAITING;
        let is_too_long = self.faults.longest > 0 && frame.len() > self.faults.longest;
        if is_too_long || self.orders.cut.load(Ordering::Relaxed) || is_full || self.happens(self.faults.lost) {
            self.orders.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let copies = if self.happens(self.faults.repeated) { 2 } else { 1 };
        for _ in 0..copies {
            let is_late = self.happens(self.faults.overtaken);
            let due = Instant::now() + if is_late { self.faults.delay } else { Duration::ZERO };
            self.directions[direction].push_back((due, frame.to_vec()));
        }
    }

    fn deliver(&mut self, direction: usize, tap: &mut Tap) -> io::Result<()> {
        let now = Instant::now();
        let frames = &mut self.directions[direction];
        for _ in 0..frames.len() {
            let Some((due, frame)) = frames.pop_front() else { break };
            if due > now {
                frames.push_back((due, frame));
            } else {
                let _ = tap.transmitter.push(&frame, &mut std::iter::empty(), None);
            }
        }
        tap.transmitter.flush()
    }

    /// Whether something happens that does in so many of 1,000 cases.
    fn happens(&mut self, cases: u64) -> bool {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 1000 < cases
    }
}

/// Does what a device would have done: the field holds the pseudo-header's sum.
fn complete(frame: &mut [u8]) {
    let Ok(link) = ethernet::Frame::parse(frame) else { return };
    let Ok(packet) = ip::Packet::parse(link.payload) else { return };
    let field = match packet.protocol() {
        ip::TCP => tcp::CHECKSUM_OFFSET,
        ip::UDP => udp::CHECKSUM_OFFSET,
        _ => return,
    };
    let start = frame.len() - packet.payload().len();
    let sum = !checksum::sum(&frame[start..]);
    frame[start + field..][..2].copy_from_slice(&sum.to_be_bytes());
}
