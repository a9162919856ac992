//! Answers that are left to the program, one frame at a time: the kernel runs it on each. As root; without, the tests say
//! so and pass, unless CI=true.

mod datagram;

use std::net::SocketAddr;

use afpa_platform::clock;
use afpa_platform::steering::{Admission, Answer, Answers, Asks, Protocol, Rehearsal, SteeringError, Subject, Verdict};
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

fn answered(question: &[u8], ttl: u32) -> Vec<u8> {
    let mut expected = [question, TAIL].concat();
    expected[2..8].copy_from_slice(&[0x85, 0x80, 0, 1, 0, 1]);
    let at = question.len() + usize::from(TTLS[0]);
    expected[at..at + 4].copy_from_slice(&ttl.to_be_bytes());
    expected
}

/// An OPT record: the size that the client takes, flags, options.
fn opt(size: u16, flags: u16, options: &[u8]) -> Vec<u8> {
    let (size, flags, len) = (size.to_be_bytes(), flags.to_be_bytes(), (options.len() as u16).to_be_bytes());
    [&[0, 0, 41][..], &size, &[0, 0], &flags, &len, options].concat()
}

#[test]
fn what_was_left_is_answered_and_nothing_else() {
    let Some(lab) = lab() else { return };
    lab.publish("www.example", recursive(), &answer(0));
    let asked = question("www.example", 0, &[]);
    assert_eq!(lab.ask(&asked).unwrap(), answered(&asked, 300));
    assert_eq!(lab.ask_between(THERE_6, HERE_6, &asked).unwrap(), answered(&asked, 300));
    let with = |at: usize, octet: u8| {
        let mut other = asked.clone();
        other[at] = octet;
        other
    };
    let end = asked.len();
    let others = [
        (question("ww.example", 0, &[]), "another name"),
        (question("www.exampl", 0, &[]), "a part of it"),
        (question("www.example.x", 0, &[]), "a name below"),
        (question("", 0, &[]), "the root"),
        (with(end - 3, 28), "another type"),
        (with(end - 1, 3), "another class"),
        (with(2, 0), "without RD"),
        (with(3, 0x10), "with CD"),
        (with(3, 0x20), "with AD"),
        (question("www.example", 1, &opt(1232, 0, &[])), "with OPT"),
        (with(2, 0x81), "a response"),
        (with(2, 0x09), "another opcode"),
        (with(2, 0x03), "truncated"),
        (with(3, 0x40), "the reserved bit"),
        (with(3, 0x03), "a response code"),
        (with(5, 0), "no question"),
        (with(5, 2), "two questions"),
        (with(7, 1), "an answer that is not there"),
        (with(9, 1), "an authority that is not there"),
        (with(11, 1), "a record that is not there"),
        (with(12, 0xc0), "a compressed name"),
        (with(12, 0x40), "a label of another type"),
        (question("www.example", 0, &[0]), "something behind it"),
    ];
    for (other, what) in others {
        assert_eq!(lab.ask(&other), None, "{what}");
    }
    lab.answers.turn_off();
    assert_eq!(lab.ask(&asked), None);
}

#[test]
fn names_are_compared_regardless_of_letters_and_letters_are_kept() {
    let Some(lab) = lab() else { return };
    let all: String = (1..=255u8).filter(|octet| octet.is_ascii_graphic() && *octet != b'.').map(char::from).collect();
    let name = format!("{}.{}", &all[..60], &all[87..]);
    assert!(name.contains("Z[") || name.contains("@A"));
    lab.publish(&name.to_ascii_lowercase(), recursive(), &answer(0));
    for name in [name.to_ascii_lowercase(), name.to_ascii_uppercase(), name.clone()] {
        let asked = question(&name, 0, &[]);
        assert_eq!(lab.ask(&asked).unwrap(), answered(&asked, 300));
    }
    // What differs by the same bit and is no letter is something else.
    for (octet, other) in [(b'@', b'`'), (b'[', b'{'), (0x10, b'0'), (0xc1, 0xe1)] {
        let ask = |octet: u8| {
            let mut asked = question("x.example", 0, &[]);
            asked[13] = octet;
            asked
        };
        let subject = Subject::new(&ask(other)[12..23], 1, 1, recursive()).unwrap();
        lab.answers.publish(&subject, &answer(0), lab.answers.generation()).unwrap();
        assert!(lab.ask(&ask(other)).is_some() && lab.ask(&ask(octet)).is_none(), "{octet:02x}");
    }
}

