//! Answers that are left to the program in the driver: which, and that it says what an engine would say.

mod audience;
mod messages;
mod program;
mod publishing;
