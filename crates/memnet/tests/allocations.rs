//! Between a request and its answer nothing is allocated.

#[path = "../examples/http_async.rs"]
mod http_async;
mod support;

use afpa_platform::testing::CountingAllocator;
use memnet::{Options, Socket};
use support::Server;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_request_is_answered_without_allocating() {
    let directory = tempfile::tempdir().unwrap();
    let large = vec![b'x'; 100_000];
    std::fs::write(directory.path().join("small"), "a small file").unwrap();
    std::fs::write(directory.path().join("large"), &large).unwrap();
    let server = Server::start();
    let mut web = http_async::Server::new(&server.attach(), "127.0.0.1:0".parse().unwrap(), directory.path()).unwrap();
    let slot = server.arrives(0);
    web.turn().unwrap();
    let mut exchange = |request: &[u8], answer: &[u8], jobs| {
        server.delivers(slot, request);
        let before = CountingAllocator::allocations();
        web.turn().unwrap();
        let allocations = CountingAllocator::allocations() - before;
        let sent: Vec<u8> = (0..jobs).flat_map(|_| server.does_job(slot)).collect();
        assert!(sent.ends_with(answer));
        allocations
    };
    exchange(b"GET /small HTTP/1.1\r\n\r\n", b"a small file", 1);
    for _ in 0..10 {
        assert_eq!(exchange(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n", b"a small file", 1), 0);
        assert_eq!(exchange(b"GET /large HTTP/1.1\r\n\r\n", &large, 2), 0);
        assert_eq!(exchange(b"GET /small HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n", b"no such file.\n", 2), 0);
    }
}

#[test]
fn jobs_are_posted_and_finished_without_allocating() {
    let server = Server::start();
    let attachment = server.attach();
    let to = "127.0.0.1:9".parse().unwrap();
    let socket = Socket::start_to_connect(&attachment, to, &Options::default()).unwrap();
    let slot = socket.channel().number();
    server.connects(slot);
    let mut buffer = attachment.register_receive_mem(64).unwrap();
    let mut octets = [0; 8];
    let before = CountingAllocator::allocations();
    for _ in 0..20 {
        let job = socket.async_send(buffer, 0..8).unwrap();
        server.slot(slot).server_jobs_done(server.slot(slot).jobs_posted());
        buffer = job.finish().unwrap().1;
        let job = socket.async_recv(buffer).unwrap();
        server
            .slot(slot)
            .server_received(server.slot(slot).receives_done(), afpa_channel::job_ring::Received::Octets(8));
        buffer = job.finish().unwrap().1;
        socket.try_send(&octets).unwrap();
        assert!(socket.try_recv(&mut octets).is_err());
    }
    assert_eq!(CountingAllocator::allocations() - before, 0);
}
