//! The program on single frames, without an interface.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::{Answers, Assistance, HAS_ANSWERS, Protocol, Room, STEERED, SteeringError, key, lend, load, share};
use crate::bpf::system::{self, Map};

/// The program, attached to nothing: the kernel runs it on frames that it is given, as if they came from queue 0.
pub struct Rehearsal {
    program: OwnedFd,
    maps: HashMap<&'static str, Map>,
}

/// What the program does with a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is dropped.
    Dropped,
    /// It goes to a socket, or would if there were one.
    Passed,
    /// It was turned into this answer, which is sent back.
    Answered(Vec<u8>),
}

impl Rehearsal {
    /// Loads the program.
    ///
    /// # Errors
    /// Who is at fault, and what helps.
    pub fn new() -> Result<Rehearsal, SteeringError> {
        let (program, maps) = load(Room { engines: 1, answers: 4096 })?;
        Ok(Rehearsal { program, maps })
    }

    /// Lists a service, as [`Steering::steer`](super::Steering::steer) does.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn steer(&self, protocol: Protocol, local: SocketAddr) -> Result<(), SteeringError> {
        self.list(protocol, local, STEERED)
    }

    /// Lists a service that answers are left for, as [`Steering::answer_at`](super::Steering::answer_at) does.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn answer_at(&self, local: SocketAddr) -> Result<(), SteeringError> {
        self.list(Protocol::Udp, local, STEERED | HAS_ANSWERS)
    }

    fn list(&self, protocol: Protocol, local: SocketAddr, value: u32) -> Result<(), SteeringError> {
        let key = key(local.ip(), local.port().to_be_bytes(), protocol);
        let failed = |error| SteeringError::System { step: "listing a service", error };
        self.maps["services"].set(&key, &value.to_ne_bytes()).map_err(failed)
    }

    /// The answers that are left to the program, as [`Steering::answers`](super::Steering::answers) has them.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn answers(&self) -> Result<Answers, SteeringError> {
        share(&self.maps)
    }

    /// Assists an engine, as [`Steering::assist`](super::Steering::assist) does.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn assist(&self) -> Result<Assistance, SteeringError> {
        lend(&self.maps["areas"], &self.maps["homes"], 0, &[0])
    }

    /// Runs the program on a frame of 14 to 2,048 octets.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn run(&self, frame: &[u8]) -> Result<Verdict, SteeringError> {
        let failed = |error| SteeringError::System { step: "running the XDP program", error };
        let (verdict, frame) = system::run(self.program.as_fd(), frame).map_err(failed)?;
        Ok(match verdict {
            1 => Verdict::Dropped,
            3 => Verdict::Answered(frame),
            _ => Verdict::Passed,
        })
    }
}
