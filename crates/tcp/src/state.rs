//! RFC 9293 Figure 5, as data.

/// A connection's state (RFC 9293 §3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a peer.
    Listen,
    /// Our SYN is sent.
    SynSent,
    /// Both SYNs are known, ours is not acknowledged.
    SynReceived,
    /// Open.
    Established,
    /// Our FIN is sent.
    FinWait1,
    /// Our FIN is acknowledged.
    FinWait2,
    /// The peer's FIN was received.
    CloseWait,
    /// Both FINs crossed; ours is not acknowledged.
    Closing,
    /// Our FIN followed the peer's.
    LastAck,
    /// Both FINs are acknowledged; old segments may still arrive.
    TimeWait,
}

/// What makes a connection change its state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Event {
    PassiveOpen,
    ActiveOpen,
    /// Our FIN is queued behind all data.
    Close,
    /// A SYN without an acceptable acknowledgment of ours.
    Syn,
    /// A SYN that acknowledges ours.
    SynAcknowledgment,
    /// Our SYN is acknowledged.
    SynAcknowledged,
    Fin,
    /// Our FIN is acknowledged.
    FinAcknowledged,
    Reset,
    /// The caller's abort, or a peer that does not answer.
    GiveUp,
    /// Two maximum segment lifetimes are over.
    Expire,
}

use Event::*;
use State::*;

/// Every arrow of RFC 9293 Figure 5, and those that its text adds (RST, abort).
pub(crate) const TRANSITIONS: &[(State, Event, State)] = &[
    (Closed, PassiveOpen, Listen),
    (Closed, ActiveOpen, SynSent),
    (Listen, Syn, SynReceived),
    (Listen, ActiveOpen, SynSent),
    (Listen, Event::Close, Closed),
    (SynSent, Event::Close, Closed),
    (SynSent, Syn, SynReceived), // simultaneous open
    (SynSent, SynAcknowledgment, Established),
    (SynReceived, SynAcknowledged, Established),
    (SynReceived, Event::Close, FinWait1),
    (SynReceived, Fin, CloseWait),
    (Established, Event::Close, FinWait1),
    (Established, Fin, CloseWait),
    (FinWait1, FinAcknowledged, FinWait2),
    (FinWait1, Fin, Closing), // simultaneous close
    (FinWait2, Fin, TimeWait),
    (CloseWait, Event::Close, LastAck),
    (Closing, FinAcknowledged, TimeWait),
    (LastAck, FinAcknowledged, Closed),
    (TimeWait, Syn, SynReceived), // RFC 9293 §3.6.1, RFC 6191
    (TimeWait, Expire, Closed),
    // RFC 9293 §3.10.7.2 to §3.10.7.4: a reset that passed RFC 5961's checks.
    (SynSent, Reset, Closed),
    (SynReceived, Reset, Closed),
    (Established, Reset, Closed),
    (FinWait1, Reset, Closed),
    (FinWait2, Reset, Closed),
    (CloseWait, Reset, Closed),
    (Closing, Reset, Closed),
    (LastAck, Reset, Closed),
    // RFC 9293 §3.10.5 and §3.8.3.
    (Listen, GiveUp, Closed),
    (SynSent, GiveUp, Closed),
    (SynReceived, GiveUp, Closed),
    (Established, GiveUp, Closed),
    (FinWait1, GiveUp, Closed),
    (FinWait2, GiveUp, Closed),
    (CloseWait, GiveUp, Closed),
    (Closing, GiveUp, Closed),
    (LastAck, GiveUp, Closed),
];

const STATES: usize = TimeWait as usize + 1;
const EVENTS: usize = Expire as usize + 1;

/// [`TRANSITIONS`] by state and event. The build fails if two rows contradict each other.
const NEXT: [[Option<State>; EVENTS]; STATES] = {
    let mut table = [[None; EVENTS]; STATES];
    let mut row = 0;
    while row < TRANSITIONS.len() {
        let (from, event, to) = TRANSITIONS[row];
        assert!(table[from as usize][event as usize].is_none(), "two rows for one state and event");
        table[from as usize][event as usize] = Some(to);
        row += 1;
    }
    table
};

impl State {
    /// The state after `event`; the same one where the event changes nothing.
    pub(crate) const fn after(self, event: Event) -> State {
        match NEXT[self as usize][event as usize] {
            Some(next) => next,
            None => self,
        }
    }

    /// Whether the peer may still send octets that belong to the stream (RFC 9293 §3.10.7.4, seventh check).
    pub(crate) const fn may_receive(self) -> bool {
        matches!(self, SynReceived | Established | FinWait1 | FinWait2)
    }

    /// Whether the caller may still queue octets.
    pub(crate) const fn may_send(self) -> bool {
        matches!(self, SynSent | SynReceived | Established | CloseWait)
    }

    /// Whether both SYNs are acknowledged.
    pub(crate) const fn is_synchronized(self) -> bool {
        !matches!(self, State::Closed | Listen | SynSent | SynReceived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const ALL_STATES: [State; STATES] =
        [Closed, Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait];
    const ALL_EVENTS: [Event; EVENTS] = [
        PassiveOpen,
        ActiveOpen,
        Event::Close,
        Syn,
        SynAcknowledgment,
        SynAcknowledged,
        Fin,
        FinAcknowledged,
        Reset,
        GiveUp,
        Expire,
    ];

    #[test]
    fn the_table_is_figure_5() {
        let mut drawn = String::new();
        for state in ALL_STATES {
            write!(drawn, "{state:?}:").unwrap();
            for event in ALL_EVENTS {
                if let Some(next) = NEXT[state as usize][event as usize] {
                    write!(drawn, " {event:?}>{next:?}").unwrap();
                }
            }
            drawn.push('\n');
        }
        let expected = "\
Closed: PassiveOpen>Listen ActiveOpen>SynSent
Listen: ActiveOpen>SynSent Close>Closed Syn>SynReceived GiveUp>Closed
SynSent: Close>Closed Syn>SynReceived SynAcknowledgment>Established Reset>Closed GiveUp>Closed
SynReceived: Close>FinWait1 SynAcknowledged>Established Fin>CloseWait Reset>Closed GiveUp>Closed
Established: Close>FinWait1 Fin>CloseWait Reset>Closed GiveUp>Closed
FinWait1: Fin>Closing FinAcknowledged>FinWait2 Reset>Closed GiveUp>Closed
FinWait2: Fin>TimeWait Reset>Closed GiveUp>Closed
CloseWait: Close>LastAck Reset>Closed GiveUp>Closed
Closing: FinAcknowledged>TimeWait Reset>Closed GiveUp>Closed
LastAck: FinAcknowledged>Closed Reset>Closed GiveUp>Closed
TimeWait: Syn>SynReceived Expire>Closed
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn every_state_can_be_left_and_all_but_closed_end_there() {
        for state in ALL_STATES {
            let ends = [Event::GiveUp, Event::Expire].iter().any(|event| state.after(*event) == Closed);
            assert!(ends, "{state:?}");
        }
    }
}
