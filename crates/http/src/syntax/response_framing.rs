//! How a response's body is delimited (RFC 9112 §6.3).

use super::framing::Body;

/// A response's body as its head and its request announce it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ResponseBody {
    /// There is none, whatever the fields say.
    #[default]
    None,
    /// This many octets follow the head.
    Length(u64),
    /// Chunks follow the head.
    Chunked,
    /// All that comes before the backend closes. Nobody can tell a whole one from one that was cut off.
    UntilClose,
}

/// A request's body is delimited in three of these ways.
impl From<Body> for ResponseBody {
    fn from(body: Body) -> ResponseBody {
        match body {
            Body::None => ResponseBody::None,
            Body::Length(length) => ResponseBody::Length(length),
            Body::Chunked => ResponseBody::Chunked,
        }
    }
}
