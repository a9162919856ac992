//! What is remembered of a backend: cookies, EDNS, letter case; and what is counted.

use std::time::Duration;

use afpa_dns::message::{Class, Header, Query, Rcode, Type, Writer, flag, option};
use afpa_dns::upstream::{
    Ask, Attempt, BackendNotice, CASE_CHANGES, End, Expected, HealthState, Mismatch, PoolConfig, PoolId, Pools, Random,
    Received, Verdict, build_query,
};
use afpa_engine::Time;

use crate::support::{attempt, backends, name, pools, seeded};

const NOW: Time = Time(1_000_000_000);

/// A pool of one backend that is spoken with.
struct Dialogue {
    pools: Pools,
    pool: PoolId,
    random: Box<dyn FnMut() -> u64>,
    octets: Vec<u8>,
}

impl Dialogue {
    fn new() -> Dialogue {
        let (pools, pool) = pools(PoolConfig::new("p", backends(&[1])));
        Dialogue { pools, pool, random: Box::new(seeded(1)), octets: Vec::new() }
    }

    fn attempt(&self) -> Attempt {
        attempt(&self.pools, self.pool)
    }

    fn send_at(&mut self, now: Time, attempt: &Attempt) -> Expected {
        let ask = Ask::new(name("www.example"), Type::A);
        let pool = self.pools.get(self.pool).unwrap();
        build_query(&ask, pool, attempt, now, &mut self.random, &mut self.octets).unwrap()
    }

    fn send(&mut self) -> Expected {
        self.send_at(NOW, &self.attempt())
    }

    /// The cookies of the query that was sent last over UDP.
    fn cookies(&self) -> Vec<u8> {
        Query::read(&self.octets).unwrap().edns.unwrap().options.get(option::COOKIE).unwrap().to_vec()
    }

    /// An answer to the query that was sent last, with this server cookie.
    fn answer(&self, rcode: Rcode, server: Option<&[u8]>) -> Vec<u8> {
        let start = if self.octets[..2] == (self.octets.len() as u16 - 2).to_be_bytes() { 2 } else { 0 };
        let query = Query::read(&self.octets[start..]).unwrap();
        let question = query.question.unwrap();
        let mut octets = Vec::new();
        let header = Header { id: query.header.id, flags: flag::QR, counts: [0; 4] };
        let mut writer = Writer::new(&mut octets, header, 1232);
        writer.question(question.name, Type::A, Class::IN).unwrap();
        if let Some(edns) = query.edns {
            let client = &edns.options.get(option::COOKIE).unwrap()[..8];
            let data = server.map(|server| [client, server].concat());
            let option = data.map(|data| [&[0, 10, 0, data.len() as u8][..], &data].concat());
            writer.opt(1232, rcode, false, &option.unwrap_or_default()).unwrap();
        }
        writer.finish();
        octets
    }

    fn learn(&mut self, expected: &mut Expected, octets: &[u8]) -> Option<BackendNotice> {
        let backend = self.attempt().backend;
        let Received::Matched(matched) = expected.receive(octets) else { panic!("{:?}", expected.matches(octets)) };
        self.pools.backend_mut(backend).unwrap().learn(expected, &matched, NOW)
    }

    fn exchange(&mut self, rcode: Rcode, server: Option<&[u8]>) {
        let mut expected = self.send();
        let octets = self.answer(rcode, server);
        self.learn(&mut expected, &octets);
    }
}

#[test]
fn a_servers_cookie_is_shown_to_it_and_replaced_by_its_next() {
    let mut dialogue = Dialogue::new();
    dialogue.exchange(Rcode::NOERROR, Some(&[1; 8]));
    let client = dialogue.cookies();
    dialogue.send();
    assert_eq!(dialogue.cookies(), [&client[..], &[1; 8]].concat());
    dialogue.exchange(Rcode::BADCOOKIE, Some(&[2; 32]));
    dialogue.send();
    assert_eq!(dialogue.cookies(), [&client[..], &[2; 32]].concat());
}

#[test]
fn backends_see_different_cookies() {
    let (pools, pool) = pools(PoolConfig::new("p", backends(&[1, 1])));
    let pool = pools.get(pool).unwrap();
    let cookies: Vec<_> = pool
        .backends()
        .map(|(backend, _)| {
            let attempt = Attempt { backend, ..attempt(&pools, pool.id()) };
            let mut octets = Vec::new();
            build_query(&Ask::new(name("a"), Type::A), pool, &attempt, NOW, &mut seeded(1), &mut octets).unwrap();
            Query::read(&octets).unwrap().edns.unwrap().options.get(option::COOKIE).unwrap().to_vec()
        })
        .collect();
    assert_ne!(cookies[0], cookies[1]);
}

