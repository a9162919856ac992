//! Every socket call as a program sees it: what the kernel's sockets do is right.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::programs::{are_installed, attempt, text};
use crate::stack::{Offload, Stack};

macro_rules! cases {
    ($($name:ident)*) => {
        const CASES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                same_as_the_kernel(stringify!($name));
            }
        )*
    };
}

cases! {
    peek dont_wait wait_all more vectors messages many_messages send_file splices large_both_ways small_pieces zero_lengths
    lengths_at_run_time standard_streams
    shutdown_of_writing shutdown_of_reading shutdown_both_ways shutdown_unconnected broken_pipe end_with_unread_data
    linger_zero_resets end_before_accept end_of_listener data_before_end
    socket_options inherited_options bad_options buffer_sizes information timeouts names names_of_accepted not_sockets
    other_sockets
    duplicates duplicates_over_others status_flags octets_to_read lowest_numbers file_status closed_descriptors
    limit_of_descriptors passed_descriptor
    polls polls_of_ends polls_with_others selects poll_with_mask select_with_mask
    epoll_level epoll_edge epoll_oneshot epoll_exclusive epoll_control epoll_few_at_a_time epoll_with_others epoll_nested
    epoll_from_another_thread epoll_writable epoll_of_ends epoll_of_duplicates
    forked_listener forked_connection forked_workers killed_child executed_echo executed_listener closed_on_exec
    spawned_program daemonised
    interrupted_calls restarted_calls interrupted_waits
    duplex_threads accepting_threads many_threads shutdown_wakes_reader shutdown_wakes_acceptor forking_threads
    connect_not_blocking connect_refused connect_refused_not_blocking connect_after_refusal connect_to_self
    connect_to_any connect_bound connect_twice listen_again listen_unbound addresses_in_use both_families
}

#[test]
fn each_case_of_the_probe_is_a_test() {
    if !are_installed(&["gcc"]) {
        return;
    }
    let list = text(Command::new(&probes()[0]).arg("--list"));
    assert_eq!(list.lines().collect::<Vec<_>>(), CASES);
}

/// The transcript on the sockets under test is that on the kernel's.
fn same_as_the_kernel(case: &str) {
    if !are_installed(&["gcc"]) {
        return;
    }
    let expected = transcript(Command::new(&probes()[0]).arg(case));
    assert!(expected.ends_with("done\n"), "on the kernel's sockets:\n{expected}");
    let [usual, fortified] = probes();
    // One end of the connections is on the kernel's sockets, as with a peer on another machine.
    let both = [(usual, "none"), (fortified, "none"), (usual, "near"), (usual, "far")];
    for (offload, runs) in [(Offload::Both, &both[..]), (Offload::Receive, &[(usual, "none"), (usual, "far")])] {
        let stack = Stack::start_as(offload);
        for (probe, kernels) in runs {
            let mut command = stack.offloaded(Command::new(probe).arg(case));
            let found = transcript(command.env("PROBE_KERNEL", kernels));
            assert!(
                found == expected,
                "{}, offloaded: {offload:?}, the kernel's end: {kernels}\n{}",
                probe.display(),
                difference(&expected, &found)
            );
        }
    }
}

/// What the probe printed, and how it ended, if not well.
fn transcript(command: &mut Command) -> String {
    let output = attempt(command);
    let mut transcript = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !output.stderr.is_empty() {
        transcript += &format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    transcript
}

/// The lines up to the first that is not as expected.
fn difference(expected: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let shared: Vec<_> = found.lines().take(same).collect();
    let wanted = expected.lines().nth(same).unwrap_or("nothing");
    let rest: Vec<_> = found.lines().skip(same).collect();
    format!("{}\nexpected: {wanted}\nfound:    {}", shared.join("\n"), rest.join("\n          "))
}

/// The probe as programs are compiled, and as distributions compile theirs: calls go to other functions of the C library.
pub(crate) fn probes() -> &'static [PathBuf; 2] {
    static PROBES: OnceLock<[PathBuf; 2]> = OnceLock::new();
    PROBES.get_or_init(|| {
        [
            compile("probe", &["-U_FORTIFY_SOURCE", "-D_FILE_OFFSET_BITS=64"]),
            compile("probe-fortified", &["-D_FORTIFY_SOURCE=2"]),
        ]
    })
}

fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/offload/probe");
    let entries = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let sources: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "c")).collect();
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let new = program.with_extension(std::process::id().to_string());
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread", "-D_GNU_SOURCE"]).args(flags);
    text(gcc.arg("-o").arg(&new).args(sources));
    // Nobody runs what is half written.
    std::fs::rename(new, &program).unwrap();
    program
}
