//! What the process may use of the machine.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::Cores;

/// Raises the limit on open descriptors to the most that is allowed. Returns it.
///
/// # Errors
/// The system refuses.
pub fn raise_descriptors() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The runtime of a server's main thread, with as many descriptors as the process may have; that these could not be had
/// is only logged.
///
/// # Errors
/// It cannot be set up: a sentence.
pub(crate) fn main_runtime() -> Result<tokio::runtime::Runtime, String> {
    if let Err(error) = raise_descriptors() {
        tracing::warn!("the limit on open descriptors stays as it is: {error}");
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the main thread cannot be set up: {error}"))
}

/// The CPUs for the engines, ascending.
///
/// # Errors
/// A CPU on the list is not one that the process may use; the sentence names both.
pub fn engine_cpus(cores: &Cores) -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect();
    match cores {
        Cores::Allowed => Ok(allowed),
        Cores::List(list) => match list.iter().find(|cpu| !allowed.contains(cpu)) {
            None => Ok(list.clone()),
            Some(cpu) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("CPU {cpu} cannot be used: this process may use {}", show_cpus(&allowed)),
            )),
        },
    }
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// The process may not use that CPU.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// CPU numbers as taskset writes them: `0,2-3`. `cpus` must ascend.
pub fn show_cpus(cpus: &[usize]) -> String {
    let ranges = cpus.chunk_by(|a, b| a + 1 == *b).map(|range| match range {
        [first, .., last] => format!("{first}-{last}"),
        one => one.iter().map(usize::to_string).collect(),
    });
    ranges.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_shown_as_they_are_read() {
        for text in ["0", "0-1", "0,2-3", "1-3,5,7-8"] {
            let Ok(Cores::List(cpus)) = text.parse() else { panic!("{text}") };
            assert_eq!(show_cpus(&cpus), text);
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let error = engine_cpus(&Cores::List(vec![1023])).unwrap_err().to_string();
        assert!(error.starts_with("CPU 1023 cannot be used: this process may use "), "{error}");
    }

    #[test]
    fn a_pinned_thread_may_use_its_cpu_only() {
        let allowed = engine_cpus(&Cores::Allowed).unwrap();
        let last = *allowed.last().unwrap();
        std::thread::spawn(move || {
            pin_thread(last).unwrap();
            assert_eq!(engine_cpus(&Cores::Allowed).unwrap(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn descriptors_are_raised_to_what_is_allowed() {
        let most = raise_descriptors().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), most);
    }
}
