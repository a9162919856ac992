//! A TCP server without TCP: it answers on the control socket, and the test plays its engine and the peers.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use afpa_channel::control::{self, Reply, Request, Sender};
use afpa_channel::job_ring::{Received, Source};
use afpa_channel::slot::{Accepted, Slot, state};
use afpa_channel::{Geometry, Region};
use afpa_platform::foreign::ForeignMemory;
use memnet::Attachment;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{accept, bind, listen, shutdown, socket_with};

/// Octets that may be registered.
pub(crate) const MOST_MEMORY: u64 = 1 << 20;
/// Octets of a ring.
pub(crate) const RING: usize = 4096;

pub(crate) struct Server {
    directory: tempfile::TempDir,
    pub(crate) region: Region,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// All of the processes', so that they can be ended.
    sockets: Vec<OwnedFd>,
    queues: HashMap<u32, OwnedFd>,
    memory: HashMap<u32, Arc<ForeignMemory>>,
    files: HashMap<u32, OwnedFd>,
    next: u32,
    slots: u32,
    processes: u32,
    is_gone: bool,
}

impl Server {
    pub(crate) fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        let geometry = Geometry::new(64, 1, 8, 4, RING as u32).unwrap();
        let server = Server { region: Region::create(geometry).unwrap(), directory, shared: Arc::default() };
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(server.path()).unwrap()).unwrap();
        listen(&socket, 8).unwrap();
        let (region, shared) = (server.region.clone(), server.shared.clone());
        thread::spawn(move || {
            while let Ok(process) = accept(&socket) {
                shared.lock().unwrap().sockets.push(process.try_clone().unwrap());
                let (region, shared) = (region.clone(), shared.clone());
                thread::spawn(move || attend(&process, &region, &shared));
            }
        });
        server
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    pub(crate) fn attach(&self) -> Arc<Attachment> {
        Attachment::attach(&self.path(), "a test").unwrap()
    }

    pub(crate) fn slot(&self, number: u32) -> Slot<'_, ForeignMemory> {
        self.region.slot(number)
    }

    /// Dies: everything that it has open is closed.
    pub(crate) fn die(&self) {
        let mut shared = self.shared.lock().unwrap();
        shared.is_gone = true;
        shared.queues.clear();
        for socket in shared.sockets.drain(..) {
            let _ = shutdown(&socket, Shutdown::Both);
        }
    }

    /// How many pieces of memory and how many files are registered.
    pub(crate) fn registered(&self) -> (usize, usize) {
        let shared = self.shared.lock().unwrap();
        (shared.memory.len(), shared.files.len())
    }

    pub(crate) fn tell(&self, slot: u32) {
        let shared = self.shared.lock().unwrap();
        self.region.tell(self.region.slot(slot), |queue| {
            if let Some(doorbell) = shared.queues.get(&queue) {
                let _ = rustix::io::write(doorbell, b"!");
            }
        });
    }

    /// A connection that waits on the listener.
    pub(crate) fn arrives(&self, listener: u32) -> u32 {
        let number = next_slot(&mut self.shared.lock().unwrap());
        let slot = self.slot(number);
        slot.server_begin(slot.generation() + 1, 0, state::CONNECTED);
        slot.server_addresses("10.0.0.1:80".parse().unwrap(), "10.0.0.2:1024".parse().unwrap());
        let ring = self.slot(listener).receive_ring();
        let produced = self.produced(listener);
        ring.write(produced, &Accepted { slot: number, generation: slot.generation() }.encode());
        ring.publish(produced.wrapping_add(8));
        self.tell(listener);
        number
    }

    /// A slot's connection is established.
    pub(crate) fn connects(&self, slot: u32) {
        self.slot(slot).server_state(state::CONNECTED);
        self.tell(slot);
    }

    pub(crate) fn fails(&self, slot: u32, errno: u32) {
        self.slot(slot).server_fail(errno, state::CONNECTED);
        self.tell(slot);
    }

    /// The peer has sent octets, for which there is room in the ring.
    pub(crate) fn delivers(&self, slot: u32, octets: &[u8]) {
        let ring = self.slot(slot).receive_ring();
        let produced = self.produced(slot);
        ring.write(produced, octets);
        ring.publish(produced.wrapping_add(octets.len() as u32));
        self.tell(slot);
    }

    /// The peer has sent FIN.
    pub(crate) fn ends(&self, slot: u32) {
        self.slot(slot).server_state(state::CONNECTED | state::PEER_FINISHED);
        self.tell(slot);
    }

    /// Takes what is in the send ring, as if TCP had sent it.
    pub(crate) fn sends(&self, slot: u32) -> Vec<u8> {
        let slot = self.slot(slot);
        let ring = slot.send_ring();
        let mut octets = vec![0; ring.readable(slot.sent()).unwrap() as usize];
        ring.read(slot.sent(), &mut octets);
        ring.consume(slot.sent().wrapping_add(octets.len() as u32));
        if slot.server_waited_for() {
            self.tell(slot.number());
        }
        octets
    }

    /// What the next job sends, and with that it is done.
    pub(crate) fn does_job(&self, slot: u32) -> Vec<u8> {
        let slot = self.slot(slot);
        let done = slot.jobs_done();
        assert!(slot.server_jobs(done).unwrap() > 0, "no job is posted");
        let job = slot.server_job(done).unwrap();
        let mut octets = vec![0; job.length as usize];
        match job.source {
            Source::Memory(number) => self.memory(number).read(job.offset as usize, &mut octets),
            Source::Object(_) => panic!("nothing is published here"),
            Source::File(number) => {
                let file = self.shared.lock().unwrap().files[&number].try_clone().unwrap();
                assert_eq!(rustix::io::pread(&file, &mut octets[..], job.offset).unwrap(), octets.len());
            }
        }
        slot.server_jobs_done(done.wrapping_add(1));
        if slot.server_waited_for() {
            self.tell(slot.number());
        }
        octets
    }

    /// The next posted receive is done.
    pub(crate) fn does_receive(&self, slot: u32, octets: Result<&[u8], Received>) {
        let slot = self.slot(slot);
        let done = slot.receives_done();
        assert!(slot.server_receives(done).unwrap() > 0, "no receive is posted");
        let receive = slot.server_receive(done);
        let result = octets.map_or_else(
            |result| result,
            |octets| {
                self.memory(receive.memory).write(receive.offset as usize, octets);
                Received::Octets(octets.len() as u32)
            },
        );
        slot.server_received(done, result);
        if slot.server_waited_for() {
            self.tell(slot.number());
        }
    }

    fn memory(&self, number: u32) -> Arc<ForeignMemory> {
        self.shared.lock().unwrap().memory[&number].clone()
    }

    fn produced(&self, slot: u32) -> u32 {
        let slot = self.slot(slot);
        slot.taken().wrapping_add(slot.receive_ring().readable(slot.taken()).unwrap())
    }
}

