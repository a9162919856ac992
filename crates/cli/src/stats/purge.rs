//! What an operator takes out of the cache.

use std::fmt;

use afpa_dns::message::NameBuf;

/// What is to be taken out, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// What it is about.
    pub what: Subject,
    /// What came from backends is kept, and validated before it is used again. Everything else goes.
    pub is_soft: bool,
}

/// What a purge is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// What a URL names, in every representation.
    Url {
        /// In lower case, without a port; `None`: any. All hosts have the same files.
        host: Option<Vec<u8>>,
        /// Decoded octets, as the cache's keys are.
        path: Vec<u8>,
        /// As it is sent. Files have none.
        query: Option<Vec<u8>>,
    },
    /// Everything whose path starts so.
    Prefix {
        /// As of a URL.
        host: Option<Vec<u8>>,
        /// As of a URL.
        path: Vec<u8>,
    },
    /// What a backend gave this surrogate key.
    Surrogate(Vec<u8>),
    /// What a backend sent with this header field.
    Field {
        /// Its name.
        name: Vec<u8>,
        /// Its whole value.
        value: Vec<u8>,
    },
    /// Answers about this name, of every type.
    Name(NameBuf),
    /// Answers about this name and all below it.
    Subtree(NameBuf),
    /// Everything.
    All,
}

impl fmt::Display for Subject {
    /// As a log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<Vec<u8>>| match host {
            Some(host) => host.escape_ascii().to_string(),
            None => "any host".to_owned(),
        };
        match self {
            Subject::Url { host: of, path, query } => {
                write!(f, "{} of {}", path.escape_ascii(), host(of))?;
                query.iter().try_for_each(|query| write!(f, ", query {}", query.escape_ascii()))
            }
            Subject::Prefix { host: of, path } => write!(f, "{} and below of {}", path.escape_ascii(), host(of)),
            Subject::Surrogate(key) => write!(f, "surrogate key {}", key.escape_ascii()),
            Subject::Field { name, value } => write!(f, "{}: {}", name.escape_ascii(), value.escape_ascii()),
            Subject::Name(name) => write!(f, "name {name}"),
            Subject::Subtree(name) => write!(f, "name {name} and below"),
            Subject::All => f.write_str("everything"),
        }
    }
}

/// What a purge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Files and DNS answers that were taken out.
    pub objects: usize,
    /// From the next request on it holds for what came from backends, however much that is.
    pub is_entered: bool,
}