#[test]
fn names_of_every_length_are_found() {
    let Some(lab) = lab() else { return };
    for len in 1..=Subject::LONGEST_NAME - 2 {
        // A label, and for the longer ones another.
        let name = if len <= 63 { "n".repeat(len) } else { format!("{}.{}", "m".repeat(len - 9), "n".repeat(8)) };
        lab.publish(&name, recursive(), &answer(0));
        let asked = question(&name, 0, &[]);
        assert_eq!(lab.ask(&asked).unwrap(), answered(&asked, 300), "{len} octets");
    }
    let labels = "a.".repeat(Subject::LONGEST_NAME / 2 - 1);
    lab.publish(&labels, recursive(), &answer(0));
    assert!(lab.ask(&question(&labels, 0, &[])).is_some(), "as many labels as can be");
    let long = "a.".repeat(Subject::LONGEST_NAME / 2);
    assert_eq!(Subject::new(&wire(&long), 1, 1, recursive()), None);
    assert_eq!(lab.ask(&question(&long, 0, &[])), None);
    assert_eq!(lab.ask(&question(&"a.".repeat(127), 0, &[])), None);
}

#[test]
fn ttls_are_what_is_left_of_them() {
    let Some(lab) = lab() else { return };
    let asked = question("www.example", 0, &[]);
    let mut tail = TAIL.to_vec();
    tail[6..10].copy_from_slice(&[0, 0, 0, 8]);
    for (age, ttl) in [(0, 8), (1, 7), (7, 1), (8, 0), (20, 0)] {
        // Not where a second ends: the program reads its own clock.
        let answer = Answer { stored_at: clock::now() - age * SECOND - SECOND / 3, tail: &tail, ..answer(0) };
        lab.publish("www.example", recursive(), &answer);
        assert_eq!(lab.ask(&asked).unwrap(), answered(&asked, ttl), "after {age} s");
    }
    lab.publish("www.example", recursive(), &Answer { stored_at: clock::now() + SECOND, ..answer(0) });
    assert_eq!(lab.ask(&asked).unwrap(), answered(&asked, 300), "left by a clock that is ahead");
    // Sixteen, at even and odd places.
    let stored_at = clock::now() - 44 * SECOND - SECOND / 3;
    for first in [0, 1] {
        let places: Vec<u16> = (0..16).map(|number| first + 5 * number).collect();
        let tail = [vec![7; first.into()], [0, 0, 1, 44, 9].repeat(16)].concat();
        lab.publish("www.example", recursive(), &Answer { stored_at, tail: &tail, ttls: &places, ..answer(0) });
        let answer = lab.ask(&asked).unwrap();
        let tail = &answer[asked.len()..];
        assert!(places.iter().all(|&at| tail[usize::from(at)..].starts_with(&[0, 0, 1, 0, 9])), "{tail:?}");
    }
}

#[test]
fn what_is_over_or_withdrawn_is_for_engines() {
    let Some(lab) = lab() else { return };
    let asked = question("www.example", 0, &[]);
    let subject = Subject::new(&wire("www.example"), 1, 1, recursive()).unwrap();
    lab.publish("www.example", recursive(), &Answer { ends_at: clock::now() - SECOND, ..answer(10) });
    assert_eq!(lab.ask(&asked), None, "over");
    lab.publish("www.example", recursive(), &answer(0));
    assert!(lab.ask(&asked).is_some(), "another took its place");
    lab.answers.withdraw(&subject).unwrap();
    assert_eq!(lab.ask(&asked), None, "withdrawn");
    lab.answers.withdraw(&subject).unwrap();
    lab.publish("www.example", recursive(), &answer(0));
    let before = lab.answers.generation();
    lab.answers.withdraw_all();
    assert_eq!(lab.ask(&asked), None, "all withdrawn");
    lab.answers.publish(&subject, &answer(0), before).unwrap();
    assert_eq!(lab.ask(&asked), None, "read before all were withdrawn");
    lab.publish("www.example", recursive(), &answer(0));
    assert!(lab.ask(&asked).is_some());
    let counters = lab.answers.counters().unwrap();
    assert_eq!((counters.given, counters.not_left, counters.over), (2, 1, 3));
    assert_eq!(counters.octets, 2 * (asked.len() + TAIL.len()) as u64);
}

