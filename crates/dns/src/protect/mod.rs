//! Who may ask, how much one client may cost, and what keeps the server from being used against others.
//!
//! Nothing here does input or output: time, addresses and secrets are arguments. Each engine has tables of its own,
//! so there are no locks; [`CookieSecrets`] are the same on all engines.

mod access;
mod accounts;
mod client_rate;
mod cookie;
mod reply_options;
mod response_rate;

pub use access::AccessList;
pub use afpa_wire::network::{Network, NetworkError, NetworkSet};
pub use client_rate::{ClientRate, ClientRateConfig};
pub use cookie::{CLIENT_COOKIE_LEN, COOKIE_LEN, CookieSecrets, CookieStatus, InvalidCookie, Secret, SecretParseError};
pub use reply_options::{MAX_EXTRA_TEXT, MAX_NSID, ReplyOptions};
pub use response_rate::{Response, ResponseRate, ResponseRateConfig, Verdict};
