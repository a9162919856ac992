//! Answers as they are kept and served, seen by those who ask and by another library.

mod keeping;
mod making;
mod messages;
mod properties;
mod serving;
mod truncating;
