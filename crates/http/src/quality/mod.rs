//! Quality of service (AFPA §3.1): which class a request is of, whether it is admitted, and when it is its turn.
//!
//! - [`Rule`], [`class_of`]: which class. [`QualityPlan`]: what an operator says about classes. [`ClassStats`]: what
//!   becomes of each.
//! - [`Quality`]: what one engine knows. [`Admission`]: what a request has of it, and gives back.

mod admission;
mod engine;
mod plan;
mod rule;
mod stats;

pub(crate) use admission::Admission;
use admission::{Seat, Turn};
use engine::EngineClass;
pub(crate) use engine::{Arrival, Called, Quality, Room};
pub use plan::{ClassPlan, QualityPlan};
pub use rule::{Rule, class_of};
pub use stats::{ClassStats, ClassTotals};
