//! What the kernel keeps with an open file description, and what is here kept in words of the slot: so all descriptors
//! that are duplicates of each other see the same, in whichever process they are.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use afpa_channel::slot::Slot;
use afpa_platform::foreign::ForeignMemory;

/// Bits of a description.
pub(crate) mod flag {
    /// `O_NONBLOCK`.
    pub(crate) const NONBLOCKING: u32 = 1;
    /// `SO_LINGER` is on.
    pub(crate) const LINGER: u32 = 2;
    /// `TCP_NODELAY`.
    pub(crate) const NO_DELAY: u32 = 4;
    /// `SO_KEEPALIVE`.
    pub(crate) const KEEP_ALIVE: u32 = 8;
    /// The connection's error was learnt: it is told once.
    pub(crate) const ERROR_TAKEN: u32 = 16;
    /// That it is connected was learnt from a second connect(2).
    pub(crate) const CONNECT_TOLD: u32 = 32;
    /// The socket is one of IPv6.
    pub(crate) const V6: u32 = 64;
    /// The descriptor is a placeholder: the kernel knows nothing of the socket.
    pub(crate) const PLACEHOLDER: u32 = 128;
    /// `SO_OOBINLINE`.
    pub(crate) const OOB_INLINE: u32 = 256;
    /// `SO_REUSEADDR`.
    pub(crate) const REUSE_ADDRESS: u32 = 512;
    /// `TCP_CORK`.
    pub(crate) const CORK: u32 = 1024;
    /// The kernel's socket, on which the program sends, has `O_NONBLOCK`.
    pub(crate) const KERNEL_NONBLOCKING: u32 = 2048;
    /// What a listener's connections have from it.
    pub(crate) const INHERITED: u32 = LINGER | NO_DELAY | KEEP_ALIVE | V6 | OOB_INLINE | REUSE_ADDRESS;
}

/// Words of a description.
#[derive(Clone, Copy)]
#[repr(usize)]
enum At {
    Flags = 0,
    ReceiveTimeout = 1,
    SendTimeout = 2,
    Linger = 3,
    SendBuffer = 4,
    ReceiveBuffer = 5,
    NextListening = 6,
    FirstListening = 7,
    Turn = 8,
    /// Seconds of `TCP_KEEPIDLE`, and those of `TCP_KEEPINTVL` above them.
    KeepTimes = 9,
    /// `TCP_KEEPCNT`, and `IP_TOS` above it.
    KeepCountAndService = 10,
}

/// Numbers that share a word with another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    /// `TCP_KEEPIDLE`.
    KeepIdle,
    /// `TCP_KEEPINTVL`.
    KeepInterval,
    /// `TCP_KEEPCNT`.
    KeepCount,
    /// `IP_TOS`, `IPV6_TCLASS`.
    Service,
}

/// The words of a slot that are the application's.
#[derive(Clone, Copy)]
pub(crate) struct Description<'a> {
    slot: Slot<'a, ForeignMemory>,
}

impl<'a> Description<'a> {
    pub(crate) fn of(slot: Slot<'a, ForeignMemory>) -> Description<'a> {
        Description { slot }
    }

    #[inline]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.get(At::Flags) & flag != 0
    }

    /// Sets flags, all of them, or clears them; returns whether one of them was set.
    pub(crate) fn set(&self, flags: u32, on: bool) -> bool {
        let word = self.slot.scratch(At::Flags as usize);
        let before = if on { word.fetch_or(flags, Ordering::AcqRel) } else { word.fetch_and(!flags, Ordering::AcqRel) };
        before & flags != 0
    }

    /// `SO_RCVTIMEO`; zero is none.
    pub(crate) fn receive_timeout(&self) -> Duration {
        Duration::from_millis(self.get(At::ReceiveTimeout).into())
    }

    pub(crate) fn set_receive_timeout(&self, timeout: Duration) {
        self.put(At::ReceiveTimeout, milliseconds(timeout));
    }

