//! The backends among which a request's is chosen.

/// A backend that may be chosen, as it is at the moment of the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Its slot in the balancer.
    pub(crate) slot: u32,
    /// Its weight, scaled, and less in a slow start; not zero.
    pub(crate) weight: u64,
    /// Requests in flight from this engine.
    pub(crate) in_flight: u64,
    /// Requests in flight from all engines.
    pub(crate) active: u64,
    /// Its mean latency in nanoseconds.
    pub(crate) latency: u64,
    /// A hash of its name.
    pub(crate) key: u64,
}

/// Candidates, and which slot's candidate is where. Reused from choice to choice.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    list: Vec<Candidate>,
    /// By slot, one more than the place in the list; zero: it is none.
    places: Vec<u32>,
}

impl Candidates {
    /// Empties the list, for a balancer of so many slots.
    pub(crate) fn clear(&mut self, slots: usize) {
        for candidate in self.list.drain(..) {
            if let Some(place) = self.places.get_mut(candidate.slot as usize) {
                *place = 0;
            }
        }
        self.places.resize(slots, 0);
    }

    pub(crate) fn push(&mut self, candidate: Candidate) {
        self.list.push(candidate);
        self.places[candidate.slot as usize] = self.list.len() as u32;
    }

    pub(crate) fn as_slice(&self) -> &[Candidate] {
        &self.list
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The candidate in a slot.
    pub(crate) fn of_slot(&self, slot: u32) -> Option<&Candidate> {
        let place = self.places.get(slot as usize)?.checked_sub(1)?;
        self.list.get(place as usize)
    }
}
