//! From an HTTP request to the route that it takes.
//!
//! - [`Router`]: sites and their routes, ready to be asked. Immutable once built.
//! - [`Site`], [`Route`]: what it is built from. [`Mistake`]: what cannot work of that.
//! - [`RequestView`]: what is asked about; [`Matched`], [`Captures`]: what comes out of it.
//! - [`Rewrite`], [`Template`], [`FieldChange`], [`KeyParts`]: what a route does with a request.
//!
//! Nothing here does input or output, or reads a clock.

#![forbid(unsafe_code)]

mod conditions;
mod explanation;
mod field_change;
mod host;
mod key;
mod mistake;
mod parameters;
mod path;
mod pattern;
mod percent;
mod request;
mod rewrite;
mod route;
mod router;
mod site;
mod template;

pub use conditions::{Condition, Conditions, Subject, Test};
pub use explanation::Step;
pub use field_change::{FieldChange, FieldChangeError};
pub use host::{HostError, HostPattern};
pub use key::{KeyParts, QueryKey};
pub use mistake::Mistake;
pub use path::PathCondition;
pub use pattern::{Captures, Pattern, PatternError};
pub use request::{Fields, RequestView};
pub use rewrite::{Refused, Rewrite};
pub use route::{Limits, Route, Target};
pub use router::{Matched, Router};
pub use site::Site;
pub use template::{Template, TemplateError};
