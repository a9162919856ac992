//! Objects against the TCP server itself: what is published once is sent from the server's memory.

#[path = "support/real.rs"]
mod real;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use memnet::{Attachment, Job, Listener, Options, Socket};
use real::Real;
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

fn attach(real: &Real) -> Arc<Attachment> {
    Attachment::attach(&real.path(), "a test").unwrap()
}

fn connected(attachment: &Arc<Attachment>) -> (Socket, TcpStream) {
    let listener = Listener::bind(attachment, "127.0.0.1:0".parse().unwrap(), &Options::default()).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (listener.sync_accept(soon()).unwrap(), peer)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn what_is_published_of_octets_memory_or_a_file_is_sent_in_its_order() {
    let real = Real::start();
    let attachment = attach(&real);
    let octets = pattern(1_000_000);
    attachment.publish(b"/octets", &octets).unwrap();
    let mut memory = attachment.register_mem(600_000).unwrap();
    memory.copy_from_slice(&octets[..600_000]);
    let behind = memory.split_off(100_000);
    attachment.publish_mem(b"/memory", &behind, 7..400_007).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&octets).unwrap();
    let file = attachment.open_file(file.as_fd()).unwrap();
    attachment.publish_file(b"/file", &file, 500_000, 300_000).unwrap();
    let found = |key: &[u8]| attachment.object(key).unwrap().unwrap();
    let objects = [found(b"/octets"), found(b"/memory"), found(b"/file")];
    assert_eq!(objects.each_ref().map(|object| object.len()), [1_000_000, 400_000, 300_000]);
    let (socket, mut peer) = connected(&attachment);
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived
    });
    let mut expected = Vec::new();
    for (object, from) in objects.iter().zip([0, 100_007, 500_000]) {
        assert_eq!(socket.sync_send(b"head", soon()).unwrap(), 4);
        let mut whole = socket.send_object(object, 0, object.len()).unwrap();
        let part = socket.send_object(object, 99, 1).unwrap();
        whole.job_wait(soon()).unwrap();
        assert_eq!((whole.wait().0.unwrap(), part.wait().0.unwrap()), (object.len(), 1));
        expected.extend(b"head");
        expected.extend(&octets[from..from + object.len() as usize]);
        expected.push(octets[from + 99]);
    }
    let refused = socket.send_object(&objects[0], 1, 1_000_000).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused.error), Some(Errno::INVAL), "beyond its end");
    socket.close();
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn others_of_the_same_user_find_it_until_it_is_purged_and_have_it_still() {
    let real = Real::start();
    let (publisher, other) = (attach(&real), attach(&real));
    assert!(other.object(b"/a").unwrap().is_none());
    publisher.publish(b"/a", b"first").unwrap();
    let first = other.object(b"/a").unwrap().unwrap();
    publisher.publish(b"/a", b"second!").unwrap();
    let second = other.object(b"/a").unwrap().unwrap();
    assert!(other.purge(b"/a").unwrap() && !publisher.purge(b"/a").unwrap());
    assert!(publisher.object(b"/a").unwrap().is_none());
    drop(publisher);
    let (socket, mut peer) = connected(&other);
    for object in [&second, &first] {
        assert_eq!(socket.send_object(object, 0, object.len()).unwrap().wait().0.unwrap(), object.len());
    }
    let mut arrived = [0; 12];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"second!first");
    socket.post(&first, 1..3).unwrap();
    peer.read_exact(&mut arrived[..2]).unwrap();
    assert_eq!(&arrived[..2], b"ir");
    let theirs = attach(&real);
    let (socket, _peer) = connected(&theirs);
    let published = theirs.publish_mem(b"/b", &first, 0..5).unwrap_err();
    assert_eq!(Errno::from_io_error(&published), Some(Errno::INVAL), "an object is no memory");
    let refused = socket.send_object(&first, 0, 1).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused.error), Some(Errno::INVAL), "it is another attachment's");
}

#[test]
fn a_user_does_not_see_what_is_anothers() {
    if !geteuid().is_root() {
        println!("skipped: to be another user needs root");
        return;
    }
    let real = Real::start();
    let attachment = attach(&real);
    attachment.publish(b"/a", b"root's").unwrap();
    let path = real.path();
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let another = thread::spawn(move || {
        let nobody = Uid::from_raw(65_534);
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let attachment = Attachment::attach(&path, "another user's").unwrap();
        assert!(attachment.object(b"/a").unwrap().is_none() && !attachment.purge(b"/a").unwrap());
        attachment.publish(b"/a", b"nobody's own").unwrap();
        attachment.object(b"/a").unwrap().unwrap().len()
    });
    assert_eq!(another.join().unwrap(), 12);
    assert_eq!(attachment.object(b"/a").unwrap().unwrap().len(), 6);
}
