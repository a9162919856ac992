//! Applications: what two ends of a connection may do to each other.

mod echo;
mod exchange;
mod giver;
mod talk;

pub use echo::Echo;
pub use exchange::{Asking, Client, Server};
pub use giver::Giver;
pub use talk::{Closing, Reading, Talk, Talker};
