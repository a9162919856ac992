//! Entry points for fuzzing: any octets in, a panic only if a promise is broken.

mod caller;
mod life;
mod peer;
mod program;
mod run;
mod sink;

pub use run::tcp;
