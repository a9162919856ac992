//! Cookies towards a backend (RFC 7873).

use crate::protect::CLIENT_COOKIE_LEN;

/// The most octets of both cookies together.
const MAX_COOKIES: usize = 40;

/// What we and one backend show each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    /// Ours, then the server's.
    octets: [u8; MAX_COOKIES],
    len: usize,
}

impl Cookies {
    /// A client cookie for one backend. A number drawn for it says as little about other backends as a hash of a
    /// secret and its address does (RFC 9018 §3), and ends with the process.
    pub(crate) fn new(random: u64) -> Cookies {
        let mut octets = [0; MAX_COOKIES];
        octets[..CLIENT_COOKIE_LEN].copy_from_slice(&random.to_be_bytes());
        Cookies { octets, len: CLIENT_COOKIE_LEN }
    }

    /// The data of the option: our cookie, and the server's if it gave one.
    pub(crate) fn as_octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// Our half.
    pub(crate) fn client(&self) -> [u8; CLIENT_COOKIE_LEN] {
        let mut client = [0; CLIENT_COOKIE_LEN];
        client.copy_from_slice(&self.octets[..CLIENT_COOKIE_LEN]);
        client
    }

    /// Whether the backend has shown that it knows cookies.
    pub(crate) fn has_server(&self) -> bool {
        self.len > CLIENT_COOKIE_LEN
    }

    /// Remembers the server's cookie (8 to 32 octets; another length is ignored), or forgets it.
    pub(crate) fn set_server(&mut self, server: Option<&[u8]>) {
        let server = server.unwrap_or_default();
        if let Some(room) = self.octets[CLIENT_COOKIE_LEN..].get_mut(..server.len()) {
            room.copy_from_slice(server);
            self.len = CLIENT_COOKIE_LEN + server.len();
        }
    }
}
