//! Classes that are none.

use afpa_classes::{ClassConfig, ClassError, Classes, MAX_CLASSES, MAX_QUEUE};

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
