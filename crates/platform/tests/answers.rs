//! Answers that are left to the program, one frame at a time: the kernel runs it on each. As root; without, the tests say
//! so and pass, unless CI=true.

mod datagram;

use std::net::SocketAddr;

use afpa_platform::clock;
use afpa_platform::steering::{Answer, Answers, Asks, Protocol, Rehearsal, SteeringError, Subject, Verdict};
use datagram::{HERE_LINK, THERE_LINK};

const SECOND: u64 = 1_000_000_000;
/// An answer: one address, of the name that the question has.
const TAIL: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x07";
const TTLS: &[u16] = &[6];

/// The program, with a service of each version that answers are left for.
struct Lab {
    rehearsal: Rehearsal,
    answers: Answers,
}

fn lab() -> Option<Lab> {
    let rehearsal = match Rehearsal::new() {
        Ok(rehearsal) => rehearsal,
        Err(SteeringError::NoPrivilege | SteeringError::NoBpf) => {
            let is_root = rustix::process::geteuid().is_root();
            assert!(!is_root || std::env::var("CI").as_deref() != Ok("true"), "root may load BPF programs");
            eprintln!("skipped: this process may not load BPF programs");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    for service in [HERE, HERE_6] {
        rehearsal.answer_at(service.parse().unwrap()).unwrap();
    }
    let answers = rehearsal.answers().unwrap();
    answers.turn_on(false);
    Some(Lab { rehearsal, answers })
}

const HERE: &str = "192.0.2.1:53";
const HERE_6: &str = "[2001:db8::1]:53";
const THERE: &str = "192.0.2.9:4711";
const THERE_6: &str = "[2001:db8::9]:4711";

impl Lab {
    fn publish(&self, name: &str, asks: Asks, answer: &Answer<'_>) {
        let subject = Subject::new(&wire(name), 1, 1, asks).unwrap();
        self.answers.publish(&subject, answer, self.answers.generation()).unwrap();
    }

    /// What is answered to a question over IPv4.
    fn ask(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.ask_between(THERE, HERE, question)
    }

    fn ask_between(&self, from: &str, to: &str, question: &[u8]) -> Option<Vec<u8>> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        match self.rehearsal.run(&datagram::frame(from, to, question)).unwrap() {
            Verdict::Passed => None,
            Verdict::Dropped => panic!("the question was dropped"),
            Verdict::Answered(frame) => {
                assert_eq!(frame[..12], [THERE_LINK, HERE_LINK].concat());
                let (source, destination, payload) = datagram::read(&frame);
                assert_eq!((source, destination), (to, from));
                Some(payload.to_vec())
            }
        }
    }
}

/// The answer above, stored so many seconds ago, for an hour from now.
fn answer(age: u64) -> Answer<'static> {
    let now = clock::now();
    Answer {
        stored_at: now - age * SECOND,
        ends_at: now + 3600 * SECOND,
        budget: 0,
        groups: 0,
        most: u16::MAX,
        flags: 0x8580,
        counts: [1, 0, 0],
        tail: TAIL,
        ttls: TTLS,
    }
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

/// A question for an address, with RD, and with what follows it: records, and how many.
fn question(name: &str, records: u16, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0];
    message.extend_from_slice(&records.to_be_bytes());
    message.extend_from_slice(&wire(name));
    message.extend_from_slice(&[0, 1, 0, 1]);
    message.extend_from_slice(rest);
    message
}

fn recursive() -> Asks {
    Asks { recursion: true, ..Asks::default() }
}

#[test]
fn what_was_left_is_answered_and_nothing_else() {
    let Some(lab) = lab() else { return };
    lab.publish("www.example", recursive(), &answer(0));
    let asked = question("www.example", 0, &[]);
    let mut expected = asked.clone();
    expected[2..8].copy_from_slice(&[0x85, 0x80, 0, 1, 0, 1]);
    expected.extend_from_slice(TAIL);
    assert_eq!(lab.ask(&asked).unwrap(), expected);
    assert_eq!(lab.ask(&question("ww.example", 0, &[])), None);
}
