//! An interface whose packets the kernel receives on the engines' cores: by threads (threaded NAPI), which are pinned there,
//! in place of interrupts on whichever core they strike (TCP Servers §3: interrupts and what follows them run on the
//! dedicated processors). The interface is put back into the state that it was in when the server ends.
//!
//! Nobody does that for a server that is killed. So what there was is written down before it is changed, and whoever
//! starts next on the same interface takes that for what there was.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use afpa_platform::interface::Interface;
use afpa_platform::netlink::napi;
use afpa_tcp_server::status::{Receiving, ReceivingThread};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::Cores;
use crate::process::show_cpus;

/// Where it is written what there was.
const RECORDS: &str = "/run/afpa";
/// Octets of a thread's name that older kernels keep.
const NAME: usize = 15;
/// Threads that are named in one line.
const NAMED: usize = 8;

/// The threads that receive for an interface, pinned to the engines' cores for as long as this exists.
pub(super) struct Threads {
    interface: Interface,
    cores: Vec<usize>,
    record: Record,
    receiving: Receiving,
    /// What could not be done at the last look, and was said.
    trouble: Option<String>,
}

impl Threads {
    /// Has the interface received by threads, and these run on `cores`.
    ///
    /// # Errors
    /// What is missing, in a sentence with the remedy. The interface is as it was.
    pub(super) fn start(name: &str, cores: &[usize]) -> Result<Threads, String> {
        let failed = |reason: String| {
            format!("packets of {name} cannot be received on the engines' cores: {reason}, or leave --interface out")
        };
        let interface = Interface::by_name(name)
            .map_err(|error| failed(format!("{error}; ip link shows which interfaces there are")))?;
        let record = Record::open(&interface).map_err(failed)?;
        let receiving = Receiving::default();
        let mut threads = Threads { interface, cores: cores.to_vec(), record, receiving, trouble: None };
        threads.set_threaded().and_then(|()| threads.pin()).map_err(failed)?;
        Ok(threads)
    }

    /// The threads, for the status; it is kept up to date.
    pub(super) fn receiving(&self) -> Receiving {
        self.receiving.clone()
    }

    /// What receives where, for the line that the server starts with.
    pub(super) fn line(&self) -> String {
        let threads = self.receiving.get();
        let named: Vec<_> =
            threads.iter().take(NAMED).map(|thread| format!("{} on core {}", thread.name, thread.core)).collect();
        let more = threads.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("packets of {} are received by {}{more}", self.interface.name, named.join(", "))
    }