#[test]
fn a_server_that_knew_cookies_and_sends_none_must_prove_itself_over_tcp() {
    let mut dialogue = Dialogue::new();
    dialogue.exchange(Rcode::NOERROR, Some(&[1; 8]));
    let mut expected = dialogue.send();
    let octets = dialogue.answer(Rcode::NOERROR, None);
    assert_eq!(expected.receive(&octets), Received::AskOverTcp(Mismatch::CookieMissing));
    // A bare header is no proof either.
    let header = Header { id: expected.id(), flags: 0x8001, counts: [0; 4] };
    assert!(matches!(expected.receive(&header.to_octets()), Received::Discarded(Mismatch::Question)));
    // Over TCP it is believed, and the cookie forgotten.
    let mut expected = dialogue.send_at(NOW, &Attempt { tcp: true, ..dialogue.attempt() });
    let octets = dialogue.answer(Rcode::NOERROR, None);
    dialogue.learn(&mut expected, &octets);
    dialogue.exchange(Rcode::NOERROR, None);
    assert_eq!(dialogue.cookies().len(), 8);
}

#[test]
fn that_a_backend_does_not_understand_edns_is_remembered_for_a_while() {
    let mut dialogue = Dialogue::new();
    let mut expected = dialogue.send();
    let octets = Header { id: expected.id(), flags: 0x8001, counts: [0; 4] }.to_octets();
    assert_eq!(dialogue.learn(&mut expected, &octets), Some(BackendNotice::WithoutEdns));
    let backend = dialogue.pools.backend(dialogue.attempt().backend).unwrap();
    assert!(!backend.takes_edns(NOW.after(Duration::from_secs(599))));
    assert!(backend.takes_edns(NOW.after(Duration::from_secs(600))));
}

#[test]
fn with_edns_a_backends_cookie_is_forgotten() {
    let mut dialogue = Dialogue::new();
    dialogue.exchange(Rcode::NOERROR, Some(&[1; 8]));
    // Another server has taken its place, and says so over TCP.
    let mut expected = dialogue.send_at(NOW, &Attempt { tcp: true, ..dialogue.attempt() });
    let mut octets = dialogue.octets[2..].to_vec();
    octets.truncate(12 + 13 + 4);
    octets[..12].copy_from_slice(&Header { id: expected.id(), flags: 0x8001, counts: [1, 0, 0, 0] }.to_octets());
    assert_eq!(dialogue.learn(&mut expected, &octets), Some(BackendNotice::WithoutEdns));
    dialogue.send();
    assert_eq!(dialogue.cookies().len(), 8);
}

#[test]
fn two_generators_do_not_say_the_same() {
    let (mut one, mut other) = (Random::new(), Random::new());
    let numbers = |random: &mut Random| (0..8).map(|_| random.next_u64()).collect::<Vec<_>>();
    let (ours, theirs) = (numbers(&mut one), numbers(&mut other));
    assert!(ours.iter().all(|number| !theirs.contains(number)));
    assert_ne!(numbers(&mut one), ours);
}

#[test]
fn a_backend_that_changes_letters_gets_lower_case_for_an_hour() {
    let mut dialogue = Dialogue::new();
    let id = dialogue.attempt().backend;
    let notices: Vec<_> = (0..CASE_CHANGES)
        .map(|_| dialogue.pools.backend_mut(id).unwrap().mismatched(Mismatch::LetterCase, NOW))
        .collect();
    assert!(notices[..notices.len() - 1].iter().all(Option::is_none));
    assert_eq!(notices.last(), Some(&Some(BackendNotice::LetterCaseIgnored)));
    assert!(!dialogue.send().has_mixed_case());
    // What was under way may come back changed, too; that is no news.
    for _ in 0..2 * CASE_CHANGES {
        assert_eq!(dialogue.pools.backend_mut(id).unwrap().mismatched(Mismatch::LetterCase, NOW), None);
    }
    let attempt = dialogue.attempt();
    assert!(dialogue.send_at(NOW.after(Duration::from_secs(3600)), &attempt).has_mixed_case());
    let counters = dialogue.pools.backend(id).unwrap().counters();
    let changes = 3 * u64::from(CASE_CHANGES);
    assert_eq!((counters.mismatches, counters.case_changes), (changes, changes));
}

