//! Response rate limiting and the rate of one client's questions.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use afpa_dns::message::{NameBuf, Type};
use afpa_dns::protect::{ClientRate, ClientRateConfig, Network, NetworkSet, Response, ResponseRate};
use afpa_dns::protect::{ResponseRateConfig, Verdict};
use afpa_engine::Time;
use proptest::prelude::*;

const KEY: [u8; 16] = *b"a key of octets.";

fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(millis: u64) -> Time {
    Time(millis * 1_000_000)
}

fn config(rate: u32) -> ResponseRateConfig {
    ResponseRateConfig { responses_per_second: rate, errors_per_second: rate, ..ResponseRateConfig::default() }
}

fn limiter(config: &ResponseRateConfig) -> ResponseRate {
    ResponseRate::new(config, 1, KEY)
}

/// How many of `count` responses at one time are sent, truncated, dropped.
fn verdicts(limiter: &mut ResponseRate, to: &str, response: Response<'_>, count: usize, now: Time) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..count {
        counts[match limiter.verdict(ip(to), false, &response, now) {
            Verdict::Send => 0,
            Verdict::Truncate => 1,
            Verdict::Drop => 2,
        }] += 1;
    }
    counts
}

#[test]
fn a_flood_of_one_answer_is_limited_from_the_first_moment_of_the_clock_on() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    for now in [Time(0), at(5), at(1_000_000_000), Time(u64::MAX / 2)] {
        assert_eq!(verdicts(&mut limiter(&config(10)), "192.0.2.1", answer, 30, now), [10, 10, 10], "{now:?}");
    }
}

#[test]
fn slip_says_how_many_are_truncated() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    for (slip, counts) in [(0, [10, 0, 60]), (1, [10, 60, 0]), (2, [10, 30, 30]), (3, [10, 20, 40]), (10, [10, 6, 54])]
    {
        let mut limiter = limiter(&ResponseRateConfig { slip, ..config(10) });
        assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 70, at(0)), counts, "slip {slip}");
    }
}

#[test]
fn a_client_at_the_rate_is_never_limited_and_one_above_it_is() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    let (mut steady, mut eager) = (limiter(&config(10)), limiter(&config(10)));
    for step in 0..1000 {
        assert_eq!(verdicts(&mut steady, "192.0.2.1", answer, 1, at(step * 100)), [1, 0, 0]);
    }
    let sent: usize = (0..1000).map(|step| verdicts(&mut eager, "192.0.2.1", answer, 1, at(step * 50))[0]).sum();
    assert!((10..40).contains(&sent), "{sent} of 1000 at twice the rate");
}

#[test]
fn the_window_is_how_long_a_flood_is_remembered() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    for (window, silence, sent) in [(15, 14_900, 0), (15, 15_100, 1), (1, 900, 0), (1, 1100, 1), (15, 16_000, 10)] {
        let config = ResponseRateConfig { window: Duration::from_secs(window), ..config(10) };
        let mut limiter = limiter(&config);
        verdicts(&mut limiter, "192.0.2.1", answer, 10_000, at(0));
        let after = verdicts(&mut limiter, "192.0.2.1", answer, 20, at(silence));
        assert_eq!(after[0], sent, "window {window} s, {silence} ms later");
    }
}

#[test]
fn accounts_are_by_network_and_by_what_is_said() {
    let (www, upper, mail) = (name("www.example.com"), name("WWW.Example.COM"), name("mail.example.com"));
    let used = Response::Answer(www.as_name(), Type::A);
    let cases = [
        ("the same", "192.0.2.1", used, false),
        ("another host of the network", "192.0.2.255", used, false),
        ("a mapped address of the network", "::ffff:192.0.2.9", used, false),
        ("another letter case", "192.0.2.1", Response::Answer(upper.as_name(), Type::A), false),
        ("another network", "192.0.3.1", used, true),
        ("an IPv6 network", "2001:db8::1", used, true),
        ("another name", "192.0.2.1", Response::Answer(mail.as_name(), Type::A), true),
        ("another type", "192.0.2.1", Response::Answer(www.as_name(), Type::AAAA), true),
        ("no such data", "192.0.2.1", Response::NoData(www.as_name(), Type::A), true),
        ("no such name", "192.0.2.1", Response::NoName(www.as_name()), true),
        ("a referral", "192.0.2.1", Response::Referral(www.as_name()), true),
        ("an error", "192.0.2.1", Response::Error, true),
    ];
    for (case, to, response, is_sent) in cases {
        let mut limiter = limiter(&config(5));
        assert_eq!(verdicts(&mut limiter, "192.0.2.1", used, 5, at(0)), [5, 0, 0]);
        let sent = verdicts(&mut limiter, to, response, 1, at(0))[0];
        assert_eq!(sent == 1, is_sent, "{case}");
    }
}

