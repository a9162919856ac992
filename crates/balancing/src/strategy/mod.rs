//! How one of some candidates is chosen. Each function has a list that is not empty, unless it says otherwise.

mod fewest;
mod locality;
mod lot;
mod maglev;
mod round_robin;

pub(crate) use fewest::{fewest_requests, two_choices};
pub(crate) use locality::Assignments;
pub(crate) use lot::by_lot;
pub(crate) use maglev::{Bound, Maglev};
pub(crate) use round_robin::next_in_round;