    /// Looks for threads that have come since: an interface that was down, or has more queues now, has others.
    pub(super) fn look(&mut self) {
        let trouble = self.pin().err();
        if trouble.is_some() {
            self.receiving.set(Vec::new());
        }
        if let Some(reason) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            tracing::warn!("packets of {} are not received on the engines' cores: {reason}", self.interface.name);
        }
        self.trouble = trouble;
    }

    fn set_threaded(&mut self) -> Result<(), String> {
        let path = threaded(&self.interface);
        let now = fs::read_to_string(&path).map_err(|error| {
            if path.parent().is_some_and(Path::exists) {
                format!("this kernel has no threads for that ({error}); Linux 5.12 and later have")
            } else {
                format!("{}: {error}; have /sys show this network namespace, as ip netns exec does", path.display())
            }
        })?;
        self.record.note(|before| {
            before.threaded.get_or_insert_with(|| now.trim().to_owned());
        })?;
        if now.trim() == "1" {
            return Ok(());
        }
        fs::write(&path, "1").map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => {
                "that needs root (CAP_NET_ADMIN and CAP_SYS_NICE); run it as root".into()
            }
            Some(Errno::ROFS) => {
                format!("{} cannot be written here; allow it (ProtectKernelTunables=no)", path.display())
            }
            Some(Errno::OPNOTSUPP) => self.without_contexts(),
            _ => format!("{}: {error}; look at what the driver says (dmesg)", path.display()),
        })
    }

    /// Pins what is not pinned yet, one after the other over the cores.
    fn pin(&mut self) -> Result<(), String> {
        let found = self.found()?;
        let threads = found.into_iter().zip(self.cores.iter().cycle());
        let threads: Vec<_> =
            threads.map(|((thread, name), core)| ReceivingThread { name, thread, core: *core }).collect();
        let before = self.receiving.get();
        if threads == before {
            return Ok(());
        }
        for ReceivingThread { thread, core, name } in threads.iter().filter(|thread| !before.contains(thread)) {
            let (Some(id), mut set) = (Pid::from_raw(*thread), CpuSet::new()) else { continue };
            let was = sched_getaffinity(Some(id))
                .map_err(|error| format!("{name} cannot be looked at ({error}); try again"))?;
            self.record.note(|before| {
                before.affinities.entry(*thread).or_insert_with(|| cpus(&was));
            })?;
            set.set(*core);
            sched_setaffinity(Some(id), &set)
                .map_err(|error| format!("{name} cannot be moved to core {core} ({error}); run it as root"))?;
        }
        self.receiving.set(threads);
        Ok(())
    }

    /// The threads of the interface by their ids, in the order of the queues, with their names.
    fn found(&self) -> Result<Vec<(i32, String)>, String> {
        let contexts = match napi::contexts(self.interface.index) {
            Ok(contexts) => contexts,
            // Interfaces of other network namespaces may have the same name: nothing tells their threads apart.
            Err(error) if error.kind() == ErrorKind::Unsupported => return self.found_by_name(),
            Err(error) => return Err(format!("the kernel does not tell its threads ({error}); try again")),
        };
        if contexts.is_empty() {
            return Err(self.without_contexts());
        }
        let threads = contexts.iter().filter_map(|context| context.thread);
        let threads: Vec<_> = threads.map(|thread| (thread, name_of(thread))).collect();
        // An id of another PID namespace is somebody else's here.
        if threads.iter().any(|(_, name)| !name.starts_with("napi/")) {
            return Err("the kernel's threads are not in this PID namespace; start it outside of the container".into());
        }
        if threads.is_empty() { Err(self.without_threads()) } else { Ok(threads) }
    }

    fn found_by_name(&self) -> Result<Vec<(i32, String)>, String> {
        let name = format!("napi/{}-", self.interface.name);
        let name = &name[..name.len().min(NAME)];
        let processes = fs::read_dir("/proc").map_err(|error| format!("/proc: {error}; mount it"))?;
        let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut threads: Vec<(i32, String)> =
            ids.map(|id| (id, name_of(id))).filter(|(_, comm)| comm.starts_with(name)).collect();
        threads.sort_unstable();
        if threads.is_empty() { Err(self.without_threads()) } else { Ok(threads) }
    }

    fn without_contexts(&self) -> String {
        let name = &self.interface.name;
        match Interface::by_name(name) {
            Ok(interface) if !interface.is_up => format!("it is down; set it up: ip link set {name} up"),
            Ok(interface) if interface.driver == "veth" => {
                format!("a veth polls nothing while it does not gather packets; let it: ethtool -K {name} gro on")
            }
            _ => "its driver does not poll it (NAPI), so there is nothing to move; name another interface".into(),
        }
    }

    fn without_threads(&self) -> String {
        "the kernel has made no thread for it; name another interface".into()
    }

    /// Puts back what there was.
    fn restore(&mut self) {
        let before = std::mem::take(&mut self.record.before);
        // Threads that are about to end, on most kernels; on others they sleep, and are used again.
        for (thread, _) in self.found().unwrap_or_default() {
            if let (Some(cpus), Some(id)) = (before.affinities.get(&thread), Pid::from_raw(thread)) {
                let mut set = CpuSet::new();
                cpus.iter().for_each(|cpu| set.set(*cpu));
                if let Err(error) = sched_setaffinity(Some(id), &set) {
                    tracing::warn!("{} stays where it is: {error}", name_of(thread));
                }
            }
        }
        let path = threaded(&self.interface);
        // An interface that is gone has nothing to be put back.
        let is_other = |threaded: &String| fs::read_to_string(&path).is_ok_and(|now| now.trim() != threaded);
        if let Some(threaded) = before.threaded.filter(is_other)
            && let Err(error) = fs::write(&path, &threaded)
        {
            tracing::warn!("{} stays as it is: {error}", path.display());
        }
        self.record.remove();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.restore();
    }
}

