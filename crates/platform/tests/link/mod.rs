//! Two network namespaces joined by a veth pair.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod frames;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Two namespaces, `near` and `far`, with an interface of that name in each: 10.77.0.1 and fd77::1 with
/// 02:00:00:00:00:01, and 10.77.0.2, fd77::2, 02:00:00:00:00:02. Gone when dropped.
pub(crate) struct Pair {
    name: String,
    is_ours: bool,
}

impl Pair {
    pub(crate) fn new(name: &str) -> Pair {
        let pair = Pair { name: format!("afpa-link-{name}-{}", std::process::id()), is_ours: true };
        let (near, far) = (pair.namespace("near"), pair.namespace("far"));
        for namespace in [&near, &far] {
            shell(&format!("ip netns add {namespace}"));
            shell(&format!("ip -n {namespace} link set lo up"));
        }
        shell(&format!("ip -n {near} link add near type veth peer name far netns {far}"));
        for (namespace, end, number) in [(&near, "near", 1), (&far, "far", 2)] {
            shell(&format!("ip -n {namespace} link set {end} address 02:00:00:00:00:0{number}"));
            shell(&format!("ip -n {namespace} addr add 10.77.0.{number}/24 dev {end}"));
            shell(&format!("ip -n {namespace} addr add fd77::{number}/64 dev {end} nodad"));
        }
        shell(&format!("ip -n {near} link set near up && ip -n {far} link set far up"));
        pair
    }

    /// Of another process.
    pub(crate) fn of_another(name: &str) -> Pair {
        Pair { name: name.to_owned(), is_ours: false }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command in the namespace of this end.
    pub(crate) fn run(&self, end: &str, command: &str) {
        shell(&format!("ip netns exec {} {command}", self.namespace(end)));
    }

    pub(crate) fn near(&self, command: &str) {
        self.run("near", command);
    }

    /// Runs a command with this input.
    pub(crate) fn feed_near(&self, command: &str, input: &str) {
        let command = format!("ip netns exec {} {command}", self.namespace("near"));
        let mut child = Command::new("sh").args(["-c", &command]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{command}");
    }

    pub(crate) fn inside_near<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        self.inside("near", run)
    }

    /// Runs in a namespace, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, end: &str, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| self.enter(end).then(run).expect("in the namespace")).join().expect("no panic")
        })
    }

    /// Moves this thread into a namespace.
    pub(crate) fn enter(&self, end: &str) -> bool {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace(end))).unwrap();
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network)).is_ok()
    }

    fn namespace(&self, end: &str) -> String {
        format!("{}-{end}", self.name)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for end in ["near", "far"].into_iter().filter(|_| self.is_ours) {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(end)]).status();
        }
    }
}

/// What `make` makes, if this process may make namespaces. If not, says so: a failure where CI runs as root.
pub(crate) fn privileged<T>(make: impl FnOnce() -> T) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return None;
    }
    let works = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
    if !works {
        assert!(std::env::var("CI").is_err(), "network namespaces do not work here");
        println!("skipped: network namespaces do not work here");
        return None;
    }
    Some(make())
}

/// Whether there is such a program. If not, says so: a failure in CI.
pub(crate) fn is_there(program: &str) -> bool {
    let is_there =
        Command::new("sh").args(["-c", &format!("command -v {program} >/dev/null")]).status().unwrap().success();
    assert!(is_there || std::env::var("CI").is_err(), "there is no {program}");
    if !is_there {
        println!("partly skipped: there is no {program}");
    }
    is_there
}

/// Waits until there is something to read.
pub(crate) fn readable(descriptor: BorrowedFd<'_>) {
    any_readable(&[descriptor]);
}

/// Waits until one of them has something to read.
pub(crate) fn any_readable(descriptors: &[BorrowedFd<'_>]) {
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    let polled = descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN));
    let count = poll(&mut polled.collect::<Vec<_>>(), Some(&patience)).unwrap();
    assert!(count > 0, "nothing came");
}

/// A socket whose connection is on its way.
pub(crate) fn begin_to_connect(remote: SocketAddr) -> OwnedFd {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    assert_eq!(connect(&socket, &remote), Err(Errno::INPROGRESS));
    socket
}

pub(crate) fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}
