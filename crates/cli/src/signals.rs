//! What the operator asks for by signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A request that arrives as a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: finish what is in flight, then end. A second one: end at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the log files again.
    Reopen,
    /// SIGUSR2: let the program as it is now take over.
    Upgrade,
}

/// The signals that the server listens to, from its creation on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Takes the signals over. Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// A signal handler cannot be installed.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next request. Several of one signal before it is taken count as one. Dropping the future
    /// loses none.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            // Stopping comes before everything else.
            biased;
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hangup.recv() => Request::Reload,
            _ = self.user1.recv() => Request::Reopen,
            _ = self.user2.recv() => Request::Upgrade,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn each_signal_arrives_as_its_request() {
        let mut signals = Signals::listen().unwrap();
        for (signal, request) in [
            (Signal::HUP, Request::Reload),
            (Signal::USR1, Request::Reopen),
            (Signal::USR2, Request::Upgrade),
            (Signal::TERM, Request::Stop),
            (Signal::INT, Request::Stop),
        ] {
            kill_process(getpid(), signal).unwrap();
            assert_eq!(signals.next().await, request);
        }
    }
}