/// What there was before the server changed it, in a file that one server at a time has.
struct Record {
    path: PathBuf,
    file: File,
    before: Before,
}

/// What there was.
#[derive(Default, Debug, PartialEq, Eq)]
struct Before {
    /// Whose: numbers of namespaces and interfaces are used again.
    interface: String,
    /// What sysfs says.
    threaded: Option<String>,
    /// The processors of each thread.
    affinities: BTreeMap<i32, Vec<usize>>,
}

impl Record {
    /// What a server that was killed has left of the interface, or nothing.
    fn open(interface: &Interface) -> Result<Record, String> {
        // An index is of one network namespace, and the directory of them all.
        let namespace =
            fs::metadata("/proc/thread-self/ns/net").map_err(|error| format!("/proc: {error}; mount it"))?;
        let path = Path::new(RECORDS).join(format!("napi-{}-{}", namespace.ino(), interface.index));
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::PermissionDenied => {
                "that needs root (CAP_NET_ADMIN and CAP_SYS_NICE); run it as root".to_owned()
            }
            _ => format!("{} cannot be written: {error}; make the directory", path.display()),
        };
        fs::create_dir_all(RECORDS).map_err(failed)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err("another TCP server does that already; stop it, or name another interface".into());
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let inode = |metadata: std::io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
        if inode(file.metadata()) != inode(fs::metadata(&path)) {
            return Err("another TCP server has just ended there; start again".into());
        }
        let identity = identity(interface);
        let mut before = Before::read(&fs::read_to_string(&path).map_err(failed)?);
        if before.interface != identity {
            before = Before { interface: identity, ..Before::default() };
        } else if before.threaded.is_some() {
            tracing::info!("a server that was killed has left {} changed; it will be put back", interface.name);
        }
        Ok(Record { path, file, before })
    }

    /// Writes down what is about to be changed.
    fn note(&mut self, change: impl FnOnce(&mut Before)) -> Result<(), String> {
        change(&mut self.before);
        let text = self.before.write();
        let written = self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes()));
        let written = written.and_then(|()| self.file.set_len(text.len() as u64));
        written.map_err(|error| format!("{}: {error}; make room there", self.path.display()))
    }

    /// While it is still locked: the next one makes a file of its own.
    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Before {
    /// A line for each thing; what is none is left out.
    fn read(text: &str) -> Before {
        let mut before = Before::default();
        for (what, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match (what.parse(), value.parse()) {
                (Ok(thread), Ok(Cores::List(cpus))) => drop(before.affinities.insert(thread, cpus)),
                _ if what == "interface" => before.interface = value.to_owned(),
                _ if what == "threaded" => before.threaded = Some(value.to_owned()),
                _ => {}
            }
        }
        before
    }

    fn write(&self) -> String {
        let threaded = self.threaded.iter().map(|threaded| format!("threaded {threaded}\n"));
        let affinities = self.affinities.iter().map(|(thread, cpus)| format!("{thread} {}\n", show_cpus(cpus)));
        let interface = std::iter::once(format!("interface {}\n", self.interface));
        interface.chain(threaded).chain(affinities).collect()
    }
}

fn threaded(interface: &Interface) -> PathBuf {
    Path::new("/sys/class/net").join(&interface.name).join("threaded")
}

/// Tells an interface from others that have its number later.
fn identity(interface: &Interface) -> String {
    let mac = interface.mac.unwrap_or_default().map(|octet| format!("{octet:02x}")).join(":");
    format!("{} {mac}", interface.name)
}

fn name_of(thread: i32) -> String {
    fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default().trim_end().to_owned()
}

fn cpus(set: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_was_is_read_as_it_was_written() {
        let affinities = BTreeMap::from([(41, vec![0, 1, 2, 5]), (42, vec![3])]);
        let before = Before { interface: "eth0 02:00:00:00:00:01".into(), threaded: Some("0".into()), affinities };
        assert_eq!(before.write(), "interface eth0 02:00:00:00:00:01\nthreaded 0\n41 0-2,5\n42 3\n");
        assert_eq!(Before::read(&before.write()), before);
        assert_eq!(Before::read(""), Before::default());
        assert_eq!(Before::read("threaded\n41\nx y\n42 all\n43 9999999999\n"), Before::default());
    }
}
