//! Server cookies: RFC 9018 with its test vectors, and the rules of RFC 7873 §5.2.

use std::net::IpAddr;

use afpa_dns::protect::{CookieSecrets, CookieStatus, InvalidCookie, Secret};
use proptest::prelude::*;

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn secrets(signing: &str, other: Option<&str>) -> CookieSecrets {
    CookieSecrets::new(signing.parse().unwrap(), other.map(|other| other.parse().unwrap()))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reply(secrets: &CookieSecrets, option: &[u8], client: IpAddr, now: u64) -> (CookieStatus, Option<Vec<u8>>) {
    let status = secrets.status(Some(option), client, now);
    (status, secrets.reply(&status, client, now).map(|cookie| cookie.to_vec()))
}

/// RFC 9018 appendix A.1.
#[test]
fn a_client_learns_a_server_cookie() {
    let (status, learned) =
        reply(&secrets(SECRET, None), &octets("2464c4abcf10c957"), ip("198.51.100.100"), 1_559_731_985);
    assert_eq!(status, CookieStatus::ClientOnly([0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57]));
    assert_eq!(learned, Some(octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480")));
}

/// RFC 9018 appendix A.2.
#[test]
fn a_cookie_that_is_older_than_half_an_hour_is_renewed() {
    let old = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    let (status, learned) = reply(&secrets(SECRET, None), &old, ip("198.51.100.100"), 1_559_734_385);
    assert!(matches!(status, CookieStatus::Valid { is_renewed: true, .. }));
    assert_eq!(learned, Some(octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
}

/// RFC 9018 appendix A.3. Its cookie is good as to the hash, but older than an hour when it is used: §4.3 wins.
#[test]
fn reserved_octets_are_hashed_as_they_came_and_zero_in_a_new_cookie() {
    let old = octets("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
    let secrets = secrets(SECRET, None);
    let within_the_hour = secrets.status(Some(&old), ip("203.0.113.203"), 1_559_727_985 + 3600);
    assert!(matches!(within_the_hour, CookieStatus::Valid { is_renewed: true, .. }));
    let (status, learned) = reply(&secrets, &old, ip("203.0.113.203"), 1_559_734_700);
    assert!(matches!(status, CookieStatus::Invalid(_, InvalidCookie::Expired)));
    assert_eq!(learned, Some(octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e")));
}

/// RFC 9018 appendix A.4.
#[test]
fn a_cookie_of_the_secret_before_is_good_and_replaced() {
    let old = octets("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
    let client = ip("2001:db8:220:1:59de:d0f4:8769:82b8");
    let replaced = secrets("445536bcd2513298075a5d379663c962", Some("dd3bdf9344b678b185a6f5cb60fca715"));
    let (status, learned) = reply(&replaced, &old, client, 1_559_741_961);
    assert!(matches!(status, CookieStatus::Valid { is_renewed: true, .. }));
    assert_eq!(learned, Some(octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
    let forgotten = secrets("445536bcd2513298075a5d379663c962", None);
    let (status, again) = reply(&forgotten, &old, client, 1_559_741_961);
    assert!(matches!(status, CookieStatus::Invalid(_, InvalidCookie::Hash)));
    assert_eq!(again, learned);
}

/// RFC 9018 §5: the steps in which the servers of an anycast address replace their secret.
#[test]
fn a_replacement_in_steps_leaves_no_cookie_behind() {
    let (old, new) = (SECRET, "445536bcd2513298075a5d379663c962");
    let steps = [secrets(old, None), secrets(old, Some(new)), secrets(new, Some(old)), secrets(new, None)];
    let client = ip("192.0.2.1");
    for pair in steps[..3].windows(2) {
        // One server is a step ahead of the other, and a client may meet either. Before the last step an hour passes.
        for (signer, verifier) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let (_, learned) = reply(signer, &[7; 8], client, 1000);
            assert!(verifier.status(learned.as_deref(), client, 1001).is_valid());
        }
    }
    let (_, learned) = reply(&steps[2], &[7; 8], client, 1000);
    assert!(steps[3].status(learned.as_deref(), client, 1001).is_valid(), "an hour of the new secret alone");
}

/// RFC 7873 §5.2.1 to §5.2.5.
#[test]
fn each_kind_of_query_has_its_status_and_its_answer() {
    let secrets = secrets(SECRET, None);
    let client = ip("192.0.2.1");
    let now = 1_700_000_000;
    let (_, Some(good)) = reply(&secrets, &[7; 8], client, now) else { panic!("no cookie") };
    assert_eq!(secrets.status(None, client, now), CookieStatus::Absent);
    assert_eq!(secrets.reply(&CookieStatus::Absent, client, now), None);
    for len in [0, 1, 7, 9, 15, 41, 300] {
        let (status, answer) = reply(&secrets, &vec![7; len], client, now);
        assert_eq!((status, answer), (CookieStatus::Malformed, None), "{len} octets");
    }
    assert_eq!(reply(&secrets, &[7; 8], client, now), (CookieStatus::ClientOnly([7; 8]), Some(good.clone())));
    let cookie = good.clone().try_into().unwrap();
    let valid = CookieStatus::Valid { cookie, is_renewed: false };
    assert_eq!(reply(&secrets, &good, client, now + 1800), (valid, Some(good.clone())), "a good one is kept");
    let changed = |at: usize| {
        let mut cookie = good.clone();
        cookie[at] ^= 1;
        cookie
    };
    let mut cases = vec![
        ("too short", good[..16].to_vec(), InvalidCookie::Form),
        ("too long", [&good[..], &[0; 16]].concat(), InvalidCookie::Form),
        ("another version", changed(8), InvalidCookie::Form),
        ("other reserved octets", changed(9), InvalidCookie::Hash),
        ("another time", changed(15), InvalidCookie::Hash),
    ];
    cases.extend((16..24).map(|at| ("another hash", changed(at), InvalidCookie::Hash)));
    for (case, option, reason) in cases {
        let (status, answer) = reply(&secrets, &option, client, now);
        assert_eq!(status, CookieStatus::Invalid([7; 8], reason), "{case}");
        assert_eq!(answer, Some(good.clone()), "{case}: a new one");
    }
    assert_eq!(
        secrets.status(Some(&changed(0)), client, now),
        CookieStatus::Invalid([6, 7, 7, 7, 7, 7, 7, 7], InvalidCookie::Hash),
        "another client cookie"
    );
    let elsewhere = secrets.status(Some(&good), ip("192.0.2.2"), now);
    assert_eq!(elsewhere, CookieStatus::Invalid([7; 8], InvalidCookie::Hash), "another address");
}

/// RFC 9018 §4.3.
#[test]
fn a_cookie_is_good_for_an_hour_and_five_minutes_ahead() {
    let secrets = secrets(SECRET, None);
    let client = ip("192.0.2.1");
    // Also where 32 bits of seconds start anew, in 2106.
    for made in [10_000, 1_700_000_000, u64::from(u32::MAX) - 100, u64::from(u32::MAX) + 200] {
        let (_, learned) = reply(&secrets, &[7; 8], client, made);
        let status = |now: u64| secrets.status(learned.as_deref(), client, now);
        let renewed = |now: u64| match status(now) {
            CookieStatus::Valid { is_renewed, .. } => Some(is_renewed),
            _ => None,
        };
        assert_eq!(status(made - 301), CookieStatus::Invalid([7; 8], InvalidCookie::Future));
        assert_eq!(renewed(made - 300), Some(false));
        assert_eq!(renewed(made), Some(false));
        assert_eq!(renewed(made + 1800), Some(false));
        assert_eq!(renewed(made + 1801), Some(true));
        assert_eq!(renewed(made + 3600), Some(true));
        assert_eq!(status(made + 3601), CookieStatus::Invalid([7; 8], InvalidCookie::Expired));
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let secrets = secrets(SECRET, None);
    let (_, learned) = reply(&secrets, &[7; 8], ip("192.0.2.1"), 1000);
    assert!(secrets.status(learned.as_deref(), ip("::ffff:192.0.2.1"), 1000).is_valid());
}

#[test]
fn secrets_are_32_digits_and_are_not_shown() {
    for (text, found) in [
        ("", "found 0"),
        ("e5e9", "found 4"),
        ("e5e973e5a6b2a43f48e7dc849e37bfc", "found 31"),
        ("e5e973e5a6b2a43f48e7dc849e37bfcf00", "found 34"),
        ("+5e973e5a6b2a43f48e7dc849e37bfcf", "found another character at 1"),
        ("e5e973e5a6b2a43f48e7dc849e37bfcg", "found another character at 32"),
        (&"é".repeat(16), "found another character at 1"),
    ] {
        let error = text.parse::<Secret>().unwrap_err();
        assert_eq!(error.to_string(), format!("expected 32 hexadecimal digits, {found}"));
    }
    let octets = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    assert_eq!("00112233445566778899aAbBcCdDeEfF".parse(), Ok(Secret(octets)));
    assert_eq!(format!("{:?}", Secret(octets)), "Secret(..)");
    let secret: Secret = SECRET.to_uppercase().parse().unwrap();
    assert_eq!(secret, SECRET.parse().unwrap());
    let shown = format!("{secret:?} {:?}", CookieSecrets::new(secret, Some(secret))).to_lowercase();
    assert!(!shown.contains("e5e9") && !shown.contains("229"), "{shown}");
}

proptest! {
    #[test]
    fn no_octets_that_we_did_not_sign_are_good(option: Vec<u8>, client: IpAddr, now: u64) {
        prop_assert!(!secrets(SECRET, Some(SECRET)).status(Some(&option), client, now).is_valid());
    }

    #[test]
    fn what_is_learned_is_good_for_its_client_alone(client: IpAddr, other: IpAddr, cookie: [u8; 8], now: u64) {
        let secrets = secrets(SECRET, None);
        let (_, learned) = reply(&secrets, &cookie, client, now);
        prop_assert!(secrets.status(learned.as_deref(), client, now).is_valid());
        let is_same = client.to_canonical() == other.to_canonical();
        prop_assert_eq!(secrets.status(learned.as_deref(), other, now).is_valid(), is_same);
    }
}