    /// `SO_SNDTIMEO`; zero is none.
    pub(crate) fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.get(At::SendTimeout).into())
    }

    pub(crate) fn set_send_timeout(&self, timeout: Duration) {
        self.put(At::SendTimeout, milliseconds(timeout));
    }

    /// Until when a receive waits that starts now.
    pub(crate) fn receive_deadline(&self) -> Option<Instant> {
        deadline(self.receive_timeout())
    }

    /// Until when a send waits that starts now.
    pub(crate) fn send_deadline(&self) -> Option<Instant> {
        deadline(self.send_timeout())
    }

    /// Seconds of `SO_LINGER`, if it is on.
    pub(crate) fn linger(&self) -> Option<u32> {
        self.has(flag::LINGER).then(|| self.get(At::Linger))
    }

    pub(crate) fn linger_seconds(&self) -> u32 {
        self.get(At::Linger)
    }

    pub(crate) fn set_linger(&self, on: bool, seconds: u32) {
        self.put(At::Linger, seconds);
        self.set(flag::LINGER, on);
    }

    /// `SO_SNDBUF` and `SO_RCVBUF`, if they were set. The rings' sizes are the server's.
    pub(crate) fn buffers(&self) -> (u32, u32) {
        (self.get(At::SendBuffer), self.get(At::ReceiveBuffer))
    }

    pub(crate) fn set_send_buffer(&self, octets: u32) {
        self.put(At::SendBuffer, octets);
    }

    pub(crate) fn set_receive_buffer(&self, octets: u32) {
        self.put(At::ReceiveBuffer, octets);
    }

    /// Of a listener's slot: the one that comes after it.
    pub(crate) fn next_listening(&self) -> Option<u32> {
        self.get(At::NextListening).checked_sub(1)
    }

    pub(crate) fn set_next_listening(&self, slot: u32) {
        self.put(At::NextListening, slot + 1);
    }

    /// Of a listener's slot: the first one, which is the socket's.
    pub(crate) fn first_listening(&self) -> Option<u32> {
        self.get(At::FirstListening).checked_sub(1)
    }

    pub(crate) fn set_first_listening(&self, slot: u32) {
        self.put(At::FirstListening, slot + 1);
    }

    /// Counts: so the engines of a listener take turns.
    pub(crate) fn turn(&self) -> u32 {
        let turn = self.get(At::Turn);
        self.put(At::Turn, turn.wrapping_add(1));
        turn
    }

    /// A number that was set; zero if it was not.
    pub(crate) fn half(&self, half: Half) -> u16 {
        let (at, shift) = half.place();
        (self.get(at) >> shift) as u16
    }

    pub(crate) fn set_half(&self, half: Half, value: u16) {
        let (at, shift) = half.place();
        self.put(at, self.get(at) & !(0xffff << shift) | u32::from(value) << shift);
    }

    /// Takes over what an accepted connection has from its listener.
    pub(crate) fn inherit(&self, listener: Description<'_>) {
        let numbers = [
            At::ReceiveTimeout,
            At::SendTimeout,
            At::Linger,
            At::SendBuffer,
            At::ReceiveBuffer,
            At::KeepTimes,
            At::KeepCountAndService,
        ];
        for at in numbers {
            let value = listener.get(at);
            if value != 0 {
                self.put(at, value);
            }
        }
        self.set(listener.get(At::Flags) & flag::INHERITED, true);
    }

    fn get(&self, at: At) -> u32 {
        self.slot.scratch(at as usize).load(Ordering::Acquire)
    }

    fn put(&self, at: At, value: u32) {
        self.slot.scratch(at as usize).store(value, Ordering::Release);
    }
}

impl Half {
    fn place(self) -> (At, u32) {
        match self {
            Half::KeepIdle => (At::KeepTimes, 0),
            Half::KeepInterval => (At::KeepTimes, 16),
            Half::KeepCount => (At::KeepCountAndService, 0),
            Half::Service => (At::KeepCountAndService, 16),
        }
    }
}

fn milliseconds(timeout: Duration) -> u32 {
    // What is shorter than a millisecond is still a timeout.
    u32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}

fn deadline(timeout: Duration) -> Option<Instant> {
    if timeout.is_zero() { None } else { Instant::now().checked_add(timeout) }
}
