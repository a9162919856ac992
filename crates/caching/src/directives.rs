//! Cache directives, as requests and responses have them.

mod dictionary;
mod directive;
mod request;
mod response;

pub use request::RequestDirectives;
pub use response::ResponseDirectives;
