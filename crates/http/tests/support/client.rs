//! A client's end of a connection.

use afpa_engine::memory::{Ending, Peer};

use super::response::{Response, parse};

pub struct Client {
    peer: Peer,
}

/// What came of what a client sent.
#[derive(Debug)]
pub struct Exchange {
    pub responses: Vec<Response>,
    /// How the connection ended, if it did.
    pub ending: Option<Ending>,
}

impl Client {
    pub fn new(peer: Peer) -> Client {
        Client { peer }
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.peer.send(octets.as_ref());
    }

    pub fn finish(&self) {
        self.peer.finish();
    }

    pub fn reset(&self) {
        self.peer.reset();
    }

    /// Reads at most `limit` octets, unparsed.
    pub fn read(&self, limit: usize) -> Vec<u8> {
        self.peer.read(limit)
    }

    pub fn ending(&self) -> Option<Ending> {
        self.peer.ending()
    }

    /// Everything that has come since the last call, which must be whole responses.
    pub fn take(&mut self) -> Exchange {
        self.responses(false)
    }

    /// As [`Client::take`], where the responses answer HEAD.
    pub fn take_heads(&mut self) -> Exchange {
        self.responses(true)
    }

    fn responses(&mut self, to_head: bool) -> Exchange {
        let octets = self.peer.read(usize::MAX);
        let mut rest = &octets[..];
        let mut responses = Vec::new();
        while !rest.is_empty() {
            let (response, length) = parse(rest, to_head);
            rest = &rest[length..];
            responses.push(response);
        }
        Exchange { responses, ending: self.ending() }
    }
}

impl Exchange {
    pub fn statuses(&self) -> Vec<u16> {
        self.responses.iter().map(|response| response.status).collect()
    }

    /// The only response.
    pub fn one(mut self) -> Response {
        assert_eq!(self.responses.len(), 1, "{self:?}");
        self.responses.remove(0)
    }

    /// Whether the connection came to its end in good order.
    pub fn is_finished(&self) -> bool {
        self.ending == Some(Ending::Finished)
    }
}