#[test]
fn ipv6_clients_are_accounted_by_56_bits() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    let mut limiter = limiter(&config(5));
    assert_eq!(verdicts(&mut limiter, "2001:db8:0:ff00::1", answer, 5, at(0)), [5, 0, 0]);
    assert_eq!(verdicts(&mut limiter, "2001:db8:0:ffff::1", answer, 1, at(0))[0], 0);
    assert_eq!(verdicts(&mut limiter, "2001:db8:0:fe00::1", answer, 1, at(0))[0], 1);
}

#[test]
fn errors_have_a_rate_of_their_own_and_are_sent_whole_where_others_are_truncated() {
    let www = name("www.example.com");
    let config = ResponseRateConfig { responses_per_second: 0, errors_per_second: 3, slip: 2, ..config(0) };
    let mut limiter = limiter(&config);
    let answer = Response::Answer(www.as_name(), Type::A);
    assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 1000, at(0)), [1000, 0, 0], "no limit");
    assert_eq!(verdicts(&mut limiter, "192.0.2.1", Response::Error, 13, at(0)), [3 + 5, 0, 5]);
}

#[test]
fn the_proven_and_the_exempt_are_not_limited_nor_charged() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    let exempt: NetworkSet = ["192.0.2.128/25".parse::<Network>().unwrap()].into_iter().collect();
    let mut limiter = limiter(&ResponseRateConfig { exempt, ..config(5) });
    for _ in 0..1000 {
        assert_eq!(limiter.verdict(ip("192.0.2.1"), true, &answer, at(0)), Verdict::Send);
    }
    assert_eq!(verdicts(&mut limiter, "192.0.2.129", answer, 1000, at(0)), [1000, 0, 0]);
    assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 6, at(0))[0], 5);
}

#[test]
fn engines_share_the_rate_and_each_saves_up_one_response_at_least() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    for (rate, engines, sent) in [(100, 4, 25), (100, 1, 100), (2, 16, 1)] {
        let mut limiter = ResponseRate::new(&config(rate), engines, KEY);
        assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 200, at(0))[0], sent, "{rate} on {engines}");
        // The window, and then the time in which this engine earns one.
        let later = 15_000 + 1000 * engines as u64 / u64::from(rate) + 1;
        assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 1, at(later))[0], 1);
    }
}

#[test]
fn a_flood_of_random_sources_takes_no_memory_hides_no_flood_and_holds_up_nobody() {
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    let mut limiter = limiter(&ResponseRateConfig { entries: 1000, slip: 0, ..config(5) });
    let octets = limiter.octets();
    assert!(octets <= 1000 * 16 + 128, "{octets}");
    assert_eq!(verdicts(&mut limiter, "192.0.2.1", answer, 100, at(0))[0], 5);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut served, mut victims) = (0, 0);
    for step in 0..100_000u64 {
        let now = at(step / 100);
        let source = match next() {
            bits if bits % 2 == 0 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32 >> 1)),
            bits => IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits) << 64)),
        };
        served += usize::from(limiter.verdict(source, false, &answer, now) == Verdict::Send);
        if step % 100 == 0 {
            victims += verdicts(&mut limiter, "192.0.2.1", answer, 1, now)[0];
        }
    }
    assert_eq!(limiter.octets(), octets);
    assert_eq!(victims, 0, "the flood against one network is remembered");
    assert!(served > 99_900, "others are served: {served}");
    assert_eq!(verdicts(&mut limiter, "198.51.100.1", answer, 5, at(1000)), [5, 0, 0], "newcomers are served");
}

#[test]
fn many_floods_at_once_still_leave_room_for_newcomers() {
    // More networks over their limit than the table has room for.
    let www = name("www.example.com");
    let answer = Response::Answer(www.as_name(), Type::A);
    let mut limiter = limiter(&ResponseRateConfig { entries: 64, ..config(5) });
    for network in 0..1000u32 {
        let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (network << 8)));
        for _ in 0..20 {
            limiter.verdict(source, false, &answer, at(0));
        }
    }
    assert_eq!(verdicts(&mut limiter, "198.51.100.1", answer, 5, at(0)), [5, 0, 0]);
}

#[test]
fn a_client_above_its_rate_gets_its_rate() {
    let config = ClientRateConfig { questions_per_second: 10, burst: 5, ..ClientRateConfig::default() };
    let mut rate = ClientRate::new(&config, 1, KEY);
    let client = ip("192.0.2.1");
    let allowed = |rate: &mut ClientRate, count: usize, now| (0..count).filter(|_| rate.allows(client, now)).count();
    assert_eq!(allowed(&mut rate, 100, at(0)), 5, "the burst");
    // 1000 questions in each second for ten seconds: what is refused is not held against the client.
    let sum: usize = (1..=10_000).map(|step| allowed(&mut rate, 1, at(step))).sum();
    assert_eq!(sum, 100);
    assert_eq!(allowed(&mut rate, 100, at(100_000)), 5, "after a silence");
    let mut rate = ClientRate::new(&ClientRateConfig { burst: 0, ..config }, 1, KEY);
    assert_eq!(allowed(&mut rate, 100, at(0)), 10, "without a burst of its own, that of a second");
}

