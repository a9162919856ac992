//! The pure part of HTTP/1.0 and HTTP/1.1: octets in, values out (RFC 9110, RFC 9112).
//!
//! Nothing here does I/O, reads a clock, or knows an engine. A request head is parsed where it lies:
//! [`RequestParser`] remembers offsets, and whoever has the octets asks [`RequestHead`] for what they
//! mean. Input that breaks a rule is a [`RequestError`], which names the client's fault.

pub mod chunk;
pub mod chunked;
pub mod client_address;
pub mod conditional;
pub mod content_type;
pub mod date;
mod encoding;
pub mod error;
mod field;
pub mod field_section;
pub mod forward;
mod framing;
pub mod fuzz;
mod head;
pub mod host;
pub mod message_body;
mod method;
mod octet;
pub mod range;
mod request;
pub mod response;
mod response_error;
mod response_framing;
mod response_head;
mod span;
pub mod status;
pub mod target;
pub mod trailer;

pub use chunked::ChunkedDecoder;
pub use error::RequestError;
pub(crate) use field_section::FieldLines;
pub use field_section::{FieldSection, fields};
pub use framing::Body;
pub use head::{FieldValues, RequestHead};
pub use message_body::BodyReader;
pub use method::Method;
pub use request::{Limits, Progress, RequestParser};
pub use response_error::ResponseError;
pub use response_framing::ResponseBody;
pub use response_head::{ResponseHead, ResponseLimits, ResponseParser};
pub use target::{Scheme, TargetForm};
