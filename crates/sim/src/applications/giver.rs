//! An application for peers that lie: it takes whatever comes.

use std::rc::Rc;

use afpa_tcp::Ending;

use crate::application::{Application, Calls, SharedTally};

/// Sends so many pinned octets, drops what it gets, and closes when the peer does.
pub struct Giver {
    left: usize,
    tally: SharedTally,
}

impl Giver {
    /// A giver of `amount` octets that counts in this tally.
    pub fn new(amount: usize, tally: SharedTally) -> Giver {
        Giver { left: amount, tally }
    }

    fn fill(&mut self, calls: &mut Calls<'_>) {
        while self.left > 0 && calls.space() > 0 {
            let count = self.left.min(5_000);
            calls.pin(Rc::from(vec![0x55; count]));
            self.left -= count;
        }
    }
}

impl Application for Giver {
    fn opened(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().opened = true;
        self.fill(calls);
    }

    fn input(&mut self, octets: &[u8], _: &mut Calls<'_>) -> usize {
        self.tally.borrow_mut().received += octets.len() as u64;
        octets.len()
    }

    fn acknowledged(&mut self, calls: &mut Calls<'_>) {
        self.fill(calls);
    }

    fn finished(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().finished = true;
        calls.close();
    }

    fn ended(&mut self, ending: Ending) {
        self.tally.borrow_mut().ending = Some(ending);
    }
}
