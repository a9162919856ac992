//! HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112): octets in, values out. Nothing here does I/O or
//! knows the engine.

mod accept_encoding;
pub mod conditional;
pub mod date;
pub mod entity_tag;
mod error;
mod field;
mod framing;
pub mod host;
mod limits;
mod method;
mod octets;
mod parser;
pub mod range;
mod request;
pub mod target;

pub use error::RequestError;
pub use limits::Limits;
pub use method::Method;
pub use parser::{Progress, RequestParser};
pub use request::{Body, RequestHead};
pub use target::TargetForm;
