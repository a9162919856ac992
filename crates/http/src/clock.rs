//! The wall clock as responses need it: a Date that is formatted once per second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afpa_engine::Time;

use crate::syntax::date::imf_fixdate;

/// How the connection goes on after a response; what its Connection field must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Persistence {
    /// HTTP/1.1, which persists by default: nothing is said.
    Default,
    /// The connection ends.
    Close,
    /// HTTP/1.0, where persistence must be confirmed (RFC 9112 §9.3).
    KeepAlive,
}

/// Knows the wall time of each moment of the engine's clock, and the mutable heads that go with it.
pub(crate) struct Clock {
    wall: Box<dyn Fn() -> SystemTime>,
    /// Nanoseconds from the epoch to the engine's time zero.
    offset: u64,
    /// When the wall clock's next second starts.
    next: Time,
    seconds: u64,
    /// `Date: …` and its CRLF.
    date: Vec<u8>,
    /// Mutable heads of a 200, by [`Persistence`].
    ok: [Vec<u8>; 3],
}

impl Clock {
    pub(crate) fn new(wall: impl Fn() -> SystemTime + 'static) -> Clock {
        let wall = Box::new(wall);
        let mut clock = Clock { wall, offset: 0, next: Time(0), seconds: 0, date: Vec::new(), ok: Default::default() };
        clock.refresh(Time(0));
        clock
    }

    /// Reads the wall clock if a second has passed since it was read last.
    #[inline]
    pub(crate) fn refresh(&mut self, now: Time) {
        if now >= self.next {
            self.read(now);
        }
    }

    /// The mutable head of a 200: status line, Date, Connection (AFPA §3.4).
    #[inline]
    pub(crate) fn ok(&self, persistence: Persistence) -> &[u8] {
        &self.ok[persistence as usize]
    }

    /// Seconds since the epoch.
    pub(crate) fn seconds(&self) -> u64 {
        self.seconds
    }

    /// `Date: …` with its CRLF.
    pub(crate) fn date(&self) -> &[u8] {
        &self.date
    }

    /// Microseconds since the epoch.
    pub(crate) fn unix_micros(&self, at: Time) -> u64 {
        (self.offset.saturating_add(at.0)) / 1000
    }

    fn read(&mut self, now: Time) {
        let since_epoch = (self.wall)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.offset = (since_epoch.as_nanos() as u64).saturating_sub(now.0);
        self.next = now.after(Duration::from_nanos(1_000_000_000 - u64::from(since_epoch.subsec_nanos())));
        self.seconds = since_epoch.as_secs();
        self.date.clear();
        self.date.extend_from_slice(b"Date: ");
        self.date.extend_from_slice(&imf_fixdate(self.seconds));
        self.date.extend_from_slice(b"\r\n");
        for persistence in [Persistence::Default, Persistence::Close, Persistence::KeepAlive] {
            let head = &mut self.ok[persistence as usize];
            head.clear();
            head.extend_from_slice(b"HTTP/1.1 200 OK\r\nServer: afpa\r\n");
            head.extend_from_slice(&self.date);
            head.extend_from_slice(persistence.field());
        }
    }
}

impl Persistence {
    /// The Connection field with its CRLF, or nothing.
    pub(crate) const fn field(self) -> &'static [u8] {
        match self {
            Persistence::Default => b"",
            Persistence::Close => b"Connection: close\r\n",
            Persistence::KeepAlive => b"Connection: keep-alive\r\n",
        }
    }
}
