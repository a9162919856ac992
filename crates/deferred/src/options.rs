//! How a listener listens.

use std::time::Duration;

/// How a listener listens. The default is right for a server that runs as the same user as afpa.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) patience: Duration,
    pub(crate) max_read_ahead: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { mode: 0o600, uid: None, patience: Duration::from_secs(1), max_read_ahead: 1 << 20 }
    }
}

impl Options {
    /// The permissions of the socket's file; by default `0o600`. Who may write to it may hand connections over.
    pub fn mode(mut self, mode: u32) -> Options {
        self.mode = mode & 0o777;
        self
    }

    /// Takes connections only from processes of this user. By default the file's permissions decide alone.
    pub fn only_from(mut self, uid: u32) -> Options {
        self.uid = Some(uid);
        self
    }

    /// How long a sender may take for a frame; by default a second.
    pub fn patience(mut self, patience: Duration) -> Options {
        self.patience = patience;
        self
    }

    /// The most octets that may come with a connection; by default, and at most, 1 MiB.
    pub fn max_read_ahead(mut self, octets: usize) -> Options {
        self.max_read_ahead = octets.min(1 << 20);
        self
    }
}
