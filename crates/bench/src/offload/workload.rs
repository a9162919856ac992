//! What is asked for, and how: the traces and the protocols of the paper's evaluation.

use clap::ValueEnum;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub(super) enum Trace {
    /// 128 files of 16 KiB in turn, which are unlikely to be in the second-level cache
    Synthetic,
    /// The SPECweb96 file set in its proportions
    #[value(name = "specweb96")]
    SpecWeb96,
}

/// How it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub(super) enum Protocol {
    /// HTTP/1.0, a connection for each request
    #[value(name = "http-1.0")]
    Http10,
    /// HTTP/1.1, six requests on each connection in two bursts of three
    #[value(name = "http-1.1")]
    Http11,
}

/// A trace over a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Workload {
    pub(super) trace: Trace,
    pub(super) protocol: Protocol,
}

impl Workload {
    /// Its name in figures.
    pub(super) fn name(self) -> String {
        format!("{}, {}", name_of(self.trace), name_of(self.protocol))
    }

    /// What it does, in a line.
    pub(super) fn title(self) -> String {
        format!("{}; {}", title_of(self.trace), title_of(self.protocol))
    }

    /// The arguments of `load` for it.
    pub(super) fn arguments(self, directories: u32) -> Vec<String> {
        let trace = match self.trace {
            Trace::Synthetic => "--synthetic".to_owned(),
            Trace::SpecWeb96 => format!("--specweb96 --directories {directories}"),
        };
        let protocol = match self.protocol {
            Protocol::Http10 => "--per-request --http10",
            Protocol::Http11 => "--per-connection 6 --burst 3",
        };
        format!("{trace} {protocol}").split(' ').map(str::to_owned).collect()
    }
}

/// The value's name on the command line, in figures and in JSON.
pub(super) fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn title_of(value: impl ValueEnum) -> String {
    value.to_possible_value().and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadArgs;
    use clap::{Args, Command, FromArgMatches};

    #[test]
    fn load_understands_what_every_workload_asks() {
        for trace in [Trace::Synthetic, Trace::SpecWeb96] {
            for protocol in [Protocol::Http10, Protocol::Http11] {
                let workload = Workload { trace, protocol };
                let arguments = ["load".to_owned(), "http://h".to_owned()].into_iter().chain(workload.arguments(20));
                let matches = LoadArgs::augment_args(Command::new("load")).try_get_matches_from(arguments).unwrap();
                let load = LoadArgs::from_arg_matches(&matches).unwrap();
                assert_eq!((load.synthetic, load.http10), (trace == Trace::Synthetic, protocol == Protocol::Http10));
                assert!(!workload.title().is_empty());
            }
        }
    }
}
