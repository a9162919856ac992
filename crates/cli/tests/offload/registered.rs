//! Registered memory, which our own TCP sends from where it lies. Programs written for the server: this one.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use memnet::{Attachment, Frozen, Job, Listener, Options, Socket};

use crate::direct::{connect, counted, lab};
use crate::lab::{DEVICE, FRAMES, Lab};
use crate::programs::{PATIENCE, are_installed, eventually};
use crate::relay::{Faults, Relay};
use crate::stack::{Stack, is_plain};

/// What a frame takes that is worth sending from several places.
const MTU: &str = "9000";
/// The most memory that is the server's in one piece.
const PIECE: usize = 4 << 20;
const PORT: u16 = 7005;
/// The server's memory for registering, and its pieces.
const SMALL: (&[&str], usize) = (&["--frames", "xdp", "--registered-memory", "8MiB"], 2);
/// What tells this program, run by a test, that it is to serve, and where.
const SERVES: &str = "AFPA_TEST_REGISTERED_AT";
/// Users that nobody is.
const USERS: [u32; 2] = [64_242, 64_243];
const UNKIND: Faults = Faults { lost: 20, repeated: 10, overtaken: 10, delay: Duration::from_millis(2), longest: 0 };

#[test]
fn it_arrives_octet_by_octet_and_is_not_copied() {
    let Some(lab) = wide_lab("registered") else { return };
    for frames in FRAMES {
        let stack = Stack::start_direct(&lab, frames);
        transfers(&lab, &stack, frames == "xdp");
    }
}

#[test]
fn it_arrives_where_frames_are_lost_repeated_and_late() {
    if is_plain() {
        println!("skipped: there is no TCP server");
        return;
    }
    let Some(relay) = Relay::wide("offload-registered-loss", 7, UNKIND, MTU) else { return };
    let stack = Stack::start_direct(&relay.lab, "xdp");
    transfers(&relay.lab, &stack, true);
    assert!(relay.lost() > 0 && counted(&relay.lab, "retransmitted_segments") > 0);
}

/// A client whose acknowledgment of the handshake is lost, and who waits for the server to begin, does not wait in vain.
#[test]
fn who_speaks_first_is_heard_though_handshakes_are_lost() {
    if is_plain() {
        println!("skipped: there is no TCP server");
        return;
    }
    let lossy = Faults { lost: 60, ..Faults::default() };
    let Some(relay) = Relay::lab("offload-greeting-loss", 11, lossy) else { return };
    let stack = Stack::start_direct(&relay.lab, "xdp");
    let attachment = attach(&stack);
    let listener = listen(&relay.lab, &attachment);
    const CLIENTS: usize = 40;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut greeting = String::new();
                connect(&relay.lab, PORT).unwrap().read_to_string(&mut greeting).unwrap();
                assert_eq!(greeting, "220 ready\r\n");
            });
        }
        let greeted: Vec<Socket> = std::iter::repeat_with(|| {
            let socket = listener.sync_accept(soon()).unwrap();
            socket.sync_send(b"220 ready\r\n", soon()).unwrap();
            socket.shutdown(Shutdown::Write);
            socket
        })
        .take(CLIENTS)
        .collect();
        assert_eq!(greeted.len(), CLIENTS);
    });
    assert!(relay.lost() > 0);
}

