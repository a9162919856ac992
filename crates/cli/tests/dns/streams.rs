//! Several questions on one TCP connection (RFC 7766 §6.2.1).

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use afpa_dns::message::{Name, NameBuf, Rcode, Type};

use crate::backend::{Backend, answer, asked_name};
use crate::client::{EDNS, connect, next, query};
use crate::server::Server;
use crate::zone_support::message::read;

fn send(stream: &mut TcpStream, id: u16, name: &str, qtype: Type) {
    let message = query(id, &name.parse().unwrap(), qtype, EDNS);
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), &message[..]].concat()).unwrap();
}

/// The next answer's number and response code.
fn receive(stream: &mut TcpStream) -> (u16, Rcode) {
    let message = next(stream).unwrap();
    (u16::from_be_bytes([message[0], message[1]]), Rcode(read(&message).flags & 0xf))
}

#[test]
fn an_answer_that_is_there_overtakes_one_that_is_waited_for() {
    let (release, held) = channel::<()>();
    let backend = Backend::with(move |question| {
        if asked_name(question) == "slow.test".parse::<NameBuf>().unwrap() {
            // Not for ever, should the test have failed.
            let _ = held.recv_timeout(Duration::from_secs(10));
        }
        answer(question, &[[192, 0, 2, 7]], 60)
    });
    let server = Server::dns(&["--backend", &backend.address.to_string()]);
    let mut stream = connect(server.address);
    send(&mut stream, 1, "slow.test", Type::A);
    for id in 2..5 {
        send(&mut stream, id, "zone.test", Type::AXFR);
        assert_eq!(receive(&mut stream), (id, Rcode::REFUSED));
    }
    release.send(()).unwrap();
    assert_eq!(receive(&mut stream), (1, Rcode::NOERROR));
}

#[test]
fn what_was_asked_before_the_client_finished_is_answered_after_it() {
    let (release, held) = channel::<()>();
    let backend = Backend::with(move |question| {
        if asked_name(question).as_name() != Name::ROOT {
            let _ = held.recv_timeout(Duration::from_secs(10));
        }
        answer(question, &[[192, 0, 2, 7]], 60)
    });
    let server = Server::dns(&["--backend", &backend.address.to_string()]);
    let mut stream = connect(server.address);
    (1..=3).for_each(|id| send(&mut stream, id, "same.test", Type::A));
    stream.shutdown(Shutdown::Write).unwrap();
    release.send(()).unwrap();
    let mut answered: Vec<_> = (0..3).map(|_| receive(&mut stream)).collect();
    answered.sort_by_key(|(id, _)| *id);
    assert_eq!(answered, [1, 2, 3].map(|id| (id, Rcode::NOERROR)));
    assert!(next(&mut stream).is_err(), "then it ends");
    assert_eq!(backend.asked().len(), 1);
}
