//! What a backend is sent.

use std::net::IpAddr;

use afpa_dns::message::{Class, Name, Query, Type, flag, option};
use afpa_dns::upstream::{Ask, Attempt, ClientSubnet, PoolConfig, SubnetError, SubnetPolicy, build_query};
use afpa_engine::Time;
use afpa_wire::proxy_protocol::{self, Carrier, Endpoints, Parsed};

use crate::support::{attempt, backends, name, pools, seeded};

const NOW: Time = Time(1);

/// What goes out for `ask`, in an attempt that `change` changed, of a pool that `configure` changed.
fn sent(ask: &Ask, configure: impl FnOnce(&mut PoolConfig), change: impl FnOnce(&mut Attempt)) -> Vec<u8> {
    let mut config = PoolConfig::new("p", backends(&[1]));
    configure(&mut config);
    let (pools, pool) = pools(config);
    let mut attempt = attempt(&pools, pool);
    change(&mut attempt);
    let mut octets = vec![9; 9];
    build_query(ask, pools.get(pool).unwrap(), &attempt, NOW, &mut seeded(1), &mut octets).unwrap();
    octets
}

fn ask() -> Ask {
    Ask::new(name("WWW.example.com"), Type::AAAA)
}

#[test]
fn a_query_says_what_the_key_says_and_nothing_else() {
    for bits in 0..16 {
        let is_set = |bit: u32| bits >> bit & 1 == 1;
        let ask = Ask {
            recursion_desired: is_set(0),
            checking_disabled: is_set(1),
            authentic_data: is_set(2),
            dnssec_ok: is_set(3),
            qclass: Class::CH,
            ..ask()
        };
        let octets = sent(&ask, |_| {}, |_| {});
        let query = Query::read(&octets).unwrap();
        let flags = [(flag::RD, 0), (flag::CD, 1), (flag::AD, 2)];
        let expected = flags.iter().filter(|(_, bit)| is_set(*bit)).fold(0, |all, (flag, _)| all | flag);
        assert_eq!(query.header.flags, expected);
        assert_eq!(query.header.counts, [1, 0, 0, 1]);
        let question = query.question.unwrap();
        assert_eq!((question.name, question.qtype, question.qclass), (ask.name.as_name(), Type::AAAA, Class::CH));
        let edns = query.edns.unwrap();
        assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (1232, 0, is_set(3)));
        // A client cookie alone, as no server cookie is known.
        assert_eq!(
            edns.options.map(|option| (option.code, option.data.len())).collect::<Vec<_>>(),
            [(option::COOKIE, 8)]
        );
    }
}

#[test]
fn ids_and_letter_cases_differ_from_question_to_question() {
    let (pools, pool) = pools(PoolConfig::new("p", backends(&[1])));
    let (attempt, mut random) = (attempt(&pools, pool), seeded(2));
    let (mut octets, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let expected = build_query(&ask(), pools.get(pool).unwrap(), &attempt, NOW, &mut random, &mut octets).unwrap();
        assert!(expected.has_mixed_case());
        let name = Query::read(&octets).unwrap().question.unwrap().name.as_wire().to_vec();
        assert_eq!(octets[..2], expected.id().to_be_bytes());
        seen.push((expected.id(), name));
    }
    let distinct: std::collections::HashSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert!(distinct.len() > 45);
    let distinct: std::collections::HashSet<_> = seen.iter().map(|(_, name)| name).collect();
    assert!(distinct.len() > 40);
}

#[test]
fn without_mixed_case_and_over_tcp_letters_are_lower_case() {
    let lower = b"\x03www\x07example\x03com\0";
    let octets = sent(&ask(), |config| config.mixed_case = false, |_| {});
    assert_eq!(octets[12..12 + lower.len()], lower[..]);
    let octets = sent(&ask(), |_| {}, |attempt| attempt.tcp = true);
    assert_eq!(octets[14..14 + lower.len()], lower[..]);
    assert_eq!(usize::from(octets[0]) << 8 | usize::from(octets[1]), octets.len() - 2);
}

#[test]
fn without_edns_there_is_no_opt_record() {
    let octets = sent(&ask(), |_| {}, |attempt| attempt.edns = false);
    assert_eq!(Query::read(&octets).unwrap().edns, None);
    assert_eq!(octets.len(), 12 + 17 + 4);
}

