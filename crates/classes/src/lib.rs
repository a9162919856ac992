//! Quality of service for requests: what a class and a client may take, who waits for whom, and who is refused when
//! there is too much (AFPA §3.1; Voigt et al., *Kernel mechanisms for service differentiation in overloaded web servers*,
//! 2001).
//!
//! Everything here decides and nothing does: no I/O, no clock; times are nanoseconds of a clock that does not go back.
//! Each engine has its own, with limits that were [divided](Limit::divided) among engines. In the life of a request:
//!
//! ```
//! use afpa_classes::*;
//!
//! let classes = Classes::new(vec![
//!     ClassConfig { name: "gold".into(), priority: 0, weight: 8, sheddable: false, ..ClassConfig::default() },
//!     ClassConfig { rate: Limit::per_second(500, 50), concurrency: Some(64), ..ClassConfig::default() },
//! ])
//! .unwrap();
//! let limits = ClientLimits { rate: Limit::per_second(20, 40), ..ClientLimits::default() };
//! let mut clients = Clients::new(limits, [7; 16]);
//! let mut overload = Overload::new(&classes, Some(OverloadConfig::default()));
//! let mut rates = Rates::new(&classes);
//! let mut gate = Gate::new(&classes, 100);
//! let mut bandwidth = Bandwidth::new(&classes);
//!
//! // The head of request 1 has been read; it had waited for 40 µs in the receive buffer.
//! let (now, waited, random, id) = (1_000_000, 40_000, 0x9e37_79b9, 1);
//! let client = "192.0.2.1".parse().unwrap();
//! overload.observe(waited, now);
//! let class = classes.find("gold").unwrap();
//! let admitted = if overload.admits(class, random) { Ok(()) } else { Err(overload.refusal(class, random)) };
//! // Otherwise the answer is `refusal.status()`, with `Retry-After: {refusal.retry_after}`.
//! let slot = admitted.and_then(|()| clients.arrive(client, now)).unwrap();
//! rates.arrive(class, now).unwrap();
//!
//! // It is not in the cache: it has to go to a backend.
//! let priority = Priority::parse([b"u=1".as_slice()]);
//! let permit = match gate.arrive(class, now, id, priority) {
//!     Decision::Go { permit, .. } => permit,
//!     Decision::Wait(_ticket) => unreachable!("kept with the request, for `gate.leave` if the client goes away"),
//!     Decision::Refuse { refusal, .. } => unreachable!("answered with {}", refusal.status()),
//! };
//!
//! // Pieces of the response; where there is too little, a timer is set.
//! if bandwidth.is_limited(class) && bandwidth.send(class, now, 16_384).is_err() {}
//!
//! // It has ended, and somebody else may go. The timer for the gate is `gate.deadline()`.
//! gate.ended(permit);
//! clients.ended(slot);
//! while let Some(turn) = gate.next(now) {
//!     match turn {
//!         Turn::Go { item: _, permit: _ } => {}
//!         Turn::Refuse { item: _, refusal: _ } => {}
//!     }
//! }
//! assert_eq!(gate.deadline(), None);
//! ```
#![forbid(unsafe_code)]

mod bandwidth;
mod class;
mod clients;
pub mod fuzz;
mod gate;
mod limit;
mod overload;
mod priority;
mod rates;
mod refusal;
mod structured_field;
mod token_bucket;
mod waiting;

pub use bandwidth::Bandwidth;
pub use class::{ClassConfig, ClassError, ClassIndex, Classes, MAX_CLASSES, MAX_QUEUE, MAX_WEIGHT};
pub use clients::{ClientLimits, Clients, Slot};
pub use gate::{Decision, Gate, Permit, Turn};
pub use limit::Limit;
pub use overload::{Overload, OverloadConfig};
pub use priority::Priority;
pub use rates::Rates;
pub use refusal::{Reason, Refusal};
pub use token_bucket::TokenBucket;
pub use waiting::Ticket;
