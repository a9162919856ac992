//! Applications of several processes, and what is left of them.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use afpa_channel::control::{self, Reply, Request, VERSION};
use afpa_channel::layout::header;
use afpa_channel::slot::{command, state};
use afpa_engine::memory::Ending;
use afpa_platform::foreign::ForeignMemory;
use afpa_tcp_server::{Limits, Settings};
use rustix::io::Errno;

use crate::common::{App, bound};
use crate::stage::{Setting, Stage, stage};

/// A process that `parent` forks, with the holds that its parent has copied.
fn fork(stage: &Stage, parent: &App) -> App {
    let Reply::Forked { process } = parent.ask(&Request::Fork, &[]).unwrap() else { panic!("no place") };
    parent.region.holds(parent.place).copy_to(&parent.region.holds(process));
    App::meet(&stage.control, &Request::Join { version: VERSION, token: parent.token, process }).unwrap()
}

#[test]
fn who_closes_has_to_look_only_at_places_that_processes_have_had() {
    let mut stage = stage();
    let app = stage.attach();
    let places = || app.region.memory().atomic_u32(header::PLACES).load(Ordering::Acquire);
    assert_eq!(places(), 1);
    drop(fork(&stage, &app));
    assert_eq!(places(), 2);
}

#[test]
fn a_slot_lives_as_long_as_a_process_holds_it() {
    let mut stage = stage();
    let (parent, slot, peer) = stage.connected();
    let child = fork(&stage, &parent);
    assert_eq!(stage.status().applications[0].processes.len(), 2);
    drop(parent);
    stage.until("the parent is forgotten", |stage| stage.status().applications[0].processes.len() == 1);
    stage.passes(5);
    peer.send(b"for the child");
    stage.passes(2);
    assert_eq!(child.take(slot, 100), b"for the child");
    child.give(slot, b"farewell");
    let region = child.region.clone();
    drop(child);
    stage.until("the slot is free", |_| region.slot(slot).generation().is_multiple_of(2));
    assert_eq!((peer.read(100), peer.ending()), (b"farewell".to_vec(), Some(Ending::Finished)));
}

#[test]
fn what_only_the_dead_process_held_ends_as_the_kernel_would_end_it() {
    let mut stage = stage();
    let (parent, listener) = stage.listener();
    let child = fork(&stage, &parent);
    let peers: Vec<_> = (0..3).map(|_| stage.network.connect(stage.owner)).collect();
    stage.passes(2);
    let (first, second) = (child.accept(listener).unwrap(), child.accept(listener).unwrap());
    child.give(first, b"queued");
    peers[1].send(b"unread");
    stage.passes(2);
    drop(child);
    stage.until("both slots are free", |_| {
        [first, second].iter().all(|slot| parent.slot(*slot).generation().is_multiple_of(2))
    });
    assert_eq!((peers[0].read(100), peers[0].ending()), (b"queued".to_vec(), Some(Ending::Finished)));
    assert_eq!(peers[1].ending(), Some(Ending::Reset));
    // Held by nobody, but waiting to be accepted.
    let third = parent.accept(listener).expect("it waits on");
    peers[2].send(b"hello");
    stage.passes(2);
    assert_eq!(parent.take(third, 10), b"hello");
}

#[test]
fn a_dead_processs_listener_and_queues_are_closed() {
    let mut stage = stage();
    let parent = stage.attach();
    let child = fork(&stage, &parent);
    let listener = child.listen();
    stage.passes(3);
    assert_eq!(stage.status().applications[0].listening, 1);
    drop(child);
    stage.until("it listens no more", |_| parent.slot(listener).generation().is_multiple_of(2));
    assert_eq!(stage.status().applications[0].listening, 0);
}

#[test]
fn nobody_joins_without_a_place_and_the_token() {
    let stage = &mut stage();
    let app = stage.attach();
    let Reply::Forked { process } = app.ask(&Request::Fork, &[]).unwrap() else { panic!("no place") };
    let join = |version, token, process| {
        let socket = control::connect_to(stage.control.path()).unwrap();
        control::ask(socket.as_fd(), &Request::Join { version, token, process }, &[]).map(drop)
    };
    assert!(join(VERSION, [0; 16], process).is_err());
    assert!(join(VERSION + 1, app.token, process).is_err());
    assert!(join(VERSION, app.token, app.place).is_err());
    assert!(join(VERSION, app.token, 12345).is_err());
    assert!(join(VERSION, app.token, process).is_ok());
    assert!(join(VERSION, app.token, process).is_err(), "once");
}

