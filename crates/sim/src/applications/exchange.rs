//! Requests and responses, as HTTP has them.

use afpa_tcp::{Ending, Time};
use fastrand::Rng;

use crate::application::{Application, Calls, SharedTally};
use crate::octets::Octets;

/// What a [`Client`] asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    /// The stream of the first response; the next ones follow.
    pub seed: u64,
    /// How many requests there are on a connection.
    pub requests: u32,
    /// The largest response, in octets.
    pub largest: u32,
    /// Whether all requests are sent at once.
    pub pipelined: bool,
}

/// A request: which octets, how many, and whether it is the last one.
const REQUEST: usize = 13;

impl Asking {
    fn octets(&self, number: u32) -> Octets {
        Octets(self.seed.wrapping_add(u64::from(number)))
    }

    fn length(&self, number: u32) -> u32 {
        Rng::with_seed(self.seed ^ u64::from(number)).u32(0..=self.largest)
    }

    fn request(&self, number: u32) -> [u8; REQUEST] {
        let mut request = [0; REQUEST];
        request[..8].copy_from_slice(&self.octets(number).0.to_be_bytes());
        request[8..12].copy_from_slice(&self.length(number).to_be_bytes());
        request[12] = u8::from(number + 1 == self.requests);
        request
    }
}

/// Sends requests, and checks the responses.
pub struct Client {
    asking: Asking,
    tally: SharedTally,
    /// The response that is expected, and how much of it is there.
    number: u32,
    place: u64,
}

impl Client {
    /// A client that counts in this tally.
    pub fn new(asking: Asking, tally: SharedTally) -> Client {
        assert!(asking.requests > 0, "a client has something to ask");
        Client { asking, tally, number: 0, place: 0 }
    }

    fn is_answered(&self) -> bool {
        self.number == self.asking.requests
    }

    /// Goes on to the next response that is not empty.
    fn next(&mut self, calls: &mut Calls<'_>) {
        while !self.is_answered() && self.place == u64::from(self.asking.length(self.number)) {
            self.number += 1;
            self.place = 0;
            if !self.asking.pipelined && !self.is_answered() {
                calls.copy(&self.asking.request(self.number));
            }
        }
    }
}

impl Application for Client {
    fn opened(&mut self, calls: &mut Calls<'_>) {
        self.tally.borrow_mut().opened = true;
        calls.copy(&self.asking.request(0));
        if self.asking.pipelined {
            for number in 1..self.asking.requests {
                calls.copy(&self.asking.request(number));
            }
        }
        self.next(calls);
    }

    fn input(&mut self, octets: &[u8], calls: &mut Calls<'_>) -> usize {
        let mut rest = octets;
        while !rest.is_empty() {
            assert!(!self.is_answered(), "octets after the last response");
            let left = u64::from(self.asking.length(self.number)) - self.place;
            let (part, others) = rest.split_at(rest.len().min(left as usize));
            self.asking.octets(self.number).check(self.place, part);
            self.place += part.len() as u64;
            rest = others;
            self.next(calls);
        }
        self.tally.borrow_mut().received += octets.len() as u64;
        octets.len()
    }

    fn finished(&mut self, calls: &mut Calls<'_>) {
        assert!(self.is_answered(), "the server closed after {} of {} responses", self.number, self.asking.requests);
        self.tally.borrow_mut().finished = true;
        calls.close();
    }

    fn ended(&mut self, ending: Ending) {
        let mut tally = self.tally.borrow_mut();
        tally.ending = Some(ending);
        tally.complete = ending == Ending::Closed && tally.finished;
    }
}

/// Answers requests in the context in which they arrive, and closes after the last one.
pub struct Server {
    tally: SharedTally,
    random: Rng,
    wake: Option<Time>,
    closed: bool,
}

impl Server {
    /// A server that counts in this tally.
    pub fn new(seed: u64, tally: SharedTally) -> Server {
        Server { tally, random: Rng::with_seed(seed), wake: None, closed: false }
    }

    fn answer(&mut self, request: &[u8], calls: &mut Calls<'_>) {
        let seed = request[..8].iter().fold(0, |seed, octet| seed << 8 | u64::from(*octet));
        let length = request[8..12].iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        let octets = Octets(seed);
        let head = self.random.usize(0..=300).min(length);
        calls.copy(&octets.range(0, head));
        let mut place = head;
        while place < length {
            let count = self.random.usize(1..=65_536).min(length - place);
            calls.pin(octets.pinned(place as u64, count));
            place += count;
        }
        if request[12] == 1 {
            self.closed = true;
            calls.close();
        }
    }
}

impl Application for Server {
    fn opened(&mut self, _: &mut Calls<'_>) {
        self.tally.borrow_mut().opened = true;
    }

    fn input(&mut self, octets: &[u8], calls: &mut Calls<'_>) -> usize {
        self.wake = None;
        let mut consumed = 0;
        while let Some(request) = octets.get(consumed..consumed + REQUEST).filter(|_| calls.space() > 0 && !self.closed)
        {
            self.answer(request, calls);
            consumed += REQUEST;
        }
        self.tally.borrow_mut().received += consumed as u64;
        consumed
    }

    fn acknowledged(&mut self, calls: &mut Calls<'_>) {
        // After `close` nothing is shown any more.
        self.wake = (!self.closed).then(|| calls.now());
    }

    fn finished(&mut self, calls: &mut Calls<'_>) {
        calls.close();
        self.closed = true;
    }

    fn ended(&mut self, ending: Ending) {
        let mut tally = self.tally.borrow_mut();
        tally.ending = Some(ending);
        tally.complete = ending == Ending::Closed && self.closed;
    }

    fn wake(&self) -> Option<Time> {
        self.wake
    }
}
