//! What one engine's socket provider counts.

use afpa_engine::stats::Counter;

/// Counters with one writer, the engine. Aligned so that two engines share no line.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct ProviderStats {
    /// Connections that were accepted for an application.
    pub accepted: Counter,
    /// Connections that an application opened.
    pub connected: Counter,
    /// Connections that could not be opened.
    pub unreachable: Counter,
    /// Connections that ended as they should.
    pub closed: Counter,
    /// Connections that were reset, by either side.
    pub resets: Counter,
    /// Connections of applications that are alive: a gauge.
    pub open: Counter,
    /// Octets put into receive rings and registered memory.
    pub received_octets: Counter,
    /// Octets of send rings and jobs that TCP has taken over.
    pub sent_octets: Counter,
    /// Slots that applications told of.
    pub attended: Counter,
    /// Slots of which applications were told.
    pub told: Counter,
    /// Doorbells of queues that were rung.
    pub rung: Counter,
    /// Connections that were reset because of what an application wrote.
    pub forged: Counter,
    /// Connections that had to wait until their application accepts others.
    pub awaited_credit: Counter,
    /// Connections that were reset because too many waited already.
    pub overflowed: Counter,
    /// Times the engine went to sleep.
    pub sleeps: Counter,
    /// Times it looked again instead.
    pub polls: Counter,
    /// Nanoseconds in which it had something to do.
    pub busy: Counter,
    /// Whether it sleeps: a gauge.
    pub sleeping: Counter,
}

/// A number with its name and what it says.
pub type Figure = (&'static str, &'static str, u64);

impl ProviderStats {
    /// Everything that only grows, for whoever exposes it.
    pub fn counters(&self) -> [Figure; 16] {
        [
            ("accepted", "Connections accepted for applications", self.accepted.get()),
            ("connected", "Connections that applications opened", self.connected.get()),
            ("unreachable", "Connections that could not be opened", self.unreachable.get()),
            ("closed", "Connections that ended as they should", self.closed.get()),
            ("resets", "Connections reset by either side", self.resets.get()),
            ("received_octets", "Octets received for applications", self.received_octets.get()),
            ("sent_octets", "Octets of applications taken over by TCP", self.sent_octets.get()),
            ("attended", "Slots that applications told of", self.attended.get()),
            ("told", "Slots of which applications were told", self.told.get()),
            ("rung", "Doorbells of applications that were rung", self.rung.get()),
            ("forged", "Connections reset because of what an application wrote", self.forged.get()),
            ("awaited_credit", "Connections that waited until others were accepted", self.awaited_credit.get()),
            ("overflowed", "Connections reset because too many waited already", self.overflowed.get()),
            ("sleeps", "Times the engine went to sleep", self.sleeps.get()),
            ("polls", "Times the engine looked again instead of sleeping", self.polls.get()),
            ("busy_nanoseconds", "Nanoseconds in which the engine had something to do", self.busy.get()),
        ]
    }

    /// What holds at the moment.
    pub fn gauges(&self) -> [Figure; 2] {
        [
            ("open", "Connections of applications", self.open.get()),
            ("sleeping", "Whether the engine sleeps", self.sleeping.get()),
        ]
    }
}