#[test]
fn what_was_not_asked_for_lately_makes_room() {
    let Some(lab) = lab() else { return };
    let number = |number: u32| format!("n{number}.example");
    // More than twice of what there is room for.
    for name in (0..10_000).map(number) {
        lab.publish(&name, recursive(), &answer(0));
        assert!(lab.ask(&question(&name, 0, &[])).is_some(), "{name}");
    }
    let left = (0..10_000).map(number).filter(|name| lab.ask(&question(name, 0, &[])).is_some()).count();
    assert!((1..=4096).contains(&left), "{left} are left");
}

#[test]
fn a_client_gets_no_more_than_it_takes() {
    let Some(lab) = lab() else { return };
    let tail = [7; Answer::LONGEST_TAIL];
    let extended = Asks { extended: true, ..recursive() };
    let head = question("www.example", 0, &[]).len();
    for len in 1..=Answer::LONGEST_TAIL {
        let answer = Answer { tail: &tail[..len], ttls: &[], ..answer(0) };
        lab.publish("www.example", recursive(), &answer);
        lab.publish("www.example", extended, &answer);
        let given = lab.ask(&question("www.example", 0, &[]));
        assert_eq!(given.map(|given| given.len()), (head + len <= 512).then_some(head + len), "{len} octets");
        for (takes, size) in [(0, 512), (511, 512), (512, 512), (520, 520), (1232, 1232), (65535, 65535)] {
            let given = lab.ask(&question("www.example", 1, &opt(takes, 0, &[])));
            let expected = (head + len <= size).then_some(head + len);
            assert_eq!(given.map(|given| given.len()), expected, "{len} octets, {takes} taken");
        }
    }
    lab.publish("www.example", extended, &Answer { most: 1232, ..answer(0) });
    assert!(lab.ask(&question("www.example", 1, &opt(1232, 0, &[]))).is_some());
    assert!(lab.ask(&question("www.example", 1, &opt(1233, 0, &[]))).is_none(), "it may be told more");
    let unsuitable = [
        Answer { tail: &[0; Answer::LONGEST_TAIL + 1], ..answer(0) },
        Answer { tail: &[], ttls: &[], ..answer(0) },
        Answer { ttls: &[0; Answer::MOST_TTLS + 1], ..answer(0) },
        Answer { ttls: &[TAIL.len() as u16 - 3], ..answer(0) },
    ];
    let subject = Subject::new(&wire("www.example"), 1, 1, recursive()).unwrap();
    for answer in unsuitable {
        assert!(matches!(lab.answers.publish(&subject, &answer, 0), Err(SteeringError::Unsuitable(_))));
    }
}

#[test]
fn opt_records_without_options_are_read_and_others_are_for_engines() {
    let Some(lab) = lab() else { return };
    let (plain, dnssec) =
        (Asks { extended: true, ..recursive() }, Asks { extended: true, dnssec: true, ..recursive() });
    lab.publish("www.example", plain, &answer(0));
    let ask = |opt: &[u8]| lab.ask(&question("www.example", 1, opt));
    // The answer comes with what was left of OPT: nothing here.
    assert_eq!(ask(&opt(1232, 0, &[])).unwrap(), answered(&question("www.example", 0, &[]), 300));
    assert_eq!(ask(&opt(1232, 0x8000, &[])), None, "DO");
    lab.publish("www.example", dnssec, &answer(0));
    assert!(ask(&opt(1232, 0x8000, &[])).is_some());
    let with = |at: usize, octet: u8| {
        let mut opt = opt(1232, 0, &[]);
        opt[at] = octet;
        opt
    };
    let others = [
        (opt(1232, 0, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), "a cookie"),
        (opt(1232, 0, &[0, 12, 0, 0]), "an empty option"),
        (with(0, 1), "not of the root"),
        (with(2, 250), "no OPT"),
        (with(1, 1), "no OPT either"),
        (with(5, 1), "an extended code"),
        (with(6, 1), "another version"),
        (with(7, 0x40), "an unknown flag"),
        (with(8, 1), "another unknown flag"),
        (with(9, 1), "options that are not there"),
        (with(10, 1), "an option that is not there"),
        ([opt(1232, 0, &[]), vec![0]].concat(), "something behind it"),
        (opt(1232, 0, &[])[..10].to_vec(), "cut off"),
    ];
    for (opt, what) in others {
        assert_eq!(ask(&opt), None, "{what}");
    }
    let twice = [opt(1232, 0, &[]), opt(1232, 0, &[])].concat();
    assert_eq!(lab.ask(&question("www.example", 2, &twice)), None);
}

