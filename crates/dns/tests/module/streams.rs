//! Streams: many questions at once, slow peers, and ends.

use std::time::Duration;

use afpa_dns::Limits;
use afpa_dns::message::Rcode;
use afpa_engine::memory::{Ending, MemoryConfig};

use crate::bench::{SECOND, Server, Setup, frame};
use crate::messages::{a, reply};
use crate::zones::{EXAMPLE, zone_of};

fn server() -> Server {
    Server::new(Setup { zones: vec![("example", zone_of(100))], ..Setup::default() })
}

#[test]
fn a_hundred_questions_in_a_row_are_answered_in_their_order_from_memory() {
    let mut server = server();
    let mut stream = server.connect();
    let asks: Vec<_> = (0..100).map(|id| a("www.example").id(id)).collect();
    stream.send(&asks);
    server.settle();
    assert_eq!(stream.ids(), (0..100).collect::<Vec<_>>());
    assert_eq!(stream.peer.ending(), None);
}

#[test]
fn answers_overtake_each_other() {
    let mut server = server();
    let mut stream = server.connect();
    stream.send(&[a("slow").id(1), a("fast").id(2), a("www.example").id(3)]);
    server.settle();
    assert_eq!(stream.ids(), [3]);
    let asked = server.asked();
    let of = |name: &str| asked.iter().find(|asked| asked.ask.name.eq_ignore_ascii_case(name)).unwrap();
    for (name, id) in [("fast.", 2), ("slow.", 1)] {
        let asked = of(name);
        asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
        server.settle();
        assert_eq!(stream.ids(), [id]);
    }
}

#[test]
fn questions_may_arrive_octet_by_octet_or_cut_anywhere() {
    let octets: Vec<u8> = [frame(&a("www.example").id(1).octets()), frame(&a("elsewhere").id(2).octets())].concat();
    for cut in 1..octets.len() {
        let mut server = server();
        let mut stream = server.connect();
        stream.peer.send(&octets[..cut]);
        server.pass();
        stream.peer.send(&octets[cut..]);
        server.settle();
        assert_eq!((stream.ids(), server.asked().len()), (vec![1], 1), "cut at {cut}");
    }
    let mut server = Server::new(Setup {
        zones: vec![("example", EXAMPLE.into())],
        network: MemoryConfig { frame: 1, ..MemoryConfig::default() },
        ..Setup::default()
    });
    let mut stream = server.connect();
    stream.peer.send(&octets);
    server.settle();
    assert_eq!((stream.ids(), server.asked().len()), (vec![1], 1));
}

#[test]
fn a_length_that_no_message_has_ends_the_stream() {
    for length in [0u16, 1, 11] {
        let mut server = server();
        let mut stream = server.connect();
        stream.send(&[a("www.example").id(1)]);
        stream.peer.send(&length.to_be_bytes());
        server.settle();
        assert_eq!((stream.ids(), stream.peer.ending()), (vec![1], Some(Ending::Finished)), "{length}");
    }
}

#[test]
fn beyond_the_limit_no_question_is_read_until_one_is_answered() {
    let mut server = Server::new(Setup { limits: Limits { pipelined: 3, ..Limits::default() }, ..Setup::default() });
    let mut stream = server.connect();
    let asks: Vec<_> = (0..5).map(|id| a(&format!("host{id}")).id(id)).collect();
    stream.send(&asks);
    stream.peer.finish();
    server.settle();
    let mut asked = server.asked();
    assert_eq!(asked.len(), 3);
    // Neither idle nor dawdling: it is we who do not read.
    server.advance(Duration::from_millis(1500));
    let mut ids = Vec::new();
    while let Some(first) = asked.pop() {
        first.answer(&reply(&first.octets).address(60, [192, 0, 2, 1]).octets());
        server.settle();
        ids.extend(stream.ids());
        asked.extend(server.asked());
        assert!(asked.len() <= 3);
    }
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    assert_eq!(stream.peer.ending(), Some(Ending::Finished), "FIN came behind all of them");
}

#[test]
fn a_stream_on_which_nothing_happens_is_closed() {
    let mut server = server();
    let mut stream = server.connect();
    server.advance(SECOND * 9);
    stream.send(&[a("www.example")]);
    server.settle();
    assert_eq!(stream.answers().len(), 1);
    server.advance(SECOND * 9);
    assert_eq!(stream.peer.ending(), None, "it counts from the last answer");
    server.advance(SECOND * 2);
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));
    assert_eq!(server.handle.stats().open.get(), 0);
}