#[test]
fn a_clients_subnet_is_stripped_or_passed_with_no_more_bits_than_allowed() {
    let of = |octets: &[u8]| {
        let data = Query::read(octets).unwrap().edns.unwrap().options.get(option::CLIENT_SUBNET);
        data.map(<[u8]>::to_vec)
    };
    let pass = |config: &mut PoolConfig| config.subnet = SubnetPolicy::Pass { ipv4: 24, ipv6: 56 };
    let with = |address: &str, prefix| {
        let address: IpAddr = address.parse().unwrap();
        Ask { subnet: Some(ClientSubnet::new(address, prefix)), ..ask() }
    };
    assert_eq!(of(&sent(&with("192.0.2.7", 32), |_| {}, |_| {})), None);
    assert_eq!(of(&sent(&ask(), pass, |_| {})), None);
    let cases: [(&str, u8, &[u8]); 4] = [
        ("192.0.2.7", 32, &[0, 1, 24, 0, 192, 0, 2]),
        ("192.0.2.7", 20, &[0, 1, 20, 0, 192, 0, 0]),
        // "Do not tell me apart" is passed on (RFC 7871 §7.1.2).
        ("192.0.2.7", 0, &[0, 1, 0, 0]),
        ("2001:db8:1:2ff::1", 128, &[0, 2, 56, 0, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 2]),
    ];
    for (address, prefix, data) in cases {
        assert_eq!(of(&sent(&with(address, prefix), pass, |_| {})).as_deref(), Some(data), "{address}/{prefix}");
    }
}

#[test]
fn a_subnet_option_is_read_strictly() {
    let good: [&[u8]; 4] = [&[0, 1, 24, 0, 192, 0, 2], &[0, 1, 0, 0], &[0, 0, 0, 0], &[0, 2, 9, 0, 0x20, 0x80]];
    for data in good {
        assert!(ClientSubnet::of_query(data).is_ok(), "{data:?}");
    }
    let bad: [(&[u8], SubnetError); 8] = [
        (&[0, 1, 24], SubnetError::Length),
        (&[0, 1, 24, 0, 192, 0], SubnetError::Length),
        (&[0, 1, 24, 0, 192, 0, 2, 0], SubnetError::Length),
        (&[0, 3, 0, 0], SubnetError::Family),
        (&[0, 1, 33, 0, 1, 2, 3, 4, 5], SubnetError::Prefix),
        (&[0, 0, 1, 0, 0], SubnetError::Prefix),
        (&[0, 1, 20, 0, 192, 0, 15], SubnetError::Bits),
        (&[0, 1, 24, 24, 192, 0, 2], SubnetError::Scope),
    ];
    for (data, error) in bad {
        assert_eq!(ClientSubnet::of_query(data), Err(error), "{data:?}");
    }
    assert_eq!(ClientSubnet::of_answer(bad[7].0).unwrap().scope_prefix(), 24);
}

#[test]
fn a_backend_that_wants_it_learns_of_the_client_before_the_query() {
    let endpoints =
        Endpoints { source: "192.0.2.7:4660".parse().unwrap(), destination: "198.51.100.1:53".parse().unwrap() };
    let proxied = |config: &mut PoolConfig| config.backends[0].proxy_protocol = true;
    for (tcp, carrier, framing) in [(false, Carrier::Datagram, 0), (true, Carrier::Stream, 2)] {
        for endpoints in [Some(endpoints), None] {
            let octets = sent(&Ask { endpoints, ..ask() }, proxied, |attempt| attempt.tcp = tcp);
            let Ok(Parsed::Whole(header, len)) = proxy_protocol::read(&octets) else { panic!("{octets:?}") };
            assert_eq!(header.endpoints, endpoints);
            assert_eq!(header.carrier, endpoints.map(|_| carrier));
            assert!(Query::read(&octets[len + framing..]).is_ok());
        }
    }
}

#[test]
fn the_longest_name_and_all_options_fit() {
    let long = [[b"\x3f".as_slice(), &[b'x'; 63]].concat(), [b"\x3d".as_slice(), &[b'y'; 61]].concat()];
    let wire = [&long[0][..], &long[0], &long[0], &long[1], &[0]].concat();
    let name = Name::read(&wire).unwrap().to_owned();
    let subnet = Some(ClientSubnet::new("2001:db8::1".parse().unwrap(), 128));
    let ask = Ask { subnet, ..Ask::new(name, Type::TXT) };
    let octets = sent(&ask, |config| config.subnet = SubnetPolicy::Pass { ipv4: 32, ipv6: 128 }, |_| {});
    assert_eq!(Query::read(&octets).unwrap().question.unwrap().name, ask.name.as_name());
}