#[test]
fn whatever_is_malformed_goes_up() {
    let Some(lab) = lab() else { return };
    for asks in [recursive(), Asks { extended: true, ..recursive() }] {
        lab.publish("www.example", asks, &answer(0));
    }
    let asked = question("www.example", 0, &[]);
    let extended = question("www.example", 1, &opt(1232, 0, &[]));
    for (from, to) in [(THERE, HERE), (THERE_6, HERE_6)] {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        for asked in [&asked, &extended] {
            // Cut off, with lengths that say so and lengths that do not.
            let whole = datagram::frame(from, to, asked);
            for end in 14..whole.len() {
                assert_eq!(lab.rehearsal.run(&whole[..end]).unwrap(), Verdict::Passed, "{end} octets");
            }
            for end in 0..asked.len() {
                let frame = datagram::frame(from, to, &asked[..end]);
                assert_eq!(lab.rehearsal.run(&frame).unwrap(), Verdict::Passed, "{end} octets of a message");
            }
            // Each bit changed on the way: the checksum tells, or the frame is another's. The IP header of version 6
            // has a class and a hop limit that nothing depends on.
            for bit in 14 * 8..whole.len() * 8 {
                let mut frame = whole.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                let is_indifferent = from.is_ipv6() && matches!(bit / 8, 14..=17 | 21);
                let verdict = lab.rehearsal.run(&frame).unwrap();
                assert!(verdict == Verdict::Passed || is_indifferent && bit / 4 != 29, "bit {bit}");
            }
            // Each octet changed by the sender: the question is another, or a field says something else.
            for place in 2..asked.len() {
                for octet in [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff] {
                    let mut other = (*asked).clone();
                    other[place] = octet;
                    let verdict = lab.rehearsal.run(&datagram::frame(from, to, &other)).unwrap();
                    // The size that a client takes is its own.
                    let is_size = asked.len() - place == 8 || asked.len() - place == 7;
                    let is_same = other == **asked || is_size && *asked == extended;
                    assert_eq!(verdict != Verdict::Passed, is_same, "octet {place} is {octet:02x}");
                }
            }
        }
    }
}

#[test]
fn checksums_are_seen_to_be_right() {
    let Some(lab) = lab() else { return };
    lab.publish("www.example", recursive(), &answer(0));
    let asked = question("www.example", 0, &[]);
    for (from, to, may_be_zero) in [(THERE, HERE, true), (THERE_6, HERE_6, false)] {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let at = if from.is_ipv4() { 40 } else { 60 };
        let with = |sum: u16| {
            let mut frame = datagram::frame(from, to, &asked);
            frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            lab.rehearsal.run(&frame).unwrap() != Verdict::Passed
        };
        assert_eq!(with(0), may_be_zero, "none");
        assert!(!with(0x1234));
        // What a kernel leaves to a device: the sum over the pseudo-header alone.
        let pseudo = datagram::pseudo_header(from.ip(), to.ip(), asked.len());
        assert!(!with(pseudo));
        lab.answers.turn_on(true);
        assert!(with(pseudo));
        lab.answers.turn_on(false);
    }
}