/// Waits for a condition, as long as a test may take.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

pub(crate) fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

/// Has come at once.
pub(crate) fn now() -> Option<Instant> {
    Some(Instant::now())
}

fn attend(process: &OwnedFd, region: &Region, shared: &Mutex<Shared>) {
    let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    while let Ok(Some((request, descriptors))) = control::receive::<Request>(process.as_fd()) {
        let mut shared = shared.lock().unwrap();
        if shared.is_gone {
            return;
        }
        let reply = answer(request, descriptors, region, &mut shared);
        let with: &[_] = match &reply {
            Reply::Welcome { .. } => &[region.descriptor(), bell.as_fd()],
            _ => &[],
        };
        control::send(process.as_fd(), &reply, with).unwrap();
    }
}

fn answer(request: Request, mut descriptors: Vec<OwnedFd>, region: &Region, shared: &mut Shared) -> Reply {
    shared.next += 1;
    let number = shared.next;
    match request {
        Request::Attach { .. } => Reply::Welcome { token: [0; 16], process: 0, sender: Sender::Server },
        Request::Join { process, .. } => Reply::Welcome { token: [0; 16], process, sender: Sender::Server },
        Request::Incoming { .. } => Reply::Refused { errno: 2, reason: "the server sends".into() },
        Request::Fork => {
            shared.processes += 1;
            Reply::Forked { process: shared.processes }
        }
        Request::OpenQueue => {
            let Some(queue) = (0..8).find(|queue| !shared.queues.contains_key(queue)) else {
                return refused(rustix::io::Errno::MFILE);
            };
            shared.queues.insert(queue, descriptors.remove(0));
            Reply::Queue { queue }
        }
        Request::CloseQueue { queue } => {
            shared.queues.remove(&queue);
            Reply::Done
        }
        Request::Listen { .. } => Reply::Listening { slots: vec![begin(shared, region, state::LISTENING)] },
        Request::Connect { .. } => Reply::Connecting { slot: begin(shared, region, state::CONNECTING) },
        Request::Register { length } => {
            let registered: u64 = shared.memory.values().map(|memory| memory.len() as u64).sum();
            if registered + length > MOST_MEMORY {
                return refused(rustix::io::Errno::NOMEM);
            }
            let memory = ForeignMemory::map(descriptors.remove(0), length as usize).unwrap();
            shared.memory.insert(number, Arc::new(memory));
            Reply::Registered { memory: number }
        }
        Request::Deregister { memory } => {
            shared.memory.remove(&memory);
            Reply::Done
        }
        Request::OpenFile => {
            shared.files.insert(number, descriptors.remove(0));
            Reply::File { file: number }
        }
        Request::CloseFile { file } => {
            shared.files.remove(&file);
            Reply::Done
        }
        // It has none of its own.
        Request::Grant { .. } => refused(rustix::io::Errno::NOSPC),
        Request::Status
        | Request::Publish { .. }
        | Request::FindObject { .. }
        | Request::CloseObject { .. }
        | Request::Purge { .. } => refused(rustix::io::Errno::NOSYS),
    }
}

fn begin(shared: &mut Shared, region: &Region, state: u32) -> u32 {
    let number = next_slot(shared);
    let slot = region.slot(number);
    slot.server_begin(slot.generation() + 1, 0, state);
    number
}

fn next_slot(shared: &mut Shared) -> u32 {
    shared.slots += 1;
    shared.slots - 1
}

fn refused(errno: rustix::io::Errno) -> Reply {
    Reply::Refused { errno: errno.raw_os_error(), reason: "the test".into() }
}

/// Not used by tests that have the file of another.
pub(crate) fn write(path: &Path, octets: &[u8]) {
    std::fs::write(path, octets).unwrap();
}