#[test]
fn a_stream_that_waits_for_an_answer_is_not_idle() {
    let limits = Limits { patience: SECOND * 60, idle_timeout: SECOND, ..Limits::default() };
    let mut server = Server::new(Setup { limits, ..Setup::default() });
    let mut stream = server.connect();
    stream.send(&[a("www")]);
    server.settle();
    let asked = server.question();
    server.advance(Duration::from_millis(1750));
    assert_eq!(stream.peer.ending(), None);
    asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    server.settle();
    assert_eq!(stream.answers().len(), 1);
    server.advance(Duration::from_millis(750));
    assert_eq!(stream.peer.ending(), None);
    server.advance(Duration::from_millis(500));
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));
}

#[test]
fn a_question_that_takes_too_long_ends_the_stream_however_it_trickles() {
    let mut server = server();
    let stream = server.connect();
    for octet in frame(&a("www.example").octets()) {
        if stream.peer.ending().is_some() {
            break;
        }
        stream.peer.send(&[octet]);
        server.advance(SECOND);
    }
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));
    assert_eq!(server.time().0 / 1_000_000_000, 6, "from its first octet on");
}

#[test]
fn what_was_asked_before_fin_is_answered_and_then_the_stream_ends() {
    let mut server = server();
    let mut stream = server.connect();
    stream.send(&[a("www").id(1), a("www.example").id(2), a("other").id(3)]);
    stream.peer.send(&frame(&a("cut").octets())[..7]);
    stream.peer.finish();
    server.settle();
    assert_eq!((stream.ids(), stream.peer.ending()), (vec![2], None));
    for asked in server.asked() {
        asked.answer(&reply(&asked.octets).address(60, [192, 0, 2, 1]).octets());
    }
    server.settle();
    let mut ids = stream.ids();
    ids.sort_unstable();
    assert_eq!((ids, stream.peer.ending()), (vec![1, 3], Some(Ending::Finished)));

    let stream = server.connect();
    stream.peer.finish();
    server.settle();
    assert_eq!(stream.peer.ending(), Some(Ending::Finished), "nothing was asked");
}

#[test]
fn who_does_not_read_its_answers_is_not_answered_more_and_cut_off_in_the_end() {
    let network = MemoryConfig { window: 1000, send_buffer: 10_000, ..MemoryConfig::default() };
    let setup = || Setup { zones: vec![("example", zone_of(100))], network, ..Setup::default() };
    let asks: Vec<_> = (0..100).map(|id| a("many.example").id(id)).collect();
    let mut server = Server::new(setup());
    let mut stream = server.connect();
    stream.send(&asks);
    stream.peer.finish();
    server.settle();
    assert!(server.stats.answer_octets.get() < 14_000, "the window is closed");
    let mut ids = Vec::new();
    for _ in 0..1000 {
        ids.extend(stream.ids());
        server.pass();
    }
    assert_eq!(ids, (0..100).collect::<Vec<_>>(), "who reads gets all of them");
    assert_eq!(stream.peer.ending(), Some(Ending::Finished));

    let mut server = Server::new(setup());
    let stream = server.connect();
    stream.send(&asks);
    server.advance(SECOND * 9);
    assert_eq!(stream.peer.ending(), None);
    stream.send(&asks);
    server.advance(SECOND * 2);
    assert_eq!(stream.peer.ending(), Some(Ending::Reset), "asking more is no reading");
    assert_eq!(server.handle.stats().open.get(), 0);
}

#[test]
fn the_longest_question_is_read_like_any_other() {
    let mut server = server();
    let mut stream = server.connect();
    let padding = vec![0; 65_535 - 12 - 17 - 11 - 4];
    let long = a("www.example").id(5).option(12, &padding);
    assert_eq!(long.octets().len(), 65_535);
    stream.send(&[long, a("www.example").id(6)]);
    server.settle();
    assert_eq!(stream.ids(), [5, 6]);
}

#[test]
fn a_stopping_engine_closes_idle_streams_and_answers_what_has_arrived() {
    let mut server = server();
    let (idle, mut busy, half) = (server.connect(), server.connect(), server.connect());
    busy.send(&[a("www.example").id(1), a("www").id(2)]);
    half.peer.send(&[0, 40, 0]);
    server.settle();
    server.handle.stop(Duration::from_secs(3600));
    server.settle();
    assert_eq!(idle.peer.ending(), Some(Ending::Finished));
    assert_eq!((busy.ids(), busy.peer.ending()), (vec![1], None));
    let asked = server.question();
    asked.answer(&reply(&asked.octets).rcode(Rcode::NXDOMAIN).soa(60, 60).octets());
    server.settle();
    assert_eq!((busy.ids(), busy.peer.ending()), (vec![2], Some(Ending::Finished)));
    // The rest of a question may be under way.
    assert_eq!(half.peer.ending(), None);
    server.advance(SECOND * 6);
    assert_eq!(half.peer.ending(), Some(Ending::Finished));
    assert!(!server.pass());
}
