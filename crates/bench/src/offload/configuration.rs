//! What is compared: kernel sockets, and TCP servers that differ in the paper's three dimensions (TCP Servers §5.1) and
//! in whose TCP they run.

use super::eager::Eager;
use std::ops::Range;

/// How connections are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Configuration {
    /// By the kernel, beside the application, on so many cores: the paper's *Uniproc* and, with all cores, *Quad*.
    Kernel { cores: usize },
    /// By a TCP server.
    Dedicated(Dedicated),
}

/// A TCP server on cores of its own; on none, it shares the application's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dedicated {
    pub(super) cores: usize,
    pub(super) offload: &'static str,
    pub(super) notify: &'static str,
    pub(super) provider: &'static str,
    /// How much it does ahead, if that is not its own choice.
    pub(super) eager: Option<Eager>,
}

/// The names are those of the options of `afpa tcp-server`.
const OFFLOADS: [&str; 2] = ["receive", "send+receive"];
const NOTIFICATIONS: [&str; 3] = ["interrupt", "poll", "adaptive"];
const PROVIDERS: [&str; 2] = ["kernel", "direct"];

/// With what others are compared.
pub(super) const BASELINE: Configuration = Configuration::Kernel { cores: 1 };

impl Configuration {
    /// All, in the order of figures.
    pub(super) fn all() -> Vec<Configuration> {
        let mut all: Vec<_> = [1, 2].map(|cores| Configuration::Kernel { cores }).into();
        for provider in PROVIDERS {
            for cores in [1, 2, 0] {
                // One that polls leaves an application nothing of a core that it shares.
                for notify in NOTIFICATIONS.into_iter().filter(|notify| cores > 0 || *notify != "poll") {
                    let one =
                        |offload| Configuration::Dedicated(Dedicated { cores, offload, notify, provider, eager: None });
                    all.extend(OFFLOADS.map(one));
                }
            }
        }
        all
    }

    /// Its name in options and in JSON: `kernel-1`, `dedicated-1:send+receive:poll:direct`, `shared:…`.
    pub(super) fn name(self) -> String {
        let Dedicated { cores, offload, notify, provider, eager } = match self {
            Configuration::Kernel { cores } => return format!("kernel-{cores}"),
            Configuration::Dedicated(dedicated) => dedicated,
        };
        let place = if cores == 0 { "shared".to_owned() } else { format!("dedicated-{cores}") };
        let eager =
            eager.map_or(String::new(), |Eager { accept, receive }| format!(":accept-{accept}:receive-{receive}"));
        format!("{place}:{offload}:{notify}:{provider}{eager}")
    }

    /// Its name in figures: of a sweep, what differs.
    pub(super) fn label(self) -> String {
        match self {
            Configuration::Dedicated(Dedicated { eager: Some(eager), .. }) => eager.to_string(),
            _ => self.name(),
        }
    }

    /// What is swept over, if it is one of a sweep.
    pub(super) fn swept(self) -> Option<String> {
        match self {
            Configuration::Dedicated(dedicated @ Dedicated { eager: Some(_), .. }) => {
                Some(Configuration::Dedicated(Dedicated { eager: None, ..dedicated }).name())
            }
            _ => None,
        }
    }

    /// Whether a TCP server is part of it.
    pub(super) fn has_tcp_server(self) -> bool {
        matches!(self, Configuration::Dedicated(_))
    }

    /// Whether applications send by themselves.
    pub(super) fn only_receives(self) -> bool {
        matches!(self, Configuration::Dedicated(Dedicated { offload: "receive", .. }))
    }

    /// Whether `wish`, a name or parts of one, means it: `dedicated-1:poll` has two parts.
    pub(super) fn is_meant_by(self, wish: &str) -> bool {
        let name = self.name();
        wish.split(':').all(|part| name.split(':').any(|own| own == part))
    }

