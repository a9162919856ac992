//! The `Priority` field.

use afpa_classes::Priority;
use proptest::prelude::*;

fn read(lines: &[&str]) -> (u8, bool) {
    let priority = Priority::parse(lines.iter().map(|line| line.as_bytes()));
    (priority.urgency(), priority.incremental)
}

#[test]
fn urgency_and_incremental_are_read() {
    for (line, urgency, incremental) in [
        ("", 3, false),
        ("   ", 3, false),
        ("u=0", 0, false),
        ("u=7", 7, false),
        ("u=5, i", 5, true),
        ("i,u=1", 1, true),
        ("  i \t,\t u=1  ", 1, true),
        ("i=?1", 3, true),
        ("u=2, i=?0", 2, false),
        ("u=1;a;b=2, i;c=\"x\"", 1, true),
        // The last one counts.
        ("u=1, u=6", 6, false),
        ("i, i=?0", 3, false),
        // Out of range, or of another type: ignored.
        ("u=8", 3, false),
        ("u=-1, i", 3, true),
        ("u=1.0", 3, false),
        ("u", 3, false),
        ("u=\"1\", i", 3, true),
        ("u=1, u=9", 3, false),
        ("i=1, u=2", 2, false),
        ("u=999999999999999", 3, false),
        // What is not known is ignored.
        ("foo, bar=(1 \"a\";q=1.5 tok), baz=:AA==:, d=@123, e=%\"%c3%bc\", *x=a/b, u=4", 4, false),
        ("x=(), i", 3, true),
        ("x=\"\\\"\\\\\", u=0", 0, false),
    ] {
        assert_eq!(read(&[line]), (urgency, incremental), "{line}");
    }
}

#[test]
fn what_is_no_dictionary_is_as_good_as_none() {
    for line in [
        "u=1,",
        "u=1 i",
        ",u=1",
        "u=",
        "U=1",
        "u=1, =2",
        "u=1, x=(1",
        "u=1, x=(1,2)",
        "u=1, x=\"a",
        "u=1, x=\"\\a\"",
        "u=1, x=:a",
        "u=1, i=?2",
        "u=1;",
        "u=1, x=1234567890123456",
        "u=1, x=1.2345",
        "u=1, x=1.",
        "u=1, x=@1.5",
        "u=1, x=%\"%C3\"",
        "u=1, x=((1))",
        "u=1, x=\u{fc}",
        "u=1\r\n",
        "u=1, x=-",
        "u=1, x=(1\"a\")",
    ] {
        assert_eq!(read(&[line]), (3, false), "{line}");
    }
}

#[test]
fn lines_are_one_field() {
    assert_eq!(read(&["u=1", "i"]), (1, true));
    assert_eq!(read(&["u=1", "", "u=2"]), (2, false));
    assert_eq!(read(&["u=1", "i="]), (3, false));
    assert_eq!(read(&[]), (3, false));
}

#[test]
fn a_response_overrides_what_it_mentions() {
    let request = Priority::new(5, true);
    for (response, expected) in [
        ("u=1", Priority::new(1, true)),
        ("i=?0", Priority::new(5, false)),
        ("", Priority::new(5, true)),
        ("u=9", Priority::new(5, true)),
        ("u=1, ?", Priority::new(5, true)),
    ] {
        assert_eq!(request.overridden_by([response.as_bytes()]), expected, "{response}");
    }
    assert_eq!(Priority::new(200, false).urgency(), 7);
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
        let priority = Priority::parse(lines.iter().map(Vec::as_slice));
        prop_assert!(priority.urgency() <= 7);
    }

    #[test]
    fn nothing_that_looks_like_one_makes_it_panic(line in "[ui=?01(),;\" \\\\%:@.a-]{0,40}") {
        let priority = Priority::parse([line.as_bytes()]);
        prop_assert!(priority.urgency() <= 7);
    }

    #[test]
    fn what_is_written_is_read(urgency in 0..8u8, incremental: bool) {
        let line = format!("u={urgency}, i=?{}", u8::from(incremental));
        prop_assert_eq!(Priority::parse([line.as_bytes()]), Priority::new(urgency, incremental));
    }
}
