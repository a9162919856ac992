//! Networks, and classes that are none.

use afpa_classes::{ClassConfig, ClassError, Classes, MAX_CLASSES, MAX_QUEUE, Network, NetworkError};

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

#[test]
fn a_client_is_in_a_network_of_its_family() {
    for (text, client, is_in) in [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.0/24", "::ffff:192.0.2.1", true),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("::/0", "192.0.2.8", false),
        ("0.0.0.0/0", "203.0.113.9", true),
    ] {
        assert_eq!(network(text).contains(client.parse().unwrap()), is_in, "{text} {client}");
    }
}

#[test]
fn networks_say_what_is_wrong_with_them() {
    for (text, error) in [
        ("", NetworkError::Address),
        ("example.com/8", NetworkError::Address),
        ("192.0.2.0/33", NetworkError::Length(32)),
        ("2001:db8::/+32", NetworkError::Length(128)),
        ("192.0.2.0/", NetworkError::Length(32)),
        ("192.0.2.1/24", NetworkError::HostBits(network("192.0.2.0/24"))),
    ] {
        assert_eq!(text.parse::<Network>(), Err(error), "{text}");
    }
    for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1/128"] {
        assert_eq!(network(text).to_string(), text);
    }
}

#[test]
fn classes_are_checked() {
    let good = ClassConfig::default;
    let name = || "default".to_owned();
    for (configs, error) in [
        (vec![], ClassError::Count(0)),
        (vec![good(); MAX_CLASSES + 1], ClassError::Count(MAX_CLASSES + 1)),
        (vec![good(), good()], ClassError::Name(name())),
        (vec![ClassConfig { weight: 0, ..good() }], ClassError::Weight(name())),
        (vec![ClassConfig { concurrency: Some(0), ..good() }], ClassError::Concurrency(name())),
        (vec![ClassConfig { queue: MAX_QUEUE + 1, ..good() }], ClassError::Queue(name())),
        (vec![ClassConfig { queue_timeout: 0, ..good() }], ClassError::Queue(name())),
    ] {
        assert_eq!(Classes::new(configs).unwrap_err(), error);
    }
    let classes = Classes::default();
    let index = classes.find("default").unwrap();
    assert_eq!((classes.len(), index.get(), classes.config(index).weight), (1, 0, 1));
    assert_eq!(classes.find("other"), None);
}
