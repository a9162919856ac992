//! How much of their responses classes may send.

use afpa_classes::{Bandwidth, ClassConfig, Classes, Limit};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_class_sends_its_rate_and_others_are_not_limited() {
    let limited = ClassConfig {
        name: "limited".to_owned(),
        bandwidth: Limit::per_second(1_000_000, 50_000),
        ..ClassConfig::default()
    };
    let classes = Classes::new(vec![limited, ClassConfig::default()]).unwrap();
    let [limited, free] = ["limited", "default"].map(|name| classes.find(name).unwrap());
    let mut bandwidth = Bandwidth::new(&classes);
    assert!(bandwidth.is_limited(limited) && !bandwidth.is_limited(free));
    assert_eq!((bandwidth.available(limited, 0), bandwidth.available(free, 0)), (50_000, u64::MAX));
    // Pieces of 16 KiB for ten seconds, asking again when told to.
    let (mut now, mut sent) = (0, 0);
    while now < 10 * SECOND {
        match bandwidth.send(limited, now, 16_384) {
            Ok(()) => sent += 16_384,
            Err(wait) => now += wait,
        }
        assert_eq!(bandwidth.send(free, now, u64::MAX), Ok(()));
    }
    assert!((10_000_000..=10_000_000 + 50_000 + 16_384).contains(&sent), "{sent}");
}