#[test]
fn clients_are_single_ipv4_addresses_and_ipv6_sites() {
    let config = ClientRateConfig { questions_per_second: 1, burst: 1, ..ClientRateConfig::default() };
    let exempt: NetworkSet = ["127.0.0.0/8".parse::<Network>().unwrap()].into_iter().collect();
    let mut rate = ClientRate::new(&ClientRateConfig { exempt, ..config }, 1, KEY);
    for (client, is_allowed) in [
        ("192.0.2.1", true),
        ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false),
        ("192.0.2.2", true),
        ("2001:db8:0:1100::1", true),
        ("2001:db8:0:11ff::2", false),
        ("2001:db8:0:1200::1", true),
        ("127.0.0.1", true),
        ("127.0.0.1", true),
    ] {
        assert_eq!(rate.allows(ip(client), at(0)), is_allowed, "{client}");
    }
    let mut unlimited = ClientRate::new(&ClientRateConfig::default(), 8, KEY);
    assert!((0..10_000).all(|_| unlimited.allows(ip("192.0.2.1"), at(0))));
}

/// A token bucket as a textbook has it, in tokens, one for each account, never forgotten.
#[derive(Default)]
struct Model {
    accounts: HashMap<(u32, u8), Bucket>,
}

struct Bucket {
    /// In billionths of a token, so that nothing is rounded.
    tokens: i128,
    last: u64,
    over: u32,
}

impl Model {
    fn verdict(&mut self, key: (u32, u8), rate: u32, window: u64, slip: u32, now: u64) -> Verdict {
        let token = 1_000_000_000i128;
        let rate = i128::from(rate);
        let bucket = self.accounts.entry(key).or_insert(Bucket { tokens: rate * token, last: now, over: 0 });
        let earned = i128::from(now - bucket.last) * rate;
        bucket.last = now;
        bucket.tokens = (bucket.tokens + earned).min(rate * token);
        if bucket.tokens >= token {
            bucket.tokens -= token;
            return Verdict::Send;
        }
        let floor = -(i128::from(window) * rate * token);
        bucket.tokens = if window == 0 { bucket.tokens } else { (bucket.tokens - token).max(floor) };
        bucket.over += 1;
        let slips = slip > 0 && bucket.over.is_multiple_of(slip);
        if slips { Verdict::Truncate } else { Verdict::Drop }
    }
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_simple_model(
        // Rates that divide a second: the model counts tokens, the limiter nanoseconds.
        rate in prop::sample::select(vec![1u32, 2, 5, 10, 100, 1000]),
        window in 0..4u64,
        slip in 0..4u32,
        steps in prop::collection::vec((0..300_000_000u64, 0..3u32, 0..3u8, 1..20usize), 1..200),
    ) {
        let config = ResponseRateConfig { window: Duration::from_secs(window), slip, ..config(rate) };
        let (mut limiter, mut model) = (limiter(&config), Model::default());
        let names = ["a.example", "b.example", "c.example"].map(name);
        let mut now = 0;
        for (pause, network, which, count) in steps {
            now += pause;
            let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + (network << 8)));
            let response = Response::Answer(names[usize::from(which)].as_name(), Type::A);
            for _ in 0..count {
                let expected = model.verdict((network, which), rate, window, slip, now);
                prop_assert_eq!(limiter.verdict(client, false, &response, Time(now)), expected);
            }
        }
    }

    #[test]
    fn no_configuration_and_no_time_makes_it_fail(
        rates: (u32, u32),
        window: Duration,
        slip: u32,
        prefixes: (u8, u8),
        engines in 0..2000usize,
        entries in 0..100usize,
        asked in prop::collection::vec((any::<IpAddr>(), any::<u64>()), 0..50),
    ) {
        let config = ResponseRateConfig {
            responses_per_second: rates.0,
            errors_per_second: rates.1,
            window,
            slip,
            ipv4_prefix: prefixes.0,
            ipv6_prefix: prefixes.1,
            entries,
            exempt: NetworkSet::default(),
        };
        let mut limiter = ResponseRate::new(&config, engines, KEY);
        for (client, now) in asked {
            limiter.verdict(client, false, &Response::Error, Time(now));
            limiter.verdict(client, false, &Response::NoName(name("example").as_name()), Time(now));
        }
    }
}