#[test]
fn frames_that_are_not_plain_are_for_engines() {
    let Some(lab) = lab() else { return };
    lab.publish("www.example", recursive(), &answer(0));
    let asked = question("www.example", 0, &[]);
    let whole = datagram::frame(THERE.parse().unwrap(), HERE.parse().unwrap(), &asked);
    let is_answered = |frame: &[u8]| lab.rehearsal.run(frame).unwrap() != Verdict::Passed;
    let padded = |octets: usize| [&whole[..], &vec![0xee; octets]].concat();
    for octets in [0, 1, 18, 64] {
        let Verdict::Answered(frame) = lab.rehearsal.run(&padded(octets)).unwrap() else { panic!("not answered") };
        assert_eq!(datagram::read(&frame).2, answered(&asked, 300), "{octets} octets of padding");
    }
    assert!(!is_answered(&padded(65)), "a trailer");
    let tagged = [&whole[..12], &[0x81, 0, 0, 7], &whole[12..]].concat();
    assert!(!is_answered(&tagged), "a VLAN tag");
    let mut to_all = whole.clone();
    to_all[..6].fill(0xff);
    assert!(!is_answered(&to_all), "to everybody on the link");
    let between = |from: &str, to: &str| lab.ask_between(from, to, &asked).is_some();
    assert!(between("192.0.2.9:1", HERE) && !between("192.0.2.9:0", HERE), "a port that nobody has");
    assert!(!between("224.0.0.1:4711", HERE) && !between("0.0.0.1:4711", HERE), "addresses that nobody has");
    assert!(!between("[ff02::1]:4711", HERE_6) && !between("[::]:4711", HERE_6), "nor these");
    assert!(!between(THERE, "192.0.2.1:54"), "not a service");
    lab.rehearsal.steer(Protocol::Udp, "192.0.2.1:54".parse().unwrap()).unwrap();
    assert!(!between(THERE, "192.0.2.1:54"), "a service that no answers are left for");
}

#[test]
fn a_budget_is_for_about_a_second() {
    let Some(lab) = lab() else { return };
    lab.publish("www.example", recursive(), &Answer { budget: 10, ..answer(0) });
    let asked = question("www.example", 0, &[]);
    let given = (0..100).filter(|_| lab.ask(&asked).is_some()).count();
    assert!((10..=20).contains(&given), "{given}: a second may have ended meanwhile");
    let counters = lab.answers.counters().unwrap();
    assert_eq!((counters.given, counters.too_often), (given as u64, 100 - given as u64));
}

#[test]
fn an_answer_for_some_is_not_given_to_others() {
    let Some(lab) = lab() else { return };
    let asked = question("www.example", 0, &[]);
    let admission = |address: &str, prefix, groups| Admission { address: address.parse().unwrap(), prefix, groups };
    let networks = [
        admission("192.0.2.0", 24, 3),
        admission("192.0.2.128", 25, 1),
        admission("192.0.2.200", 32, 2),
        admission("2001:db8::", 32, 2),
        admission("::", 0, 1),
    ];
    lab.answers.admit(&networks).unwrap();
    let clients = [
        ("192.0.2.9:1", HERE, 3),
        ("192.0.2.129:1", HERE, 1),
        ("192.0.2.200:1", HERE, 2),
        ("192.0.3.1:1", HERE, 0),
        ("[2001:db8::9]:1", HERE_6, 2),
        ("[2001:db9::9]:1", HERE_6, 1),
        // An IPv4 address in another form: nobody sends from it.
        ("[::ffff:192.0.2.9]:1", HERE_6, 0),
    ];
    for groups in [1, 2] {
        lab.publish("www.example", recursive(), &Answer { groups, ..answer(0) });
        for (client, service, is_in) in clients {
            let is_given = lab.ask_between(client, service, &asked).is_some();
            assert_eq!(is_given, is_in & groups > 0, "{client}, {groups}");
        }
    }
    lab.answers.admit(&[]).unwrap();
    assert!(lab.ask(&asked).is_none(), "withdrawn");
    lab.publish("www.example", recursive(), &Answer { groups: 1, ..answer(0) });
    assert!(lab.ask(&asked).is_none(), "nobody is in a group");
    lab.publish("www.example", recursive(), &answer(0));
    assert!(lab.ask(&asked).is_some(), "for everybody");
}
