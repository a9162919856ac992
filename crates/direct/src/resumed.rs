//! Connections whose unread input is to be shown again.

use std::collections::VecDeque;

use afpa_engine::seam::ConnectionId;

/// In the order in which they asked, each once.
#[derive(Default)]
pub(crate) struct Resumed {
    queue: VecDeque<ConnectionId>,
    /// By the connection's place: the generation that is in the queue.
    waiting: Vec<Option<u32>>,
}

impl Resumed {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a connection, unless it waits already.
    pub(crate) fn add(&mut self, connection: ConnectionId) {
        let place = connection.index() as usize;
        if place >= self.waiting.len() {
            self.waiting.resize(place + 1, None);
        }
        let generation = Some(connection.generation());
        if std::mem::replace(&mut self.waiting[place], generation) != generation {
            self.queue.push_back(connection);
        }
    }

    /// Takes the one that has waited longest.
    pub(crate) fn take(&mut self) -> Option<ConnectionId> {
        let connection = self.queue.pop_front()?;
        // A later connection may wait for the same place.
        self.waiting[connection.index() as usize].take_if(|waiting| *waiting == connection.generation());
        Some(connection)
    }
}

#[cfg(test)]
mod tests {
    use afpa_engine::TransportId;

    use super::*;

    #[test]
    fn each_comes_once_and_in_order_and_a_place_may_be_used_again_meanwhile() {
        // A connection's place and generation to be added, or one to be taken.
        enum Step {
            Add(u32, u32),
            Take(Option<(u32, u32)>),
        }
        use Step::{Add, Take};
        let script = [
            Take(None),
            Add(3, 1),
            Add(0, 1),
            Add(3, 1),
            Take(Some((3, 1))),
            // It asks again while it is shown.
            Add(3, 1),
            Take(Some((0, 1))),
            Take(Some((3, 1))),
            Take(None),
            // It ends before its turn, and another takes its place.
            Add(3, 1),
            Add(3, 2),
            Add(3, 2),
            Take(Some((3, 1))),
            Add(3, 2),
            Take(Some((3, 2))),
            Take(None),
            Add(3, 2),
            Take(Some((3, 2))),
        ];
        let mut resumed = Resumed::default();
        for (number, step) in script.into_iter().enumerate() {
            match step {
                Add(index, generation) => resumed.add(ConnectionId::new(TransportId(0), index, generation)),
                Take(expected) => {
                    let taken = resumed.take().map(|connection| (connection.index(), connection.generation()));
                    assert_eq!(taken, expected, "step {number}");
                }
            }
        }
        assert!(resumed.is_empty());
    }
}
