//! Request methods (RFC 9110 §9).

/// A method that the server knows. Methods are case-sensitive: `get` is not one of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Method {
    /// Transfer the resource's representation.
    #[default]
    Get,
    /// The same without the content.
    Head,
    /// Describe how to communicate with the resource.
    Options,
    /// Process the content.
    Post,
    /// Replace the resource.
    Put,
    /// Remove the resource.
    Delete,
    /// Change the resource (RFC 5789).
    Patch,
    /// Loop the request back.
    Trace,
    /// Make a tunnel.
    Connect,
}

impl Method {
    /// Every method, in the order of the declaration.
    pub const ALL: [Method; 9] = [
        Method::Get,
        Method::Head,
        Method::Options,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Patch,
        Method::Trace,
        Method::Connect,
    ];

    /// The method that `token` names; `None` if the server does not know it.
    pub fn from_token(token: &[u8]) -> Option<Method> {
        if token == b"GET" {
            return Some(Method::Get);
        }
        Self::ALL.into_iter().find(|method| method.token().as_bytes() == token)
    }

    /// How a request line writes it.
    pub const fn token(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn every_token_names_its_method() {
        for method in Method::ALL {
            assert_eq!(Method::from_token(method.token().as_bytes()), Some(method));
            assert_eq!(Method::from_token(method.token().to_lowercase().as_bytes()), None, "RFC 9110 §9.1");
        }
        assert_eq!(Method::from_token(b"BREW"), None);
        assert_eq!(Method::from_token(b""), None);
    }
}
