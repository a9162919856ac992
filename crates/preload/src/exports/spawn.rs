//! posix_spawn: the program's descriptors are those that it is given by a list of actions, which is kept beside the C
//! library's.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::pid_t;

use super::next;
use super::process::{Arguments, Environment};
use crate::inheritance::Action;

/// What was put on lists, by the lists' addresses.
static ACTIONS: Mutex<Vec<(usize, Action)>> = Mutex::new(Vec::new());

fn actions() -> MutexGuard<'static, Vec<(usize, Action)>> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

type Spawn =
    unsafe extern "C" fn(*mut pid_t, *const c_char, *const c_void, *const c_void, Arguments, Arguments) -> c_int;

/// Calls the C library's function of the name, and keeps what was put on the list if it has taken it.
macro_rules! kept {
    ($name:ident, ($($argument:ident: $type:ty),*), $action:expr) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(list: *mut c_void, $($argument: $type),*) -> c_int {
            type Function = unsafe extern "C" fn(*mut c_void, $($type),*) -> c_int;
            static NEXT: super::Next = super::Next::new(const {
                match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name"),
                }
            });
            let address = NEXT.address();
            if address == 0 {
                return libc::ENOSYS;
            }
            // SAFETY: the C library's function of that name has that type; the arguments are the program's.
            let result = unsafe { std::mem::transmute::<usize, Function>(address)(list, $($argument),*) };
            if result == 0 {
                let action: Option<Action> = $action;
                match action {
                    Some(action) => actions().push((list as usize, action)),
                    None => actions().retain(|(of, _)| *of != list as usize),
                }
            }
            result
        }
    };
}

kept!(posix_spawn_file_actions_init, (), None);
kept!(posix_spawn_file_actions_destroy, (), None);
kept!(posix_spawn_file_actions_adddup2, (from: c_int, to: c_int), Some(Action::Duplicate(from, to)));
kept!(posix_spawn_file_actions_addclose, (descriptor: c_int), Some(Action::Close(descriptor)));
kept!(posix_spawn_file_actions_addclosefrom_np, (first: c_int), Some(Action::CloseFrom(first)));
kept!(
    posix_spawn_file_actions_addopen,
    (descriptor: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t),
    Some(Action::Close(descriptor))
);

fn of_list(list: *const c_void) -> Vec<Action> {
    actions().iter().filter(|(of, _)| *of == list as usize).map(|(_, action)| *action).collect()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawn(
    child: *mut pid_t,
    path: *const c_char,
    list: *const c_void,
    attributes: *const c_void,
    arguments: Arguments,
    environment: Arguments,
) -> c_int {
    let Some(spawn) = next!(c"posix_spawn" as Spawn) else { return libc::ENOSYS };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &of_list(list));
        spawned(spawn(child, path, list, attributes, arguments, environment.list()), environment)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_spawnp(
    child: *mut pid_t,
    file: *const c_char,
    list: *const c_void,
    attributes: *const c_void,
    arguments: Arguments,
    environment: Arguments,
) -> c_int {
    let Some(spawn) = next!(c"posix_spawnp" as Spawn) else { return libc::ENOSYS };
    // SAFETY: the program's arguments.
    unsafe {
        let environment = Environment::new(environment, &of_list(list));
        spawned(spawn(child, file, list, attributes, arguments, environment.list()), environment)
    }
}

fn spawned(result: c_int, environment: Environment) -> c_int {
    if result != 0 { environment.failed(result) } else { 0 }
}