/// Sends from memory at odd places, with copied octets in between.
fn transfers(lab: &Lab, stack: &Stack, is_lent: bool) {
    let before = counted(lab, "lent_octets_out");
    let attachment = attach(stack);
    let listener = listen(lab, &attachment);
    let (mut client, socket) = connected(lab, &listener);
    let mut expected = Vec::new();
    let mut sends = Vec::new();
    for (length, part) in [(PIECE, 1..PIECE - 1), (1_000_000, 4095..900_001), (3, 0..3), (2000, 77..1999)] {
        let mut buffer = attachment.register_mem(length).unwrap();
        buffer.copy_from_slice(&pattern(length));
        expected.extend_from_slice(b"between ");
        expected.extend_from_slice(&buffer[part.clone()]);
        sends.push((buffer, part));
    }
    let expected = Arc::new(expected);
    let sent = expected.clone();
    let reading = std::thread::spawn(move || {
        let mut octets = vec![0; sent.len()];
        client.read_exact(&mut octets).unwrap();
        let differs = octets.iter().zip(&*sent).position(|(came, went)| came != went);
        assert_eq!(differs, None, "the first octet that is another");
        client
    });
    let jobs = sends.into_iter().map(|(buffer, part)| {
        assert_eq!(socket.sync_send(b"between ", soon()).unwrap(), 8);
        socket.async_send(buffer, part).unwrap()
    });
    let jobs: Vec<_> = jobs.collect();
    let _client = reading.join().unwrap();
    for job in jobs {
        let (sent, buffer) = job.wait();
        assert!(sent.unwrap() <= buffer.len() as u64);
        attachment.deregister_mem(buffer).unwrap();
    }
    let lent = counted(lab, "lent_octets_out") - before;
    let all = expected.len() as u64;
    println!("{lent} of {all} octets were not copied");
    assert!(if is_lent { lent > all * 9 / 10 } else { lent == 0 }, "{lent} of {all}");
}

#[test]
fn who_writes_it_while_it_is_sent_harms_his_own_connection_alone() {
    let Some(lab) = wide_lab("scribbled") else { return };
    let stack = Stack::start_direct(&lab, "xdp");
    let attachment = attach(&stack);
    let listener = listen(&lab, &attachment);
    let (mut scribbled, socket) = connected(&lab, &listener);
    // As long as it was written, and as long again, nothing of it is sent anew.
    scribbled.set_read_timeout(Some(10 * PATIENCE)).unwrap();
    let (mut client, other) = connected(&lab, &listener);
    let memory = attachment.register_receive_mem(PIECE).unwrap();
    let mut scribbles = memory.alias(0..PIECE);
    let mut job = socket.async_send(memory, 0..PIECE).unwrap();
    let is_over = AtomicBool::new(false);
    let came = std::thread::scope(|scope| {
        // Whatever fails, it is written no more.
        let over = Over(&is_over);
        scope.spawn(|| {
            for octet in (0..=255u8).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                scribbles.write_at(0, &vec![octet; PIECE]);
            }
        });
        let reading = scope.spawn(|| {
            let mut octets = vec![0; PIECE];
            scribbled.read_exact(&mut octets).map(|()| octets.len())
        });
        // The other connection has what it is sent.
        for _ in 0..5 {
            let mut buffer = attachment.register_mem(1 << 20).unwrap();
            buffer.copy_from_slice(&pattern(1 << 20));
            let sends = other.async_send(buffer, 0..1 << 20).unwrap();
            let mut octets = vec![0; 1 << 20];
            client.read_exact(&mut octets).unwrap();
            assert!(octets == pattern(1 << 20));
            assert_eq!(sends.wait().0.unwrap(), 1 << 20);
        }
        drop(over);
        // When it is written no more, what was written last gets through.
        reading.join().unwrap().unwrap()
    });
    assert_eq!(came, PIECE);
    job.job_wait(soon()).unwrap();
    assert!(counted(&lab, "lent_octets_out") > PIECE as u64);
}

