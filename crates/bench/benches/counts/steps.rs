//! Counts the instructions of functions by stepping through another process.

use std::io;

use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// A call that has not returned.
struct Call {
    function: usize,
    /// Where the stack was when it was made.
    stack: u64,
    instructions: u64,
}

/// Stops the first thread of the process `id`, a child, lets it `go`, and steps through it to its end.
/// Returns the instructions of each call of each function, with all that it called.
///
/// # Errors
/// The process may not be traced, or the processor is none for which this is made.
pub(crate) fn count<const N: usize>(
    id: u32,
    functions: &[u64; N],
    go: impl FnOnce() -> io::Result<()>,
) -> io::Result<[Vec<u64>; N]> {
    let process = Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?);
    ptrace::attach(process)?;
    waitpid(process, None)?;
    go()?;
    let mut counts = [const { Vec::new() }; N];
    let (mut calls, mut last) = (Vec::<Call>::new(), 0);
    loop {
        let (instruction, stack) = position(process)?;
        while let Some(call) = calls.pop_if(|call| stack > call.stack) {
            counts[call.function].push(call.instructions);
        }
        if let Some(function) = functions.iter().position(|address| *address == instruction) {
            calls.push(Call { function, stack, instructions: 0 });
        }
        // An instruction that repeats itself is stopped at each time.
        if instruction != last {
            calls.iter_mut().for_each(|call| call.instructions += 1);
        }
        last = instruction;
        ptrace::step(process, None)?;
        if let WaitStatus::Exited(..) | WaitStatus::Signaled(..) = waitpid(process, None)? {
            return Ok(counts);
        }
    }
}

/// Where the next instruction lies, and the top of the stack.
#[cfg(target_arch = "x86_64")]
fn position(process: Pid) -> io::Result<(u64, u64)> {
    let registers = ptrace::getregs(process)?;
    Ok((registers.rip, registers.rsp))
}

#[cfg(not(target_arch = "x86_64"))]
fn position(_process: Pid) -> io::Result<(u64, u64)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "instructions are counted on x86-64 only"))
}
