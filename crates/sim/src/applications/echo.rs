//! An application that sends back what it gets.

use afpa_tcp::{Ending, Time};

use crate::application::{Application, Calls, SharedTally};

/// Echoes, and closes when the peer has finished. It does not read while it has no room to send.
pub struct Echo {
    tally: SharedTally,
    wake: Option<Time>,
}

impl Echo {
    /// An echo that counts in this tally.
    pub fn new(tally: SharedTally) -> Echo {
        Echo { tally, wake: None }
    }
}

impl Application for Echo {
    fn opened(&mut self, _: &mut Calls<'_>) {
        self.tally.borrow_mut().opened = true;
    }

    fn input(&mut self, octets: &[u8], calls: &mut Calls<'_>) -> usize {
        self.wake = None;
        let count = if calls.space() > 0 { octets.len() } else { 0 };
        calls.copy(&octets[..count]);
        self.tally.borrow_mut().received += count as u64;
        count
    }

    fn acknowledged(&mut self, calls: &mut Calls<'_>) {
        self.wake = Some(calls.now());
    }

    fn finished(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().finished = true;
        calls.close();
    }

    fn ended(&mut self, ending: Ending) {
        let mut tally = self.tally.borrow_mut();
        tally.ending = Some(ending);
        tally.complete = tally.finished && ending == Ending::Closed;
    }

    fn wake(&self) -> Option<Time> {
        self.wake
    }
}