#[test]
fn an_application_that_comes_and_goes_leaves_nothing() {
    let mut stage = stage();
    let (first, listener) = stage.listener();
    let (other, slot, peer) = stage.another(&first);
    let (memory, region) = (ForeignMemory::create(4096).unwrap(), first.region.clone());
    let (mut end, doorbell) = std::io::pipe().unwrap();
    first.register(&memory);
    first.ask(&Request::OpenQueue, &[doorbell.as_fd()]).unwrap();
    drop(doorbell);
    let waiting = stage.network.connect(stage.owner);
    stage.passes(3);
    assert_eq!((mappings(region.descriptor()), mappings(memory.descriptor())), (2, 2), "ours and the server's");
    drop(first);
    stage.until("the server has let go of its memory", |_| {
        mappings(region.descriptor()) == 1 && mappings(memory.descriptor()) == 1
    });
    assert!(region.has_ended() && region.slot(listener).generation().is_multiple_of(2));
    assert_eq!(waiting.ending(), Some(Ending::Reset));
    assert_eq!(std::io::Read::read(&mut end, &mut [0; 8]).unwrap(), 0, "nobody has the doorbell");
    assert_eq!((stage.status().applications.len(), stage.stats.open.get()), (1, 1));
    peer.send(b"undisturbed");
    stage.passes(2);
    assert_eq!(other.take(slot, 100), b"undisturbed");
}

/// How often the process has mapped a memfd.
fn mappings(memfd: BorrowedFd<'_>) -> usize {
    let inode = rustix::fs::fstat(memfd).unwrap().st_ino.to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("afpa-shared") && line.split(' ').any(|word| word == inode)).count()
}

#[test]
fn what_is_not_asked_for_properly_is_refused() {
    let stage = &mut stage();
    let app = stage.attach();
    let refused = |request: Request, errno: Errno| {
        let error = app.ask(&request, &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{request:?}");
    };
    refused(Request::Attach { version: VERSION, name: "again".into() }, Errno::ISCONN);
    refused(Request::Listen { backlog: 1 }, Errno::BADF);
    refused(Request::Deregister { memory: 9 }, Errno::NOENT);
    refused(Request::CloseFile { file: 9 }, Errno::NOENT);
    let errno = |request: Request, with: &dyn AsFd| {
        app.ask(&request, &[with.as_fd()]).unwrap_err().raw_os_error().map(Errno::from_raw_os_error)
    };
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let unbound = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    assert_eq!(errno(Request::Listen { backlog: 1 }, &udp), Some(Errno::OPNOTSUPP));
    assert_eq!(errno(Request::Listen { backlog: 1 }, &unbound), Some(Errno::INVAL));
    assert_eq!(errno(Request::Connect { to: "[::1]:1".parse().unwrap() }, &bound()), Some(Errno::AFNOSUPPORT));
    let file = tempfile::tempfile().unwrap();
    assert_eq!(errno(Request::Listen { backlog: 1 }, &file), Some(Errno::NOTSOCK));
    assert!(errno(Request::Register { length: 4096 }, &file).is_some());
    assert_eq!(errno(Request::Register { length: u64::MAX }, &file), Some(Errno::NOMEM));
    assert_eq!(errno(Request::OpenFile, &udp), Some(Errno::BADF));
    let stranger = control::connect_to(stage.control.path()).unwrap();
    let error = control::ask(stranger.as_fd(), &Request::Fork, &[]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::NOTCONN.raw_os_error()));
}

#[test]
fn limits_hold_and_a_client_that_does_not_read_harms_itself_alone() {
    let limits = Limits { applications_per_user: 2, ..Limits::default() };
    let mut stage = Stage::new(Setting { limits, ..Setting::default() });
    let first = stage.attach();
    let _second = stage.attach();
    let request = Request::Attach { version: VERSION, name: "third".into() };
    let third = App::meet(&stage.control, &request).err().and_then(|error| error.raw_os_error());
    assert_eq!(third, Some(Errno::USERS.raw_os_error()));
    let deaf = control::connect_to(stage.control.path()).unwrap();
    rustix::io::ioctl_fionbio(&deaf, true).unwrap();
    stage.until("it is cut off", |_| {
        let result = control::send(deaf.as_fd(), &Request::Status, &[]);
        result.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
    });
    // Octets that are no request.
    let babbler = control::connect_to(stage.control.path()).unwrap();
    rustix::net::send(&babbler, &[0xff; 100], rustix::net::SendFlags::empty()).unwrap();
    assert!(control::receive::<Reply>(babbler.as_fd()).map(|reply| reply.is_none()).unwrap_or(true));
    drop(first);
    stage.until("there is room again", |stage| stage.status().applications.len() == 1);
    stage.attach();
}

#[test]
fn a_server_that_stops_sends_what_is_queued() {
    let mut stage = Stage::new(Setting { provider: Settings::default(), ..Setting::default() });
    let (app, slot, peer) = stage.connected();
    app.give(slot, b"goodbye");
    stage.engine.handle().stop(std::time::Duration::from_secs(5));
    stage.passes(5);
    assert_eq!((peer.read(100), peer.ending()), (b"goodbye".to_vec(), Some(Ending::Finished)));
    assert!(app.slot(slot).generation().is_multiple_of(2) && !app.has(slot, state::FAILED));
    app.command(slot, command::CLOSE);
    stage.passes(2);
}