    /// Where its roles run on a machine of so many cores.
    ///
    /// # Errors
    /// The machine has too few, or it is not offered; the reason in words.
    pub(super) fn place(self, cores: usize) -> Result<Placement, String> {
        if matches!(self, Configuration::Dedicated(Dedicated { offload: "receive", provider: "direct", .. })) {
            return Err("an application can only send on connections of the kernel".into());
        }
        let last = cores.saturating_sub(1);
        let (application, tcp_server, needed) = match self {
            Configuration::Kernel { cores } => (0..cores, 0..0, 2),
            Configuration::Dedicated(Dedicated { cores: 0, .. }) => (0..1, 0..1, 2),
            Configuration::Dedicated(Dedicated { cores: 1, .. }) => (0..1, 1..2, 2),
            Configuration::Dedicated(Dedicated { cores, .. }) => (0..1, 1..1 + cores, cores + 2),
        };
        if cores < needed {
            return Err(format!("it needs {needed} CPUs, and there are {cores}"));
        }
        Ok(Placement { application: list(application), tcp_server: list(tcp_server), client: last })
    }
}

fn list(cores: Range<usize>) -> Vec<usize> {
    cores.collect()
}

/// Which cores each role runs on. With two cores in all, the client shares the one of the TCP server, and one of an
/// application that has two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Placement {
    pub(super) application: Vec<usize>,
    /// None with kernel sockets.
    pub(super) tcp_server: Vec<usize>,
    pub(super) client: usize,
}

impl Placement {
    /// Where packets for the server's end are received: by whoever does TCP's work.
    pub(super) fn receiving(&self) -> &[usize] {
        if self.tcp_server.is_empty() { &self.application } else { &self.tcp_server }
    }

    /// Every core that has a role, once.
    pub(super) fn cores(&self) -> Vec<usize> {
        let mut cores: Vec<_> = self.application.iter().chain(&self.tcp_server).copied().chain([self.client]).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_mean_what_they_name() {
        let all = Configuration::all();
        assert_eq!(all.len(), 34);
        for one in &all {
            let meant: Vec<_> = all.iter().filter(|other| other.is_meant_by(&one.name())).collect();
            assert_eq!(meant, [one], "{}", one.name());
        }
    }

    #[test]
    fn parts_of_a_name_mean_all_that_have_them() {
        let count = |wish| Configuration::all().into_iter().filter(|one| one.is_meant_by(wish)).count();
        assert_eq!((count("kernel-1"), count("kernel"), count("dedicated-1:poll")), (1, 16, 4));
        assert_eq!((count("dedicated-1:receive:poll:direct"), count("poll:receive"), count("shared")), (1, 4, 8));
    }

    #[test]
    fn three_roles_share_two_cores_and_have_their_own_where_there_are_four() {
        let dedicated = |cores| {
            Configuration::Dedicated(Dedicated {
                cores,
                offload: "send+receive",
                notify: "poll",
                provider: "kernel",
                eager: None,
            })
        };
        let place = |one: Configuration, cores| {
            let Placement { application, tcp_server, client } = one.place(cores).unwrap();
            (application, tcp_server, client)
        };
        assert_eq!(place(BASELINE, 2), (vec![0], vec![], 1));
        assert_eq!(place(Configuration::Kernel { cores: 2 }, 2), (vec![0, 1], vec![], 1));
        assert_eq!(place(dedicated(0), 2), (vec![0], vec![0], 1));
        assert_eq!(place(dedicated(1), 2), (vec![0], vec![1], 1));
        assert_eq!(place(dedicated(1), 4), (vec![0], vec![1], 3));
        assert_eq!(place(dedicated(2), 4), (vec![0], vec![1, 2], 3));
        assert_eq!(dedicated(2).place(3), Err("it needs 4 CPUs, and there are 3".into()));
        assert_eq!(dedicated(1).place(2).unwrap().receiving(), [1]);
        assert_eq!(BASELINE.place(2).unwrap().receiving(), [0]);
        assert_eq!(dedicated(1).place(2).unwrap().cores(), [0, 1]);
    }
}
