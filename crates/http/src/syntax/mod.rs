//! The pure part of HTTP/1.0 and HTTP/1.1: octets in, values out (RFC 9110, RFC 9112).
//!
//! Nothing here does I/O, reads a clock, or knows an engine. A request head is parsed where it lies:
//! [`RequestParser`] remembers offsets, and whoever has the octets asks [`RequestHead`] for what they
//! mean. Input that breaks a rule is a [`RequestError`], which names the client's fault.

pub mod chunked;
pub mod conditional;
pub mod content_type;
pub mod date;
mod encoding;
pub mod error;
mod field;
mod framing;
pub mod fuzz;
mod head;
pub mod host;
mod method;
mod octet;
pub mod range;
mod request;
pub mod response;
mod span;
pub mod status;
pub mod target;

pub use chunked::ChunkedDecoder;
pub use error::RequestError;
pub use framing::Body;
pub use head::{FieldValues, RequestHead};
pub use method::Method;
pub use request::{Limits, Progress, RequestParser};
pub use target::TargetForm;
