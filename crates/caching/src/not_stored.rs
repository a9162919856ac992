//! Why a response is not stored.

/// The first reason that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The method's responses are not stored.
    Method,
    /// The status is an interim one, none at all, or one that must not be stored.
    Status,
    /// 304: it belongs to a response that is stored.
    NotModified,
    /// `must-understand`, and the status is not understood.
    NotUnderstood,
    /// 206, and it does not say which part of how much it is, or says what cannot be.
    Partial,
    /// The request has `no-store`.
    RequestNoStore,
    /// The response has `no-store`.
    NoStore,
    /// The response has `private`.
    Private,
    /// The request has Authorization, and the response does not allow to store it.
    Authorization,
    /// The response sets a cookie, and the operator does not allow to store it.
    SetCookie,
    /// `Vary: *`.
    VaryAny,
    /// Vary names no fields, or too many.
    Vary,
    /// Nothing says for how long it would be fresh, and it cannot be guessed.
    NoLifetime,
    /// It is never fresh, and it cannot be validated.
    NotReusable,
    /// Too many fields are named as not to be stored.
    FieldNames,
    /// It has more surrogate keys, or longer ones, than are kept: a purge would miss it.
    SurrogateKeys,
}

impl NotStored {
    /// A word for it, for Cache-Status and logs: a token.
    pub fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NotModified => "not-modified",
            Self::NotUnderstood => "not-understood",
            Self::Partial => "partial",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::Vary => "vary",
            Self::NoLifetime => "no-lifetime",
            Self::NotReusable => "not-reusable",
            Self::FieldNames => "field-names",
            Self::SurrogateKeys => "surrogate-keys",
        }
    }
}
