//! How often requests of a class may come.

use afpa_classes::{ClassConfig, Classes, Limit, Rates, Reason};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_class_has_its_burst_and_then_its_rate() {
    let limited = ClassConfig { name: "limited".to_owned(), rate: Limit::per_second(2, 3), ..ClassConfig::default() };
    let classes = Classes::new(vec![limited, ClassConfig::default()]).unwrap();
    let [limited, free] = [0, 1].map(|place| classes.at(place).unwrap());
    let mut rates = Rates::new(&classes);
    assert!((0..3).all(|_| rates.arrive(limited, 0).is_ok()));
    let refusal = rates.arrive(limited, 0).unwrap_err();
    assert_eq!((refusal.status(), refusal.retry_after, refusal.reason), (429, 1, Reason::ClassRate));
    assert!((0..1_000).all(|_| rates.arrive(free, 0).is_ok()));
    assert!(rates.arrive(limited, SECOND / 2).is_ok());
    assert!(rates.arrive(limited, SECOND / 2).is_err(), "one comes in half a second");
}
