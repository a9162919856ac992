//! The sender's parts: what is queued, what is in flight, and how much may be. Each is a pure function of
//! its arguments and knows nothing of the others' owner, the connection.

pub(crate) mod congestion;
pub(crate) mod duplicates;
pub(crate) mod flight;
pub(crate) mod piece;
pub(crate) mod queue;
mod rack;
pub(crate) mod rtt;
pub(crate) mod tail_loss;