#[test]
fn a_successor_of_one_that_was_killed_amid_a_transfer_has_its_memory_without_its_octets() {
    if !are_installed(&["setpriv"]) {
        return;
    }
    let Some(lab) = wide_lab("successor") else { return };
    let mut stack = Stack::start_direct_with(&lab, SMALL.0);
    let program = copy_of_this_program(&stack);
    for _ in 0..3 {
        // Until the predecessor is gone, and all that it was sending, memory is not given on; and copies arrive as well.
        eventually("that there is memory that is not copied", || is_lent_to(USERS[0], &lab, &stack, &program));
    }
    for _ in 0..2 {
        assert!(!is_lent_to(USERS[1], &lab, &stack, &program), "another user has what a first one had");
    }
    assert!(!is_lent_to(0, &lab, &stack, &program), "nor has root");
    stack.assert_healthy();
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs an application that registers all memory of the server's, reads some of what it sends, and kills it. Returns whether
/// it came from where it lay.
fn is_lent_to(user: u32, lab: &Lab, stack: &Stack, program: &Path) -> bool {
    let mut command = stack.run_as(user, program);
    command.args(["--exact", "registered::serve_from_registered_memory", "--include-ignored", "--nocapture"]);
    command.env(SERVES, stack.socket()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut application = Killed(command.spawn().unwrap());
    let mut said = BufReader::new(application.0.stdout.take().unwrap()).lines();
    let ready = said.by_ref().map_while(Result::ok).find(|line| line.contains("ready"));
    assert!(ready.is_some(), "the application has failed: it says why");
    let before = counted(lab, "lent_octets_out");
    let mut client = connect(lab, PORT).unwrap();
    let mut octets = vec![0; 3 * PIECE / 2];
    client.read_exact(&mut octets).unwrap();
    assert!(octets.iter().zip(pattern(PIECE).iter().cycle()).all(|(came, went)| came == went));
    let lent = counted(lab, "lent_octets_out") - before;
    drop(application);
    // What was on its way when it was killed.
    let end = client.read_to_end(&mut Vec::new());
    assert!(end.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::ConnectionReset), "{end:?}");
    assert!(lent == 0 || lent > 1 << 20, "{lent} octets");
    lent > 0
}

/// A process that is killed with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What [`is_lent_to`] runs.
#[test]
#[ignore = "it is run by another test, and waits to be killed"]
fn serve_from_registered_memory() {
    let Some(path) = std::env::var_os(SERVES) else { return };
    let attachment = Attachment::attach(path.as_ref(), "registered").unwrap();
    let register = |_| {
        let mut buffer = attachment.register_mem(PIECE).unwrap();
        assert!(buffer.iter().all(|octet| *octet == 0), "what another wrote is in it");
        buffer.copy_from_slice(&pattern(PIECE));
        buffer.freeze()
    };
    let memory: Vec<Frozen> = (0..SMALL.1).map(register).collect();
    let any = ([0, 0, 0, 0], PORT).into();
    let listener = Listener::bind(&attachment, any, &Options::default()).unwrap();
    println!("ready");
    let socket = listener.sync_accept(None).unwrap();
    for part in memory.iter().cycle() {
        let sent = socket.async_send(part.clone(), 0..PIECE).map(|job| job.wait().0);
        if !sent.is_ok_and(|sent| sent.is_ok()) {
            break;
        }
    }
}

/// Where every user may run it.
fn copy_of_this_program(stack: &Stack) -> PathBuf {
    let copy = stack.file("program");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    copy
}

fn wide_lab(test: &str) -> Option<Lab> {
    let lab = lab(test)?;
    for end in [&lab.server, &lab.client] {
        end.ip(&["link", "set", DEVICE, "mtu", MTU]);
    }
    Some(lab)
}

fn attach(stack: &Stack) -> Arc<Attachment> {
    Attachment::attach(&stack.socket(), "registered").unwrap()
}

fn listen(lab: &Lab, attachment: &Arc<Attachment>) -> Listener {
    let any = ([0, 0, 0, 0], PORT).into();
    lab.server.inside(|| Listener::bind(attachment, any, &Options::default())).unwrap()
}

fn connected(lab: &Lab, listener: &Listener) -> (TcpStream, Socket) {
    let client = connect(lab, PORT).unwrap();
    (client, listener.sync_accept(soon()).unwrap())
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + place / 251) as u8).collect()
}
