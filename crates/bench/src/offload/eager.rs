//! How much a TCP server does ahead of its application: the paper's eager accept and eager receive (TCP Servers §4.2), and a
//! sweep over both.

use super::configuration::{Configuration, Dedicated};
use crate::units;
use std::fmt;

/// What is swept over when nothing is said of it.
const ACCEPTS: [u32; 4] = [1, 2, 8, 64];
/// The first is less than a request.
const RECEIVES: [u64; 4] = [64, 4 << 10, 16 << 10, 64 << 10];

/// How much is done ahead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Eager {
    /// Connections of a listener.
    pub(super) accept: u32,
    /// Octets of a connection.
    pub(super) receive: u64,
}

/// `base` once for each of these; the smallest first, with which the others are compared.
pub(super) fn sweep(base: Dedicated, accepts: &[u32], receives: &[u64]) -> Vec<Configuration> {
    let accepts = if accepts.is_empty() { &ACCEPTS[..] } else { accepts };
    let receives = if receives.is_empty() { &RECEIVES[..] } else { receives };
    let all = accepts.iter().flat_map(|accept| receives.iter().map(|receive| (*accept, *receive)));
    let mut all: Vec<_> = all.map(|(accept, receive)| Eager { accept, receive }).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(|eager| Configuration::Dedicated(Dedicated { eager: Some(eager), ..base })).collect()
}

/// As it is shown in figures.
impl fmt::Display for Eager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Eager { accept, receive } = self;
        write!(f, "accept {accept}, receive {}", units::show_size(*receive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_swept_over_once_and_the_smallest_comes_first() {
        let base = Dedicated { cores: 1, offload: "send+receive", notify: "adaptive", provider: "kernel", eager: None };
        let shown = |accepts: &[u32], receives: &[u64]| {
            let all = sweep(base, accepts, receives).into_iter();
            all.map(|one| one.label()).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&[8, 1], &[4096, 1, 4096]),
            ["accept 1, receive 1", "accept 1, receive 4KiB", "accept 8, receive 1", "accept 8, receive 4KiB"]
        );
        assert_eq!((shown(&[], &[]).len(), shown(&[3], &[]).len()), (16, 4));
        let names: Vec<_> = sweep(base, &[3], &[9]).iter().map(|one| one.name()).collect();
        assert_eq!(names, ["dedicated-1:send+receive:adaptive:kernel:accept-3:receive-9"]);
    }
}
