//! Why frames cannot be steered, and what helps.

use std::fmt;
use std::io;

use super::{AttachMode, Unsuitable};

/// Why frames cannot be steered.
#[derive(Debug)]
pub enum SteeringError {
    /// The process may not load programs into the kernel.
    NoPrivilege,
    /// The kernel has no BPF, or this container hides it.
    NoBpf,
    /// The kernel has no table of AF_XDP sockets.
    NoXdpSockets,
    /// The kernel's verifier refused the program.
    Refused {
        /// What it said last.
        reason: String,
    },
    /// There is no interface of that index.
    NoInterface,
    /// Another XDP program is attached to the interface.
    Occupied,
    /// The driver cannot run XDP programs itself, or not at these settings.
    NoNativeMode,
    /// The driver cannot run XDP programs at the interface's, or its peer's, MTU.
    MtuTooLarge,
    /// The driver needs as many queues for receiving as its peer has for sending, or more queues of its own.
    TooFewQueues,
    /// The other end of a veth pair is gone, or the interface cannot take a program in this state.
    NotReady,
    /// A table is full.
    TableFull {
        /// Its entries.
        entries: u32,
    },
    /// A range of ports without a port.
    EmptyRange,
    /// The socket is of another interface or queue: its frames would be lost.
    WrongSocket,
    /// The queue has no place in the table of sockets.
    NoSuchQueue {
        /// The queue.
        queue: u32,
    },
    /// The program was attached without room for answers.
    NoAnswers,
    /// An answer is not one that the program can give.
    Unsuitable(Unsuitable),
    /// Something else that the system refused.
    System {
        /// What was asked of it.
        step: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

impl SteeringError {
    /// The error of making a table or loading the program.
    pub(super) fn of_loading(step: &'static str, error: io::Error) -> SteeringError {
        match error.raw_os_error() {
            Some(libc::EPERM) => SteeringError::NoPrivilege,
            Some(libc::ENOSYS) => SteeringError::NoBpf,
            _ => SteeringError::System { step, error },
        }
    }

    /// The error of attaching the program.
    pub(super) fn of_attaching(error: io::Error, mode: AttachMode) -> SteeringError {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => SteeringError::NoPrivilege,
            Some(libc::ENODEV) => SteeringError::NoInterface,
            Some(libc::EBUSY | libc::EEXIST) => SteeringError::Occupied,
            Some(libc::ERANGE) => SteeringError::MtuTooLarge,
            Some(libc::ENOSPC) => SteeringError::TooFewQueues,
            Some(libc::ENOTCONN) => SteeringError::NotReady,
            Some(libc::EOPNOTSUPP | libc::EINVAL) if mode != AttachMode::Generic => SteeringError::NoNativeMode,
            _ => SteeringError::System { step: "attaching the XDP program", error },
        }
    }

    /// Whether the kernel's generic mode, which asks nothing of the driver, may help.
    pub(super) fn is_of_driver(&self) -> bool {
        matches!(self, SteeringError::NoNativeMode | SteeringError::MtuTooLarge | SteeringError::TooFewQueues)
    }
}

impl fmt::Display for SteeringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SteeringError::NoPrivilege => f.write_str(
                "this process may not load BPF programs: run it as root, or grant it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
            ),
            SteeringError::NoBpf => f.write_str(
                "the kernel has no bpf(2), or a seccomp filter hides it: use a kernel with CONFIG_BPF_SYSCALL, \
                 or allow the call",
            ),
            SteeringError::NoXdpSockets => f.write_str(
                "the kernel was built without AF_XDP: use one with CONFIG_XDP_SOCKETS, or frames of another kind",
            ),
            SteeringError::Refused { reason } => {
                write!(f, "the kernel refused the XDP program ({reason}): please report this with the kernel's version")
            }
            SteeringError::NoInterface => {
                f.write_str("there is no such interface in this network namespace: see ip link")
            }
            SteeringError::Occupied => f.write_str(
                "another XDP program is attached to the interface, perhaps by another server: end its owner, \
                 or detach it (ip link set dev ... xdp off)",
            ),
            SteeringError::NoNativeMode => f.write_str(
                "the interface's driver does not run XDP programs with these settings: choose the generic mode, \
                 or switch off large receive offload (ethtool -K ... lro off)",
            ),
            SteeringError::MtuTooLarge => f.write_str(
                "the driver does not run XDP programs at this MTU, or its peer's: lower both MTUs, or choose the \
                 generic mode",
            ),
            SteeringError::TooFewQueues => f.write_str(
                "the driver has too few queues for XDP: give the interface as many for receiving as its peer has \
                 for sending (ethtool -L), or choose the generic mode",
            ),
            SteeringError::NotReady => {
                f.write_str("the interface is not ready for an XDP program: is its peer there, and up?")
            }
            SteeringError::TableFull { entries } => {
                write!(f, "the table holds at most {entries} entries: listen on fewer addresses")
            }
            SteeringError::EmptyRange => f.write_str("the range of ports is empty: its first port exceeds its last"),
            SteeringError::WrongSocket => f.write_str(
                "the socket belongs to another interface or queue: open one for each queue that frames arrive on",
            ),
            SteeringError::NoSuchQueue { queue } => {
                write!(f, "queue {queue} is beyond the 256 that are supported: use a lower one")
            }
            SteeringError::NoAnswers => {
                f.write_str("the XDP program has no room for answers to datagrams: attach it with some")
            }
            SteeringError::Unsuitable(reason) => write!(f, "the answer is for an engine to give: {reason}"),
            SteeringError::System { step, error } => write!(f, "{step} failed: {error}"),
        }
    }
}

impl std::error::Error for SteeringError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SteeringError::System { error, .. } => Some(error),
            _ => None,
        }
    }
}