#[test]
fn an_answer_that_kept_the_letters_starts_the_count_anew_and_other_mismatches_do_not_count() {
    let mut dialogue = Dialogue::new();
    let id = dialogue.attempt().backend;
    for _ in 0..5 {
        for _ in 1..CASE_CHANGES {
            assert_eq!(dialogue.pools.backend_mut(id).unwrap().mismatched(Mismatch::LetterCase, NOW), None);
            assert_eq!(dialogue.pools.backend_mut(id).unwrap().mismatched(Mismatch::Id, NOW), None);
        }
        dialogue.exchange(Rcode::NOERROR, None);
    }
    assert!(dialogue.send().has_mixed_case());
}

#[test]
fn questions_and_their_ends_are_counted() {
    let (mut pools, pool) = pools(PoolConfig::new("p", backends(&[1])));
    let udp = attempt(&pools, pool);
    let ends = [
        End::Answered(Verdict::Answer, Duration::from_millis(8)),
        End::Answered(Verdict::Failed(Rcode::SERVFAIL), Duration::from_millis(16)),
        End::Answered(Verdict::Truncated, Duration::from_millis(9)),
        End::Answered(Verdict::BadCookie, Duration::from_millis(9)),
        End::Answered(Verdict::WithoutEdns, Duration::from_millis(9)),
        End::TimedOut,
        End::Refused,
        End::Abandoned,
    ];
    for tcp in [false, true] {
        pools.began(&Attempt { tcp, ..udp });
    }
    ends.iter().skip(2).for_each(|_| pools.began(&udp));
    assert_eq!(pools.backend(udp.backend).unwrap().counters().outstanding, 8);
    for end in ends {
        pools.ended(udp.backend, end, NOW);
    }
    let counters = pools.backend(udp.backend).unwrap().counters();
    assert_eq!((counters.outstanding, counters.queries, counters.tcp), (0, 8, 1));
    assert_eq!((counters.answers, counters.failures, counters.truncated), (5, 1, 1));
    assert_eq!((counters.bad_cookies, counters.without_edns), (1, 1));
    assert_eq!((counters.timeouts, counters.refusals, counters.downs), (1, 1, 0));
    // 8 ms, and an eighth of what came after each time.
    assert_eq!(pools.backend(udp.backend).unwrap().latency(), Duration::from_nanos(9_000_000));
}

#[test]
fn checks_are_due_once_each_and_their_results_count() {
    let (mut pools, pool) = pools(PoolConfig::new("p", backends(&[1, 1])));
    let (mut random, mut checks) = (seeded(1), Vec::new());
    pools.due(NOW, &mut random, &mut checks);
    pools.due(NOW, &mut random, &mut checks);
    assert_eq!(checks.len(), 2);
    assert!(pools.next_check() > NOW);
    let ask = pools.get(pool).unwrap().check();
    assert_eq!((ask.name.as_name().is_root(), ask.qtype), (true, Type::NS));
    pools.checked(checks[0].backend, true, NOW);
    for _ in 0..3 {
        pools.checked(checks[1].backend, false, NOW);
    }
    let of = |index: usize| pools.backend(checks[index].backend).unwrap();
    assert_eq!((of(0).state(), of(0).counters().checks_passed), (HealthState::Up, 1));
    assert_eq!((of(1).state(), of(1).counters().checks_failed, of(1).counters().downs), (HealthState::Down, 3, 1));
}

#[test]
fn only_a_backend_that_cannot_answer_fails_a_check() {
    let verdicts = [Verdict::Answer, Verdict::Truncated, Verdict::WithoutEdns, Verdict::BadCookie];
    assert!(verdicts.into_iter().all(Verdict::passes_check));
    assert!(!Verdict::Failed(Rcode::REFUSED).passes_check());
}

#[test]
fn a_backend_that_only_says_that_it_failed_goes_down_by_its_checks_however_much_it_says() {
    let (mut pools, pool) = pools(PoolConfig::new("p", backends(&[1])));
    let attempt = attempt(&pools, pool);
    for _ in 0..3 {
        assert_ne!(pools.backend(attempt.backend).unwrap().state(), HealthState::Down);
        pools.checked(attempt.backend, false, NOW);
        pools.began(&attempt);
        pools.ended(attempt.backend, End::Answered(Verdict::Failed(Rcode::SERVFAIL), Duration::ZERO), NOW);
    }
    assert_eq!(pools.backend(attempt.backend).unwrap().state(), HealthState::Down);
}
