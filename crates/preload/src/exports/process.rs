//! fork and exec.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::AsRawFd;

use libc::pid_t;
use memnet::Fork;
use rustix::io::Errno;

use super::{int, next};
use crate::application::Application;
use crate::inheritance::{Action, VARIABLE, Will};
use crate::raw::{Undisturbed, fail};
use crate::table::Closing;
use crate::{epoll, offload};

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fork() -> pid_t {
    let Some(fork) = next!(c"fork" as unsafe extern "C" fn() -> pid_t) else { return int(fail(Errno::NOSYS)) };
    if Application::all().next().is_none() {
        // SAFETY: as the program wants.
        return unsafe { fork() };
    }
    let _undisturbed = Undisturbed::new();
    let attaching = offload::hold();
    // Before the attachments, in the order in which others lock them.
    let instances = epoll::hold_all();
    let prepared: Vec<(&Application, Option<Fork<'_>>)> = Application::all()
        .map(|application| {
            (application, (!application.is_gone()).then(|| application.attachment().before_fork().ok()).flatten())
        })
        .collect();
    // SAFETY: as the program wants; nobody else is at what the child finds.
    let child = unsafe { fork() };
    drop(instances);
    drop(attaching);
    if child == 0 {
        begin_child(prepared);
    }
    child
}

/// In the child: it is a process of its own to the server, with what its parent had.
fn begin_child(prepared: Vec<(&'static Application, Option<Fork<'static>>)>) {
    let _ours = Closing::new();
    for (application, fork) in prepared {
        let joined = match fork {
            Some(fork) => application.attachment().after_fork(fork).is_ok(),
            None => false,
        };
        if !joined {
            let _ = application.attachment().orphan();
            application.lose();
        }
        application.queues().abandon();
        application.recount();
    }
    epoll::disown_all();
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn vfork() -> pid_t {
    // What a child of vfork(2) may do, one of fork(2) may as well.
    // SAFETY: as the program wants.
    unsafe { fork() }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn daemon(stay: c_int, keep: c_int) -> c_int {
    // SAFETY: what daemon(3) does, in its order.
    unsafe {
        match fork() {
            -1 => return -1,
            0 => {}
            _ => libc::_exit(0),
        }
        if libc::setsid() < 0 {
            return -1;
        }
        if stay == 0 {
            libc::chdir(c"/".as_ptr());
        }
        if keep == 0 {
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            if null < 0 {
                return -1;
            }
            for standard in 0..3 {
                super::descriptors::dup2(null, standard);
            }
            if null > 2 {
                super::descriptors::close(null);
            }
        }
    }
    0
}

pub(super) type Arguments = *const *const c_char;

/// An environment, with what the new program needs to know.
pub(super) struct Environment {
    will: Option<Will>,
    pointers: Vec<*const c_char>,
    _text: CString,
}

impl Environment {
    /// # Safety
    /// It is null, or a list of texts that ends with null.
    pub(super) unsafe fn new(environment: Arguments, actions: &[Action]) -> Environment {
        let will = Will::write(actions);
        let number = will.as_ref().map_or(-1, |will| will.table.as_raw_fd());
        let text = CString::new(format!("{VARIABLE}={number}")).expect("no zeros");
        let mut pointers = Vec::new();
        let mut at = environment;
        // SAFETY: the caller's.
        unsafe {
            while !at.is_null() && !(*at).is_null() {
                let name = CStr::from_ptr(*at).to_bytes();
                if !(name.starts_with(VARIABLE.as_bytes()) && name.get(VARIABLE.len()) == Some(&b'=')) {
                    pointers.push(*at);
                }
                at = at.add(1);
            }
        }
        if will.is_some() {
            pointers.push(text.as_ptr());
        }
        pointers.push(std::ptr::null());
        Environment { will, pointers, _text: text }
    }

    pub(super) fn list(&self) -> Arguments {
        self.pointers.as_ptr()
    }

    /// The exec has returned, so it has failed.
    pub(super) fn failed(self, result: c_int) -> c_int {
        // SAFETY: the C library's word for the calling thread.
        let errno = unsafe { *libc::__errno_location() };
        if let Some(will) = self.will {
            will.revoke();
        }
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
        result
    }
}

fn own_environment() -> Arguments {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library's variable; a program that changes it meanwhile does so at its own risk.
    unsafe { environ }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execve(path: *const c_char, arguments: Arguments, environment: Arguments) -> c_int {
    type Function = unsafe extern "C" fn(*const c_char, Arguments, Arguments) -> c_int;
    let Some(execve) = next!(c"execve" as Function) else { return int(fail(Errno::NOSYS)) };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &[]);
        let result = execve(path, arguments, environment.list());
        environment.failed(result)
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execv(path: *const c_char, arguments: Arguments) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { execve(path, arguments, own_environment()) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execvpe(file: *const c_char, arguments: Arguments, environment: Arguments) -> c_int {
    type Function = unsafe extern "C" fn(*const c_char, Arguments, Arguments) -> c_int;
    let Some(execvpe) = next!(c"execvpe" as Function) else { return int(fail(Errno::NOSYS)) };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &[]);
        let result = execvpe(file, arguments, environment.list());
        environment.failed(result)
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execvp(file: *const c_char, arguments: Arguments) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { execvpe(file, arguments, own_environment()) }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fexecve(file: c_int, arguments: Arguments, environment: Arguments) -> c_int {
    type Function = unsafe extern "C" fn(c_int, Arguments, Arguments) -> c_int;
    let Some(fexecve) = next!(c"fexecve" as Function) else { return int(fail(Errno::NOSYS)) };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &[]);
        let result = fexecve(file, arguments, environment.list());
        environment.failed(result)
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn execveat(
    directory: c_int,
    path: *const c_char,
    arguments: Arguments,
    environment: Arguments,
    flags: c_int,
) -> c_int {
    type Function = unsafe extern "C" fn(c_int, *const c_char, Arguments, Arguments, c_int) -> c_int;
    let Some(execveat) = next!(c"execveat" as Function) else { return int(fail(Errno::NOSYS)) };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &[]);
        let result = execveat(directory, path, arguments, environment.list(), flags);
        environment.failed(result)
    }
}
